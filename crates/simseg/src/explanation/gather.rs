//! An explanation of one picture, from a model.

use super::seen::Seen;
use super::{Class, Explanation, FORMAT, Found, Pooling, Selection, Token, Truth, ledger};
use crate::{Error, Image, Model, Result, Words};
use serde::de::DeserializeOwned;
use simseg_model::{Side, Tokens};
use simseg_registry::Choice;
use simseg_segment::compose::{self, Compose};
use simseg_segment::map::Size;
use simseg_segment::metrics::Confusion;
use simseg_segment::prompts::fill;
use simseg_segment::threshold::{Candidates, Looked};
use simseg_segment::{ClassMask, ImageFeatures};
use simseg_tensor::{NoTap, Ops, Tensor};

impl<T: Tensor> Model<T> {
    /// Segments a picture and says everything about how: `truth` has a class for each pixel of the picture, `[H·W]`.
    ///
    /// ```
    /// # fn main() -> simseg::Result<()> {
    /// # let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/tiny");
    /// let model = simseg::Model::open(folder)?;
    /// let words = model.words(["balloon", "fish"])?;
    /// let picture = simseg::Picture { width: 64, height: 64, rgb: vec![128; 3 * 64 * 64] };
    /// let told = model.explain(&picture, &words, None)?;
    /// let simseg::explanation::Ledger::Split { sums, .. } = &told.ledger else { unreachable!("LoDA splits") };
    /// assert!((sums[1] - told.scores[1]).abs() < 1e-5); // what patches add is the score
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// If the model fails, `truth` has another size, or segmenting the picture may need more than the memory limit; what an explanation keeps
    /// beside ([`Explanation`]) is not part of the limit.
    pub fn explain<S: AsRef<[u8]>>(
        &self,
        picture: &Image<S>,
        words: &Words<T>,
        truth: Option<&[u16]>,
    ) -> Result<Explanation> {
        self.check_memory(Size { height: picture.height, width: picture.width }, words)?;
        let features = self.features(std::slice::from_ref(picture), &mut NoTap)?.remove(0);
        self.explain_features(picture, &features, words, truth)
    }

    /// The same from features that were computed before.
    ///
    /// # Errors
    /// As [`Self::explain`].
    pub fn explain_features<S>(
        &self,
        picture: &Image<S>,
        features: &ImageFeatures<T>,
        words: &Words<T>,
        truth: Option<&[u16]>,
    ) -> Result<Explanation> {
        let mut seen = Seen::default();
        let crate::Segmented { labels, details, .. } = self.segment_features(picture, features, words, &mut seen)?;
        let settings = &self.recipe().segmenter;
        let kind = &self.description().aligner.kind;
        let (patches, embedding) = (features.patches.to_f32()?, features.embedding.to_f32()?);
        let rows = best_rows(features, words)?;
        let pooling = match features.windows.len() {
            0..=1 => Pooling::of(self.aligner(), kind, Side::Image, &with_cls(&features.patches)?)?,
            many => Pooling::Whole {
                why: format!("The image's vector is the mean of those of {many} windows, each pooled by itself."),
            },
        };
        let classes = rows.iter().enumerate().map(|(class, &row)| self.class(words, class, row));
        let classes = classes.collect::<Result<Vec<Class>>>()?;
        let rows: Vec<&[f32]> = classes.iter().map(|class| &class.embedding[..]).collect();
        let ledger = ledger::ledger(&patches, &pooling, &rows, &details.scores);
        let per_row = features.patch_scores(&words.bank.embeddings)?.to_f32()?; // [r, n]
        let n = features.grid.area();
        let best = |class: usize| {
            let rows = words.bank.rows_of(class);
            let at = |p: usize| rows.clone().map(|row| per_row[row * n + p]).fold(f32::NEG_INFINITY, f32::max);
            (0..n).map(at).collect::<Vec<f32>>()
        };
        let found = details.masks.iter().map(|mask| found(mask, &mut seen)).collect();
        let how: Option<Compose> = settings.get("compose");
        let composed = Some(seen.labels("composed")).filter(|labels| !labels.is_empty());
        let why = match (&composed, how) {
            (Some(labels), Some(how)) => {
                let unclaimed = words.bank.unclaimed();
                let one = |(p, &label): (usize, &u16)| compose::why(&details.masks, p, how, label, unclaimed);
                labels.iter().enumerate().map(one).collect()
            }
            _ => vec![],
        };
        let own_size = || simseg_segment::map::resize_labels(&labels.values, features.output, features.input);
        let composed = composed.unwrap_or_else(own_size);
        Ok(Explanation {
            format: FORMAT,
            aligner: self.description().aligner.clone(),
            recipe: self.recipe().to_toml()?,
            picture: features.output,
            input: features.input,
            grid: features.grid,
            channels: embedding.len(),
            background: words.bank.background,
            image_to_image: features.patch_scores(&features.embedding)?.to_f32()?,
            text_to_image: (0..classes.len()).map(best).collect(),
            selection: selection(settings, &details.masks, details.threshold, &mut seen),
            refiner: part(settings, "refine"),
            compose: how.map_or(String::new(), |_| part(settings, "compose")),
            composed,
            truth: truth.map(|truth| judged(truth, &labels.values, classes.len())).transpose()?,
            scores: details.scores,
            labels: labels.values,
            classes,
            patches,
            embedding,
            pooling,
            ledger,
            found,
            why,
        })
    }

    /// A class, read by the word of row `row` of the bank.
    fn class(&self, words: &Words<T>, class: usize, row: usize) -> Result<Class> {
        let all = words.list.clone().with_background_words(&self.recipe().prompts.background);
        let all = all.words(class).to_vec();
        // A score rule that keeps every prompt has more rows than words.
        let word = all.get(row - words.bank.rows_of(class).start).or(all.first()).cloned().unwrap_or_default();
        let prompts = fill(&self.recipe().prompts.templates.lines()?, &word);
        let first = prompts.get(..1).unwrap_or_default();
        let (tokens, ids) = (self.prompt_tokens(first)?, self.prompt_ids(first)?.remove(0));
        let text = |&id: &u32| Token { id, text: self.tokenizer().token(id).unwrap_or_default() };
        Ok(Class {
            name: words.list.name(class).to_owned(),
            words: all,
            prompts,
            pooling: Pooling::of(self.aligner(), &self.description().aligner.kind, Side::Text, &tokens)?,
            features: tokens.values.to_f32()?,
            tokens: ids.iter().map(text).collect(),
            embedding: words.bank.embeddings.slice(0, row, 1)?.to_f32()?,
        })
    }
}

/// Patches `[n, d]` as an aligner takes them: behind a \[CLS\] token, for which a copy of the first patch serves, as it takes no part.
fn with_cls<T: Tensor>(patches: &T) -> Result<Tokens<T>> {
    let values = T::concat(&[&patches.slice(0, 0, 1)?, patches], 0)?.unsqueeze(0)?; // [1, 1+n, d]
    Ok(Tokens { values, lengths: None })
}

/// For each class the row of the bank that fits the image best, as its score has it.
fn best_rows<T: Tensor>(features: &ImageFeatures<T>, words: &Words<T>) -> Result<Vec<usize>> {
    let scores = features.embedding.matmul(&words.bank.embeddings.t()?)?.to_f32()?; // [1, r]
    let best = |class: usize| {
        let rows = words.bank.rows_of(class);
        let start = rows.start;
        rows.fold(start, |best, row| if scores[row] > scores[best] { row } else { best })
    };
    Ok((0..words.list.len()).map(best).collect())
}

/// A part of a segmenter's settings by name; what it is without settings if it has none.
fn part<V: DeserializeOwned + Default>(segmenter: &Choice, name: &str) -> V {
    segmenter.get(name).unwrap_or_default()
}

fn selection(segmenter: &Choice, masks: &[ClassMask], threshold: f32, seen: &mut Seen) -> Selection {
    let entered: Vec<usize> = seen.numbers("threshold/entered").into_iter().map(|class| class as usize).collect();
    let statistics = match seen.numbers("threshold/statistics")[..] {
        [mean, deviation, k] => Some(Looked { entered, mean: mean.into(), deviation: deviation.into(), k: k.into() }),
        _ => None,
    };
    Selection {
        rule: part(segmenter, "threshold"),
        threshold: threshold.is_finite().then_some(threshold),
        statistics,
        cap: segmenter.get::<Candidates>("candidates").map_or(0, |candidates| candidates.cap),
        selected: masks.iter().map(|mask| mask.class).collect(),
    }
}

fn found(mask: &ClassMask, seen: &mut Seen) -> Found {
    let class = mask.class;
    let rounds = (0..).map_while(|t| Some(seen.numbers(&format!("crf/q/{t}/{class}"))).filter(|q| !q.is_empty()));
    Found {
        class,
        score: mask.score,
        q: rounds.collect(),
        raw: seen.numbers(&format!("map/raw/{class}")),
        unary: seen.numbers(&format!("crf/unary/{class}")),
        crf: seen.mask(&format!("crf/{class}")),
        map: mask.map.clone(),
        mask: mask.mask.clone(),
    }
}

fn judged(truth: &[u16], labels: &[u16], classes: usize) -> Result<Truth> {
    let mut counts = Confusion::new(classes);
    let problem = |error: simseg_tensor::Error| Error::input("truth", error);
    counts.add(truth, labels).map_err(problem)?;
    Ok(Truth { labels: truth.to_vec(), iou: counts.iou(), miou: counts.miou() })
}
