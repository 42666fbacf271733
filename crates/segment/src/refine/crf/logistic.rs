//! Probability to log-odds and back, in forms that vectorise.
//!
//! `logit(p) = U₀ − U₁ = log(p + ε) − log(1 − p + ε)` with ε = 1e-8, and `σ(t) = 1 / (1 + e^{−t})`.

/// Keeps the logarithm of 0 finite; as in the released code.
pub const EPSILON: f32 = 1e-8;

/// The difference of the energies of "rest" and "class"; NaN counts as one half.
#[inline]
pub fn logit(p: f32) -> f32 {
    let p = if p.is_nan() { 0.5 } else { p.clamp(0.0, 1.0) };
    (p + EPSILON).ln() - (1.0 - p + EPSILON).ln()
}

/// `1 / (1 + e^{−t})`, relative error below 1e-6.
///
/// `e^x = 2^k · e^r` with `k` the nearest integer to `x·log₂e` and `|r| ≤ ½·log 2`; `e^r` by its Taylor polynomial of
/// degree 7 (the next term is below 6e-9), `2^k` by writing `k` into the exponent bits.
#[inline(always)]
pub fn sigmoid(t: f32) -> f32 {
    const ROOM: f32 = 12_582_912.0; // 1.5·2²³: adding it rounds to an integer
    // log 2 in two parts, the first of which has trailing zero bits: k·HIGH is exact.
    const HIGH: f32 = 0.693_359_4;
    const LOW: f32 = -2.121_944_4e-4;
    let x = (-t).clamp(-87.0, 87.0);
    let k = (x * std::f32::consts::LOG2_E + ROOM) - ROOM;
    let r = (x - k * HIGH) - k * LOW;
    let mut e = 1.0 / 5040.0;
    for c in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        e = e * r + c;
    }
    let power = f32::from_bits(((k as i32 + 127) as u32) << 23);
    1.0 / (1.0 + e * power)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sigmoid_is_the_logistic_function() {
        let mut worst = 0.0f64;
        for i in -2000..=2000 {
            let t = i as f32 * 0.05;
            let exact = 1.0 / (1.0 + (-f64::from(t).clamp(-87.0, 87.0)).exp());
            worst = worst.max((f64::from(sigmoid(t)) - exact).abs() / exact);
        }
        assert!(worst < 1e-6, "{worst:e}");
        assert_eq!(sigmoid(0.0), 0.5);
        assert!(sigmoid(f32::INFINITY) == 1.0 && sigmoid(f32::NEG_INFINITY) > 0.0);
    }

    #[test]
    fn logit_undoes_sigmoid_and_accepts_anything() {
        for p in [0.001, 0.3, 0.5, 0.9] {
            assert!((sigmoid(logit(p)) - p).abs() < 1e-6);
        }
        assert_eq!(logit(f32::NAN), 0.0);
        assert_eq!((logit(-3.0), logit(f32::INFINITY)), (logit(0.0), logit(1.0)));
        assert!((logit(1.0) - 18.420_68).abs() < 1e-4);
    }
}
