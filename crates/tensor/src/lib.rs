//! What a tensor must do, the formulas built on it, and the derivative table.
//!
//! Reading order: [`error`], [`tensor`] (the trait), [`contract`] (its rules), [`ops`] (formulas), [`hooks`] (formulas a backend may fuse),
//! [`autodiff`] (gradients for any backend) with its table in [`adjoint`], [`parameters`], [`narrow`] (weights in fewer bits), [`random`].

#![no_std]

#[macro_use]
extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

#[cfg(not(feature = "std"))]
mod real;
pub mod error;
pub mod tensor;
pub mod contract;
pub mod ops;
pub mod hooks;
pub mod adjoint;
pub mod autodiff;
pub mod parameters;
pub mod narrow;
pub mod random;
pub mod parallel;
pub mod tap;
pub mod normalisation;

pub use autodiff::Autodiff;
pub use error::{Error, Result};
pub use narrow::{Narrow, WeightType};
pub use normalisation::Normalisation;
pub use ops::Ops;
pub use parameters::{Init, Parameter};
pub use tap::{NoTap, Tap};
pub use tensor::{AdamWStep, Attention, Binary, Differentiable, Element, PADDING, Shared, SharedSlice, Tensor, Unary};
