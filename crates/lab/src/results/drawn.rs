//! The runs of a folder with what their images say: read when first asked for, and kept.

use super::images::{self, Images, Judged};
use super::{Results, folder};
use crate::experiment::expect::Figure;
use crate::experiment::expect::surely::Drawn;
use crate::failure::Outcome;
use crate::probes::log as probes;
use crate::statistics::bootstrap::Replicates;
use simseg::Registry;
use simseg_tensor::Tensor;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// A run's images and what follows from them.
#[derive(Debug)]
pub struct Run {
    /// What every image added.
    pub images: Images,
    /// Figures and their replicates.
    pub judged: Judged,
}

/// The runs of an output folder.
pub struct Runs<'a, T: Tensor> {
    out: PathBuf,
    results: &'a Results,
    registry: &'a Registry<T>,
    read: RefCell<BTreeMap<(String, u64), Rc<Run>>>,
}

impl<'a, T: Tensor> Runs<'a, T> {
    /// Those of `results`, whose folders lie in `out`.
    pub fn new(out: &Path, results: &'a Results, registry: &'a Registry<T>) -> Self {
        Self { out: out.to_owned(), results, registry, read: RefCell::default() }
    }

    /// The folder of a run.
    pub fn folder(&self, variant: &str, seed: u64) -> PathBuf {
        folder::of_run(&self.out, variant, seed)
    }

    /// A run.
    ///
    /// # Errors
    /// If its `images.jsonl` is not there or cannot be read.
    pub fn get(&self, variant: &str, seed: u64) -> Outcome<Rc<Run>> {
        let key = (variant.to_owned(), seed);
        if let Some(run) = self.read.borrow().get(&key) {
            return Ok(run.clone());
        }
        let path = self.folder(variant, seed).join(images::NAME);
        let images = Images::read(&path)?;
        let judged = images.judge(self.registry);
        let mut judged = judged.map_err(|failure| failure.within(format!("{}: ", path.display())))?;
        // What probes said of the trained model; of a figure that the evaluation has too, its own counts.
        for (name, value) in probes::finals(&path.with_file_name(probes::NAME))? {
            judged.metrics.entry(name).or_insert(value);
        }
        let run = Rc::new(Run { images, judged });
        self.read.borrow_mut().insert(key, run.clone());
        Ok(run)
    }
}

impl<T: Tensor> Drawn for Runs<'_, T> {
    fn seeds(&self) -> Vec<u64> {
        self.results.seeds()
    }

    fn replicates(&self, figure: &Figure, seed: u64) -> Outcome<Option<Replicates>> {
        if self.results.value(&figure.variant, seed, &figure.name).is_none() {
            return Ok(None);
        }
        Ok(self.get(&figure.variant, seed)?.judged.replicates.get(&figure.name).cloned())
    }

    fn shared(&self, figure: &Figure, seeds: &[u64]) -> Outcome<bool> {
        let Some((first, others)) = seeds.split_first() else { return Ok(true) };
        let first = self.get(&figure.variant, *first)?;
        for seed in others {
            let other = self.get(&figure.variant, *seed)?;
            if !first.images.same(&other.images, first.images.data_of(&figure.name)) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
