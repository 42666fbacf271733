//! MixUp for a contrast (Zhang et al. 2018; the released code's `MixUpNCE`): images are mixed with each other, and each belongs to two
//! captions.
//!
//! ```text
//! λ ~ Beta(β, β), one a step
//! x̃_i = λ·x_i + (1 − λ)·x_{b−1−i}                          pixels of image i and of the one opposite in the batch
//! L   = λ·L(S) + (1 − λ)·L(S with its columns flipped)     S: [b, b], mixed images against captions
//! ```
//!
//! The released code flips within each sub-batch, here the whole batch is flipped, so that `parts` change nothing.

use simseg_model::Loss;
use simseg_tensor::{Ops, Result, Tensor, random};

/// The share of its own pixels that every image keeps at a step, `λ`; none if nothing is mixed.
pub fn share(beta: f64, seed: u64, step: u64) -> Option<f64> {
    if beta <= 0.0 {
        return None;
    }
    let mut rng = random::stream(seed, "mixup", step);
    // Jöhnk 1964: x/(x + y) of x = u^(1/β), y = v^(1/β) is Beta(β, β) where x + y ≤ 1. In logarithms, as x and y underflow for small β.
    loop {
        let [u, v] = [(); 2].map(|()| (1.0 - random::uniform(&mut rng)).ln() / beta); // ln x, ln y
        let most = u.max(v);
        let sum = most + ((u - most).exp() + (v - most).exp()).ln(); // ln (x + y)
        if sum <= 0.0 {
            return Some((u - sum).exp());
        }
    }
}

/// Mixes every item of `pixels`, `items` in a row, with the one opposite.
pub fn mix(pixels: &mut [f32], items: usize, share: f64) {
    let length = pixels.len() / items.max(1);
    let (own, other) = (share as f32, (1.0 - share) as f32);
    for i in 0..items / 2 {
        let (front, back) = pixels.split_at_mut((items - 1 - i) * length);
        for (a, b) in front[i * length..(i + 1) * length].iter_mut().zip(&mut back[..length]) {
            (*a, *b) = (own * *a + other * *b, own * *b + other * *a);
        }
    }
}

/// The loss of `similarity [b, b]` of mixed images and captions.
///
/// # Errors
/// If the backend fails.
pub fn loss<T: Tensor>(loss: &dyn Loss<T>, similarity: &T, temperature: &T, share: Option<f64>) -> Result<T> {
    let own = loss.loss(similarity, temperature)?;
    let Some(share) = share else { return Ok(own) };
    let b = similarity.shape()[0];
    let flip: Vec<usize> = (0..b).rev().collect();
    let flip = T::index_from_host(&flip, &[b], &similarity.device())?;
    let flipped = similarity.t()?.rows(&flip)?.t()?; //     [b, b]
    own.scale(share)?.add(&loss.loss(&flipped, temperature)?.scale(1.0 - share)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use simseg_cpu::{CpuDevice, CpuTensor};
    use simseg_model::InfoNce;

    #[test]
    fn shares_are_those_of_the_beta_distribution_and_the_same_for_a_step() {
        assert_eq!(share(0.0, 1, 2), None);
        assert_eq!(share(0.3, 1, 2), share(0.3, 1, 2));
        for beta in [0.1, 0.4, 1.0, 3.0] {
            let all: Vec<f64> = (0..20_000).map(|step| share(beta, 5, step).unwrap()).collect();
            let mean = all.iter().sum::<f64>() / 2e4;
            let variance = all.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / 2e4;
            let expected = 1.0 / (4.0 * (2.0 * beta + 1.0));
            assert!(
                (mean - 0.5).abs() < 0.015 && (variance / expected - 1.0).abs() < 0.05,
                "{beta}: {mean}, {variance}"
            );
            assert!(all.iter().all(|x| (0.0..=1.0).contains(x)));
        }
    }

    #[test]
    fn images_are_mixed_with_those_opposite_and_belong_to_both_captions() {
        let mut pixels = [0.0, 1.0, 2.0, 3.0, 10.0, 11.0];
        mix(&mut pixels, 3, 0.75);
        assert_eq!(pixels, [2.5, 3.5, 2.0, 3.0, 7.5, 8.5]);
        let tensor = |values: &[f64]| CpuTensor::<f64>::from_host(values, &[3, 3], &CpuDevice).unwrap();
        let s = [0.9, 0.2, 0.4, 0.1, 0.8, 0.3, 0.5, 0.0, 0.7];
        let tau = CpuTensor::<f64>::from_host(&[0.5], &[], &CpuDevice).unwrap();
        let nce = InfoNce { label_smoothing: 0.0, fixed_temperature: None };
        let mixed = loss(&nce, &tensor(&s), &tau, Some(0.75)).unwrap().item().unwrap();
        // Cross-entropy against soft targets, written out: λ on the pair's own place and 1 − λ on the one opposite.
        let mut expected = 0.0;
        for i in 0..3 {
            for side in 0..2 {
                let logit = |j: usize| if side == 0 { s[3 * i + j] } else { s[3 * j + i] } / 0.5;
                let log_sum = (0..3).map(|j| logit(j).exp()).sum::<f64>().ln();
                expected -= (0.75 * (logit(i) - log_sum) + 0.25 * (logit(2 - i) - log_sum)) / 6.0;
            }
        }
        assert!((mixed - expected).abs() < 1e-12, "{mixed} {expected}");
        assert_eq!(
            loss(&nce, &tensor(&s), &tau, None).unwrap().item().unwrap(),
            loss(&nce, &tensor(&s), &tau, Some(1.0)).unwrap().item().unwrap()
        );
    }
}
