//! A power law through points: a straight line through their logarithms, by least squares.

/// `y = factor · x^exponent`
#[derive(Debug, Clone, Copy)]
pub struct Power {
    /// Its value at 1.
    pub factor: f64,
    /// How it grows.
    pub exponent: f64,
}

impl Power {
    /// Its value.
    pub fn at(&self, x: f64) -> f64 {
        self.factor * x.powf(self.exponent)
    }
}

/// Fits positive points `(x, y)`; `None` with fewer than two different `x`.
pub fn fitted(points: &[(f64, f64)]) -> Option<Power> {
    let logs: Vec<(f64, f64)> = points.iter().map(|(x, y)| (x.ln(), y.ln())).collect();
    let mean = |of: fn(&(f64, f64)) -> f64| logs.iter().map(of).sum::<f64>() / logs.len() as f64;
    let (x, y) = (mean(|p| p.0), mean(|p| p.1));
    let spread: f64 = logs.iter().map(|p| (p.0 - x).powi(2)).sum();
    let exponent = logs.iter().map(|p| (p.0 - x) * (p.1 - y)).sum::<f64>() / spread;
    (spread > 0.0).then(|| Power { factor: (y - exponent * x).exp(), exponent })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_power_law_is_found_again_and_one_point_is_none() {
        let cubic: Vec<(f64, f64)> = [1.0, 2.0, 5.0].map(|x: f64| (x, 7.0 * x.powi(3))).into();
        let power = fitted(&cubic).unwrap();
        assert!((power.exponent - 3.0).abs() < 1e-9 && (power.at(4.0) - 448.0).abs() < 1e-6, "{power:?}");
        assert!(fitted(&cubic[..1]).is_none() && fitted(&[]).is_none());
    }

    #[test]
    fn noise_on_both_sides_leaves_the_slope() {
        // 2·x with factors e^{0.1}, e^{-0.2}, e^{0.1} at 1, 10, 100: symmetric, so the slope stays 1.
        let noisy = [(1.0, 0.1), (10.0, -0.2), (100.0, 0.1)].map(|(x, e): (f64, f64)| (x, 2.0 * x * e.exp()));
        assert!((fitted(&noisy).unwrap().exponent - 1.0).abs() < 1e-9);
    }
}
