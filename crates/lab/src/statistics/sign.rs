//! The exact test over seeds: if two variants were alike, each seed's difference could as well have had the other sign.
//!
//! `p = |{s ∈ {−1, 1}ⁿ : |Σ sᵢdᵢ| ≥ |Σ dᵢ|}| / 2ⁿ` (Fisher 1935, *The Design of Experiments*, §21). The smallest p that n seeds can
//! give is `2^(1−n)`: with fewer than six no result can reach 5%, and none is given.

/// Seeds from which 5% can be reached: `2^(1−6) = 0.031`.
pub const FEWEST: usize = 6;

/// Seeds up to which all signs are tried; beyond, the signs alone are counted.
const MOST: usize = 20;

/// The two-sided p of differences, one a seed; none where no result could reach 5%.
///
/// All signs are tried up to 20 seeds; for more this is the sign test, which looks at how many are above zero.
pub fn test(differences: &[f64]) -> Option<f64> {
    match differences.len() {
        n if n < FEWEST => None,
        n if n <= MOST => Some(permutation(differences)),
        _ => binomial(differences),
    }
}

fn permutation(differences: &[f64]) -> f64 {
    let n = differences.len();
    let sum = |signs: u32| -> f64 {
        differences.iter().enumerate().map(|(i, d)| if signs >> i & 1 == 1 { -d } else { *d }).sum::<f64>().abs()
    };
    // Sums that are equal but for rounding are equal.
    let least = sum(0) - 1e-12 * differences.iter().map(|d| d.abs()).sum::<f64>();
    (0..1u32 << n).filter(|&signs| sum(signs) >= least).count() as f64 / (1u64 << n) as f64
}

/// The sign test: `2 · P(B ≤ min(above, below))`, `B` of as many fair coins as differ from zero.
fn binomial(differences: &[f64]) -> Option<f64> {
    let above = differences.iter().filter(|d| **d > 0.0).count();
    let n = differences.iter().filter(|d| **d != 0.0).count();
    if n < FEWEST {
        return None;
    }
    let mut term = 0.5f64.powi(i32::try_from(n).ok()?);
    let mut tail = 0.0;
    for i in 0..=above.min(n - above) {
        tail += term;
        term *= (n - i) as f64 / (i + 1) as f64;
    }
    Some((2.0 * tail).min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use simseg_tensor::random;

    #[test]
    fn five_seeds_have_no_test_and_six_that_agree_have_one_in_thirty_two() {
        assert_eq!(test(&[1.0; 5]), None);
        assert_eq!(test(&[0.3, 0.1, 0.2, 0.1, 0.4, 0.2]), Some(2.0 / 64.0));
        assert_eq!(test(&[0.0; 6]), Some(1.0));
        // One small difference of the other sign: it alone, or none, turned: 4 of 64.
        assert_eq!(test(&[0.3, 0.3, 0.3, 0.3, 0.3, -0.1]), Some(4.0 / 64.0));
    }

    #[test]
    fn the_sign_test_takes_over_and_counts_coins() {
        assert_eq!(test(&[1.0; 21]), Some(0.5f64.powi(20)));
        let mut mixed = vec![1.0; 17];
        mixed.extend([-5.0; 4]);
        // 2 · (1 + 21 + 210 + 1330 + 5985) / 2²¹
        assert!((test(&mixed).unwrap() - 2.0 * 7547.0 / 2_097_152.0).abs() < 1e-15);
    }

    #[test]
    fn under_the_hypothesis_small_p_values_are_as_rare_as_they_say_and_signs_do_not_matter() {
        let mut small = 0;
        for index in 0..400 {
            let mut rng = random::stream(1, "signs", index);
            let differences: Vec<f64> = (0..8).map(|_| random::normal(&mut rng)).collect();
            let p = test(&differences).unwrap();
            let turned: Vec<f64> = differences.iter().map(|d| -d).collect();
            assert_eq!(test(&turned), Some(p));
            assert!((2.0 / 256.0..=1.0).contains(&p));
            small += usize::from(p <= 0.05);
        }
        // At most 5% of 400, ± 3 standard deviations of 4.4.
        assert!((5..=33).contains(&small), "{small}");
    }
}
