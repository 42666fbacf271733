//! `[training]`: on what a model learns, and how.

use super::init::Init;
use super::validation::Validation;
use crate::failure::{Failure, Outcome};
use serde::{Deserialize, Serialize};
use simseg::Choice;
use simseg_data::Source;
use simseg_model::dropout::check_rate;
use simseg_model::{AdamWConfig, Schedule};
use std::path::PathBuf;

/// How the model learns.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Training {
    /// Pairs per step.
    pub batch: usize,
    /// Sub-batches that the networks go through one after another: the loss is that of the whole batch, activations take the memory of
    /// one part, the forward pass is done twice.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub parts: usize,
    /// Optimiser steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steps: Option<u64>,
    /// Instead of `steps`: how often all pairs are seen, in whole batches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epochs: Option<u64>,
    /// Steps between checkpoints.
    #[serde(default = "hundred")]
    pub checkpoint_every: u64,
    /// The models of so many last checkpoints are kept, each a model directory.
    #[serde(default, skip_serializing_if = "is_none_kept")]
    pub keep: usize,
    /// The figure of the validation by which the best model is kept, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub best: Option<String>,
    /// Parameters that keep their starting values: `image` or `text` (a tower with its projection), or the start of a name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub freeze: Vec<String>,
    /// A vocabulary for captions, `vocab.txt` or `tokenizer.json`. Without it: that of the model that training starts from, else
    /// the words of the captions themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vocabulary: Option<PathBuf>,
    /// A model directory to start from, whole or tower by tower.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init: Option<Init>,
    /// Images with captions.
    pub data: Source,
    /// Samples that may be corrupt: so many are left out and listed, one more is an error. No weight depends on the number.
    #[serde(default = "hundred_samples", skip_serializing_if = "is_hundred")]
    pub max_corrupt_samples: usize,
    /// Random changes of images, one after the other; see [`simseg_data::transform::augment`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub augment: Vec<Choice>,
    /// The share of a caption's tokens that noise changes: 0.2 is the released code's, see [`simseg_data::tokenizer::noise`].
    #[serde(default, skip_serializing_if = "is_zero")]
    pub caption_noise: f64,
    /// MixUp of images: the β of the Beta(β, β) distribution that shares are drawn from; 0 mixes nothing.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub mixup: f64,
    /// The share of values that the text tower drops, where BERT does; 0.1 as the released code trains it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub text_dropout: f64,
    /// Judge and keep running means of the weights, which keep this share of themselves at each step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ema: Option<f64>,
    /// Compute features of frozen towers once, and keep them on disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frozen_features: Option<FrozenFeatures>,
    /// Batches that are read while a step computes, on threads of their own; 0: read when their turn comes. No weight depends on it.
    #[serde(default = "two", skip_serializing_if = "is_two")]
    pub prefetch: usize,
    /// Learning rate over time.
    pub schedule: Schedule,
    /// Instead of `schedule.warmup`: the share of all steps until the highest rate is reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warmup_share: Option<f64>,
    /// The optimiser.
    #[serde(default)]
    pub adamw: AdamWConfig,
    /// What is measured meanwhile on pairs and pictures that are not trained on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation: Option<Validation>,
}

/// How features of frozen towers are kept.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FrozenFeatures {
    /// In which numbers.
    pub numbers: FeatureNumbers,
    /// Most gigabytes (10⁹ bytes) for one tower; more is an error.
    #[serde(default = "fifty")]
    pub max_gigabytes: f64,
}

/// Numbers of features on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FeatureNumbers {
    /// Rounded to 11 significant bits, half as large.
    F16,
    /// As they are.
    F32,
}

fn fifty() -> f64 {
    50.0
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_zero(rate: &f64) -> bool {
    *rate == 0.0
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_none_kept(models: &usize) -> bool {
    *models == 0
}

fn one() -> usize {
    1
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_one(parts: &usize) -> bool {
    *parts == 1
}

fn hundred() -> u64 {
    100
}

fn hundred_samples() -> usize {
    100
}

fn is_hundred(samples: &usize) -> bool {
    *samples == hundred_samples()
}

fn two() -> usize {
    2
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_two(batches: &usize) -> bool {
    *batches == two()
}

/// Beyond this β of MixUp nearly all images are halves.
const MOST_BETA: f64 = 4.0;

/// Most batches ahead: each may be gigabytes.
const MOST_AHEAD: usize = 64;

impl Training {
    /// Whether the numbers make sense by themselves.
    ///
    /// # Errors
    /// The first key that does not, and what was expected.
    pub fn check(&self) -> Outcome {
        let bad = |key: &str, expected: String| Err(Failure::input(format!("training.{key}"), expected));
        let Self { batch, parts, prefetch, .. } = *self;
        self.schedule.check()?;
        if batch < 2 {
            return bad("batch", format!("at least 2: a caption is contrasted with others, found {batch}"));
        }
        if parts == 0 || !batch.is_multiple_of(parts) {
            return bad("parts", format!("a divisor of training.batch = {batch}, found {parts}"));
        }
        match (self.steps, self.epochs) {
            (None, None) => return bad("steps", "a number of steps, or of training.epochs".into()),
            (Some(_), Some(_)) => return bad("steps, training.epochs", "one of the two, found both".into()),
            (Some(0), _) => return bad("steps", "at least 1".into()),
            (_, Some(0)) => return bad("epochs", "at least 1".into()),
            _ => {}
        }
        if let Some(share) = self.warmup_share {
            if !(0.0..=1.0).contains(&share) {
                return bad("warmup_share", format!("from 0 to 1, found {share}"));
            }
            if self.schedule.warmup > 0 {
                return bad("warmup_share, training.schedule.warmup", "one of the two, found both".into());
            }
        }
        if self.checkpoint_every == 0 {
            return bad("checkpoint_every", "at least 1".into());
        }
        if let Some(best) = &self.best {
            let known = self.validation.as_ref().map(Validation::figures).unwrap_or_default();
            if known.is_empty() {
                return bad("best", format!("a figure of [training.validation], which is not there; found `{best}`"));
            }
            if !known.contains(&best.as_str()) {
                return bad("best", format!("one of {}, found `{best}`", known.join(", ")));
            }
        }
        check_rate("training.text_dropout", self.text_dropout)?;
        check_rate("training.caption_noise", self.caption_noise)?;
        if !(0.0..=MOST_BETA).contains(&self.mixup) {
            return bad("mixup", format!("from 0 to {MOST_BETA}, found {}", self.mixup));
        }
        if let Some(ema) = self.ema.filter(|ema| !(0.0..1.0).contains(ema)) {
            return bad("ema", format!("from 0 to below 1, found {ema}"));
        }
        if let Some(FrozenFeatures { max_gigabytes, .. }) =
            self.frozen_features.filter(|f| f.max_gigabytes.is_nan() || f.max_gigabytes <= 0.0)
        {
            return bad("frozen_features.max_gigabytes", format!("a positive number, found {max_gigabytes}"));
        }
        if prefetch > MOST_AHEAD {
            return bad("prefetch", format!("from 0 to {MOST_AHEAD}, found {prefetch}"));
        }
        Ok(())
    }

    /// Optimiser steps on so many pairs: each epoch is as many whole batches as there are.
    pub fn steps(&self, pairs: usize) -> u64 {
        let per_epoch = (pairs / self.batch).max(1) as u64;
        self.steps.unwrap_or_else(|| self.epochs.unwrap_or(0).saturating_mul(per_epoch))
    }

    /// The learning rate over so many steps.
    pub fn schedule(&self, steps: u64) -> Schedule {
        let share = self.warmup_share.map(|share| (share * steps as f64).round() as u64);
        Schedule { warmup: share.unwrap_or(self.schedule.warmup), ..self.schedule }
    }

    /// The same without what no weight depends on.
    #[must_use]
    pub fn essential(&self) -> Self {
        Self { checkpoint_every: 1, max_corrupt_samples: hundred_samples(), prefetch: two(), ..self.clone() }
    }
}
