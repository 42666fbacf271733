//! A big batch on small memory: the contrast is over all pairs, the networks run over a few at a time.
//!
//! With embeddings `e_s(θ)` of sub-batch `s` and the loss `L(e₁, …, e_S)` of all of them, the chain rule reads
//! `dL/dθ = Σ_s (∂L/∂e_s) · (∂e_s/∂θ)` (Gao et al. 2021, "Scaling deep contrastive learning batch size").
//! 1. without a record, collect all `e_s`;
//! 2. `g_s = ∂L/∂e_s`: exact, and cheap, as the loss sees `[b, e]` only;
//! 3. with a record, compute `e_s` again and differentiate the number `Σ e_s ⊙ g_s`, one sub-batch at a time.
//!
//! Twice the forward work buys memory for one sub-batch. Both passes must see the same `e_s`: no randomness inside, and
//! no pooling that depends on neighbours ([`crate::pool::Padding::ShortestInBatch`] then sees the sub-batch only).

use simseg_tensor::{Differentiable, Error, Ops, Result};

/// Loss of the whole batch, and its gradient for every parameter.
///
/// - `parameters`: values; they are handed on as leaves where a gradient is wanted.
/// - `embed(parameters, s)`: pooled images and captions of sub-batch `s`, `[b_s, e]` each.
/// - `loss(parameters, images, captions)`: of all of them, `[b, e]` each; parameters are for the temperature.
///
/// ```
/// # use simseg_cpu::{CpuDevice, CpuTensor};
/// # use simseg_tensor::{Autodiff, Ops, Tensor};
/// # use simseg_model::accumulate::accumulate;
/// # type T = Autodiff<CpuTensor<f64>>;
/// let one = |x: f64| T::from_host(&[x], &[1, 1], &CpuDevice);
/// // Images w·1 and w·2, captions 1: L = (Σ w·xᵢ)² = 9w², dL/dw = 18w
/// let embed = |p: &[T], s: usize| Ok([p[0].scale(1.0 + s as f64)?, one(1.0)?]);
/// let loss = |_: &[T], images: &T, _: &T| images.sum_all()?.square();
/// let (loss, gradients) = accumulate(&[one(2.0)?], 2, embed, loss)?;
/// assert_eq!((loss.item()?, gradients[0].item()?), (36.0, 36.0));
/// # Ok::<(), simseg_tensor::Error>(())
/// ```
///
/// # Errors
/// If there is no sub-batch, or shapes do not fit.
pub fn accumulate<D: Differentiable>(
    parameters: &[D],
    parts: usize,
    mut embed: impl FnMut(&[D], usize) -> Result<[D; 2]>,
    loss: impl Fn(&[D], &D, &D) -> Result<D>,
) -> Result<(D, Vec<D>)> {
    if parts == 0 {
        return Err(Error::setting("training.parts", "at least 1"));
    }
    let constants: Vec<D> = parameters.iter().map(Differentiable::detach).collect();
    let embedded = (0..parts).map(|s| embed(&constants, s)).collect::<Result<Vec<_>>>()?;
    let joined = |side: usize| D::concat(&embedded.iter().map(|pair| &pair[side]).collect::<Vec<_>>(), 0);
    let (images, captions) = (joined(0)?.leaf(), joined(1)?.leaf()); //          [b, e]

    let leaves: Vec<D> = constants.iter().map(Differentiable::leaf).collect();
    let value = loss(&leaves, &images, &captions)?;
    let wanted: Vec<&D> = [&images, &captions].into_iter().chain(&leaves).collect();
    let (value, mut gradients) = value.backward(&wanted)?;
    let direct = gradients.split_off(2); // what reaches parameters past the embeddings: the temperature
    let mut total = direct;

    let mut start = 0;
    for (s, [part, _]) in embedded.iter().enumerate() {
        let len = part.shape()[0];
        let leaves: Vec<D> = constants.iter().map(Differentiable::leaf).collect();
        let mut surrogate = D::full(0.0, &[], &part.device())?;
        for (e, g) in embed(&leaves, s)?.iter().zip(&gradients) {
            surrogate = surrogate.add(&e.mul(&g.slice(0, start, len)?)?.sum_all()?)?;
        }
        let wanted: Vec<&D> = leaves.iter().collect();
        for (sum, g) in total.iter_mut().zip(surrogate.backward(&wanted)?.1) {
            *sum = sum.add(&g)?;
        }
        start += len;
    }
    Ok((value, total))
}
