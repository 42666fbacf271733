//! `softmax` and `log_softmax` over the last axis, row by row, and their adjoints.

use super::{each_block, width};
use crate::scalar::Scalar;
use crate::simd::simd;
use crate::tensor::CpuTensor;
use crate::walk::sum_row;
use simseg_tensor::{Result, Tensor, contract};

simd! {
    /// Largest value of a row, with sixteen running maxima.
    fn max_row<A: Scalar>(x: &[A]) -> A {
        let mut lanes = [A::lit(f64::NEG_INFINITY); 16];
        let chunks = x.chunks_exact(16);
        let rest = chunks.remainder();
        for chunk in chunks {
            for (lane, &x) in lanes.iter_mut().zip(chunk) {
                *lane = x.max_(*lane);
            }
        }
        for (lane, &x) in lanes.iter_mut().zip(rest) {
            *lane = x.max_(*lane);
        }
        lanes.into_iter().fold(A::lit(f64::NEG_INFINITY), |a, b| a.max_(b))
    }
}

simd! {
    /// `row = exp(row − max)`
    fn exp_row<A: Scalar>(row: &mut [A], max: A) {
        row.iter_mut().for_each(|x| *x = (*x - max).exp());
    }
}

simd! {
    /// `row = row · factor`
    fn scale_row<A: Scalar>(row: &mut [A], factor: A) {
        row.iter_mut().for_each(|x| *x = *x * factor);
    }
}

/// `row = softmax(row)` in place.
pub(crate) fn row<A: Scalar>(row: &mut [A]) {
    let max = max_row(row);
    exp_row(row, max);
    scale_row(row, A::lit(1.0) / sum_row(row));
}

simd! {
    /// `g = y ⊙ (g − dot)`
    fn centre_row<A: Scalar>(y: &[A], g: &mut [A], dot: A) {
        g.iter_mut().zip(y).for_each(|(g, &y)| *g = y * (*g - dot));
    }
}

/// `g = y ⊙ (g − Σ y⊙g)` in place.
pub(crate) fn row_grad<A: Scalar>(y: &[A], g: &mut [A]) {
    centre_row(y, g, dot_row(y, g));
}

simd! {
    /// `Σ a⊙b` with sixteen running sums.
    pub(crate) fn dot_row<A: Scalar>(a: &[A], b: &[A]) -> A {
        let mut lanes = [A::default(); 16];
        for (a, b) in a.chunks(16).zip(b.chunks(16)) {
            for ((lane, &a), &b) in lanes.iter_mut().zip(a).zip(b) {
                *lane += a * b;
            }
        }
        lanes.into_iter().sum()
    }
}

pub(crate) fn forward<A: Scalar>(x: &CpuTensor<A>) -> Result<CpuTensor<A>> {
    let d = width("softmax", x)?;
    let x = x.contiguous();
    Ok(CpuTensor::build(x.shape(), |out| {
        each_block(out, d, |start, out| {
            out.copy_from_slice(&x.values()[start..start + out.len()]);
            out.chunks_mut(d).for_each(row);
        });
    }))
}

/// Both operands of an adjoint, row-major and of one shape.
fn pair<A: Scalar>(op: &'static str, y: &CpuTensor<A>, g: &CpuTensor<A>) -> Result<(CpuTensor<A>, CpuTensor<A>)> {
    contract::gradient(op, y.shape(), g.shape())?;
    Ok((y.contiguous(), g.contiguous()))
}

pub(crate) fn backward<A: Scalar>(y: &CpuTensor<A>, g: &CpuTensor<A>) -> Result<CpuTensor<A>> {
    let d = width("softmax_grad", y)?;
    let (y, g) = pair("softmax_grad", y, g)?;
    Ok(CpuTensor::build(y.shape(), |out| {
        each_block(out, d, |start, out| {
            out.copy_from_slice(&g.values()[start..start + out.len()]);
            let y = &y.values()[start..start + out.len()];
            out.chunks_mut(d).zip(y.chunks(d)).for_each(|(g, y)| row_grad(y, g));
        });
    }))
}

pub(crate) fn log_forward<A: Scalar>(x: &CpuTensor<A>) -> Result<CpuTensor<A>> {
    let d = width("log_softmax", x)?;
    let x = x.contiguous();
    Ok(CpuTensor::build(x.shape(), |out| {
        each_block(out, d, |start, out| {
            let x = &x.values()[start..start + out.len()];
            for (out, x) in out.chunks_mut(d).zip(x.chunks(d)) {
                let max = max_row(x);
                out.copy_from_slice(x);
                exp_row(out, max);
                let log_sum = max + sum_row(out).ln();
                out.iter_mut().zip(x).for_each(|(y, &x)| *y = x - log_sum);
            }
        });
    }))
}

pub(crate) fn log_backward<A: Scalar>(y: &CpuTensor<A>, g: &CpuTensor<A>) -> Result<CpuTensor<A>> {
    let d = width("log_softmax_grad", y)?;
    let (y, g) = pair("log_softmax_grad", y, g)?;
    Ok(CpuTensor::build(y.shape(), |out| {
        each_block(out, d, |start, out| {
            let (y, g) = (&y.values()[start..start + out.len()], &g.values()[start..start + out.len()]);
            for ((out, y), g) in out.chunks_mut(d).zip(y.chunks(d)).zip(g.chunks(d)) {
                let total = sum_row(g);
                out.copy_from_slice(y);
                exp_row(out, A::default());
                out.iter_mut().zip(g).for_each(|(p, &g)| *p = g - *p * total);
            }
        });
    }))
}
