//! The shape and index rules of [`crate::Tensor`], once: every backend asks here before it computes.
//!
//! Each function is one rule. It returns what a backend needs next (a shape, a length), or the error that says which rule was broken;
//! so all backends accept the same things and refuse the others in the same words.

use crate::{Error, Result};
use alloc::vec::Vec;

fn broken<R>(op: &'static str, lhs: &[usize], rhs: &[usize], rule: &'static str) -> Result<R> {
    Err(Error::Shape { op, lhs: lhs.to_vec(), rhs: rhs.to_vec(), rule })
}

/// An axis that exists; its length.
///
/// # Errors
/// If the shape has fewer axes.
pub fn axis(op: &'static str, shape: &[usize], axis: usize) -> Result<usize> {
    shape.get(axis).copied().ok_or_else(|| Error::Axis { op, axis, shape: shape.to_vec() })
}

/// The last axis; its length.
///
/// # Errors
/// If there is none.
pub fn last(op: &'static str, shape: &[usize]) -> Result<usize> {
    shape.last().copied().ok_or(Error::Axis { op, axis: 0, shape: vec![] })
}

/// `len` host values for a shape.
///
/// # Errors
/// If the shape holds more or fewer, or more than can be counted.
pub fn values(op: &'static str, len: usize, shape: &[usize]) -> Result<()> {
    let wanted = shape.iter().try_fold(1usize, |product, &axis| product.checked_mul(axis));
    match wanted == Some(len) {
        true => Ok(()),
        false => broken(op, &[len], shape, "as many values (left) as the shape (right) holds"),
    }
}

/// Positions that fit into 32 bits, the widest that every backend stores.
///
/// # Errors
/// The first that does not.
pub fn positions(op: &'static str, data: &[usize]) -> Result<()> {
    match data.iter().find(|&&position| u32::try_from(position).is_err()) {
        Some(&index) => Err(Error::Position { op, index, bound: u32::MAX as usize }),
        None => Ok(()),
    }
}

/// Positions below a bound; `largest` of them, if there is any.
///
/// # Errors
/// If the largest is not below.
pub fn below(op: &'static str, largest: Option<usize>, bound: usize) -> Result<()> {
    match largest {
        Some(index) if index >= bound => Err(Error::Position { op, index, bound }),
        _ => Ok(()),
    }
}

/// Elementwise: equal shapes.
///
/// # Errors
/// If they differ.
pub fn equal(op: &'static str, lhs: &[usize], rhs: &[usize]) -> Result<()> {
    if lhs == rhs { Ok(()) } else { broken(op, lhs, rhs, "equal shapes") }
}

/// `[…, m, k] × […, k, n]` → `[…, m, n]`
///
/// # Errors
/// If there are fewer than two axes, or leading or inner axes differ.
pub fn matmul(lhs: &[usize], rhs: &[usize]) -> Result<Vec<usize>> {
    match (lhs, rhs) {
        ([batch @ .., m, k], [other @ .., l, n]) if batch == other && k == l => Ok([batch, &[*m, *n]].concat()),
        _ => broken("matmul", lhs, rhs, "[…, m, k] and […, k, n] with equal leading axes"),
    }
}

/// The same values under another shape.
///
/// # Errors
/// If it holds more or fewer.
pub fn reshape(from: &[usize], to: &[usize]) -> Result<()> {
    let count = |shape: &[usize]| shape.iter().try_fold(1usize, |product, &axis| product.checked_mul(axis));
    match count(from).is_some() && count(from) == count(to) {
        true => Ok(()),
        false => broken("reshape", from, to, "as many values as before"),
    }
}

/// Axes in another order; the shape they have then.
///
/// # Errors
/// If an axis is missing or occurs twice.
pub fn permute(shape: &[usize], axes: &[usize]) -> Result<Vec<usize>> {
    let mut sorted = axes.to_vec();
    sorted.sort_unstable();
    match sorted.into_iter().eq(0..shape.len()) {
        true => Ok(axes.iter().map(|&axis| shape[axis]).collect()),
        false => broken("permute", shape, axes, "every axis (right) exactly once"),
    }
}

/// Axes of length 1 repeated.
///
/// # Errors
/// If ranks differ, or another axis would change.
pub fn expand(from: &[usize], to: &[usize]) -> Result<()> {
    match from.len() == to.len() && from.iter().zip(to).all(|(&a, &b)| a == b || a == 1) {
        true => Ok(()),
        false => broken("expand", from, to, "equal rank, and only axes of length 1 change"),
    }
}

/// Positions `start .. start + len` of an axis; the shape of the part.
///
/// # Errors
/// If the axis does not exist or ends before.
pub fn slice(shape: &[usize], along: usize, start: usize, len: usize) -> Result<Vec<usize>> {
    let bound = axis("slice", shape, along)?;
    let end = start.saturating_add(len);
    if end > bound {
        return Err(Error::Position { op: "slice", index: end, bound: bound + 1 });
    }
    Ok(with(shape, along, len))
}

/// Tensors joined along an axis; the shape of the whole.
///
/// # Errors
/// If there is none, or shapes differ elsewhere.
pub fn concat<'a>(mut shapes: impl Iterator<Item = &'a [usize]>, along: usize) -> Result<Vec<usize>> {
    let Some(first) = shapes.next() else { return broken("concat", &[], &[], "at least one tensor") };
    let mut total = axis("concat", first, along)?;
    for shape in shapes {
        if shape.len() != first.len() || with(shape, along, 0) != with(first, along, 0) {
            return broken("concat", first, shape, "equal shapes but for the joined axis");
        }
        total += shape[along];
    }
    Ok(with(first, along, total))
}

/// The `k` largest along an axis; the shape of their positions.
///
/// # Errors
/// If `k` is 0 or larger than the axis.
pub fn topk(shape: &[usize], k: usize, along: usize) -> Result<Vec<usize>> {
    let n = axis("topk", shape, along)?;
    match (1..=n).contains(&k) {
        true => Ok(with(shape, along, k)),
        false => broken("topk", shape, &[k], "1 ≤ k (right) ≤ length of the axis"),
    }
}

/// An index that selects along an axis, for `gather` and `scatter_add`; the bound of its positions.
///
/// # Errors
/// If its shape is not the tensor's but for the axis.
pub fn selects(op: &'static str, shape: &[usize], along: usize, index: &[usize]) -> Result<usize> {
    let bound = axis(op, shape, along)?;
    match index.len() == shape.len() && with(index, along, 0) == with(shape, along, 0) {
        true => Ok(bound),
        false => broken(op, shape, index, "the index has the tensor's shape but for the axis"),
    }
}

/// What `scatter_add` adds: one value per position.
///
/// # Errors
/// If it has another shape than the index.
pub fn scatters(src: &[usize], index: &[usize]) -> Result<()> {
    match src == index {
        true => Ok(()),
        false => broken("scatter_add", src, index, "the source has the index's shape"),
    }
}

/// A table `[v, d]` that an index names rows of: `[v, d]`.
///
/// # Errors
/// If it is no table.
pub fn table(op: &'static str, shape: &[usize], index: &[usize]) -> Result<[usize; 2]> {
    match *shape {
        [v, d] => Ok([v, d]),
        _ => broken(op, shape, index, "the left shape is a table [v, d]"),
    }
}

/// What `rows_add` adds: one row of width `d` per position.
///
/// # Errors
/// If it has another shape.
pub fn rows(src: &[usize], index: &[usize], d: usize) -> Result<()> {
    match src == [index, &[d]].concat() {
        true => Ok(()),
        false => broken("rows_add", src, index, "the source is the index's shape and the table's width"),
    }
}

/// The gradient of a result has its shape.
///
/// # Errors
/// If it has another.
pub fn gradient(op: &'static str, result: &[usize], grad: &[usize]) -> Result<()> {
    if result == grad { Ok(()) } else { broken(op, result, grad, "the gradient has the output's shape") }
}

/// `x […, i]`, `weight [o, i]`, `bias [o]`: `[o, i]`.
///
/// # Errors
/// If widths differ.
pub fn linear(x: &[usize], weight: &[usize], bias: Option<&[usize]>) -> Result<[usize; 2]> {
    match *weight {
        [o, i] if last("linear", x)? == i && bias.is_none_or(|bias| bias == [o]) => Ok([o, i]),
        _ => broken("linear", x, weight, "[…, i] and [o, i], bias [o]"),
    }
}

/// `x […, i]`, `weight [o, i]`, gradient `[…, o]`: `[o, i]`.
///
/// # Errors
/// If widths or the number of rows differ.
pub fn linear_grad(x: &[usize], weight: &[usize], grad: &[usize]) -> Result<[usize; 2]> {
    let rows = |shape: &[usize], width: usize| shape.iter().product::<usize>() / width.max(1);
    match *weight {
        [o, i] if last("linear_grad", x)? == i && last("linear_grad", grad)? == o && rows(x, i) == rows(grad, o) => {
            Ok([o, i])
        }
        _ => broken("linear_grad", x, grad, "[…, i] and […, o]"),
    }
}

/// `x […, d]`, `weight [d]`, `bias [d]`: `d`.
///
/// # Errors
/// If widths differ.
pub fn layer_norm(x: &[usize], weight: &[usize], bias: &[usize]) -> Result<usize> {
    let d = last("layer_norm", x)?;
    match *weight == [d] && *bias == [d] {
        true => Ok(d),
        false => broken("layer_norm", x, weight, "[…, d], weight [d], bias [d]"),
    }
}

/// Queries `[b, n, d]`, keys and values `[b, m, d]`, a bias of `b·m` values if any: `[b, n, m, d]`.
///
/// # Errors
/// If shapes differ, or the heads do not divide the width.
pub fn attention(q: &[usize], k: &[usize], v: &[usize], heads: usize, bias: Option<&[usize]>) -> Result<[usize; 4]> {
    let (&[b, n, d], &[_, m, _]) = (q, k) else {
        return broken("attention", q, k, "queries [b, n, d], keys and values [b, m, d]");
    };
    if k != [b, m, d] || v != k {
        return broken("attention", q, k, "queries [b, n, d], keys and values [b, m, d]");
    }
    if heads == 0 || d % heads != 0 {
        return broken("attention", q, &[heads], "the number of heads (right) divides the width");
    }
    match bias.filter(|bias| bias.iter().product::<usize>() != b * m) {
        Some(bias) => broken("attention", k, bias, "key bias [b, m]"),
        None => Ok([b, n, m, d]),
    }
}

/// Parameter, gradient and running means of one shape.
///
/// # Errors
/// The first that has another.
pub fn adamw(parameter: &[usize], others: [&[usize]; 3]) -> Result<()> {
    match others.into_iter().find(|other| *other != parameter) {
        Some(other) => broken("adamw", parameter, other, "parameter, gradient and means of one shape"),
        None => Ok(()),
    }
}

/// A shape with one axis replaced.
fn with(shape: &[usize], axis: usize, len: usize) -> Vec<usize> {
    let mut shape = shape.to_vec();
    shape[axis] = len;
    shape
}
