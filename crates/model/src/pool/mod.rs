//! Alignment: how many tokens become one vector per image and per caption, and how two of these compare.
//!
//! The paper compares three answers, each in its own file with its settings: [`holistic`] uses the \[CLS\] token, [`dense`] all tokens
//! alike, [`loda`] the few that respond most, channel by channel. Tokens are projected before, vectors normalised after:
//! `z / (‖z‖ + 1e-8)`.
//!
//! Each of the others changes one thing about these. [`token_top_k`] chooses whole tokens, [`soft_top_k`] has weights instead of a
//! number, [`cls_plus`] joins \[CLS\] and patches, [`attention_pool`] learns what counts; [`filip`] matches token by token and [`pacl`]
//! pools for every caption anew (both compare pairs themselves); [`sparc`] contrasts words within their caption beside dense pairs.

simseg_registry::family! {
    /// Registers every aligner.
    pub fn register<T: Tensor>(aligners: &mut Kinds<dyn AlignerConfig<T>>);
    holistic, dense, loda, token_top_k, soft_top_k, cls_plus, attention_pool, filip, pacl, sparc,
}

mod lengths;
#[cfg(test)]
mod naive;

pub use attention_pool::AttentionPoolConfig;
pub use cls_plus::{ClsMax, ClsMean};
pub use dense::Dense;
pub use filip::Filip;
pub use holistic::Holistic;
pub use loda::{Loda, LodaConfig};
pub use pacl::Pacl;
pub use soft_top_k::SoftTopK;
pub use sparc::Sparc;
pub use token_top_k::TokenTopK;

use crate::network::Architecture;
use crate::parameters::Parameters;
use crate::tokens::Tokens;
use serde::{Deserialize, Serialize};
use simseg_registry::Kinds;
use simseg_tensor::{Error, Ops, Parameter, Result, Tensor};

/// Which encoder tokens come from: their \[CLS\] tokens are treated differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Token 0 is \[CLS\]; patches follow.
    Image,
    /// All tokens, \[CLS\] and \[SEP\] included, count as words.
    Text,
}

/// Pools tokens into unit vectors and compares them.
///
/// Callers may rely on: an item's vector depends on that item alone, unless the aligner's documentation says otherwise.
pub trait Aligner<T: Tensor>: Send + Sync {
    /// `[b, n, d]` → `[b, d]`, rows of norm 1.
    ///
    /// # Errors
    /// If there are too few tokens.
    fn pool(&self, side: Side, tokens: &Tokens<T>) -> Result<T>;

    /// `[b, c]`: image `i` of `b` against caption `j` of `c`.
    ///
    /// # Errors
    /// If there are too few tokens.
    fn similarity(&self, image: &Tokens<T>, text: &Tokens<T>) -> Result<T> {
        self.pool(Side::Image, image)?.matmul(&self.pool(Side::Text, text)?.t()?)
    }

    /// Whether [`Self::similarity`] is something else than the dot of two pools. Evaluation then keeps the tokens of images and
    /// prompts and asks for it.
    fn pairwise(&self) -> bool {
        false
    }

    /// A term of its own in the loss of a batch of pairs, a scalar.
    ///
    /// # Errors
    /// If the backend fails.
    fn extra_loss(&self, image: &Tokens<T>, text: &Tokens<T>) -> Result<Option<T>> {
        let _ = (image, text);
        Ok(None)
    }

    /// How much each pooled token counts in each channel before normalisation, `[b, n, d]`: the pool is `Σ_j share_j·x_j`,
    /// divided by its norm. Patches without \[CLS\], or all words. `None` where a pool is no such sum.
    ///
    /// # Errors
    /// If there are too few tokens.
    fn shares(&self, side: Side, tokens: &Tokens<T>) -> Result<Option<T>> {
        let _ = (side, tokens);
        Ok(None)
    }
}

/// An aligner before it has weights. One without parameters and without checks implements [`Self::build`] alone.
pub trait AlignerConfig<T: Tensor>: Send + Sync {
    /// Whether the numbers fit a network.
    ///
    /// # Errors
    /// The key that does not.
    fn check(&self, limits: Limits) -> Result<()> {
        let _ = limits;
        Ok(())
    }

    /// Whether the loss of a batch needs nothing but its pools, so that the networks may go through it in parts: false for an aligner with
    /// [`Aligner::pairwise`] similarities or an [`Aligner::extra_loss`].
    fn pools_suffice(&self) -> bool {
        true
    }

    /// Learned parameters, for tokens of `projection` channels. They are saved and optimised with the model, as `aligner.NAME`.
    fn parameters(&self, projection: usize) -> Vec<(String, Parameter)> {
        let _ = projection;
        vec![]
    }

    /// Settings that training does not depend on.
    fn evaluation_keys(&self) -> &'static [&'static str] {
        &[]
    }

    /// The aligner, given all parameters: its own are called `aligner.NAME`.
    ///
    /// # Errors
    /// If a parameter is missing.
    fn build(&self, stage: Stage, parameters: &Parameters<T>) -> Result<Box<dyn Aligner<T>>>;
}

/// What an aligner's settings are held against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Patches of a training image.
    pub patches: usize,
    /// Tokens of the longest caption.
    pub words: usize,
}

impl Limits {
    /// Those of a network.
    pub fn of<A: Architecture + ?Sized>(network: &A) -> Self {
        let grid = network.image_size() / network.patch().max(1);
        Self { patches: grid * grid, words: network.positions() }
    }
}

/// That a temperature is one: what is divided by it must stay a number.
pub(crate) fn check_temperature(temperature: f64) -> Result<()> {
    match temperature > 0.0 && temperature.is_finite() {
        true => Ok(()),
        false => Err(Error::setting("aligner.temperature", format!("a positive number, found {temperature}"))),
    }
}

/// What an aligner is built for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Captions, in batches.
    Training,
    /// Images, and prompts as a recipe has them.
    Evaluation(PromptPooling),
}

/// What a recipe says about pooling prompts; aligners to which it does not apply go by their own settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PromptPooling {
    /// Top-k responses per channel.
    pub k: Option<usize>,
    /// What padding does.
    pub padding: Option<Padding>,
}

/// What padding does to a pooling over words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Padding {
    /// Nothing: every caption has its own `k = min(k, its length)`.
    #[default]
    #[serde(alias = "per-prompt")]
    PerCaption,
    /// It takes no part, but all captions share `k = min(k, the shortest)`: `TopKPooling` of the released code, where an
    /// embedding depends on its neighbours in the batch.
    ShortestInBatch,
    /// It competes with the words: `VanillaTopKPooling` of the released code.
    Compete,
}

/// What is pooled, `[b, n, d]`: patches without the \[CLS\] token, or all words.
///
/// # Errors
/// If an image has no patches.
pub fn pooled_tokens<T: Tensor>(side: Side, tokens: &Tokens<T>) -> Result<T> {
    let [_, n, _] = tokens.values.dims()?;
    match side {
        Side::Image if n < 2 => Err(Error::Shape {
            op: "pool",
            lhs: tokens.values.shape().to_vec(),
            rhs: vec![],
            rule: "a [CLS] token and at least one patch",
        }),
        Side::Image => tokens.values.slice(1, 1, n - 1),
        Side::Text => Ok(tokens.values.clone()),
    }
}
