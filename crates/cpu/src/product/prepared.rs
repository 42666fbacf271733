//! A right operand copied once for all products: the weights of a model that only computes.
//!
//! Copying takes about as long as 20 rows of the product do, so it costs 6% of a picture's 325 tokens and most of a short text's 10.

use super::dots::Dots;
use super::narrow::NarrowCopy;
use super::panel::{Panels, SPARE, aligned, aligned_mut};
use super::{Kernel, Product, Right};
use crate::scalar::Scalar;
use ndarray::{ArrayView2, ArrayViewMut2};
use simseg_tensor::Narrow;

/// A right operand `[k, n]` in panels.
#[derive(Debug)]
pub struct Prepared<A: Scalar> {
    kernel: &'static Kernel<A>,
    dim: [usize; 2],
    /// Of the matrix that was copied.
    strides: [isize; 2],
    values: Values<A>,
}

#[derive(Debug)]
enum Values<A: 'static> {
    /// Not a [`crate::storage::Buffer`]: weights stay, and would let the pool hold as much again for others.
    Wide(Vec<A>),
    /// In fewer bits.
    Narrow(NarrowCopy),
    /// In fewer bits, for products whose other operand is rounded as well.
    Dots(Dots<A>),
}

impl<A: Scalar> Prepared<A> {
    /// Copies a matrix.
    pub(crate) fn new(kernel: &'static Kernel<A>, b: &ArrayView2<A>) -> Self {
        let dim = [b.nrows(), b.ncols()];
        let len = Panels::len(kernel, dim);
        let mut values = vec![A::default(); len + SPARE];
        Panels::fill(kernel, b, aligned_mut(&mut values, len), true);
        Self { kernel, dim, strides: [b.strides()[0], b.strides()[1]], values: Values::Wide(values) }
    }

    /// Copies a weight `[n, k]` as the right operand `[k, n]`, in as few bits as it has.
    pub(crate) fn narrow(kernel: &'static Kernel<A>, weight: &Narrow, dim: [usize; 2]) -> Self {
        let dot = if weight.rounds_inputs() { A::dot(weight.kind()) } else { None };
        let values = match dot {
            Some(dot) => Values::Dots(Dots::new(dot, weight, dim)),
            None => Values::Narrow(NarrowCopy::new(kernel, weight, dim)),
        };
        Self { kernel, dim, strides: [1, dim[0] as isize], values }
    }

    /// Whether it is a copy of a matrix of this shape and these strides over the same values, and not of its transpose, say.
    pub(crate) fn is_of(&self, dim: [usize; 2], strides: [isize; 2]) -> bool {
        dim == self.dim && strides == self.strides
    }

    /// `c = a·b`, plus `bias` in every row: to the bit what [`super::product`] gives for the matrix itself, but for a weight in fewer bits
    /// that [rounds its inputs](Narrow::rounds_inputs).
    ///
    /// # Panics
    /// As [`super::multiply`].
    pub(crate) fn product(&self, a: &ArrayView2<A>, bias: Option<&[A]>, c: ArrayViewMut2<A>) {
        let right = match &self.values {
            Values::Wide(values) => {
                Right::Panels(Panels::of(aligned(values, Panels::len(self.kernel, self.dim)), self.dim))
            }
            Values::Narrow(copy) => Right::Narrow(copy.panels()),
            Values::Dots(dots) => return dots.product(a, bias, c),
        };
        Product { kernel: self.kernel, alpha: A::lit(1.0), a, bias }.blocks(right, c);
    }
}
