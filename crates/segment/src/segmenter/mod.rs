//! From the features of an image and of the classes to a label map.

simseg_registry::family! {
    /// Registers every segmenter.
    pub fn register<T: Tensor>(segmenters: &mut Kinds<dyn Segmenter<T>, Parts<T>>);
    simseg, per_pixel,
}

pub mod steps;

pub use per_pixel::PerPixel;
pub use simseg::{SimSeg, SimSegConfig};

use crate::compose::ClassMask;
use crate::features::View;
use crate::map::Size;
use crate::needs::Needs;
use crate::registry::Parts;
use crate::score::ClassScore;
use simseg_model::Aligner;
use simseg_registry::Kinds;
use simseg_tensor::{Result, Tap, Tensor};

/// A label map and how it came about.
#[derive(Debug, Clone, PartialEq)]
pub struct Segmentation {
    /// One class per pixel, `[h, w]`; where no class is, 0 if that is the background, else [`crate::metrics::IGNORE`].
    pub labels: Vec<u16>,
    /// Size of `labels`.
    pub size: Size,
    /// One score per class.
    pub scores: Vec<f32>,
    /// What they were held against; NaN for rules without a threshold.
    pub threshold: f32,
    /// The classes found in the image, by falling score, with their maps and masks at the input's size.
    pub masks: Vec<ClassMask>,
}

/// How large a segmentation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// The network's input, in pixels.
    pub input: Size,
    /// Patches.
    pub patches: usize,
    /// Channels of a patch's feature.
    pub channels: usize,
    /// Classes, the background among them.
    pub classes: usize,
    /// Rows of the class bank: the words of all classes, or their prompts where these are kept apart.
    pub rows: usize,
}

impl Extent {
    /// Bytes of the cosines of patches and rows, on the host and as a tensor, and of the unit features that they are made of.
    pub fn scores(self) -> usize {
        size_of::<f32>() * (2 * self.patches * self.rows + 2 * self.patches * self.channels)
    }
}

/// Turns features into a label map.
pub trait Segmenter<T: Tensor>: Send + Sync {
    /// What it wants to see.
    fn needs(&self, aligner: &dyn Aligner<T>) -> Needs;

    /// How it scores classes, and so how their prompts are combined.
    fn score(&self) -> &dyn ClassScore<T>;

    /// Bytes that [`Self::segment`] needs at most beside the features, for maps, masks and labels at the input's size: what a plan of memory
    /// counts with. The label map at the picture's own size is not among them.
    fn memory(&self, extent: Extent) -> usize {
        extent.scores() + extent.classes * extent.input.area() * (size_of::<f32>() + 2) + 2 * extent.input.area()
    }

    /// Segments one image. Implementers show every intermediate to `tap` under the names of the trace file.
    ///
    /// # Errors
    /// If shapes do not fit, or the tap fails.
    fn segment(&self, view: View<'_, T>, tap: &mut dyn Tap<T>) -> Result<Segmentation>;

    /// The same, but the classes in the image are given (the background is passed over): all of them are drawn, whatever they score.
    ///
    /// # Errors
    /// As [`Self::segment`].
    fn segment_given(&self, view: View<'_, T>, classes: &[usize], tap: &mut dyn Tap<T>) -> Result<Segmentation>;

    /// As [`Self::segment_given`], but of masks that are not refined; `None` if nothing is refined anyway.
    ///
    /// # Errors
    /// As [`Self::segment`].
    fn segment_unrefined(&self, view: View<'_, T>, classes: &[usize]) -> Result<Option<Segmentation>> {
        let _ = (view, classes);
        Ok(None)
    }

    /// All settings that [`Self::segment_given`], [`Self::segment_unrefined`] and [`Self::maps`] depend on, as text: segmenters with
    /// the same text agree in all three. None if it can't be told.
    fn given_key(&self) -> Option<&str> {
        None
    }

    /// Maps of some classes at the input's size, `[h·w]` each: large where the class is.
    ///
    /// # Errors
    /// If shapes do not fit.
    fn maps(&self, view: View<'_, T>, classes: &[usize]) -> Result<Vec<Vec<f32>>>;
}
