//! Sharper masks: from a coarse map of a class to pixels that follow the image.
//!
//! Everything here works on plain slices, row by row, and gives the same bits for any number of threads: work is split
//! over outputs, never over a sum. In reading order:
//!
//! - [`cut`]: every pixel above a level;
//! - [`crf`]: fully connected CRF, the refinement of the released code (`docs/paper.md`, "DenseCRF");
//! - [`pamr`]: pixel-adaptive averaging, what TCL and NACLIP use instead;
//! - [`morphology`]: dilation, erosion and closing with OpenCV's border rule.

simseg_registry::family! {
    /// Registers every refiner.
    pub fn register(refiners: &mut Kinds<dyn Refiner>);
    cut, crf, pamr,
}
pub mod morphology;

pub use crf::{Crf, CrfParameters, Lattices};
pub use cut::Cut;
pub use pamr::{AveragedCut, Pamr, PamrParameters};

use crate::map::Size;
use crate::needs::Needs;
use simseg_registry::Kinds;

/// Turns maps into masks.
pub trait Refiner: Send + Sync {
    /// What it wants to see of an image.
    fn needs(&self) -> Needs {
        Needs::default()
    }

    /// Whether the mask of a class depends on its own map alone, and not on which other classes are refined with it.
    fn each_alone(&self) -> bool {
        false
    }

    /// The mask of a class before anything but its own map is looked at: what the refinement is to be compared with. The likelier of
    /// class and rest at each pixel, as a CRF's unary term has it, unless the refiner cuts elsewhere.
    fn unrefined(&self, map: &[f32]) -> Vec<u8> {
        cut::above(map, cut::one_half())
    }

    /// Bytes that [`Self::refine`] needs at most beside the image and the maps of so many classes: masks and everything on the way.
    fn memory(&self, size: Size, maps: usize) -> usize {
        2 * maps * size.area()
    }

    /// One mask per map: maps `[h·w]` of the classes in an image.
    ///
    /// # Errors
    /// If slices do not fit the image.
    fn refine(&self, canvas: Canvas<'_>, maps: &[Vec<f32>]) -> simseg_tensor::Result<Masks>;

    /// The same, showing what is computed on the way to a watcher. A refiner that has nothing to show need not implement it.
    ///
    /// # Errors
    /// As [`Self::refine`], or whatever the watcher fails with.
    fn refine_watched(&self, canvas: Canvas<'_>, maps: &[Vec<f32>], watch: Watch<'_>) -> simseg_tensor::Result<Masks> {
        let _ = watch;
        self.refine(canvas, maps)
    }
}

/// Looks on while maps are refined: the name of a step, the place of the map among those given, and one value per pixel.
pub type Watch<'a> = &'a mut dyn FnMut(&str, usize, &[f32]) -> simseg_tensor::Result<()>;

/// The image that masks should follow.
#[derive(Debug, Clone, Copy)]
pub struct Canvas<'a> {
    /// Its size, which is that of the maps.
    pub size: Size,
    /// `[h, w, 3]`
    pub rgb: &'a [u8],
}

/// One mask per map, `[h·w]` each, 1 where the class is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Masks {
    /// After everything.
    pub last: Vec<Vec<u8>>,
    /// On the way, under the names of the trace file.
    pub steps: Vec<MaskStep>,
}

impl Masks {
    /// One by one.
    pub(crate) fn apart(self) -> Vec<Self> {
        let step = |i: usize| {
            self.steps
                .iter()
                .map(move |step| MaskStep { name: step.name, masks: vec![step.masks[i].clone()] })
                .collect()
        };
        (0..self.last.len()).map(|i| Self { last: vec![self.last[i].clone()], steps: step(i) }).collect()
    }

    /// Several as one; all were made by one refiner, and so have the same steps.
    pub(crate) fn together<'a>(all: impl Iterator<Item = &'a Self>) -> Self {
        let mut together = Self::default();
        for masks in all {
            together.last.extend(masks.last.iter().cloned());
            if together.steps.is_empty() {
                together.steps = masks.steps.clone();
                continue;
            }
            for (step, more) in together.steps.iter_mut().zip(&masks.steps) {
                step.masks.extend(more.masks.iter().cloned());
            }
        }
        together
    }
}

/// Masks on the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MaskStep {
    /// What they are called, such as `crf`.
    pub name: &'static str,
    /// One per map.
    pub masks: Vec<Vec<u8>>,
}

/// Why a refinement could not be computed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RefineError {
    /// An image without pixels, or with more than indices can count.
    #[error("{what}: an image of {height}×{width} pixels, expected sides from 1 to {}", MAX_SIDE)]
    Size {
        /// The operation.
        what: &'static str,
        /// Rows.
        height: usize,
        /// Columns.
        width: usize,
    },
    /// A slice that does not fit the image.
    #[error("{what}: {got} values, expected {expected}")]
    Length {
        /// The operation and slice.
        what: &'static str,
        /// Length expected.
        expected: usize,
        /// Length found.
        got: usize,
    },
    /// A setting outside of its range.
    #[error("{key} = {got}, expected {expected}")]
    Setting {
        /// The setting.
        key: &'static str,
        /// Its value.
        got: f64,
        /// Its range.
        expected: &'static str,
    },
}

impl From<RefineError> for simseg_tensor::Error {
    fn from(error: RefineError) -> Self {
        Self::setting("refine", error.to_string())
    }
}

/// The longest side an image may have; its square times six still counts in 32 bits.
pub const MAX_SIDE: usize = 16_384;

/// Checks that an image has pixels and returns how many.
fn area(what: &'static str, height: usize, width: usize) -> Result<usize, RefineError> {
    let sides = 1..=MAX_SIDE;
    match sides.contains(&height) && sides.contains(&width) {
        true => Ok(height * width),
        false => Err(RefineError::Size { what, height, width }),
    }
}

/// Checks the length of a slice.
fn length(what: &'static str, got: usize, expected: usize) -> Result<(), RefineError> {
    if got == expected { Ok(()) } else { Err(RefineError::Length { what, expected, got }) }
}

/// Runs a loop with AVX2 registers allowed, if the CPU has them. No fused operation is asked for, so both copies of the
/// loop round alike: the result does not depend on the machine.
#[inline]
fn wide<R>(body: impl FnOnce() -> R) -> R {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx2")]
        fn inner<R>(body: impl FnOnce() -> R) -> R {
            body()
        }
        if std::arch::is_x86_feature_detected!("avx2") {
            // SAFETY: `inner` is safe code that only demands the feature checked just above. Test:
            // `both_copies_of_a_loop_agree`.
            return unsafe { inner(body) };
        }
    }
    body()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A loop as the refinements have them: products, sums in a fixed order, a division.
    fn averages(values: &[f32]) -> Vec<f32> {
        let one = |window: &[f32]| {
            let (mut sum, mut weights) = (0.0f32, 1e-8f32);
            for (i, x) in window.iter().enumerate() {
                let weight = 1.0 / (1.0 + i as f32);
                sum += weight * x;
                weights += weight * weight;
            }
            sum / weights
        };
        values.windows(9).map(one).collect()
    }

    #[test]
    fn both_copies_of_a_loop_agree() {
        let values: Vec<f32> = (0..4099).map(|i: i32| ((i * 7919 % 1009) as f32 - 500.0) / 3.0).collect();
        let bits = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect::<Vec<_>>();
        assert_eq!(bits(wide(|| averages(&values))), bits(averages(&values)));
    }
}
