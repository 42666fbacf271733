//! Data sets: pictures with label maps, one at a time from disk, in the layouts that SimSeg's release expects.
//!
//! | name | pictures | label maps | classes |
//! |---|---|---|---|
//! | `voc2012` | `VOCdevkit/VOC2012/JPEGImages` | `SegmentationClass` | 20 + background |
//! | `context` | `VOCdevkit/VOC2010/JPEGImages` | `SegmentationClassContext` (`context::convert`) | 59 + background |
//! | `coco-object` | `coco_stuff164k/images/val2017` | `annotations/val2017` (`coco::convert`) | 80 + background |
//! | `folder` | `images` | `labels/*.png` of the same stem | `classes.txt`, or given |
//!
//! A label is the index of its class; 255 means that nobody knows, and is not counted. Items come in the order of their
//! names (or of the list file), so that a run can be resumed at an index.

#[cfg(feature = "fs")]
mod files;
mod values;
#[cfg(feature = "fs")]
pub mod mask;
simseg_registry::family! {
    /// Registers every data set.
    pub fn register(registry: &mut DataRegistry);
    drawn,
    #[cfg(feature = "fs")] voc,
    #[cfg(feature = "fs")] context,
    #[cfg(feature = "fs")] coco,
    #[cfg(feature = "fs")] folder,
}

pub use crate::picture::IGNORED;
#[cfg(feature = "fs")]
pub use files::{Files, pictures};
pub use values::Values;

use crate::Result;
use crate::pairs::NamedWords;
use crate::picture::{Labels, Picture};
use crate::source::DataRegistry;

/// A picture and its truth, of one size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Its name without folder and ending.
    pub stem: String,
    /// What one sees.
    pub picture: Picture,
    /// What is where.
    pub labels: Labels,
}

/// Pictures with label maps. An item is read when it is asked for, and not kept.
pub trait Dataset: Send + Sync {
    /// Number of items.
    fn len(&self) -> usize;

    /// Class names by label, the background first if there is one.
    fn classes(&self) -> &[String];

    /// Item `index`, below [`len`](Self::len): always the same one, whichever was read before. Picture and label map are of one
    /// size, and labels are below the number of classes or [`IGNORED`].
    ///
    /// # Errors
    /// If a file is missing or damaged, or breaks that promise.
    fn item(&self, index: usize) -> Result<Item>;

    /// Whether the first class is the background.
    fn has_background(&self) -> bool {
        true
    }

    /// The lines of a class file: all words of every class (`cat | kitten`), after `background = false` if there is none.
    fn class_lines(&self) -> Vec<String> {
        let none = (!self.has_background()).then(|| "background = false".to_owned());
        none.into_iter().chain(self.classes().iter().cloned()).collect()
    }

    /// The class of every object in an item, background excluded; without better knowledge the classes of its labels.
    fn objects(&self, index: usize, item: &Item) -> Vec<usize> {
        let _ = index;
        let first = usize::from(self.has_background());
        item.labels.classes().into_iter().filter(|&class| class >= first).collect()
    }

    /// What somebody wrote about an item, if anybody did.
    ///
    /// # Errors
    /// If it cannot be read.
    fn caption(&self, index: usize) -> Result<Option<String>> {
        let _ = index;
        Ok(None)
    }

    /// Which words of its captions name objects and which contexts, if the source knows.
    fn named_words(&self) -> Option<NamedWords> {
        None
    }

    /// Whether there is nothing in it.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All items, one after the other.
    fn items(&self) -> Box<dyn Iterator<Item = Result<Item>> + '_> {
        Box::new((0..self.len()).map(|index| self.item(index)))
    }
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}
