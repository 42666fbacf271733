//! Class banks on disk: 80 prompts per class cost minutes with a large model, and depend on no image.
//!
//! A bank is found again by a hash of everything it depends on: the bytes of the weights and the vocabulary, the words, the recipe's
//! prompts and score rule, and the backend with its device and precision, that of rounded
//! weights included. Anything else in its place, or a damaged file, is computed anew.

use crate::fingerprint::fingerprint;
use crate::watch::Watch;
use crate::words::Words;
use crate::{Error, Model, Result};
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
const VERSION: &str = "simseg class bank 3";

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

    /// The embedded classes of a list: read if they are there, else computed and kept. `folder` is where the model was read from.
    ///
    /// # Errors
    /// If they cannot be computed, or the folder that was asked for cannot be written.
    pub fn classes<T: Tensor>(
        &self,
        model: &Model<T>,
        folder: &Path,
        list: ClassList,
        watch: &mut dyn Watch,
    ) -> Result<Words<T>> {
        // Tokens of prompts are many times larger than their embeddings: a rule that needs them computes them.
        let keeps_tokens = model.segmenter().needs(model.aligner()).prompts;
        let Some(kept) = self.folder().filter(|_| !keeps_tokens) else { return model.classes_watched(list, watch) };
        let path = kept.join(format!("{}.safetensors", key(model, folder, &list)?));
        if let Some(bank) = read(&path, model, &list) {
            return Ok(Words { list, bank });
        }
        let start = Instant::now();
        let words = model.classes_watched(list, watch)?;
        let asked = matches!(self, Self::In(_));
        if asked || start.elapsed() > WORTH_KEEPING {
            let written = atomic::folder(&kept).map_err(Error::from).and_then(|()| write(&path, &words.bank));
            match written {
                Err(error) if asked => return Err(error),
                // A home that cannot be written costs time, nothing else.
                _ => {}
            }
        }
        Ok(words)
    }
}

/// What the bank depends on, as 32 hexadecimal digits.
fn key<T: Tensor>(model: &Model<T>, folder: &Path, list: &ClassList) -> Result<String> {
    let mut hash = blake3::Hasher::new();
    let mut part = |bytes: &[u8]| {
        hash.update(&(bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    let recipe = model.recipe();
    part(VERSION.as_bytes());
    part(format!("{:?}", recipe.prompts).as_bytes());
    part(format!("{} {:?}", recipe.segmenter.kind, recipe.segmenter.settings.get("score")).as_bytes());
    for line in recipe.prompts.templates.lines()? {
        part(line.as_bytes());
    }
    for class in 0..list.len() {
        part(list.words(class).join("|").as_bytes());
    }
    part(fingerprint(folder)?.as_bytes());
    part(format!("{} {:?} {:?}", std::any::type_name::<T>(), model.device(), model.rounded()).as_bytes());
    Ok(hash.finalize().to_hex()[..32].to_owned())
}

fn write<T: Tensor>(path: &Path, bank: &ClassBank<T>) -> Result<()> {
    let rows = bank.class_of.iter().map(|&class| class as f32).collect();
    let kept = [
        ("embeddings".to_owned(), bank.embeddings.shape().to_vec(), bank.embeddings.to_f32()?),
        ("class_of".to_owned(), vec![bank.class_of.len()], rows),
    ];
    Ok(checkpoint::write(path, &kept, &[])?)
}

/// The bank in a file, if it is one for these classes.
fn read<T: Tensor>(path: &Path, model: &Model<T>, list: &ClassList) -> Option<ClassBank<T>> {
    let weights = Weights::open(path).ok()?;
    let rows = *weights.shape("class_of")?.first()?;
    let class_of = weights.get("class_of", &[rows]).ok()?;
    let class_of: Vec<usize> = (*class_of).as_ref().iter().map(|&class| class as usize).collect();
    let every_class_in_order = class_of.is_sorted() && (0..list.len()).all(|class| class_of.contains(&class));
    if !every_class_in_order || class_of.last()? >= &list.len() {
        return None;
    }
    let shape = [rows, model.network_config().projection()];
    let embeddings = T::from_shared(weights.get("embeddings", &shape).ok()?, &shape, model.device()).ok()?;
    Some(ClassBank { classes: list.len(), background: list.has_background(), embeddings, class_of, prompts: None })
}
