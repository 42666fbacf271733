//! Step 3: an encoder turns an image into features, one vector per patch and a \[CLS\] token for the whole.
//!
//! A ViT cuts the image into squares, lays each flat, multiplies it with the patch kernel, adds where it was, and lets all tokens attend to
//! each other, block by block (`crates/model/src/vit.rs`). A projection brings patches into the space that they share with words. A tap
//! sees every named intermediate. The model is `fixtures/tiny`, trained on captions; no one told it where objects are.
//!
//! Expect patches of the object to resemble each other more than they resemble the rest. `cargo run --release --example 03_encoder`

use simseg::Model;
use simseg_cpu::CpuTensor;
use simseg_data::{SceneConfig, World};
use simseg_tensor::{Ops, Result, Tap, Tensor};
use std::path::Path;

type T = CpuTensor<f32>;

/// Prints what comes by.
struct Printer;

impl Tap<T> for Printer {
    fn see(&mut self, name: &str, value: &T) -> Result<()> {
        println!("  {name:<16} {:?}", value.shape());
        Ok(())
    }
}

pub(crate) fn main() -> simseg::Result<()> {
    let model = Model::open(Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/tiny"))?;
    let world = World::new(SceneConfig { bias: 0.0, second_object: 0.0, ..SceneConfig::default() }, 2_000_000)?;
    let scene = world.scene(0);
    println!("the scene: “{}”, {}×{} pixels", scene.caption, scene.size, scene.size);

    // image/pixels are the input, image/tokens [CLS] and 8×8 patches of 8×8 pixels, image/patches their projections.
    let image = model.features(&[scene.picture()], &mut Printer)?.remove(0);
    let unit = image.patches.l2_normalize()?; //                       [64, d]
    let cosines = unit.matmul(&unit.t()?)?.to_f32()?; //               [64, 64]

    // A patch belongs to the object if the object covers its centre.
    let covered = |p: usize| scene.labels[(p / 8 * 8 + 4) * scene.size + p % 8 * 8 + 4] != 0;
    let (inside, outside): (Vec<usize>, Vec<usize>) = (0..64).partition(|&p| covered(p));
    let chosen = inside[inside.len() / 2];
    println!("cosines of all patches with patch {chosen}, which lies on the object (in brackets: on the object, too)");
    for row in 0..8 {
        let cell = |p: usize| {
            let [open, close] = if covered(p) { ['[', ']'] } else { [' ', ' '] };
            format!("{open}{:5.2}{close}", cosines[chosen * 64 + p])
        };
        println!("  {}", (8 * row..8 * row + 8).map(cell).collect::<String>());
    }

    let mean = |from: &[usize], to: &[usize]| {
        let pairs = from.iter().flat_map(|&p| to.iter().map(move |&q| (p, q))).filter(|(p, q)| p != q);
        let (sum, count) = pairs.fold((0.0, 0), |(sum, count), (p, q)| (sum + cosines[p * 64 + q], count + 1));
        sum / count as f32
    };
    let (alike, apart) = (mean(&inside, &inside), mean(&inside, &outside));
    println!("mean cosine: object with object {alike:.2}, object with the rest {apart:.2}");
    assert_eq!(unit.shape()[0], 64);
    assert!(alike > apart + 0.1, "{alike} {apart}");
    println!("✓ patches of the object resemble each other: where it is can be read off its features");
    Ok(())
}
