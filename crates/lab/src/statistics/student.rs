//! Student's interval of a mean over seeds: `mean ± t(0.975, n − 1) · s / √n`.
//!
//! The distribution for whole degrees of freedom ν is a finite sum (Abramowitz & Stegun 1964, 26.7.3 and 26.7.4), with
//! `θ = atan(t / √ν)` and `A = P(|T| ≤ t)`:
//!
//! ```text
//! ν = 1:      A = 2θ/π
//! ν odd:      A = 2/π · (θ + sin θ · (cos θ + 2/3 cos³ θ + … + (2·4⋯(ν−3))/(1·3⋯(ν−2)) cos^(ν−2) θ))
//! ν even:     A = sin θ · (1 + 1/2 cos² θ + (1·3)/(2·4) cos⁴ θ + … + (1·3⋯(ν−3))/(2·4⋯(ν−2)) cos^(ν−2) θ)
//! ```

use super::{Interval, LEVEL, mean};

/// The share of Student's distribution between `-t` and `t`.
pub fn within(t: f64, freedom: u32) -> f64 {
    let theta = (t / f64::from(freedom).sqrt()).atan();
    let (sine, cosine) = theta.sin_cos();
    let odd = freedom % 2 == 1;
    // Powers 1, 3, 5 … of the cosine if ν is odd, 0, 2, 4 … if it is even; the last is ν − 2.
    let mut power = u32::from(odd);
    let mut term = if odd { cosine } else { 1.0 };
    let mut sum = 0.0;
    while power + 2 <= freedom {
        sum += term;
        term *= cosine * cosine * f64::from(power + 1) / f64::from(power + 2);
        power += 2;
    }
    if odd { std::f64::consts::FRAC_2_PI * (theta + sine * sum) } else { sine * sum }
}

/// `t` with this share between `-t` and `t`: the two-sided quantile, by halving.
pub fn quantile(share: f64, freedom: u32) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    while within(high, freedom) < share {
        (low, high) = (high, 2.0 * high);
    }
    for _ in 0..200 {
        let middle = 0.5 * (low + high);
        if within(middle, freedom) < share { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}

/// The standard deviation of a sample, unbiased in its square; none of a single value.
pub fn deviation(values: &[f64]) -> Option<f64> {
    let (n, mean) = (values.len(), mean(values)?);
    (n > 1).then(|| (values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1) as f64).sqrt())
}

/// The 95% interval of a mean; none of fewer than two values.
pub fn interval(values: &[f64]) -> Option<Interval> {
    let half = quantile(LEVEL, u32::try_from(values.len()).ok()?.checked_sub(1).filter(|&freedom| freedom > 0)?)
        * deviation(values)?
        / (values.len() as f64).sqrt();
    let mean = mean(values)?;
    Some((mean - half, mean + half))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_tables() {
        // Two-sided 95%, then 99%, as printed in tables (NIST/SEMATECH e-Handbook of Statistical Methods, 1.3.6.7.2).
        for (freedom, at_95, at_99) in [
            (1, 12.706, 63.657),
            (2, 4.303, 9.925),
            (3, 3.182, 5.841),
            (4, 2.776, 4.604),
            (5, 2.571, 4.032),
            (7, 2.365, 3.499),
            (9, 2.262, 3.250),
            (10, 2.228, 3.169),
            (20, 2.086, 2.845),
            (30, 2.042, 2.750),
            (100, 1.984, 2.626),
        ] {
            assert!((quantile(0.95, freedom) - at_95).abs() < 6e-4, "{freedom}: {}", quantile(0.95, freedom));
            assert!((quantile(0.99, freedom) - at_99).abs() < 6e-4, "{freedom}: {}", quantile(0.99, freedom));
        }
        assert!((quantile(0.95, 100_000) - 1.960).abs() < 1e-3, "the normal distribution in the end");
    }

    #[test]
    fn one_and_two_degrees_of_freedom_have_closed_forms() {
        for t in [0.1f64, 0.7, 1.0, 3.0, 40.0] {
            assert!((within(t, 1) - 2.0 / std::f64::consts::PI * t.atan()).abs() < 1e-14);
            assert!((within(t, 2) - t / (2.0 + t * t).sqrt()).abs() < 1e-14);
        }
        assert_eq!(within(0.0, 5), 0.0);
    }

    #[test]
    fn the_interval_of_three_seeds_by_hand() {
        // Mean 2, deviation 1: 2 ± 4.3027 / √3.
        let (low, high) = interval(&[1.0, 2.0, 3.0]).unwrap();
        assert!((low + 0.484).abs() < 1e-3 && (high - 4.484).abs() < 1e-3, "{low} {high}");
        assert_eq!(interval(&[1.0]), None);
        assert_eq!(interval(&[]), None);
        assert_eq!(interval(&[0.5, 0.5]), Some((0.5, 0.5)));
    }
}
