//! What a run trains on: scenes drawn once per seed, with tokenised captions; and which of them each step sees.

use crate::experiment::Settings;
use crate::failure::{Failure, Outcome};
use rayon::prelude::*;
use simseg_data::transform::Normalisation;
use simseg_data::{Scene, SceneConfig, Tokenizer, World, transform};
use simseg_model::TokenBatch;
use simseg_tensor::{Tensor, random};

/// Training scenes and their captions.
#[derive(Debug)]
pub struct Corpus {
    scenes: Vec<Scene>,
    captions: Vec<Vec<u32>>,
    /// The words of the small world.
    pub tokenizer: Tokenizer,
}

/// The tokenizer of the small world: its words, after the special tokens.
pub fn tokenizer() -> Tokenizer {
    let special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];
    let words = special.into_iter().chain(World::words()).map(str::to_owned).collect();
    Tokenizer::word_piece(words).expect("the words of the small world are distinct")
}

impl Corpus {
    /// Draws the scenes of a seed; `progress` is told how many of how many are there.
    ///
    /// # Errors
    /// If a caption is longer than the model's positions.
    pub fn draw(settings: &Settings, seed: u64, progress: impl Fn(u64)) -> Outcome<Self> {
        let world = World::new(settings.world.clone(), seed)?;
        let mut scenes = Vec::with_capacity(settings.training.scenes as usize);
        for start in (0..settings.training.scenes).step_by(256) {
            let end = (start + 256).min(settings.training.scenes);
            scenes.extend(world.scenes(start..end));
            progress(end);
        }
        let tokenizer = tokenizer();
        let most = settings.model.text.positions;
        let encode = |scene: &Scene| {
            let ids = tokenizer.encode(&scene.caption, 0).map_err(|error| Failure::input(&scene.caption, error))?;
            if ids.len() > most {
                let expected = format!("at least {} for caption `{}`, found {most}", ids.len(), scene.caption);
                return Err(Failure::input("model.text.positions", expected));
            }
            Ok(ids)
        };
        let captions = scenes.iter().map(encode).collect::<Outcome<_>>()?;
        Ok(Self { scenes, captions, tokenizer })
    }

    /// Held-out scenes: of another seed space and another bias.
    ///
    /// # Errors
    /// If a setting makes no sense.
    pub fn held_out(settings: &Settings, seed: u64) -> Outcome<Vec<Scene>> {
        let config = SceneConfig { bias: settings.evaluation.bias, ..settings.world.clone() };
        // Training seeds are small numbers; the complement is far from all of them.
        Ok(World::new(config, !seed)?.scenes(0..settings.evaluation.scenes))
    }

    /// The scenes that step `step` sees: every epoch is a new permutation, a pure function of seed and epoch.
    pub fn order(&self, seed: u64, step: u64, batch: usize) -> Vec<usize> {
        let n = self.scenes.len();
        let per_epoch = (n / batch) as u64;
        let (epoch, within) = (step / per_epoch, (step % per_epoch) as usize);
        let mut rng = random::stream(seed, "order", epoch);
        let mut order: Vec<usize> = (0..n).collect();
        // Fisher–Yates from the front, as far as this batch reaches.
        for i in 0..(within + 1) * batch {
            let j = i + (random::uniform(&mut rng) * (n - i) as f64) as usize;
            order.swap(i, j);
        }
        order[within * batch..(within + 1) * batch].to_vec()
    }

    /// Pixels `[b, 3, h, w]` and captions of some scenes.
    ///
    /// # Errors
    /// If the backend fails.
    pub fn batch<T: Tensor>(&self, picks: &[usize], device: &T::Device) -> Outcome<(T, TokenBatch)> {
        let scenes: Vec<&Scene> = picks.iter().map(|&i| &self.scenes[i]).collect();
        let captions: Vec<&Vec<u32>> = picks.iter().map(|&i| &self.captions[i]).collect();
        Ok((pixels(&scenes, device)?, TokenBatch::new(&captions, self.tokenizer.pad(), 0)?))
    }
}

/// Scenes as network input `[b, 3, h, w]`.
///
/// # Errors
/// If the backend fails.
pub fn pixels<T: Tensor>(scenes: &[&Scene], device: &T::Device) -> Outcome<T> {
    let Some(first) = scenes.first() else { return Err(Failure::input("batch", "at least one scene")) };
    let (size, area) = (first.size, first.size * first.size);
    let mut values = vec![0.0f32; scenes.len() * 3 * area];
    let by = &Normalisation::IMAGENET;
    values.par_chunks_mut(3 * area).zip(scenes).for_each(|(out, scene)| transform::normalise_into(&scene.rgb, by, out));
    Ok(T::from_host(&values, &[scenes.len(), 3, size, size], device)?)
}
