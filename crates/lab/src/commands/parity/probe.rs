//! A model and a batch that fits it: scenes of the model's own size, captions by its own tokenizer.

use super::Options;
use crate::experiment::{Experiment, Settings};
use crate::failure::{Failure, Outcome};
use crate::training::batch::Batch;
use crate::training::state::State;
use crate::training::{objective::Objective, vocabulary};
use rayon::prelude::*;
use simseg::{Extension, Loaded, Registry};
use simseg_data::transform::normalise_into;
use simseg_data::{Scene, SceneConfig, Tokenizer, World};
use simseg_model::{AdamW, Architecture, Parameters, Stage, TokenBatch};
use simseg_tensor::{Differentiable, Error, Ops, Parameter, Result, Tap, Tensor};
use simseg_testkit::Subject;
use simseg_testkit::hostile::Layout;
use simseg_testkit::subject::{self, Input};
use std::path::Path;

/// The smallest form of the small world's model, and how it is trained.
const EXPERIMENT: &str = include_str!("probe.toml");
/// Training steps that are compared, where the model is small enough.
const STEPS: u64 = 20;
/// Pairs per step, likewise.
const PAIRS: usize = 8;
/// Learning rate, and ε of the optimiser, for a model that has learnt already. Its gradients are near zero, and Adam divides them
/// by their own size: parameters would move by the whole rate whichever way rounding tips them.
const GENTLE: (f64, f64) = (1e-4, 1e-3);
/// Multiply-adds that training may take, so that all of it takes less than a minute: by plain loops, and by real kernels.
const MOST: [f64; 2] = [1e9, 1e12];

/// A model with its weights, and pairs to show it.
pub struct Probe<'a, E> {
    extension: &'a E,
    /// The model, its aligner, its loss, and how it is trained.
    settings: Settings,
    layout: Parameters<Parameter>,
    weights: Vec<Input>,
    scenes: Vec<Scene>,
    captions: Vec<Vec<u32>>,
    pad: u32,
    pairs: usize,
    steps: u64,
    /// Whether it was trained before.
    pub trained: bool,
}

impl<'a, E: Extension> Probe<'a, E> {
    /// The model of a directory, or a fresh small one.
    ///
    /// # Errors
    /// If the directory holds no model, or one that would take the other backend hours.
    pub fn load<T: Tensor>(
        options: &Options,
        plain_loops: bool,
        extension: &'a E,
        device: &T::Device,
    ) -> Outcome<Self> {
        let registry = Registry::<T>::with(extension);
        let mut settings = fresh(&registry)?;
        let (parameters, tokenizer) = match &options.model {
            Some(folder) => {
                let loaded = Loaded::read(folder, &registry, device)?;
                (settings.model, settings.aligner) = (loaded.description.model, loaded.description.aligner);
                (settings.training.schedule.rate, settings.training.adamw.eps) = GENTLE;
                (loaded.parameters, loaded.tokenizer)
            }
            None => {
                let tokenizer = vocabulary::of_words(World::words().into_iter().map(str::to_owned).collect())?;
                settings.model = simseg_model::with_vocabulary(&settings.model, tokenizer.vocabulary());
                (settings.description().layout(&registry)?.draw::<T>(0, device)?, tokenizer)
            }
        };
        let layout = settings.description().layout(&registry)?;
        let input = |x: &T| -> Outcome<Input> {
            Ok(Input { shape: x.shape().to_vec(), values: x.to_f32()?, layout: Layout::Contiguous })
        };
        let weights = parameters.values().iter().map(input).collect::<Outcome<Vec<_>>>()?;
        let network = settings.network(&registry)?;
        let (pairs, steps) = affordable(options, plain_loops, &*network, &weights)?;
        let (scenes, captions) = pairs_for(&*network, &tokenizer, pairs as u64 * STEPS)?;
        let (pad, trained) = (tokenizer.pad(), options.model.is_some());
        Ok(Self { extension, settings, layout, weights, scenes, captions, pad, pairs, steps, trained })
    }

    /// Names and shapes of the parameters.
    pub fn parameters(&self) -> Vec<(String, Vec<usize>)> {
        self.layout.iter().map(|(name, parameter)| (name.to_owned(), parameter.shape.clone())).collect()
    }

    /// The pairs that step `step` sees: pixels `[b, 3, h, w]` and captions.
    fn batch<T: Tensor>(&self, step: u64, device: &T::Device) -> Result<(T, TokenBatch)> {
        let picks = step as usize * self.pairs..(step as usize + 1) * self.pairs;
        let network = self.network::<T>()?;
        let (side, normalisation) = (network.image_size(), network.normalisation());
        let mut values = vec![0.0f32; self.pairs * 3 * side * side];
        let scenes = self.scenes[picks.clone()].par_iter();
        values
            .par_chunks_mut(3 * side * side)
            .zip(scenes)
            .for_each(|(out, scene)| normalise_into(&scene.rgb, &normalisation, out));
        let pixels = T::from_host(&values, &[self.pairs, 3, side, side], device)?;
        Ok((pixels, TokenBatch::new(&self.captions[picks], self.pad, 0)?))
    }

    fn network<T: Tensor>(&self) -> Result<Box<dyn simseg_model::NetworkConfig<T>>> {
        Registry::<T>::with(self.extension).model.network(&self.settings.model).map_err(simseg_model::setting)
    }

    fn objective<T: Tensor>(&self) -> Result<Objective<T>> {
        let objective = Objective::new(&self.settings, &Registry::<T>::with(self.extension));
        objective.map_err(|failure| Error::setting("model", failure.to_string()))
    }

    /// The parameters after one step of the optimiser with these gradients, all in a row: both backends are given the same ones.
    ///
    /// # Errors
    /// Whatever the backend says.
    pub fn update<T: Tensor>(&self, gradients: &[Vec<f64>], device: &T::Device) -> Result<Vec<f64>> {
        let values = subject::inputs::<T>(self, device)?;
        let one = |(values, x): (&Vec<f64>, &T)| T::from_host(values, x.shape(), device);
        let gradients = gradients.iter().zip(&values).map(one).collect::<Result<Vec<_>>>()?;
        let training = &self.settings.training;
        let updated = AdamW::new(training.adamw, &values)?.update(&values, &gradients, training.schedule.rate)?;
        Ok(updated.iter().map(T::to_vec::<f64>).collect::<Result<Vec<_>>>()?.concat())
    }

    /// The losses of a few steps of training.
    ///
    /// # Errors
    /// Whatever the backend says.
    pub fn train<D: Differentiable>(&self, device: &D::Device) -> Result<Vec<f64>> {
        let parameters = self.layout.with(subject::inputs::<D>(self, device)?)?;
        let (training, trained) = (&self.settings.training, vec![true; self.layout.len()]);
        let mut state = State::new(parameters, trained, training.adamw)
            .map_err(|failure| Error::setting("optimiser", failure.to_string()))?;
        let objective = self.objective::<D>()?;
        let step = |step| {
            let (pixels, captions) = self.batch::<D>(step, device)?;
            objective.step(&mut state, &Batch::new(pixels, captions), training.schedule.rate_at(step + 1, STEPS))
        };
        (0..self.steps).map(step).collect()
    }
}

/// The settings of a fresh model.
fn fresh<T: Tensor>(registry: &Registry<T>) -> Outcome<Settings> {
    let experiment = Experiment::parse(Path::new("probe.toml"), EXPERIMENT, &[], registry)?;
    let last = experiment.variants.into_iter().next_back();
    Ok(last.ok_or_else(|| Failure::input("probe.toml", "expected a variant"))?.settings)
}

/// Pairs per step and steps that take about a minute.
fn affordable(
    options: &Options,
    plain_loops: bool,
    network: &dyn Architecture,
    weights: &[Input],
) -> Outcome<(usize, u64)> {
    // A product for every weight and token; twice as much again on the way back.
    let parameters: f64 = weights.iter().map(|input| input.values.len() as f64).sum();
    let tokens = (network.image_size() / network.patch()).pow(2) as f64;
    let pair = 3.0 * parameters * tokens;
    let most = MOST[usize::from(!plain_loops)];
    let pairs = if pair * PAIRS as f64 * STEPS as f64 <= most { PAIRS } else { 2 };
    let steps = (most / (pair * pairs as f64)) as u64;
    match &options.model {
        Some(folder) if steps == 0 && plain_loops => {
            let minutes = pair * pairs as f64 / most;
            let text = format!("plain loops would take about {minutes:.0} minutes for this model; use --against tch");
            Err(Failure::file(folder, text))
        }
        _ => Ok((pairs, steps.clamp(1, STEPS))),
    }
}

/// Scenes of the model's own size with their captions in its own tokens, cut where they are too long for it.
fn pairs_for(network: &dyn Architecture, tokenizer: &Tokenizer, count: u64) -> Outcome<(Vec<Scene>, Vec<Vec<u32>>)> {
    let world = SceneConfig { image_size: network.image_size(), ..SceneConfig::default() };
    let scenes: Vec<Scene> = World::new(world, 0)?.scenes(0..count);
    let most = network.positions();
    let encode =
        |scene: &Scene| tokenizer.encode(&scene.caption, most).map_err(|error| Failure::input(&scene.caption, error));
    let captions = scenes.iter().map(encode).collect::<Outcome<_>>()?;
    Ok((scenes, captions))
}

/// Keeps every named intermediate.
struct Recorder<T>(Vec<(String, T)>);

impl<T: Tensor> Tap<T> for Recorder<T> {
    fn see(&mut self, name: &str, value: &T) -> Result<()> {
        self.0.push((name.to_owned(), value.clone()));
        Ok(())
    }
}

/// The forward pass and the loss, as a function of the parameters.
impl<E: Extension> Subject for Probe<'_, E> {
    fn inputs(&self) -> Vec<Input> {
        self.weights.clone()
    }

    fn compute<T: Tensor>(&self, x: &[T]) -> Result<Vec<(String, T)>> {
        let mut tap = Recorder(vec![]);
        let parameters = self.layout.with(x.to_vec())?;
        let objective = self.objective::<T>()?;
        let network = objective.network.build(&parameters)?;
        let device = x.first().ok_or(Error::setting("model", "has no parameters"))?.device();
        let (pixels, captions) = self.batch::<T>(0, &device)?;
        let image = network.encode_image(&pixels, &mut tap)?; //    [b, 1+n, e]
        tap.see("image/projected", &image.values)?;
        let text = network.encode_text(&captions, &mut tap)?; //    [b, m, e]
        tap.see("text/projected", &text.values)?;
        let aligner = objective.aligner.build(Stage::Training, &parameters)?;
        let similarity = aligner.similarity(&image, &text)?;
        tap.see("similarity", &similarity)?; //                     [b, b]
        let mut loss = objective.loss.build(&parameters)?.loss(&similarity, &network.temperature()?)?;
        if let Some(extra) = aligner.extra_loss(&image, &text)? {
            tap.see("extra loss", &extra)?;
            loss = loss.add(&extra)?;
        }
        tap.see("loss", &loss)?;
        Ok(tap.0)
    }

    fn loss<T: Tensor>(&self, x: &[T]) -> Result<T> {
        let results = self.compute(x)?;
        results.into_iter().next_back().map(|(_, loss)| loss).ok_or(Error::setting("loss", "a result"))
    }
}
