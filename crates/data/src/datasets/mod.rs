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

#[cfg(feature = "fs")]
pub use files::{Files, pictures};

use crate::Result;
use crate::picture::{Labels, Picture};
use crate::source::DataRegistry;

/// The label that is not counted.
pub const IGNORED: u8 = 255;

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

    /// Class names by label, background first.
    fn classes(&self) -> &[String];

    /// Item `index`, below [`len`](Self::len): always the same one, whichever was read before. Picture and label map are of one
    /// size, and labels are below the number of classes or [`IGNORED`].
    ///
    /// # Errors
    /// If a file is missing or damaged, or breaks that promise.
    fn item(&self, index: usize) -> Result<Item>;

    /// The classes with all their words, as the lines of a class file: `cat | kitten`.
    fn class_lines(&self) -> Vec<String> {
        self.classes().to_vec()
    }

    /// The class of every object in an item, background excluded; without better knowledge the classes of its labels.
    fn objects(&self, index: usize, item: &Item) -> Vec<usize> {
        let _ = index;
        let mut seen = [false; 256];
        item.labels.values.iter().for_each(|&label| seen[usize::from(label)] = true);
        (1..self.classes().len()).filter(|&class| seen[class]).collect()
    }

    /// What somebody wrote about an item, if anybody did.
    ///
    /// # Errors
    /// If it cannot be read.
    fn caption(&self, index: usize) -> Result<Option<String>> {
        let _ = index;
        Ok(None)
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
