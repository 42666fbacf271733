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
    embed: impl FnMut(&[D], usize) -> Result<[D; 2]>,
    loss: impl Fn(&[D], &D, &D) -> Result<D>,
) -> Result<(D, Vec<D>)> {
    accumulate_with(parameters, parts, embed, |leaves, images, captions| {
        let (images, captions) = (images.leaf(), captions.leaf());
        let wanted: Vec<&D> = [&images, &captions].into_iter().chain(leaves).collect();
        let (value, mut gradients) = loss(leaves, &images, &captions)?.backward(&wanted)?;
        let direct = gradients.split_off(2);
        Ok(Contrasted { loss: value, embeddings: gradients, direct })
    })
}

/// What the contrast of a batch leaves to the towers.
#[derive(Debug)]
pub struct Contrasted<D> {
    /// The loss, a scalar.
    pub loss: D,
    /// `∂L/∂e` of the images and of the captions, `[b, e]` each.
    pub embeddings: Vec<D>,
    /// What reaches parameters past the embeddings, one for each: the temperature's, and that of a loss with parameters of its own.
    pub direct: Vec<D>,
}

/// The same with the middle step given: `contrast(leaves, images, captions)` gets parameters to differentiate by and all embeddings as
/// constants. Where other processes have more pairs of the batch, it asks them for theirs.
///
/// # Errors
/// As [`accumulate`].
pub fn accumulate_with<D: Differentiable>(
    parameters: &[D],
    parts: usize,
    mut embed: impl FnMut(&[D], usize) -> Result<[D; 2]>,
    contrast: impl FnOnce(&[D], &D, &D) -> Result<Contrasted<D>>,
) -> Result<(D, Vec<D>)> {
    if parts == 0 {
        return Err(Error::setting("training.parts", "at least 1"));
    }
    let constants: Vec<D> = parameters.iter().map(Differentiable::detach).collect();
    let leaves = || -> Vec<D> { constants.iter().map(Differentiable::leaf).collect() };
    // One part has room for its record: it is kept, and nothing is computed twice.
    let recorded = (parts == 1).then(leaves);
    let embedded = match &recorded {
        Some(leaves) => vec![embed(leaves, 0)?],
        None => (0..parts).map(|s| embed(&constants, s)).collect::<Result<Vec<_>>>()?,
    };
    let joined = |side: usize| -> Result<D> {
        let all: Vec<D> = embedded.iter().map(|pair| pair[side].detach()).collect();
        D::concat(&all.iter().collect::<Vec<_>>(), 0)
    };
    let contrasted = contrast(&leaves(), &joined(0)?, &joined(1)?)?; //          [b, e] each
    let mut total = contrasted.direct;

    let mut start = 0;
    for (s, [part, other]) in embedded.iter().enumerate() {
        let len = part.shape()[0];
        let (leaves, pair) = match &recorded {
            Some(leaves) => (leaves.clone(), [part.clone(), other.clone()]),
            None => {
                let leaves = leaves();
                let pair = embed(&leaves, s)?;
                (leaves, pair)
            }
        };
        let mut surrogate = D::full(0.0, &[], &part.device())?;
        for (e, g) in pair.iter().zip(&contrasted.embeddings) {
            surrogate = surrogate.add(&e.mul(&g.slice(0, start, len)?)?.sum_all()?)?;
        }
        let wanted: Vec<&D> = leaves.iter().collect();
        for (sum, g) in total.iter_mut().zip(surrogate.backward(&wanted)?.1) {
            *sum = sum.add(&g)?;
        }
        start += len;
    }
    Ok((contrasted.loss, total))
}
