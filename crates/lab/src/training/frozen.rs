//! Frozen towers say the same of a pair at every step: asked once, their features are kept on disk, and steps read them instead.
//!
//! What is kept comes before the projection, which may go on learning. A file is named by the hash of everything that its values depend on: the
//! tower's weights, its input, the numbers they are kept in, and what computed them. Where the input is another at every step (augmented images,
//! dropped words) there is nothing to keep, and the plan says so.

use super::corpus::Corpus;
use super::features::{Chunk, Features};
use super::state::State;
use crate::experiment::Settings;
use crate::experiment::training::FrozenFeatures;
use crate::failure::{Failure, Outcome};
use crate::progress::Steps;
use rayon::prelude::*;
use simseg::hash::Hasher;
use simseg_data::atomic;
use simseg_data::transform::Draw;
use simseg_model::{Architecture, Network, NetworkConfig, Parameters, Side, TokenBatch};
use simseg_tensor::{Ops, Tensor};
use std::path::PathBuf;

/// Part of every name: raise it when features change for the same input.
const VERSION: &str = "simseg frozen features 1";

/// Where features are kept, and for what data and program.
#[derive(Debug, Clone)]
pub struct Place {
    /// The folder.
    pub folder: PathBuf,
    /// The content of the training data, and what computes.
    pub identity: String,
}

/// Features of frozen towers.
#[derive(Debug, Default)]
pub struct Frozen {
    /// Of images.
    pub image: Option<Features>,
    /// Of captions.
    pub text: Option<Features>,
}

/// A frozen tower, and why its features cannot be kept, if they cannot.
pub type Tower = (Side, Option<&'static str>);

/// The towers all of whose parameters before the projection are frozen; `trained` has one entry for each parameter.
pub fn towers<V: Clone>(
    settings: &Settings,
    parameters: &Parameters<V>,
    trained: &[bool],
    network: &dyn Architecture,
) -> Vec<Tower> {
    let is_frozen = |side: Side| {
        let own = parameters
            .names()
            .zip(trained)
            .filter(|(name, _)| network.side(name) == Some(side) && !network.projects(name));
        let mut own = own.map(|(_, trained)| *trained).peekable();
        own.peek().is_some() && own.all(|trained| !trained)
    };
    let padding: Option<String> = settings.aligner.get("padding");
    let why = |side: Side| match side {
        Side::Image if !settings.training.augment.is_empty() => Some("images are augmented"),
        Side::Image if settings.training.mixup > 0.0 => Some("images are mixed"),
        Side::Text if settings.training.caption_noise > 0.0 => Some("captions are changed by noise"),
        Side::Text if settings.training.text_dropout > 0.0 => Some("training.text_dropout drops values"),
        Side::Text if padding.as_deref() == Some("compete") => Some("padding takes part in the aligner's pool"),
        _ => None,
    };
    [Side::Image, Side::Text].into_iter().filter(|side| is_frozen(*side)).map(|side| (side, why(side))).collect()
}

/// A side for people.
pub fn name(side: Side) -> &'static str {
    match side {
        Side::Image => "image",
        Side::Text => "text",
    }
}

impl Frozen {
    /// Features of the towers that the settings want kept: read if they are there, else computed.
    ///
    /// # Errors
    /// If they cannot be computed or written, or are more than may be kept.
    pub fn of<T: Tensor>(
        settings: &Settings,
        state: &State<T>,
        (config, corpus): (&dyn NetworkConfig<T>, &Corpus),
        place: &Place,
        device: &T::Device,
    ) -> Outcome<Self> {
        let mut frozen = Self::default();
        let Some(asked) = settings.training.frozen_features else { return Ok(frozen) };
        for (side, why_not) in towers(settings, &state.parameters, &state.trained, config) {
            if why_not.is_some() {
                continue;
            }
            let features = kept(settings, asked, side, state, (config, corpus), place, device)?;
            match side {
                Side::Image => frozen.image = Some(features),
                Side::Text => frozen.text = Some(features),
            }
        }
        Ok(frozen)
    }
}

fn kept<T: Tensor>(
    settings: &Settings,
    asked: FrozenFeatures,
    side: Side,
    state: &State<T>,
    (config, corpus): (&dyn NetworkConfig<T>, &Corpus),
    place: &Place,
    device: &T::Device,
) -> Outcome<Features> {
    let key = key(settings, asked, side, state, (config, corpus), place)?;
    let path = place.folder.join(format!("{}-{key}.features", name(side)));
    if let Some(features) = Features::open(&path, corpus.len(), asked.numbers) {
        return Ok(features);
    }
    atomic::folder(&place.folder)?;
    let network = config.build(&state.parameters)?;
    let bar = Steps::new(format!("{} features", name(side)), 1.0, "pairs");
    bar.start(corpus.len() as u64, 0);
    let most = (asked.max_gigabytes * 1e9) as u64;
    Features::make(&path, corpus.len(), (asked.numbers, most), |start, end| {
        let chunk = match side {
            Side::Image => images(corpus, start..end, &*network, device),
            Side::Text => captions(corpus, start..end, &*network),
        };
        bar.to(end as u64, None);
        chunk
    })?;
    bar.finish();
    let features = Features::open(&path, corpus.len(), asked.numbers);
    let features = features.ok_or_else(|| Failure::file(&path, "was changed while it was written"))?;
    let megabytes = features.size() as f64 / 1e6;
    crate::output::note!("features of the frozen {} tower: {megabytes:.1} MB, {}", name(side), path.display());
    Ok(features)
}

/// The hash of all that features depend on.
fn key<T: Tensor>(
    settings: &Settings,
    asked: FrozenFeatures,
    side: Side,
    state: &State<T>,
    (config, corpus): (&dyn NetworkConfig<T>, &Corpus),
    place: &Place,
) -> Outcome<String> {
    let mut hash = Hasher::new();
    let training = &settings.training;
    let about = format!(
        "{VERSION}\n{side:?} {:?}\n{:?}\n{}\n{:?}\n",
        asked.numbers, settings.model, place.identity, training.data
    );
    hash.update(about.as_bytes());
    for (name, value) in
        state.parameters.iter().filter(|(name, _)| config.side(name) == Some(side) && !config.projects(name))
    {
        hash.update(name.as_bytes());
        for value in value.to_f32()? {
            hash.update(&value.to_le_bytes());
        }
    }
    if side == Side::Text {
        for index in 0..corpus.len() {
            let caption = corpus.caption(index);
            hash.update(&(caption.len() as u64).to_le_bytes());
            for token in caption {
                hash.update(&token.to_le_bytes());
            }
        }
    }
    Ok(hash.finalize().to_hex()[..16].to_owned())
}

/// Tokens of some images; none of those that cannot be read.
fn images<T: Tensor>(
    corpus: &Corpus,
    part: std::ops::Range<usize>,
    network: &dyn Network<T>,
    device: &T::Device,
) -> Outcome<Chunk> {
    let (side, items) = (corpus.side(), part.len());
    let mut pixels = vec![0.0f32; items * 3 * side * side];
    let draw = Draw { seed: 0, epoch: 0 }; // nothing is drawn: images are not augmented
    let rows = pixels.par_chunks_mut(3 * side * side).zip(part);
    let read: Vec<bool> = rows.map(|(out, index)| corpus.pixels(index, draw, out).is_ok()).collect();
    let features = network.image_features(&T::from_host(&pixels, &[items, 3, side, side], device)?)?;
    let [_, n, d] = features.values.dims()?;
    let values = features.values.to_f32()?;
    let tokens = values.chunks(n * d).zip(&read).map(|(values, read)| if *read { values.to_vec() } else { vec![] });
    Ok((tokens.collect(), d))
}

/// Tokens of some captions, without padding.
fn captions<T: Tensor>(corpus: &Corpus, part: std::ops::Range<usize>, network: &dyn Network<T>) -> Outcome<Chunk> {
    let captions: Vec<&[u32]> = part.map(|index| corpus.caption(index)).collect();
    let features = network.text_features(&TokenBatch::new(&captions, corpus.tokenizer.pad(), 0)?)?;
    let [b, m, d] = features.values.dims()?;
    let lengths = features.lengths.unwrap_or(vec![m; b]);
    let values = features.values.to_f32()?;
    let tokens = values.chunks(m * d).zip(lengths).map(|(values, length)| values[..length * d].to_vec());
    Ok((tokens.collect(), d))
}
