//! The bootstrap (Efron & Tibshirani 1993, *An Introduction to the Bootstrap*): draw as many images as there are, with replacement,
//! and look how much a figure moves.
//!
//! ```text
//! round r:   t_r = how often each of n images is drawn, Σ t_r = n        figure_r = figure(t_r)
//! interval:  the 2.5% and 97.5% quantiles of figure_1 … figure_R         (percentile method, §13.3)
//! paired:    the same draws t_r for both: quantiles of a(t_r) − b(t_r)
//! seeds:     round r draws seeds with replacement, then images within each
//! ```
//!
//! The images that round `r` draws depend on their number, the round and nothing else: two models that were judged on the same images
//! are paired without knowing of each other.

use super::{Interval, LEVEL};
use rayon::prelude::*;
use simseg_tensor::random;
use std::sync::{Arc, Mutex, PoisonError};

/// Rounds of an interval.
pub const ROUNDS: usize = 1000;

/// Figures in all rounds; none in a round whose images do not have it.
pub type Replicates = Vec<Option<f64>>;

/// How often round `round` draws each of `images`.
///
/// The draws are those of `simseg evaluate`, so both give the same interval of the mIoU.
pub fn draw(images: usize, round: usize) -> Vec<u32> {
    let mut rng = random::stream(0, "bootstrap", round as u64);
    let mut times = vec![0; images];
    for _ in 0..images {
        times[(random::uniform(&mut rng) * images as f64) as usize] += 1;
    }
    times
}

/// What every round gives, in their order, whatever the number of threads.
///
/// # Errors
/// The first of `figure`.
pub fn rounds<V: Send, E: Send>(
    images: usize,
    rounds: usize,
    figure: impl Fn(&[u32]) -> Result<V, E> + Sync,
) -> Result<Vec<V>, E> {
    match drawn(images, rounds) {
        Some(drawn) => drawn.par_iter().map(|times| figure(times)).collect(),
        None => (0..rounds).into_par_iter().map(|round| figure(&draw(images, round))).collect(),
    }
}

/// Draws of more images and rounds than this are not kept (64 MB).
const KEPT: usize = 1 << 24;

/// The draws of all rounds, kept from one row to the next: a sweep of thresholds needs the same ones for each, and drawing them takes
/// longer than the figures.
fn drawn(images: usize, rounds: usize) -> Option<Arc<Vec<Vec<u32>>>> {
    type Last = Mutex<Option<(usize, Arc<Vec<Vec<u32>>>)>>;
    static LAST: Last = Mutex::new(None);
    if images.saturating_mul(rounds) > KEPT {
        return None;
    }
    let last = || LAST.lock().unwrap_or_else(PoisonError::into_inner);
    let kept = last().clone().filter(|(of, kept)| *of == images && kept.len() == rounds);
    Some(kept.map_or_else(
        || {
            // Not under the lock: the threads that draw may take up another row meanwhile.
            let made = Arc::new((0..rounds).into_par_iter().map(|round| draw(images, round)).collect::<Vec<_>>());
            *last() = Some((images, made.clone()));
            made
        },
        |(_, kept)| kept,
    ))
}

/// The 95% percentile interval of the rounds that have a figure; none if fewer than half of them do.
pub fn percentile(replicates: &[Option<f64>]) -> Option<Interval> {
    let mut values: Vec<f64> = replicates.iter().copied().flatten().collect();
    if values.is_empty() || 2 * values.len() < replicates.len() {
        return None;
    }
    values.sort_by(f64::total_cmp);
    let at = |share: f64| values[(share * (values.len() - 1) as f64).round() as usize];
    Some((at((1.0 - LEVEL) / 2.0), at((1.0 + LEVEL) / 2.0)))
}

/// The differences of two figures in the same rounds.
pub fn paired(a: &[Option<f64>], b: &[Option<f64>]) -> Replicates {
    a.iter().zip(b).map(|(a, b)| Some((*a)? - (*b)?)).collect()
}

/// Means over seeds that are drawn with replacement, each with images that are drawn anew: one list of replicates a seed.
///
/// If all seeds were judged on the same images (`shared`), those of a round are the same for all its seeds, as they are in truth;
/// otherwise each drawn seed has a round of its own.
pub fn hierarchical(seeds: &[Replicates], shared: bool) -> Replicates {
    let rounds = seeds.iter().map(Vec::len).min().unwrap_or(0);
    let one = |round: usize| {
        let mut rng = random::stream(0, "bootstrap of seeds", round as u64);
        let mut below = |n: usize| (random::uniform(&mut rng) * n as f64) as usize;
        let drawn = (0..seeds.len()).map(|_| {
            let (seed, own) = (below(seeds.len()), below(rounds));
            seeds[seed][if shared { round } else { own }]
        });
        Some(drawn.sum::<Option<f64>>()? / seeds.len() as f64)
    };
    (0..rounds).map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Replicates of a mean.
    fn of(values: &[f64]) -> Replicates {
        let figure = |times: &[u32]| -> Result<_, ()> {
            let sum: f64 = values.iter().zip(times).map(|(value, &times)| value * f64::from(times)).sum();
            Ok(Some(sum / values.len() as f64))
        };
        rounds(values.len(), ROUNDS, figure).unwrap()
    }

    fn normal(n: usize, purpose: &str, index: u64) -> Vec<f64> {
        let mut rng = random::stream(7, purpose, index);
        (0..n).map(|_| random::normal(&mut rng)).collect()
    }

    #[test]
    fn a_round_draws_as_many_images_as_there_are() {
        for n in [1, 2, 17, 300] {
            assert!((0..50).all(|round| draw(n, round).iter().sum::<u32>() as usize == n));
        }
        assert_eq!(draw(9, 3), draw(9, 3));
        assert_ne!(draw(9, 3), draw(9, 4));
        assert!(draw(0, 0).is_empty());
    }

    #[test]
    fn kept_draws_are_those_of_their_images_and_rounds() {
        let seen = |images: usize, count: usize| rounds(images, count, |times| Ok::<_, ()>(times.to_vec())).unwrap();
        for (images, count) in [(7, 5), (7, 5), (9, 5), (9, 6), (7, 5)] {
            let anew: Vec<_> = (0..count).map(|round| draw(images, round)).collect();
            assert!(seen(images, count) == anew, "{images} {count}");
        }
    }

    #[test]
    fn the_interval_of_a_mean_has_the_width_that_theory_gives_and_covers_it_as_often() {
        let (mut covered, mut width) = (0, 0.0);
        for index in 0..200 {
            let (low, high) = percentile(&of(&normal(50, "coverage", index))).unwrap();
            covered += u32::from(low <= 0.0 && 0.0 <= high);
            width += (high - low) / 200.0;
        }
        // 2 · 1.96 / √50 = 0.554, the sample's own deviation a little below 1.
        assert!((0.52..0.57).contains(&width), "{width}");
        // 95% of 200 is 190, ± 3 standard deviations of 3.1; the percentile method covers a little less.
        assert!((177..=199).contains(&covered), "{covered}");
    }

    #[test]
    fn pairing_removes_what_the_images_have_in_common() {
        let common = normal(100, "common", 0);
        let a: Vec<f64> = common.iter().map(|x| x + 0.01).collect();
        let (low, high) = percentile(&paired(&of(&a), &of(&common))).unwrap();
        assert!((low - 0.01).abs() < 1e-9 && (high - 0.01).abs() < 1e-9, "{low} {high}");
        let (low, high) = percentile(&paired(&of(&a), &of(&normal(100, "other", 0)))).unwrap();
        assert!(low < 0.0 && high > 0.0, "other images of a chance of their own hide it: {low} {high}");
    }

    #[test]
    fn shifts_shift_and_scales_scale_an_interval() {
        for index in 0..20 {
            let values = normal(30, "shift", index);
            let (low, high) = percentile(&of(&values)).unwrap();
            let moved: Vec<f64> = values.iter().map(|x| 3.0 * x - 2.0).collect();
            let (l, h) = percentile(&of(&moved)).unwrap();
            assert!((l - (3.0 * low - 2.0)).abs() < 1e-9 && (h - (3.0 * high - 2.0)).abs() < 1e-9);
            assert!(low < high);
        }
    }

    #[test]
    fn a_figure_that_most_rounds_lack_has_no_interval() {
        assert_eq!(percentile(&[None, None, Some(1.0)]), None);
        assert_eq!(percentile(&[None, Some(1.0), Some(1.0)]), Some((1.0, 1.0)));
        assert_eq!(percentile(&[]), None);
    }

    #[test]
    fn seeds_widen_an_interval_and_equal_seeds_on_shared_images_do_not() {
        let one = of(&normal(80, "seed", 0));
        let alike = percentile(&hierarchical(&vec![one.clone(); 4], true)).unwrap();
        assert_eq!(alike, percentile(&one).unwrap());
        // Images of their own: the mean of four varies half as much.
        let (low, high) = percentile(&hierarchical(&vec![one.clone(); 4], false)).unwrap();
        let ratio = (high - low) / (alike.1 - alike.0);
        assert!((0.4..0.6).contains(&ratio), "{ratio}");
        let apart: Vec<Replicates> =
            [-1.0, 0.0, 1.0, 2.0].map(|shift| one.iter().map(|x| x.map(|x| x + shift)).collect()).into();
        let (low, high) = percentile(&hierarchical(&apart, true)).unwrap();
        assert!(high - low > 3.0 * (alike.1 - alike.0), "{low} {high}");
    }
}
