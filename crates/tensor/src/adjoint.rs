//! The derivative table: for every recorded operation, the gradient it passes back to each input.
//!
//! With `g = ∂L/∂y` for `y = f(x)`, an arm gives `∂L/∂x = (∂f/∂x)ᵀ·g`. One arm per primitive, each the textbook line;
//! fused hooks answer with their own adjoint. A new variant of `Record`, [`Unary`] or [`Binary`] does not compile
//! until it has its line here.

use crate::Result;
use crate::ops::Ops;
use crate::tensor::{Attention, Binary, Tensor, Unary};
use alloc::vec::Vec;

/// What was computed, with the values its derivative needs.
#[derive(Debug)]
pub(crate) enum Record<T: Tensor> {
    Leaf,
    Unary(Unary, T, T),
    Binary(Binary, T, T),
    Matmul(T, T),
    Sum(Vec<usize>),
    Reshape(Vec<usize>),
    Permute(Vec<usize>),
    Expand(Vec<usize>),
    /// `(shape of x, axis, start)`
    Slice(Vec<usize>, usize, usize),
    /// `(axis, lengths)`
    Concat(usize, Vec<usize>),
    Gather(Vec<usize>, T::Device, usize, T::Index),
    ScatterAdd(usize, T::Index),
    Rows(Vec<usize>, T::Device, T::Index),
    RowsAdd(T::Index),
    /// `(x, weight, has bias)`
    Linear(T, T, bool),
    /// output
    Softmax(T),
    /// output
    LogSoftmax(T),
    LayerNorm(T, T, f64),
    Gelu(T),
    /// `(queries, keys, values, heads, key bias, causal)`
    Attention(T, T, T, usize, Option<T>, bool),
}

/// What an input receives: a tensor of its own shape, or the part of it that a slice read.
pub(crate) enum Cotangent<T> {
    /// Same shape as the input.
    Whole(T),
    /// `start .. start + len` of `axis`; the rest is zero.
    Part { axis: usize, start: usize, value: T },
}

impl<T: Tensor> Record<T> {
    /// One cotangent per input, in order. `wants[i]` says whether input `i` is asked for: expensive ones are skipped.
    pub(crate) fn adjoint(&self, g: &T, wants: &[bool]) -> Result<Vec<Option<Cotangent<T>>>> {
        let whole = |x: T| Some(Cotangent::Whole(x));
        Ok(match self {
            Self::Leaf => vec![],
            Self::Unary(op, x, y) => vec![whole(unary(*op, x, y, g)?)],
            Self::Binary(Binary::Add, _, _) => vec![whole(g.clone()), whole(g.clone())],
            Self::Binary(Binary::Sub, _, _) => vec![whole(g.clone()), whole(g.neg()?)],
            Self::Binary(Binary::Mul, a, b) => vec![whole(g.mul(b)?), whole(g.mul(a)?)],
            Self::Binary(Binary::Div, a, b) => {
                let da = g.div(b)?; //                      1/b
                let db = da.mul(a)?.div(b)?.neg()?; //     −a/b²
                vec![whole(da), whole(db)]
            }
            Self::Matmul(a, b) => {
                let da = if wants[0] { whole(g.matmul(&b.t()?)?) } else { None };
                let db = if wants[1] { whole(a.t()?.matmul(g)?) } else { None };
                vec![da, db]
            }
            Self::Sum(shape) => vec![whole(g.expand(shape)?)],
            Self::Reshape(shape) => vec![whole(g.reshape(shape)?)],
            Self::Permute(axes) => {
                let mut inverse = vec![0; axes.len()];
                for (to, &from) in axes.iter().enumerate() {
                    inverse[from] = to;
                }
                vec![whole(g.permute(&inverse)?)]
            }
            Self::Expand(shape) => vec![whole(sum_to(g, shape)?)],
            Self::Slice(_, axis, start) => {
                vec![Some(Cotangent::Part { axis: *axis, start: *start, value: g.clone() })]
            }
            Self::Concat(axis, lengths) => {
                let mut start = 0;
                let mut parts = Vec::with_capacity(lengths.len());
                for &len in lengths {
                    parts.push(whole(g.slice(*axis, start, len)?));
                    start += len;
                }
                parts
            }
            Self::Gather(shape, device, axis, index) => {
                vec![whole(T::full(0.0, shape, device)?.scatter_add(*axis, index, g)?)]
            }
            Self::ScatterAdd(axis, index) => vec![whole(g.clone()), whole(g.gather(*axis, index)?)],
            Self::Rows(shape, device, index) => vec![whole(T::full(0.0, shape, device)?.rows_add(index, g)?)],
            Self::RowsAdd(index) => vec![whole(g.clone()), whole(g.rows(index)?)],
            Self::Linear(x, weight, has_bias) => {
                let (dx, dw, db) = x.linear_grad(weight, g, wants[0])?;
                let mut parts = vec![dx.and_then(whole), whole(dw)];
                parts.extend(has_bias.then(|| whole(db)));
                parts
            }
            Self::Softmax(y) => vec![whole(y.softmax_grad(g)?)],
            Self::LogSoftmax(y) => vec![whole(y.log_softmax_grad(g)?)],
            Self::LayerNorm(x, weight, eps) => {
                let (dx, dw, db) = x.layer_norm_grad(weight, *eps, g)?;
                vec![whole(dx), whole(dw), whole(db)]
            }
            Self::Gelu(x) => vec![whole(x.gelu_grad(g)?)],
            Self::Attention(q, k, v, heads, key_bias, causal) => {
                let how = Attention { heads: *heads, key_bias: key_bias.as_ref(), causal: *causal };
                let (dq, dk, dv) = q.attention_grad(k, v, how, g)?;
                vec![whole(dq), whole(dk), whole(dv)]
            }
        })
    }
}

/// `g ⊙ f′(x)`, with `y = f(x)` at hand where it is the shorter way to say `f′`.
fn unary<T: Tensor>(op: Unary, x: &T, y: &T, g: &T) -> Result<T> {
    match op {
        Unary::Affine { mul, .. } => g.scale(mul),
        Unary::Recip => g.mul(&y.square()?)?.neg(), //                          −1/x²
        Unary::Sqrt => g.div(y)?.scale(0.5),        //                                 1/(2√x)
        Unary::Exp => g.mul(y),
        Unary::Log => g.div(x),
        Unary::Tanh => g.mul(&y.square()?.affine(-1.0, 1.0)?), //               1 − tanh²x
        Unary::Sigmoid => g.mul(&y.mul(&y.affine(-1.0, 1.0)?)?), //             y(1 − y)
        Unary::Erf => g.mul(&x.square()?.neg()?.exp()?)?.scale(core::f64::consts::FRAC_2_SQRT_PI),
        Unary::Clamp { low, high } => g.mul(&x.unary(Unary::Inside { low, high })?),
        Unary::Inside { .. } => g.zeros_like(),
    }
}

/// The adjoint of `expand`: sums the axes that were repeated.
fn sum_to<T: Tensor>(g: &T, shape: &[usize]) -> Result<T> {
    let mut g = g.clone();
    for (axis, &len) in shape.iter().enumerate() {
        if len == 1 && g.shape()[axis] != 1 {
            g = g.sum(axis)?;
        }
    }
    Ok(g)
}
