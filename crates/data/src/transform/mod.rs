//! From bytes to network input, as Pillow and torchvision do it: [`resize`](mod@resize), [`crop`](mod@crop), normalise; in training
//! changed at random before ([`augment`]), by [`affine`], [`colour`] and [`tone`].
//!
//! Normalise: `(x/255 − mean) / std` per channel, every step rounded to f32 (torchvision's `ToTensor` and `Normalize`), so
//! that the bits are the same.

pub mod resize;
pub mod crop;
pub mod affine;
pub mod colour;
pub mod tone;
pub mod augment;

use crate::picture::Image;
pub use augment::{Augmentation, Augmentations, Draw};
pub use crop::{Crop, centre_crop, random_resized_crop, shorter_side};
pub use resize::{Filter, Passes, resize, resize_with};
pub use simseg_tensor::Normalisation;

/// Side of the square that SimSeg resizes an image to.
pub const SIDE: usize = 288;

/// `[3, h, w]`, normalised per channel.
pub fn normalise<S: AsRef<[u8]>>(picture: &Image<S>, by: &Normalisation) -> Vec<f32> {
    let rgb = picture.rgb.as_ref();
    let mut out = vec![0.0; rgb.len()];
    normalise_into(rgb, by, &mut out);
    out
}

/// `[h, w, 3]` bytes → `[3, h, w]` values, normalised per channel.
///
/// # Panics
/// If `out` is shorter than `rgb`.
pub fn normalise_into(rgb: &[u8], by: &Normalisation, out: &mut [f32]) {
    let area = rgb.len() / 3;
    for channel in 0..3 {
        let plane = &mut out[channel * area..(channel + 1) * area];
        for (value, pixel) in plane.iter_mut().zip(rgb.chunks_exact(3)) {
            *value = (f32::from(pixel[channel]) / 255.0 - by.mean[channel]) / by.std[channel];
        }
    }
}

/// The bytes that come back from normalised values when they are scaled and cut, not rounded: `⌊255·(x·std + mean)⌋` in
/// single precision. The released code refines masks on these; about half of all values are one less than they were.
pub fn round_trip(rgb: &[u8], by: &Normalisation) -> Vec<u8> {
    let back = |byte: u8, channel: usize| {
        let x = (f32::from(byte) / 255.0 - by.mean[channel]) / by.std[channel];
        ((x * by.std[channel] + by.mean[channel]) * 255.0) as u8
    };
    let tables: [[u8; 256]; 3] = std::array::from_fn(|channel| std::array::from_fn(|byte| back(byte as u8, channel)));
    rgb.iter().enumerate().map(|(i, &byte)| tables[i % 3][usize::from(byte)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Picture;

    #[test]
    fn normalised_channels_lie_one_after_the_other() {
        let out =
            normalise(&Picture { width: 2, height: 1, rgb: vec![255, 0, 0, 0, 0, 255] }, &Normalisation::IMAGENET);
        assert_eq!(out[0], (1.0 - 0.485) / 0.229);
        assert_eq!(out[5], (1.0 - 0.406) / 0.225);
    }
}
