//! What the benchmark programs share. Each program is a file of its own in `benches/`; the same work in other systems is in `peers/`.
//!
//! - [`model`]: models of random weights, as a user has them
//! - [`tensors`]: random tensors
//! - [`training`]: a training step on random data
//! - [`peak`]: what this machine can do at most
//! - [`usage`]: what a process used

pub mod model;
pub mod tensors;
pub mod training;
pub mod peak;
pub mod usage;

/// Why a benchmark could not run.
pub type Failure = Box<dyn std::error::Error>;

/// The middle of some values, the upper one of two; `NaN` of none.
pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
