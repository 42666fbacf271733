//! Names and shapes of everything that a tap sees between a picture and its label map: the glossary of the book is held to this list.
//!
//! Digits stand for positions: `<i>` a block, a layer or a class, `<t>` a round of the CRF. `cargo run --release --example taps`

use simseg::{Model, Recipe};
use simseg_cpu::CpuTensor;
use simseg_data::{SceneConfig, World};
use simseg_model::TokenBatch;
use simseg_tensor::{Result, Tap, Tensor};
use std::path::Path;

type T = CpuTensor<f32>;

/// Keeps each name once, with the shape that came first.
#[derive(Default)]
struct Names(Vec<(String, Vec<usize>)>);

impl Names {
    fn add(&mut self, name: &str, shape: &[usize]) -> Result<()> {
        let part = |part: &str| if part.parse::<usize>().is_ok() { "<i>".to_owned() } else { part.to_owned() };
        let name = name.split('/').map(part).collect::<Vec<_>>().join("/").replace("<i>/<i>", "<t>/<i>");
        if !self.0.iter().any(|(known, _)| *known == name) {
            self.0.push((name, shape.to_vec()));
        }
        Ok(())
    }
}

impl Tap<T> for Names {
    fn wants(&self, _: &str) -> bool {
        true
    }
    fn see(&mut self, name: &str, value: &T) -> Result<()> {
        self.add(name, value.shape())
    }
    fn see_host(&mut self, name: &str, shape: &[usize], _: &[f32]) -> Result<()> {
        self.add(name, shape)
    }
    fn see_mask(&mut self, name: &str, shape: &[usize], _: &[u8]) -> Result<()> {
        self.add(name, shape)
    }
    fn see_labels(&mut self, name: &str, shape: &[usize], _: &[u16]) -> Result<()> {
        self.add(name, shape)
    }
}

fn main() -> simseg::Result<()> {
    let model = Model::open(Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/tiny"))?;
    let mut recipe = Recipe::official_code();
    recipe.input.size = 64; // as the model was trained
    let model = model.with_recipe(recipe)?;
    let world = World::new(SceneConfig { bias: 0.0, second_object: 0.0, ..SceneConfig::default() }, 2_000_000)?;
    let scene = world.scene(0);
    let mut names = Names::default();

    let caption = model.tokenizer().encode(&scene.caption, 25)?;
    let caption = TokenBatch::new(&[caption], model.tokenizer().pad(), 0)?;
    model.network().encode_text(&caption, &mut names)?;
    model.segment_tapped(&scene.picture(), &model.words(World::classes())?, &mut names)?;
    for (name, shape) in names.0 {
        println!("{name:<22} {shape:?}");
    }
    Ok(())
}
