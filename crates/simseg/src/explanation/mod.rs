//! Everything that happened between a picture and its label map, as one structure that can be written down and drawn.
//!
//! ```text
//! picture → patches f [n, d] → pooled z [d] → scores s [c] → selected → maps [h, w] → masks [h, w] → labels [H, W]
//! words   → tokens  g [m, d] → pooled u [d] ┘                  └ μ, σ, θ    └ min-max    └ CRF, closing
//! ```
//!
//! Nothing here is computed a second way: values come from [taps](simseg_tensor::Tap) of the very segmentation that made the label map,
//! and the aligner itself says which responses it pooled. `simseg explain` and the live page (`crates/web`) draw this structure.
//!
//! Reading order: this file (what there is), `pooling` (which responses were picked), [`ledger`] (what each patch adds to a score), `seen`
//! (the tap), `gather` (all of it, from a model).

mod gather;
pub mod ledger;
pub mod palette;
mod pooling;
mod seen;

pub use ledger::{Ledger, Term};
pub use pooling::{Pick, Pooling};

use serde::{Deserialize, Serialize};
use simseg_registry::Choice;
use simseg_segment::compose::Why;
use simseg_segment::map::Size;
use simseg_segment::threshold::Looked;

/// The format of what is written; another number means other fields.
pub const FORMAT: u32 = 1;

/// One picture, step by step. `n` patches, `d` channels, `c` classes; `h × w` pixels of the network's input, `H × W` of the picture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// [`FORMAT`].
    pub format: u32,
    /// What the model contrasts: its aligner with all settings.
    pub aligner: Choice,
    /// Every switch of the segmentation, as TOML.
    pub recipe: String,
    /// The picture's own size, `H × W`.
    pub picture: Size,
    /// What the network sees, `h × w`.
    pub input: Size,
    /// Its patches: `n = height · width`.
    pub grid: Size,
    /// Channels that images and words share, `d`.
    pub channels: usize,
    /// The classes, the background first if there is one.
    pub classes: Vec<Class>,
    /// Whether class 0 is the background.
    pub background: bool,
    /// Projected patch features, not normalised, `[n·d]`, patch by patch.
    pub patches: Vec<f32>,
    /// The pooled image `z`, of norm 1, `[d]`.
    pub embedding: Vec<f32>,
    /// Which patches each channel of `z` was pooled from.
    pub pooling: Pooling,
    /// What each patch adds to each class's score.
    pub ledger: Ledger,
    /// `s^{I2I}_p = f̂_p · z`, `[n]`: where the image agrees with itself.
    pub image_to_image: Vec<f32>,
    /// `s^{T2I}_p = f̂_p · û_c`, `[c][n]`: where a patch agrees with a class.
    pub text_to_image: Vec<Vec<f32>>,
    /// One score per class, `[c]`.
    pub scores: Vec<f32>,
    /// Which classes are in the image, and why.
    pub selection: Selection,
    /// How a map becomes a mask.
    pub refiner: Choice,
    /// The selected classes, by falling score.
    pub found: Vec<Found>,
    /// Who gets a pixel that several claim: `covering` or `per-pixel`, empty for a segmenter that knows no such rule.
    pub compose: String,
    /// Labels at the input's size, `[h·w]`; [`simseg_segment::metrics::IGNORE`] is none.
    pub composed: Vec<u16>,
    /// Why each pixel has its label, `[h·w]`; empty for a segmenter without masks that compete.
    pub why: Vec<Why>,
    /// The label map, `[H·W]`.
    pub labels: Vec<u16>,
    /// How right it is, where the truth was given.
    pub truth: Option<Truth>,
}

/// A class: its words, and how the best of them was read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Class {
    /// Its name.
    pub name: String,
    /// All its words.
    pub words: Vec<String>,
    /// The sentences that stand for the word which fits the image best.
    pub prompts: Vec<String>,
    /// The tokens `m` of the first of them.
    pub tokens: Vec<Token>,
    /// Their projected features, not normalised, `[m·d]`.
    pub features: Vec<f32>,
    /// Which tokens each channel was pooled from.
    pub pooling: Pooling,
    /// The embedding `û` of that word, of norm 1, `[d]`: the normalised mean over its sentences.
    pub embedding: Vec<f32>,
}

/// A token of a sentence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// Its number.
    pub id: u32,
    /// As the vocabulary writes it: `[UNK]` is a word that the model never met.
    pub text: String,
}

/// Which classes are in the image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Selection {
    /// The rule, with its settings; empty for a segmenter without one.
    pub rule: Choice,
    /// What scores were held against; none for rules without a threshold.
    pub threshold: Option<f32>,
    /// What a rule of mean and deviation looked at.
    pub statistics: Option<Looked>,
    /// Places of the ranking that are looked at; 0 is all.
    pub cap: usize,
    /// The classes that are drawn, by falling score.
    pub selected: Vec<usize>,
}

/// A selected class: where it is. Every list has one value per pixel of the input, `[h·w]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// Its number.
    pub class: usize,
    /// Its score.
    pub score: f32,
    /// Cosines, upsampled; empty for a segmenter that does not show them.
    pub raw: Vec<f32>,
    /// After competition and min-max, as the recipe has it.
    pub map: Vec<f32>,
    /// Log-odds of the class against the rest, where a CRF refines.
    pub unary: Vec<f32>,
    /// Its probability before any message and after each round of them, where a CRF refines.
    pub q: Vec<Vec<f32>>,
    /// The mask before it is closed, where a CRF refines.
    pub crf: Vec<u8>,
    /// The mask.
    pub mask: Vec<u8>,
}

/// How right a label map is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Truth {
    /// True labels, `[H·W]`.
    pub labels: Vec<u16>,
    /// Intersection over union per class; none where a class is in neither map.
    pub iou: Vec<Option<f64>>,
    /// Their mean.
    pub miou: f64,
}

/// One pixel of the input, in words and numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pixel {
    /// The patch that it lies in.
    pub patch: usize,
    /// The selected classes that claim it.
    pub claims: Vec<usize>,
    /// Its label; none where no class is.
    pub label: Option<u16>,
    /// Why, in a sentence.
    pub sentence: String,
}

impl Explanation {
    /// The structure of a JSON text.
    ///
    /// # Errors
    /// If it is none, or of another format.
    pub fn parse(json: &str) -> crate::Result<Self> {
        let read: Self = serde_json::from_str(json).map_err(|error| crate::Error::input("explanation", error))?;
        match read.format {
            FORMAT => Ok(read),
            other => Err(crate::Error::input("explanation", format!("format {other}; expected {FORMAT}"))),
        }
    }

    /// As JSON.
    ///
    /// # Errors
    /// If a setting of an outside algorithm is nothing that JSON can hold.
    pub fn to_json(&self) -> crate::Result<String> {
        serde_json::to_string(self).map_err(|error| crate::Error::input("explanation", error))
    }

    /// The patch under pixel `x` of row `y` of the input.
    pub fn patch_at(&self, x: usize, y: usize) -> usize {
        let (rows, columns) = (y * self.grid.height / self.input.height, x * self.grid.width / self.input.width);
        rows * self.grid.width + columns
    }

    /// Who claimed a pixel of the input, who got it and why; nothing beside the image.
    pub fn pixel(&self, x: usize, y: usize) -> Option<Pixel> {
        if x >= self.input.width || y >= self.input.height {
            return None;
        }
        let p = y * self.input.width + x;
        let claiming: Vec<&Found> = self.found.iter().filter(|found| found.mask.get(p) == Some(&1)).collect();
        let label = *self.composed.get(p)?;
        let named = |class: usize| self.classes.get(class).map_or("?", |class| class.name.as_str());
        let each = |value: &dyn Fn(&Found) -> f32| {
            let one = |found: &&Found| format!("{} ({:.3})", named(found.class), value(found));
            claiming.iter().map(one).collect::<Vec<_>>().join(", ")
        };
        let winner = if label == simseg_segment::metrics::IGNORE { "no class" } else { named(label.into()) };
        let sentence = match self.why.get(p) {
            Some(Why::Unclaimed) => format!("No class claims this pixel: it is {winner}."),
            Some(Why::GivenToBest) => format!("No class claims this pixel: it goes to {winner}, the best there is."),
            Some(Why::OnlyClaim) => format!("Only {winner} claims this pixel, and gets it."),
            Some(Why::HigherScore) => {
                format!(
                    "Claimed by {}: {winner} gets it, for its score of the whole image is the highest.",
                    each(&|f| f.score)
                )
            }
            Some(Why::HigherMap) => {
                format!("Claimed by {}: {winner} gets it, for its map is the highest here.", each(&|f| f.map[p]))
            }
            Some(Why::ScoreNotPositive) => {
                format!(
                    "Claimed by {}, but a score that is not positive covers nothing: it is {winner}.",
                    each(&|f| f.score)
                )
            }
            None => format!("This pixel is {winner}: here every pixel chooses by itself."),
        };
        let claims = claiming.iter().map(|found| found.class).collect();
        let known = (label != simseg_segment::metrics::IGNORE).then_some(label);
        Some(Pixel { patch: self.patch_at(x, y), claims, label: known, sentence })
    }
}
