//! The fused hooks as formulas in primitives: what a student reads, and what an override must equal.
//!
//! Each hook has an adjoint: given the gradient `g` of the result, the gradients of the inputs, so that
//! [`crate::Autodiff`] records one node. A backend overrides both or neither; the testkit holds them to these.

use crate::ops::{Ops, numel};
#[cfg(not(feature = "std"))]
use crate::real::Real as _;
use crate::tensor::{AdamWStep, Attention, PADDING, Tensor};
use crate::{Error, Result};
use alloc::vec::Vec;

/// Axis of the last dimension.
fn last<T: Tensor>(x: &T) -> Result<usize> {
    x.rank().checked_sub(1).ok_or(Error::Axis { op: "last axis", axis: 0, shape: vec![] })
}

/// `[…, d]` as a matrix `[n, d]`.
fn matrix<T: Tensor>(x: &T) -> Result<T> {
    let d = x.shape()[last(x)?];
    x.reshape(&[numel(x.shape()) / d.max(1), d])
}

/// A vector `[d]` as a row `[1, …, 1, d]` of the given rank.
fn row<T: Tensor>(x: &T, rank: usize) -> Result<T> {
    let mut shape = vec![1; rank];
    shape[rank - 1] = x.width();
    x.reshape(&shape)
}

/// `y = x·Wᵀ + b`, PyTorch's `linear`: `x [n.., i]`, `weight [o, i]`, `bias [o]` → `[n.., o]`.
pub fn linear<T: Tensor>(x: &T, weight: &T, bias: Option<&T>) -> Result<T> {
    let [o, _] = weight.dims()?;
    let mut shape = x.shape().to_vec();
    let axis = last(x)?;
    let y = matrix(x)?.matmul(&weight.t()?)?; //          [n, o]
    shape[axis] = o;
    match bias {
        Some(bias) => y.add(&row(bias, 2)?)?.reshape(&shape),
        None => y.reshape(&shape),
    }
}

/// `dx = g·W`, `dW = gᵀ·x`, `db = Σ g`.
pub fn linear_grad<T: Tensor>(x: &T, weight: &T, grad: &T, wants_input: bool) -> Result<(Option<T>, T, T)> {
    let (rows, g) = (matrix(x)?, matrix(grad)?);
    let dx = if wants_input { Some(g.matmul(weight)?.reshape(x.shape())?) } else { None };
    Ok((dx, g.t()?.matmul(&rows)?, g.sum(0)?.reshape(&[weight.shape()[0]])?))
}

/// `exp(x − max x) / Σ exp(x − max x)` over the last axis.
pub fn softmax<T: Tensor>(x: &T) -> Result<T> {
    let axis = last(x)?;
    let e = x.sub(&x.max(axis)?)?.exp()?;
    e.div(&e.sum(axis)?)
}

/// `dx = y ⊙ (g − Σ y⊙g)`.
pub fn softmax_grad<T: Tensor>(y: &T, grad: &T) -> Result<T> {
    let dot = y.mul(grad)?.sum(last(y)?)?;
    y.mul(&grad.sub(&dot)?)
}

/// `x − max x − ln Σ exp(x − max x)` over the last axis.
pub fn log_softmax<T: Tensor>(x: &T) -> Result<T> {
    let axis = last(x)?;
    let shifted = x.sub(&x.max(axis)?)?;
    shifted.sub(&shifted.exp()?.sum(axis)?.log()?)
}

/// `dx = g − eʸ·Σ g`.
pub fn log_softmax_grad<T: Tensor>(y: &T, grad: &T) -> Result<T> {
    grad.sub(&y.exp()?.mul(&grad.sum(last(y)?)?)?)
}

/// `x̂ = (x − μ)/√(σ² + ε)` over the last axis with the biased variance, and `1/√(σ² + ε)`.
fn standardise<T: Tensor>(x: &T, eps: f64) -> Result<(T, T)> {
    let axis = last(x)?;
    let centred = x.sub(&x.mean(axis)?)?;
    let inverse = centred.square()?.mean(axis)?.shift(eps)?.sqrt()?.recip()?;
    Ok((centred.mul(&inverse)?, inverse))
}

/// `y = x̂ ⊙ w + b` (Ba et al. 2016): `weight [d]`, `bias [d]`.
pub fn layer_norm<T: Tensor>(x: &T, weight: &T, bias: &T, eps: f64) -> Result<T> {
    let (normal, _) = standardise(x, eps)?;
    normal.mul(&row(weight, x.rank())?)?.add(&row(bias, x.rank())?)
}

/// With `h = g ⊙ w`: `dx = (h − mean h − x̂·mean(h⊙x̂)) / √(σ² + ε)`, `dw = Σ g⊙x̂`, `db = Σ g`.
pub fn layer_norm_grad<T: Tensor>(x: &T, weight: &T, eps: f64, grad: &T) -> Result<(T, T, T)> {
    let axis = last(x)?;
    let (normal, inverse) = standardise(x, eps)?;
    let h = grad.mul(&row(weight, x.rank())?)?;
    let along = normal.mul(&h.mul(&normal)?.mean(axis)?)?;
    let dx = h.sub(&h.mean(axis)?)?.sub(&along)?.mul(&inverse)?;
    let dw = matrix(&grad.mul(&normal)?)?.sum(0)?.reshape(weight.shape())?;
    let db = matrix(grad)?.sum(0)?.reshape(weight.shape())?;
    Ok((dx, dw, db))
}

/// `x·Φ(x) = x·½(1 + erf(x/√2))` (Hendrycks & Gimpel 2016), not its tanh approximation.
pub fn gelu<T: Tensor>(x: &T) -> Result<T> {
    x.mul(&x.scale(core::f64::consts::FRAC_1_SQRT_2)?.erf()?.affine(0.5, 0.5)?)
}

/// `dx = g ⊙ (Φ(x) + x·φ(x))`, with `φ(x) = e^(−x²/2)/√(2π)`.
pub fn gelu_grad<T: Tensor>(x: &T, grad: &T) -> Result<T> {
    let cdf = x.scale(core::f64::consts::FRAC_1_SQRT_2)?.erf()?.affine(0.5, 0.5)?;
    let pdf = x.square()?.scale(-0.5)?.exp()?.scale(1.0 / core::f64::consts::TAU.sqrt())?;
    grad.mul(&cdf.add(&x.mul(&pdf)?)?)
}

/// `[b, n, d]` → `[b, h, n, d/h]`
fn split<T: Tensor>(x: &T, heads: usize) -> Result<T> {
    let [b, n, d] = x.dims()?;
    if heads == 0 || d % heads != 0 {
        let rule = "the number of heads (right) divides the width";
        return Err(Error::Shape { op: "attention", lhs: x.shape().to_vec(), rhs: vec![heads], rule });
    }
    x.reshape(&[b, n, heads, d / heads])?.permute(&[0, 2, 1, 3])
}

/// `[b, h, n, d/h]` → `[b, n, d]`
fn merge<T: Tensor>(x: &T) -> Result<T> {
    let [b, h, n, c] = x.dims()?;
    x.permute(&[0, 2, 1, 3])?.reshape(&[b, n, h * c])
}

/// `softmax(q·kᵀ/√c + mask)`, `[b, h, n, m]`, for `q [b, h, n, c]` and `k [b, h, m, c]`.
fn weights<T: Tensor>(q: &T, k: &T, how: &Attention<'_, T>) -> Result<T> {
    let [b, _, n, c] = q.dims()?;
    let [_, _, m, _] = k.dims()?;
    let mut scores = q.matmul(&k.t()?)?.scale(1.0 / (c as f64).sqrt())?;
    if let Some(bias) = how.key_bias {
        scores = scores.add(&bias.reshape(&[b, 1, 1, m])?)?;
    }
    if how.causal {
        let mask: Vec<f32> = (0..n * m).map(|i| if i % m > i / m { PADDING as f32 } else { 0.0 }).collect();
        scores = scores.add(&T::from_host(&mask, &[1, 1, n, m], &q.device())?)?;
    }
    scores.softmax()
}

/// The weights of [`attention`], `[b, h, n, m]`, for `q [b, n, d]` and `k [b, m, d]`: what a fused kernel does not keep.
///
/// # Errors
/// If shapes do not fit.
pub fn attention_weights<T: Tensor>(q: &T, k: &T, how: Attention<'_, T>) -> Result<T> {
    weights(&split(q, how.heads)?, &split(k, how.heads)?, &how)
}

/// `softmax(q·kᵀ/√c + mask)·v` per head (Vaswani et al. 2017, eq. 1): `q [b, n, d]`, `k`, `v [b, m, d]` → `[b, n, d]`.
pub fn attention<T: Tensor>(q: &T, k: &T, v: &T, how: Attention<'_, T>) -> Result<T> {
    let (q, k, v) = (split(q, how.heads)?, split(k, how.heads)?, split(v, how.heads)?);
    merge(&weights(&q, &k, &how)?.matmul(&v)?)
}

/// With `a` the weights: `dv = aᵀ·g`, `ds = softmax_grad(a, g·vᵀ)`, `dq = ds·k/√c`, `dk = dsᵀ·q/√c`.
///
/// The weights are computed again: keeping them would cost `b·h·n·m` values per layer.
pub fn attention_grad<T: Tensor>(q: &T, k: &T, v: &T, how: Attention<'_, T>, grad: &T) -> Result<(T, T, T)> {
    let (q, k, v) = (split(q, how.heads)?, split(k, how.heads)?, split(v, how.heads)?);
    let g = split(grad, how.heads)?;
    let scale = 1.0 / (q.width() as f64).sqrt();
    let a = weights(&q, &k, &how)?; //                    [b, h, n, m]
    let ds = a.softmax_grad(&g.matmul(&v.t()?)?)?.scale(scale)?;
    let dq = ds.matmul(&k)?; //                           [b, h, n, c]
    let dk = ds.t()?.matmul(&q)?; //                      [b, h, m, c]
    let dv = a.t()?.matmul(&g)?;
    Ok((merge(&dq)?, merge(&dk)?, merge(&dv)?))
}

/// `m ← β₁·m + (1−β₁)·g`, `v ← β₂·v + (1−β₂)·g²`, `p ← (1−ηλ)·p − η/(1−β₁ᵗ) · m / (√v/√(1−β₂ᵗ) + ε)`, in the order of
/// `torch.optim.AdamW` (Loshchilov & Hutter 2019, algorithm 2): `[p, m, v]`, four tensors of one shape in, three out.
pub fn adamw<T: Tensor>(p: &T, g: &T, m: &T, v: &T, step: AdamWStep) -> Result<[T; 3]> {
    let AdamWStep { beta1, beta2, eps, keep, rate, root } = step;
    let m = m.scale(beta1)?.add(&g.scale(1.0 - beta1)?)?;
    let v = v.scale(beta2)?.add(&g.square()?.scale(1.0 - beta2)?)?;
    let denominator = v.sqrt()?.affine(root, eps)?;
    let p = p.scale(keep)?.sub(&m.div(&denominator)?.scale(rate)?)?;
    Ok([p, m, v])
}
