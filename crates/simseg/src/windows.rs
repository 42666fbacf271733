//! Sliding windows: a picture larger than those that the network was trained on goes through it in pieces of a size that it knows.
//!
//! ```text
//! windows    crop_size pixels a side, one every stride pixels; the last of a row or column ends at the border
//! a_p        = 1/|W_p| · Σ_{w ∈ W_p} f̂_wp            W_p: the windows that hold patch p
//! s_p        = a_p·û = 1/|W_p| · Σ_{w ∈ W_p} f̂_wp·û   a map is the mean of the windows' cosine maps
//! z          = Σ_w z_w / ‖Σ_w z_w‖                    the picture's embedding, of the windows' own `z_w`
//! ```
//!
//! - `f̂_wp` `[d]`: the unit feature of patch `p` in window `w`   - `a` `[n, d]`, over the whole picture's grid; shorter than 1 where
//!   windows disagree, and not normalised again: its length is their agreement   - `û` `[d]`: a class   - `z` `[1, d]`
//!
//! Names, places and the mean are those of MMSegmentation's `slide_inference`; SCLIP and NACLIP take crops of 224 every 112 pixels of
//! pictures whose shorter side has 336. They bring each window's logits to pixels and average these. Here windows lie on whole patches
//! and the mean is taken of patches, so that whatever looks at patches (scores, affinity) sees one grid; the maps are the same but for
//! bilinear upsampling, which looks beyond the edge of a window here and ends at it there.

use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use simseg_model::Architecture;
use simseg_segment::map::Size;

/// The windows of a recipe: `windows = { crop_size = 224, stride = 112 }`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Windows {
    /// Side of a window in pixels, whole patches; 0 is the size the model was trained at. A window ends where the input does: along
    /// a side that is no longer than this there is one.
    pub crop_size: usize,
    /// From one window to the next in pixels, whole patches, at most `crop_size`: every pixel is in some window.
    pub stride: usize,
}

impl Windows {
    /// Whether the numbers fit each other.
    ///
    /// # Errors
    /// If the stride is nothing or leaves gaps.
    pub fn check(self) -> Result<()> {
        let Self { crop_size, stride } = self;
        if stride == 0 || (crop_size > 0 && stride > crop_size) {
            let most =
                if crop_size > 0 { format!("1 to {crop_size}, the crop_size,") } else { "at least 1".to_owned() };
            return Err(Error::input("input.windows.stride", format!("expected {most} pixels, found {stride}")));
        }
        Ok(())
    }

    /// The windows as they are for a model.
    ///
    /// # Errors
    /// If they are not whole patches, or the stride leaves gaps.
    pub fn fitted(self, model: &dyn Architecture) -> Result<Self> {
        let Self { crop_size, stride } = self;
        let fitted = Self { crop_size: if crop_size == 0 { model.image_size() } else { crop_size }, stride };
        fitted.check()?;
        let patch = model.patch();
        for (key, pixels) in [("crop_size", fitted.crop_size), ("stride", stride)] {
            if pixels % patch != 0 {
                let expected = format!("expected a multiple of the model's patch ({patch}), found {pixels}");
                return Err(Error::input(format!("input.windows.{key}"), expected));
            }
        }
        Ok(fitted)
    }
}

/// Where the windows of an input lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// Size of every window, in pixels.
    pub window: Size,
    /// Their first rows and columns in the input, in pixels, row by row.
    pub corners: Vec<(usize, usize)>,
    input: Size,
    patch: usize,
}

impl Layout {
    /// The windows of an input of whole patches; without settings, or where nothing is larger than a window, one that is all of it.
    pub fn new(input: Size, windows: Option<Windows>, patch: usize) -> Self {
        let Windows { crop_size, stride } = windows.unwrap_or(Windows { crop_size: usize::MAX, stride: usize::MAX });
        let (rows, columns) = (starts(input.height, crop_size, stride), starts(input.width, crop_size, stride));
        let corners = rows.iter().flat_map(|&top| columns.iter().map(move |&left| (top, left))).collect();
        let window = Size { height: input.height.min(crop_size), width: input.width.min(crop_size) };
        Self { window, corners, input, patch }
    }

    /// Patches of the whole input.
    pub fn grid(&self) -> Size {
        self.in_patches(self.input)
    }

    /// Patches of a window.
    pub fn window_grid(&self) -> Size {
        self.in_patches(self.window)
    }

    fn in_patches(&self, size: Size) -> Size {
        Size { height: size.height / self.patch, width: size.width / self.patch }
    }

    /// The places in the whole grid of a window's patches, row by row.
    pub fn patches_of(&self, window: usize) -> impl Iterator<Item = usize> {
        let ((top, left), own, grid) = (self.corners[window], self.window_grid(), self.grid());
        let (top, left) = (top / self.patch, left / self.patch);
        (0..own.area()).map(move |p| (top + p / own.width) * grid.width + left + p % own.width)
    }

    /// In how many windows each patch of the whole grid is.
    pub fn counts(&self) -> Vec<usize> {
        let mut counts = vec![0; self.grid().area()];
        (0..self.corners.len()).flat_map(|window| self.patches_of(window)).for_each(|patch| counts[patch] += 1);
        counts
    }
}

/// Where windows begin along a side: every `stride` pixels, and the last where it ends with the side.
fn starts(length: usize, crop_size: usize, stride: usize) -> Vec<usize> {
    let last = length.saturating_sub(crop_size);
    (0..=last.div_ceil(stride)).map(|i| (i * stride).min(last)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_those_of_mmsegmentation() {
        // h_grids = max(h - crop + stride - 1, 0) // stride + 1; y1 = min(i·stride + crop, h) - crop
        assert_eq!(starts(336, 224, 112), [0, 112]);
        assert_eq!(starts(448, 224, 112), [0, 112, 224]);
        assert_eq!(starts(352, 224, 112), [0, 112, 128]);
        assert_eq!(starts(64, 64, 32), [0]);
        assert_eq!(starts(48, 64, 32), [0]);
        assert_eq!(starts(72, 64, 64), [0, 8]);
    }

    #[test]
    fn every_patch_is_in_some_window_and_none_in_one_twice() {
        for (height, width) in [(8, 8), (24, 64), (40, 136), (72, 72), (128, 8)] {
            for crop_size in [8, 16, 40, 64, 512] {
                for stride in (8..=crop_size).step_by(8) {
                    let layout = Layout::new(Size { height, width }, Some(Windows { crop_size, stride }), 8);
                    let counts = layout.counts();
                    assert!(counts.iter().all(|&n| n > 0), "{height}×{width}, {crop_size} every {stride}: {counts:?}");
                    for window in 0..layout.corners.len() {
                        let mut own: Vec<usize> = layout.patches_of(window).collect();
                        assert!(own.is_sorted(), "row by row");
                        own.dedup();
                        assert_eq!(own.len(), layout.window_grid().area());
                    }
                    let (top, left) = *layout.corners.last().unwrap();
                    assert_eq!((top + layout.window.height, left + layout.window.width), (height, width));
                }
            }
        }
    }

    #[test]
    fn without_settings_there_is_one_window() {
        let layout = Layout::new(Size { height: 24, width: 40 }, None, 8);
        assert_eq!(layout.corners, [(0, 0)]);
        assert_eq!(layout.window, Size { height: 24, width: 40 });
        assert_eq!(layout.patches_of(0).collect::<Vec<_>>(), (0..15).collect::<Vec<_>>());
    }

    #[test]
    fn strides_that_stand_still_or_leave_gaps_are_refused() {
        let line = |crop_size, stride| Windows { crop_size, stride }.check().unwrap_err().to_string();
        assert_eq!(line(64, 0), "input.windows.stride: expected 1 to 64, the crop_size, pixels, found 0");
        assert_eq!(line(64, 72), "input.windows.stride: expected 1 to 64, the crop_size, pixels, found 72");
        assert_eq!(line(0, 0), "input.windows.stride: expected at least 1 pixels, found 0");
        assert!(Windows { crop_size: 0, stride: 1000 }.check().is_ok(), "the model decides");
        assert!(Windows { crop_size: 64, stride: 64 }.check().is_ok());
    }
}
