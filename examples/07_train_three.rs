//! Step 7: train three aligners on the same pairs, and ask each where things are.
//!
//! Encoders (3), a pool (4), InfoNCE (5), AdamW. What differs is one word, the aligner. Captions name the context more reliably than
//! objects, so a mean over patches can match pairs by texture; LoDA's strongest responses need not.
//!
//! Expect LoDA to point at objects more than 1.5 times as often as dense alignment. `cargo run --release --example 07_train_three`

use simseg::{Loaded, Model, ModelDescription, Registry};
use simseg_cpu::{CpuDevice, CpuTensor};
use simseg_data::{Scene, SceneConfig, Tokenizer, World, transform};
use simseg_model::bert::BertConfig;
use simseg_model::vit::VitConfig;
use simseg_model::{AdamW, AdamWConfig, ModelConfig, Parameters, Stage, TokenBatch, nce};
use simseg_registry::Choice;
use simseg_segment::metrics::pointing::points_at;
use simseg_tensor::{Autodiff, Differentiable, NoTap, Tensor};
use std::sync::Arc;

type Plain = CpuTensor<f32>;
type T = Autodiff<Plain>;

/// A small model that has learned with this aligner: so many steps of 32 pairs.
pub(crate) fn learned(aligner: &Choice, steps: u64) -> simseg::Result<Model> {
    let (registry, words) = (Registry::<T>::built_in(), Tokenizer::from_words(World::words())?);
    let image = VitConfig { image_size: 64, patch: 8, width: 32, depth: 1, heads: 2 };
    let (vocabulary, width, intermediate) = (words.vocabulary(), 32, 128);
    let text = BertConfig { vocabulary, positions: 25, types: 2, width, intermediate, depth: 1, heads: 2 };
    let model = ModelConfig { image, text, projection: 32, temperature: 0.05 }.choice();
    let description = ModelDescription { model, aligner: aligner.clone() };
    let (network, aligner) = (description.network(&registry)?, registry.model.aligners.build(aligner)?);
    let mut parameters: Parameters<T> = description.layout(&registry)?.draw(0, &CpuDevice)?;
    let mut optimiser = AdamW::new(AdamWConfig::default(), parameters.values())?;
    let world = World::new(SceneConfig::default(), 0)?;
    for step in 0..steps {
        let scenes = world.scenes(step * 32..(step + 1) * 32);
        let pixels = scenes.iter().flat_map(|scene| transform::normalise(&scene.picture(), &network.normalisation()));
        let pixels = T::from_host(&pixels.collect::<Vec<f32>>(), &[32, 3, 64, 64], &CpuDevice)?;
        let captions = scenes.iter().map(|scene| words.encode(&scene.caption, 25)).collect::<Result<Vec<_>, _>>()?;
        let captions = TokenBatch::new(&captions, words.pad(), 0)?;
        let leaves: Vec<T> = parameters.values().iter().map(Differentiable::leaf).collect();
        let known = parameters.with(leaves.clone())?;
        let net = network.build(&known)?;
        let (image, text) = (net.encode_image(&pixels, &mut NoTap)?, net.encode_text(&captions, &mut NoTap)?);
        let s = aligner.build(Stage::Training, &known)?.similarity(&image, &text)?; //      [b, b]
        let loss = nce::info_nce(&s, &net.temperature()?, 0.0)?;
        let gradients = loss.grad(&leaves.iter().collect::<Vec<_>>())?;
        let moved = optimiser.update(parameters.values(), &gradients, 4e-3)?;
        parameters = parameters.with(moved.iter().map(Differentiable::detach).collect())?;
    }
    let parameters = parameters.with(parameters.values().iter().map(Differentiable::plain).collect())?;
    let loaded = Loaded { description, parameters, tokenizer: words, rounded: None };
    Model::assemble(loaded, None, Arc::new(Registry::built_in()), &CpuDevice)
}

/// The share of objects on which the map of their class peaks.
fn points(model: &Model, scenes: &[Scene]) -> simseg::Result<f64> {
    let (words, mut hits, mut objects) = (model.words(World::classes())?, 0, 0);
    for scene in scenes {
        let image = model.features(&[scene.picture()], &mut NoTap)?.remove(0);
        let classes: Vec<usize> = scene.objects.iter().map(|object| object.class.into()).collect();
        let maps = model.segmenter().maps(model.view(&image, &words), &classes)?;
        let truth: Vec<u16> = scene.labels.iter().map(|&label| label.into()).collect();
        let on = |(c, map): (&usize, &Vec<f32>)| points_at(map, image.input, &truth, image.output, *c as u16);
        (hits, objects) = (hits + classes.iter().zip(&maps).filter(|pair| on(*pair)).count(), objects + classes.len());
    }
    Ok(hits as f64 / objects as f64)
}

pub(crate) fn main() -> simseg::Result<()> {
    let unbiased = World::new(SceneConfig { bias: 0.0, ..SceneConfig::default() }, 1)?.scenes(0..40);
    let mut share = vec![];
    let loda = Choice::new("loda").with("image_k", 3).with("text_k", 1);
    for aligner in [Choice::new("holistic"), Choice::new("dense"), loda] {
        share.push(points(&learned(&aligner, 60)?, &unbiased)?);
        println!("{:<9} points at {:.0}% of the objects", aligner.kind, 100.0 * share[share.len() - 1]);
    }
    assert!(share[2] > 1.5 * share[1], "{share:?}");
    println!("✓ LoDA points at objects more than 1.5 times as often as dense alignment");
    Ok(())
}
