//! Weights in fewer bits: bfloat16, half precision, or int8 with one scale for each row.
//!
//! Arithmetic stays f32: values are widened when they are read. int8 is symmetric, `w[o, i] ≈ scale[o]·q[o, i]` with
//! `scale[o] = max_i |w[o, i]| / 127` and `q` rounded to nearest, in `−127..=127`; the scales of a tensor `NAME` are the f32 tensor
//! `NAME.scale` `[o]` beside it.

use safetensors::Dtype;

/// What the scales of an int8 tensor are called: its name and this.
pub const SCALE: &str = ".scale";

/// Bytes of a value of a type that [`super::Weights`] reads; none for one that it does not.
pub(super) fn size(dtype: Dtype) -> Option<usize> {
    match dtype {
        Dtype::F32 => Some(4),
        Dtype::F16 | Dtype::BF16 => Some(2),
        Dtype::I8 => Some(1),
        _ => None,
    }
}

/// Little-endian values as f32, each exactly but for int8, whose product with the scale of its row is rounded once.
///
/// `bytes` are whole values of `dtype`; int8 has as many scales as rows, all of one length.
pub(super) fn widen(dtype: Dtype, bytes: &[u8], scales: &[f32]) -> Vec<f32> {
    let short = |b: &[u8]| u16::from_le_bytes([b[0], b[1]]);
    match dtype {
        Dtype::BF16 => bytes.chunks_exact(2).map(|b| f32::from_bits(u32::from(short(b)) << 16)).collect(),
        Dtype::F16 => bytes.chunks_exact(2).map(|b| half(short(b))).collect(),
        Dtype::I8 => {
            let row = (bytes.len() / scales.len().max(1)).max(1);
            let rows = bytes.chunks_exact(row).zip(scales);
            rows.flat_map(|(row, &scale)| row.iter().map(move |&q| f32::from(q.cast_signed()) * scale)).collect()
        }
        _ => bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
    }
}

/// IEEE 754 half precision: a sign, 5 bits of exponent, 10 of mantissa.
pub(super) fn half(bits: u16) -> f32 {
    let (sign, exponent, mantissa) = (bits >> 15, bits >> 10 & 31, bits & 1023);
    let size = match exponent {
        0 => f32::from(mantissa) * 2f32.powi(-24),
        31 if mantissa == 0 => f32::INFINITY,
        31 => f32::NAN,
        _ => f32::from(1024 + mantissa) * 2f32.powi(i32::from(exponent) - 25),
    };
    if sign == 1 { -size } else { size }
}

/// The nearest bfloat16, the even one of two; `x` is no NaN.
pub fn to_bf16(x: f32) -> u16 {
    let bits = x.to_bits();
    (bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16) as u16
}

/// A matrix in int8: values row by row, and a scale for each row of `row` values. A row of zeros has scale 0.
pub fn to_int8(values: &[f32], row: usize) -> (Vec<i8>, Vec<f32>) {
    let scale = |row: &[f32]| row.iter().fold(0.0f32, |most, x| most.max(x.abs())) / 127.0;
    let scales: Vec<f32> = values.chunks(row.max(1)).map(scale).collect();
    let rows = values.chunks(row.max(1)).zip(&scales);
    let one =
        |x: f32, scale: f32| if scale > 0.0 { (x / scale).round_ties_even().clamp(-127.0, 127.0) as i8 } else { 0 };
    (rows.flat_map(|(row, &scale)| row.iter().map(move |&x| one(x, scale))).collect(), scales)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_precision_by_hand() {
        for (bits, value) in [(0x3c00, 1.0), (0xc000, -2.0), (0x3555, 0.333_251_95), (0x0001, 5.960_464_5e-8)] {
            assert_eq!(half(bits), value, "{bits:#06x}");
        }
        assert!(half(0x7c00) == f32::INFINITY && half(0xfc00) == f32::NEG_INFINITY && half(0x7e00).is_nan());
        assert_eq!(half(0x7bff), 65504.0);
    }

    #[test]
    fn bfloat16_rounds_to_nearest_even() {
        for (bits, wanted) in
            [(0x3f80_0000, 0x3f80), (0x3f80_8000, 0x3f80), (0x3f81_8000, 0x3f82), (0xbf80_8001, 0xbf81)]
        {
            assert_eq!(to_bf16(f32::from_bits(bits)), wanted, "{bits:#010x}");
        }
        assert_eq!(to_bf16(f32::MAX), 0x7f80, "beyond the largest: infinity");
    }

    #[test]
    fn int8_is_within_half_a_step_of_its_row() {
        let values: Vec<f32> = (0..300).map(|i| ((i * 37 % 101) as f32 - 50.0) * (1 + i / 100) as f32).collect();
        let (q, scales) = to_int8(&values, 100);
        let bytes: Vec<u8> = q.iter().map(|q| q.cast_unsigned()).collect();
        for (i, (wide, x)) in widen(Dtype::I8, &bytes, &scales).iter().zip(&values).enumerate() {
            assert!((wide - x).abs() <= 0.5001 * scales[i / 100], "{i}: {wide} for {x}");
        }
        assert_eq!(to_int8(&[0.0, 0.0, 2.0, -4.0], 2), (vec![0, 0, 64, -127], vec![0.0, 4.0 / 127.0]));
    }
}
