//! Every switch of the segmentation, named: a recipe is a complete configuration, never a set of hidden defaults.
//!
//! Paper and released code differ in details that the paper does not mention; each is a switch here, so that each can be
//! an ablation (`--set map.upsample=bilinear`). `simseg segment --recipe official-code --print-recipe` prints all of it.

use crate::compose::Compose;
use crate::map::Upsample;
use crate::threshold::{Candidates, Rule, Statistics, Std, TopN};
use serde::{Deserialize, Serialize};

/// The complete configuration of one segmentation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// How the image reaches the network.
    pub input: Input,
    /// How words become class embeddings.
    pub prompts: Prompts,
    /// Which classes are in the image.
    pub threshold: Rule,
    /// How far down the ranking to look.
    pub candidates: Candidates,
    /// Where a class is.
    pub map: Map,
    /// How a map becomes a mask.
    pub refine: Refine,
    /// One label per pixel.
    pub compose: Compose,
}

/// How the image reaches the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Side of the square (`squash`), or of the shorter side (`keep-aspect`, rounded to whole patches), in pixels;
    /// 0 is the size the model was trained at.
    pub size: usize,
    /// What happens to images that are not square.
    pub fit: Fit,
}

/// What happens to images that are not square.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fit {
    /// They are squashed into a square (released code).
    Squash,
    /// They keep their aspect ratio.
    KeepAspect,
}

/// How words become class embeddings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prompts {
    /// The templates.
    pub templates: Templates,
    /// Words beyond this many tokens are cut.
    pub max_tokens: usize,
    /// The responses per channel that a prompt is pooled from; 0 is what the model says (paper: 1 at evaluation).
    pub text_k: usize,
    /// What padding does to that pooling.
    pub padding: PoolPadding,
}

/// What padding does to the pooling of prompts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PoolPadding {
    /// Every prompt has its own `k = min(k, its length)` and padding takes no part.
    PerPrompt,
    /// All prompts of a class share `k = min(k, the shortest)`; padding takes no part (`TopKPooling` of the release).
    ShortestInBatch,
    /// Padding competes with words (`VanillaTopKPooling` of the release).
    Compete,
}

/// A set of prompt templates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Templates {
    /// The 80 templates CLIP used for ImageNet.
    Imagenet80,
    /// `a picture of a {}.`
    Single,
    /// Your own; `{}` stands for the class.
    Own(Vec<String>),
}

/// Where a class is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Map {
    /// From patches to pixels.
    pub upsample: Upsample,
    /// Whether each map is stretched to `[0, 1]`.
    pub min_max: bool,
}

/// How a map becomes a mask.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Refine {
    /// Every pixel whose map is above a level.
    Cut {
        /// The level.
        level: f64,
    },
}

impl Recipe {
    /// The names of the recipes.
    pub fn names() -> &'static [&'static str] {
        &["plain"]
    }

    /// A recipe by name.
    pub fn by_name(name: &str) -> Option<Self> {
        match name {
            "plain" => Some(Self::plain()),
            _ => None,
        }
    }

    /// What the small world uses: bilinear maps, cut at one half, μ + σ over the better half of the classes.
    pub fn plain() -> Self {
        let rule = Statistics { k: 1.0, top_n: TopN::UpperHalf, std: Std::Population, background: false };
        Self {
            input: Input { size: 0, fit: Fit::Squash },
            prompts: Prompts {
                templates: Templates::Single,
                max_tokens: 25,
                text_k: 0,
                padding: PoolPadding::PerPrompt,
            },
            threshold: Rule::Statistics(rule),
            candidates: Candidates { cap: 0, background_counts: false },
            map: Map { upsample: Upsample::Bilinear, min_max: true },
            refine: Refine::Cut { level: 0.5 },
            compose: Compose::Covering,
        }
    }
}
