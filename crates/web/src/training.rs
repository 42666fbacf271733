//! One training, a step at a time, so that a page can draw between steps: the loop of the paper on drawn scenes.
//!
//! ```text
//! S    = similarity(encode(images), encode(captions))     [b, b]
//! loss = InfoNCE(S / τ)                                   each image against all captions, each caption against all images
//! AdamW(∇loss), at the rate of a schedule
//! ```
//!
//! The same parts as `simseg run`, without its files: checkpoints, frozen parts, captions from disk.

use crate::small::{self, Aligner, Cpu};
use serde::{Deserialize, Serialize};
use simseg::{Error, Registry, Result};
use simseg_cpu::CpuDevice;
use simseg_data::{Picture, SceneConfig, Tokenizer, World, transform};
use simseg_model::{AdamW, AdamWConfig, AlignerConfig, NetworkConfig, Parameters, Schedule, Stage, TokenBatch, nce};
use simseg_segment::metrics::pointing::points_at;
use simseg_tensor::{Autodiff, Differentiable, NoTap, Ops, Tensor};

/// What computes gradients.
type Diff = Autodiff<Cpu>;

/// What can be turned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainingRequest {
    /// What is contrasted.
    pub aligner: Aligner,
    /// Responses that LoDA pools over patches and over words.
    pub k: [usize; 2],
    /// Probability that an object stands in its favourite context.
    pub bias: f64,
    /// Probability that a caption names the context.
    pub naming: f64,
    /// Probability that an object is left out of a caption.
    pub left_out: f64,
    /// Pairs in a step.
    pub batch: usize,
    /// Steps.
    pub steps: u64,
    /// Pictures in all; they are seen again when they are through.
    pub pictures: u64,
    /// Of weights and scenes.
    pub seed: u64,
}

impl Default for TrainingRequest {
    fn default() -> Self {
        Self {
            aligner: Aligner::Loda,
            k: [3, 1],
            bias: 0.8,
            naming: 0.95,
            left_out: 0.15,
            batch: 32,
            steps: 60,
            pictures: 2000,
            seed: 0,
        }
    }
}

/// Scenes on which a training is judged.
const JUDGED: u64 = 40;
/// Their seed; no training has it.
const HELD_OUT: u64 = 1 << 40;

/// A training between two steps.
pub struct Training {
    /// What was asked for.
    pub request: TrainingRequest,
    world: World,
    tokenizer: Tokenizer,
    network: Box<dyn NetworkConfig<Diff>>,
    aligner: Box<dyn AlignerConfig<Diff>>,
    parameters: Parameters<Diff>,
    optimiser: AdamW<Diff>,
    /// The scenes on which it is judged, drawn once.
    judged: Vec<simseg_data::Scene>,
}

/// What became of some steps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Steps taken.
    pub step: u64,
    /// Steps in all.
    pub steps: u64,
    /// The loss before the last of them.
    pub loss: f64,
    /// The loss of knowing nothing, `ln b`.
    pub chance: f64,
}

/// Objects on which the map of their class peaks.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Judged {
    /// How many.
    pub hits: usize,
    /// Of how many.
    pub objects: usize,
    /// Their share.
    pub point_on_object: f64,
}

impl Training {
    /// Before the first step.
    ///
    /// # Errors
    /// The setting that can't be.
    pub fn new(request: TrainingRequest) -> Result<Self> {
        let TrainingRequest { k, batch, steps, pictures, .. } = request;
        let within = |name: &str, found: u64, most: u64| match (1..=most).contains(&found) {
            true => Ok(()),
            false => Err(Error::input(name, format!("from 1 to {most}, found {found}"))),
        };
        within("k", k[0] as u64, 64)?;
        within("k", k[1] as u64, 25)?;
        within("batch", batch as u64, 128)?;
        within("steps", steps, 2000)?;
        within("pictures", pictures, 100_000)?;
        let world = SceneConfig {
            bias: request.bias,
            no_context: 1.0 - request.naming,
            left_out: request.left_out,
            // A caption of the context alone names it, too.
            context_only: if request.naming > 0.0 { SceneConfig::default().context_only } else { 0.0 },
            ..SceneConfig::default()
        };
        let registry = Registry::<Diff>::built_in();
        let description = small::description(request.aligner.choice(k))?;
        let (network, aligner) =
            (description.network(&registry)?, registry.model.aligners.build(&description.aligner)?);
        let parameters: Parameters<Diff> = description.layout(&registry)?.draw(request.seed, &CpuDevice)?;
        let optimiser = AdamW::new(AdamWConfig::default(), parameters.values())?;
        let unbiased = World::new(SceneConfig { bias: 0.0, ..SceneConfig::default() }, HELD_OUT)?;
        let judged = unbiased.scenes(0..JUDGED);
        let world = World::new(world, request.seed)?;
        Ok(Self { request, world, tokenizer: small::tokenizer()?, network, aligner, parameters, optimiser, judged })
    }

    /// One step; the loss before it.
    ///
    /// # Errors
    /// If the loss is no number any more.
    pub fn step(&mut self) -> Result<Progress> {
        let (step, b) = (self.optimiser.step, self.request.batch);
        let scenes = (0..b as u64).map(|i| self.world.scene((step * b as u64 + i) % self.request.pictures));
        let scenes: Vec<_> = scenes.collect();
        let side = self.network.image_size();
        let mut pixels = vec![0.0f32; b * 3 * side * side];
        for (out, scene) in pixels.chunks_mut(3 * side * side).zip(&scenes) {
            transform::normalise_into(&scene.rgb, &self.network.normalisation(), out);
        }
        let pixels = Diff::from_host(&pixels, &[b, 3, side, side], &CpuDevice)?;
        let ids = scenes.iter().map(|scene| self.tokenizer.encode(&scene.caption, self.network.positions()));
        let ids = ids.collect::<simseg_data::Result<Vec<Vec<u32>>>>()?;
        let captions = TokenBatch::new(&ids, self.tokenizer.pad(), 0)?;

        let leaves: Vec<Diff> = self.parameters.values().iter().map(Differentiable::leaf).collect();
        let parameters = self.parameters.with(leaves.clone())?;
        let (network, aligner) = (self.network.build(&parameters)?, self.aligner.build(Stage::Training, &parameters)?);
        let image = network.encode_image(&pixels, &mut NoTap)?; //     [b, 1+n, e]
        let text = network.encode_text(&captions, &mut NoTap)?; //     [b, m, e]
        let similarity = aligner.similarity(&image, &text)?; //        [b, b]
        let loss = nce::info_nce(&similarity, &network.temperature()?, 0.0)?;
        let (loss, gradients) = loss.backward(&leaves.iter().collect::<Vec<_>>())?;
        let loss = loss.item()?;
        if !loss.is_finite() {
            return Err(Error::Machine(format!("the loss is {loss} at step {step}")));
        }
        let schedule = Schedule { rate: 4e-3, warmup: 5, floor: 0.1 };
        let rate = schedule.rate_at(step + 1, self.request.steps);
        let updated = self.optimiser.update(self.parameters.values(), &gradients, rate)?;
        // Within its bounds: beyond them a temperature's gradient is 0, and it would never come back.
        let network = self.network.build(&self.parameters.with(updated.clone())?)?;
        let bounded = self.parameters.names().zip(updated).map(|(name, value)| {
            let bounded = network.bounded(name, &value)?;
            Ok(bounded.unwrap_or(value).detach())
        });
        self.parameters = self.parameters.with(bounded.collect::<simseg_tensor::Result<Vec<Diff>>>()?)?;
        Ok(Progress { step: step + 1, steps: self.request.steps, loss, chance: (b as f64).ln() })
    }

    /// The parameters as they are now, 4 bytes for each number.
    ///
    /// # Errors
    /// If the backend fails.
    pub fn weights(&self) -> Result<Vec<u8>> {
        small::bytes(&self.parameters)
    }

    /// How well it points, on scenes whose contexts say nothing about their objects.
    ///
    /// # Errors
    /// If the model fails.
    pub fn judge(&self) -> Result<Judged> {
        let plain = self.parameters.values().iter().map(Differentiable::plain).collect();
        let model = small::model(self.request.aligner.choice(self.request.k), self.parameters.with(plain)?, None)?;
        let words = model.words(World::classes())?;
        let pictures: Vec<Picture> = self.judged.iter().map(simseg_data::Scene::picture).collect();
        let (mut hits, mut objects) = (0, 0);
        for (features, scene) in model.features(&pictures, &mut NoTap)?.iter().zip(&self.judged) {
            let truth: Vec<u16> = scene.labels.iter().map(|&label| label.into()).collect();
            let classes: Vec<usize> = scene.objects.iter().map(|object| object.class.into()).collect();
            let maps = model.segmenter().maps(model.view(features, &words), &classes)?;
            let on = |(class, map): (&usize, &Vec<f32>)| {
                points_at(map, features.input, &truth, features.output, *class as u16)
            };
            hits += classes.iter().zip(&maps).filter(|pair| on(*pair)).count();
            objects += classes.len();
        }
        Ok(Judged { hits, objects, point_on_object: hits as f64 / objects.max(1) as f64 })
    }
}
