//! Every pixel by itself: the class with the highest probability, or background where none is probable.
//!
//! ```text
//! s_c[p] = upsample(f̂·û_c)[p],   P = softmax_c(scale·s),   label[p] = argmax_c P_c[p] if max_c P_c[p] ≥ probability, else none
//! ```
//!
//! The inference rule of MaskCLIP (Zhou et al. 2022) and SCLIP (Wang et al. 2024: scale 40, probability 0.1). No class is chosen
//! for the image as a whole, nothing is stretched, nothing refined.

use super::{Segmentation, Segmenter};
use crate::compose::ClassMask;
use crate::features::View;
use crate::map::{self, Upsample};
use crate::needs::Needs;
use crate::registry::Parts;
use crate::score::{ClassScore, Pooled};
use crate::threshold::ranking;
use serde::{Deserialize, Serialize};
use simseg_model::Aligner;
use simseg_registry::Kinds;
use simseg_tensor::{Ops, Result, Tap, Tensor};

/// The settings.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PerPixel {
    /// Multiplies cosines before the softmax.
    #[serde(default = "forty")]
    pub scale: f32,
    /// The probability that a class must reach.
    #[serde(default = "tenth")]
    pub probability: f32,
    /// From patches to pixels.
    #[serde(default = "bilinear")]
    pub upsample: Upsample,
}

fn forty() -> f32 {
    40.0
}
fn tenth() -> f32 {
    0.1
}
fn bilinear() -> Upsample {
    Upsample::Bilinear
}

impl PerPixel {
    /// Labels among `classes`, and the background if there is one.
    fn run<T: Tensor>(&self, view: View<'_, T>, classes: &[usize], tap: &mut dyn Tap<T>) -> Result<Segmentation> {
        view.check()?;
        let image = view.image;
        let (size, area) = ([image.input.height, image.input.width], image.input.area());
        let scores = Pooled {}.scores(view)?;
        tap.see_host("scores", &[scores.len()], &scores)?;
        tap.see_host("threshold", &[1], &[f32::NAN])?;
        let (background, unclaimed) = (view.bank.background, view.bank.unclaimed());
        let mut listed: Vec<usize> = background.then_some(0).into_iter().chain(classes.iter().copied()).collect();
        listed.sort_unstable();
        listed.dedup();
        if listed.is_empty() {
            listed.push(0); // no class is given and none is the background: the first is as good as any
        }
        let maps = self.maps(view, &listed)?;
        let label = |p: usize| {
            let best = (0..listed.len()).fold(0, |best, i| if maps[i][p] > maps[best][p] { i } else { best });
            let sum: f32 = maps.iter().map(|map| (self.scale * (map[p] - maps[best][p])).exp()).sum();
            if 1.0 / sum >= self.probability { listed[best] as u16 } else { unclaimed }
        };
        let labels: Vec<u16> = (0..area).map(label).collect();
        let mask = |class: usize| {
            let mask: Vec<u8> = labels.iter().map(|&label| u8::from(usize::from(label) == class)).collect();
            let place = listed.iter().position(|&listed| listed == class)?;
            mask.contains(&1).then(|| ClassMask { class, score: scores[class], map: maps[place].clone(), mask })
        };
        let masks: Vec<ClassMask> =
            ranking(&scores).into_iter().filter(|c| view.bank.foreground().contains(c)).filter_map(mask).collect();
        for found in &masks {
            tap.see_host(&format!("map/{}", found.class), &size, &found.map)?;
        }
        for found in &masks {
            tap.see_mask(&format!("mask/{}", found.class), &size, &found.mask)?;
        }
        let labels = map::resize_labels(&labels, image.input, image.output);
        tap.see_labels("labels", &[image.output.height, image.output.width], &labels)?;
        Ok(Segmentation { labels, size: image.output, scores, threshold: f32::NAN, masks })
    }
}

impl<T: Tensor> Segmenter<T> for PerPixel {
    fn needs(&self, _: &dyn Aligner<T>) -> Needs {
        Needs::default()
    }

    fn score(&self) -> &dyn ClassScore<T> {
        &Pooled {}
    }

    fn segment(&self, view: View<'_, T>, tap: &mut dyn Tap<T>) -> Result<Segmentation> {
        self.run(view, &(0..view.bank.classes).collect::<Vec<_>>(), tap)
    }

    fn segment_given(&self, view: View<'_, T>, classes: &[usize], tap: &mut dyn Tap<T>) -> Result<Segmentation> {
        self.run(view, classes, tap)
    }

    fn maps(&self, View { image, bank, .. }: View<'_, T>, classes: &[usize]) -> Result<Vec<Vec<f32>>> {
        let n = image.grid.area();
        let values = image.patch_scores(&bank.embeddings)?.to_f32()?; // [r, n]
        let one = |&class: &usize| {
            let rows = || bank.rows_of(class).map(|row| &values[row * n..(row + 1) * n]);
            let best: Vec<f32> = (0..n).map(|p| rows().map(|row| row[p]).fold(f32::NEG_INFINITY, f32::max)).collect();
            map::resize(&best, image.grid, image.input, self.upsample)
        };
        classes.iter().map(one).collect()
    }
}

/// Adds it to its family.
pub fn register<T: Tensor>(kinds: &mut Kinds<dyn Segmenter<T>, Parts<T>>) {
    kinds.add("per-pixel", "the most probable class of every pixel (MaskCLIP, SCLIP)", |s: PerPixel| Ok(Box::new(s)));
}
