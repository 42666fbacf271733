//! Every switch of the segmentation, named: a recipe is a complete configuration, never a set of hidden defaults.
//!
//! Paper and released code differ in details that the paper does not mention; each is a switch here, so that each can be
//! an ablation (`--set map.upsample=bilinear`). `simseg recipe official-code` prints all of it.

use crate::compose::Compose;
use crate::map::Upsample;
use crate::refine::morphology::Closing;
use crate::refine::{CrfParameters, PamrParameters};
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
    /// Which Pillow resizes them, to the byte.
    #[serde(default)]
    pub resize: Resize,
}

/// Whose antialiased bilinear resize it is; the order of its two passes shows in the last bit of tall pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Resize {
    /// Along rows first: Pillow until version 12, and so the released numbers.
    #[default]
    RowsFirst,
    /// Along columns first where the height shrinks much more than the width: Pillow since version 13.
    #[serde(rename = "pillow-13")]
    Pillow13,
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
        #[serde(default = "one_half")]
        level: f64,
    },
    /// A dense CRF takes the map for a probability (paper and released code).
    Crf(Crf),
    /// PAMR smooths the map along colours, which is then cut at a level (TCL, NACLIP).
    Pamr {
        /// How far and how often.
        #[serde(default)]
        averaging: PamrParameters,
        /// The level.
        #[serde(default = "one_half")]
        level: f64,
    },
}

fn one_half() -> f64 {
    0.5
}

/// A dense CRF and what follows it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Crf {
    /// Who competes for a pixel.
    pub labels: CrfLabels,
    /// Which bytes of the image it sees.
    pub image: CrfImage,
    /// What happens to the mask afterwards.
    pub closing: Closings,
    /// Its kernels and iterations.
    pub kernels: CrfParameters,
}

impl Default for Crf {
    /// The released code.
    fn default() -> Self {
        Self {
            labels: CrfLabels::ClassOrRest,
            image: CrfImage::Truncated,
            closing: Closings::AsExecuted,
            kernels: CrfParameters::default(),
        }
    }
}

/// Who competes for a pixel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CrfLabels {
    /// One CRF per class: the class, with probability `p`, or the rest, with `1 − p` (paper and released code).
    ClassOrRest,
    /// One CRF for all: every class with its `p` and the background with `1 − max p`, divided by their sum.
    Joint,
}

/// Which bytes of the image the CRF sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CrfImage {
    /// Those of the resized image.
    Exact,
    /// Those that come back from the normalised pixels, `⌊255·(x·std + mean)⌋`: often one less (released code).
    Truncated,
}

/// What happens to the masks of a CRF.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Closings {
    /// Nothing.
    Off,
    /// What the released code computes: one 7×7 closing.
    AsExecuted,
    /// What it seems to have meant: 5 dilations and 3 erosions.
    AsIntended,
    /// Your own.
    Own(Closing),
}

impl Closings {
    /// The operation itself.
    pub fn closing(self) -> Option<Closing> {
        match self {
            Self::Off => None,
            Self::AsExecuted => Some(Closing::AS_EXECUTED),
            Self::AsIntended => Some(Closing::AS_INTENDED),
            Self::Own(own) => Some(own),
        }
    }
}

impl Recipe {
    /// The names of the recipes.
    pub fn names() -> &'static [&'static str] {
        &["plain", "official-code", "paper"]
    }

    /// A recipe by name.
    pub fn by_name(name: &str) -> Option<Self> {
        match name {
            "plain" => Some(Self::plain()),
            "official-code" => Some(Self::official_code()),
            "paper" => Some(Self::paper()),
            _ => None,
        }
    }

    /// What the small world uses: bilinear maps, cut at one half, μ + σ over the better half of the classes.
    pub fn plain() -> Self {
        let rule = Statistics { k: 1.0, top_n: TopN::UpperHalf, std: Std::Population, background: false };
        Self {
            input: Input { size: 0, fit: Fit::Squash, resize: Resize::RowsFirst },
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

    /// Step by step what the released evaluation script does (REFERENCE §5). It sees 30 classes instead of 10 on Pascal
    /// Context, which `simseg evaluate` sets when it is told that this is the data set.
    pub fn official_code() -> Self {
        let rule = Statistics { k: 1.0, top_n: TopN::First(10), std: Std::Unbiased, background: true };
        Self {
            input: Input { size: 288, fit: Fit::Squash, resize: Resize::RowsFirst },
            prompts: Prompts {
                templates: Templates::Imagenet80,
                max_tokens: 25,
                text_k: 0,
                padding: PoolPadding::ShortestInBatch,
            },
            threshold: Rule::Statistics(rule),
            candidates: Candidates { cap: 5, background_counts: true },
            map: Map { upsample: Upsample::Nearest, min_max: true },
            refine: Refine::Crf(Crf::default()),
            compose: Compose::Covering,
        }
    }

    /// What the paper says (§3.3, §4.1), without what only the code does: no squashing, no cap on classes, no closing,
    /// smooth upsampling, the upper half of the classes, each prompt pooled by itself. Where the paper is silent the code
    /// decides: the input's size, background in the statistics, and min-max, without which a cosine is no probability.
    pub fn paper() -> Self {
        let code = Self::official_code();
        let rule = Statistics { k: 1.0, top_n: TopN::UpperHalf, std: Std::Unbiased, background: true };
        Self {
            input: Input { fit: Fit::KeepAspect, ..code.input },
            prompts: Prompts { padding: PoolPadding::PerPrompt, ..code.prompts },
            threshold: Rule::Statistics(rule),
            candidates: Candidates { cap: 0, background_counts: false },
            map: Map { upsample: Upsample::Bilinear, ..code.map },
            refine: Refine::Crf(Crf { image: CrfImage::Exact, closing: Closings::Off, ..Crf::default() }),
            compose: code.compose,
        }
    }

    /// The same for a data set: the released code looks at the best 30 classes instead of 10 for Pascal Context.
    pub fn for_dataset(name: &str, dataset: &str) -> Option<Self> {
        let mut recipe = Self::by_name(name)?;
        if let (Rule::Statistics(rule), "official-code", "context") = (&mut recipe.threshold, name, dataset) {
            rule.top_n = TopN::First(30);
        }
        Some(recipe)
    }

    /// Whether refinement looks at truncated bytes.
    pub fn truncates(&self) -> bool {
        matches!(self.refine, Refine::Crf(Crf { image: CrfImage::Truncated, .. }))
    }
}
