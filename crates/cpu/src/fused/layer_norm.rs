//! Layer normalisation, row by row: mean, biased variance, then `y = (x − μ)/√(σ² + ε) ⊙ w + b`.

use super::{block_len, each_block};
use crate::scalar::Scalar;
use crate::simd::simd;
use crate::storage::Buffer;
use crate::tensor::CpuTensor;
use crate::walk::sum_row;
use simseg_tensor::parallel::prelude::*;
use simseg_tensor::{Result, Tensor, contract};

simd! {
    /// `Σ (x − μ)²` with sixteen running sums.
    fn square_row<A: Scalar>(x: &[A], mean: A) -> A {
        let mut lanes = [A::default(); 16];
        for chunk in x.chunks(16) {
            for (lane, &x) in lanes.iter_mut().zip(chunk) {
                *lane += (x - mean) * (x - mean);
            }
        }
        lanes.into_iter().sum()
    }
}

simd! {
    /// `y = (x − μ)·scale ⊙ w + b`
    fn shape_row<A: Scalar>(x: &[A], moments: (A, A), weight: &[A], bias: &[A], y: &mut [A]) {
        let (mean, inverse) = moments;
        for (((y, &x), &w), &b) in y.iter_mut().zip(x).zip(weight).zip(bias) {
            *y = (x - mean) * inverse * w + b;
        }
    }
}

simd! {
    /// Into `rows`: `n = (x − μ)·scale` and `h = g ⊙ w`; into `sums`: `dw += g ⊙ n` and `db += g`.
    fn gather_row<A: Scalar>(x: &[A], moments: (A, A), g: &[A], weight: &[A], rows: [&mut [A]; 2], sums: [&mut [A]; 2]) {
        let ((mean, inverse), [normal, h], [dw, db], d) = (moments, rows, sums, x.len());
        let (g, weight, normal, h, dw, db) =
            (&g[..d], &weight[..d], &mut normal[..d], &mut h[..d], &mut dw[..d], &mut db[..d]);
        for i in 0..d {
            normal[i] = (x[i] - mean) * inverse;
            h[i] = g[i] * weight[i];
            dw[i] += g[i] * normal[i];
            db[i] += g[i];
        }
    }
}

simd! {
    /// `dx = (h − mean(h) − n·mean(h ⊙ n))·scale`, both means given.
    fn spread_row<A: Scalar>(h: &[A], normal: &[A], means: [A; 2], inverse: A, dx: &mut [A]) {
        let [mean_h, along] = means;
        for ((dx, &h), &n) in dx.iter_mut().zip(h).zip(normal) {
            *dx = (h - mean_h - n * along) * inverse;
        }
    }
}

/// Mean and `1/√(σ² + ε)` of a row. Two passes: the one-pass formula loses the variance of rows far from zero.
fn moments<A: Scalar>(row: &[A], eps: A) -> (A, A) {
    let scale = A::lit(1.0 / row.len() as f64);
    let mean = sum_row(row) * scale;
    (mean, A::lit(1.0) / (square_row(row, mean) * scale + eps).sqrt())
}

fn check<A: Scalar>(x: &CpuTensor<A>, weight: &CpuTensor<A>, bias: &CpuTensor<A>) -> Result<usize> {
    contract::layer_norm(x.shape(), weight.shape(), bias.shape())
}

pub(crate) fn forward<A: Scalar>(
    x: &CpuTensor<A>,
    weight: &CpuTensor<A>,
    bias: &CpuTensor<A>,
    eps: f64,
) -> Result<CpuTensor<A>> {
    let d = check(x, weight, bias)?;
    let (x, weight, bias) = (x.contiguous(), weight.contiguous(), bias.contiguous());
    let eps = A::lit(eps);
    Ok(CpuTensor::build(x.shape(), |out| {
        each_block(out, d, |start, out| {
            let x = &x.values()[start..start + out.len()];
            for (y, x) in out.chunks_mut(d).zip(x.chunks(d)) {
                shape_row(x, moments(x, eps), weight.values(), bias.values(), y);
            }
        });
    }))
}

pub(crate) fn backward<A: Scalar>(
    x: &CpuTensor<A>,
    weight: &CpuTensor<A>,
    eps: f64,
    grad: &CpuTensor<A>,
) -> Result<(CpuTensor<A>, CpuTensor<A>, CpuTensor<A>)> {
    let d = check(x, weight, weight)?;
    contract::gradient("layer_norm_grad", x.shape(), grad.shape())?;
    let (x, weight, g) = (x.contiguous(), weight.contiguous(), grad.contiguous());
    if x.numel() == 0 {
        let zeros = || CpuTensor::owned(Buffer::filled(A::default(), d), &[d]);
        return Ok((x.clone(), zeros(), zeros()));
    }
    let (eps, scale) = (A::lit(eps), A::lit(1.0 / d as f64));
    // Each block of rows adds its own `dw` and `db`; they are summed in block order afterwards.
    let len = block_len(d);
    let mut sums = Buffer::filled(A::default(), x.numel().div_ceil(len) * 2 * d);
    let dx = CpuTensor::build(x.shape(), |out| {
        let blocks = out.par_chunks_mut(len).zip(x.values().par_chunks(len)).zip(g.values().par_chunks(len));
        blocks.zip(sums.par_chunks_mut(2 * d)).for_each(|(((out, x), g), sums)| {
            let (dw, db) = sums.split_at_mut(d);
            let mut h = vec![A::default(); d];
            let mut normal = vec![A::default(); d];
            for ((out, x), g) in out.chunks_mut(d).zip(x.chunks(d)).zip(g.chunks(d)) {
                let moments = moments(x, eps);
                gather_row(x, moments, g, weight.values(), [&mut normal, &mut h], [&mut *dw, &mut *db]);
                let means = [sum_row(&h) * scale, super::softmax::dot_row(&h, &normal) * scale];
                spread_row(&h, &normal, means, moments.1, out);
            }
        });
    });
    let total = CpuTensor::build(&[2 * d], |out| crate::contraction::columns(&sums, 2 * d, out));
    Ok((dx, total.slice(0, 0, d)?, total.slice(0, d, d)?))
}
