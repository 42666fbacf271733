//! Alignment: how many tokens become one vector per image and per caption, and how two of these compare.
//!
//! Three answers, each in its own file: [`holistic`] listens to the summary token, [`dense`] to all tokens alike,
//! [`loda`] to the few that respond most, channel by channel. Tokens are projected before, vectors normalised after:
//! `z / (‖z‖ + 1e-8)`.

pub mod holistic;
pub mod dense;
pub mod loda;

pub use dense::Dense;
pub use holistic::Holistic;
pub use loda::Loda;

use crate::tokens::Tokens;
use serde::{Deserialize, Serialize};
use simseg_tensor::{Error, Ops, Result, Tensor};

/// Which tower tokens come from: their summary token is treated differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Token 0 is the summary; patches follow.
    Image,
    /// All tokens, the first and last special ones included, are words.
    Text,
}

/// Pools tokens into unit vectors and compares them.
///
/// Callers may rely on: an item's vector depends on that item alone, unless the aligner's documentation says otherwise.
pub trait Aligner<T: Tensor> {
    /// `[b, n, d]` → `[b, d]`, rows of norm 1.
    fn pool(&self, side: Side, tokens: &Tokens<T>) -> Result<T>;

    /// `[b, b]`: image `i` against caption `j`.
    fn similarity(&self, image: &Tokens<T>, text: &Tokens<T>) -> Result<T> {
        self.pool(Side::Image, image)?.matmul(&self.pool(Side::Text, text)?.t()?)
    }
}

/// What padding does to a pooling over words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Padding {
    /// Nothing: every caption has its own `k = min(k, its length)`.
    #[default]
    PerCaption,
    /// It takes no part, but all captions share `k = min(k, the shortest)`: `TopKPooling` of the released code, where an
    /// embedding depends on its neighbours in the batch.
    ShortestInBatch,
    /// It competes with the words: `VanillaTopKPooling` of the released code.
    Compete,
}

/// An aligner by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum AlignerConfig {
    // Braces: serde lets a variant without them swallow unknown keys.
    /// Summary token to summary token.
    Holistic {},
    /// Mean over all patches, mean over all words.
    Dense {},
    /// The strongest responses per channel.
    Loda {
        /// Responses per channel over patches, `M^I` of the paper.
        image_k: usize,
        /// Responses per channel over words, `M^T` of the paper.
        text_k: usize,
        /// The same at evaluation, if different.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        eval_image_k: Option<usize>,
        /// The same at evaluation, if different (paper: 5 in training, 1 at evaluation).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        eval_text_k: Option<usize>,
        /// What padding does.
        #[serde(default)]
        padding: Padding,
    },
}

impl AlignerConfig {
    /// Whether the numbers fit a model with this many patches and at most this many words.
    ///
    /// # Errors
    /// The key that does not.
    pub fn check(&self, patches: usize, words: usize) -> Result<()> {
        let Self::Loda { image_k, text_k, eval_image_k, eval_text_k, .. } = *self else { return Ok(()) };
        let limits = [
            ("image_k", Some(image_k), patches, "patches"),
            ("eval_image_k", eval_image_k, patches, "patches"),
            ("text_k", Some(text_k), words, "tokens of a caption"),
            ("eval_text_k", eval_text_k, words, "tokens of a caption"),
        ];
        for (key, k, most, of) in limits {
            if let Some(k) = k.filter(|&k| k == 0 || k > most) {
                return Err(Error::setting(format!("aligner.{key}"), format!("from 1 to the {most} {of}, found {k}")));
            }
        }
        Ok(())
    }

    /// The aligner to train with.
    pub fn train<T: Tensor>(&self) -> Box<dyn Aligner<T> + Send + Sync> {
        match *self {
            Self::Holistic {} => Box::new(Holistic),
            Self::Dense {} => Box::new(Dense),
            Self::Loda { image_k, text_k, padding, .. } => Box::new(Loda { image_k, text_k, padding }),
        }
    }

    /// The aligner to evaluate with.
    pub fn eval<T: Tensor>(&self) -> Box<dyn Aligner<T> + Send + Sync> {
        match *self {
            Self::Loda { image_k, text_k, eval_image_k, eval_text_k, padding } => {
                let (image_k, text_k) = (eval_image_k.unwrap_or(image_k), eval_text_k.unwrap_or(text_k));
                Box::new(Loda { image_k, text_k, padding })
            }
            other => other.train(),
        }
    }
}

/// Patches without the summary token, or all words.
pub(crate) fn listeners<T: Tensor>(side: Side, tokens: &Tokens<T>) -> Result<T> {
    let [_, n, _] = tokens.values.dims()?;
    match side {
        Side::Image if n < 2 => Err(Error::Shape {
            op: "pool",
            lhs: tokens.values.shape().to_vec(),
            rhs: vec![],
            rule: "a summary token and at least one patch",
        }),
        Side::Image => tokens.values.slice(1, 1, n - 1),
        Side::Text => Ok(tokens.values.clone()),
    }
}
