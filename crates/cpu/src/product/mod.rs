//! `c = α·a·b + bias`, in blocks: cache by cache down to the kernel's tile.
//!
//! ```text
//! c [m, n] is cut into blocks, one task each (`grid`); a task goes
//!   through the summed axis in chains of at most 384 steps       (its rows of a: copied into tiles, second-level cache)
//!     through its columns, up to 8 panels at a time              (those of b: copied into panels, second-level cache)
//!       through its rows, tile by tile                           (one tile of a: first-level cache)
//!         through those panels: a kernel's tile, whose sums stay in registers
//! ```
//!
//! What is copied is what would be read badly in place: a transposed right operand, rows far apart. What is used once or
//! twice is read where it is. A weight can be copied once for all calls: [`Prepared`]. It is then read from memory, as no cache
//! holds all weights of a model, so up to [`FEW`] rows are one block, which reads it once; and while some panels are multiplied the
//! next are asked for. A weight in fewer bits stays so in its panels: a task widens a group of them into its copy, and multiplies that;
//! or both operands are in fewer bits, which some CPUs multiply themselves ([`dots`]).
//!
//! **Every value of `c` is the same sum in the same order** whatever the blocks, the tiles, the copies, the kernel and the
//! number of threads: one chain of fused multiply-adds for each stretch of [`panel::chain`] steps, each added in turn.

pub mod dots;
pub mod kernel;
mod panel;
mod narrow;
mod prepared;

pub use kernel::Kernel;
pub use prepared::Prepared;

use crate::path::Path;
use crate::scalar::Scalar;
use kernel::{Out, Size, Strided, stride};
use narrow::NarrowPanels;
use ndarray::{ArrayView2, ArrayViewMut2, Axis, s};
use panel::{Panels, Tiles, aligned_mut, chain, columns, pack_tiles, padded, scratch, strided};
use simseg_tensor::parallel::prelude::*;
use std::ops::Range;

/// Multiply-adds below which a product stays on one thread.
const SMALL: usize = 1 << 18;
/// Rows of a block, if there are more: so many of 384 values fit into half a second-level cache.
const ROWS: usize = 112;
/// Rows up to which every task copies the panels of `b` that it needs, with all the rows.
const FEW: usize = 512;
/// Blocks for each thread.
const BLOCKS: usize = 4;
/// Panels that a task goes through for each tile of its rows.
const PANELS: usize = 8;
/// Bytes between neighbours of a tile's rows from which on they get in each other's way in the first-level cache.
const FAR: usize = 2048;

/// The kernels that this CPU can run, the best first.
#[cfg(test)]
pub(crate) fn kernels<A: Scalar>() -> impl Iterator<Item = &'static Kernel<A>> {
    A::kernels().iter().filter(|kernel| kernel.path.is_available())
}

/// The kernel of this process, if there is one: matrixmultiply computes where there is none.
pub(crate) fn kernel<A: Scalar>() -> Option<&'static Kernel<A>> {
    let path = Path::current();
    A::kernels().iter().find(|kernel| kernel.path <= path)
}

/// A right operand.
#[derive(Clone, Copy)]
enum Right<'a, A: Scalar> {
    /// Copied already.
    Panels(Panels<'a, A>),
    /// The same in fewer bits, widened group by group.
    Narrow(NarrowPanels<'a>),
    /// As it lies in memory.
    Matrix(ArrayView2<'a, A>),
}

/// One product.
#[derive(Clone, Copy)]
struct Product<'a, A: Scalar> {
    kernel: &'static Kernel<A>,
    alpha: A,
    a: &'a ArrayView2<'a, A>,
    /// `[n]`, added to every row.
    bias: Option<&'a [A]>,
}

/// `c = α·a·b` on this thread.
///
/// # Panics
/// If shapes don't fit, or the rows of `c` are not contiguous: a fault of this crate.
pub(crate) fn multiply<A: Scalar>(
    kernel: &'static Kernel<A>,
    alpha: A,
    a: &ArrayView2<A>,
    b: &ArrayView2<A>,
    c: &mut ArrayViewMut2<A>,
) {
    let product = Product { kernel, alpha, a, bias: None };
    product.block(Right::Matrix(b.reborrow()), None, 0..a.nrows(), 0, c.view_mut());
}

/// `c = a·b`, plus `bias` in every row, on all threads if that pays.
///
/// # Panics
/// As [`multiply`].
pub(crate) fn product<A: Scalar>(
    kernel: &'static Kernel<A>,
    a: &ArrayView2<A>,
    b: ArrayView2<A>,
    bias: Option<&[A]>,
    c: ArrayViewMut2<A>,
) {
    let product = Product { kernel, alpha: A::lit(1.0), a, bias };
    let (m, n) = c.dim();
    if m <= FEW || m * n * b.nrows() < SMALL {
        return product.blocks(Right::Matrix(b), c);
    }
    let mut copy = scratch(Panels::len(kernel, [b.nrows(), n]));
    let copy = aligned_mut(&mut copy, Panels::len(kernel, [b.nrows(), n]));
    product.blocks(Right::Panels(Panels::fill(kernel, &b, copy, true)), c);
}

/// Into how many rows and columns of blocks `[m, k] × [k, n]` is cut. This may depend on the number of threads, because no value of
/// `c` does: with one there is nothing to cut.
fn grid<A>(kernel: &Kernel<A>, [m, k, n]: [usize; 3]) -> [usize; 2] {
    if m * n * k < SMALL {
        return [1, 1];
    }
    let threads = simseg_tensor::parallel::current_num_threads();
    // Copies of `b` are best made by who uses them, while they are in its cache; one that was made before is best read once.
    let rows = if m <= FEW { 1 } else { m.div_ceil(ROWS) };
    if threads == 1 {
        return [rows, 1];
    }
    // Several blocks for each thread, so that all end together. But every task reads its rows of `a`, so that it shouldn't have
    // too few columns.
    let most = n.div_ceil(6 * kernel.width());
    let least = (BLOCKS * threads).div_ceil(rows).min(most);
    [rows, (least..=most).find(|across| (rows * across).is_multiple_of(threads)).unwrap_or(least)]
}

impl<'a, A: Scalar> Product<'a, A> {
    /// All blocks of `c`.
    fn blocks(self, right: Right<'a, A>, mut c: ArrayViewMut2<A>) {
        let (m, n) = c.dim();
        let k = self.a.ncols();
        let [down, across] = grid(self.kernel, [m, k, n]);
        if [down, across] == [1, 1] {
            return self.block(right, None, 0..m, 0, c);
        }
        let rows = m.div_ceil(down);
        let panels = n.div_ceil(self.kernel.width()).div_ceil(across);
        // Tiles that several tasks will read are copied once for all of them.
        let shared = across > 1 && self.packs(m, panels * self.kernel.width());
        let each = if shared { Tiles::new(self.kernel, rows).count() * k * stride(self.kernel.rows) } else { 0 };
        let mut tiles = scratch(down * each);
        let tiles = aligned_mut(&mut tiles, down * each);
        if shared {
            self.tiles(rows, tiles);
        }
        let tiles = &*tiles;
        let mut tasks = Vec::with_capacity(down * across);
        for (i, mut c) in c.axis_chunks_iter_mut(Axis(0), rows).enumerate() {
            let height = c.nrows();
            let mut first = 0;
            while c.ncols() > 0 {
                let (left, rest) =
                    c.split_at(Axis(1), (panels * self.kernel.width()).min(n - first * self.kernel.width()));
                tasks.push((i, height, first, left));
                (c, first) = (rest, first + panels);
            }
        }
        tasks.into_par_iter().for_each(|(i, height, first, c)| {
            let tiles = shared.then(|| &tiles[i * each..(i + 1) * each]);
            self.block(right, tiles, i * rows..i * rows + height, first, c);
        });
    }

    /// Copies all of `a`: block by block of so many rows, chain by chain, tile by tile.
    fn tiles(&self, rows: usize, copies: &mut [A]) {
        let (m, k) = self.a.dim();
        let (chain, mut pieces) = (chain(k), vec![]);
        let each = copies.len() / m.div_ceil(rows);
        for (a, copy) in self.a.axis_chunks_iter(Axis(0), rows).zip(copies.chunks_exact_mut(each)) {
            for (p, copy) in (0..k).step_by(chain).zip(copy.chunks_mut(each / k * chain)) {
                pieces.push((a.slice_move(s![.., p..k.min(p + chain)]), copy));
            }
        }
        pieces.into_par_iter().for_each(|(a, copy)| pack_tiles(self.kernel, &a, copy));
    }

    /// Whether `m` rows of `a` are worth copying for `n` columns.
    fn packs(&self, m: usize, n: usize) -> bool {
        n > 4 * self.kernel.width() || m > 1 && apart(self.a) >= FAR
    }

    /// One block of `c`: rows `rows`, whose tiles of all chains may be copied already, columns from panel `first` on.
    fn block(self, right: Right<A>, tiled: Option<&[A]>, rows: Range<usize>, first: usize, mut c: ArrayViewMut2<A>) {
        let Self { kernel, a, bias, .. } = self;
        let (k, (m, n)) = (a.ncols(), c.dim());
        let from = first * kernel.width();
        let (depth, right_n) = match &right {
            Right::Panels(panels) => panels.dim(),
            Right::Narrow(panels) => panels.dim(),
            Right::Matrix(b) => b.dim(),
        };
        let fits = k == depth && m == rows.len() && rows.end <= a.nrows() && from + n <= right_n;
        assert!(fits && bias.is_none_or(|bias| bias.len() == right_n), "shapes fit");
        assert!(n <= 1 || c.strides()[1] == 1, "rows of c are contiguous");
        if k == 0 {
            // An empty sum.
            let row = |j| bias.map_or(A::default(), |bias| bias[from + j]);
            return c.indexed_iter_mut().for_each(|((_, j), c)| *c = row(j));
        }
        let (most, tiles) = (chain(k), Tiles::new(kernel, m));
        let ld = stride(kernel.rows);
        let packs = tiled.is_some() || self.packs(m, n);
        let len = if packs && tiled.is_none() { tiles.count() * most * ld } else { 0 };
        let mut left = scratch(len);
        let left = aligned_mut(&mut left, len);
        let count = n.div_ceil(kernel.width());
        // Groups of about equally many panels.
        let group_of = count.div_ceil(count.div_ceil(PANELS).max(1)).max(1);
        let copies = !matches!(right, Right::Panels(_));
        let len = if copies { most * padded(kernel, n.min(group_of * kernel.width())) } else { 0 };
        let mut copy = scratch(len);
        let copy = aligned_mut(&mut copy, len);
        for start in (0..k).step_by(most) {
            let steps = start..k.min(start + most);
            let a = a.slice(s![rows.clone(), steps.clone()]);
            let left = match tiled {
                Some(tiled) => &tiled[start * (tiled.len() / k)..],
                None if packs => {
                    pack_tiles(kernel, &a, left);
                    &*left
                }
                None => &[],
            };
            let tile = |i: usize| match packs {
                true => Strided { start: left[i * steps.len() * ld..].as_ptr(), row: 1, col: ld as isize },
                false => strided(&a.slice(s![tiles.rows(i), ..])),
            };
            for group in (0..count).step_by(group_of) {
                let next = count.min(group + group_of);
                let here = from + group * kernel.width()..from + n.min(next * kernel.width());
                let ahead = match &right {
                    Right::Panels(panels) => panels.after(kernel, &steps, first..first + count, first + next),
                    // What is widened is read from front to back, which the CPU foresees.
                    Right::Narrow(_) | Right::Matrix(_) => &[],
                };
                let mut ahead = ahead[..ahead.len().min(group_of * kernel.width() * most)].chunks(64 / size_of::<A>());
                let lines = ahead.len().div_ceil(tiles.count());
                let right = right.chain(kernel, steps.clone(), here, m, copy);
                for i in 0..tiles.count() {
                    ahead.by_ref().take(lines).for_each(|line| prefetch(line));
                    let (here, a) = (tiles.rows(i), tile(i));
                    for panel in group..next {
                        let (columns, computed) = columns(kernel, n, panel);
                        let (b, distance) = right.panel(kernel, panel - group);
                        let mut padded = [A::default(); MOST_WIDE];
                        let first = (start == 0).then(|| match bias.map(|bias| &bias[from..][columns.clone()]) {
                            Some(bias) if bias.len() == computed => bias.as_ptr(),
                            Some(bias) => {
                                padded[..bias.len()].copy_from_slice(bias);
                                padded.as_ptr()
                            }
                            None => padded.as_ptr(),
                        });
                        let size = Size { rows: here.len(), registers: computed / kernel.lanes, steps: steps.len() };
                        let start = c.get_mut_ptr((here.start, columns.start)).expect("within c");
                        let out = Out { start, row: c.strides()[0], alpha: self.alpha, first, width: columns.len() };
                        // SAFETY: there is a kernel, so the CPU can run it. `a` is a tile of these rows and steps, in place or
                        // copied; `b` a panel of these steps and as many registers, in place (then it is a whole one) or
                        // copied. `c` is written at these rows and columns only, which are within the one exclusive view of
                        // it; `first` is as long as what is computed. (`every_shape_and_layout` tests all of these.)
                        unsafe { (kernel.tile)(size, a, b, distance, out) };
                    }
                }
            }
        }
    }
}

/// Asks for a cache line that will be needed soon.
#[inline(always)]
fn prefetch<A>(line: &[A]) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        // SAFETY: a hint reads nothing, wherever it points; SSE belongs to every x86-64.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(line.as_ptr().cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = line;
}

/// Columns of the widest panel.
const MOST_WIDE: usize = 32;

/// Bytes from a row of a matrix to the next, or from a column to the next where rows are the neighbours.
fn apart<A>(a: &ArrayView2<A>) -> usize {
    let [row, column] = [0, 1].map(|axis| a.strides()[axis].unsigned_abs() * size_of::<A>());
    row.max(column)
}

/// Some panels of one chain.
struct Chain<'a, A> {
    /// Where the first panels lie side by side if they are read where they are, and the distance of their rows.
    matrix: (*const A, isize),
    /// How many these are.
    in_place: usize,
    /// The others.
    copies: Panels<'a, A>,
    /// The chain within the copies.
    steps: Range<usize>,
    /// The first of these panels among the copies.
    first: usize,
}

impl<A: Scalar> Chain<'_, A> {
    /// Panel `panel` of these, and the distance of its rows.
    fn panel(&self, kernel: &Kernel<A>, panel: usize) -> (*const A, isize) {
        if panel < self.in_place {
            return (self.matrix.0.wrapping_add(panel * kernel.width()), self.matrix.1);
        }
        let (values, distance) = self.copies.panel(kernel, self.steps.clone(), self.first + panel - self.in_place);
        (values.as_ptr(), distance as isize)
    }
}

impl<A: Scalar> Right<'_, A> {
    /// The panels of columns `columns` for a chain, copied into `copy` where that is needed; `m` rows will be multiplied.
    fn chain<'b>(
        &'b self,
        kernel: &Kernel<A>,
        steps: Range<usize>,
        columns: Range<usize>,
        m: usize,
        copy: &'b mut [A],
    ) -> Chain<'b, A> {
        match self {
            Self::Panels(panels) => {
                let first = columns.start / kernel.width();
                Chain { matrix: (std::ptr::null(), 0), in_place: 0, copies: *panels, steps, first }
            }
            Self::Narrow(panels) => {
                let copies = panels.widen(kernel, &steps, columns, copy);
                Chain { matrix: (std::ptr::null(), 0), in_place: 0, copies, steps: 0..steps.len(), first: 0 }
            }
            Self::Matrix(b) => {
                let b = b.slice(s![steps.clone(), columns]);
                // Few rows: copying would cost more than it brings. What is left at the edge is never read as a whole panel.
                let whole = b.strides()[1] == 1 && m <= 2 * kernel.rows;
                let in_place = if whole { b.ncols() / kernel.width() } else { 0 };
                let copies = Panels::fill(kernel, &b.slice(s![.., in_place * kernel.width()..]), copy, false);
                Chain { matrix: (b.as_ptr(), b.strides()[0]), in_place, copies, steps: 0..steps.len(), first: 0 }
            }
        }
    }
}

#[cfg(test)]
mod tests;
