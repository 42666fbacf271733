//! How many pairs sources have: opening a big one reads all of its headers, so that it is asked once.

use crate::experiment::Settings;
use crate::failure::{Failure, Outcome};
use simseg_data::DataRegistry;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Numbers of pairs by source and seed.
#[derive(Debug, Default)]
pub struct Counts(Mutex<HashMap<String, usize>>);

impl Counts {
    /// The number of pairs that a run of this seed trains on.
    ///
    /// # Errors
    /// If the source cannot be opened.
    pub fn of(&self, settings: &Settings, seed: u64, data: &DataRegistry) -> Outcome<usize> {
        let (source, seed) = (&settings.training.data, settings.seeds.data(seed));
        let key = format!("{source:?} {seed}");
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(&pairs) = known.get(&key) {
            return Ok(pairs);
        }
        let pairs = data.open_pairs(source, seed).map_err(|error| Failure::from(error).of_data("training"))?.len();
        known.insert(key, pairs);
        Ok(pairs)
    }
}
