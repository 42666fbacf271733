//! Where is a class? One score per patch, spread over the pixels, stretched to `[0, 1]`.
//!
//! `s[p] = f̂[p] · û`, with `f̂` the patch features normalised one by one and `û` the class embedding; then upsampled to
//! the input's size and `m = (s − min s) / (max s − min s)`. Released code: nearest upsampling;
//! the paper only says "up-sampling".

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use simseg_tensor::{Error, Ops, Result, Tensor};

/// How patch scores become pixel scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Upsample {
    /// Every pixel takes its patch's score.
    Nearest,
    /// Linear between patch centres (PyTorch's `interpolate(mode="bilinear", align_corners=False)`).
    Bilinear,
}

/// How a map is made.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Map {
    /// From patches to pixels.
    pub upsample: Upsample,
    /// Whether each map is stretched to `[0, 1]`.
    pub min_max: bool,
    /// Multiplies scores before classes compete for every pixel ([`compete`]): maps are probabilities then. Without it a map knows
    /// nothing of other classes.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "positive")]
    pub compete: Option<f32>,
    /// The similarity from which patches count as like each other, if patches become means of their like first
    /// ([`crate::affinity`]).
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "similarity")]
    pub affinity: Option<f32>,
}

fn positive<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Option<f32>, D::Error> {
    within(deserializer, "a positive number", |x| x > 0.0 && x.is_finite())
}

fn similarity<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Option<f32>, D::Error> {
    within(deserializer, "a similarity from -1 to 1", |x| (-1.0..=1.0).contains(&x))
}

/// A number in a range, if there is one.
fn within<'de, D: Deserializer<'de>>(
    deserializer: D,
    expected: &str,
    fits: impl Fn(f32) -> bool,
) -> std::result::Result<Option<f32>, D::Error> {
    match Option::<f32>::deserialize(deserializer)? {
        Some(x) if !fits(x) => Err(D::Error::custom(format!("expected {expected}, found {x}"))),
        number => Ok(number),
    }
}

/// Height and width, of a grid of patches or of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Size {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

impl Size {
    /// `height × width`
    pub fn area(self) -> usize {
        self.height * self.width
    }
}

/// Patch scores of some classes, `[c, n]`: `patches [n, d]` (projected, not normalised) and `classes [c, d]` (unit rows).
///
/// # Errors
/// If the widths differ.
pub fn patch_scores<T: Tensor>(patches: &T, classes: &T) -> Result<T> {
    classes.matmul(&patches.l2_normalize()?.t()?)
}

/// Spreads values on a grid over a larger (or smaller) one.
///
/// # Errors
/// If a size is zero or `values` does not hold `from.area()` values.
pub fn resize(values: &[f32], from: Size, to: Size, how: Upsample) -> Result<Vec<f32>> {
    if values.len() != from.area() || from.area() == 0 || to.area() == 0 {
        let (lhs, rhs) = (vec![values.len(), from.height, from.width], vec![to.height, to.width]);
        return Err(Error::Shape { op: "resize", lhs, rhs, rule: "as many values as the grid holds, no empty side" });
    }
    let (rows, columns) = (Taps::new(from.height, to.height, how), Taps::new(from.width, to.width, how));
    let at = |y: usize, x: usize| values[y * from.width + x];
    let mut out = Vec::with_capacity(to.area());
    for r in &rows.0 {
        for c in &columns.0 {
            let upper = at(r.low, c.low) * (1.0 - c.share) + at(r.low, c.high) * c.share;
            let lower = at(r.high, c.low) * (1.0 - c.share) + at(r.high, c.high) * c.share;
            out.push(upper * (1.0 - r.share) + lower * r.share);
        }
    }
    Ok(out)
}

/// For each output position the two source positions it lies between, and the share of the second.
struct Taps(Vec<Between>);

struct Between {
    low: usize,
    high: usize,
    share: f32,
}

impl Taps {
    fn new(from: usize, to: usize, how: Upsample) -> Self {
        let scale = from as f32 / to as f32;
        let between = |i: usize| match how {
            Upsample::Nearest => {
                let low = nearest(i, from, to);
                Between { low, high: low, share: 0.0 }
            }
            Upsample::Bilinear => {
                // Half a pixel: positions are those of the centres.
                let position = ((i as f32 + 0.5) * scale - 0.5).max(0.0);
                let low = (position as usize).min(from - 1);
                Between { low, high: (low + 1).min(from - 1), share: position - low as f32 }
            }
        };
        Self((0..to).map(between).collect())
    }
}

/// The source of position `i` when `from` positions become `to`: `⌊i·from/to⌋`.
pub fn nearest(i: usize, from: usize, to: usize) -> usize {
    (i * from / to).min(from - 1)
}

/// Labels on another grid: nearest source, at the very positions of OpenCV's `resize(…, INTER_NEAREST)`.
///
/// That is `⌊i·s⌋` with `s = 1/(to/from)` in double precision. Where `i·from/to` is whole, `i·s` may fall a hair short of it,
/// and the source is the one before: a column of labels here and there, but the released code's.
pub fn resize_labels(labels: &[u16], from: Size, to: Size) -> Vec<u16> {
    let sources = |from: usize, to: usize| -> Vec<usize> {
        let scale = 1.0 / (to as f64 / from as f64);
        (0..to).map(|i| ((i as f64 * scale) as usize).min(from - 1)).collect()
    };
    let columns = sources(from.width, to.width);
    let rows = sources(from.height, to.height).into_iter().map(|y| &labels[y * from.width..][..from.width]);
    // All of it at once: growing as it goes would take up to three times as much.
    let mut resized = Vec::with_capacity(to.area());
    rows.for_each(|row| resized.extend(columns.iter().map(|&x| row[x])));
    resized
}

/// Stretches values to `[0, 1]` in place. A flat map becomes 0 everywhere: it says nothing about where the class is
/// (the released code divides 0 by 0 there).
pub fn min_max(map: &mut [f32]) {
    let low = map.iter().copied().fold(f32::INFINITY, f32::min);
    let high = map.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let range = high - low;
    map.iter_mut().for_each(|x| *x = if range > 0.0 { (*x - low) / range } else { 0.0 });
}

/// Turns the scores of some classes into probabilities, pixel by pixel: `P_c[p] = softmax_c(scale·s_c[p])` over these classes and
/// `rival`, the background, which takes part and has no map. So a pixel of the sea is the sea's, however little it looks like other
/// classes (SCLIP and NACLIP write VOC's background as 26 words for this).
///
/// ```
/// let mut maps = vec![vec![0.0, 1.0], vec![0.0, 1.0]];
/// simseg_segment::map::compete(&mut maps, Some(&[0.0, -1e9]), 1.0);
/// assert_eq!(maps[0], [1.0 / 3.0, 0.5]);
/// ```
pub fn compete(maps: &mut [Vec<f32>], rival: Option<&[f32]>, scale: f32) {
    let pixels = maps.first().map_or(0, Vec::len);
    for p in 0..pixels {
        let rival = rival.map(|rival| rival[p]);
        let highest = maps.iter().map(|map| map[p]).chain(rival).fold(f32::NEG_INFINITY, f32::max);
        let weight = |score: f32| (scale * (score - highest)).exp();
        let sum = maps.iter().map(|map| weight(map[p])).chain(rival.map(weight)).sum::<f32>();
        maps.iter_mut().for_each(|map| map[p] = weight(map[p]) / sum);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn size(height: usize, width: usize) -> Size {
        Size { height, width }
    }

    #[test]
    fn bilinear_is_linear_between_centres_and_flat_outside() {
        let out = resize(&[0.0, 1.0], size(1, 2), size(1, 4), Upsample::Bilinear).unwrap();
        assert_eq!(out, [0.0, 0.25, 0.75, 1.0]);
    }

    #[test]
    fn nearest_repeats_each_value() {
        let out = resize(&[1.0, 2.0], size(2, 1), size(4, 2), Upsample::Nearest).unwrap();
        assert_eq!(out, [1.0, 1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 2.0]);
        assert_eq!(resize_labels(&[1, 2], size(1, 2), size(1, 3)), [1, 1, 2]);
        // 17·288/102 is 48, but 17·(1/(102/288)) falls short of it.
        let ramp: Vec<u16> = (0..288).map(|i| (i / 2) as u16).collect();
        assert_eq!(resize_labels(&ramp, size(1, 288), size(1, 102))[17], 23);
    }

    #[test]
    fn min_max_spans_zero_to_one_and_survives_flat_maps() {
        let mut map = [2.0, 4.0, 3.0];
        min_max(&mut map);
        assert_eq!(map, [0.0, 1.0, 0.5]);
        let mut flat = [2.0; 3];
        min_max(&mut flat);
        assert_eq!(flat, [0.0; 3]);
    }

    #[test]
    fn competing_maps_leave_the_rest_to_the_rival() {
        let mut maps = vec![vec![0.9, 0.2], vec![0.1, 0.1]];
        compete(&mut maps, Some(&[0.0, 0.8]), 100.0);
        assert!(maps[0][0] > 0.999 && maps[0][1] < 1e-6 && maps[1][1] < 1e-6, "{maps:?}");
        let mut alone = vec![vec![0.3, -0.5]];
        compete(&mut alone, None, 10.0);
        assert_eq!(alone[0], [1.0, 1.0]);
        compete(&mut [], Some(&[0.0]), 1.0);
    }

    #[test]
    fn numbers_out_of_range_are_refused() {
        let read = |extra: &str| {
            serde_json::from_str::<Map>(&format!(r#"{{"upsample": "bilinear", "min_max": false{extra}}}"#))
        };
        assert_eq!(read(r#", "compete": 20"#).unwrap().compete, Some(20.0));
        assert_eq!(read("").unwrap().affinity, None);
        for (extra, needle) in [(r#", "compete": -1"#, "a positive number"), (r#", "affinity": 2"#, "from -1 to 1")] {
            let error = read(extra).unwrap_err().to_string();
            assert!(error.contains(needle), "{error}");
        }
    }

    #[test]
    fn an_empty_side_is_an_error() {
        assert!(resize(&[], size(0, 2), size(2, 2), Upsample::Nearest).is_err());
        assert!(resize(&[1.0], size(1, 1), size(0, 2), Upsample::Nearest).is_err());
    }
}
