//! Crops: which part of a picture, and the random part that training looks at.
//!
//! `random_resized_crop` draws an area share `a ~ U[scale]` and an aspect ratio `r = e^u`, `u ~ U[ln ratio]`; the crop is
//! `√(a·W·H·r)` wide and `√(a·W·H/r)` high, at a uniform place. After ten draws that do not fit, the largest centred part
//! whose ratio is allowed. Source: torchvision's `RandomResizedCrop` (0.26), whose roundings (ties to even) these are;
//! random numbers are ours.

use crate::picture::Picture;
use simseg_tensor::random::{self, ChaCha8Rng};

/// A rectangle inside a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crop {
    /// First column.
    pub left: usize,
    /// First row.
    pub top: usize,
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
}

impl Crop {
    /// The part of the picture under it.
    ///
    /// # Panics
    /// If it reaches beyond the picture.
    pub fn of(&self, picture: &Picture) -> Picture {
        let Self { left, top, width, height } = *self;
        assert!(left + width <= picture.width && top + height <= picture.height, "a crop inside the picture");
        let mut rgb = Vec::with_capacity(3 * width * height);
        for row in picture.rgb.chunks(picture.width * 3).skip(top).take(height) {
            rgb.extend_from_slice(&row[left * 3..(left + width) * 3]);
        }
        Picture { width, height, rgb }
    }
}

fn even(x: f64) -> usize {
    x.round_ties_even() as usize // also 0 for what is negative
}

/// Width and height with the shorter side `side` and the ratio kept, the longer side cut to a whole number (torchvision's
/// `Resize(side)`).
///
/// ```
/// assert_eq!(simseg_data::transform::shorter_side(500, 333, 288), (432, 288)); // 288·500/333 = 432.4
/// ```
pub fn shorter_side(width: usize, height: usize, side: usize) -> (usize, usize) {
    let longer = |long: usize, short: usize| (side as f64 * long as f64 / short as f64) as usize;
    if width <= height { (side, longer(height, width)) } else { (longer(width, height), side) }
}

/// The middle of a picture; what lies beyond a small one is black (torchvision's `CenterCrop`).
pub fn centre_crop(picture: &Picture, width: usize, height: usize) -> Picture {
    // Padding floors on the near side; cropping rounds half to even.
    let place = |have: usize, want: usize| match want.checked_sub(have) {
        Some(missing) => (missing / 2, 0),
        None => (0, even((have - want) as f64 / 2.0)),
    };
    let ((pad_x, left), (pad_y, top)) = (place(picture.width, width), place(picture.height, height));
    let mut out = Picture { width, height, rgb: vec![0; width * height * 3] };
    let crop = Crop { left, top, width: width.min(picture.width), height: height.min(picture.height) };
    for (y, row) in crop.of(picture).rgb.chunks(crop.width * 3).enumerate() {
        let start = ((pad_y + y) * width + pad_x) * 3;
        out.rgb[start..start + row.len()].copy_from_slice(row);
    }
    out
}

/// A random part of a `width` × `height` picture; see the module. `scale` and `ratio` are `[least, most]`.
///
/// ```
/// use simseg_data::transform::random_resized_crop;
/// use simseg_tensor::random::stream;
/// let crop = |index| random_resized_crop([500, 375], [0.6, 1.0], [0.75, 4.0 / 3.0], &mut stream(0, "crop", index));
/// assert_eq!(crop(7), crop(7)); // whichever crop was drawn before
/// assert_ne!(crop(7), crop(8));
/// ```
pub fn random_resized_crop(
    [width, height]: [usize; 2],
    scale: [f64; 2],
    ratio: [f64; 2],
    rng: &mut ChaCha8Rng,
) -> Crop {
    let area = (width * height) as f64;
    for _ in 0..10 {
        let target = area * between(scale, rng);
        let aspect = between(ratio.map(f64::ln), rng).exp();
        let (w, h) = (even((target * aspect).sqrt()), even((target / aspect).sqrt()));
        if (1..=width).contains(&w) && (1..=height).contains(&h) {
            let mut place = |free: usize| (random::uniform(rng) * (free + 1) as f64) as usize;
            let top = place(height - h);
            return Crop { top, left: place(width - w), width: w, height: h };
        }
    }
    let whole = width as f64 / height as f64;
    let (w, h) = if whole < ratio[0] {
        (width, even(width as f64 / ratio[0]).min(height))
    } else if whole > ratio[1] {
        (even(height as f64 * ratio[1]).min(width), height)
    } else {
        (width, height)
    };
    Crop { left: (width - w) / 2, top: (height - h) / 2, width: w, height: h }
}

/// A value between two, all equally likely.
pub(super) fn between([least, most]: [f64; 2], rng: &mut ChaCha8Rng) -> f64 {
    least + (most - least) * random::uniform(rng)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn drawn(size: [usize; 2], scale: [f64; 2], seed: u64, index: u64) -> Crop {
        random_resized_crop(size, scale, [0.75, 4.0 / 3.0], &mut random::stream(seed, "crop", index))
    }

    #[test]
    fn the_middle_of_small_and_large_pictures() {
        let picture = Picture { width: 3, height: 2, rgb: (1..=6).flat_map(|v| [v; 3]).collect() };
        let red = |p: Picture| p.rgb.chunks(3).map(|pixel| pixel[0]).collect::<Vec<_>>();
        assert_eq!(red(centre_crop(&picture, 1, 2)), [2, 5]);
        assert_eq!(red(centre_crop(&picture, 1, 4)), [0, 2, 5, 0]);
        assert_eq!(red(centre_crop(&picture, 4, 1)), [1, 2, 3, 0], "(2 − 1)/2 rounds to even: the first row");
    }

    #[test]
    fn a_thin_picture_falls_back_to_its_middle() {
        // A ratio of 10 leaves no room for at least 0.9 of the area within [3/4, 4/3].
        let crop = drawn([1000, 100], [0.9, 1.0], 0, 0);
        assert_eq!(crop, Crop { left: 433, top: 0, width: 133, height: 100 });
        let crop = drawn([100, 1000], [0.9, 1.0], 0, 0);
        assert_eq!(crop, Crop { left: 0, top: 433, width: 100, height: 133 });
    }

    #[test]
    fn crops_fill_the_picture_evenly() {
        let crops: Vec<Crop> = (0..4000).map(|i| drawn([200, 200], [0.6, 1.0], 1, i)).collect();
        let mean = |f: &dyn Fn(&Crop) -> f64| crops.iter().map(f).sum::<f64>() / crops.len() as f64;
        let middle = mean(&|c| c.left as f64 + c.width as f64 / 2.0);
        assert!((middle - 100.0).abs() < 1.0, "{middle}");
        // Large areas with long sides do not fit and are drawn again, so the mean lies below 0.8.
        let share = mean(&|c| (c.width * c.height) as f64 / 40_000.0);
        assert!((0.70..0.80).contains(&share), "{share}");
    }

    proptest! {
        #[test]
        fn a_crop_lies_inside_and_keeps_its_promises(width in 1usize..400, height in 1usize..400, index in 0u64..1000) {
            let crop = drawn([width, height], [0.6, 1.0], 0, index);
            prop_assert!(crop.width >= 1 && crop.height >= 1);
            prop_assert!(crop.left + crop.width <= width && crop.top + crop.height <= height);
            // One pixel of rounding on either side.
            let (w, h) = (crop.width as f64, crop.height as f64);
            prop_assert!((w + 1.0) / (h - 1.0).max(0.1) >= 0.75 && (w - 1.0) / (h + 1.0) <= 4.0 / 3.0);
        }
    }
}
