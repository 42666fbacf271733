//! Elementwise work over any layout: merge axes that lie behind one another, then run along rows.
//!
//! A tensor is an offset and one stride per axis (0 repeats a value). Neighbouring axes that every operand steps through
//! as one are merged, so a contiguous tensor is a single row, and `[b, n, d] + bias[d]` is `b·n` rows of `d`.

use crate::scalar::Scalar;
use crate::simd::{simd, wide};
use simseg_tensor::parallel::prelude::*;

/// Below this many values a second thread costs more than it brings.
pub(crate) const GRAIN: usize = 1 << 14;

/// The merged axes: `shape`, and for each of `N` operands its strides.
pub(crate) struct Walk<const N: usize> {
    shape: Vec<usize>,
    strides: [Vec<usize>; N],
}

impl<const N: usize> Walk<N> {
    pub(crate) fn new(shape: &[usize], strides: [&[usize]; N]) -> Self {
        let mut merged = Self { shape: vec![], strides: std::array::from_fn(|_| vec![]) };
        for axis in (0..shape.len()).filter(|&axis| shape[axis] != 1) {
            let outer = merged.shape.len().checked_sub(1);
            let joins = outer.filter(|&o| (0..N).all(|i| merged.strides[i][o] == strides[i][axis] * shape[axis]));
            match joins {
                Some(o) => {
                    merged.shape[o] *= shape[axis];
                    (0..N).for_each(|i| merged.strides[i][o] = strides[i][axis]);
                }
                None => {
                    merged.shape.push(shape[axis]);
                    (0..N).for_each(|i| merged.strides[i].push(strides[i][axis]));
                }
            }
        }
        if merged.shape.is_empty() {
            merged.shape.push(1);
            (0..N).for_each(|i| merged.strides[i].push(1));
        }
        merged
    }

    /// Length of a row, and each operand's step along it.
    fn row(&self) -> (usize, [usize; N]) {
        let last = self.shape.len() - 1;
        (self.shape[last], std::array::from_fn(|i| self.strides[i][last]))
    }

    /// Where row `index` starts in each operand.
    fn start(&self, mut index: usize) -> [usize; N] {
        let mut start = [0; N];
        for axis in (0..self.shape.len() - 1).rev() {
            let position = index % self.shape[axis];
            index /= self.shape[axis];
            (0..N).for_each(|i| start[i] += position * self.strides[i][axis]);
        }
        start
    }

    /// Calls `body(part of out, start of each operand, step of each operand)` for pieces of rows, in parallel.
    pub(crate) fn run<A: Scalar>(&self, out: &mut [A], body: impl Fn(&mut [A], [usize; N], [usize; N]) + Sync) {
        if out.is_empty() {
            return;
        }
        let (len, step) = self.row();
        if len >= 2 * GRAIN {
            // Few long rows: cut the rows.
            for (index, row) in out.chunks_mut(len).enumerate() {
                let start = self.start(index);
                row.par_chunks_mut(GRAIN).enumerate().for_each(|(piece, part)| {
                    body(part, std::array::from_fn(|i| start[i] + piece * GRAIN * step[i]), step);
                });
            }
        } else {
            let rows = (GRAIN / len).max(1);
            let work = |(block, part): (usize, &mut [A])| {
                for (i, row) in part.chunks_mut(len).enumerate() {
                    body(row, self.start(block * rows + i), step);
                }
            };
            if out.len() <= GRAIN {
                work((0, out));
            } else {
                out.par_chunks_mut(rows * len).enumerate().for_each(work);
            }
        }
    }
}

/// `out[i] = f(x[i])` for any layout of `x`.
pub(crate) fn map<A: Scalar>(
    shape: &[usize],
    (x, strides): (&[A], &[usize]),
    out: &mut [A],
    f: impl Fn(A) -> A + Sync + Copy,
) {
    Walk::new(shape, [strides]).run(out, |out, [start], [step]| match step {
        1 => along(&x[start..start + out.len()], out, f),
        0 => out.fill(f(x[start])),
        _ => out.iter_mut().zip(x[start..].iter().step_by(step)).for_each(|(y, &x)| *y = f(x)),
    });
}

/// `out[i] = f(a[i], b[i])` for any layouts.
pub(crate) fn zip<A: Scalar>(
    shape: &[usize],
    (a, a_strides): (&[A], &[usize]),
    (b, b_strides): (&[A], &[usize]),
    out: &mut [A],
    f: impl Fn(A, A) -> A + Sync + Copy,
) {
    Walk::new(shape, [a_strides, b_strides]).run(out, |out, [i, j], [di, dj]| match (di, dj) {
        (1, 1) => along2(&a[i..i + out.len()], &b[j..j + out.len()], out, f),
        (1, 0) => {
            let right = b[j];
            along(&a[i..i + out.len()], out, move |left| f(left, right));
        }
        (0, 1) => {
            let left = a[i];
            along(&b[j..j + out.len()], out, move |right| f(left, right));
        }
        _ => {
            for (n, y) in out.iter_mut().enumerate() {
                *y = f(a[i + n * di], b[j + n * dj]);
            }
        }
    });
}

/// One contiguous row. Written out instead of through `simd!`, which has no room for a closure.
fn along<A: Scalar>(x: &[A], out: &mut [A], f: impl Fn(A) -> A) {
    wide(
        #[inline(always)]
        || x.iter().zip(out).for_each(|(&x, y)| *y = f(x)),
    );
}

/// Two contiguous rows.
fn along2<A: Scalar>(a: &[A], b: &[A], out: &mut [A], f: impl Fn(A, A) -> A) {
    wide(
        #[inline(always)]
        || a.iter().zip(b).zip(out).for_each(|((&a, &b), y)| *y = f(a, b)),
    );
}

simd! {
    /// Sum of a row with sixteen running sums: the order is fixed by the length alone.
    pub(crate) fn sum_row<A: Scalar>(x: &[A]) -> A {
        let mut lanes = [A::default(); 16];
        let chunks = x.chunks_exact(16);
        let rest = chunks.remainder();
        for chunk in chunks {
            for (lane, &x) in lanes.iter_mut().zip(chunk) {
                *lane += x;
            }
        }
        for (lane, &x) in lanes.iter_mut().zip(rest) {
            *lane += x;
        }
        lanes.into_iter().sum()
    }
}
