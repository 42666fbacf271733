//! What does a model look at? Where patches agree with the pooled image (`s^{I2I}`) and with a class (`s^{T2I}`), and what carries
//! the score of a class (paper, fig. 2 and 3).
//!
//! With `f̂_p` the unit patch features, `z` the pooled image and `û_c` the embedding of class `c`:
//!
//! ```text
//! s^{I2I}_p = f̂_p · z        s^{T2I}_p = f̂_p · û_c        mass of a map on some pixels = Σ_{pixels} max(s, 0) / Σ_{all} max(s, 0)
//! ```
//!
//! A map that knows nothing has as much mass on the object as the object has area, so that is the figure to stand beside it. The
//! paper shows the maps; the share of their mass is ours. Where a pool is a sum over patches, `z ∝ Σ_p share_p ⊙ f_p`, a class's
//! score is a sum over patches too, and the part of it that comes from the object's own is `score_from_object`.

use super::{Case, Figure, Metric, Resampled, Unit};
use crate::features::View;
use crate::map::Size;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use simseg_model::{Side, Tokens};
use simseg_registry::Kinds;
use simseg_tensor::{Error, Ops, Result, Tensor};

/// The metric.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attention {}

const fn share(name: &'static str, heading: &'static str, about: &'static str) -> Figure {
    Figure { name, heading, unit: Unit::Share, about }
}

/// Its figures.
pub const FIGURES: [Figure; 5] = [
    share("i2i_on_foreground", "s(I2I) on foreground", "mass of the map of the pooled image on pixels of any object"),
    share("foreground_area", "foreground's area", "what that would be for a map that knows nothing"),
    share("t2i_on_object", "s(T2I) on object", "mass of the map of an object's class on its pixels"),
    share("object_area", "object's area", "what that would be for a map that knows nothing"),
    Figure {
        name: "score_from_object",
        heading: "score from object",
        // Patches may count against a class: then the others carry more than all of its score.
        unit: Unit::Number,
        about: "part of a class's score that the object's patches carry, for aligners that pool channel by channel",
    },
];

/// Share of a map's mass, and of the area.
type Share = [f64; 2];

/// What an image adds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Observed {
    /// Of the foreground; nothing where no background is known or the map has no mass.
    foreground: Option<Share>,
    /// Of each object.
    objects: Vec<Share>,
    /// For each object its class's score before normalisation: what its own patches carry, and all.
    carried: Vec<[f64; 2]>,
}

/// Pixels under each patch of a grid: how many are of the wanted labels, and how many are counted at all.
struct Under {
    wanted: Vec<f64>,
    counted: Vec<f64>,
}

impl Under {
    fn new(labels: &[u16], size: Size, grid: Size, wanted: impl Fn(u16) -> bool) -> Result<Self> {
        if labels.len() != size.area() || grid.area() == 0 {
            let (lhs, rhs) = (vec![labels.len()], vec![size.height, size.width, grid.height, grid.width]);
            return Err(Error::Shape { op: "attention", lhs, rhs, rule: "labels of this size, and a grid" });
        }
        let mut under = Self { wanted: vec![0.0; grid.area()], counted: vec![0.0; grid.area()] };
        for (p, &label) in labels.iter().enumerate().filter(|&(_, &label)| label != super::IGNORE) {
            let (y, x) = (p / size.width, p % size.width);
            let patch = (y * grid.height / size.height) * grid.width + x * grid.width / size.width;
            under.counted[patch] += 1.0;
            under.wanted[patch] += f64::from(u8::from(wanted(label)));
        }
        Ok(under)
    }

    /// The share of a map's mass; nothing if it has none.
    fn share(&self, map: &[f32]) -> Option<Share> {
        let mass = |pixels: &[f64]| -> f64 { map.iter().zip(pixels).map(|(&s, n)| f64::from(s.max(0.0)) * n).sum() };
        let (all, area) = (mass(&self.counted), self.counted.iter().sum::<f64>());
        (all > 0.0).then(|| [mass(&self.wanted) / all, self.wanted.iter().sum::<f64>() / area])
    }
}

/// Share of a map's mass that lies on pixels of wanted labels, and their share of the area: `map [grid]`, one value per patch, and
/// `labels [size]`, of which [`IGNORE`](super::IGNORE) is not counted. Nothing if no value of the map is above zero.
///
/// # Errors
/// If sizes do not fit.
///
/// ```
/// use simseg_segment::{map::Size, metrics::attention::mass_on};
/// let (grid, size) = (Size { height: 1, width: 2 }, Size { height: 1, width: 4 });
/// // The left patch has a mass of 3 on each of its pixels, the right one 1, and one pixel of each is the object's.
/// let found = mass_on(&[3.0, 1.0], grid, &[0, 7, 7, 0], size, |label| label == 7)?;
/// assert_eq!(found, Some([4.0 / 8.0, 2.0 / 4.0]));
/// # Ok::<(), simseg_tensor::Error>(())
/// ```
pub fn mass_on(
    map: &[f32],
    grid: Size,
    labels: &[u16],
    size: Size,
    wanted: impl Fn(u16) -> bool,
) -> Result<Option<Share>> {
    Ok(Under::new(labels, size, grid, wanted)?.share(map))
}

/// What each patch adds to the score of each class before normalisation, `[c, n]`: `Σ_j share_pj·f_pj·û_cj` for `classes [c, d]`.
/// Nothing for an aligner whose pool is no sum over patches, nor for an image in several windows: a mean of pools, each of its own.
///
/// # Errors
/// If shapes do not fit.
pub fn carried<T: Tensor>(view: View<'_, T>, classes: &T) -> Result<Option<T>> {
    if view.image.windows.len() > 1 {
        return Ok(None);
    }
    let patches = &view.image.patches;
    let [n, d] = patches.dims()?;
    // An aligner expects [CLS] before the patches, which takes no part: a copy of the first patch serves.
    let tokens = T::concat(&[&patches.slice(0, 0, 1)?, patches], 0)?.unsqueeze(0)?; // [1, 1+n, d]
    let Some(shares) = view.aligner.shares(Side::Image, &Tokens { values: tokens, lengths: None })? else {
        return Ok(None);
    };
    let pooled = shares.reshape(&[n, d])?.mul(patches)?; //  [n, d]
    Ok(Some(classes.matmul(&pooled.t()?)?)) //               [c, n]
}

impl<T: Tensor> Metric<T> for Attention {
    fn figures(&self) -> &'static [Figure] {
        &FIGURES
    }

    fn observe(&self, case: &Case<'_, T>) -> Result<Value> {
        let (image, bank) = (case.view.image, case.view.bank);
        let under = |wanted: &dyn Fn(u16) -> bool| Under::new(case.truth, case.size, image.grid, wanted);
        let mut observed = Observed { foreground: None, objects: vec![], carried: vec![] };
        if bank.background {
            let map = image.patch_scores(&image.embedding)?.to_f32()?; // [1, n]
            observed.foreground = under(&|label| label != 0)?.share(&map);
        }
        if case.objects.is_empty() {
            return super::observation(&observed);
        }
        // A class of several words is judged by the one that fits the image best, as its score is.
        let per_row = image.embedding.matmul(&bank.embeddings.t()?)?.to_f32()?; // [1, r]
        let best = |&class: &usize| bank.rows_of(class).max_by(|&a, &b| per_row[a].total_cmp(&per_row[b]));
        let missing = |bound| Error::Position { op: "attention", index: case.classes, bound };
        let rows = case.objects.iter().map(best).collect::<Option<Vec<usize>>>().ok_or(missing(bank.classes))?;
        let picked = rows.iter().map(|&row| bank.embeddings.slice(0, row, 1)).collect::<Result<Vec<T>>>()?;
        let classes = T::concat(&picked.iter().collect::<Vec<_>>(), 0)?; //     [c, d]
        let maps = image.patch_scores(&classes)?.to_f32()?; //        [c, n]
        let carried = carried(case.view, &classes)?.map(|scores| scores.to_f32()).transpose()?;
        let n = image.grid.area();
        for (i, &object) in case.objects.iter().enumerate() {
            let under = under(&|label| usize::from(label) == object)?;
            observed.objects.extend(under.share(&maps[i * n..][..n]));
            if let Some(carried) = &carried {
                let patches = carried[i * n..][..n].iter().enumerate().filter(|&(p, _)| under.counted[p] > 0.0);
                observed.carried.push(patches.fold([0.0; 2], |[own, all], (p, &score)| {
                    let score = f64::from(score);
                    [own + score * under.wanted[p] / under.counted[p], all + score]
                }));
            }
        }
        super::observation(&observed)
    }

    fn finish(&self, observations: &[Value]) -> Result<Vec<Option<f64>>> {
        Metric::<T>::prepare(self, observations)?(&vec![1; observations.len()])
    }

    fn prepare<'a>(&'a self, observations: &'a [Value]) -> Result<Resampled<'a>> {
        let all = observations.iter().map(super::observed::<Observed>).collect::<Result<Vec<_>>>()?;
        Ok(Box::new(move |times| {
            // Sums over what is drawn, and how much that is.
            let (mut foreground, mut object, mut score) = ([0.0; 3], [0.0; 3], [0.0; 2]);
            for (image, &times) in all.iter().zip(times).filter(|&(_, &times)| times > 0) {
                let times = f64::from(times);
                let add = |sums: &mut [f64; 3], [mass, area]: Share| {
                    sums.iter_mut().zip([mass, area, 1.0]).for_each(|(sum, value)| *sum += times * value);
                };
                image.foreground.into_iter().for_each(|share| add(&mut foreground, share));
                image.objects.iter().for_each(|&share| add(&mut object, share));
                for carried in &image.carried {
                    score.iter_mut().zip(carried).for_each(|(sum, value)| *sum += times * value);
                }
            }
            let mean = |[mass, area, count]: [f64; 3]| [mass, area].map(|sum| (count > 0.0).then(|| sum / count));
            let score = (score[1] > 0.0).then(|| score[0] / score[1]);
            Ok([mean(foreground), mean(object)].concat().into_iter().chain([score]).collect())
        }))
    }
}

/// Adds it to its family.
pub fn register<T: Tensor>(kinds: &mut Kinds<dyn Metric<T>>) {
    kinds.add("attention", "where patches agree with the image and with its classes", |metric: Attention| {
        Ok(Box::new(metric))
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::segmenter::{Segmentation, SimSegConfig};
    use crate::{ClassBank, ImageFeatures, SegmentRegistry};
    use simseg_cpu::{CpuDevice, CpuTensor};
    use simseg_model::Aligner;
    use simseg_model::pool::{Dense, Holistic, Loda, Padding};

    type Cpu = CpuTensor<f32>;

    const fn size(height: usize, width: usize) -> Size {
        Size { height, width }
    }

    #[test]
    fn mass_counts_pixels_under_patches_and_no_negative_values() {
        let (grid, pixels) = (size(1, 2), size(2, 4));
        let labels = [0, 1, 0, crate::metrics::IGNORE, 0, 1, 0, 0];
        // Left: 4 pixels of 2, of which 2 are wanted. Right: 3 counted pixels below zero, which have no mass.
        let on = |map: [f32; 2]| mass_on(&map, grid, &labels, pixels, |label| label == 1).unwrap();
        assert_eq!(on([2.0, -5.0]), Some([0.5, 2.0 / 7.0]));
        assert_eq!(on([0.0, -1.0]), None);
        assert!(mass_on(&[1.0; 2], grid, &labels, size(2, 3), |_| true).is_err());
    }

    /// Two patches, [2, 0] on the object and [0, 1] beside it; class 1 is [0.8, 0.6].
    fn figures(aligner: &dyn Aligner<Cpu>, background: bool) -> Vec<Option<f64>> {
        let tensor = |values: &[f32], shape: &[usize]| Cpu::from_host(values, shape, &CpuDevice).unwrap();
        let image = ImageFeatures {
            patches: tensor(&[2.0, 0.0, 0.0, 1.0], &[2, 2]),
            grid: size(1, 2),
            embedding: tensor(&[0.6, 0.8], &[1, 2]),
            input: size(1, 2),
            rgb: vec![0; 6],
            output: size(1, 4),
            tokens: None,
            attention: None,
            windows: vec![],
        };
        let embeddings = tensor(&[0.0, 1.0, 0.8, 0.6], &[2, 2]);
        let bank = ClassBank { classes: 2, background, embeddings, class_of: vec![0, 1], prompts: None };
        let registry = SegmentRegistry::<Cpu>::built_in();
        let segmenter = registry.segmenter(&SimSegConfig::plain().choice()).unwrap();
        let prediction =
            Segmentation { scores: vec![], threshold: f32::NAN, masks: vec![], labels: vec![0; 4], size: size(1, 4) };
        let case = Case {
            truth: &[1, 1, 0, 0],
            size: size(1, 4),
            present: &[0, 1],
            objects: &[1],
            prediction: &prediction,
            view: View { image: &image, bank: &bank, aligner, memo: None },
            segmenter: &*segmenter,
            classes: 2,
        };
        let observed = Metric::<Cpu>::observe(&Attention {}, &case).unwrap();
        Metric::<Cpu>::finish(&Attention {}, &[observed]).unwrap()
    }

    #[test]
    fn figures_by_hand() {
        let close = |found: &[Option<f64>], expected: &[Option<f64>]| {
            assert_eq!(found.len(), expected.len());
            for (found, expected) in found.iter().zip(expected) {
                assert_eq!(found.is_some(), expected.is_some(), "{found:?} {expected:?}");
                assert!((found.unwrap_or(0.0) - expected.unwrap_or(0.0)).abs() < 1e-6, "{found:?} {expected:?}");
            }
        };
        // s(I2I) = [.6, .8], s(T2I) = [.8, .6]. Dense: z ∝ [1, .5], of which class 1 gets .8·1 from the object and .6·.5 else.
        let masses = [Some(0.6 / 1.4), Some(0.5), Some(0.8 / 1.4), Some(0.5)];
        let with = |score: Option<f64>| masses.into_iter().chain([score]).collect::<Vec<_>>();
        close(&figures(&Dense {}, true), &with(Some(0.8 / 1.1)));
        // With one response per channel z ∝ [2, 1]: 1.6 and .6.
        let loda = Loda { image_k: 1, text_k: 1, padding: Padding::PerCaption };
        close(&figures(&loda, true), &with(Some(1.6 / 2.2)));
        // [CLS] is no sum over patches; without a background there is no foreground.
        close(&figures(&Holistic {}, true), &with(None));
        close(&figures(&Dense {}, false)[..3], &[None, None, masses[2]]);
    }
}
