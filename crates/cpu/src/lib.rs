//! The reference backend: plain loops over rows, ndarray's strided views, rayon's threads, matrixmultiply's product.
//!
//! Reading order, one file per family: `scalar` (f32 and f64), `storage` (buffers that are used again),
//! `tensor` (shape, strides, and the trait), `walk` (elementwise over any layout), `contraction` (and `product`, its blocks, copies
//! and kernels), `selection`, `fused` (the hooks, written as one pass each), `path` (which instructions compute) and `simd` (how
//! loops reach wide registers).
//!
//! **Deterministic by contract.** No sum is cut by the number of threads: work is cut into outputs, or, where a sum runs over
//! millions of rows, into fixed blocks whose partial sums are added in order. One thread and sixteen give the same bits.

mod path;
mod simd;
mod scalar;
mod storage;
mod tensor;
mod walk;
mod product;
mod contraction;
mod selection;
mod fused;

/// The memory behind tensors: how much is in use, and how much may wait to be used again.
pub mod arena {
    pub use crate::storage::{Usage, bound, usage};
}
pub use path::{Path, VARIABLE as PATH_VARIABLE};
pub use scalar::Scalar;
pub use tensor::{CpuDevice, CpuIndex, CpuTensor};
