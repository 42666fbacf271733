//! Contraction: the batched matrix product, and the sum over an axis.
//!
//! The product of two matrices is [`crate::product`]'s where this CPU has a kernel for it, and ndarray's `general_mat_mul`
//! (matrixmultiply), cut into blocks here, everywhere else. Where the cuts lie depends on the shape alone, and both add up each
//! output value in an order that depends on `k` alone, so the bits do not depend on the threads.

use crate::product;
use crate::scalar::Scalar;
use crate::simd::simd;
use crate::storage::Buffer;
use crate::tensor::CpuTensor;
use crate::walk::{GRAIN, sum_row};
use ndarray::linalg::general_mat_mul;
use ndarray::{ArrayView1, ArrayView2, ArrayViewMut2, Axis, Ix2, Ix3, s};
use simseg_tensor::parallel::prelude::*;
use simseg_tensor::{Result, Tensor, contract};

/// Multiply-adds below which a product stays on one thread.
const SMALL: usize = 1 << 18;
/// Steps along the summed axis that are worth a part of their own.
const LONG: usize = 1024;

/// `c = α·a·b` on this thread.
pub(crate) fn multiply<A: Scalar>(alpha: A, a: &ArrayView2<A>, b: &ArrayView2<A>, c: &mut ArrayViewMut2<A>) {
    match product::kernel() {
        Some(kernel) => product::multiply(kernel, alpha, a, b, c),
        None => general_mat_mul(alpha, a, b, A::default(), c),
    }
}

/// `c = a·b`, plus `bias` in every row, by matrixmultiply on this thread.
fn portable<A: Scalar>(a: &ArrayView2<A>, b: &ArrayView2<A>, bias: Option<&[A]>, c: &mut ArrayViewMut2<A>) {
    let beta = bias.map_or(A::default(), |bias| {
        c.rows_mut().into_iter().for_each(|mut row| row.assign(&ArrayView1::from(bias)));
        A::lit(1.0)
    });
    general_mat_mul(A::lit(1.0), a, b, beta, c);
}

/// Rows (or columns) of `dim` in a block of matrixmultiply's. Every block packs the other operand again, `other` wide, so a block
/// is several times that.
fn block(dim: usize, other: usize) -> usize {
    let fair = if dim >= 512 { dim / 2 } else { (dim / 4).max(48) };
    fair.min((4 * other).max(256)).next_multiple_of(8)
}

/// `c = a·b`, plus `bias` `[n]` in every row, for one matrix: cut into blocks of `c`, or along the summed axis where that is by far
/// the longest (the gradient of a weight). Cuts along the summed axis are at fixed places and added in order.
pub(crate) fn product<A: Scalar>(a: ArrayView2<A>, b: ArrayView2<A>, bias: Option<&[A]>, mut c: ArrayViewMut2<A>) {
    let one = A::lit(1.0);
    let ((m, n), k) = (c.dim(), a.ncols());
    if bias.is_none() && k >= 4 * m.max(n) && k >= 2 * LONG && m * n * k >= SMALL {
        let depth = k.div_ceil(k.div_ceil(LONG).min(8));
        let parts: Vec<_> = a.axis_chunks_iter(Axis(1), depth).zip(b.axis_chunks_iter(Axis(0), depth)).collect();
        let mut sums = Buffer::<A>::unwritten(parts.len() * m * n);
        sums.par_chunks_mut(m * n).zip(parts).for_each(|(sum, (a, b))| {
            let mut sum = ArrayViewMut2::from_shape((m, n), sum).expect("m·n values");
            multiply(one, &a, &b, &mut sum);
        });
        let rows = (GRAIN / n).max(1);
        let blocks: Vec<_> = c.axis_chunks_iter_mut(Axis(0), rows).enumerate().collect();
        blocks.into_par_iter().for_each(|(i, mut c)| {
            c.fill(A::default());
            let here = s![i * rows..i * rows + c.nrows(), ..];
            for sum in sums.chunks(m * n) {
                let sum = ArrayView2::from_shape((m, n), sum).expect("m·n values");
                c.zip_mut_with(&sum.slice(here), |c, &sum| *c += sum);
            }
        });
    } else if let Some(kernel) = product::kernel() {
        product::product(kernel, &a, b, bias, c);
    } else if m * n * k < SMALL {
        portable(&a, &b, bias, &mut c);
    } else if m >= n {
        let rows = block(m, n);
        let blocks: Vec<_> = c.axis_chunks_iter_mut(Axis(0), rows).zip(a.axis_chunks_iter(Axis(0), rows)).collect();
        blocks.into_par_iter().for_each(|(mut c, a)| portable(&a, &b, bias, &mut c));
    } else {
        let cols = block(n, m);
        let blocks: Vec<_> = c.axis_chunks_iter_mut(Axis(1), cols).zip(b.axis_chunks_iter(Axis(1), cols)).collect();
        blocks.into_par_iter().enumerate().for_each(|(i, (mut c, b))| {
            let bias = bias.map(|bias| &bias[i * cols..i * cols + c.ncols()]);
            portable(&a, &b, bias, &mut c);
        });
    }
}

/// `[…, m, k] × […, k, n]`
pub(crate) fn matmul<A: Scalar>(lhs: &CpuTensor<A>, rhs: &CpuTensor<A>) -> Result<CpuTensor<A>> {
    let shape = contract::matmul(lhs.shape(), rhs.shape())?;
    let rank = shape.len();
    let (m, k, n) = (shape[rank - 2], lhs.shape()[rank - 1], shape[rank - 1]);
    if m * n * k == 0 {
        return Ok(CpuTensor::owned(Buffer::filled(A::default(), shape.iter().product()), &shape));
    }
    if rank == 2 {
        let (a, b) = (view2(lhs), view2(rhs));
        return Ok(CpuTensor::build(&shape, |out| {
            let c = ArrayViewMut2::from_shape((m, n), out).expect("m·n values");
            product(a, b, None, c);
        }));
    }
    // One leading axis is enough; merging several copies only if they do not lie behind one another.
    let batch: usize = shape[..rank - 2].iter().product();
    let (lhs, rhs) = (merge(lhs, &[batch, m, k])?, merge(rhs, &[batch, k, n])?);
    let a = lhs.view().into_dimensionality::<Ix3>().expect("three axes");
    let b = rhs.view().into_dimensionality::<Ix3>().expect("three axes");
    Ok(CpuTensor::build(&shape, |out| {
        let one = |(i, c): (usize, &mut [A]), parallel: bool| {
            let mut c = ArrayViewMut2::from_shape((m, n), c).expect("m·n values");
            let (a, b) = (a.index_axis(Axis(0), i), b.index_axis(Axis(0), i));
            if parallel {
                product(a, b, None, c);
            } else {
                multiply(A::lit(1.0), &a, &b, &mut c);
            }
        };
        if m * n * k >= 16 * SMALL {
            out.chunks_mut(m * n).enumerate().for_each(|item| one(item, true));
        } else if batch * m * n * k >= SMALL {
            out.par_chunks_mut(m * n).enumerate().for_each(|item| one(item, false));
        } else {
            out.chunks_mut(m * n).enumerate().for_each(|item| one(item, false));
        }
    }))
}

/// The same matrices under one leading axis.
fn merge<A: Scalar>(x: &CpuTensor<A>, shape: &[usize; 3]) -> Result<CpuTensor<A>> {
    if x.shape().len() == 3 { Ok(x.clone()) } else { x.reshape(shape) }
}

/// A matrix as a strided view.
pub(crate) fn view2<A: Scalar>(x: &CpuTensor<A>) -> ArrayView2<'_, A> {
    x.view().into_dimensionality::<Ix2>().expect("two axes")
}

/// Rows per partial sum when the summed axis is the long one.
const SUM_BLOCK: usize = 512;

/// Sums over an axis, which keeps length 1.
pub(crate) fn sum<A: Scalar>(x: &CpuTensor<A>, axis: usize) -> Result<CpuTensor<A>> {
    contract::axis("sum", x.shape(), axis)?;
    let x = x.contiguous();
    let [outer, n, inner] = CpuTensor::<A>::around(x.shape(), axis);
    let mut shape = x.shape().to_vec();
    shape[axis] = 1;
    if x.numel() == 0 {
        return Ok(CpuTensor::owned(Buffer::filled(A::default(), outer * inner), &shape));
    }
    let values = x.values();
    Ok(CpuTensor::build(&shape, |out| {
        if inner == 1 {
            let rows = (GRAIN / n).max(1);
            out.par_chunks_mut(rows).zip(values.par_chunks(rows * n)).for_each(|(out, x)| {
                out.iter_mut().zip(x.chunks(n)).for_each(|(y, row)| *y = sum_row(row));
            });
        } else if outer == 1 {
            columns(values, inner, out);
        } else {
            let items = (GRAIN / (n * inner)).max(1);
            out.par_chunks_mut(items * inner).zip(values.par_chunks(items * n * inner)).for_each(|(out, x)| {
                for (out, x) in out.chunks_mut(inner).zip(x.chunks(n * inner)) {
                    add_rows(x, inner, out);
                }
            });
        }
    }))
}

/// `out[c] = Σ_r x[r, c]`, as partial sums of fixed blocks of rows added in order.
pub(crate) fn columns<A: Scalar>(x: &[A], width: usize, out: &mut [A]) {
    let blocks = x.len().div_ceil(SUM_BLOCK * width);
    if blocks == 1 {
        return add_rows(x, width, out);
    }
    let mut partial = Buffer::<A>::unwritten(blocks * width);
    partial
        .par_chunks_mut(width)
        .zip(x.par_chunks(SUM_BLOCK * width))
        .for_each(|(partial, x)| add_rows(x, width, partial));
    add_rows(&partial, width, out);
}

simd! {
    /// `out = Σ rows`, in order.
    fn add_rows<A: Scalar>(x: &[A], width: usize, out: &mut [A]) {
        out.fill(A::default());
        for row in x.chunks(width) {
            out.iter_mut().zip(row).for_each(|(sum, &x)| *sum += x);
        }
    }
}
