//! `simseg-tensor` where there is no `std`, only `core` and `alloc`: the trait that a backend for such a machine implements, with all formulas
//! and derivatives, and what needs no backend, such as weights in fewer bits and random streams.
//!
//! A program has one panic handler. This crate defines it, so it does not compile if anything below brings `std` and its own.

#![no_std]

extern crate alloc;

use alloc::vec::Vec;
use simseg_tensor::{Narrow, Ops, Result, Tensor, WeightType, random};

#[panic_handler]
fn stopped(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}

/// The cosine of images `[b, d]` and words `[c, d]`, `[b, c]`, on whatever backend the machine has.
///
/// # Errors
/// If the shapes do not fit.
pub fn scores<T: Tensor>(images: &T, words: &T) -> Result<T> {
    images.l2_normalize()?.matmul(&words.l2_normalize()?.t()?)
}

/// A layer without bias, `[o, i] × [i] → [o]`, of weights that are kept in int8 and widened row by row.
pub fn layer(weights: &Narrow, input: &[f32]) -> Vec<f32> {
    let mut row = alloc::vec![0.0; weights.row_len()];
    let rows = weights.count() / weights.row_len().max(1);
    let one = |o| {
        weights.read_row(o, &mut row);
        row.iter().zip(input).map(|(w, x)| w * x).sum()
    };
    (0..rows).map(one).collect()
}

/// Weights to try it with: normal values of a random seed, rounded to int8.
pub fn drawn(seed: u64, outputs: usize, inputs: usize) -> Narrow {
    let mut rng = random::stream(seed, "weights", 0);
    let values: Vec<f32> = (0..outputs * inputs).map(|_| random::normal(&mut rng) as f32).collect();
    Narrow::round(WeightType::Int8, &values, inputs)
}
