//! Class banks on disk: 80 prompts per class cost minutes with a large model, and depend on no image.
//!
//! A bank is found again by a hash of everything it depends on: the bytes of the weights and the vocabulary, the words, and
//! the recipe's prompts. Anything else in its place, or a damaged file, is computed anew.

use crate::failure::{Failure, Outcome};
use crate::pipeline::Pipeline;
use simseg_data::atomic;
use simseg_data::checkpoint::{self, Weights};
use simseg_segment::{ClassBank, ClassList};
use simseg_tensor::{Ops, Tensor};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Where banks are kept.
#[derive(Debug, Clone, Default)]
pub enum Cache {
    /// Nowhere.
    #[default]
    Off,
    /// In the user's cache folder (`$XDG_CACHE_HOME/simseg`, `~/.cache/simseg`), those that took longer than a second.
    Usual,
    /// In this folder, every one.
    In(PathBuf),
}

/// A bank that took less is not worth a file.
const WORTH_KEEPING: Duration = Duration::from_secs(1);
/// Part of every hash: raise it when embeddings change for the same input.
const VERSION: &str = "simseg class bank 1";

impl Cache {
    /// The folder, if there is one.
    fn folder(&self) -> Option<PathBuf> {
        let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        match self {
            Self::Off => None,
            Self::In(folder) => Some(folder.clone()),
            Self::Usual => variable("XDG_CACHE_HOME")
                .or_else(|| variable("LOCALAPPDATA"))
                .or_else(|| variable("HOME").map(|home| home.join(".cache")))
                .map(|folder| folder.join("simseg")),
        }
    }

    /// The bank of a class list: read if it is there, else computed and kept. The folder `model` is where the pipeline's
    /// model was loaded from.
    ///
    /// # Errors
    /// If the bank cannot be computed, or the folder that was asked for cannot be written.
    pub fn bank<T: Tensor>(&self, pipeline: &Pipeline<T>, model: &Path, classes: &ClassList) -> Outcome<ClassBank<T>> {
        let Some(folder) = self.folder() else { return pipeline.class_bank(classes) };
        let path = folder.join(format!("{}.safetensors", key(pipeline, model, classes)?));
        let device = pipeline.model.device();
        if let Some(bank) = read(&path, pipeline, classes, &device) {
            return Ok(bank);
        }
        let start = Instant::now();
        let bank = pipeline.class_bank(classes)?;
        let asked = matches!(self, Self::In(_));
        if asked || start.elapsed() > WORTH_KEEPING {
            let shape = bank.embeddings.shape().to_vec();
            let kept = [("embeddings".to_owned(), shape, bank.embeddings.to_f32()?)];
            let written = atomic::folder(&folder).and_then(|()| checkpoint::write(&path, &kept, &[]));
            match written {
                Err(error) if asked => return Err(error.into()),
                // A home that cannot be written costs time, nothing else.
                _ => {}
            }
        }
        Ok(bank)
    }
}

/// What the bank depends on, as 32 hexadecimal digits.
fn key<T: Tensor>(pipeline: &Pipeline<T>, model: &Path, classes: &ClassList) -> Outcome<String> {
    let mut hash = blake3::Hasher::new();
    let mut part = |bytes: &[u8]| {
        hash.update(&(bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    part(VERSION.as_bytes());
    part(format!("{:?}", pipeline.recipe.prompts).as_bytes());
    for line in pipeline.recipe.prompts.templates.lines()? {
        part(line.as_bytes());
    }
    for class in 0..classes.len() {
        part(classes.words(class).join("|").as_bytes());
    }
    for name in ["config.json", "vocab.txt", "tokenizer.json", "model.safetensors"] {
        let path = model.join(name);
        if path.exists() {
            // Read in pieces, not mapped: hashing should not make the weights count as memory in use.
            let file = std::fs::File::open(&path).map_err(|error| Failure::file(&path, error))?;
            let mut one = blake3::Hasher::new();
            one.update_reader(file).map_err(|error| Failure::file(&path, error))?;
            part(name.as_bytes());
            part(one.finalize().as_bytes());
        }
    }
    Ok(hash.finalize().to_hex()[..32].to_owned())
}

/// The bank in a file, if it is one for these classes.
fn read<T: Tensor>(
    path: &Path,
    pipeline: &Pipeline<T>,
    classes: &ClassList,
    device: &T::Device,
) -> Option<ClassBank<T>> {
    let class_of: Vec<usize> =
        (0..classes.len()).flat_map(|class| std::iter::repeat_n(class, classes.words(class).len())).collect();
    let shape = [class_of.len(), pipeline.network.projection()];
    let values = Weights::open(path).ok()?.get("embeddings", &shape).ok()?;
    let embeddings = T::from_shared(values, &shape, device).ok()?;
    Some(ClassBank { classes: classes.len(), embeddings, class_of })
}
