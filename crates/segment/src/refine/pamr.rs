//! PAMR: pixel-adaptive mask refinement, a mask averaged again and again over neighbours of similar colour.
//!
//! Source: Araslanov & Roth, "Single-stage semantic segmentation from image labels", CVPR 2020, §3.3; settings of TCL and
//! NACLIP in `docs/paper.md`, "PAMR".
//!
//! ```text
//! a_ij = mean_c  −|x_ci − x_cj| / (1e-8 + 0.1·σ_ci)      j: the 8 neighbours of i at each dilation
//! w_i  = softmax_j a_ij                                  [8·|dilations|]
//! m_i ← Σ_j w_ij m_j, `iterations` times
//! ```
//!
//! `σ_ci` is the unbiased standard deviation of channel c over the 3×3 neighbours of i (itself included) at every
//! dilation, `9·|dilations|` values. Beyond the border the nearest pixel is repeated.

use super::cut::{above, one_half};
use super::{Canvas, Masks, RefineError, Refiner, area, length};
use crate::map::Size;
use serde::{Deserialize, Serialize};
use simseg_registry::Kinds;
use simseg_tensor::parallel::prelude::*;

/// How far and how often.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PamrParameters {
    /// Rounds of averaging.
    pub iterations: usize,
    /// Distances of the neighbours, in pixels.
    pub dilations: Vec<usize>,
}

impl Default for PamrParameters {
    /// The values of TCL.
    fn default() -> Self {
        Self { iterations: 10, dilations: vec![1, 2, 4, 8, 12, 24] }
    }
}

impl PamrParameters {
    /// The values of NACLIP.
    pub fn naclip() -> Self {
        Self { iterations: 10, dilations: vec![8, 16] }
    }
}

/// Maps smoothed by PAMR, then cut at a level (TCL, NACLIP).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AveragedCut {
    /// How far and how often.
    #[serde(default)]
    pub averaging: PamrParameters,
    /// The level.
    #[serde(default = "one_half")]
    pub level: f64,
}

impl Refiner for AveragedCut {
    fn unrefined(&self, map: &[f32]) -> Vec<u8> {
        above(map, self.level)
    }

    fn memory(&self, size: Size, maps: usize) -> usize {
        // The image in planes, a weight for each of eight directions at each dilation, the maps twice and one more; masks.
        let numbers = 3 + 8 * self.averaging.dilations.len() + 2 * maps + 1;
        size.area() * (numbers * size_of::<f32>() + maps)
    }

    fn refine(&self, canvas: Canvas<'_>, maps: &[Vec<f32>]) -> simseg_tensor::Result<Masks> {
        let n = canvas.size.area();
        let plane = |i: usize| f32::from(canvas.rgb[3 * (i % n) + i / n]) / 255.0;
        length("PAMR's image", canvas.rgb.len(), 3 * n)?;
        let planes: Vec<f32> = (0..3 * n).map(plane).collect(); // [3, h, w]
        let pamr = Pamr::new(&planes, 3, canvas.size.height, canvas.size.width, &self.averaging)?;
        let smooth = pamr.refine(&maps.concat())?;
        Ok(Masks { last: smooth.chunks(n).map(|map| above(map, self.level)).collect(), steps: vec![] })
    }
}

/// The weights of an image, which refine any number of masks.
#[derive(Debug, Clone)]
pub struct Pamr {
    height: usize,
    width: usize,
    iterations: usize,
    offsets: Vec<[isize; 2]>,
    /// `[N, offsets]`
    weights: Vec<f32>,
}

impl Pamr {
    /// The weights for an image `[channels, h, w]` of any scale: standard deviations divide it out.
    ///
    /// # Errors
    /// If slices do not fit, or there is no dilation, one of zero or one beyond the largest side of an image.
    pub fn new(
        image: &[f32],
        channels: usize,
        height: usize,
        width: usize,
        parameters: &PamrParameters,
    ) -> Result<Self, RefineError> {
        let n = area("PAMR", height, width)?;
        let key = "dilations";
        if parameters.dilations.is_empty() || parameters.dilations.len() > 64 {
            let got = parameters.dilations.len() as f64;
            return Err(RefineError::Setting { key, got, expected: "1 to 64 dilations" });
        }
        if let Some(&bad) = parameters.dilations.iter().find(|&&d| d == 0 || d > super::MAX_SIDE) {
            return Err(RefineError::Setting { key, got: bad as f64, expected: "1 to 16384 pixels each" });
        }
        if channels == 0 {
            return Err(RefineError::Setting { key: "channels", got: 0.0, expected: "at least one channel" });
        }
        length("PAMR: image", image.len(), channels.saturating_mul(n))?;
        let offsets = offsets(&parameters.dilations);
        let mut weights = vec![0.0; n * offsets.len()];
        let row = offsets.len() * width;
        weights.par_chunks_mut(row).enumerate().for_each(|(y, row)| {
            for (x, weights) in row.chunks_mut(offsets.len()).enumerate() {
                for plane in image.chunks_exact(n) {
                    let pixel = plane[y * width + x];
                    let near = |offset: &[isize; 2]| plane[shifted(y, x, height, width, offset)];
                    let deviation = deviation(pixel, offsets.iter().map(near), parameters.dilations.len());
                    for (weight, offset) in weights.iter_mut().zip(&offsets) {
                        *weight -= (pixel - near(offset)).abs() / (1e-8 + 0.1 * deviation) / channels as f32;
                    }
                }
                softmax(weights);
            }
        });
        Ok(Self { height, width, iterations: parameters.iterations, offsets, weights })
    }

    /// Refines masks `[k, h, w]`, each on its own. A NaN spreads to its neighbours, as it does in any average.
    ///
    /// # Errors
    /// If `masks` is not a whole number of images.
    pub fn refine(&self, masks: &[f32]) -> Result<Vec<f32>, RefineError> {
        let n = self.height * self.width;
        let whole = masks.len() / n * n;
        length("PAMR: masks", masks.len(), whole.max(n))?;
        let mut masks = masks.to_vec();
        for mask in masks.chunks_mut(n) {
            let mut next = vec![0.0; n];
            for _ in 0..self.iterations {
                next.par_chunks_mut(self.width).enumerate().for_each(|(y, row)| {
                    for (x, out) in row.iter_mut().enumerate() {
                        let weights = &self.weights[(y * self.width + x) * self.offsets.len()..];
                        let near = |offset| mask[shifted(y, x, self.height, self.width, offset)];
                        *out = weights.iter().zip(&self.offsets).map(|(w, offset)| w * near(offset)).sum();
                    }
                });
                mask.copy_from_slice(&next);
            }
        }
        Ok(masks)
    }
}

/// The eight directions at every dilation, row by row.
fn offsets(dilations: &[usize]) -> Vec<[isize; 2]> {
    let around =
        |d: isize| (-1..=1).flat_map(move |j| (-1..=1).map(move |i| [j * d, i * d])).filter(|offset| *offset != [0, 0]);
    dilations.iter().flat_map(|&d| around(d as isize)).collect()
}

/// The pixel at an offset; beyond the border, the nearest one.
#[inline(always)]
fn shifted(y: usize, x: usize, height: usize, width: usize, offset: &[isize; 2]) -> usize {
    let y = (y as isize + offset[0]).clamp(0, height as isize - 1) as usize;
    let x = (x as isize + offset[1]).clamp(0, width as isize - 1) as usize;
    y * width + x
}

/// Unbiased standard deviation of the neighbours and, once per dilation, the pixel itself.
fn deviation(pixel: f32, near: impl Iterator<Item = f32> + Clone, dilations: usize) -> f32 {
    let own = dilations as f64;
    let (mut count, mut sum) = (own, own * f64::from(pixel));
    near.clone().for_each(|x| (count, sum) = (count + 1.0, sum + f64::from(x)));
    let mean = sum / count;
    let square = |x: f32| (f64::from(x) - mean).powi(2);
    let squares = own * square(pixel) + near.map(square).sum::<f64>();
    (squares / (count - 1.0)).sqrt() as f32
}

fn softmax(row: &mut [f32]) {
    let top = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    row.iter_mut().for_each(|t| *t = (*t - top).exp());
    let sum: f32 = row.iter().sum();
    row.iter_mut().for_each(|t| *t /= sum);
}

/// Adds it to its family.
pub fn register(kinds: &mut Kinds<dyn Refiner>) {
    kinds.add("pamr", "averaged along colours, then cut", |refiner: AveragedCut| Ok(Box::new(refiner)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PLAIN: fn() -> PamrParameters = || PamrParameters { iterations: 4, dilations: vec![1, 3] };

    proptest! {
        #[test]
        fn averages_stay_in_range_and_do_not_see_the_scale_of_the_image(
            image in proptest::collection::vec(0.0f32..1.0, 3 * 6 * 9),
            mask in proptest::collection::vec(0.0f32..1.0, 6 * 9),
        ) {
            let out = Pamr::new(&image, 3, 6, 9, &PLAIN()).unwrap().refine(&mask).unwrap();
            let (low, high) = mask.iter().fold((1.0f32, 0.0f32), |(low, high), &m| (low.min(m), high.max(m)));
            prop_assert!(out.iter().all(|&m| low - 1e-5 <= m && m <= high + 1e-5));
            let brighter: Vec<f32> = image.iter().map(|x| 200.0 * x + 30.0).collect();
            let same = Pamr::new(&brighter, 3, 6, 9, &PLAIN()).unwrap().refine(&mask).unwrap();
            prop_assert!(out.iter().zip(&same).all(|(a, b)| (a - b).abs() < 1e-3));
        }
    }

    #[test]
    fn a_flat_image_averages_plainly() {
        let pamr = Pamr::new(&[0.5; 9], 1, 3, 3, &PamrParameters { iterations: 1, dilations: vec![1] }).unwrap();
        let out = pamr.refine(&[0.0, 0.0, 0.0, 0.0, 8.0, 0.0, 0.0, 0.0, 0.0]).unwrap();
        assert_eq!(out, [1.0, 1.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0, 1.0]);
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        assert!(Pamr::new(&[], 1, 0, 3, &PLAIN()).is_err());
        assert!(Pamr::new(&[0.0; 8], 1, 3, 3, &PLAIN()).is_err());
        assert!(Pamr::new(&[], 0, 3, 3, &PLAIN()).is_err());
        for dilations in [vec![], vec![0], vec![usize::MAX]] {
            assert!(Pamr::new(&[0.0; 9], 1, 3, 3, &PamrParameters { iterations: 1, dilations }).is_err());
        }
        let pamr = Pamr::new(&[0.0; 9], 1, 3, 3, &PLAIN()).unwrap();
        assert!(pamr.refine(&[0.0; 10]).is_err() && pamr.refine(&[]).is_err());
    }
}
