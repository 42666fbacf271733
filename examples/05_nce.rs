//! Step 5: what trains it all. InfoNCE asks each image to find its caption among those of the batch, and the other way round
//! (paper eq. 5, `crates/model/src/loss/info_nce.rs`).
//!
//! First a model that finds all images and captions equally alike: it guesses one of four, and its loss is log 4 = 1.386, whatever the
//! temperature. That is what any training has to fall below. Then four images and captions as free vectors, 100 steps of AdamW.
//!
//! Expect log 4 for the guess, and a loss at the end that is within a tenth of the least that four pairs can have. `cargo run --release --example 05_nce`

use simseg_cpu::{CpuDevice, CpuTensor};
use simseg_model::nce::info_nce;
use simseg_model::{AdamW, AdamWConfig};
use simseg_tensor::{Autodiff, Differentiable, Init, Ops, Parameter, Result, Tensor};

type T = Autodiff<CpuTensor<f64>>;

/// Cosines of every image with every caption, `[b, b]`.
fn similarity<D: Tensor>(images: &D, captions: &D) -> Result<D> {
    images.l2_normalize()?.matmul(&captions.l2_normalize()?.t()?)
}

pub(crate) fn main() -> Result<()> {
    let draw = |name: &str| Parameter::new(&[4, 8], Init::Normal(1.0)).draw::<T>(0, name, &CpuDevice);
    let mut values = vec![draw("images")?, draw("captions")?];
    let temperature = T::from_host(&[0.5], &[], &CpuDevice)?;
    let alike = T::from_host(&[0.3; 16], &[4, 4], &CpuDevice)?; // every image with every caption
    let guess = info_nce(&alike, &temperature, 0.0)?.item()?;
    println!("guessing   loss {guess:.4} = log 4");
    let mut optimiser = AdamW::new(AdamWConfig::default(), &values)?;
    let mut losses = vec![];
    for step in 0..100 {
        let leaves: Vec<T> = values.iter().map(Differentiable::leaf).collect();
        let loss = info_nce(&similarity(&leaves[0], &leaves[1])?, &temperature, 0.0)?;
        let gradients = loss.grad(&leaves.iter().collect::<Vec<_>>())?;
        values = optimiser.update(&values, &gradients, 0.05)?;
        losses.push(loss.item()?);
        if step % 20 == 0 {
            println!("step {step:>3}   loss {:.4}", losses[step]);
        }
    }
    let cosines = similarity(&values[0], &values[1])?.to_vec::<f64>()?;
    println!("cosines after training, image by caption:");
    for row in cosines.chunks(4) {
        println!("  {row:5.2?}");
    }
    // τ = 0.5 and cosines from −1 to 1: the best that can be is log(1 + 3·e^(−(1 + 1/3)/τ)), a simplex.
    let bound = (1.0 + 3.0 * (-(1.0 + 1.0 / 3.0) / 0.5f64).exp()).ln();
    println!("last loss {:.4}, the least possible {bound:.4}", losses[99]);
    assert!((guess - 4f64.ln()).abs() < 1e-12);
    assert!(losses[99] < 1.1 * bound && losses[99] > bound - 1e-9);
    println!("✓ guessing costs log b; after training every image finds its caption");
    Ok(())
}
