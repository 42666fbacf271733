//! `y = x·Wᵀ + b`: the bias is where the sums start, so the result is touched once.

use crate::contraction::{columns, product, view2};
use crate::scalar::Scalar;
use crate::tensor::CpuTensor;
use ndarray::{ArrayView2, ArrayViewMut2};
use simseg_tensor::{Result, Tensor, contract};

/// `x` as a matrix `[rows, i]`.
fn matrix<A: Scalar>(x: &CpuTensor<A>, i: usize) -> Result<CpuTensor<A>> {
    x.reshape(&[x.numel() / i.max(1), i])
}

pub(crate) fn forward<A: Scalar>(
    x: &CpuTensor<A>,
    weight: &CpuTensor<A>,
    bias: Option<&CpuTensor<A>>,
) -> Result<CpuTensor<A>> {
    let [o, i] = contract::linear(x.shape(), weight.shape(), bias.map(Tensor::shape))?;
    let rows = matrix(x, i)?;
    if rows.numel() == 0 || o == 0 {
        return simseg_tensor::hooks::linear(x, weight, bias);
    }
    let mut shape = x.shape().to_vec();
    *shape.last_mut().expect("checked by width") = o;
    let bias = bias.map(CpuTensor::contiguous);
    let n = rows.shape()[0];
    Ok(CpuTensor::build(&shape, |out| {
        let c = ArrayViewMut2::from_shape((n, o), out).expect("n·o values");
        let bias = bias.as_ref().map(|bias| &bias.values()[..o]);
        product(view2(&rows), view2(weight).reversed_axes(), bias, c);
    }))
}

/// For `(x, weight, bias)`.
type Gradients<A> = (Option<CpuTensor<A>>, CpuTensor<A>, CpuTensor<A>);

pub(crate) fn backward<A: Scalar>(
    x: &CpuTensor<A>,
    weight: &CpuTensor<A>,
    grad: &CpuTensor<A>,
    wants_input: bool,
) -> Result<Gradients<A>> {
    let [o, i] = contract::linear_grad(x.shape(), weight.shape(), grad.shape())?;
    if x.numel() == 0 || o == 0 {
        return simseg_tensor::hooks::linear_grad(x, weight, grad, wants_input);
    }
    let (rows, g) = (matrix(x, i)?, matrix(grad, o)?);
    let (rows, g) = (rows.contiguous(), g.contiguous());
    let n = rows.shape()[0];
    let g_view = ArrayView2::from_shape((n, o), g.values()).expect("n·o values");
    let dx = wants_input.then(|| {
        CpuTensor::build(x.shape(), |out| {
            let c = ArrayViewMut2::from_shape((n, i), out).expect("n·i values");
            product(g_view, view2(weight), None, c);
        })
    });
    let dw = CpuTensor::build(&[o, i], |out| {
        let c = ArrayViewMut2::from_shape((o, i), out).expect("o·i values");
        product(g_view.reversed_axes(), view2(&rows), None, c);
    });
    let db = CpuTensor::build(&[o], |out| columns(g.values(), o, out));
    Ok((dx, dw, db))
}
