//! Weights in fewer bits: bfloat16, half precision, or int8 with one scale for each row.
//!
//! | type | a weight `w` is kept as | largest error | bytes |
//! |---|---|---|---|
//! | bf16 | the nearest bfloat16: 8 significant bits | `2⁻⁸` of `w` | 2 |
//! | f16 | the nearest half-precision number: 11 significant bits | `2⁻¹¹` of `w`; `2⁻²⁵` below `2⁻¹⁴` | 2 |
//! | int8 | a whole number `q` from −127 to 127, `w[o, i] ≈ scale[o]·q[o, i]` | `scale[o]/2` | 1 |
//!
//! The scale of a row is a 127th of its largest absolute value: `scale[o] = max_i abs(w[o, i]) / 127`. Ties are rounded to even. Arithmetic stays f32: values are widened before they are
//! used, unless [`Narrow::rounding_inputs`] allows products in fewer bits.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

/// How weights can be kept in fewer bits than f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WeightType {
    /// IEEE 754 half precision: 5 bits of exponent, 10 of mantissa.
    F16,
    /// The upper half of an f32: 8 bits of exponent, 7 of mantissa.
    Bf16,
    /// Whole numbers from −127 to 127, and an f32 scale for each row.
    Int8,
}

impl WeightType {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::F16, Self::Bf16, Self::Int8];

    /// As the command line spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::Int8 => "int8",
        }
    }

    /// Bytes of a value, scales aside.
    pub const fn size(self) -> usize {
        match self {
            Self::F16 | Self::Bf16 => 2,
            Self::Int8 => 1,
        }
    }

    /// Whether a finite value stays finite.
    pub fn holds(self, x: f32) -> bool {
        match self {
            Self::F16 => to_f16(x) & 0x7fff < 0x7c00,
            Self::Bf16 => to_bf16(x) & 0x7fff < 0x7f80,
            Self::Int8 => true,
        }
    }
}

impl fmt::Display for WeightType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Bytes that somebody owns, such as a mapped file.
pub type SharedBytes = Arc<dyn AsRef<[u8]> + Send + Sync>;

/// A weight in fewer bits: rows of equal length, one after the other, little-endian. Clones share the values.
#[derive(Clone)]
pub struct Narrow {
    kind: WeightType,
    bytes: SharedBytes,
    /// Of int8, one for each row; else none.
    scales: Arc<[f32]>,
    row: usize,
    rounds_inputs: bool,
}

impl Narrow {
    /// Rows of `row` values that were rounded before; `scales` has one for each row of int8 and is empty for other types. Nothing if
    /// `bytes` are no whole number of such rows, or scales are too few or too many.
    pub fn new(kind: WeightType, bytes: SharedBytes, scales: Arc<[f32]>, row: usize) -> Option<Self> {
        let (len, line) = ((*bytes).as_ref().len(), row * kind.size());
        let rows = len.checked_div(line).unwrap_or(0);
        let fits = rows * line == len && scales.len() == if kind == WeightType::Int8 { rows } else { 0 };
        fits.then_some(Self { kind, bytes, scales, row, rounds_inputs: false })
    }

    /// Rounds rows of `row` values.
    pub fn round(kind: WeightType, values: &[f32], row: usize) -> Self {
        let (bytes, scales) = match kind {
            WeightType::F16 => (values.iter().flat_map(|&x| to_f16(x).to_le_bytes()).collect::<Vec<u8>>(), vec![]),
            WeightType::Bf16 => {
                // Into a buffer of known size, which the compiler turns into a few instructions for many values.
                let mut bytes = vec![0; 2 * values.len()];
                bytes.as_chunks_mut().0.iter_mut().zip(values).for_each(|(b, &x)| *b = to_bf16(x).to_le_bytes());
                (bytes, vec![])
            }
            WeightType::Int8 => {
                let (q, scales) = to_int8(values, row);
                (q.into_iter().map(i8::cast_unsigned).collect(), scales)
            }
        };
        Self { kind, bytes: Arc::new(bytes), scales: scales.into(), row, rounds_inputs: false }
    }

    /// Lets products with these weights round their other operand to the same type, where a backend has instructions for such products:
    /// faster, and less exact than widening the weights.
    pub fn rounding_inputs(self) -> Self {
        Self { rounds_inputs: true, ..self }
    }
    /// Whether [`Self::rounding_inputs`] was asked for.
    pub fn rounds_inputs(&self) -> bool {
        self.rounds_inputs
    }
    /// What the values are kept as.
    pub fn kind(&self) -> WeightType {
        self.kind
    }
    /// Bytes of values and scales.
    pub fn size(&self) -> usize {
        self.bytes().len() + size_of_val(&*self.scales)
    }
    /// All values, little-endian.
    pub fn bytes(&self) -> &[u8] {
        (*self.bytes).as_ref()
    }
    /// Of int8, one for each row; else none.
    pub fn scales(&self) -> &[f32] {
        &self.scales
    }
    /// Values of a row.
    pub fn row_len(&self) -> usize {
        self.row
    }
    /// How many values there are.
    pub fn count(&self) -> usize {
        self.bytes().len() / self.kind.size()
    }

    /// Row `row` as f32.
    ///
    /// # Panics
    /// If there is no such row, or `out` is not as long as one.
    pub fn read_row(&self, row: usize, out: &mut [f32]) {
        let line = self.row * self.kind.size();
        let scale = [self.scales.get(row).copied().unwrap_or(1.0)];
        widen(self.kind, &self.bytes()[row * line..(row + 1) * line], &scale, out, |x| x);
    }

    /// All values as f32, each exactly but for int8, whose product with the scale of its row is rounded once.
    pub fn widened(&self) -> Vec<f32> {
        let mut all = vec![0.0; self.count()];
        let rows = all.chunks_exact_mut(self.row.max(1)).enumerate();
        rows.for_each(|(row, out)| self.read_row(row, out));
        all
    }
}

impl fmt::Debug for Narrow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Narrow {}, rows of {}: {} values", self.kind, self.row, self.count())
    }
}

/// Writes values as `convert` makes them of f32: `out[i] = convert(value i · scales[i mod scales.len()])`, where only int8 is
/// multiplied. One scale thus serves a whole row, and as many as there are columns serve rows that lie side by side.
///
/// # Panics
/// If `bytes` are not as many values as `out` has.
#[inline(always)]
pub fn widen<E>(kind: WeightType, bytes: &[u8], scales: &[f32], out: &mut [E], convert: impl Fn(f32) -> E) {
    assert_eq!(bytes.len(), out.len() * kind.size(), "a value for each");
    let short = |b: &[u8; 2]| u16::from_le_bytes(*b);
    match kind {
        WeightType::Bf16 => {
            out.iter_mut().zip(bytes.as_chunks().0).for_each(|(y, b)| *y = convert(from_bf16(short(b))));
        }
        WeightType::F16 => {
            out.iter_mut().zip(bytes.as_chunks().0).for_each(|(y, b)| *y = convert(from_f16(short(b))));
        }
        WeightType::Int8 => match *scales {
            [scale] => {
                out.iter_mut().zip(bytes).for_each(|(y, b)| *y = convert(f32::from(b.cast_signed()) * scale));
            }
            _ => {
                let lines = out.chunks_mut(scales.len().max(1)).zip(bytes.chunks(scales.len().max(1)));
                for (out, bytes) in lines {
                    let values = out.iter_mut().zip(bytes).zip(scales);
                    values.for_each(|((y, b), scale)| *y = convert(f32::from(b.cast_signed()) * scale));
                }
            }
        },
    }
}

/// A bfloat16 as f32.
#[inline(always)]
pub fn from_bf16(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

/// Half precision (a sign, 5 bits of exponent, 10 of mantissa) as f32.
#[inline(always)]
pub fn from_f16(bits: u16) -> f32 {
    const INFINITE: u32 = 0x7c00 << 13;
    let sign = u32::from(bits & 0x8000) << 16;
    let size = u32::from(bits & 0x7fff) << 13;
    // Shifted, the exponent is 112 too small. A product mends that for subnormal numbers as well, and is exact.
    let finite = (f32::from_bits(size) * f32::from_bits((127 + 112) << 23)).to_bits();
    f32::from_bits(sign | if size >= INFINITE { size | 0x7f80_0000 } else { finite })
}

/// The nearest bfloat16, the even one of two; `x` is no NaN. Beyond the largest it is infinite.
pub fn to_bf16(x: f32) -> u16 {
    let bits = x.to_bits();
    (bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16) as u16
}

/// The nearest half-precision number, the even one of two; `x` is no NaN. From 65520 on it is infinite.
pub fn to_f16(x: f32) -> u16 {
    let (sign, size) = ((x.to_bits() >> 16 & 0x8000) as u16, x.to_bits() & 0x7fff_ffff);
    let short = match size {
        // Below 2⁻¹⁴: multiples of 2⁻²⁴, the distance of neighbours from 0.5 on, to which the sum is rounded.
        ..0x3880_0000 => (f32::from_bits(size) + 0.5).to_bits() - 0.5f32.to_bits(),
        0x3880_0000..0x4780_0000 => (size + 0xfff + (size >> 13 & 1) - (112 << 23)) >> 13,
        _ => 0x7c00,
    };
    sign | short as u16
}

/// A matrix in int8: values row by row, and a scale for each row of `row` values. A row of zeros has scale 0.
pub fn to_int8(values: &[f32], row: usize) -> (Vec<i8>, Vec<f32>) {
    let scale = |row: &[f32]| {
        let scale = row.iter().fold(0.0f32, |most, x| most.max(x.abs())) / 127.0;
        // Near the largest f32 the quotient, rounded up, would come back as infinity.
        if (127.0 * scale).is_finite() { scale } else { scale.next_down() }
    };
    let scales: Vec<f32> = values.chunks(row.max(1)).map(scale).collect();
    let rows = values.chunks(row.max(1)).zip(&scales);
    // 1.5·2²³: added to a number of at most 127, it leaves the nearest whole one, ties to even. `round_ties_even` is a call on plain x86-64.
    const ROUND: f32 = 12_582_912.0;
    let one = |x: f32, scale: f32| if scale > 0.0 { (x / scale + ROUND - ROUND).clamp(-127.0, 127.0) as i8 } else { 0 };
    (rows.flat_map(|(row, &scale)| row.iter().map(move |&x| one(x, scale))).collect(), scales)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_precision_by_hand() {
        for (bits, value) in [(0x3c00, 1.0), (0xc000, -2.0), (0x3555, 0.333_251_95), (0x0001, 5.960_464_5e-8)] {
            assert_eq!(from_f16(bits), value, "{bits:#06x}");
        }
        assert!(
            from_f16(0x7c00) == f32::INFINITY && from_f16(0xfc00) == f32::NEG_INFINITY && from_f16(0x7e00).is_nan()
        );
        assert_eq!(from_f16(0x7bff), 65504.0);
    }

    #[test]
    fn every_half_survives_and_what_lies_between_two_goes_to_the_nearer_or_the_even_one() {
        for bits in 0..0x7c00u16 {
            let (x, next) = (from_f16(bits), if bits == 0x7bff { 65536.0 } else { from_f16(bits + 1) });
            let middle = ((f64::from(x) + f64::from(next)) / 2.0) as f32; // exact: f32 has 13 bits more
            let even = bits + bits % 2;
            for (value, wanted) in [(x, bits), (middle, even), (middle.next_down(), bits), (middle.next_up(), bits + 1)]
            {
                assert_eq!(to_f16(value), wanted, "{value:e}");
                assert_eq!(to_f16(-value), wanted | 0x8000, "-{value:e}");
            }
        }
        assert_eq!((to_f16(f32::INFINITY), to_f16(f32::MAX), to_f16(1e-30)), (0x7c00, 0x7c00, 0));
    }

    #[test]
    fn a_type_holds_what_does_not_become_infinite() {
        let holds = |kind: WeightType, x: f32| kind.holds(x) && kind.holds(-x);
        assert!(holds(WeightType::F16, 65519.0) && !holds(WeightType::F16, 65520.0));
        assert!(holds(WeightType::Bf16, 3.38e38) && !holds(WeightType::Bf16, f32::MAX));
        assert!(holds(WeightType::Int8, f32::MAX));
        let one = Narrow::round(WeightType::Int8, &[f32::MAX, -f32::MAX], 2).widened();
        assert!(one.iter().all(|x| x.is_finite()), "{one:?}");
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
    fn errors_are_within_those_of_the_table() {
        let values: Vec<f32> = (0..300).map(|i| ((i * 37 % 101) as f32 - 50.0) * (1 + i / 100) as f32 / 7.0).collect();
        for kind in WeightType::ALL {
            let narrow = Narrow::round(kind, &values, 100);
            assert_eq!((narrow.count(), narrow.bytes().len()), (300, 300 * kind.size()));
            let mut changed = 0;
            for (i, (wide, x)) in narrow.widened().iter().zip(&values).enumerate() {
                let most = match kind {
                    WeightType::F16 => x.abs() / 2048.0,
                    WeightType::Bf16 => x.abs() / 256.0,
                    WeightType::Int8 => 0.5001 * narrow.scales()[i / 100],
                };
                assert!((wide - x).abs() <= most, "{kind} {i}: {wide} for {x}");
                changed += usize::from(wide != x);
            }
            assert!(changed > 100, "{kind}: nothing was rounded");
        }
        assert_eq!(to_int8(&[0.0, 0.0, 2.0, -4.0], 2), (vec![0, 0, 64, -127], vec![0.0, 4.0 / 127.0]));
    }

    #[test]
    fn a_scale_for_each_column_and_one_for_all_are_read_as_such() {
        let bytes: Vec<u8> = [1i8, -2, 3, -4].map(i8::cast_unsigned).to_vec();
        let mut out = [0.0f64; 4];
        widen(WeightType::Int8, &bytes, &[10.0, 0.5], &mut out, f64::from);
        assert_eq!(out, [10.0, -1.0, 30.0, -2.0]);
        widen(WeightType::Int8, &bytes, &[2.0], &mut out, f64::from);
        assert_eq!(out, [2.0, -4.0, 6.0, -8.0]);
    }

    #[test]
    fn rows_that_do_not_fit_their_bytes_or_scales_are_nothing() {
        let new = |kind, bytes: usize, scales: usize, row| {
            Narrow::new(kind, Arc::new(vec![0u8; bytes]), vec![1.0; scales].into(), row).is_some()
        };
        assert!(new(WeightType::Int8, 6, 2, 3) && new(WeightType::Bf16, 12, 0, 3) && new(WeightType::F16, 0, 0, 0));
        assert!(!new(WeightType::Int8, 6, 3, 3) && !new(WeightType::Int8, 7, 2, 3));
        assert!(!new(WeightType::Bf16, 12, 2, 3) && !new(WeightType::Bf16, 6, 0, 0));
    }
}
