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

use super::{Segmentation, Segmenter};
use crate::affinity;
use crate::compose::{self, ClassMask, Compose, Unclaimed};
use crate::features::View;
use crate::map::{self, Map, Upsample};
use crate::needs::Needs;
use crate::refine::crf::CrfImage;
use crate::refine::morphology::Closings;
use crate::refine::{Canvas, Crf, Cut, Masks, Refiner};
use crate::registry::Parts;
use crate::score::ClassScore;
use crate::threshold::{Candidates, Oracle, Scores, Statistics, Std, Threshold, TopN, ranking};
use serde::{Deserialize, Serialize};
use simseg_model::Aligner;
use simseg_registry::Choice;
use simseg_registry::Kinds;
use simseg_tensor::{Ops, Result, Tap, Tensor};

/// The system of the paper; every part is a switch of its recipe.
pub struct SimSeg<T: Tensor> {
    score: Box<dyn ClassScore<T>>,
    threshold: Box<dyn Threshold>,
    candidates: Candidates,
    map: Map,
    refiner: Box<dyn Refiner>,
    compose: Compose,
    unclaimed: Unclaimed,
}

impl<T: Tensor> Segmenter<T> for SimSeg<T> {
    fn segment(&self, view: View<'_, T>, tap: &mut dyn Tap<T>) -> Result<Segmentation> {
        self.threshold.check(view.bank.classes)?;
        self.run(view, &*self.threshold, tap)
    }

    fn segment_given(&self, view: View<'_, T>, classes: &[usize], tap: &mut dyn Tap<T>) -> Result<Segmentation> {
        self.run(view, &Oracle { classes: classes.to_vec() }, tap)
    }

    fn maps(&self, View { image, bank, .. }: View<'_, T>, classes: &[usize]) -> Result<Vec<Vec<f32>>> {
        let n = image.grid.area();
        let patches = match self.map.affinity {
            Some(level) => affinity::smooth(&image.patches, level)?,
            None => image.patches.clone(),
        };
        let values = map::patch_scores(&patches, &bank.embeddings)?.to_f32()?; // [r, n]
        let one = |&class: &usize| {
            let mut best = vec![f32::NEG_INFINITY; n];
            for row in bank.rows_of(class) {
                let row = &values[row * n..(row + 1) * n];
                best.iter_mut().zip(row).for_each(|(best, &score)| *best = best.max(score));
            }
            map::resize(&best, image.grid, image.input, self.map.upsample) //   [h·w]
        };
        let mut maps = classes.iter().map(one).collect::<Result<Vec<_>>>()?;
        if let Some(scale) = self.map.compete {
            let rival = (bank.background && !classes.contains(&0)).then(|| one(&0)).transpose()?;
            map::compete(&mut maps, rival.as_deref(), scale);
        }
        if self.map.min_max {
            maps.iter_mut().for_each(|map| map::min_max(map));
        }
        Ok(maps)
    }

    fn needs(&self, aligner: &dyn Aligner<T>) -> Needs {
        self.score.needs(aligner).and(self.refiner.needs())
    }

    fn score(&self) -> &dyn ClassScore<T> {
        &*self.score
    }
}

impl<T: Tensor> SimSeg<T> {
    /// All of it, under one rule for which classes are in the image.
    fn run(&self, view: View<'_, T>, rule: &dyn Threshold, tap: &mut dyn Tap<T>) -> Result<Segmentation> {
        view.check()?;
        let image = view.image;
        let scores = self.score.scores(view)?;
        let ranked = Scores::new(&scores, view.bank.background);
        let mut selection = rule.select(ranked);
        self.candidates.limit(ranked, &mut selection);
        tap.see_host("scores", &[scores.len()], &scores)?;
        tap.see_host("threshold", &[1], &[selection.threshold])?;

        let (size, area) = ([image.input.height, image.input.width], image.input.area());
        let maps = self.maps(view, &selection.classes)?;
        for (class, map) in selection.classes.iter().zip(&maps) {
            tap.see_host(&format!("map/{class}"), &size, map)?;
        }
        let Masks { last, steps } = match maps.is_empty() {
            true => Masks::default(),
            false => self.refiner.refine(Canvas { size: image.input, rgb: &image.rgb }, &maps)?,
        };
        for step in &steps {
            for (class, mask) in selection.classes.iter().zip(&step.masks) {
                tap.see_mask(&format!("{}/{class}", step.name), &size, mask)?;
            }
        }
        for (class, mask) in selection.classes.iter().zip(&last) {
            tap.see_mask(&format!("mask/{class}"), &size, mask)?;
        }
        let found = selection.classes.iter().zip(maps.into_iter().zip(last));
        let masks: Vec<ClassMask> =
            found.map(|(&class, (map, mask))| ClassMask { class, score: scores[class], map, mask }).collect();
        let unclaimed = view.bank.unclaimed();
        let mut labels = compose::compose(&masks, area, self.compose, unclaimed);
        if self.unclaimed == Unclaimed::BestClass {
            let best = ranking(&scores).into_iter().find(|&class| !ranked.is_background(class));
            compose::give_to_best(&mut labels, &masks, unclaimed, best.unwrap_or(0));
        }
        let labels = map::resize_labels(&labels, image.input, image.output);
        tap.see_labels("labels", &[image.output.height, image.output.width], &labels)?;
        Ok(Segmentation { labels, size: image.output, scores, threshold: selection.threshold, masks })
    }
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
        })
    }
}

type BuildResult<T> = std::result::Result<Box<dyn Segmenter<T>>, simseg_registry::Error>;

/// Adds it to its family.
pub fn register<T: Tensor>(kinds: &mut Kinds<dyn Segmenter<T>, Parts<T>>) {
    let build = |config: SimSegConfig, parts: &Parts<T>| -> BuildResult<T> { Ok(Box::new(config.build(parts)?)) };
    kinds.add_composed("simseg", "choose classes, map, refine, compose (the paper)", build);
}
