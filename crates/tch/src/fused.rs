//! The fused hooks by libtorch's own kernels, and their adjoints.
//!
//! Adjoints are libtorch's where it has one to call, products where it is a product, and its autograd for layer norm and
//! attention. They serve `Autodiff<TchTensor>`, the leg that tells a wrong kernel from a wrong rule; training goes
//! through [`crate::autograd`] and never comes here.

use crate::ours;
use crate::tensor::{TchTensor, lengths};
use simseg_tensor::{Attention, Differentiable, Ops, PADDING, Result, Tensor, contract, hooks};

fn width(op: &'static str, x: &TchTensor) -> Result<usize> {
    contract::last(op, x.shape())
}

fn numel(x: &TchTensor) -> usize {
    x.shape().iter().product()
}

fn same_shape(op: &'static str, x: &TchTensor, grad: &TchTensor) -> Result<()> {
    contract::gradient(op, x.shape(), grad.shape())
}

/// `x·Wᵀ + b`: `x […, i]`, `weight [o, i]`, `bias [o]`.
pub(crate) fn linear(x: &TchTensor, weight: &TchTensor, bias: Option<&TchTensor>) -> Result<TchTensor> {
    contract::linear(x.shape(), weight.shape(), bias.map(Tensor::shape))?;
    let bias = bias.map(TchTensor::narrow).transpose()?;
    x.like(x.narrow()?.f_linear(&weight.narrow()?, bias))
}

/// `dx = g·W`, `dW = gᵀ·x`, `db = Σ g`.
pub(crate) fn linear_grad(
    x: &TchTensor,
    weight: &TchTensor,
    grad: &TchTensor,
    wants_input: bool,
) -> Result<(Option<TchTensor>, TchTensor, TchTensor)> {
    let [o, i] = contract::linear_grad(x.shape(), weight.shape(), grad.shape())?;
    let rows = numel(x) / i.max(1);
    if rows == 0 || i == 0 || o == 0 {
        return hooks::linear_grad(x, weight, grad, wants_input);
    }
    let g = grad.reshape(&[rows, o])?;
    let dx = if wants_input { Some(g.matmul(weight)?.reshape(x.shape())?) } else { None };
    let dw = g.t()?.matmul(&x.reshape(&[rows, i])?)?; //  [o, i]
    Ok((dx, dw, g.sum(0)?.reshape(&[o])?))
}

/// Over the last axis.
pub(crate) fn softmax(x: &TchTensor) -> Result<TchTensor> {
    width("softmax", x)?;
    x.like(x.raw().f_softmax(-1, x.device().kind()))
}

/// `y` is the output.
pub(crate) fn softmax_grad(y: &TchTensor, grad: &TchTensor) -> Result<TchTensor> {
    same_shape("softmax_grad", y, grad)?;
    width("softmax_grad", y)?;
    let kind = y.device().kind();
    y.like(tch::Tensor::f_internal_softmax_backward_data(&grad.wide()?, &y.wide()?, -1, kind))
}

/// Over the last axis.
pub(crate) fn log_softmax(x: &TchTensor) -> Result<TchTensor> {
    width("log_softmax", x)?;
    x.like(x.raw().f_log_softmax(-1, x.device().kind()))
}

/// `y` is the output.
pub(crate) fn log_softmax_grad(y: &TchTensor, grad: &TchTensor) -> Result<TchTensor> {
    same_shape("log_softmax_grad", y, grad)?;
    width("log_softmax_grad", y)?;
    let kind = y.device().kind();
    y.like(tch::Tensor::f_internal_log_softmax_backward_data(&grad.wide()?, &y.wide()?, -1, kind))
}

/// `x̂ ⊙ w + b` over the last axis.
pub(crate) fn layer_norm(x: &TchTensor, weight: &TchTensor, bias: &TchTensor, eps: f64) -> Result<TchTensor> {
    let d = contract::layer_norm(x.shape(), weight.shape(), bias.shape())?;
    let (weight, bias) = (weight.wide()?, bias.wide()?);
    x.like(x.wide()?.f_layer_norm(lengths(&[d]), Some(&weight), Some(&bias), eps, true))
}

/// Gradients for `(x, weight, bias)`.
pub(crate) fn layer_norm_grad(
    x: &TchTensor,
    weight: &TchTensor,
    eps: f64,
    grad: &TchTensor,
) -> Result<(TchTensor, TchTensor, TchTensor)> {
    same_shape("layer_norm_grad", x, grad)?;
    // The bias' value changes no gradient: the weight stands in for it.
    let (x, weight, bias) = (x.leaf(), weight.leaf(), weight.leaf());
    let y = layer_norm(&x, &weight, &bias, eps)?;
    let [dx, dw, db] = pull(&y, grad, [&x, &weight, &bias])?;
    Ok((dx, dw, db))
}

/// `x` is the input.
pub(crate) fn gelu_grad(x: &TchTensor, grad: &TchTensor) -> Result<TchTensor> {
    same_shape("gelu_grad", x, grad)?;
    x.like(x.wide()?.f_gelu_backward(&grad.wide()?, "none"))
}

/// What `grad` of `y` gives its leaves, by autograd: the gradient of `Σ y ⊙ grad`.
fn pull<const N: usize>(y: &TchTensor, grad: &TchTensor, leaves: [&TchTensor; N]) -> Result<[TchTensor; N]> {
    let gradients = y.mul(&grad.detach())?.sum_all()?.grad(&leaves)?;
    <[TchTensor; N]>::try_from(gradients).map_err(|_| crate::backend("one gradient per leaf"))
}

/// `[b, n, d]` → `[b, h, n, d/h]`, in the type of products.
fn split(x: &TchTensor, heads: usize) -> Result<tch::Tensor> {
    let [b, n, d] = x.dims()?;
    let shape = lengths(&[b, n, heads, d / heads]);
    ours(x.narrow()?.f_reshape(shape).and_then(|x| x.f_transpose(1, 2)))
}

/// What is added to the scores, `[b or 1, 1, n or 1, m]`; none where the kernel needs none.
fn mask(how: &Attention<'_, TchTensor>, [b, n, m]: [usize; 3], q: &TchTensor) -> Result<Option<tch::Tensor>> {
    let device = q.device();
    let bias = match how.key_bias {
        Some(bias) => Some(ours(bias.narrow()?.f_reshape(lengths(&[b, 1, 1, m])))?),
        None => None,
    };
    // A square causal mask is the kernel's own.
    if !how.causal || (bias.is_none() && n == m) {
        return Ok(bias);
    }
    let later = tch::Tensor::f_full(lengths(&[n, m]), PADDING, (device.product_kind(), device.place()))
        .and_then(|full| full.f_triu(1)?.f_reshape(lengths(&[1, 1, n, m])));
    ours(match bias {
        Some(bias) => later.and_then(|later| later.f_add(&bias)),
        None => later,
    })
    .map(Some)
}

fn check_attention(q: &TchTensor, k: &TchTensor, v: &TchTensor, how: &Attention<'_, TchTensor>) -> Result<[usize; 4]> {
    contract::attention(q.shape(), k.shape(), v.shape(), how.heads, how.key_bias.map(Tensor::shape))
}

/// `softmax(q·kᵀ/√c + mask)·v` per head: `q [b, n, d]`, `k`, `v [b, m, d]` → `[b, n, d]`.
pub(crate) fn attention(
    q: &TchTensor,
    k: &TchTensor,
    v: &TchTensor,
    how: Attention<'_, TchTensor>,
) -> Result<TchTensor> {
    let [b, n, m, d] = check_attention(q, k, v, &how)?;
    if b * n * m * d == 0 {
        return hooks::attention(q, k, v, how);
    }
    let mask = mask(&how, [b, n, m], q)?;
    let causal = how.causal && mask.is_none();
    let [q_heads, k_heads, v_heads] = [split(q, how.heads)?, split(k, how.heads)?, split(v, how.heads)?];
    let y = tch::Tensor::f_scaled_dot_product_attention(&q_heads, &k_heads, &v_heads, mask, 0.0, causal, None, false); //                                                 [b, h, n, c]
    q.like(y.and_then(|y| y.f_transpose(1, 2)?.f_reshape(lengths(&[b, n, d]))))
}

/// Gradients for `(queries, keys, values)`.
pub(crate) fn attention_grad(
    q: &TchTensor,
    k: &TchTensor,
    v: &TchTensor,
    how: Attention<'_, TchTensor>,
    grad: &TchTensor,
) -> Result<(TchTensor, TchTensor, TchTensor)> {
    check_attention(q, k, v, &how)?;
    contract::gradient("attention_grad", q.shape(), grad.shape())?;
    let (q, k, v) = (q.leaf(), k.leaf(), v.leaf());
    let y = attention(&q, &k, &v, how)?;
    let [dq, dk, dv] = pull(&y, grad, [&q, &k, &v])?;
    Ok((dq, dk, dv))
}
