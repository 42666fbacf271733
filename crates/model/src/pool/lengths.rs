//! What padding means for a pool over words: a weight of 0, a score that never wins, or a copy of a word that is there.

use crate::tokens::Tokens;
use simseg_tensor::{Ops, PADDING, Result, Tensor};

/// `real` for the first `lengths[i]` of `n` tokens of item `i`, `padded` for the others.
fn spread(lengths: &[usize], n: usize, real: impl Fn(usize) -> f64, padded: f64) -> Vec<f64> {
    lengths
        .iter()
        .flat_map(|&l| (0..n).map(move |j| (j < l, l)))
        .map(|(is, l)| if is { real(l) } else { padded })
        .collect()
}

/// The weight of every token in a mean over `x [b, n, d]`, `[b, n, 1]`: `1/n_b`, and 0 for padding.
pub(super) fn mean_weights<T: Tensor>(x: &T, lengths: &[usize]) -> Result<T> {
    let [b, n, _] = x.dims()?;
    T::from_host(&spread(lengths, n, |l| 1.0 / l as f64, 0.0), &[b, n, 1], &x.device())
}

/// The mean over tokens, `[b, n, d]` → `[b, d]`, padding left out.
pub(super) fn mean<T: Tensor>(x: &T, lengths: Option<&[usize]>) -> Result<T> {
    match lengths {
        None => x.mean(1)?,
        Some(lengths) => x.mul(&mean_weights(x, lengths)?)?.sum(1)?,
    }
    .squeeze(1)
}

/// What is added to the score of every token of `x [b, n, d]`, `[b, n]`: 0, and [`PADDING`] for padding. `None` without padding.
pub(super) fn score_bias<T: Tensor>(x: &T, lengths: Option<&[usize]>) -> Result<Option<T>> {
    let [b, n, _] = x.dims()?;
    match lengths.filter(|lengths| lengths.iter().any(|&l| l < n)) {
        None => Ok(None),
        Some(lengths) => T::from_host(&spread(lengths, n, |_| 0.0, PADDING), &[b, n], &x.device()).map(Some),
    }
}

/// The tokens with every padded one replaced by the first: a maximum over all of them is one over the real ones.
pub(super) fn filled<T: Tensor>(tokens: &Tokens<T>) -> Result<T> {
    let x = &tokens.values;
    let [b, n, _] = x.dims()?;
    match tokens.lengths.as_deref().filter(|lengths| lengths.iter().any(|&l| l < n)) {
        None => Ok(x.clone()),
        Some(lengths) => {
            let mask = |real, padded| T::from_host(&spread(lengths, n, |_| real, padded), &[b, n, 1], &x.device());
            x.mul(&mask(1.0, 0.0)?)?.add(&x.slice(1, 0, 1)?.mul(&mask(0.0, 1.0)?)?)
        }
    }
}
