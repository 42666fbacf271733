//! Step 3: an encoder turns an image into tokens, one per patch and a \[CLS\] token for the whole.
//!
//! A ViT cuts the image into squares, lays each flat, multiplies it with the patch kernel, adds where it was, and lets all
//! tokens attend to each other, block by block (`crates/model/src/vit.rs`). A tap sees every named intermediate.
//!
//! `cargo run --release --example 03_encoder`

use simseg_cpu::{CpuDevice, CpuTensor};
use simseg_model::vit::{Vit, VitConfig};
use simseg_model::{Architecture, Encoder};
use simseg_tensor::{NoTap, Ops, Result, Tap, Tensor};

type T = CpuTensor<f32>;

/// Prints what comes by.
struct Printer;

impl Tap<T> for Printer {
    fn see(&mut self, name: &str, value: &T) -> Result<()> {
        println!("  {name:<16} {:?}", value.shape());
        Ok(())
    }
}

pub(crate) fn main() -> Result<()> {
    let config = VitConfig { image_size: 32, patch: 8, width: 24, depth: 2, heads: 3 };
    let vit: Vit<T> = Vit::layout(config).map("vit", &mut |name, p| p.draw(0, name, &CpuDevice))?;

    // A dark image with one bright square, in the second patch of the first row.
    let pixel = |i: usize| if i / 32 % 32 < 8 && (8..16).contains(&(i % 32)) { 1.0f32 } else { 0.0 };
    let image = T::from_host(&(0..3 * 32 * 32).map(pixel).collect::<Vec<_>>(), &[1, 3, 32, 32], &CpuDevice)?;
    println!("pixels             {:?}, 4×4 patches of 8×8", image.shape());
    let tokens = vit.encode(&image, &mut Printer)?.values;

    // The same image beside another: each item stands by itself.
    let pair = T::concat(&[&image.scale(-1.0)?, &image], 0)?;
    let second = vit.encode(&pair, &mut NoTap)?.values.slice(0, 1, 1)?;
    let apart = tokens.sub(&second)?.to_f32()?.iter().fold(0.0f32, |m, x| m.max(x.abs()));
    assert_eq!(tokens.shape(), [1, 1 + 16, 24]);
    assert!(apart < 1e-5, "{apart}");
    println!("✓ 16 patches and a [CLS] token; a neighbour in the batch changes nothing ({apart:.0e})");

    // A whole model has a text encoder too, and projects both into one space.
    let count: usize = released().parameters().iter().map(|(_, p)| p.shape.iter().product::<usize>()).sum();
    println!("  (SimSeg with ViT-B/16 and BERT-base has {:.0} million parameters)", count as f64 / 1e6);
    Ok(())
}

/// The released architecture.
fn released() -> simseg_model::ModelConfig {
    use simseg_model::bert::BertConfig;
    simseg_model::ModelConfig {
        image: VitConfig { image_size: 224, patch: 16, width: 768, depth: 12, heads: 12 },
        text: BertConfig {
            vocabulary: 30522,
            positions: 512,
            types: 2,
            width: 768,
            intermediate: 3072,
            depth: 12,
            heads: 12,
        },
        projection: 512,
        temperature: 0.02,
    }
}
