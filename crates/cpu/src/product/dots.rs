//! Products both of whose operands are in fewer bits, by instructions that add up several products at once: `--precision bf16` and `int8`.
//!
//! Two neighbours of a row in bf16, or four in int8, take the place of one f32, which is never computed with: a matrix `[m, k]`
//! of values becomes one of `[m, k/2]` or `[m, k/4]` *slots*, the last filled up with zeros. Slots are packed into panels and tiles and
//! handed to a kernel as f32 are; what the kernel does with two of them is its own.
//!
//! | type | left operand | a step of a sum | instruction |
//! |---|---|---|---|
//! | bf16 | rounded to bf16 | `sum + a₀b₀ + a₁b₁` in f32 | `vdpbf16ps` (AVX-512-BF16) |
//! | int8 | `q = round(a/s) + 128` with `s` a 127th of the row's largest | `sum + Σ₄ q·b`, exactly, in 32 bits | `vpdpbusd` (AVX-512-VNNI) |
//!
//! In int8 `a·b ≈ s·scale·(Σ q·b − 128·Σ b)`. Chains are those of [`super::panel`], of slots.

use super::kernel::Kernel;
use super::panel::{Panels, SPARE, aligned, aligned_mut, scratch};
use super::{Product, Right};
use crate::scalar::Scalar;
use ndarray::{ArrayView2, ArrayViewMut2};
use simseg_tensor::Narrow;
#[cfg(target_arch = "x86_64")]
use simseg_tensor::WeightType;
use simseg_tensor::parallel::prelude::*;

/// How a type's products are computed.
#[derive(Debug)]
pub struct Dot<A: 'static> {
    /// For slots.
    pub kernel: Kernel<A>,
    /// The slot that these bytes are.
    pub slot: fn([u8; 4]) -> A,
    /// Rounds a row of the left operand to slots. Returns the factor of what is computed with it.
    ///
    /// # Safety
    /// The CPU has the instructions of the kernel.
    pub round: unsafe fn(row: &[A], slots: &mut [A]) -> A,
}

/// A weight `[n, k]` as the right operand `[k, n]` in slots.
#[derive(Debug)]
pub(super) struct Dots<A: 'static> {
    dot: &'static Dot<A>,
    /// In panels.
    slots: Vec<A>,
    /// Slots of a row.
    k: usize,
    n: usize,
    /// Of int8: the scale of each column, and `128·Σ b`.
    columns: Vec<(A, A)>,
}

impl<A: Scalar> Dots<A> {
    pub(super) fn new(dot: &'static Dot<A>, weight: &Narrow, [k, n]: [usize; 2]) -> Self {
        let line = k * weight.kind().size();
        let k = line.div_ceil(4);
        let mut rows = vec![A::default(); n * k];
        rows.par_chunks_mut(k.max(1)).zip(weight.bytes().par_chunks(line.max(1))).for_each(|(slots, bytes)| {
            let (whole, rest) = bytes.as_chunks::<4>();
            slots.iter_mut().zip(whole).for_each(|(slot, &bytes)| *slot = (dot.slot)(bytes));
            if !rest.is_empty() {
                let mut last = [0; 4];
                last[..rest.len()].copy_from_slice(rest);
                slots[whole.len()] = (dot.slot)(last);
            }
        });
        let columns = weight.scales().iter().zip(weight.bytes().chunks(line.max(1)));
        let columns = columns.map(|(&scale, bytes)| {
            let sum: i32 = bytes.iter().map(|b| i32::from(b.cast_signed())).sum();
            (A::lit(f64::from(scale)), A::lit(f64::from(128 * sum)))
        });
        let columns = columns.collect();
        let len = Panels::len(&dot.kernel, [k, n]);
        let mut slots = vec![A::default(); len + SPARE];
        let rows = ArrayView2::from_shape((n, k), &rows).expect("n·k slots");
        Panels::fill(&dot.kernel, &rows.reversed_axes(), aligned_mut(&mut slots, len), true);
        Self { dot, slots, k, n, columns }
    }

    /// `c = a·b`, plus `bias` in every row.
    pub(super) fn product(&self, a: &ArrayView2<A>, bias: Option<&[A]>, mut c: ArrayViewMut2<A>) {
        let Self { dot, k, n, .. } = *self;
        let m = a.nrows();
        let (mut slots, mut factors) = (scratch(m * k), vec![A::default(); m]);
        let slots = aligned_mut(&mut slots, m * k);
        let round = |(i, (slots, factor)): (usize, (&mut [A], &mut A))| {
            let row = a.row(i);
            let whole;
            let row = match row.as_slice() {
                Some(row) => row,
                None => {
                    whole = row.to_vec();
                    &whole[..]
                }
            };
            // SAFETY: there is a `Dot` only on a CPU with its instructions ([`Scalar::dot`]).
            *factor = unsafe { (dot.round)(row, slots) };
        };
        slots.par_chunks_mut(k.max(1)).zip(&mut factors).enumerate().with_min_len(16).for_each(round);
        let slots = ArrayView2::from_shape((m, k), &*slots).expect("m·k slots");
        let panels = Panels::of(aligned(&self.slots, Panels::len(&dot.kernel, [k, n])), [k, n]);
        let scaled = !self.columns.is_empty();
        let product =
            Product { kernel: &dot.kernel, alpha: A::lit(1.0), a: &slots, bias: if scaled { None } else { bias } };
        product.blocks(Right::Panels(panels), c.view_mut());
        if scaled {
            let rows: Vec<&mut [A]> =
                c.rows_mut().into_iter().map(|row| row.into_slice().expect("rows of c are contiguous")).collect();
            rows.into_par_iter()
                .zip(factors)
                .with_min_len(16)
                .for_each(|(row, factor)| scale(row, &self.columns, factor, bias));
        }
    }
}

crate::simd::simd! {
    /// `c[j] = (c[j] − shift[j])·(factor·scale[j]) + bias[j]`, columns being `(scale, shift)`.
    fn scale<A: Scalar>(c: &mut [A], columns: &[(A, A)], factor: A, bias: Option<&[A]>) {
        let values = c.iter_mut().zip(columns);
        match bias {
            Some(bias) => {
                values.zip(bias).for_each(|((c, &(scale, shift)), &b)| *c = (*c - shift) * (factor * scale) + b);
            }
            None => values.for_each(|(c, &(scale, shift))| *c = (*c - shift) * (factor * scale)),
        }
    }
}

/// The instructions for a type's products, if this CPU has them and [`crate::path`] allows them.
#[cfg(target_arch = "x86_64")]
pub(crate) fn f32_dot(kind: WeightType) -> Option<&'static Dot<f32>> {
    use super::kernel::{F32_BF16, F32_INT8};
    use crate::path::Path;
    use std::arch::is_x86_feature_detected;
    static BF16: Dot<f32> = Dot { kernel: F32_BF16, slot: |bytes| f32::from_ne_bytes(bytes), round: round_bf16 };
    static INT8: Dot<f32> = Dot { kernel: F32_INT8, slot: |bytes| f32::from_ne_bytes(bytes), round: round_int8 };
    if Path::current() < Path::Avx512 || !is_x86_feature_detected!("avx512bw") {
        return None;
    }
    match kind {
        WeightType::Bf16 if is_x86_feature_detected!("avx512bf16") => Some(&BF16),
        WeightType::Int8 if is_x86_feature_detected!("avx512vnni") => Some(&INT8),
        _ => None,
    }
}

/// See [`Dot::round`]: pairs of bf16, rounded to nearest even; subnormal numbers become 0, as the instructions of products take them.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn round_bf16(row: &[f32], slots: &mut [f32]) -> f32 {
    use std::arch::x86_64::{__m512bh, __m512i, _mm512_cvtne2ps_pbh, _mm512_loadu_ps, _mm512_storeu_si512};
    assert_eq!(row.len().div_ceil(2), slots.len(), "two values a slot");
    let (lines, rest) = row.as_chunks::<32>();
    let (out, slots) = slots.split_at_mut(16 * lines.len());
    let convert = |line: &[f32; 32], out: &mut [f32; 16]| {
        // SAFETY: 16 values each, and 16 slots; a register of bf16 has the layout of 32 values of two bytes.
        unsafe {
            let [low, high] = [0, 16].map(|from| _mm512_loadu_ps(line.as_ptr().add(from)));
            let pairs = _mm512_cvtne2ps_pbh(high, low);
            _mm512_storeu_si512(out.as_mut_ptr().cast(), std::mem::transmute::<__m512bh, __m512i>(pairs));
        }
    };
    lines.iter().zip(out.as_chunks_mut::<16>().0).for_each(|(line, out)| convert(line, out));
    if !rest.is_empty() {
        let (mut line, mut out) = ([0.0; 32], [0.0; 16]);
        line[..rest.len()].copy_from_slice(rest);
        convert(&line, &mut out);
        slots.copy_from_slice(&out[..slots.len()]);
    }
    1.0
}

/// See [`Dot::round`]: fours of `round(x/s) + 128`, `s` a 127th of the largest absolute value. A row with a NaN or an infinity gives NaN
/// for the factor, so that what is computed from it is one as well.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn round_int8(row: &[f32], slots: &mut [f32]) -> f32 {
    /// 1.5·2²³, and what makes the lowest byte of a sum with it the rounded value plus 128.
    const ROUND: f32 = 12_582_912.0 + 128.0;
    assert_eq!(row.len().div_ceil(4), slots.len(), "four values a slot");
    // Of absolute values bits are ordered as numbers are, infinity and NaN above all.
    let most = f32::from_bits(row.iter().fold(0, |most, x| most.max(x.to_bits() & 0x7fff_ffff)));
    let factor = if most.is_finite() { most / 127.0 } else { f32::NAN };
    let inverse = if factor > 0.0 && (1.0 / factor).is_finite() { 1.0 / factor } else { 0.0 };
    let byte = |x: f32| ((x * inverse + ROUND).to_bits() & 0xff) as u8;
    let (fours, rest) = row.as_chunks::<4>();
    slots.iter_mut().zip(fours).for_each(|(slot, four)| *slot = f32::from_ne_bytes(four.map(byte)));
    if !rest.is_empty() {
        let mut last = [0; 4];
        last.iter_mut().zip(rest).for_each(|(last, &x)| *last = byte(x));
        slots[fours.len()] = f32::from_ne_bytes(last);
    }
    factor
}
