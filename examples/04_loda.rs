//! Step 4: which patches count? Dense alignment averages all of them; LoDA (locality-driven alignment) averages, channel by
//! channel, the top-k responses.
//!
//! An image of 16 patches: 14 are sea, 2 are fish. Channel 0 responds to sea, channel 1 to fish. In the mean the sea
//! outweighs the fish 7 to 1; in the per-channel maximum both count alike (paper §3.2, eq. 2–4).
//!
//! Expect the fish to score 1/√50 = 0.141 by dense alignment, 1/√2 = 0.707 by LoDA with k = 2, and with k = 16, all patches, what dense
//! says. `cargo run --release --example 04_loda`

use simseg_cpu::{CpuDevice, CpuTensor};
use simseg_model::pool::loda::top_k_mean;
use simseg_model::pool::{Dense, Loda, Padding};
use simseg_model::{Aligner, Side, Tokens};
use simseg_tensor::{Ops, Result, Tensor};

type T = CpuTensor<f64>;

pub(crate) fn main() -> Result<()> {
    let (sea, fish) = ([1.0, 0.0], [0.0, 1.0]);
    let mut patches = vec![[0.0, 0.0]]; // the [CLS] token, which neither of the two uses
    patches.extend((0..16).map(|i| if i == 5 || i == 6 { fish } else { sea }));
    let image = Tokens { values: T::from_host(&patches.concat(), &[1, 17, 2], &CpuDevice)?, lengths: None };
    let word = T::from_host(&fish, &[2, 1], &CpuDevice)?; // the caption says "fish"

    let loda = |k| Loda { image_k: k, text_k: 1, padding: Padding::PerCaption };
    let mut scores = vec![];
    let aligners: [(&str, &dyn Aligner<T>); 4] =
        [("dense", &Dense {}), ("LoDA, k = 8", &loda(8)), ("LoDA, k = 2", &loda(2)), ("LoDA, k = 16", &loda(16))];
    for (name, aligner) in aligners {
        let z = aligner.pool(Side::Image, &image)?; //            [1, 2], norm 1
        let score = z.matmul(&word)?.item()?;
        println!("{name:<13} z = {:.3?}   z · fish = {score:.3}", z.to_vec::<f64>()?);
        scores.push(score);
    }
    assert!(scores[2] > 4.0 * scores[0], "the object counts");
    assert!((scores[3] - scores[0]).abs() < 1e-12, "LoDA with k = n is dense");

    // The paper states eq. 4 as a mean over all pairs of kept rows; it is the dot of two means.
    let x = T::from_host(&[0.3, -1.0, 2.0, 0.5, 1.1, 0.2, -0.4, 0.9], &[1, 4, 2], &CpuDevice)?;
    let y = T::from_host(&[1.0, 0.1, -0.2, 2.0, 0.7, 0.3], &[1, 3, 2], &CpuDevice)?;
    let rows = |t: &T, k| t.gather(1, &t.topk(k, 1)?)?.to_vec::<f64>(); // the first k after sorting each channel
    let (u, v) = (rows(&x, 3)?, rows(&y, 2)?);
    let pairs: f64 = u.chunks(2).flat_map(|u| v.chunks(2).map(move |v| u[0] * v[0] + u[1] * v[1])).sum();
    let (zx, zy) = (top_k_mean(&x, 3, None)?, top_k_mean(&y, 2, None)?);
    let dot = zx.matmul(&zy.t()?)?.item()?;
    println!("eq. 4 over pairs      {:.6}\nas a dot of two means {dot:.6}", pairs / 6.0);
    assert!((pairs / 6.0 - dot).abs() < 1e-12);
    println!("✓ LoDA finds the fish; k = n is dense; eq. 4 is the dot of the pools");
    Ok(())
}
