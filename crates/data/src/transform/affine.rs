//! Shear, translation and rotation with the nearest pixel, as Pillow computes them, to the byte.
//!
//! Output pixel `(x, y)` shows the input pixel under `(a·x + b·y + c, d·x + e·y + f)`, all at pixel centres; where there is none, the
//! fill colour. Pillow (`src/libImaging/Geometry.c`) adds up these places along a row: in doubles where `b = d = 0`, else in
//! integers with 16 fractional bits, so that a place drifts by up to half a step per pixel. The same sums give the same pixels.
//! Matrices are those of torchvision 0.26 (`_get_inverse_affine_matrix`) and Pillow's `Image.rotate`.

use crate::picture::Picture;

/// `[a, b, c, d, e, f]`: from a place in the output to one in the input.
pub type Matrix = [f64; 6];

/// What is seen where there was no pixel.
pub type Fill = [u8; 3];

/// `PIL.Image.transform(size, AFFINE, matrix, NEAREST, fillcolor=fill)`, for matrices that map the picture to places within
/// ±32,767 pixels.
pub fn affine(picture: &Picture, matrix: &Matrix, fill: Fill) -> Picture {
    let &[a, b, c, d, e, f] = matrix;
    let (width, height) = (picture.width, picture.height);
    let mut rgb = Vec::with_capacity(picture.rgb.len());
    let mut put = |x: Option<usize>, y: Option<usize>| match (x.filter(|&x| x < width), y.filter(|&y| y < height)) {
        (Some(x), Some(y)) => rgb.extend_from_slice(&picture.rgb[(y * width + x) * 3..][..3]),
        _ => rgb.extend(fill),
    };
    if b == 0.0 && d == 0.0 {
        // Sums, not products: they round differently.
        let sums = |start: f64, step: f64, count: usize| -> Vec<Option<usize>> {
            let places = std::iter::successors(Some(start + step * 0.5), |place| Some(place + step)).take(count);
            places.map(|place| (place >= 0.0).then_some(place as usize)).collect()
        };
        let columns = sums(c, a, width);
        for y in sums(f, e, height) {
            columns.iter().for_each(|&x| put(x, y));
        }
    } else {
        let fixed = |value: f64| (value * 65536.0 + 0.5).floor() as i64;
        let whole = |place: i64| usize::try_from(place >> 16).ok();
        let (mut row_x, mut row_y) = (fixed(c + a * 0.5 + b * 0.5), fixed(f + d * 0.5 + e * 0.5));
        for _ in 0..height {
            let (mut x, mut y) = (row_x, row_y);
            for _ in 0..width {
                put(whole(x), whole(y));
                x += fixed(a);
                y += fixed(d);
            }
            row_x += fixed(b);
            row_y += fixed(e);
        }
    }
    Picture { width, height, rgb }
}

/// The inverse of "shear about `centre`, then translate": shears are tangents along x and along y.
fn inverse([cx, cy]: [f64; 2], [tx, ty]: [f64; 2], shear: [f64; 2]) -> Matrix {
    // torchvision is handed degrees; the way there and back is part of the rounding.
    let [sx, sy] = shear.map(|tangent| tangent.atan().to_degrees().to_radians());
    let rotation = 0.0f64;
    let a = (rotation - sy).cos() / sy.cos();
    let b = -(rotation - sy).cos() * sx.tan() / sy.cos() - rotation.sin();
    let c = (rotation - sy).sin() / sy.cos();
    let d = -(rotation - sy).sin() * sx.tan() / sy.cos() + rotation.cos();
    let [p, q, r, s] = [d, -b, -c, a];
    let from = |row: [f64; 2]| row[0] * (-cx - tx) + row[1] * (-cy - ty);
    [p, q, from([p, q]) + cx, r, s, from([r, s]) + cy]
}

/// Row `y` moves by `amount·y` pixels to the left: AutoAugment's ShearX, as torchvision has it.
pub fn shear_x(picture: &Picture, amount: f64, fill: Fill) -> Picture {
    affine(picture, &inverse([0.0; 2], [0.0; 2], [amount, 0.0]), fill)
}

/// Column `x` moves by `amount·x` pixels up: ShearY.
pub fn shear_y(picture: &Picture, amount: f64, fill: Fill) -> Picture {
    affine(picture, &inverse([0.0; 2], [0.0; 2], [0.0, amount]), fill)
}

/// Moved by whole pixels to the right and down.
pub fn translate(picture: &Picture, right: i64, down: i64, fill: Fill) -> Picture {
    let centre = [picture.width as f64 * 0.5, picture.height as f64 * 0.5];
    affine(picture, &inverse(centre, [right as f64, down as f64], [0.0; 2]), fill)
}

/// Turned about its middle by an angle in degrees, counter-clockwise; its size stays (`PIL.Image.rotate`). Angles of whole quarter
/// turns, for which Pillow moves pixels instead, are not among those that training draws.
pub fn rotate(picture: &Picture, degrees: f64, fill: Fill) -> Picture {
    let degrees = degrees.rem_euclid(360.0);
    let angle = -degrees.to_radians();
    // Python's round(x, 15): the nearest decimal number.
    let round = |x: f64| format!("{x:.15}").parse::<f64>().unwrap_or(x);
    let (cos, sin) = (round(angle.cos()), round(angle.sin()));
    let [cx, cy] = [picture.width as f64 / 2.0, picture.height as f64 / 2.0];
    let (c, f) = (cos * -cx + sin * -cy + 0.0, round(-angle.sin()) * -cx + cos * -cy + 0.0);
    affine(picture, &[cos, sin, c + cx, round(-angle.sin()), cos, f + cy], fill)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pixels_move_the_way_the_names_say() {
        let picture = Picture { width: 3, height: 2, rgb: (1..=6).flat_map(|v| [v; 3]).collect() };
        let red = |p: Picture| p.rgb.chunks(3).map(|pixel| pixel[0]).collect::<Vec<_>>();
        assert_eq!(red(translate(&picture, 1, 0, [9; 3])), [9, 1, 2, 9, 4, 5]);
        assert_eq!(red(translate(&picture, 0, -1, [9; 3])), [4, 5, 6, 9, 9, 9]);
        // Measured at pixel centres: row 0 by half a pixel, row 1 by one and a half, half rounded up.
        assert_eq!(red(shear_x(&picture, 1.0, [9; 3])), [2, 3, 9, 6, 9, 9]);
        assert_eq!(red(shear_y(&picture, 1.0, [9; 3])), [4, 9, 9, 9, 9, 9]);
        assert_eq!(red(rotate(&picture, 0.0, [9; 3])), [1, 2, 3, 4, 5, 6]);
    }
}
