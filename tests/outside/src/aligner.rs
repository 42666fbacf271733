//! An aligner with learned parameters, a similarity of its own and a term in the loss.
//!
//! Each channel has a gate `g_c = σ(w_c)`: `z = normalise(g ⊙ mean_j x_j)`, and `s(i, t) = z_i·z_t + ½·max_j x̂_j·z_t` also looks at the
//! best single patch. The loss gets `1e-2·mean(g)`, so that channels that help nobody close.

use serde::{Deserialize, Serialize};
use simseg_model::pool::pooled_tokens;
use simseg_model::{Aligner, AlignerConfig, Parameters, Side, Stage, Tokens};
use simseg_registry::Kinds;
use simseg_tensor::{Init, Ops, Parameter, Result, Tensor};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Gated {
    #[serde(default)]
    start: f64,
}

struct Gates<T> {
    weights: T,
}

impl<T: Tensor> Aligner<T> for Gates<T> {
    fn pool(&self, side: Side, tokens: &Tokens<T>) -> Result<T> {
        let mean = pooled_tokens(side, tokens)?.mean(1)?.squeeze(1)?; //     [b, d]
        mean.mul(&self.weights.sigmoid()?.unsqueeze(0)?)?.l2_normalize_pooled()
    }

    fn similarity(&self, image: &Tokens<T>, text: &Tokens<T>) -> Result<T> {
        let words = self.pool(Side::Text, text)?.t()?; //                    [d, c]
        let patches = pooled_tokens(Side::Image, image)?.l2_normalize()?; // [b, n, d]
        let ([b, n, d], c) = (patches.dims()?, words.shape()[1]);
        let each = patches.reshape(&[b * n, d])?.matmul(&words)?.reshape(&[b, n, c])?;
        let best = each.max(1)?.squeeze(1)?.scale(0.5)?; //                  [b, c]
        self.pool(Side::Image, image)?.matmul(&words)?.add(&best)
    }

    fn pairwise(&self) -> bool {
        true
    }

    fn extra_loss(&self, _: &Tokens<T>, _: &Tokens<T>) -> Result<Option<T>> {
        self.weights.sigmoid()?.mean_all()?.scale(1e-2).map(Some)
    }
}

impl<T: Tensor> AlignerConfig<T> for Gated {
    fn parameters(&self, projection: usize) -> Vec<(String, Parameter)> {
        vec![("gates".into(), Parameter::new(&[projection], Init::Constant(self.start)))]
    }

    fn build(&self, _: Stage, parameters: &Parameters<T>) -> Result<Box<dyn Aligner<T>>> {
        Ok(Box::new(Gates { weights: parameters.get("aligner.gates")?.clone() }))
    }
}

pub fn register<T: Tensor>(kinds: &mut Kinds<dyn AlignerConfig<T>>) {
    kinds.add("gated", "a learned gate per channel", |config: Gated| Ok(Box::new(config)));
}
