//! SimSeg, the system of the paper (§3.3, figure 4).
//!
//! ```text
//! scores   = score(image, classes)                   which classes …
//! selected = threshold(scores)                       … are in the image
//! map_c    = min_max(upsample(patches · class_c))    where each of them is (or a probability: `map.compete`)
//! mask_c   = refine(map_c, image)                    along the image's edges
//! labels   = compose(masks, scores)                  one label per pixel
//! ```
//!
//! - patches `[n, d]`   - classes `[c, d]`   - scores `[c]`   - maps and masks `[h·w]` at the input's size   - labels `[H·W]`

use super::{Extent, Segmentation, Segmenter, steps};
use crate::affinity;
use crate::compose::{self, ClassMask, Compose, Unclaimed, compose, compose_given};
use crate::features::View;
use crate::map::{self, Map, Upsample};
use crate::memo;
use crate::needs::Needs;
use crate::refine::crf::CrfImage;
use crate::refine::morphology::Closings;
use crate::refine::{Canvas, Crf, Cut, MaskStep, Masks, Refiner};
use crate::registry::Parts;
use crate::score::ClassScore;
use crate::threshold::{Candidates, Scores, Statistics, Std, Threshold, TopN, keep, ranking};
use serde::{Deserialize, Serialize};
use simseg_model::Aligner;
use simseg_registry::Choice;
use simseg_registry::Kinds;
use simseg_tensor::{Ops, Result, Tap, Tensor};
use std::sync::Arc;

/// The system of the paper; every part is a switch of its recipe.
pub struct SimSeg<T: Tensor> {
    score: Box<dyn ClassScore<T>>,
    threshold: Box<dyn Threshold>,
    candidates: Candidates,
    map: Map,
    refiner: Box<dyn Refiner>,
    compose: Compose,
    unclaimed: Unclaimed,
    keys: Keys,
}

impl<T: Tensor> SimSeg<T> {
    /// The entry point: all five lines of this file's first page. Patches `[n, d]` and classes `[r, d]` come in with the view, scores `[c]`,
    /// maps `[h·w]` and labels `[H·W]` go out. Classes that are given are drawn, all of them, whatever they score: no rule, no cap,
    /// no positive score.
    fn run(&self, view: View<'_, T>, given: Option<&[usize]>, tap: &mut dyn Tap<T>) -> Result<Segmentation> {
        view.check()?;
        let image = view.image;
        let memo = view.memo;
        let scores = memo::once(memo, || self.keys.score.clone(), || self.score.scores(view))?;
        let scores = Arc::unwrap_or_clone(scores); //                                [c]
        let ranked = Scores::new(&scores, view.bank.background);
        let selection = match given {
            Some(classes) => keep(ranked, f32::NAN, |class| classes.contains(&class)),
            None => {
                let mut selection = self.threshold.select(ranked);
                self.candidates.limit(ranked, &mut selection);
                selection
            }
        };
        tap.see_host("scores", &[scores.len()], &scores)?;
        tap.see_host("threshold", &[1], &[selection.threshold])?;
        if let Some(looked) = given.is_none().then(|| self.threshold.looked(ranked)).flatten() {
            steps::show_statistics(&looked, tap)?;
        }

        let drawn = memo::once(
            memo,
            || format!("{} of {}{:?}", self.keys.given, if given.is_some() { "given " } else { "" }, selection.classes),
            || {
                let composed = if given.is_some() { compose_given } else { compose };
                self.draw(view, &selection.classes, &scores, composed, tap)
            },
        )?;
        let size = [image.input.height, image.input.width];
        for mask in &drawn.masks {
            tap.see_host(&format!("map/{}", mask.class), &size, &mask.map)?;
        }
        for step in &drawn.steps {
            for (mask, values) in drawn.masks.iter().zip(&step.masks) {
                tap.see_mask(&format!("{}/{}", step.name, mask.class), &size, values)?;
            }
        }
        for mask in &drawn.masks {
            tap.see_mask(&format!("mask/{}", mask.class), &size, &mask.mask)?;
        }
        tap.see_labels("labels", &[image.output.height, image.output.width], &drawn.labels)?;
        let Drawn { labels, masks, .. } = Arc::unwrap_or_clone(drawn);
        Ok(Segmentation { labels, size: image.output, scores, threshold: selection.threshold, masks })
    }

    /// Maps, masks and labels of the selected classes. A tap that asks for [`steps`] sees them where nothing is shared by a memo.
    fn draw(
        &self,
        view: View<'_, T>,
        classes: &[usize],
        scores: &[f32],
        composed: Composed,
        tap: &mut dyn Tap<T>,
    ) -> Result<Drawn> {
        let maps = self.maps(view, classes)?; //                                     [h·w] of each class
        let shows = tap.wants(steps::WANTED);
        let Masks { last, steps } = match shows && !maps.is_empty() {
            false => self.refined(view, classes, &maps)?,
            true => {
                steps::show_maps(classes, view.image.input, &self.spread(view, classes)?, tap)?;
                let canvas = Canvas { size: view.image.input, rgb: &view.image.rgb };
                self.refiner.refine_watched(canvas, &maps, &mut steps::shower(classes, view.image.input, tap))?
            }
        };
        let masks = class_masks(classes, scores, maps, last); //                     [h·w] of each class
        let labels = self.composed(view, &masks, scores, composed); //               [h·w]
        if shows {
            tap.see_labels("composed", &[view.image.input.height, view.image.input.width], &labels)?;
        }
        Ok(Drawn { labels: map::resize_labels(&labels, view.image.input, view.image.output), masks, steps })
    }

    /// Maps of some classes at the input's size, as cosines: before classes compete and before anything is stretched.
    fn spread(&self, View { image, bank, memo, .. }: View<'_, T>, classes: &[usize]) -> Result<Vec<Vec<f32>>> {
        let n = image.grid.area();
        let key = || format!("patch scores {:?}", self.map.affinity);
        let values = memo::once(memo, key, || {
            let scores = match self.map.affinity {
                Some(level) => map::patch_scores(&affinity::smooth(&image.patches, level)?, &bank.embeddings)?,
                None => image.patch_scores(&bank.embeddings)?,
            };
            scores.to_f32() // [r, n]
        })?;
        let one = |&class: &usize| {
            let mut best = vec![f32::NEG_INFINITY; n];
            for row in bank.rows_of(class) {
                let row = &values[row * n..(row + 1) * n];
                best.iter_mut().zip(row).for_each(|(best, &score)| *best = best.max(score));
            }
            map::resize(&best, image.grid, image.input, self.map.upsample) //   [h·w]
        };
        classes.iter().map(one).collect()
    }

    /// Maps of some classes at the input's size.
    fn made(&self, view: View<'_, T>, classes: &[usize]) -> Result<Vec<Vec<f32>>> {
        let mut maps = self.spread(view, classes)?;
        if let Some(scale) = self.map.compete {
            let competes = view.bank.background && !classes.contains(&0);
            let rival = if competes { self.spread(view, &[0])? } else { vec![] };
            map::compete(&mut maps, rival.first().map(Vec::as_slice), scale);
        }
        if self.map.min_max {
            maps.iter_mut().for_each(|map| map::min_max(map));
        }
        Ok(maps)
    }

    /// One label per pixel of the output.
    fn labels(&self, view: View<'_, T>, masks: &[ClassMask], scores: &[f32], composed: Composed) -> Vec<u16> {
        map::resize_labels(&self.composed(view, masks, scores, composed), view.image.input, view.image.output)
    }

    /// One label per pixel of the input.
    fn composed(&self, view: View<'_, T>, masks: &[ClassMask], scores: &[f32], composed: Composed) -> Vec<u16> {
        let (image, unclaimed) = (view.image, view.bank.unclaimed());
        let mut labels = composed(masks, image.input.area(), self.compose, unclaimed);
        if self.unclaimed == Unclaimed::BestClass {
            let best = ranking(scores).into_iter().find(|class| view.bank.foreground().contains(class));
            compose::give_to_best(&mut labels, masks, unclaimed, best.unwrap_or(0));
        }
        labels
    }

    /// Masks of some classes with these maps: one by one where the refiner looks at each alone, else of the whole set.
    fn refined(&self, view: View<'_, T>, classes: &[usize], maps: &[Vec<f32>]) -> Result<Masks> {
        if maps.is_empty() {
            return Ok(Masks::default());
        }
        let canvas = Canvas { size: view.image.input, rgb: &view.image.rgb };
        if view.memo.is_none() || self.map.compete.is_some() || !self.refiner.each_alone() {
            return self.refiner.refine(canvas, maps);
        }
        let refine = |missing: &[usize]| -> Result<Vec<Masks>> {
            let place = |class: &usize| classes.iter().position(|c| c == class).unwrap_or(0);
            let maps: Vec<Vec<f32>> = missing.iter().map(|class| maps[place(class)].clone()).collect();
            Ok(self.refiner.refine(canvas, &maps)?.apart())
        };
        let masks = memo::each(view.memo, &self.keys.refine, classes, refine)?;
        Ok(Masks::together(masks.iter().map(|masks| &**masks)))
    }
}

impl<T: Tensor> Segmenter<T> for SimSeg<T> {
    fn segment(&self, view: View<'_, T>, tap: &mut dyn Tap<T>) -> Result<Segmentation> {
        self.threshold.check(view.bank.classes)?;
        self.run(view, None, tap)
    }

    fn segment_given(&self, view: View<'_, T>, classes: &[usize], tap: &mut dyn Tap<T>) -> Result<Segmentation> {
        self.run(view, Some(classes), tap)
    }

    fn segment_unrefined(&self, view: View<'_, T>, classes: &[usize]) -> Result<Option<Segmentation>> {
        view.check()?;
        let scores = memo::once(view.memo, || self.keys.score.clone(), || self.score.scores(view))?;
        let selection = keep(Scores::new(&scores, view.bank.background), f32::NAN, |class| classes.contains(&class));
        let maps = self.maps(view, &selection.classes)?;
        let cut = maps.iter().map(|map| self.refiner.unrefined(map)).collect();
        let masks = class_masks(&selection.classes, &scores, maps, cut);
        let labels = self.labels(view, &masks, &scores, compose_given);
        let (size, threshold) = (view.image.output, selection.threshold);
        Ok(Some(Segmentation { labels, size, scores: Arc::unwrap_or_clone(scores), threshold, masks }))
    }

    fn memory(&self, extent: Extent) -> usize {
        let (area, cap) = (extent.input.area(), self.candidates.cap);
        let selected = if cap == 0 { extent.classes } else { extent.classes.min(cap + 1) };
        let maps = selected + usize::from(self.map.compete.is_some()); //          the background's, too
        let smoothed = match self.map.affinity {
            Some(_) => 2 * size_of::<f32>() * affinity::similarities(extent.patches),
            None => 0,
        };
        let labels = 2 * size_of::<u16>() * area;
        extent.scores()
            + smoothed
            + maps * area * size_of::<f32>()
            + self.refiner.memory(extent.input, selected)
            + labels
    }

    fn given_key(&self) -> Option<&str> {
        Some(&self.keys.given)
    }

    fn maps(&self, view: View<'_, T>, classes: &[usize]) -> Result<Vec<Vec<f32>>> {
        if self.map.compete.is_some() {
            // A map depends on which classes it competes with.
            let key = || format!("{} of {classes:?}", self.keys.map);
            return Ok(Arc::unwrap_or_clone(memo::once(view.memo, key, || self.made(view, classes))?));
        }
        let maps = memo::each(view.memo, &self.keys.map, classes, |missing| self.made(view, missing))?;
        Ok(maps.into_iter().map(Arc::unwrap_or_clone).collect())
    }

    fn needs(&self, aligner: &dyn Aligner<T>) -> Needs {
        self.score.needs(aligner).and(self.refiner.needs())
    }

    fn score(&self) -> &dyn ClassScore<T> {
        &*self.score
    }
}

/// Settings as text, for [`crate::memo`].
struct Keys {
    score: String,
    map: String,
    /// Those of the map and of its refinement.
    refine: String,
    /// Everything but which classes are selected.
    given: String,
}

impl Keys {
    fn of(config: &SimSegConfig) -> Self {
        let text = |value: serde_json::Result<String>| value.unwrap_or_default();
        let score = format!("scores {}", text(serde_json::to_string(&config.score)));
        let map = format!("map {}", text(serde_json::to_string(&config.map)));
        let refine = format!("{map} refine {}", text(serde_json::to_string(&config.refine)));
        let compose = text(serde_json::to_string(&(config.compose, config.unclaimed)));
        Self { given: format!("{refine} {score} compose {compose}"), score, map, refine }
    }
}

/// Classes with their maps and masks, all in one order.
fn class_masks(classes: &[usize], scores: &[f32], maps: Vec<Vec<f32>>, masks: Vec<Vec<u8>>) -> Vec<ClassMask> {
    let found = classes.iter().zip(maps.into_iter().zip(masks));
    found.map(|(&class, (map, mask))| ClassMask { class, score: scores[class], map, mask }).collect()
}

/// [`compose()`] or [`compose_given`].
type Composed = fn(&[ClassMask], usize, Compose, u16) -> Vec<u16>;

/// What comes of a set of selected classes.
#[derive(Clone)]
struct Drawn {
    labels: Vec<u16>,
    masks: Vec<ClassMask>,
    steps: Vec<MaskStep>,
}

/// The settings: one section of a recipe for each part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SimSegConfig {
    /// How classes are scored; what training compared if it does not say.
    #[serde(default)]
    pub score: Choice,
    /// Which classes are in the image.
    pub threshold: Choice,
    /// How far down the ranking to look.
    pub candidates: Candidates,
    /// Where a class is.
    pub map: Map,
    /// How a map becomes a mask.
    pub refine: Choice,
    /// One label per pixel.
    pub compose: Compose,
    /// What becomes of pixels that no class claims.
    #[serde(default, skip_serializing_if = "is_usual")]
    pub unclaimed: Unclaimed,
}

fn is_usual(unclaimed: &Unclaimed) -> bool {
    *unclaimed == Unclaimed::default()
}

impl SimSegConfig {
    /// What the small world uses: bilinear maps, cut at one half, μ + σ over the better half of the classes.
    pub fn plain() -> Self {
        let rule = Statistics { k: 1.0, top_n: TopN::UpperHalf, std: Std::Population, background: false };
        Self {
            score: Choice::new("aligner"),
            threshold: Choice::of("statistics", &rule),
            candidates: Candidates { cap: 0, background_counts: false },
            map: Map { upsample: Upsample::Bilinear, min_max: true, compete: None, affinity: None },
            refine: Choice::of("cut", &Cut { level: 0.5 }),
            compose: Compose::Covering,
            unclaimed: Unclaimed::Unlabelled,
        }
    }

    /// What the released evaluation script does.
    pub fn official_code() -> Self {
        let rule = Statistics { k: 1.0, top_n: TopN::First(10), std: Std::Unbiased, background: true };
        Self {
            score: Choice::new("aligner"),
            threshold: Choice::of("statistics", &rule),
            candidates: Candidates { cap: 5, background_counts: true },
            map: Map { upsample: Upsample::Nearest, min_max: true, compete: None, affinity: None },
            refine: Choice::of("crf", &Crf::default()),
            compose: Compose::Covering,
            unclaimed: Unclaimed::Unlabelled,
        }
    }

    /// What the paper says, without what only the code does: no cap on classes, no closing, smooth upsampling, the upper half
    /// of the classes.
    pub fn paper() -> Self {
        let rule = Statistics { k: 1.0, top_n: TopN::UpperHalf, std: Std::Unbiased, background: true };
        let crf = Crf { image: CrfImage::Exact, closing: Closings::Off, ..Crf::default() };
        Self {
            threshold: Choice::of("statistics", &rule),
            candidates: Candidates { cap: 0, background_counts: false },
            map: Map { upsample: Upsample::Bilinear, min_max: true, compete: None, affinity: None },
            refine: Choice::of("crf", &crf),
            ..Self::official_code()
        }
    }

    /// The segmenter by name, as settings files say it.
    pub fn choice(&self) -> Choice {
        Choice::of("simseg", self)
    }

    /// The segmenter, with its parts from a registry.
    ///
    /// # Errors
    /// If nobody knows a part, or one of its settings.
    pub fn build<T: Tensor>(&self, parts: &Parts<T>) -> std::result::Result<SimSeg<T>, simseg_registry::Error> {
        Ok(SimSeg {
            score: parts.scores.build(&self.score)?,
            threshold: parts.thresholds.build(&self.threshold)?,
            candidates: self.candidates,
            map: self.map,
            refiner: parts.refiners.build(&self.refine)?,
            compose: self.compose,
            unclaimed: self.unclaimed,
            keys: Keys::of(self),
        })
    }
}

type BuildResult<T> = std::result::Result<Box<dyn Segmenter<T>>, simseg_registry::Error>;

/// Adds it to its family.
pub fn register<T: Tensor>(kinds: &mut Kinds<dyn Segmenter<T>, Parts<T>>) {
    let build = |config: SimSegConfig, parts: &Parts<T>| -> BuildResult<T> { Ok(Box::new(config.build(parts)?)) };
    kinds.add_composed("simseg", "choose classes, map, refine, compose (the paper)", build);
}
