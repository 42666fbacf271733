//! Holm's correction (Holm 1979, *A simple sequentially rejective multiple test procedure*): of m tests the smallest p counts m-fold,
//! the next (m − 1)-fold, and none less than one before it. The chance that any of them is wrong stays below the level, however
//! they depend on each other.

/// Corrected p values, in the same order.
///
/// ```
/// let p = simseg_lab::statistics::holm::correct(&[0.01, 0.04, 0.03]);
/// assert_eq!(p, [0.03, 0.06, 0.06]); // 3 · 0.01, then 2 · 0.03, and 1 · 0.04 is not less than it
/// ```
pub fn correct(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|&a, &b| p[a].total_cmp(&p[b]));
    let (mut corrected, mut least) = (vec![0.0; p.len()], 0.0f64);
    for (rank, &i) in order.iter().enumerate() {
        least = least.max((p[i] * (p.len() - rank) as f64).min(1.0));
        corrected[i] = least;
    }
    corrected
}

#[cfg(test)]
mod tests {
    use super::*;
    use simseg_tensor::random;

    #[test]
    fn corrected_values_keep_their_order_and_lie_between_p_and_bonferroni() {
        for index in 0..100 {
            let mut rng = random::stream(2, "holm", index);
            let p: Vec<f64> = (0..1 + index % 9).map(|_| random::uniform(&mut rng)).collect();
            let corrected = correct(&p);
            for (i, &own) in p.iter().enumerate() {
                let bonferroni = (own * p.len() as f64).min(1.0);
                assert!(own <= corrected[i] && corrected[i] <= bonferroni + 1e-15);
                assert!(p.iter().zip(&corrected).all(|(other, c)| own > *other || corrected[i] <= *c));
            }
        }
        assert!(correct(&[]).is_empty());
        assert_eq!(correct(&[0.02]), [0.02]);
    }
}
