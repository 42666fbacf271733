//! Step 1: a tensor multiplies, broadcasts and selects; and why features are divided by their length before they are compared.
//!
//! A dot product is large where two vectors point the same way *or* where one of them is long. The third patch below is longer than
//! the others: by dot product it is the best patch of both words, though it points at neither. By cosine, the dot product of vectors of
//! length 1, each word finds the patch that points its way.
//!
//! Expect `[2, 2]` as best patches by dot product, `[0, 1]` by cosine. `cargo run --release --example 01_tensor`

use simseg_cpu::{CpuDevice, CpuTensor};
use simseg_tensor::{Ops, Result, Tensor};

/// Every patch with every word. Generic, as all of the library: any backend will do.
fn affinities<T: Tensor>(patches: &T, words: &T) -> Result<T> {
    patches.matmul(&words.t()?) //                                [n, d] · [d, m] → [n, m]
}

/// For each word the patch with the largest value: positions first, then the values at them.
fn best<T: Tensor>(affinities: &T) -> Result<(Vec<usize>, Vec<f64>)> {
    let index = affinities.topk(1, 0)?; //                        [1, m] positions along axis 0
    let values = affinities.gather(0, &index)?; //                [1, m]
    Ok((T::index_to_vec(&index)?, values.to_vec()?))
}

pub(crate) fn main() -> Result<()> {
    type T = CpuTensor<f64>;
    // Three patches and two words in a space of two channels.
    let patches = T::from_host(&[2.0, 0.0, 0.0, 1.0, 3.0, 4.0], &[3, 2], &CpuDevice)?;
    let words = T::from_host(&[1.0, 0.0, 0.0, 1.0], &[2, 2], &CpuDevice)?;

    let dots = affinities(&patches, &words)?; //                  [3, 2]
    println!("dot products          {:?}", dots.to_vec::<f64>()?);

    // Broadcasting is explicit underneath: [3, 2] divided by lengths [3, 1].
    let unit = patches.div(&patches.norm()?)?; //                 [3, 2]
    let cosines = affinities(&unit, &words)?; //                  [3, 2]
    println!("cosines               {:?}", cosines.to_vec::<f64>()?);

    let (by_dot, by_cosine) = (best(&dots)?, best(&cosines)?);
    println!("best patch per word   by dot product {:?}, by cosine {:?}", by_dot.0, by_cosine.0);

    assert_eq!(cosines.to_vec::<f64>()?, [1.0, 0.0, 0.0, 1.0, 0.6, 0.8]); // the third patch is a 3-4-5 triangle
    assert_eq!((by_dot.0, by_cosine.0), (vec![2, 2], vec![0, 1]));
    println!("✓ the long patch wins every dot product, and no cosine");
    Ok(())
}
