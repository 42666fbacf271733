//! The libtorch backend: every primitive and fused hook by libtorch's own kernels, gradients by its own autograd.
//!
//! Reading order: `device` (where and in which precision, CUDA loaded when asked for), `tensor` (the trait), then
//! `elementwise`, `selection`, `fused` (one file per family), `adamw`, `autograd`.
//!
//! The crate is empty without the feature `libtorch`: `cargo test --workspace` then means the same on every machine, and
//! one lock file, one set of profiles and one target directory serve the builds with and without it.
//! `docs/libtorch.md` says how to build it, `cargo xtask test` does.
//!
//! What differs from the CPU backend, by contract: the order of ties in `topk` is libtorch's; sums on CUDA that add at
//! repeated positions (`scatter_add`, `rows_add`) are not bit-reproducible; threads are libtorch's (`set_threads`).
#![cfg(feature = "libtorch")]

pub mod device;
pub mod tensor;
mod elementwise;
mod selection;
mod fused;
mod adamw;
pub mod autograd;

pub use device::{Precision, TchDevice, device, set_threads};
pub use tensor::{TchIndex, TchTensor};

use simseg_tensor::Error;

/// libtorch's result as ours. Its messages carry a C++ stack trace from the second line on, which nobody asked for.
fn ours<R>(result: Result<R, tch::TchError>) -> simseg_tensor::Result<R> {
    result.map_err(|error| backend(error.to_string().lines().next().unwrap_or_default()))
}

/// An error of the backend itself.
fn backend(message: impl Into<String>) -> Error {
    Error::Backend { backend: "libtorch", message: message.into() }
}
