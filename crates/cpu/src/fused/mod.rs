//! The fused hooks: the formulas of `simseg_tensor::hooks`, each in one pass over the rows.

pub(crate) mod linear;
pub(crate) mod softmax;
pub(crate) mod layer_norm;
pub(crate) mod gelu;
pub(crate) mod attention;
pub(crate) mod adamw;

use crate::scalar::Scalar;
use crate::tensor::CpuTensor;
use crate::walk::GRAIN;
use simseg_tensor::parallel::prelude::*;
use simseg_tensor::{Result, Tensor, contract};

/// The last axis' length.
fn width<A: Scalar>(op: &'static str, x: &CpuTensor<A>) -> Result<usize> {
    contract::last(op, x.shape())
}

/// Runs `body(block, rows of out)` over blocks of whole rows in parallel.
fn each_block<A: Scalar>(out: &mut [A], width: usize, body: impl Fn(usize, &mut [A]) + Sync) {
    if out.is_empty() {
        return;
    }
    let len = block_len(width);
    if out.len() <= len {
        body(0, out);
    } else {
        out.par_chunks_mut(len).enumerate().for_each(|(block, out)| body(block * len, out));
    }
}

/// Values in a block of whole rows.
fn block_len(width: usize) -> usize {
    (GRAIN / width).max(1) * width
}
