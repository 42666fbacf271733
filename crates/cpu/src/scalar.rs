//! f32 and f64: the functions that kernels need, in a form that LLVM can vectorise for f32.
//!
//! f64 is the yardstick (gradient checks, fixtures) and uses the exact library functions; f32 is the one that has to be
//! fast and uses short polynomials, accurate to a few units in the last place (tests below say how many).

use crate::product::Kernel;
use crate::product::dots::Dot;
#[cfg(target_arch = "x86_64")]
use crate::product::kernel;
use simseg_tensor::{Element, Shared, SharedSlice, WeightType};
use std::iter::Sum;
use std::ops::{Add, AddAssign, Div, Mul, Sub};
use std::sync::Arc;

/// A value that the CPU backend can store and compute with.
pub trait Scalar:
    Element
    + ndarray::LinalgScalar
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + AddAssign
    + PartialEq
    + Sum
{
    /// The precision's name.
    const NAME: &'static str;
    /// From a constant of a formula.
    fn lit(value: f64) -> Self {
        Self::from_f64(value)
    }
    /// `eˣ`
    fn exp(self) -> Self;
    /// `ln x`
    fn ln(self) -> Self;
    /// `√x`
    fn sqrt(self) -> Self;
    /// `tanh x`
    fn tanh(self) -> Self;
    /// `erf x`
    fn erf(self) -> Self;
    /// The larger of two, ignoring NaN.
    fn max_(self, other: Self) -> Self;
    /// Whether this is not a number.
    fn nan(self) -> bool;
    /// Weights somebody else owns, if they are stored in this precision.
    fn share(data: SharedSlice) -> Result<Arc<dyn Shared<Self>>, SharedSlice>;
    /// This precision's kernels for matrix products in this build, the best first.
    fn kernels() -> &'static [Kernel<Self>];
    /// How products are computed whose operands are both in a type of fewer bits, if this CPU has instructions for that.
    fn dot(_kind: WeightType) -> Option<&'static Dot<Self>> {
        None
    }
    /// Buffers to use again.
    fn pool() -> &'static crate::storage::Pool<Self>;
}

impl Scalar for f64 {
    const NAME: &'static str = "f64";
    fn exp(self) -> Self {
        self.exp()
    }
    fn ln(self) -> Self {
        self.ln()
    }
    fn sqrt(self) -> Self {
        self.sqrt()
    }
    fn tanh(self) -> Self {
        self.tanh()
    }
    fn erf(self) -> Self {
        libm::erf(self)
    }
    fn max_(self, other: Self) -> Self {
        self.max(other)
    }
    fn nan(self) -> bool {
        self.is_nan()
    }
    fn share(data: SharedSlice) -> Result<Arc<dyn Shared<Self>>, SharedSlice> {
        Err(data)
    }
    fn kernels() -> &'static [Kernel<Self>] {
        #[cfg(target_arch = "x86_64")]
        static ALL: [Kernel<f64>; 2] = [kernel::F64_AVX512, kernel::F64_AVX2];
        #[cfg(not(target_arch = "x86_64"))]
        static ALL: [Kernel<f64>; 0] = [];
        &ALL
    }
    fn pool() -> &'static crate::storage::Pool<Self> {
        static POOL: crate::storage::Pool<f64> = crate::storage::Pool::new();
        &POOL
    }
}

impl Scalar for f32 {
    const NAME: &'static str = "f32";

    /// `eˣ = 2ⁿ·eʳ` with `n = round(x/ln 2)`, `|r| ≤ ln2/2`, and `eʳ` by its Taylor series to r⁷ (remainder < 2⁻²⁷).
    #[inline(always)]
    fn exp(self) -> Self {
        const ROUND: f32 = 12_582_912.0; // 1.5·2²³: adding it leaves the nearest integer in the low mantissa bits
        const LN2_HIGH: f32 = 0.693_359_4; // 355/512: n·LN2_HIGH is exact
        const LN2_LOW: f32 = -2.121_944_4e-4;
        let shifted = self * std::f32::consts::LOG2_E + ROUND;
        let n = shifted - ROUND;
        let r = (self - n * LN2_HIGH) - n * LN2_LOW;
        let p = 1.0 / 5040.0;
        let p = p * r + 1.0 / 720.0;
        let p = p * r + 1.0 / 120.0;
        let p = p * r + 1.0 / 24.0;
        let p = p * r + 1.0 / 6.0;
        let p = p * r + 0.5;
        let p = p * r * r + r + 1.0;
        // The integer n sits in the low bits of `shifted`; moved into the exponent field it is the factor 2ⁿ. Two halves,
        // because 2¹²⁸ is not a float while e^88.7 is.
        let exponent = (shifted.to_bits() as i32).wrapping_sub(ROUND.to_bits() as i32);
        let half = exponent >> 1;
        let power = |e: i32| f32::from_bits((e.wrapping_add(127) as u32) << 23);
        let y = p * power(half) * power(exponent.wrapping_sub(half));
        if self < -87.3 {
            0.0 // below the smallest normal float; masked scores must weigh exactly nothing
        } else if self > 88.722_84 {
            f32::INFINITY
        } else {
            y
        }
    }
    fn ln(self) -> Self {
        self.ln()
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        self.sqrt()
    }
    fn tanh(self) -> Self {
        self.tanh()
    }

    /// `x·P(x²)/Q(x²)` on `[−4, 4]`, beyond which erf is ±1 in f32. The coefficients are those published in Eigen and XLA.
    #[inline(always)]
    fn erf(self) -> Self {
        // A NaN fails both comparisons of `clamp` and stays a NaN.
        let x = self.clamp(-4.0, 4.0);
        let s = x * x;
        let p = -2.726_142_3e-10;
        let p = p * s + 2.770_681_5e-8;
        let p = p * s - 2.101_024e-6;
        let p = p * s - 5.692_506_4e-5;
        let p = p * s - 7.349_906e-4;
        let p = p * s - 2.954_6e-3;
        let p = p * s - 1.609_603_3e-2;
        let q = -1.456_607_2e-5;
        let q = q * s - 2.133_740_6e-4;
        let q = q * s - 1.682_827e-3;
        let q = q * s - 7.373_329_3e-3;
        let q = q * s - 1.426_473_9e-2;
        x * p / q
    }
    #[inline(always)]
    fn max_(self, other: Self) -> Self {
        if self > other { self } else { other }
    }
    fn nan(self) -> bool {
        self.is_nan()
    }
    fn share(data: SharedSlice) -> Result<Arc<dyn Shared<Self>>, SharedSlice> {
        Ok(data)
    }
    fn kernels() -> &'static [Kernel<Self>] {
        #[cfg(target_arch = "x86_64")]
        static ALL: [Kernel<f32>; 2] = [kernel::F32_AVX512, kernel::F32_AVX2];
        #[cfg(not(target_arch = "x86_64"))]
        static ALL: [Kernel<f32>; 0] = [];
        &ALL
    }
    #[cfg(target_arch = "x86_64")]
    fn dot(kind: WeightType) -> Option<&'static Dot<Self>> {
        crate::product::dots::f32_dot(kind)
    }
    fn pool() -> &'static crate::storage::Pool<Self> {
        static POOL: crate::storage::Pool<f32> = crate::storage::Pool::new();
        &POOL
    }
}

#[cfg(test)]
mod tests {
    use super::Scalar;

    /// Worst error over `[-80, 80]` in units of the last place of the exact value.
    fn worst_ulp(f: fn(f32) -> f32, exact: fn(f64) -> f64, range: f32) -> f64 {
        (-40_000..=40_000)
            .map(|i| {
                let x = i as f32 / 40_000.0 * range;
                let want = exact(f64::from(x));
                let ulp = f64::from((want.abs() as f32).next_up()) - f64::from(want.abs() as f32);
                (f64::from(f(x)) - want).abs() / ulp
            })
            .fold(0.0, f64::max)
    }

    #[test]
    fn f32_exp_is_within_two_ulp() {
        let worst = worst_ulp(Scalar::exp, f64::exp, 80.0);
        assert!(worst < 2.0, "{worst}");
    }

    #[test]
    fn f32_exp_keeps_its_limits() {
        assert_eq!(Scalar::exp(0.0f32), 1.0);
        assert_eq!(Scalar::exp(-3.0e4f32), 0.0);
        assert_eq!(Scalar::exp(100.0f32), f32::INFINITY);
        assert!((Scalar::exp(88.5f32) / 88.5f32.exp() - 1.0).abs() < 1e-6);
        assert!(Scalar::exp(f32::NAN).is_nan());
    }

    #[test]
    fn f32_erf_is_within_eight_ulp() {
        let worst = worst_ulp(Scalar::erf, libm::erf, 3.9);
        assert!(worst < 8.0, "{worst}");
        assert!(Scalar::erf(f32::NAN).is_nan());
        assert!((Scalar::erf(9.0f32) - 1.0).abs() < 1e-6);
    }
}
