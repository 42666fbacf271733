//! Where data comes from, by name: `{ kind = "captions", file = "captions.csv", images = "photos" }`.

use crate::datasets::{self, Dataset};
use crate::pairs::{self, Pairs};
use crate::transform::augment::{self, Augmentation};
use simseg_registry::{Choice, Error, Kinds};

/// A source as a settings file has it: its kind, and the settings of that kind.
pub type Source = Choice;

/// The random seed of the run that asks: drawn sources that name no seed follow it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seed(pub u64);

/// Sources by name.
pub struct DataRegistry {
    /// Images with captions.
    pub pairs: Kinds<dyn Pairs, Seed>,
    /// Images with label maps.
    pub datasets: Kinds<dyn Dataset, Seed>,
    /// Random changes of training images.
    pub augmentations: Kinds<dyn Augmentation>,
}

impl DataRegistry {
    /// What this crate brings.
    pub fn built_in() -> Self {
        let augmentations = Kinds::new("augment");
        let mut registry = Self { pairs: Kinds::new("data"), datasets: Kinds::new("data"), augmentations };
        datasets::register(&mut registry);
        pairs::register(&mut registry);
        augment::register(&mut registry.augmentations);
        registry
    }

    /// Opens images with captions.
    ///
    /// # Errors
    /// If nobody knows the kind, a setting is wrong, or there is nothing at that place.
    pub fn open_pairs(&self, source: &Source, seed: u64) -> Result<Box<dyn Pairs>, Error> {
        let pairs = self.pairs.build_in(source, &Seed(seed))?;
        if pairs.is_empty() { Err(Error::setting("data", "no pairs in it")) } else { Ok(pairs) }
    }

    /// Opens images with label maps.
    ///
    /// # Errors
    /// As [`Self::open_pairs`].
    pub fn open_dataset(&self, source: &Source, seed: u64) -> Result<Box<dyn Dataset>, Error> {
        let dataset = self.datasets.build_in(source, &Seed(seed))?;
        if dataset.is_empty() { Err(Error::setting("data", "no images in it")) } else { Ok(dataset) }
    }
}
