//! The tiles that products are made of: up to `rows` rows of `c` by one or two registers, whose sums stay in registers.
//!
//! ```text
//!                    b: one panel, step by step
//!                    ┌── 2 registers ──┐
//!  a: 14 or 6 rows ▶ │ sums            │   each step: 2 loads, 14 (6) broadcasts, 28 (12) fused multiply-adds
//!                    └─────────────────┘
//! ```
//!
//! AVX-512 has 32 registers: 28 sums, 2 of `b`, one broadcast. AVX2 has 16: 12 sums, 2 of `b`, one broadcast. The rows at the
//! lower edge have tiles of their own height and the columns at the right edge may take one register, so little is computed
//! that nobody asked for.
//!
//! The contract, the same for all and held to the bit by `every_shape_and_layout`: a sum is one chain of fused multiply-adds in
//! the order of the steps, starting at 0, and then `c = α·sum + what was there`, fused. So kernels differ in speed alone.
//!
//! Intrinsics, because plain loops over arrays were kept in registers for AVX-512 only (AVX2: 30 to 75 of 100 GFLOP/s).

use crate::path::Path;
#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{__m512, __m512bh};
#[cfg(target_arch = "x86_64")]
use std::convert::identity;

/// A matrix that lies in memory with any strides: value `(i, p)` is at `start + i·row + p·col`.
#[derive(Debug, Clone, Copy)]
pub struct Strided<A> {
    /// The first value.
    pub start: *const A,
    /// From a row to the next.
    pub row: isize,
    /// From a column to the next.
    pub col: isize,
}

/// Rows of `c`, each contiguous, and what becomes of a sum on its way there.
#[derive(Debug, Clone, Copy)]
pub struct Out<A> {
    /// The first value.
    pub start: *mut A,
    /// From a row to the next.
    pub row: isize,
    /// Factor of a sum.
    pub alpha: A,
    /// Added to the first chain of sums, as many values as are computed; later chains are added to what is there.
    pub first: Option<*const A>,
    /// Columns to write; a panel at the right edge computes more.
    pub width: usize,
}

/// The size of a tile.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Rows, from 1 to the kernel's.
    pub rows: usize,
    /// Registers of columns, 1 or 2.
    pub registers: usize,
    /// Steps of the summed axis.
    pub steps: usize,
}

/// Computes a tile: `(size, a, b, distance of b's rows, out)`.
///
/// # Safety
/// The CPU has the kernel's path. `a` can be read at `rows` rows and `steps` columns, `b` at `steps` rows of `registers`
/// registers, `out` can be written at `rows` rows of `width` columns, and `width` is no more than is computed.
type Tile<A> = unsafe fn(Size, Strided<A>, *const A, isize, Out<A>);

/// Turns eight rows into eight columns: `to[p·ld + i] = from[i·row + p]` for `i < 8`, `p < 8·blocks`: `(from, row, to, ld, blocks)`.
///
/// # Safety
/// The CPU has the kernel's path. `from` can be read at 8 rows of `8·blocks`, `to` be written at `8·blocks` rows of 8.
type Transpose<A> = unsafe fn(*const A, isize, *mut A, usize, usize);

/// One way of computing tiles.
#[derive(Debug)]
pub struct Kernel<A> {
    /// The instructions it needs.
    pub path: Path,
    /// Values of a register.
    pub lanes: usize,
    /// Most rows of a tile.
    pub rows: usize,
    /// See [`Tile`].
    pub tile: Tile<A>,
    /// See [`Transpose`].
    pub transpose: Transpose<A>,
}

impl<A> Kernel<A> {
    /// Columns of a panel.
    pub const fn width(&self) -> usize {
        2 * self.lanes
    }
}

/// Defines the kernel of one kind of register.
#[cfg(target_arch = "x86_64")]
macro_rules! kernel {
    (
        $(#[$meta:meta])* $name:ident: $path:expr, $features:literal, $scalar:ty, $lanes:literal lanes, rows $($rows:literal)+,
        $zero:ident $load:ident $store:ident $splat:ident $fma:ident, step $step:path, sum $sum:path, $transpose:path
    ) => {
        $(#[$meta])*
        pub(crate) const $name: Kernel<$scalar> = {
            use std::arch::x86_64::{$fma, $load, $splat, $store, $zero};
            const ROWS: usize = [$($rows),+].len();

            /// # Safety
            /// As for [`Tile`], with `M` rows and `V` registers; `P` says that `a` is packed: its rows lie side by side and
            /// its columns [`stride`] apart.
            #[target_feature(enable = $features)]
            unsafe fn tile<const M: usize, const V: usize, const P: bool>(
                steps: usize, a: Strided<$scalar>, b: *const $scalar, ld: isize, out: Out<$scalar>,
            ) {
                let mut sums = [[$zero(); V]; M];
                let (mut left, mut right) = (a.start, b);
                for _ in 0..steps {
                    let mut row = [$zero(); V];
                    for (j, row) in row.iter_mut().enumerate() {
                        // SAFETY: as the caller promised; pointers move past the end after the last step only, and aren't read there.
                        *row = unsafe { $load(right.add(j * $lanes)) };
                    }
                    for (i, sums) in sums.iter_mut().enumerate() {
                        // SAFETY: as above.
                        let x = unsafe { if P { *left.add(i) } else { *left.offset(i as isize * a.row) } };
                        let x = $splat(x);
                        for (sum, y) in sums.iter_mut().zip(row) {
                            *sum = $step(x, y, *sum);
                        }
                    }
                    left = left.wrapping_offset(if P { stride(ROWS) as isize } else { a.col });
                    right = right.wrapping_offset(ld);
                }
                sums.as_flattened_mut().iter_mut().for_each(|sum| *sum = $sum(*sum));
                let alpha = $splat(out.alpha);
                for (i, sums) in sums.iter().enumerate() {
                    let start = out.start.wrapping_offset(i as isize * out.row);
                    if out.width == V * $lanes {
                        for (j, &sum) in sums.iter().enumerate() {
                            // SAFETY: row `i` of `c`, all of whose columns here may be written; `first` has as many.
                            unsafe {
                                let start = start.add(j * $lanes);
                                let before = match out.first { Some(first) => $load(first.add(j * $lanes)), None => $load(start) };
                                $store(start, $fma(alpha, sum, before));
                            }
                        }
                    } else {
                        let mut all = [0.0; 2 * $lanes];
                        for (all, &sum) in all.chunks_exact_mut($lanes).zip(sums) {
                            // SAFETY: a register's worth of `all`.
                            unsafe { $store(all.as_mut_ptr(), sum) };
                        }
                        for (j, sum) in all[..out.width].iter().enumerate() {
                            // SAFETY: column `j < width` of row `i`; `first` is longer than that.
                            unsafe {
                                let start = start.add(j);
                                *start = out.alpha.mul_add(*sum, match out.first { Some(first) => *first.add(j), None => *start });
                            }
                        }
                    }
                }
            }

            /// # Safety
            /// As for [`Tile`].
            #[target_feature(enable = $features)]
            unsafe fn any(size: Size, a: Strided<$scalar>, b: *const $scalar, ld: isize, out: Out<$scalar>) {
                let packed = a.row == 1 && a.col == stride(ROWS) as isize;
                // SAFETY: the caller's promise, with the sizes as they are.
                unsafe {
                    match (size.rows, size.registers, packed) {
                        $(
                            ($rows, 1, true) => tile::<$rows, 1, true>(size.steps, a, b, ld, out),
                            ($rows, 1, false) => tile::<$rows, 1, false>(size.steps, a, b, ld, out),
                            ($rows, 2, true) => tile::<$rows, 2, true>(size.steps, a, b, ld, out),
                            ($rows, 2, false) => tile::<$rows, 2, false>(size.steps, a, b, ld, out),
                        )+
                        _ => unreachable!("1 to {ROWS} rows and 1 or 2 registers, not {size:?}"),
                    }
                }
            }
            Kernel { path: $path, lanes: $lanes, rows: ROWS, tile: any, transpose: $transpose }
        };
    };
}

/// Distance of the columns of a packed left tile: whole groups of eight, which [`Transpose`] writes.
pub(crate) const fn stride(rows: usize) -> usize {
    rows.next_multiple_of(8)
}

#[cfg(target_arch = "x86_64")]
kernel! {
    /// f32 with AVX-512: 14 × 32.
    F32_AVX512: Path::Avx512, "avx512f,avx2,fma", f32, 16 lanes, rows 1 2 3 4 5 6 7 8 9 10 11 12 13 14,
    _mm512_setzero_ps _mm512_loadu_ps _mm512_storeu_ps _mm512_set1_ps _mm512_fmadd_ps, step _mm512_fmadd_ps, sum identity, transpose_f32
}
#[cfg(target_arch = "x86_64")]
kernel! {
    /// f64 with AVX-512: 14 × 16.
    F64_AVX512: Path::Avx512, "avx512f,avx2,fma", f64, 8 lanes, rows 1 2 3 4 5 6 7 8 9 10 11 12 13 14,
    _mm512_setzero_pd _mm512_loadu_pd _mm512_storeu_pd _mm512_set1_pd _mm512_fmadd_pd, step _mm512_fmadd_pd, sum identity, transpose_f64
}
#[cfg(target_arch = "x86_64")]
kernel! {
    /// Slots of two bf16 ([`super::dots`]) with AVX-512-BF16: 14 × 32.
    F32_BF16: Path::Avx512, "avx512f,avx512bw,avx512bf16,avx2,fma", f32, 16 lanes, rows 1 2 3 4 5 6 7 8 9 10 11 12 13 14,
    _mm512_setzero_ps _mm512_loadu_ps _mm512_storeu_ps _mm512_set1_ps _mm512_fmadd_ps, step dot_bf16, sum identity, transpose_f32
}
#[cfg(target_arch = "x86_64")]
kernel! {
    /// Slots of four int8 with AVX-512-VNNI: 14 × 32. Sums are integers in the place of f32 until they are complete.
    F32_INT8: Path::Avx512, "avx512f,avx512bw,avx512vnni,avx2,fma", f32, 16 lanes, rows 1 2 3 4 5 6 7 8 9 10 11 12 13 14,
    _mm512_setzero_ps _mm512_loadu_ps _mm512_storeu_ps _mm512_set1_ps _mm512_fmadd_ps, step dot_int8, sum from_integers, transpose_f32
}

/// `sum + x₀y₀ + x₁y₁` for pairs of bf16.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
#[inline]
fn dot_bf16(x: __m512, y: __m512, sum: __m512) -> __m512 {
    // SAFETY: 64 bytes each, of any bits.
    let [x, y] = [x, y].map(|pairs| unsafe { std::mem::transmute::<__m512, __m512bh>(pairs) });
    std::arch::x86_64::_mm512_dpbf16_ps(sum, x, y)
}

/// `sum + Σ x·y` for fours of bytes, those of `x` without a sign; `sum` is integers.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
#[inline]
fn dot_int8(x: __m512, y: __m512, sum: __m512) -> __m512 {
    use std::arch::x86_64::{_mm512_castps_si512, _mm512_castsi512_ps, _mm512_dpbusd_epi32};
    let [sum, x, y] = [sum, x, y].map(|values| _mm512_castps_si512(values));
    _mm512_castsi512_ps(_mm512_dpbusd_epi32(sum, x, y))
}

/// Integers as f32, rounded to nearest.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
#[inline]
fn from_integers(sum: __m512) -> __m512 {
    use std::arch::x86_64::{_mm512_castps_si512, _mm512_cvtepi32_ps};
    _mm512_cvtepi32_ps(_mm512_castps_si512(sum))
}

#[cfg(target_arch = "x86_64")]
kernel! {
    /// f32 with AVX2: 6 × 16.
    F32_AVX2: Path::Avx2, "avx2,fma", f32, 8 lanes, rows 1 2 3 4 5 6,
    _mm256_setzero_ps _mm256_loadu_ps _mm256_storeu_ps _mm256_set1_ps _mm256_fmadd_ps, step _mm256_fmadd_ps, sum identity, transpose_f32
}
#[cfg(target_arch = "x86_64")]
kernel! {
    /// f64 with AVX2: 6 × 8.
    F64_AVX2: Path::Avx2, "avx2,fma", f64, 4 lanes, rows 1 2 3 4 5 6,
    _mm256_setzero_pd _mm256_loadu_pd _mm256_storeu_pd _mm256_set1_pd _mm256_fmadd_pd, step _mm256_fmadd_pd, sum identity, transpose_f64
}

/// Eight by eight in registers: 24 shuffles where single values would be 64 loads and 64 stores.
///
/// # Safety
/// As for [`Transpose`].
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn transpose_f32(from: *const f32, row: isize, to: *mut f32, ld: usize, blocks: usize) {
    /// Values from those that are turned to those that will be needed next.
    const AHEAD: usize = 64;
    use std::arch::x86_64::{
        _MM_HINT_T0, _mm_prefetch, _mm256_loadu_ps, _mm256_permute2f128_ps, _mm256_setzero_ps, _mm256_shuffle_ps,
        _mm256_storeu_ps, _mm256_unpackhi_ps, _mm256_unpacklo_ps,
    };
    for block in 0..blocks {
        let mut x = [_mm256_setzero_ps(); 8];
        for (i, x) in x.iter_mut().enumerate() {
            // Rows are read in short stretches, too short for the CPU to guess how they go on. A hint may point anywhere.
            _mm_prefetch::<_MM_HINT_T0>(from.wrapping_offset(i as isize * row).wrapping_add(8 * block + AHEAD).cast());
            // SAFETY: row `i < 8`, eight values of block `block < blocks`.
            *x = unsafe { _mm256_loadu_ps(from.offset(i as isize * row).add(8 * block)) };
        }
        // Pairs, then fours, then halves of the rows side by side.
        let mut y = x;
        for i in 0..4 {
            y[2 * i] = _mm256_unpacklo_ps(x[2 * i], x[2 * i + 1]);
            y[2 * i + 1] = _mm256_unpackhi_ps(x[2 * i], x[2 * i + 1]);
        }
        for half in 0..2 {
            let [a, b, c, d] = [0, 1, 2, 3].map(|i| y[4 * half + i]);
            x[4 * half] = _mm256_shuffle_ps::<0b01_00_01_00>(a, c);
            x[4 * half + 1] = _mm256_shuffle_ps::<0b11_10_11_10>(a, c);
            x[4 * half + 2] = _mm256_shuffle_ps::<0b01_00_01_00>(b, d);
            x[4 * half + 3] = _mm256_shuffle_ps::<0b11_10_11_10>(b, d);
        }
        for i in 0..4 {
            y[i] = _mm256_permute2f128_ps::<0x20>(x[i], x[i + 4]);
            y[i + 4] = _mm256_permute2f128_ps::<0x31>(x[i], x[i + 4]);
        }
        for (p, &y) in y.iter().enumerate() {
            // SAFETY: row `8·block + p` of the target, eight values.
            unsafe { _mm256_storeu_ps(to.add((8 * block + p) * ld), y) };
        }
    }
}

/// f64 is the yardstick, not the workhorse: value by value.
///
/// # Safety
/// As for [`Transpose`].
#[cfg(target_arch = "x86_64")]
unsafe fn transpose_f64(from: *const f64, row: isize, to: *mut f64, ld: usize, blocks: usize) {
    for p in 0..8 * blocks {
        for i in 0..8 {
            // SAFETY: value `p < 8·blocks` of row `i < 8`, and the same in the target.
            unsafe { *to.add(p * ld + i) = *from.offset(i as isize * row).add(p) };
        }
    }
}
