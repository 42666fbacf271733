//! Models of random weights as a user has them: from a folder, their weights mapped. Speed does not depend on what the weights are.

use crate::Failure;
use simseg::{Choice, Loaded, Model, ModelDescription, Recipe, Registry, WeightType};
use simseg_cpu::{CpuDevice, CpuTensor};
use simseg_data::Tokenizer;
use simseg_model::{Architecture, ModelConfig};
use simseg_segment::prompts::{Templates, fill};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

/// Names of classes, one word each and all different. A background comes before them where the recipe has one.
pub fn names(count: usize) -> Vec<String> {
    (1..=count).map(|i| format!("thing{i}")).collect()
}

/// Writes a model directory for LoDA whose vocabulary holds the first `names` of [`names`] and all prompts.
///
/// # Errors
/// If the sizes do not fit each other, or the folder cannot be written.
pub fn write(config: &ModelConfig, names: usize, folder: &Path) -> Result<(), Failure> {
    let templates = [Templates::Imagenet80.lines()?, Templates::Single.lines()?].concat();
    let mut sentences = fill(&templates, "background");
    sentences.extend(self::names(names));
    let sentences: Vec<String> = sentences.iter().map(|sentence| sentence.to_lowercase()).collect();
    let words: BTreeSet<&str> = sentences.iter().flat_map(|sentence| sentence.split([' ', '.', ','])).collect();
    let aligner = Choice::of("loda", &serde_json::json!({ "image_k": 5, "text_k": 1 }));
    let loaded = Loaded {
        description: ModelDescription { model: config.choice(), aligner },
        parameters: config.layout()?.draw::<CpuTensor<f32>>(0, &CpuDevice)?,
        tokenizer: Tokenizer::from_words(words.into_iter().filter(|word| !word.is_empty()))?,
        rounded: None,
    };
    Ok(loaded.write(folder)?)
}

/// Opens a model directory with a recipe, its weights rounded if a type is given.
///
/// # Errors
/// If it is none.
pub fn open(folder: &Path, recipe: Recipe, rounded: Option<WeightType>) -> Result<Model, Failure> {
    let registry = Arc::new(Registry::built_in());
    let loaded = Loaded::read_rounded(folder, rounded, &registry, &CpuDevice)?;
    Ok(Model::assemble(loaded, Some(recipe), registry, &CpuDevice)?)
}
