//! Step 1: a tensor multiplies, broadcasts and selects. Everything later is made of these.
//!
//! `cargo run --release --example 01_tensor`

use simseg_cpu::{CpuDevice, CpuTensor};
use simseg_tensor::{Ops, Result, Tensor};

/// Generic, as all of the library: any backend will do.
fn affinities<T: Tensor>(patches: &T, words: &T) -> Result<T> {
    patches.matmul(&words.t()?) //                                [n, d] × [d, m] → [n, m]
}

pub(crate) fn main() -> Result<()> {
    type T = CpuTensor<f64>;
    // Three patches and two words in a space of two channels.
    let patches = T::from_host(&[2.0, 0.0, 0.0, 1.0, 3.0, 4.0], &[3, 2], &CpuDevice)?;
    let words = T::from_host(&[1.0, 0.0, 0.0, 1.0], &[2, 2], &CpuDevice)?;

    let raw = affinities(&patches, &words)?; //                   [3, 2]
    println!("patch · word          {:?}", raw.to_vec::<f64>()?);

    // Broadcasting is explicit underneath: [3, 2] divided by norms [3, 1].
    let unit = patches.div(&patches.norm()?)?; //                 [3, 2]
    let cosine = affinities(&unit, &words)?;
    println!("cosine                {:?}", cosine.to_vec::<f64>()?);

    // Selection: where is each word's best patch? Positions first, then the values at them.
    let best = raw.topk(1, 0)?; //                                [1, 2] positions along axis 0
    let values = raw.gather(0, &best)?; //                        [1, 2]
    println!("best patch per word   {:?}: {:?}", T::index_to_vec(&best)?, values.to_vec::<f64>()?);

    assert_eq!(cosine.to_vec::<f64>()?, [1.0, 0.0, 0.0, 1.0, 0.6, 0.8]);
    assert_eq!(values.to_vec::<f64>()?, [3.0, 4.0]);
    println!("✓ the third patch is 3-4-5: cosines 0.6 and 0.8, and it is both words' best");
    Ok(())
}
