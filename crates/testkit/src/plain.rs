//! A backend without its hooks: forwards the required methods only, so every hook runs as its formula.
//!
//! `Plain<T>` against `T` shows that an override equals the text that a student reads.

use crate::wrapper::{differentiate_inside, forward};
use simseg_tensor::{Binary, Element, Result, Tensor, Unary};

/// A backend's primitives.
#[derive(Debug, Clone)]
pub struct Plain<T>(pub T);

impl<T: Tensor> Tensor for Plain<T> {
    forward!(host unary binary matmul sum movement selection);
}

differentiate_inside!(Plain);
