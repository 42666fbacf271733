//! `simseg calibrate`: a threshold for each class, from images whose classes are known.
//!
//! For every class the score that best tells images with it from images without it (largest F1). Leaves a complete recipe
//! for `--recipe FILE.toml`. Judge it on other images than it was made from.

use super::shared::{DatasetArgs, ModelArgs, Opened};
use crate::backend::BackendArgs;
use crate::failure::Outcome;
use crate::judging::Judge;
use crate::progress::Steps;
use clap::Args;
use simseg::{Choice, Extension, Recipe};
use simseg_data::atomic;
use simseg_segment::threshold::calibrate as best_scores;
use simseg_tensor::Tensor;
use std::path::PathBuf;

/// What the command line says.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Which model, and the recipe to start from.
    #[command(flatten)]
    pub model: ModelArgs,
    /// Which images.
    #[command(flatten)]
    pub data: DatasetArgs,
    /// Use the first N images; 0 is all.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub images: usize,
    /// Where the new recipe goes.
    #[arg(long, value_name = "FILE.toml")]
    pub out: PathBuf,
    /// What computes.
    #[command(flatten)]
    pub backend: BackendArgs,
}

/// Calibrates.
///
/// # Errors
/// Exit 2 for bad input.
pub fn calibrate<T: Tensor>(options: &Options, extension: &impl Extension, device: &T::Device) -> Outcome<Recipe> {
    let model = options.model.open::<T>(&options.data.dataset, extension, device)?;
    let Opened { dataset, classes } = options.data.open(model.registry())?;
    let most = if options.images == 0 { dataset.len() } else { options.images.min(dataset.len()) };
    let words = options.model.words(&model, classes)?;
    let judge = Judge { model: &model, words: &words, segmenter: model.segmenter(), metrics: &[], instead: None };
    let bar = Steps::new("scores", 1.0, "images");
    bar.start(most as u64, 0);
    let (mut scores, mut present) = (vec![], vec![]);
    judge.all(&*dataset, 0..most, &mut |image| {
        scores.push(image.prediction.scores.clone());
        present.push(image.item.labels.classes());
        bar.to(image.index as u64 + 1, None);
        Ok(())
    })?;
    bar.finish();
    let calibrated = best_scores(&scores, &present)?;
    for (class, score) in calibrated.scores.iter().enumerate().skip(words.bank.foreground().start) {
        let name = words.list.name(class);
        match score.is_finite() {
            true => crate::output::say!("{name:<20} {score:.3}"),
            false => crate::output::say!("{name:<20} never seen: will not be drawn"),
        }
    }
    let threshold = Choice::of("calibrated", &calibrated);
    let recipe = model.recipe().clone().with_threshold(&threshold);
    let head = format!("# Calibrated on {most} images of {} at {}.\n", options.data.dataset, options.data.place());
    atomic::write(&options.out, (head + &recipe.to_toml()?).as_bytes())?;
    crate::output::say!("→ {}", options.out.display());
    Ok(recipe)
}
