//! From bytes to network input: resize as Pillow does, then normalise as torchvision does.
//!
//! Resize: an output pixel is the weighted mean of the inputs under a triangle of half-width `max(1, scale)`, centred at
//! `(i + ½)·scale`, first along rows, then along columns, each pass rounded to a byte. Pillow (`src/libImaging/Resample.c`)
//! does this with integer weights of 22 fractional bits; the same integers here give the same bytes.
//! Normalise: `(x/255 − mean) / std` per channel in f32.

use crate::picture::Picture;

/// Mean of ImageNet's training images per channel, as torchvision and timm use it.
pub const MEAN: [f32; 3] = [0.485, 0.456, 0.406];
/// Standard deviation of ImageNet's training images per channel.
pub const STD: [f32; 3] = [0.229, 0.224, 0.225];

/// Fractional bits of a weight: 8 bits of value and 2 of head-room out of 32 are spoken for.
const PRECISION: u32 = 32 - 8 - 2;

/// Which inputs an output pixel sees, and how much of each.
struct Window {
    start: usize,
    weights: Vec<i32>,
}

fn windows(from: usize, to: usize) -> Vec<Window> {
    let scale = from as f64 / to as f64;
    let support = scale.max(1.0);
    let window = |i: usize| {
        let centre = (i as f64 + 0.5) * scale;
        // Truncation after adding ½, as the original does; the first is never negative after clamping.
        let start = ((centre - support + 0.5).max(0.0)) as usize;
        let end = ((centre + support + 0.5) as usize).min(from);
        let triangle = |x: usize| (1.0 - ((x as f64 - centre + 0.5) / support).abs()).max(0.0);
        let raw: Vec<f64> = (start..end).map(triangle).collect();
        let total: f64 = raw.iter().sum();
        let fixed = |w: &f64| (w / total * f64::from(1u32 << PRECISION) + 0.5) as i32;
        Window { start, weights: raw.iter().map(fixed).collect() }
    };
    (0..to).map(window).collect()
}

fn weigh(window: &Window, value: impl Fn(usize) -> u8) -> u8 {
    let half = 1 << (PRECISION - 1);
    let sum = window.weights.iter().enumerate().fold(half, |sum, (j, &w)| sum + i32::from(value(window.start + j)) * w);
    (sum >> PRECISION).clamp(0, 255) as u8
}

/// Pillow's `resize(…, BILINEAR)`, to the byte. `width` and `height` must not be zero.
pub fn resize(picture: &Picture, width: usize, height: usize) -> Picture {
    let mut current = picture.clone();
    if width != current.width {
        let windows = windows(current.width, width);
        let mut rgb = Vec::with_capacity(width * current.height * 3);
        for row in current.rgb.chunks(current.width * 3) {
            for window in &windows {
                rgb.extend((0..3).map(|channel| weigh(window, |x| row[x * 3 + channel])));
            }
        }
        current = Picture { width, height: current.height, rgb };
    }
    if height != current.height {
        let line = current.width * 3;
        let mut rgb = Vec::with_capacity(line * height);
        for window in windows(current.height, height) {
            rgb.extend((0..line).map(|x| weigh(&window, |y| current.rgb[y * line + x])));
        }
        current = Picture { width: current.width, height, rgb };
    }
    current
}

/// `[3, h, w]`, normalised per channel.
pub fn normalise(picture: &Picture) -> Vec<f32> {
    let mut out = vec![0.0; picture.rgb.len()];
    normalise_into(&picture.rgb, &mut out);
    out
}

/// `[h, w, 3]` bytes → `[3, h, w]` values, normalised per channel.
pub fn normalise_into(rgb: &[u8], out: &mut [f32]) {
    let area = rgb.len() / 3;
    for channel in 0..3 {
        let plane = &mut out[channel * area..(channel + 1) * area];
        for (value, pixel) in plane.iter_mut().zip(rgb.chunks_exact(3)) {
            *value = (f32::from(pixel[channel]) / 255.0 - MEAN[channel]) / STD[channel];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halving_weighs_four_pixels_with_a_triangle() {
        // One row of 4 → 2: centres 1 and 3, half-width 2; weights of the first 1/8·(3, 3, 1) over 7/8 … by hand.
        let picture = Picture { width: 4, height: 1, rgb: [10u8, 20, 30, 40].iter().flat_map(|&v| [v; 3]).collect() };
        let small = resize(&picture, 2, 1);
        // (0.75·10 + 0.75·20 + 0.25·30) / 1.75 = 17.14; mirrored: (0.25·20 + 0.75·30 + 0.75·40) / 1.75 = 32.86
        assert_eq!(small.rgb, [17, 17, 17, 33, 33, 33]);
    }

    #[test]
    fn the_same_size_is_the_same_picture() {
        let picture = Picture { width: 5, height: 3, rgb: (0..45).collect() };
        assert_eq!(resize(&picture, 5, 3), picture);
    }

    #[test]
    fn normalised_channels_lie_one_after_the_other() {
        let out = normalise(&Picture { width: 2, height: 1, rgb: vec![255, 0, 0, 0, 0, 255] });
        assert_eq!(out[0], (1.0 - 0.485) / 0.229);
        assert_eq!(out[5], (1.0 - 0.406) / 0.225);
    }
}
