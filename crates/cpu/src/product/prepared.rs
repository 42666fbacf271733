//! A right operand copied once for all products: the weights of a model that only computes.
//!
//! Copying takes about as long as 20 rows of the product do, so it costs 6% of a picture's 325 tokens and most of a short text's 10.

use super::panel::{Panels, SPARE, aligned, aligned_mut};
use super::{Kernel, Product, Right};
use crate::scalar::Scalar;
use ndarray::{ArrayView2, ArrayViewMut2};

/// A right operand `[k, n]` in panels.
#[derive(Debug)]
pub struct Prepared<A: Scalar> {
    kernel: &'static Kernel<A>,
    dim: [usize; 2],
    /// Of the matrix that was copied.
    strides: [isize; 2],
    /// Not a [`crate::storage::Buffer`]: weights stay, and would let the pool hold as much again for others.
    values: Vec<A>,
}

impl<A: Scalar> Prepared<A> {
    /// Copies a matrix.
    pub(crate) fn new(kernel: &'static Kernel<A>, b: &ArrayView2<A>) -> Self {
        let dim = [b.nrows(), b.ncols()];
        let len = Panels::len(kernel, dim);
        let mut values = vec![A::default(); len + SPARE];
        Panels::fill(kernel, b, aligned_mut(&mut values, len), true);
        Self { kernel, dim, strides: [b.strides()[0], b.strides()[1]], values }
    }

    /// Whether it is a copy of this view of the matrix, and not of its transpose, say.
    pub(crate) fn is_of(&self, b: &ArrayView2<A>) -> bool {
        b.shape() == self.dim && b.strides() == self.strides
    }

    /// `c = a·b`, plus `bias` in every row: to the bit what [`super::product`] gives for the matrix itself.
    ///
    /// # Panics
    /// As [`super::multiply`].
    pub(crate) fn product(&self, a: &ArrayView2<A>, bias: Option<&[A]>, c: ArrayViewMut2<A>) {
        let panels = Panels::of(aligned(&self.values, Panels::len(self.kernel, self.dim)), self.dim);
        Product { kernel: self.kernel, alpha: A::lit(1.0), a, bias }.blocks(Right::Panels(panels), c);
    }
}
