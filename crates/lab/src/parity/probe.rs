//! A model and a batch that fits it: scenes of the model's own size, captions by its own tokenizer.

use super::Options;
use crate::corpus;
use crate::experiment::{Experiment, Training};
use crate::failure::{Failure, Outcome};
use crate::model_dir::{self, Card};
use crate::state::State;
use crate::train;
use simseg_data::{Scene, SceneConfig, Tokenizer, World};
use simseg_model::{AdamW, Network, NetworkConfig, TokenBatch, nce};
use simseg_tensor::{Differentiable, Error, Ops, Parameter, Result, Tap, Tensor};
use simseg_testkit::Subject;
use simseg_testkit::hostile::Layout;
use simseg_testkit::subject::{self, Input};
use std::path::Path;

/// The settings of training: the small world's.
const EXPERIMENT: &str = include_str!("../../../../experiments/quick.toml");
/// Training steps that are compared, where the model is small enough.
const STEPS: u64 = 20;
/// Pairs per step, likewise.
const PAIRS: usize = 8;
/// Learning rate, and ε of the optimiser, for a model that has learnt already. Its gradients are near zero, and Adam divides them
/// by their own size: parameters would move by the whole rate whichever way rounding tips them, and two earthquakes be compared.
const GENTLE: (f64, f64) = (1e-4, 1e-3);
/// Multiply-adds that training may take, so that all of it takes less than a minute: by plain loops, and by real kernels.
const MOST: [f64; 2] = [1e9, 1e12];

/// A model with its weights, and pairs to show it.
pub struct Probe {
    card: Card,
    layout: Network<Parameter>,
    weights: Vec<Input>,
    scenes: Vec<Scene>,
    captions: Vec<Vec<u32>>,
    pad: u32,
    pairs: usize,
    steps: u64,
    training: Training,
    /// Whether it was trained before.
    pub trained: bool,
}

impl Probe {
    /// The model of a directory, or a fresh small one.
    ///
    /// # Errors
    /// If the directory holds no model, or one that would take the other backend hours.
    pub fn load<T: Tensor>(options: &Options, device: &T::Device) -> Outcome<Self> {
        let (card, model, tokenizer, training) = match &options.model {
            Some(folder) => {
                let loaded = model_dir::load::<T>(folder, device)?;
                let mut training = fresh()?.1;
                (training.schedule.rate, training.adamw.eps) = GENTLE;
                (loaded.card, loaded.model, loaded.tokenizer, training)
            }
            None => {
                let (card, training) = fresh()?;
                let draw = &mut |name: &str, parameter: &Parameter| parameter.draw::<T>(0, name, device);
                (card, Network::layout(&card.network).map(draw)?, corpus::tokenizer(), training)
            }
        };
        let input = |(_, x): (String, T)| -> Outcome<Input> {
            Ok(Input { shape: x.shape().to_vec(), values: x.to_f32()?, layout: Layout::Contiguous })
        };
        let weights = model.parameters().into_iter().map(input).collect::<Outcome<Vec<_>>>()?;
        let (pairs, steps) = affordable(options, &card, &weights)?;
        let layout = Network::layout(&card.network);
        let (scenes, captions) = pairs_for(&card, &tokenizer, pairs as u64 * STEPS)?;
        let (pad, trained) = (tokenizer.pad(), options.model.is_some());
        Ok(Self { card, layout, weights, scenes, captions, pad, pairs, steps, training, trained })
    }

    /// Names and shapes of the parameters.
    pub fn parameters(&self) -> Vec<(String, Vec<usize>)> {
        self.layout.parameters().into_iter().map(|(name, parameter)| (name, parameter.shape)).collect()
    }

    /// The pairs that step `step` sees.
    fn batch<T: Tensor>(&self, step: u64, device: &T::Device) -> Result<(T, TokenBatch)> {
        let picks = step as usize * self.pairs..(step as usize + 1) * self.pairs;
        let scenes: Vec<&Scene> = self.scenes[picks.clone()].iter().collect();
        let pixels =
            corpus::pixels(&scenes, device).map_err(|failure| Error::setting("pixels", failure.to_string()))?;
        Ok((pixels, TokenBatch::new(&self.captions[picks], self.pad, 0)?))
    }

    /// The parameters after one step of the optimiser with these gradients, all in a row: both backends are given the same ones.
    ///
    /// # Errors
    /// Whatever the backend says.
    pub fn update<T: Tensor>(&self, gradients: &[Vec<f64>], device: &T::Device) -> Result<Vec<f64>> {
        let values = subject::inputs::<T>(self, device)?;
        let one = |(values, x): (&Vec<f64>, &T)| T::from_host(values, x.shape(), device);
        let gradients = gradients.iter().zip(&values).map(one).collect::<Result<Vec<_>>>()?;
        let updated =
            AdamW::new(self.training.adamw, &values)?.update(&values, &gradients, self.training.schedule.rate)?;
        Ok(updated.iter().map(T::to_vec::<f64>).collect::<Result<Vec<_>>>()?.concat())
    }

    /// The model with these values as its parameters.
    fn model<T: Tensor>(&self, x: &[T]) -> Result<Network<T>> {
        let mut values = x.iter().cloned();
        self.layout.map(&mut |name, _| values.next().ok_or_else(|| Error::parameter(name, "no value given")))
    }

    /// The losses of a few steps of training; none for CLIP, which is not trained here.
    ///
    /// # Errors
    /// Whatever the backend says.
    pub fn train<D: Differentiable>(&self, device: &D::Device) -> Result<Vec<f64>> {
        let Network::SimSeg(model) = self.model(&subject::inputs::<D>(self, device)?)? else { return Ok(vec![]) };
        let values: Vec<D> = model.parameters().into_iter().map(|(_, value)| value).collect();
        let optimiser = AdamW::new(self.training.adamw, &values)?;
        let mut state = State { model, optimiser, seconds: 0.0 };
        let aligner = self.card.aligner.train::<D>();
        let step = |step| {
            let (pixels, captions) = self.batch::<D>(step, device)?;
            let rate = self.training.schedule.rate_at(step + 1, STEPS);
            train::step(&mut state, &*aligner, (&pixels, &captions), self.training.label_smoothing, rate)
        };
        (0..self.steps).map(step).collect()
    }
}

/// The smallest form of the small world's model, and how it is trained.
fn fresh() -> Outcome<(Card, Training)> {
    let overrides = [
        "training.scenes=256",
        "training.batch=8",
        "training.schedule.warmup=5",
        "world.image_size=32",
        "model.image.image_size=32",
        "model.projection=16",
        "model.image.width=24",
        "model.text.width=24",
    ];
    let experiment = Experiment::parse(Path::new("quick.toml"), EXPERIMENT, &overrides.map(str::to_owned))?;
    let (_, settings) = experiment.variants.last().ok_or_else(|| Failure::input("quick.toml", "expected a variant"))?;
    let mut model = settings.model;
    model.text.vocabulary = corpus::tokenizer().vocabulary();
    Ok((Card { network: NetworkConfig::SimSeg(model), aligner: settings.aligner }, settings.training))
}

/// Pairs per step and steps that take about a minute.
fn affordable(options: &Options, card: &Card, weights: &[Input]) -> Outcome<(usize, u64)> {
    // A product for every weight and token; twice as much again on the way back.
    let parameters: f64 = weights.iter().map(|input| input.values.len() as f64).sum();
    let image = card.network.image();
    let tokens = (image.image_size / image.patch).pow(2) as f64;
    let pair = 3.0 * parameters * tokens;
    let most = MOST[usize::from(!options.plain_loops)];
    let pairs = if pair * PAIRS as f64 * STEPS as f64 <= most { PAIRS } else { 2 };
    let steps = (most / (pair * pairs as f64)) as u64;
    match &options.model {
        Some(folder) if steps == 0 && options.plain_loops => {
            let minutes = pair * pairs as f64 / most;
            let text = format!("plain loops would take about {minutes:.0} minutes for this model; use --against tch");
            Err(Failure::file(folder, text))
        }
        _ => Ok((pairs, steps.clamp(1, STEPS))),
    }
}

/// Scenes of the model's own size with their captions in its own tokens, cut where they are too long for it.
fn pairs_for(card: &Card, tokenizer: &Tokenizer, count: u64) -> Outcome<(Vec<Scene>, Vec<Vec<u32>>)> {
    let world = SceneConfig { image_size: card.network.image().image_size, ..SceneConfig::default() };
    let scenes: Vec<Scene> = World::new(world, 0)?.scenes(0..count);
    let most = card.network.positions();
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
impl Subject for Probe {
    fn inputs(&self) -> Vec<Input> {
        self.weights.clone()
    }

    fn compute<T: Tensor>(&self, x: &[T]) -> Result<Vec<(String, T)>> {
        let mut tap = Recorder(vec![]);
        let model = self.model(x)?;
        let (pixels, captions) = self.batch::<T>(0, &model.device())?;
        let image = model.encode_image(&pixels, &mut tap)?; //      [b, 1+n, e]
        tap.see("image/projected", &image.values)?;
        let text = model.encode_text(&captions, &mut tap)?; //      [b, m, e]
        tap.see("text/projected", &text.values)?;
        let similarity = self.card.aligner.train::<T>().similarity(&image, &text)?;
        tap.see("similarity", &similarity)?; //                     [b, b]
        tap.see("loss", &nce::info_nce(&similarity, &model.temperature()?, self.training.label_smoothing)?)?;
        Ok(tap.0)
    }

    fn loss<T: Tensor>(&self, x: &[T]) -> Result<T> {
        let results = self.compute(x)?;
        results.into_iter().next_back().map(|(_, loss)| loss).ok_or(Error::setting("loss", "a result"))
    }
}
