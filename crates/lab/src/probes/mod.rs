//! Probes: what does a model rely on, while it trains and after?
//!
//! | probe | question |
//! |---|---|
//! | [`word_swap`] | How far does an image's score drop if its caption names another object, or another context? |
//! | [`Attention`](simseg_segment::metrics::Attention) | Where do patches agree with the image and with its classes? (a metric, too) |
//! | [`retrieval`] | Does it find an image's caption among others, and a caption's image? |
//!
//! `[probes]` of an experiment file ([`settings`]) asks them of held-out pictures ([`examples`]) every so many steps ([`watch`]) and keeps
//! the answers in `probes.jsonl` ([`log`]); `simseg probe` asks them of any model. A probe reads the weights and draws from streams of
//! its own, so that a training with probes has the weights of one without.

pub mod settings;
pub mod examples;
pub mod word_swap;
pub mod retrieval;
pub mod log;
pub mod watch;

pub use settings::Probes;

use crate::failure::Outcome;
use examples::Examples;
use retrieval::Recall;
use serde::{Deserialize, Serialize};
use simseg::{Choice, ClassList, Model, Words};
use simseg_segment::map::Size;
use simseg_segment::metrics::{Case, Figure, attention};
use simseg_segment::{ImageFeatures, Segmentation};
use simseg_tensor::{NoTap, Ops, Tensor};
use std::collections::BTreeMap;

/// A question about a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Probe {
    /// Other words in captions.
    WordSwap,
    /// Maps of the pooled image and of classes.
    Attention,
    /// Captions for images, and images for captions.
    Retrieval,
}

impl Probe {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::WordSwap, Self::Attention, Self::Retrieval];

    /// Its name in a settings file.
    pub fn name(self) -> &'static str {
        match self {
            Self::WordSwap => "word-swap",
            Self::Attention => "attention",
            Self::Retrieval => "retrieval",
        }
    }

    /// What it does, in one line for `--help`.
    pub fn about(self) -> &'static str {
        match self {
            Self::WordSwap => "the score of a caption that names another object, or another context",
            Self::Attention => "where patches agree with the image and with its classes; a metric, too",
            Self::Retrieval => "recall of captions and images at 1, 5 and 10",
        }
    }

    /// Its figures: known before anything is computed.
    pub fn figures(self) -> &'static [Figure] {
        match self {
            Self::WordSwap => &word_swap::FIGURES,
            Self::Attention => &attention::FIGURES,
            Self::Retrieval => &retrieval::FIGURES,
        }
    }

    /// Those that tables and charts show; all of them are in files.
    pub fn main_figures(self) -> impl Iterator<Item = &'static Figure> {
        let names: &[&str] = match self {
            Self::WordSwap => &["swap_object_drop", "swap_context_drop", "swap_drop_ratio"],
            Self::Attention => &["i2i_on_foreground", "t2i_on_object", "score_from_object"],
            Self::Retrieval => &["i2t_r1", "t2i_r1"],
        };
        self.figures().iter().filter(|figure| names.contains(&figure.name))
    }
}

/// An answer: figures by name, without those that these examples do not have.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The question.
    pub probe: Probe,
    /// Images that it was asked of; of word swap the captions.
    pub images: usize,
    /// Figures by name.
    pub figures: BTreeMap<String, f64>,
}

impl Answer {
    fn new(probe: Probe, images: usize, values: impl IntoIterator<Item = Option<f64>>) -> Self {
        let named = probe.figures().iter().zip(values);
        let known = |(figure, value): (&Figure, Option<f64>)| {
            Some((figure.name.to_owned(), value.filter(|value| value.is_finite())?))
        };
        Self { probe, images, figures: named.filter_map(known).collect() }
    }
}

/// What a model says about examples: computed once for all probes.
pub struct Seen<'a, T: Tensor> {
    /// The model.
    pub model: &'a Model<T>,
    /// What it is asked about.
    pub examples: &'a Examples,
    /// Its features of every image.
    pub features: Vec<ImageFeatures<T>>,
}

/// Small pictures that go through the network together, and the largest side that counts as small.
const TOGETHER: usize = 50;
const SMALL: usize = 96;
/// Sentences that go through the network together.
const SENTENCES: usize = 128;

impl<'a, T: Tensor> Seen<'a, T> {
    /// Encodes the images.
    ///
    /// # Errors
    /// If the model fails.
    pub fn new(model: &'a Model<T>, examples: &'a Examples) -> Outcome<Self> {
        let mut features = Vec::with_capacity(examples.images.len());
        let size = |at: usize| model.input_size(&examples.images[at].picture);
        while features.len() < examples.images.len() {
            let start = features.len();
            let most = if size(start).height.max(size(start).width) <= SMALL { TOGETHER } else { 1 };
            let alike = (start..examples.images.len()).take(most).take_while(|&at| size(at) == size(start));
            let pictures: Vec<_> = alike.map(|at| examples.images[at].picture.clone()).collect();
            features.extend(model.features(&pictures, &mut NoTap)?);
        }
        Ok(Self { model, examples, features })
    }

    /// How much each sentence speaks for its image, as training compared them: `(image, sentence)` each.
    ///
    /// # Errors
    /// If the model fails.
    pub fn scores(&self, asked: &[(usize, String)]) -> Outcome<Vec<f64>> {
        let mut scores = Vec::with_capacity(asked.len());
        if self.model.aligner().pairwise() {
            // Such an aligner compares tokens: one image with its sentences at a time.
            for own in asked.chunk_by(|a, b| a.0 == b.0).flat_map(|own| own.chunks(SENTENCES)) {
                let sentences: Vec<String> = own.iter().map(|(_, sentence)| sentence.clone()).collect();
                scores.extend(self.pairwise(own[0].0, &sentences)?);
            }
            return Ok(scores);
        }
        let images = self.embeddings()?;
        for part in asked.chunks(SENTENCES) {
            let sentences: Vec<String> = part.iter().map(|(_, sentence)| sentence.clone()).collect();
            let rows = self.model.embed(&sentences)?.to_f32()?;
            let rows = rows.chunks(rows.len() / part.len());
            scores.extend(part.iter().zip(rows).map(|((image, _), row)| dot(&images[*image], row)));
        }
        Ok(scores)
    }

    /// Pooled embeddings of all images.
    fn embeddings(&self) -> Outcome<Vec<Vec<f32>>> {
        self.features.iter().map(|features| Ok(features.embedding.to_f32()?)).collect()
    }

    /// One image against sentences, by an aligner that compares pairs.
    fn pairwise(&self, image: usize, sentences: &[String]) -> Outcome<Vec<f64>> {
        let tokens = self.features[image].tokens.as_ref().ok_or_else(|| {
            crate::failure::Failure::input("segmentation.score", "expected `aligner`, which keeps an image's tokens")
        })?;
        let row = self.model.aligner().similarity(tokens, &self.model.prompt_tokens(sentences)?)?; // [1, s]
        Ok(row.to_f32()?.into_iter().map(f64::from).collect())
    }

    /// All images (rows) against all captions.
    fn matrix(&self) -> Outcome<Vec<Vec<f64>>> {
        let texts: Vec<String> = self.examples.captions.iter().map(|caption| caption.text.clone()).collect();
        if self.model.aligner().pairwise() {
            let row = |image| -> Outcome<Vec<f64>> {
                let parts = texts.chunks(SENTENCES).map(|part| self.pairwise(image, part));
                Ok(parts.collect::<Outcome<Vec<_>>>()?.concat())
            };
            return (0..self.features.len()).map(row).collect();
        }
        let rows = texts.chunks(SENTENCES).map(|part| {
            let rows = self.model.embed(part)?.to_f32()?;
            Ok(rows.chunks(rows.len() / part.len()).map(<[f32]>::to_vec).collect::<Vec<_>>())
        });
        let rows = rows.collect::<Outcome<Vec<_>>>()?.concat();
        let images = self.embeddings()?;
        Ok(images.iter().map(|image| rows.iter().map(|row| dot(image, row)).collect()).collect())
    }

    /// Asks one question; `swaps` other words stand for each of a caption, drawn of `seed`.
    ///
    /// # Errors
    /// If the examples lack what it needs, or the model fails.
    pub fn ask(&self, probe: Probe, swaps: usize, seed: u64) -> Outcome<Answer> {
        match probe {
            Probe::WordSwap => {
                let swapped = word_swap::measure(self, swaps, seed)?;
                Ok(Answer::new(probe, swapped.len(), word_swap::figures(&swapped)))
            }
            Probe::Retrieval => {
                let matrix = self.matrix()?;
                let image_of: Vec<usize> = self.examples.captions.iter().map(|caption| caption.image).collect();
                let (image_to_text, text_to_image) = retrieval::ranked(&matrix, &image_of);
                let values = |Recall { at_1, at_5, at_10 }: Recall| [at_1, at_5, at_10].map(Some);
                Ok(Answer::new(probe, matrix.len(), [values(image_to_text), values(text_to_image)].concat()))
            }
            Probe::Attention => self.attention(),
        }
    }

    /// The embedded classes of the examples.
    ///
    /// # Errors
    /// If the model fails.
    pub fn classes(&self) -> Outcome<Words<T>> {
        Ok(self.model.classes(ClassList::parse(&self.examples.class_lines.join("\n"))?)?)
    }

    fn attention(&self) -> Outcome<Answer> {
        let words = self.classes()?;
        let metric = self.model.registry().segment.metrics.build(&Choice::new(Probe::Attention.name()))?;
        let mut observations = vec![];
        for (image, features) in self.examples.images.iter().zip(&self.features) {
            let Some(labels) = &image.labels else { continue };
            let size = Size { height: labels.height, width: labels.width };
            // The metric asks the features alone; a segmentation would cost time and say nothing.
            let nothing = Segmentation { scores: vec![], threshold: f32::NAN, masks: vec![], labels: vec![], size };
            observations.push(metric.observe(&Case {
                truth: &labels.values,
                size,
                present: &labels.classes(),
                objects: &image.objects,
                prediction: &nothing,
                view: self.model.view(features, &words),
                segmenter: self.model.segmenter(),
                classes: words.list.len(),
            })?);
        }
        Ok(Answer::new(Probe::Attention, observations.len(), metric.finish(&observations)?))
    }
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}
