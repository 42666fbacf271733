//! `c = α·a·b + bias` for f32 on CPUs with AVX-512, made for narrow matrices: `[rows, 96] × [96, 288]`, or a head's `[65, 32] × [32, 65]`.
//!
//! matrixmultiply copies both operands into the order in which its kernel reads them. For large products that is little
//! beside the product; in training at width 96 it was a fifth of all time (`perf record`, revision 372eedf). Here the right operand is
//! cut into panels of 16, 32 or 48 columns, which are read where they are if their rows are contiguous, and the left one is
//! always read where it is:
//!
//! ```text
//!             b [k, n]:  ┌────48────┬────48────┬─16─┐
//!                        │  panel   │          │    │ k
//! a [m, k]:  8 rows ▶    └──────────┴──────────┴────┘
//!            one tile of c: 8 × 48 sums in 24 registers of 16 lanes, k steps of 3 loads, 8 broadcasts and 24 fused multiply-adds
//! ```
//!
//! Every value of `c` is one chain of fused multiply-adds per `DEPTH` steps of `k`, in order, whatever its tile: the bits
//! depend neither on how rows and columns are cut nor on what else is multiplied.
//!
//! Plain loops over arrays of known size, which LLVM keeps in registers. With AVX2's 16 registers of 8 lanes it does not (30 to 75
//! of 100 GFLOP/s, whatever the tile), so there, on other CPUs and in f64, matrixmultiply's kernels compute.

use crate::scalar::Scalar;
use crate::storage::Buffer;
use crate::walk::GRAIN;
use ndarray::{ArrayView2, ArrayViewMut2, Axis, s};
use rayon::prelude::*;

/// Lanes of a register: columns of a panel are a multiple.
const LANES: usize = 16;
/// Columns that a cut along `n` should keep together.
pub(crate) const WIDTH: usize = 3 * LANES;
/// Steps of `k` between two visits to `c`.
const DEPTH: usize = 384;

/// Computes one panel for all rows: `(computed columns, m, k, a, b, distance of b's rows, out)`.
pub type Kernel<A> = unsafe fn(usize, usize, usize, Strided<A>, *const A, isize, Out<A>);

/// The kernel, if there is one for this precision and this CPU can run it.
pub(crate) fn kernel<A: Scalar>() -> Option<Kernel<A>> {
    #[cfg(target_arch = "x86_64")]
    {
        let cpu = std::arch::is_x86_feature_detected!("avx512f")
            && std::arch::is_x86_feature_detected!("avx2")
            && std::arch::is_x86_feature_detected!("fma");
        A::PANEL.filter(|_| cpu)
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        None
    }
}

/// A matrix that lies in memory with any strides: value `(i, j)` is at `start + i·row + j·col`.
#[derive(Debug, Clone, Copy)]
pub struct Strided<A> {
    start: *const A,
    row: isize,
    col: isize,
}

impl<A> Strided<A> {
    fn of(x: &ArrayView2<A>) -> Self {
        Self { start: x.as_ptr(), row: x.strides()[0], col: x.strides()[1] }
    }
}

/// Rows of `c`, each contiguous, and what becomes of a sum on its way there.
#[derive(Debug, Clone, Copy)]
pub struct Out<A> {
    start: *mut A,
    row: isize,
    alpha: A,
    /// Added to the first chain of sums, one value for each computed column; later chains are added to what is there.
    first: Option<*const A>,
    /// Columns to write; a panel at the right edge computes more.
    width: usize,
}

/// Which columns a panel has, and how many of them it computes.
#[derive(Debug, Clone, Copy)]
struct Panel {
    from: usize,
    width: usize,
    computed: usize,
}

/// The panels of `n` columns, from left to right: as wide as possible, but no single register at the end of a multiple of 64.
/// With `overlap` the last one starts further left instead of having columns beyond the edge: what it shares with its neighbour
/// is computed twice, to the same bits.
fn panels(n: usize, overlap: bool) -> impl Iterator<Item = Panel> {
    let mut from = 0;
    std::iter::from_fn(move || {
        let left = n - from;
        let computed = match left {
            0 => return None,
            1..=16 => LANES,
            17..=32 | 49..=64 => 2 * LANES,
            _ => WIDTH,
        };
        let back = if overlap && n >= computed { computed.saturating_sub(left) } else { 0 };
        let panel = Panel { from: from - back, width: computed.min(left + back), computed };
        from = panel.from + panel.width;
        Some(panel)
    })
}

/// Steps of `k` per chain of sums: all chains of about one length.
fn depth(k: usize) -> usize {
    k.div_ceil(k.div_ceil(DEPTH).max(1)).max(1)
}

/// A right operand, ready for any number of left ones, from several threads.
pub(crate) struct Right<'a, A: Scalar> {
    kernel: Kernel<A>,
    b: ArrayView2<'a, A>,
    panels: Vec<Panel>,
    /// Panels that can't be read where they are, chain by chain; each is `[steps, computed]`, row-major, missing columns 0.
    copies: Buffer<A>,
}

/// Whether a panel has to be copied: its rows are not contiguous, or it would be read beyond its last column.
fn copied<A>(b: &ArrayView2<A>, panel: Panel) -> bool {
    b.strides()[1] != 1 || panel.width != panel.computed
}

impl<'a, A: Scalar> Right<'a, A> {
    /// Copies the panels of `b` that need it. The kernel is that of [`kernel`].
    pub(crate) fn new(kernel: Kernel<A>, b: ArrayView2<'a, A>) -> Self {
        let (k, n) = b.dim();
        // What a later chain adds would be added twice.
        let panels: Vec<_> = panels(n, depth(k) == k).collect();
        let columns: usize = panels.iter().filter(|&&panel| copied(&b, panel)).map(|panel| panel.computed).sum();
        let mut copies = Buffer::unwritten(k * columns);
        let (mut rest, mut pieces) = (&mut copies[..], vec![]);
        for steps in b.axis_chunks_iter(Axis(0), depth(k)) {
            for &panel in panels.iter().filter(|&&panel| copied(&b, panel)) {
                let copy = rest.split_off_mut(..steps.nrows() * panel.computed).expect("as many as were counted");
                let columns = steps.slice_move(s![.., panel.from..panel.from + panel.width]);
                pieces.push((columns, panel.computed, copy));
            }
        }
        if k * columns < 4 * GRAIN {
            pieces.into_iter().for_each(|(b, computed, copy)| pack(&b, computed, copy));
        } else {
            pieces.into_par_iter().for_each(|(b, computed, copy)| pack(&b, computed, copy));
        }
        Self { kernel, b, panels, copies }
    }

    /// `c = α·a·b`, plus `bias` in every row.
    ///
    /// # Panics
    /// If shapes don't fit, or the rows of `c` are not contiguous: a fault of this crate.
    pub(crate) fn times(&self, alpha: A, a: &ArrayView2<A>, bias: Option<&[A]>, c: &mut ArrayViewMut2<A>) {
        let ((m, k), (depth_b, n)) = (a.dim(), self.b.dim());
        assert!(k == depth_b && c.dim() == (m, n) && bias.is_none_or(|bias| bias.len() == n), "shapes fit");
        assert!(n <= 1 || c.strides()[1] == 1, "rows of c are contiguous");
        let steps = depth(k);
        let (mut at, mut padded) = (0, [A::default(); WIDTH]);
        for from in (0..k).step_by(steps) {
            let steps = steps.min(k - from);
            for &panel in &self.panels {
                let (right, ld) = if copied(&self.b, panel) {
                    at += steps * panel.computed;
                    (self.copies[at - steps * panel.computed..at].as_ptr(), panel.computed as isize)
                } else {
                    (self.b.get_ptr((from, panel.from)).expect("within b"), self.b.strides()[0])
                };
                let first = (from == 0).then(|| {
                    padded.fill(A::default());
                    if let Some(bias) = bias {
                        padded[..panel.width].copy_from_slice(&bias[panel.from..panel.from + panel.width]);
                    }
                    padded.as_ptr()
                });
                let a = Strided { start: a.as_ptr().wrapping_offset(from as isize * a.strides()[1]), ..Strided::of(a) };
                let start = c.as_mut_ptr().wrapping_add(panel.from);
                let out = Out { start, row: c.strides()[0], alpha, first, width: panel.width };
                // SAFETY: there is a kernel, so the CPU can run it. `a` is read at rows < m and steps < k, within its view.
                // `right` has `steps` rows of `computed` values `ld` apart: a copy has that size by construction, and a
                // panel in place has all its columns within `b`. `c` is written at rows < m and columns < n only, through
                // the one exclusive view of it; `first` is WIDTH long. (`every_shape_and_layout` tests all of these.)
                unsafe {
                    (self.kernel)(panel.computed, m, steps, a, right, ld, out);
                }
            }
        }
    }
}

/// Copies a panel: `copy[p, j] = b[p, j]`, 0 where `b` has no more columns.
fn pack<A: Scalar>(b: &ArrayView2<A>, computed: usize, copy: &mut [A]) {
    for (group, columns) in b.axis_chunks_iter(Axis(1), 8).enumerate() {
        let rows = copy.chunks_exact_mut(computed).map(|row| &mut row[8 * group..]);
        // Columns of a transposed matrix are contiguous: eight at a time, so that their cache lines stay until they are used up.
        let streams: [Option<&[A]>; 8] = std::array::from_fn(|j| columns.columns().into_iter().nth(j)?.to_slice());
        if let [Some(a), Some(b), Some(c), Some(d), Some(e), Some(f), Some(g), Some(h)] = streams {
            rows.enumerate()
                .for_each(|(p, row)| row[..8].copy_from_slice(&[a[p], b[p], c[p], d[p], e[p], f[p], g[p], h[p]]));
        } else {
            rows.zip(columns.rows()).for_each(|(row, x)| row.iter_mut().zip(x).for_each(|(y, &x)| *y = x));
        }
    }
    copy.chunks_exact_mut(computed).for_each(|row| row[b.ncols()..].fill(A::default()));
}

/// `acc[i, j] = Σ_p a[i, p]·b[p, j]`
///
/// # Safety
/// `a` can be read at `M` rows and `k` columns, `b` at `k` rows of `N` values, `ld` apart.
#[inline(always)]
unsafe fn tile<const M: usize, const N: usize>(k: usize, a: Strided<f32>, b: *const f32, ld: isize) -> [[f32; N]; M] {
    let mut acc = [[0.0f32; N]; M];
    let (mut left, mut right) = (a.start, b);
    for _ in 0..k {
        // SAFETY: as the caller promised; the pointers are moved past the end only after the last step, and not read there.
        let row: [f32; N] = unsafe { right.cast::<[f32; N]>().read_unaligned() };
        for (i, acc) in acc.iter_mut().enumerate() {
            // SAFETY: as above.
            let x = unsafe { *left.offset(i as isize * a.row) };
            for (sum, y) in acc.iter_mut().zip(row) {
                *sum = x.mul_add(y, *sum);
            }
        }
        left = left.wrapping_offset(a.col);
        right = right.wrapping_offset(ld);
    }
    acc
}

/// All tiles of `M` rows from row `done` on; the row after the last.
///
/// # Safety
/// `a` can be read at `m` rows and `k` columns, `b` at `k` rows of `N` values; `out` can be written at `m` rows.
#[inline(always)]
unsafe fn rows<const M: usize, const N: usize>(
    mut done: usize,
    m: usize,
    k: usize,
    a: Strided<f32>,
    (b, ld): (*const f32, isize),
    out: Out<f32>,
) -> usize {
    while done + M <= m {
        let a = Strided { start: a.start.wrapping_offset(done as isize * a.row), ..a };
        // SAFETY: rows `done..done + M` of what the caller promised.
        let acc = unsafe { tile::<M, N>(k, a, b, ld) };
        for (i, acc) in acc.iter().enumerate() {
            let start = out.start.wrapping_offset((done + i) as isize * out.row);
            // SAFETY: row `done + i < m` of `c`; only its `width` columns are touched. `first` has at least `N` values.
            unsafe {
                match out.first {
                    Some(first) if out.width == N => {
                        (0..N).for_each(|j| *start.add(j) = out.alpha.mul_add(acc[j], *first.add(j)));
                    }
                    Some(first) => {
                        (0..out.width).for_each(|j| *start.add(j) = out.alpha.mul_add(acc[j], *first.add(j)));
                    }
                    None => (0..out.width).for_each(|j| *start.add(j) = out.alpha.mul_add(acc[j], *start.add(j))),
                }
            }
        }
        done += M;
    }
    done
}

/// The columns of one panel, for all rows: tiles of 8 rows, and smaller ones for what is left.
///
/// # Safety
/// As for [`rows`], with `computed` for `N`; the CPU has AVX-512 and FMA.
#[cfg_attr(target_arch = "x86_64", target_feature(enable = "avx512f,avx2,fma"))]
pub(crate) unsafe fn columns(
    computed: usize,
    m: usize,
    k: usize,
    a: Strided<f32>,
    b: *const f32,
    ld: isize,
    out: Out<f32>,
) {
    macro_rules! tiles {
        ($n:expr) => {{
            // SAFETY: as the caller promised.
            unsafe {
                let done = rows::<8, { $n }>(0, m, k, a, (b, ld), out);
                let done = rows::<4, { $n }>(done, m, k, a, (b, ld), out);
                let done = rows::<2, { $n }>(done, m, k, a, (b, ld), out);
                rows::<1, { $n }>(done, m, k, a, (b, ld), out);
            }
        }};
    }
    match computed {
        ..=LANES => tiles!(LANES),
        WIDTH.. => tiles!(WIDTH),
        _ => tiles!(2 * LANES),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array2, Slice};

    /// What a kernel has to give to the bit: one chain of fused multiply-adds per stretch of `k`.
    fn chains(alpha: f32, a: &ArrayView2<f32>, b: &ArrayView2<f32>, bias: Option<&[f32]>) -> Array2<f32> {
        let (k, n) = b.dim();
        Array2::from_shape_fn((a.nrows(), n), |(i, j)| {
            let start = bias.map_or(0.0, |bias| bias[j]);
            (0..k).step_by(depth(k)).fold(start, |c, from| {
                let steps = from..k.min(from + depth(k));
                alpha.mul_add(steps.fold(0.0, |sum, p| a[[i, p]].mul_add(b[[p, j]], sum)), c)
            })
        })
    }

    /// A matrix in one of four layouts: row-major, transposed, every second column, upside down.
    fn laid_out(shape: (usize, usize), layout: usize, seed: u32) -> (Array2<f32>, usize) {
        let (rows, cols) = shape;
        let mut x = seed;
        let mut draw = || {
            x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (x >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        match layout {
            1 => (Array2::from_shape_simple_fn((cols, rows), &mut draw), 1),
            2 => (Array2::from_shape_simple_fn((rows, 2 * cols), &mut draw), 2),
            other => (Array2::from_shape_simple_fn((rows, cols), &mut draw), other),
        }
    }

    fn view(x: &(Array2<f32>, usize)) -> ArrayView2<'_, f32> {
        match x.1 {
            1 => x.0.t(),
            2 => x.0.slice_axis(Axis(1), Slice::new(0, None, 2)),
            3 => x.0.slice_axis(Axis(0), Slice::new(0, None, -1)),
            _ => x.0.view(),
        }
    }

    #[test]
    fn every_shape_and_layout() {
        let Some(kernel) = kernel::<f32>() else {
            return; // matrixmultiply computes here, and nothing of this file runs
        };
        let mut seed = 0;
        for k in [1, 2, 31, DEPTH, DEPTH + 1, 2 * DEPTH + 5] {
            for n in [1, 3, 15, 16, 17, 32, 33, 47, 48, 49, 64, 65, 80, 97, 129] {
                for m in [1, 2, 3, 7, 8, 9, 15] {
                    seed += 1;
                    let (a, b) =
                        (laid_out((m, k), seed % 4, seed as u32), laid_out((k, n), seed / 4 % 4, !seed as u32));
                    let (a, b) = (view(&a), view(&b));
                    let bias: Vec<f32> = (0..n).map(|j| j as f32 * 0.25 - 3.0).collect();
                    let bias = (seed % 3 != 0).then_some(&bias[..]);
                    let alpha = if seed % 2 == 0 { 1.0 } else { 0.3 };
                    // In the middle of a larger matrix, none of whose other values may be touched: adding even 0 makes -0 into 0.
                    let mut frame = Array2::from_elem((m + 2, n + 5), -0.0);
                    let mut c = frame.slice_mut(s![1..=m, 2..n + 2]);
                    Right::new(kernel, b).times(alpha, &a, bias, &mut c);
                    assert_eq!(c, chains(alpha, &a, &b, bias), "[{m}, {k}] × [{k}, {n}], case {seed}");
                    let untouched = frame.iter().filter(|x| x.to_bits() == (-0.0f32).to_bits()).count();
                    assert_eq!(untouched, frame.len() - m * n, "[{m}, {k}] × [{k}, {n}]");
                }
            }
        }
    }

    #[test]
    fn panels_cover_every_column_and_stay_inside() {
        for n in 1..300 {
            for overlap in [false, true] {
                let mut next = 0;
                for panel in panels(n, overlap) {
                    assert!(panel.from <= next && panel.width <= panel.computed && panel.computed <= WIDTH, "{n}");
                    next = panel.from + panel.width;
                    assert!(next <= n && (panel.width == panel.computed || !overlap || n < panel.computed), "{n}");
                }
                assert_eq!(next, n);
            }
        }
    }
}
