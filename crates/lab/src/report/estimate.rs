//! A figure of a variant with its 95% interval.
//!
//! Several seeds: `x̄ ± t·s/√n`, Student's t of n − 1 degrees of freedom: how far another mean of as many seeds may lie. One seed: the
//! interval of its row, from images drawn with replacement. With two seeds t is 12.7: an interval that wide says what two seeds say.

use crate::results::Results;

/// A figure with its interval.
#[derive(Debug, Clone, PartialEq)]
pub struct Estimate {
    /// Its mean over seeds.
    pub value: f64,
    /// Lower and upper end of the interval, if there is one.
    pub interval: Option<(f64, f64)>,
    /// Its value for each seed.
    pub seeds: Vec<f64>,
}

/// Student's t at 0.975 for 1, 2, … degrees of freedom (Abramowitz & Stegun, table 26.10).
const T: [f64; 30] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120,
    2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
];

/// A figure of a variant; the interval of a `share` ends at 0 and 1. None if no seed has the figure.
pub fn estimate(results: &Results, variant: &str, figure: &str, share: bool) -> Option<Estimate> {
    let seeds: Vec<f64> = results.values(variant, figure).into_iter().filter(|value| value.is_finite()).collect();
    let n = seeds.len() as f64;
    let value = seeds.iter().sum::<f64>() / n;
    let interval = match seeds.len() {
        0 => return None,
        1 => {
            results.rows.iter().filter(|row| row.variant == variant).find_map(|row| row.intervals.get(figure).copied())
        }
        count => {
            let variance = seeds.iter().map(|x| (x - value).powi(2)).sum::<f64>() / (n - 1.0);
            let half = T.get(count - 2).unwrap_or(&1.96) * (variance / n).sqrt();
            Some((value - half, value + half))
        }
    };
    let interval = interval.filter(|(low, high)| low.is_finite() && high.is_finite());
    let within = |end: f64| if share { end.clamp(0.0, 1.0) } else { end };
    Some(Estimate { value, interval: interval.map(|(low, high)| (within(low), within(high))), seeds })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::Row;

    #[test]
    fn seeds_give_students_interval_and_one_seed_its_own() {
        let row = |seed: u64, value: f64| Row {
            variant: "a".into(),
            seed,
            metrics: [("x".to_owned(), value)].into(),
            intervals: [("x".to_owned(), (0.1, 0.9))].into(),
            ..Row::default()
        };
        let of = |values: &[f64], share| {
            let rows = values.iter().enumerate().map(|(seed, &value)| row(seed as u64, value)).collect();
            estimate(&Results { experiment: "e".into(), rows }, "a", "x", share)
        };
        assert_eq!(of(&[], true), None);
        assert_eq!(of(&[0.5], true).unwrap().interval, Some((0.1, 0.9)));
        // 1, 2, 3: s = 1, so the half is 4.303/√3.
        let three = of(&[1.0, 2.0, 3.0], false).unwrap();
        let (low, high) = three.interval.unwrap();
        assert!((three.value - 2.0).abs() < 1e-9 && (high - 2.0 - 4.303 / 3f64.sqrt()).abs() < 1e-9);
        assert!((low + high - 4.0).abs() < 1e-9);
        assert_eq!(of(&[0.4, 0.8], true).unwrap().interval, Some((0.0, 1.0)));
    }
}
