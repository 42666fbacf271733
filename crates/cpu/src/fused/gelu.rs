//! The exact GELU `x·½(1 + erf(x/√2))` and its slope `Φ(x) + x·φ(x)`.

use crate::scalar::Scalar;
use crate::tensor::CpuTensor;
use crate::walk;
use simseg_tensor::{Result, Tensor, contract};
use std::f64::consts::{FRAC_1_SQRT_2, TAU};

#[inline(always)]
fn cdf<A: Scalar>(x: A) -> A {
    let half = A::lit(0.5);
    half + half * (x * A::lit(FRAC_1_SQRT_2)).erf()
}

pub(crate) fn forward<A: Scalar>(x: &CpuTensor<A>) -> Result<CpuTensor<A>> {
    Ok(CpuTensor::build(x.shape(), |out| walk::map(x.shape(), x.parts(), out, |x| x * cdf(x))))
}

pub(crate) fn backward<A: Scalar>(x: &CpuTensor<A>, grad: &CpuTensor<A>) -> Result<CpuTensor<A>> {
    contract::gradient("gelu_grad", x.shape(), grad.shape())?;
    let density = A::lit(1.0 / TAU.sqrt());
    let slope = move |x: A, g: A| g * (cdf(x) + x * density * (A::lit(-0.5) * x * x).exp());
    Ok(CpuTensor::build(x.shape(), |out| walk::zip(x.shape(), x.parts(), grad.parts(), out, slope)))
}
