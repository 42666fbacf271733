//! Rules for which classes are in the image, side by side on one picture, and what each costs in IoU.

use serde::{Deserialize, Serialize};
use simseg::{Choice, Model, Picture, Result, Segmented, Words};
use simseg_segment::ImageFeatures;
use simseg_segment::metrics::Confusion;
use simseg_segment::threshold::{Statistics, Std, TopN};
use simseg_tensor::NoTap;

/// `θ = μ + k·σ` over the best `n` scores.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Dial {
    /// Deviations above the mean.
    pub k: f64,
    /// Best scores that count; 0 is the better half.
    pub n: usize,
    /// Whether the background takes part.
    pub background: bool,
}

impl Default for Dial {
    fn default() -> Self {
        Self { k: 1.0, n: 0, background: false }
    }
}

impl Dial {
    /// The rule by name.
    pub fn choice(self) -> Choice {
        let top_n = if self.n < 2 { TopN::UpperHalf } else { TopN::First(self.n) };
        let rule = Statistics { k: self.k, top_n, std: Std::Population, background: self.background };
        Choice::of("statistics", &rule)
    }
}

/// What a rule decided.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decided {
    /// In words.
    pub rule: String,
    /// What scores were held against, if anything.
    pub threshold: Option<f32>,
    /// The classes it draws.
    pub selected: Vec<usize>,
    /// Mean IoU of the label map, where the truth is known.
    pub miou: Option<f64>,
}

/// All rules on one picture: the dial's, others, and the one that knows the truth.
///
/// # Errors
/// If the model fails.
pub fn side_by_side(
    model: &Model,
    picture: &Picture,
    features: &ImageFeatures<crate::small::Cpu>,
    words: &Words<crate::small::Cpu>,
    truth: Option<&[u16]>,
    dial: Dial,
) -> Result<Vec<Decided>> {
    let rules = [
        ("μ + kσ as set above".to_owned(), dial.choice()),
        ("the best class".to_owned(), Choice::new("best").with("count", 1)),
        ("the best two".to_owned(), Choice::new("best").with("count", 2)),
        ("Otsu: the widest gap between two groups".to_owned(), Choice::new("otsu")),
        ("every class above 0.5".to_owned(), Choice::new("fixed").with("score", 0.5)),
    ];
    let judged = |labels: &[u16]| -> Result<Option<f64>> {
        let Some(truth) = truth else { return Ok(None) };
        let mut counts = Confusion::new(words.list.len());
        counts.add(truth, labels)?;
        Ok(Some(counts.miou()))
    };
    let mut all = vec![];
    for (rule, choice) in rules {
        let model = model.with_recipe(model.recipe().clone().with_threshold(&choice))?;
        let Segmented { labels, details, .. } = model.segment_features(picture, features, words, &mut NoTap)?;
        let selected = details.masks.iter().map(|mask| mask.class).collect();
        let threshold = details.threshold.is_finite().then_some(details.threshold);
        all.push(Decided { rule, threshold, selected, miou: judged(&labels.values)? });
    }
    if let Some(truth) = truth {
        let there: Vec<usize> = (1..words.list.len()).filter(|class| truth.contains(&(*class as u16))).collect();
        let details = model.segmenter().segment_given(model.view(features, words), &there, &mut NoTap)?;
        let rule = "oracle: the classes that are there".to_owned();
        all.push(Decided { rule, threshold: None, selected: there, miou: judged(&details.labels)? });
    }
    Ok(all)
}
