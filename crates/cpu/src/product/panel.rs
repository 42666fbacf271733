//! Operands in the order in which a kernel reads them.
//!
//! The right one is cut into *panels* of two registers' columns, the left one into *tiles* of as many rows as a kernel takes;
//! both step by step, so that a kernel reads each from front to back. The summed axis is cut into *chains* of equal length
//! ([`chain`]), which depends on its length alone:
//!
//! ```text
//! right [k, n]:  chain 0: panel 0 [steps, width]  panel 1 …  last panel [steps, one or two registers]   chain 1: …
//! ```

use super::kernel::{Kernel, Strided, stride};
use crate::scalar::Scalar;
use crate::storage::Buffer;
use ndarray::{ArrayView2, Axis, s};
use simseg_tensor::parallel::prelude::*;
use std::ops::Range;

/// Most steps of a chain: a panel of so many and a tile of so many lie in the second-level cache of any CPU.
pub(super) const DEPTH: usize = 384;

/// Steps of the chains of a sum of `k`: all about equally long.
pub(super) fn chain(k: usize) -> usize {
    k.div_ceil(k.div_ceil(DEPTH).max(1)).max(1)
}

/// Columns that `n` columns take in panels.
pub(super) fn padded<A>(kernel: &Kernel<A>, n: usize) -> usize {
    n.next_multiple_of(kernel.lanes)
}

/// The columns of a panel, and those that it takes.
pub(super) fn columns<A>(kernel: &Kernel<A>, n: usize, panel: usize) -> (Range<usize>, usize) {
    let from = panel * kernel.width();
    let to = n.min(from + kernel.width());
    (from..to, padded(kernel, to - from))
}

/// `len` values of a buffer from a boundary of cache lines on, so that a register is never loaded from two of them.
pub(super) fn aligned<A>(values: &[A], len: usize) -> &[A] {
    let from = values.as_ptr().align_offset(64).min(values.len() - len);
    &values[from..from + len]
}

/// The same to write.
pub(super) fn aligned_mut<A>(values: &mut [A], len: usize) -> &mut [A] {
    let from = values.as_ptr().align_offset(64).min(values.len() - len);
    &mut values[from..from + len]
}

/// Values to allocate beyond those needed, for [`aligned`].
pub(super) const SPARE: usize = 16;

/// A buffer with room for so many aligned values.
pub(super) fn scratch<A: Scalar>(len: usize) -> Buffer<A> {
    Buffer::unwritten(len + SPARE)
}

/// A right operand in panels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Panels<'a, A> {
    values: &'a [A],
    k: usize,
    n: usize,
}

impl<'a, A: Scalar> Panels<'a, A> {
    /// Values that [`Self::fill`] writes.
    pub(super) fn len(kernel: &Kernel<A>, [k, n]: [usize; 2]) -> usize {
        k * padded(kernel, n)
    }

    /// Copies `b` into panels, on all threads if that is asked for and pays.
    pub(super) fn fill(kernel: &Kernel<A>, b: &ArrayView2<A>, values: &'a mut [A], parallel: bool) -> Self {
        let (k, n) = b.dim();
        let (mut rest, mut pieces) = (&mut *values, vec![]);
        for steps in b.axis_chunks_iter(Axis(0), chain(k)) {
            for panel in 0..n.div_ceil(kernel.width()) {
                let (here, computed) = columns(kernel, n, panel);
                let copy = rest.split_off_mut(..steps.nrows() * computed).expect("as many as `len` says");
                pieces.push((steps.slice_move(s![.., here]), computed, copy));
            }
        }
        let one = |(b, computed, copy): (ArrayView2<A>, usize, &mut [A])| {
            let columns = b.reversed_axes();
            pack(kernel, &columns, columns.nrows(), computed, copy);
        };
        if parallel && k * n >= 4 * crate::walk::GRAIN {
            pieces.into_par_iter().for_each(one);
        } else {
            pieces.into_iter().for_each(one);
        }
        Self { values, k, n }
    }

    /// What [`Self::fill`] wrote before.
    pub(super) fn of(values: &'a [A], [k, n]: [usize; 2]) -> Self {
        Self { values, k, n }
    }

    /// `[k, n]`
    pub(super) fn dim(&self) -> (usize, usize) {
        (self.k, self.n)
    }

    /// What will be read after the panels before `next`, for who goes through `panels` chain by chain.
    pub(super) fn after(&self, kernel: &Kernel<A>, steps: &Range<usize>, panels: Range<usize>, next: usize) -> &'a [A] {
        let (steps, panel) = match next < panels.end {
            true => (steps.clone(), next),
            false => (steps.end..self.k.min(steps.end + chain(self.k)), panels.start),
        };
        &self.values[steps.start * padded(kernel, self.n) + steps.len() * panel * kernel.width()..]
    }

    /// One panel of one chain, and the distance of its rows.
    pub(super) fn panel(&self, kernel: &Kernel<A>, steps: Range<usize>, panel: usize) -> (&'a [A], usize) {
        let (here, computed) = columns(kernel, self.n, panel);
        let start = steps.start * padded(kernel, self.n) + steps.len() * here.start;
        (&self.values[start..start + steps.len() * computed], computed)
    }
}

/// Rows of each tile: as few tiles as there can be, all of about one height.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tiles {
    rows: usize,
    count: usize,
}

impl Tiles {
    pub(super) fn new<A>(kernel: &Kernel<A>, rows: usize) -> Self {
        Self { rows, count: rows.div_ceil(kernel.rows) }
    }

    pub(super) fn count(self) -> usize {
        self.count
    }

    /// Rows of tile `i`.
    pub(super) fn rows(self, i: usize) -> Range<usize> {
        let (least, more) = (self.rows / self.count, self.rows % self.count);
        let start = |i: usize| i * least + i.min(more);
        start(i)..start(i + 1)
    }
}

/// Copies `a` tile by tile: tile `i` starts at `i·steps·stride`.
pub(super) fn pack_tiles<A: Scalar>(kernel: &Kernel<A>, a: &ArrayView2<A>, copy: &mut [A]) {
    let (tiles, ld) = (Tiles::new(kernel, a.nrows()), stride(kernel.rows));
    for (i, copy) in copy.chunks_exact_mut(a.ncols() * ld).take(tiles.count()).enumerate() {
        let rows = tiles.rows(i);
        pack(kernel, &a.slice(s![rows.start.., ..]), rows.len(), ld, copy);
    }
}

/// `copy[p·ld + i] = x[i, p]` for `i < rows`; what lies beyond them in a line of `ld` is values of further rows of `x`, or 0.
fn pack<A: Scalar>(kernel: &Kernel<A>, x: &ArrayView2<A>, rows: usize, ld: usize, copy: &mut [A]) {
    let steps = x.ncols();
    if x.strides()[0] == 1 && x.nrows() >= ld {
        match ld {
            8 => return lines::<A, 8>(x, copy),
            16 => return lines::<A, 16>(x, copy),
            32 => return lines::<A, 32>(x, copy),
            _ => {}
        }
    }
    if rows < ld {
        copy.fill(A::default());
    }
    if x.strides()[0] == 1 || rows == 1 && x.strides()[1] == 1 {
        for (line, x) in copy.chunks_exact_mut(ld).zip(x.columns()) {
            match x.as_slice() {
                Some(x) => line[..rows].copy_from_slice(&x[..rows]),
                None => line[0] = x[0],
            }
        }
        return;
    }
    let turns = x.strides()[1] == 1 && steps >= 8;
    // Some steps at a time, so that the lines of the copy stay in the first-level cache until they are full.
    for start in (0..steps).step_by(TURNED) {
        let x = x.slice(s![.., start..steps.min(start + TURNED)]);
        let copy = &mut copy[start * ld..(start + x.ncols()) * ld];
        for i in (0..rows).step_by(8) {
            let blocks = if turns && i + 8 <= x.nrows() && i + 8 <= ld { x.ncols() / 8 } else { 0 };
            if blocks > 0 {
                let from = x.get_ptr((i, 0)).expect("row i < rows");
                // SAFETY: there is a kernel, so the CPU can run it. Rows `i..i + 8` of `x` are there, and their values lie side
                // by side; `copy` has as many lines as `x` columns, of `ld ≥ i + 8`. (`packing_is_a_permutation_in_every_layout`)
                unsafe { (kernel.transpose)(from, x.strides()[0], copy[i..].as_mut_ptr(), ld, blocks) };
            }
            if 8 * blocks < x.ncols() {
                let lines = copy[8 * blocks * ld..].chunks_exact_mut(ld);
                for (line, x) in lines.zip(x.slice(s![i..rows.min(i + 8), 8 * blocks..]).columns()) {
                    line[i..].iter_mut().zip(x).for_each(|(y, &x)| *y = x);
                }
            }
        }
    }
}

/// Copies the first `N` rows of `x`, whose columns are contiguous. A length that the compiler knows is a few registers, where a call of
/// `memcpy` takes longer than what it copies.
fn lines<A: Scalar, const N: usize>(x: &ArrayView2<A>, copy: &mut [A]) {
    for (line, x) in copy.as_chunks_mut::<N>().0.iter_mut().zip(x.columns()) {
        let x = x.to_slice().and_then(|x| x.first_chunk::<N>());
        *line = *x.expect("columns of at least N values side by side");
    }
}

/// Steps that are turned at a time.
const TURNED: usize = 64;

/// A matrix as the kernels see it.
pub(super) fn strided<A>(x: &ArrayView2<A>) -> Strided<A> {
    Strided { start: x.as_ptr(), row: x.strides()[0], col: x.strides()[1] }
}

#[cfg(test)]
mod tests {
    use super::super::kernels;
    use super::*;
    use ndarray::Array2;

    #[test]
    fn tiles_cover_every_row_once_and_none_is_too_high() {
        for kernel in kernels::<f32>() {
            for rows in 1..200 {
                let tiles = Tiles::new(kernel, rows);
                let all: Vec<usize> = (0..tiles.count()).flat_map(|i| tiles.rows(i)).collect();
                assert_eq!(all, (0..rows).collect::<Vec<_>>());
                assert!((0..tiles.count()).all(|i| (1..=kernel.rows).contains(&tiles.rows(i).len())));
            }
        }
    }

    #[test]
    fn packing_is_a_permutation_in_every_layout() {
        fn check<A: Scalar>() {
            for kernel in kernels::<A>() {
                for (rows, steps) in [(1, 1), (5, 9), (6, 16), (8, 8), (14, 17), (16, 24), (13, 7)] {
                    let x = Array2::from_shape_fn((rows + 3, steps), |(i, p)| A::lit((100 * i + p) as f64));
                    let turned = x.t().as_standard_layout().reversed_axes().to_owned();
                    let wide = Array2::from_shape_fn((rows + 3, 2 * steps), |(i, p)| x[[i, p / 2]]);
                    for x in [x.view(), turned.view(), wide.slice(s![.., ..;2]), x.slice(s![..rows, ..])] {
                        let ld = stride(rows);
                        let mut copy = vec![A::lit(-1.0); steps * ld + 1];
                        let (copy, beyond) = copy.split_at_mut(steps * ld);
                        pack(kernel, &x, rows, ld, copy);
                        assert!((0..rows).all(|i| (0..steps).all(|p| copy[p * ld + i] == x[[i, p]])));
                        assert_eq!(beyond[0], A::lit(-1.0), "written beyond the copy");
                    }
                }
            }
        }
        check::<f32>();
        check::<f64>();
    }
}
