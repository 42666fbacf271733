//! How far two results may lie apart: a name, a reason, and a comparison that can fail.

use std::fmt;

/// An allowed difference, relative to the larger of 1 and the largest wanted value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tolerance {
    /// What it is for.
    pub name: &'static str,
    /// Why it is as large as it is.
    pub reason: &'static str,
    /// The largest difference allowed.
    pub limit: f64,
}

/// f64 kernels against plain loops: only the order of sums differs.
pub const F64: Tolerance =
    Tolerance { name: "f64", reason: "sums of up to a few thousand terms in another order", limit: 1e-12 };

/// f32 kernels against f64 loops.
pub const F32: Tolerance = Tolerance {
    name: "f32",
    reason: "24-bit mantissa, sums of up to a thousand terms, short polynomials",
    limit: 2e-5,
};

/// Derivatives against central differences of fourth order in f64.
pub const DIFFERENCES: Tolerance = Tolerance {
    name: "central differences",
    reason: "h = 1e-3: truncation h⁴ and rounding ε/h are both near 1e-12",
    limit: 1e-7,
};

impl Tolerance {
    /// The largest difference found, if it is allowed.
    ///
    /// # Errors
    /// Where and by how much the values differ; also if there are more or fewer values, or one is not a number.
    pub fn compare(&self, what: &str, got: &[f64], want: &[f64]) -> Result<f64, String> {
        if got.len() != want.len() {
            return Err(format!("{what}: {} values, expected {}", got.len(), want.len()));
        }
        let scale = want.iter().fold(1.0f64, |scale, x| scale.max(x.abs()));
        let mut worst = (0.0, 0);
        for (i, (a, b)) in got.iter().zip(want).enumerate() {
            let difference = (a - b).abs() / scale;
            if !difference.is_finite() {
                return Err(format!("{what}: value {i} is {a}, expected {b}"));
            }
            if difference > worst.0 {
                worst = (difference, i);
            }
        }
        let (difference, i) = worst;
        if difference <= self.limit {
            return Ok(difference);
        }
        Err(format!("{what}: value {i} is {}, expected {}: off by {difference:.1e}, allowed {self}", got[i], want[i]))
    }
}

impl fmt::Display for Tolerance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.0e} ({}: {})", self.limit, self.name, self.reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tolerance_rejects_twice_its_limit_and_what_is_no_number() {
        for tolerance in [F64, F32, DIFFERENCES] {
            let want = [3.0, -1.0];
            let off = |factor: f64| [3.0, -1.0 + factor * tolerance.limit * 3.0];
            assert!(tolerance.compare("x", &off(0.5), &want).is_ok());
            assert!(tolerance.compare("x", &off(2.0), &want).is_err());
            assert!(tolerance.compare("x", &[3.0, f64::NAN], &want).is_err());
            assert!(tolerance.compare("x", &[f64::INFINITY, -1.0], &want).is_err());
            assert!(tolerance.compare("x", &[3.0], &want).is_err());
        }
    }
}
