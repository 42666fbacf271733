//! `simseg calibrate`: a threshold for each class, from images whose classes are known.
//!
//! For every class the score that best tells images with it from images without it (largest F1). Leaves a complete recipe
//! for `--recipe FILE.toml`. Judge it on other images than it was made from.

use crate::bank::Cache;
use crate::dataset::Source;
use crate::failure::{Failure, Outcome};
use crate::model_dir;
use crate::pipeline::Pipeline;
use crate::progress::Steps;
use crate::segment::recipe_for;
use simseg_data::atomic;
use simseg_data::datasets;
use simseg_segment::threshold::{Rule, calibrate as best_scores};
use simseg_segment::{ClassList, Recipe};
use simseg_tensor::{NoTap, Ops, Tensor};
use std::path::PathBuf;

/// What the command line says.
#[derive(Debug, Clone)]
pub struct Options {
    /// Model directory.
    pub model: PathBuf,
    /// Which images.
    pub source: Source,
    /// The recipe to start from: a name or a file.
    pub recipe: String,
    /// Changes to it.
    pub set: Vec<String>,
    /// Where class embeddings are kept.
    pub cache: Cache,
    /// Images to use; 0 is all.
    pub images: usize,
    /// Where the new recipe goes.
    pub out: PathBuf,
}

/// Calibrates.
///
/// # Errors
/// Exit 2 for bad input.
pub fn calibrate<T: Tensor>(options: &Options, device: &T::Device) -> Outcome<Recipe> {
    let base = recipe_for(&options.model, &options.recipe, &options.source.name, &options.set)?;
    let dataset = options.source.open(None)?;
    let classes = ClassList::parse(&dataset.classes().join("\n"))?;
    let most = if options.images == 0 { dataset.len() } else { options.images.min(dataset.len()) };
    let pipeline = Pipeline::new(model_dir::load::<T>(&options.model, device)?, base.clone());
    let bank = options.cache.bank(&pipeline, &options.model, &classes)?;
    let bar = Steps::new("scores", 1.0, "images");
    bar.start(most as u64, 0);
    let (mut scores, mut present) = (vec![], vec![]);
    for index in 0..most {
        let item = dataset.item(index)?;
        let features = pipeline.features(std::slice::from_ref(&item.picture), &mut NoTap)?;
        let per_word = features[0].embedding.matmul(&bank.embeddings.t()?)?; // [1, w]
        scores.push(bank.best_per_class(&per_word.to_f32()?));
        let mut held: Vec<usize> =
            item.labels.values.iter().filter(|&&t| t != datasets::IGNORED).map(|&t| t.into()).collect();
        held.sort_unstable();
        held.dedup();
        present.push(held);
        bar.to(index as u64 + 1, None);
    }
    bar.finish();
    let threshold = best_scores(&scores, &present)?;
    if let Rule::Calibrated { scores } = &threshold {
        for (class, score) in scores.iter().enumerate().skip(1) {
            let name = classes.name(class);
            match score.is_finite() {
                true => println!("{name:<20} {score:.3}"),
                false => println!("{name:<20} never seen: will not be drawn"),
            }
        }
    }
    let recipe = Recipe { threshold, ..base };
    let text = toml::to_string_pretty(&recipe).map_err(|error| Failure::file(&options.out, error))?;
    let head = format!("# Calibrated on {most} images of {} at {}.\n", options.source.name, options.source.place());
    atomic::write(&options.out, (head + &text).as_bytes())?;
    println!("→ {}", options.out.display());
    Ok(recipe)
}
