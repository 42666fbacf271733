//! Selection: top-k, gather and scatter along an axis, rows of a table; and `concat`.
//!
//! A position past the end stops a GPU for good (an assertion in the kernel), so positions are checked first, against the
//! bound that every index carries. Only an index made by `topk` on a longer axis than it is used on needs a look at the
//! device.

use crate::ours;
use crate::tensor::{Handle, Positions, TchIndex, TchTensor, lengths};
use simseg_tensor::{Error, Ops, Result, Tensor};
use std::sync::Arc;

/// Joins along an axis.
pub(crate) fn concat(parts: &[&TchTensor], axis: usize) -> Result<TchTensor> {
    let Some(first) = parts.first() else {
        return Err(Error::Shape { op: "concat", lhs: vec![], rhs: vec![], rule: "at least one tensor" });
    };
    first.check_axis("concat", axis)?;
    for part in parts {
        let (a, b) = (first.shape(), part.shape());
        let fits = a.len() == b.len() && (0..a.len()).all(|i| i == axis || a[i] == b[i]);
        if !fits {
            return first.mismatch("concat", b, "equal shapes but for the joined axis");
        }
    }
    let raw: Vec<&tch::Tensor> = parts.iter().map(|part| part.raw()).collect();
    first.like(tch::Tensor::f_cat(&raw, axis as i64))
}

/// Positions of the `k` largest values along an axis, largest first.
pub(crate) fn topk(x: &TchTensor, k: usize, axis: usize) -> Result<TchIndex> {
    x.check_axis("topk", axis)?;
    let n = x.shape()[axis];
    if k == 0 || k > n {
        return x.mismatch("topk", &[k], "1 ≤ k (right) ≤ length of the axis");
    }
    // Positions have no gradient: nothing to record.
    let found = x.raw().f_detach().and_then(|x| x.f_topk(k as i64, axis as i64, true, true));
    let mut shape = x.shape().to_vec();
    shape[axis] = k;
    Ok(TchIndex(Arc::new(Positions { handle: Handle(ours(found)?.1), shape, below: n })))
}

/// Errors unless every position is below `bound`.
fn check_bound(op: &'static str, index: &TchIndex, bound: usize) -> Result<()> {
    if index.0.below <= bound {
        return Ok(());
    }
    match TchTensor::index_to_vec(index)?.into_iter().max() {
        Some(index) if index >= bound => Err(Error::Position { op, index, bound }),
        _ => Ok(()),
    }
}

/// Checks an index against a tensor for `gather` and `scatter_add`.
fn check(op: &'static str, x: &TchTensor, axis: usize, index: &TchIndex) -> Result<()> {
    x.check_axis(op, axis)?;
    let mut wanted = x.shape().to_vec();
    wanted[axis] = index.0.shape.get(axis).copied().unwrap_or(0);
    if index.0.shape != wanted {
        return x.mismatch(op, &index.0.shape, "the index has the tensor's shape but for the axis");
    }
    check_bound(op, index, x.shape()[axis])
}

/// `y[…, j, …] = x[…, index[…, j, …], …]`
pub(crate) fn gather(x: &TchTensor, axis: usize, index: &TchIndex) -> Result<TchTensor> {
    check("gather", x, axis, index)?;
    x.like(x.raw().f_gather(axis as i64, &index.0.handle.0, false))
}

/// A copy of `x` with `src` added at the positions of `index`.
pub(crate) fn scatter_add(x: &TchTensor, axis: usize, index: &TchIndex, src: &TchTensor) -> Result<TchTensor> {
    check("scatter_add", x, axis, index)?;
    if src.shape() != index.0.shape {
        return src.mismatch("scatter_add", &index.0.shape, "the source has the index's shape");
    }
    x.like(x.wide()?.f_scatter_add(axis as i64, &index.0.handle.0, &src.wide()?))
}

fn check_table(op: &'static str, x: &TchTensor, index: &TchIndex) -> Result<usize> {
    let &[v, d] = x.shape() else {
        return x.mismatch(op, &index.0.shape, "the left shape is a table [v, d]");
    };
    check_bound(op, index, v)?;
    Ok(d)
}

/// `[v, d]` and an index `[…]` → `[…, d]`, as an embedding: its derivative on CUDA sorts, where that of `index_select`
/// adds in any order.
pub(crate) fn rows(x: &TchTensor, index: &TchIndex) -> Result<TchTensor> {
    check_table("rows", x, index)?;
    x.like(tch::Tensor::f_embedding(x.raw(), &index.0.handle.0, -1, false, false))
}

/// A copy of `x` `[v, d]` with the rows of `src` `[…, d]` added at `index`.
pub(crate) fn rows_add(x: &TchTensor, index: &TchIndex, src: &TchTensor) -> Result<TchTensor> {
    let d = check_table("rows_add", x, index)?;
    if src.shape() != [&index.0.shape[..], &[d]].concat() {
        return src.mismatch("rows_add", &index.0.shape, "the source is the index's shape and the table's width");
    }
    let count: usize = index.0.shape.iter().product();
    let flat = ours(index.0.handle.0.f_reshape(lengths(&[count])))?;
    let rows = ours(src.wide()?.f_reshape(lengths(&[count, d])))?;
    debug_assert_eq!(x.rank(), 2);
    x.like(x.wide()?.f_index_add(0, &flat, &rows))
}
