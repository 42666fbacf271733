//! Brightness, contrast, saturation, sharpness and hue, as Pillow computes them, to the byte.
//!
//! The first four are `(1 − α)·d + α·v`, computed as `d + α·(v − d)` in f32 and cut to a byte, of a picture `v` and a worse one `d`:
//! black; grey of its mean; its greys; itself, smoothed. Source: Pillow 12.1 (`ImageEnhance.py`, `Blend.c`, `Convert.c`,
//! `Filter.c`) and torchvision 0.26 (`adjust_*`), which calls them `brightness_factor` and so on.

use crate::picture::Picture;

/// `d + α·(v − d)` of a value and a worse one.
fn blend(worse: u8, value: u8, factor: f32) -> u8 {
    let (d, v) = (i32::from(worse), i32::from(value));
    // Rust's cast ends at 0 and 255, as Pillow's extrapolation does.
    (d as f32 + factor * (v - d) as f32) as u8
}

/// A picture blended with a worse one, whose values are asked for by place.
fn blended(picture: &Picture, factor: f64, worse: impl Fn(usize) -> u8) -> Picture {
    let factor = factor as f32;
    let rgb = picture.rgb.iter().enumerate().map(|(at, &value)| blend(worse(at), value, factor)).collect();
    Picture { rgb, ..*picture }
}

/// Pillow's grey of a pixel: ITU-R 601 luma in 16 fractional bits.
fn luma(pixel: &[u8]) -> u8 {
    let [r, g, b] = [pixel[0], pixel[1], pixel[2]].map(u32::from);
    ((r * 19595 + g * 38470 + b * 7471 + 0x8000) >> 16) as u8
}

/// Towards black (0) or away from it; 1 is the picture itself.
pub fn brightness(picture: &Picture, factor: f64) -> Picture {
    blended(picture, factor, |_| 0)
}

/// Towards one grey, that of the mean luma (0), or away from it.
pub fn contrast(picture: &Picture, factor: f64) -> Picture {
    let total: u64 = picture.rgb.chunks_exact(3).map(|pixel| u64::from(luma(pixel))).sum();
    let pixels = (picture.width * picture.height).max(1);
    let mean = (total as f64 / pixels as f64 + 0.5) as u8;
    blended(picture, factor, |_| mean)
}

/// Towards grey (0) or away from it; torchvision's `adjust_saturation`, AutoAugment's Color.
pub fn saturation(picture: &Picture, factor: f64) -> Picture {
    let greys: Vec<u8> = picture.rgb.chunks_exact(3).map(luma).collect();
    blended(picture, factor, |at| greys[at / 3])
}

/// Towards a smoothed picture (0) or away from it. Smoothed is the mean of 3 × 3 pixels of which the middle counts five times; pixels
/// on the edge stay.
pub fn sharpness(picture: &Picture, factor: f64) -> Picture {
    let smooth = smooth(picture);
    blended(picture, factor, |at| smooth[at])
}

fn smooth(picture: &Picture) -> Vec<u8> {
    let (width, height, rgb) = (picture.width, picture.height, &picture.rgb);
    let (around, middle) = (1.0f32 / 13.0, 5.0f32 / 13.0);
    let mut out = rgb.clone();
    for y in 1..height.saturating_sub(1) {
        let inner = (y * width + 1) * 3..(y * width + width.saturating_sub(1)) * 3;
        for (at, out) in out.iter_mut().enumerate().take(inner.end).skip(inner.start) {
            let row = |at: usize, middle: f32| {
                let [left, own, right] = [at - 3, at, at + 3].map(|at| f32::from(rgb[at]));
                left * around + own * middle + right * around
            };
            // The row below first: sums in f32 depend on it.
            let sum = 0.5 + row(at + width * 3, around) + row(at, middle) + row(at - width * 3, around);
            *out = sum as u8;
        }
    }
    out
}

/// Hues turned by a share of the circle, from −½ to ½.
pub fn hue(picture: &Picture, share: f64) -> Picture {
    let turn = (share * 255.0) as i32 as u8; // towards zero, then modulo 256
    let pixel = |pixel: &[u8]| {
        let [h, s, v] = to_hsv([pixel[0], pixel[1], pixel[2]]);
        from_hsv([h.wrapping_add(turn), s, v])
    };
    Picture { rgb: picture.rgb.chunks_exact(3).flat_map(pixel).collect(), ..*picture }
}

/// Pillow's HSV, a byte each. What is f32 and what f64 is as in its C.
fn to_hsv([r, g, b]: [u8; 3]) -> [u8; 3] {
    let (most, least) = (r.max(g).max(b), r.min(g).min(b));
    if most == least {
        return [0, 0, most];
    }
    let range = f32::from(most - least);
    let saturation = range / f32::from(most);
    let [rc, gc, bc] = [r, g, b].map(|value| f32::from(most - value) / range);
    let sixth = if r == most {
        bc - gc
    } else if g == most {
        (2.0 + f64::from(rc) - f64::from(bc)) as f32
    } else {
        (4.0 + f64::from(gc) - f64::from(rc)) as f32
    };
    let hue = ((f64::from(sixth) / 6.0 + 1.0) % 1.0) as f32;
    [(f64::from(hue) * 255.0) as u8, (f64::from(saturation) * 255.0) as u8, most]
}

fn from_hsv([h, s, v]: [u8; 3]) -> [u8; 3] {
    if s == 0 {
        return [v; 3];
    }
    let place = f64::from(h) * 6.0 / 255.0;
    let sextant = place.floor();
    let f = (place - sextant) as f32;
    let (v64, fs, f) = (f64::from(v), f64::from((f64::from(s) / 255.0) as f32), f64::from(f));
    let [p, q, t] = [1.0 - fs, 1.0 - fs * f, 1.0 - fs * (1.0 - f)].map(|share| (v64 * share).round() as u8);
    match sextant as u32 % 6 {
        0 => [v, t, p],
        1 => [q, v, p],
        2 => [p, v, t],
        3 => [p, q, v],
        4 => [t, p, v],
        _ => [v, p, q],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_factor_of_one_changes_nothing_and_zero_is_the_worse_picture() {
        let picture = Picture { width: 3, height: 3, rgb: (0..27).map(|v| v * 9).collect() };
        for change in [brightness, contrast, saturation, sharpness] {
            assert_eq!(change(&picture, 1.0), picture);
        }
        assert_eq!(brightness(&picture, 0.0).rgb, [0; 27]);
        let grey = contrast(&picture, 0.0).rgb;
        assert!(grey.iter().all(|&value| value == grey[0]) && (110..125).contains(&grey[0]), "{grey:?}");
        assert_eq!(saturation(&Picture { width: 1, height: 1, rgb: vec![255, 0, 0] }, 0.0).rgb, [76; 3], "0.299·255");
        assert_eq!(hue(&picture, 0.0).rgb[..3], [0, 9, 18], "black to blue stays");
    }
}
