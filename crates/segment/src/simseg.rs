//! SimSeg: from the features of an image and of the classes to a label map (paper §3.3, figure 4).
//!
//! ```text
//! scores   = embedding · classes                     which classes …
//! selected = threshold(scores)                       … are in the image
//! map_c    = min_max(upsample(patches · class_c))    where each of them is
//! mask_c   = refine(map_c, image)                    along the image's edges
//! labels   = compose(masks, scores)                  one label per pixel
//! ```

use crate::classes::ClassBank;
use crate::compose::{self, Claim};
use crate::map::{self, Size};
use crate::recipe::{Crf, CrfLabels, Recipe, Refine};
use crate::refine::{Lattices, Pamr};
use crate::threshold::{Rule, Threshold};
use simseg_tensor::{Error, Ops, Result, Tap, Tensor};

/// What the image encoder says about one image.
#[derive(Debug, Clone)]
pub struct ImageFeatures<T> {
    /// Projected patch features, not normalised, `[n, d]`, row by row of the grid.
    pub patches: T,
    /// The grid of patches; `n` of them.
    pub grid: Size,
    /// Pooled, normalised embedding `[1, d]`.
    pub embedding: T,
    /// Size of the network's input in pixels.
    pub input: Size,
    /// The input as bytes, `[h, w, 3]`, for refinements that look at the image.
    pub rgb: Vec<u8>,
    /// Size of the label map wanted.
    pub output: Size,
}

/// A label map and how it came about.
#[derive(Debug, Clone, PartialEq)]
pub struct Segmentation {
    /// One class per pixel, `[h, w]`, 0 is background.
    pub labels: Vec<u8>,
    /// Size of `labels`.
    pub size: Size,
    /// One score per class.
    pub scores: Vec<f32>,
    /// What they were held against; NaN for rules without a threshold.
    pub threshold: f32,
    /// The classes found in the image, by falling score, with their maps and masks at the input's size.
    pub claims: Vec<Claim>,
}

/// Turns features into a label map.
pub trait Segmenter<T: Tensor> {
    /// Segments one image. Implementers show every intermediate to `tap` under the names of the trace file.
    ///
    /// # Errors
    /// If shapes do not fit, or the tap fails.
    fn segment(&self, image: &ImageFeatures<T>, classes: &ClassBank<T>, tap: &mut dyn Tap<T>) -> Result<Segmentation>;
}

/// The system of the paper; every switch is in its recipe.
#[derive(Debug, Clone)]
pub struct SimSeg {
    recipe: Recipe,
}

impl SimSeg {
    /// With this recipe.
    pub fn new(recipe: Recipe) -> Self {
        Self { recipe }
    }

    /// The same, but with another rule for choosing classes (such as the true classes of this very image).
    pub fn with_rule(&self, rule: Rule) -> Self {
        Self { recipe: Recipe { threshold: rule, ..self.recipe.clone() } }
    }

    /// Pixel maps of some classes, `[h·w]` each.
    ///
    /// # Errors
    /// If shapes do not fit.
    pub fn maps<T: Tensor>(
        &self,
        image: &ImageFeatures<T>,
        bank: &ClassBank<T>,
        classes: &[usize],
    ) -> Result<Vec<Vec<f32>>> {
        let n = image.grid.area();
        let scores = map::patch_scores(&image.patches, &bank.embeddings)?; // [w, n]
        let values = scores.to_f32()?;
        classes
            .iter()
            .map(|&class| {
                let mut best = vec![f32::NEG_INFINITY; n];
                for word in bank.rows_of(class) {
                    let row = &values[word * n..(word + 1) * n];
                    best.iter_mut().zip(row).for_each(|(best, &score)| *best = best.max(score));
                }
                let mut map = map::resize(&best, image.grid, image.input, self.recipe.map.upsample)?;
                if self.recipe.map.min_max {
                    map::min_max(&mut map);
                }
                Ok(map)
            })
            .collect()
    }

    /// Masks of maps at the input's size: what the CRF said, if there is one, and what came out in the end.
    fn masks(&self, image: &ImageFeatures<impl Tensor>, maps: &[Vec<f32>]) -> Result<Masks> {
        let cut = |map: &[f32], level: f64| map.iter().map(|&x| u8::from(f64::from(x) > level)).collect();
        let Size { height, width } = image.input;
        if maps.is_empty() {
            return Ok(Masks::default());
        }
        match &self.recipe.refine {
            Refine::Cut { level } => Ok(Masks { crf: None, last: maps.iter().map(|map| cut(map, *level)).collect() }),
            Refine::Crf(crf) => {
                let said = crf_masks(crf, image, maps)?;
                let close = |mask: &Vec<u8>| match crf.closing.closing() {
                    Some(closing) => closing.apply(mask, height, width),
                    None => Ok(mask.clone()),
                };
                let last = said.iter().map(close).collect::<std::result::Result<_, _>>()?;
                Ok(Masks { crf: Some(said), last })
            }
            Refine::Pamr { averaging, level } => {
                let n = image.input.area();
                let planes: Vec<f32> = (0..3 * n).map(|i| f32::from(image.rgb[3 * (i % n) + i / n]) / 255.0).collect(); // [3, h, w]
                let smooth = Pamr::new(&planes, 3, height, width, averaging)?.refine(&maps.concat())?;
                Ok(Masks { crf: None, last: smooth.chunks(n).map(|map| cut(map, *level)).collect() })
            }
        }
    }
}

/// One mask per map, `[h·w]` each.
#[derive(Default)]
struct Masks {
    /// As the CRF left them.
    crf: Option<Vec<Vec<u8>>>,
    /// After everything.
    last: Vec<Vec<u8>>,
}

/// Where a CRF says that a class is.
fn crf_masks(crf: &Crf, image: &ImageFeatures<impl Tensor>, maps: &[Vec<f32>]) -> Result<Vec<Vec<u8>>> {
    let lattices = Lattices::new(&image.rgb, image.input.height, image.input.width, &crf.kernels)?;
    match crf.labels {
        CrfLabels::ClassOrRest => {
            let maps: Vec<&[f32]> = maps.iter().map(Vec::as_slice).collect();
            let marginals = lattices.infer(&maps)?;
            Ok(marginals.iter().map(|q| q.iter().map(|&q| u8::from(q > 0.5)).collect()).collect())
        }
        CrfLabels::Joint => {
            let (n, labels) = (image.input.area(), maps.len() + 1);
            let mut energies = vec![0.0f32; labels * n]; // [1 + k, h·w]
            for pixel in 0..n {
                let values = || maps.iter().map(|map| map[pixel].clamp(0.0, 1.0));
                let rest = 1.0 - values().fold(0.0, f32::max);
                let sum = rest + values().sum::<f32>(); // at least 1: the rest with the largest
                for (label, p) in std::iter::once(rest).chain(values()).enumerate() {
                    energies[label * n + pixel] = -(p / sum + 1e-8).ln();
                }
            }
            let q = lattices.infer_multi(&energies, labels)?; // [1 + k, h·w]
            let first = |pixel: usize| {
                (1..labels).fold(0, |best, l| if q[l * n + pixel] > q[best * n + pixel] { l } else { best })
            };
            let winner: Vec<usize> = (0..n).map(first).collect();
            Ok((1..labels).map(|label| winner.iter().map(|&w| u8::from(w == label)).collect()).collect())
        }
    }
}

impl<T: Tensor> Segmenter<T> for SimSeg {
    fn segment(&self, image: &ImageFeatures<T>, bank: &ClassBank<T>, tap: &mut dyn Tap<T>) -> Result<Segmentation> {
        let [n, d] = image.patches.dims()?;
        if n != image.grid.area() || image.embedding.shape() != [1, d] {
            let rule = "one patch per grid cell, embedding [1, d]";
            let rhs = image.embedding.shape().to_vec();
            return Err(Error::Shape { op: "segment", lhs: image.patches.shape().to_vec(), rhs, rule });
        }
        let per_word = image.embedding.matmul(&bank.embeddings.t()?)?; // [1, w]
        let scores = bank.best_per_class(&per_word.to_f32()?);
        let mut selection = self.recipe.threshold.select(&scores);
        self.recipe.candidates.limit(&scores, &mut selection);
        tap.see_host("scores", &[scores.len()], &scores)?;
        tap.see_host("threshold", &[1], &[selection.threshold])?;

        let (size, area) = ([image.input.height, image.input.width], image.input.area());
        let maps = self.maps(image, bank, &selection.classes)?;
        for (class, map) in selection.classes.iter().zip(&maps) {
            tap.see_host(&format!("map/{class}"), &size, map)?;
        }
        let Masks { crf, last: masks } = self.masks(image, &maps)?;
        for (class, mask) in selection.classes.iter().zip(crf.iter().flatten()) {
            tap.see_labels(&format!("crf/{class}"), &size, mask)?;
        }
        for (class, mask) in selection.classes.iter().zip(&masks) {
            tap.see_labels(&format!("mask/{class}"), &size, mask)?;
        }
        let claims: Vec<Claim> = selection
            .classes
            .iter()
            .zip(maps.into_iter().zip(masks))
            .map(|(&class, (map, mask))| Claim { class, score: scores[class], map, mask })
            .collect();
        let labels = compose::compose(&claims, area, self.recipe.compose);
        let labels = map::resize_labels(&labels, image.input, image.output);
        tap.see_labels("labels", &[image.output.height, image.output.width], &labels)?;
        Ok(Segmentation { labels, size: image.output, scores, threshold: selection.threshold, claims })
    }
}
