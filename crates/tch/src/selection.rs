//! Selection: top-k, gather and scatter along an axis, rows of a table; and `concat`.
//!
//! A position past the end stops a GPU for good (an assertion in the kernel), so positions are checked first, against the
//! bound that every index carries. Only an index made by `topk` on a longer axis than it is used on needs a look at the
//! device.

use crate::ours;
use crate::tensor::{Handle, Positions, TchIndex, TchTensor, lengths};
use simseg_tensor::{Ops, Result, Tensor, contract};
use std::sync::Arc;

/// Joins along an axis.
pub(crate) fn concat(parts: &[&TchTensor], axis: usize) -> Result<TchTensor> {
    contract::concat(parts.iter().map(|part| part.shape()), axis)?;
    let first = parts[0]; // there is one, or the rule would be broken
    let raw: Vec<&tch::Tensor> = parts.iter().map(|part| part.raw()).collect();
    first.like(tch::Tensor::f_cat(&raw, axis as i64))
}

/// Positions of the `k` largest values along an axis, largest first.
pub(crate) fn topk(x: &TchTensor, k: usize, axis: usize) -> Result<TchIndex> {
    let shape = contract::topk(x.shape(), k, axis)?;
    // Positions have no gradient: nothing to record.
    let found = x.raw().f_detach().and_then(|x| x.f_topk(k as i64, axis as i64, true, true));
    Ok(TchIndex(Arc::new(Positions { handle: Handle(ours(found)?.1), shape, below: x.shape()[axis] })))
}

/// Errors unless every position is below `bound`.
fn check_bound(op: &'static str, index: &TchIndex, bound: usize) -> Result<()> {
    if index.0.below <= bound {
        return Ok(());
    }
    contract::below(op, TchTensor::index_to_vec(index)?.into_iter().max(), bound)
}

/// Checks an index against a tensor for `gather` and `scatter_add`.
fn check(op: &'static str, x: &TchTensor, axis: usize, index: &TchIndex) -> Result<()> {
    check_bound(op, index, contract::selects(op, x.shape(), axis, &index.0.shape)?)
}

/// `y[…, j, …] = x[…, index[…, j, …], …]`
pub(crate) fn gather(x: &TchTensor, axis: usize, index: &TchIndex) -> Result<TchTensor> {
    check("gather", x, axis, index)?;
    x.like(x.raw().f_gather(axis as i64, &index.0.handle.0, false))
}

/// A copy of `x` with `src` added at the positions of `index`.
pub(crate) fn scatter_add(x: &TchTensor, axis: usize, index: &TchIndex, src: &TchTensor) -> Result<TchTensor> {
    check("scatter_add", x, axis, index)?;
    contract::scatters(src.shape(), &index.0.shape)?;
    x.like(x.wide()?.f_scatter_add(axis as i64, &index.0.handle.0, &src.wide()?))
}

fn check_table(op: &'static str, x: &TchTensor, index: &TchIndex) -> Result<usize> {
    let [v, d] = contract::table(op, x.shape(), &index.0.shape)?;
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
    contract::rows(src.shape(), &index.0.shape, d)?;
    let count: usize = index.0.shape.iter().product();
    let flat = ours(index.0.handle.0.f_reshape(lengths(&[count])))?;
    let rows = ours(src.wide()?.f_reshape(lengths(&[count, d])))?;
    debug_assert_eq!(x.rank(), 2);
    x.like(x.wide()?.f_index_add(0, &flat, &rows))
}
