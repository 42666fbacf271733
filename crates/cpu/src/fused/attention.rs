//! Attention, one task per (item, head): queries, keys and values are read in place as strided matrices, and only one
//! `[n, m]` matrix of weights per task exists at a time.

use super::softmax;
use crate::contraction::multiply;
use crate::scalar::Scalar;
use crate::storage::Buffer;
use crate::tensor::CpuTensor;
use ndarray::{ArrayView2, ArrayViewMut2, Axis, ShapeBuilder};
use simseg_tensor::parallel::prelude::*;
use simseg_tensor::{Attention, PADDING, Result, Tensor, contract};

/// Shapes of one call: `b` items, `n` queries, `m` keys, width `d`, `h` heads of `c` channels.
struct Shape {
    b: usize,
    n: usize,
    m: usize,
    d: usize,
    h: usize,
    c: usize,
}

fn check<A: Scalar>(
    q: &CpuTensor<A>,
    k: &CpuTensor<A>,
    v: &CpuTensor<A>,
    how: &Attention<'_, CpuTensor<A>>,
) -> Result<Shape> {
    let bias = how.key_bias.map(Tensor::shape);
    let [b, n, m, d] = contract::attention(q.shape(), k.shape(), v.shape(), how.heads, bias)?;
    Ok(Shape { b, n, m, d, h: how.heads, c: d / how.heads })
}

/// Head `h` of item `b` as a matrix, wherever the tensor's strides put it.
fn head<A: Scalar>(x: &CpuTensor<A>, item: usize, head: usize, rows: usize, c: usize) -> ArrayView2<'_, A> {
    let (data, strides) = x.parts();
    let start = item * strides[0] + head * c * strides[2];
    ArrayView2::from_shape((rows, c).strides((strides[1], strides[2])), &data[start..]).expect("a head lies within")
}

/// The heads of an output `[b, n, d]` as disjoint matrices, item by item.
fn heads_mut<A: Scalar>(out: &mut [A], rows: usize, d: usize, c: usize) -> Vec<ArrayViewMut2<'_, A>> {
    let items = out.chunks_mut(rows * d);
    items
        .flat_map(|item| {
            let item = ArrayViewMut2::from_shape((rows, d), item).expect("rows·d values");
            split_columns(item, c)
        })
        .collect()
}

fn split_columns<A: Scalar>(mut rest: ArrayViewMut2<'_, A>, c: usize) -> Vec<ArrayViewMut2<'_, A>> {
    let mut parts = Vec::with_capacity(rest.ncols() / c.max(1));
    while rest.ncols() > c {
        let (left, right) = rest.split_at(Axis(1), c);
        parts.push(left);
        rest = right;
    }
    parts.push(rest);
    parts
}

/// `softmax(q·kᵀ/√c + mask)` of one head into `out` `[n, m]`.
fn weights<A: Scalar>(q: ArrayView2<A>, k: ArrayView2<A>, bias: Option<&[A]>, causal: bool, out: &mut [A]) {
    let (n, m) = (q.nrows(), k.nrows());
    let scale = A::lit(1.0 / (q.ncols() as f64).sqrt());
    let mut scores = ArrayViewMut2::from_shape((n, m), &mut *out).expect("n·m values");
    multiply(scale, &q, &k.reversed_axes(), &mut scores);
    for (i, row) in out.chunks_mut(m).enumerate() {
        if let Some(bias) = bias {
            row.iter_mut().zip(bias).for_each(|(score, &bias)| *score += bias);
        }
        if causal {
            row.iter_mut().skip(i + 1).for_each(|score| *score += A::lit(PADDING));
        }
        softmax::row(row);
    }
}

pub(crate) fn forward<A: Scalar>(
    q: &CpuTensor<A>,
    k: &CpuTensor<A>,
    v: &CpuTensor<A>,
    how: Attention<'_, CpuTensor<A>>,
) -> Result<CpuTensor<A>> {
    let Shape { b, n, m, d, h, c } = check(q, k, v, &how)?;
    if b * n * m * d == 0 {
        return simseg_tensor::hooks::attention(q, k, v, how);
    }
    let bias = how.key_bias.map(CpuTensor::contiguous);
    Ok(CpuTensor::build(&[b, n, d], |out| {
        heads_mut(out, n, d, c).into_par_iter().enumerate().for_each(|(task, mut out)| {
            let (item, index) = (task / h, task % h);
            let bias = bias.as_ref().map(|bias| &bias.values()[item * m..(item + 1) * m]);
            let mut a = Buffer::unwritten(n * m);
            weights(head(q, item, index, n, c), head(k, item, index, m, c), bias, how.causal, &mut a);
            let a = ArrayView2::from_shape((n, m), &a[..]).expect("n·m values");
            multiply(A::lit(1.0), &a, &head(v, item, index, m, c), &mut out);
        });
    }))
}

pub(crate) fn backward<A: Scalar>(
    q: &CpuTensor<A>,
    k: &CpuTensor<A>,
    v: &CpuTensor<A>,
    how: Attention<'_, CpuTensor<A>>,
    grad: &CpuTensor<A>,
) -> Result<(CpuTensor<A>, CpuTensor<A>, CpuTensor<A>)> {
    let Shape { b, n, m, d, h, c } = check(q, k, v, &how)?;
    contract::gradient("attention_grad", q.shape(), grad.shape())?;
    if b * n * m * d == 0 {
        return simseg_tensor::hooks::attention_grad(q, k, v, how, grad);
    }
    let bias = how.key_bias.map(CpuTensor::contiguous);
    let (one, scale) = (A::lit(1.0), A::lit(1.0 / (c as f64).sqrt()));
    let mut dq = Buffer::unwritten(b * n * d);
    let mut dk = Buffer::unwritten(b * m * d);
    let mut dv = Buffer::unwritten(b * m * d);
    let outs =
        heads_mut(&mut dq, n, d, c).into_iter().zip(heads_mut(&mut dk, m, d, c)).zip(heads_mut(&mut dv, m, d, c));
    let outs: Vec<_> = outs.collect();
    outs.into_par_iter().enumerate().for_each(|(task, ((mut dq, mut dk), mut dv))| {
        let (item, index) = (task / h, task % h);
        let of = |x, rows| head(x, item, index, rows, c);
        let bias = bias.as_ref().map(|bias| &bias.values()[item * m..(item + 1) * m]);
        let (q, k, v, g) = (of(q, n), of(k, m), of(v, m), of(grad, n));
        let (mut a, mut ds) = (Buffer::unwritten(n * m), Buffer::unwritten(n * m));
        weights(q, k, bias, how.causal, &mut a);
        {
            let mut da = ArrayViewMut2::from_shape((n, m), &mut ds[..]).expect("n·m values");
            multiply(one, &g, &v.reversed_axes(), &mut da);
        }
        a.chunks(m).zip(ds.chunks_mut(m)).for_each(|(a, g)| softmax::row_grad(a, g));
        let a = ArrayView2::from_shape((n, m), &a[..]).expect("n·m values");
        let ds = ArrayView2::from_shape((n, m), &ds[..]).expect("n·m values");
        multiply(one, &a.reversed_axes(), &g, &mut dv);
        multiply(scale, &ds, &k, &mut dq);
        multiply(scale, &ds.reversed_axes(), &q, &mut dk);
    });
    Ok((CpuTensor::owned(dq, &[b, n, d]), CpuTensor::owned(dk, &[b, m, d]), CpuTensor::owned(dv, &[b, m, d])))
}
