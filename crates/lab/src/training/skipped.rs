//! Samples that training wanted and could not read: listed, replaced, and counted up to a limit.
//!
//! Big collections of pairs from the web hold files that no decoder reads. A training meets them one by one, in an order that follows
//! from its seed; the list is kept beside its checkpoints, so that a training that is resumed has met the same ones.

use crate::failure::{Failure, Outcome};
use crate::ranks::Ranks;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The list in a training's folder; there is none if everything could be read.
pub const NAME: &str = "skipped.json";
/// Samples that are named while training goes on; the list has all of them.
const NAMED: usize = 5;

/// A sample that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// Which pair of the source.
    pub index: usize,
    /// Its file, and what is wrong with it.
    pub problem: String,
}

/// All that were met so far.
#[derive(Debug)]
pub struct Skipped {
    path: PathBuf,
    limit: usize,
    met: BTreeMap<usize, String>,
}

impl Skipped {
    /// An empty list, or that of the training that is resumed; at most `limit` samples may be skipped.
    ///
    /// # Errors
    /// If the list in the folder is damaged.
    pub fn open(folder: &Path, limit: usize, resumed: bool) -> Outcome<Self> {
        let path = folder.join(NAME);
        let mut met = BTreeMap::new();
        match std::fs::read(&path) {
            Ok(bytes) if resumed => {
                let list =
                    serde_json::from_slice::<Vec<Sample>>(&bytes).map_err(|error| Failure::file(&path, error))?;
                met.extend(list.into_iter().map(|sample| (sample.index, sample.problem)));
            }
            Ok(_) => drop(std::fs::remove_file(&path)),
            Err(_) => {}
        }
        Ok(Self { path, limit, met })
    }

    /// How many were met.
    pub fn len(&self) -> usize {
        self.met.len()
    }

    /// Whether none was.
    pub fn is_empty(&self) -> bool {
        self.met.is_empty()
    }

    /// Notes a sample that could not be read, once.
    ///
    /// # Errors
    /// If it is one too many.
    pub fn add(&mut self, index: usize, problem: &str) -> Outcome {
        if self.met.insert(index, problem.to_owned()).is_some() {
            return Ok(());
        }
        if self.met.len() > self.limit {
            let text =
                format!("{} samples cannot be read, {} may be skipped; the last is {problem}", self.len(), self.limit);
            return Err(Failure::input("training.max_corrupt_samples", text));
        }
        if self.met.len() <= NAMED {
            crate::output::note!("skipped: {problem}");
        }
        Ok(())
    }

    /// Notes what other ranks met, too; all ranks come here together, and have the same list then.
    ///
    /// # Errors
    /// If there are too many.
    pub fn join(&mut self, ranks: &dyn Ranks) -> Outcome {
        let own = serde_json::to_vec(&self.met).unwrap_or_default();
        for (rank, others) in ranks.gather(&own).into_iter().enumerate().filter(|(rank, _)| *rank != ranks.rank()) {
            let met: BTreeMap<usize, String> = serde_json::from_slice(&others)
                .map_err(|error| Failure::Machine(format!("what rank {rank} skipped: {error}")))?;
            met.iter().try_for_each(|(index, problem)| self.add(*index, problem))?;
        }
        Ok(())
    }

    /// Writes the list, if there is anything in it.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn save(&self) -> Outcome {
        if self.is_empty() {
            return Ok(());
        }
        let list = self.met.iter().map(|(&index, problem)| Sample { index, problem: problem.clone() });
        crate::output::save_json(&self.path, &list.collect::<Vec<_>>())
    }

    /// Says at the end how many there were.
    pub fn say(&self) {
        if !self.is_empty() {
            crate::output::note!("{} corrupt samples were skipped: {}", self.len(), self.path.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_counts_once_and_one_beyond_the_limit_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let mut skipped = Skipped::open(folder.path(), 2, false).unwrap();
        for index in [7, 3, 7, 3] {
            skipped.add(index, "a.jpg: cut short").unwrap();
        }
        skipped.save().unwrap();
        let error = skipped.add(5, "b.jpg: cut short").unwrap_err().to_string();
        assert!(error.contains("max_corrupt_samples: 3 samples") && error.contains("b.jpg"), "{error}");
        let mut resumed = Skipped::open(folder.path(), 2, true).unwrap();
        assert_eq!(resumed.len(), 2);
        assert!(resumed.add(7, "a.jpg: cut short").is_ok() && resumed.add(5, "").is_err());
        assert!(Skipped::open(folder.path(), 2, false).unwrap().is_empty(), "a training that begins anew");
        assert!(!folder.path().join(NAME).exists());
    }

    #[test]
    fn ranks_that_join_have_one_list_and_one_limit() {
        use crate::ranks::threads::Threads;
        let folder = tempfile::tempdir().unwrap();
        let joined = |limit: usize| {
            Threads::run(2, |ranks| {
                let mut skipped = Skipped::open(folder.path(), limit, false).unwrap();
                skipped.add(3 + ranks.rank(), "cut short").unwrap();
                let joined = skipped.join(ranks);
                (skipped.met.into_keys().collect::<Vec<_>>(), joined.is_ok())
            })
        };
        assert_eq!(joined(2), vec![(vec![3, 4], true); 2]);
        assert!(joined(1).iter().all(|(_, joined)| !joined), "two samples where one may be skipped");
    }
}
