//! Images with captions: what a model is trained on.

simseg_registry::family! {
    /// Registers every source of pairs that is no data set, too.
    pub fn register(registry: &mut DataRegistry);
    #[cfg(feature = "fs")] captions,
    #[cfg(feature = "fs")] webdataset,
    #[cfg(feature = "parquet")] parquet,
}

#[cfg(feature = "fs")]
pub mod paths;

use crate::source::DataRegistry;
use crate::{Error, Picture, Result};

/// An image and what somebody wrote about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// Its name.
    pub id: String,
    /// What one sees.
    pub picture: Picture,
    /// What somebody wrote.
    pub caption: String,
}

/// Words of captions by what they name: what a probe swaps.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NamedWords {
    /// Names of objects, the things that a picture is of.
    pub objects: Vec<String>,
    /// Names of contexts, the surroundings.
    pub contexts: Vec<String>,
}

/// Image-caption pairs with random access. A pair is read (or drawn) when it is asked for, and not kept.
pub trait Pairs: Send + Sync {
    /// Number of pairs.
    fn len(&self) -> usize;

    /// Pair `index`, below [`len`](Self::len): always the same one, whichever was read before.
    ///
    /// # Errors
    /// If a file is missing or damaged.
    fn pair(&self, index: usize) -> Result<Pair>;

    /// The caption of pair `index` alone.
    ///
    /// # Errors
    /// As [`Self::pair`].
    fn caption(&self, index: usize) -> Result<String> {
        Ok(self.pair(index)?.caption)
    }

    /// The name of pair `index` alone: the captions of one picture share it.
    ///
    /// # Errors
    /// As [`Self::pair`].
    fn id(&self, index: usize) -> Result<String> {
        Ok(self.pair(index)?.id)
    }

    /// So many other pictures of the same kind with all of their captions, none of which is a picture of these pairs: for whoever
    /// must not see what was trained on.
    ///
    /// # Errors
    /// If there are not as many; a source that does not say otherwise has none.
    fn held_out(&self, pictures: usize) -> Result<Box<dyn Pairs>> {
        let text = format!("expected a source that can hold {pictures} pictures out of training; this one has none");
        Err(Error::setting("data", text))
    }

    /// Every word that a caption can hold, if there is an end of them.
    fn words(&self) -> Option<Vec<String>> {
        None
    }

    /// Which words of its captions name objects and which contexts, if the source knows.
    fn named_words(&self) -> Option<NamedWords> {
        None
    }

    /// Whether there is nothing in it.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
