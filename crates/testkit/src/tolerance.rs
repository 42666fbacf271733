//! How far two results may lie apart: a name, a reason, and a comparison that can fail.

use crate::difference::Difference;
use std::fmt;

/// An allowed difference, relative to the largest wanted value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tolerance {
    /// What it is for.
    pub name: &'static str,
    /// Why it is as large as it is.
    pub reason: &'static str,
    /// The largest difference allowed.
    pub limit: f64,
    /// Where all values are smaller than this, differences are relative to this.
    pub floor: f64,
}

/// f64 kernels against plain loops: only the order of sums differs.
pub const F64: Tolerance =
    Tolerance { name: "f64", reason: "sums of up to a few thousand terms in another order", limit: 1e-12, floor: 1.0 };

/// f32 kernels against f64 loops.
pub const F32: Tolerance = Tolerance {
    name: "f32",
    reason: "24-bit mantissa, sums of up to a thousand terms, short polynomials",
    limit: 2e-5,
    floor: 1.0,
};

/// libtorch's mixed precision against f64 loops.
pub const BF16: Tolerance =
    Tolerance { name: "bf16", reason: "8-bit mantissa in operands and results of products", limit: 2e-2, floor: 1.0 };

/// Derivatives against central differences of fourth order in f64.
pub const DIFFERENCES: Tolerance = Tolerance {
    name: "central differences",
    reason: "h = 1e-3: truncation h⁴ and rounding ε/h are both near 1e-12",
    limit: 1e-7,
    floor: 1.0,
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
        let found = Difference::between(got, want, &[want.len()], self.floor);
        if self.allows(&found) { Ok(found.rel) } else { Err(format!("{what}: value {found}, allowed {self}")) }
    }

    /// Whether a difference is allowed.
    pub fn allows(&self, difference: &Difference) -> bool {
        difference.rel <= self.limit
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
        for tolerance in [F64, F32, BF16, DIFFERENCES] {
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
