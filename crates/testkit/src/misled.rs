//! Wrong rules of the derivative table, planted: values are right, gradients are those of another function.
//!
//! With `h` the function whose derivative is wanted, `y = f(x)° + h(x) − h(x)°`, where `x°` is `x` as a constant: the value is
//! `f(x)`, the derivative `h′(x)`. So any rule can be wrong on any backend, and in both at once, as a wrong line of the table is.

use crate::mistake::{Mistake, planted};
use crate::wrapper::forward;
use simseg_tensor::{Attention, Binary, Differentiable, Element, Ops, Result, SharedSlice, Tensor, Unary};

/// A differentiable backend whose rules are right but for the planted mistake.
#[derive(Debug, Clone)]
pub struct Misled<T>(pub T);

fn inner<'a, T>(how: &Attention<'a, Misled<T>>) -> Attention<'a, T> {
    Attention { heads: how.heads, key_bias: how.key_bias.map(|bias| &bias.0), causal: how.causal }
}

/// The value of `f` with the derivative of `h`.
fn instead<T: Differentiable>(f: &T, h: &T) -> Result<Misled<T>> {
    f.detach().add(&h.sub(&h.detach())?).map(Misled)
}

impl<T: Differentiable> Tensor for Misled<T> {
    forward!(host reshape slice concat selection linear softmax log_softmax layer_norm gelu attention);

    fn from_shared(data: SharedSlice, shape: &[usize], device: &T::Device) -> Result<Self> {
        T::from_shared(data, shape, device).map(Self)
    }
    fn unary(&self, op: Unary) -> Result<Self> {
        let y = self.0.unary(op)?;
        match (op, planted()) {
            // 1 − tanh x, for 1 − tanh² x
            (Unary::Tanh, Some(Mistake::TanhGradWithoutSquare)) => {
                instead(&y, &self.0.mul(&y.detach().affine(-1.0, 1.0)?)?)
            }
            (Unary::Clamp { .. }, Some(Mistake::ClampGradEverywhere)) => instead(&y, &self.0),
            _ => Ok(Self(y)),
        }
    }
    fn binary(&self, op: Binary, rhs: &Self) -> Result<Self> {
        let y = self.0.binary(op, &rhs.0)?;
        match (op, planted()) {
            (Binary::Sub, Some(Mistake::DifferenceGradWithoutSign)) => instead(&y, &self.0.add(&rhs.0)?),
            // −a/b, for −a/b²
            (Binary::Div, Some(Mistake::QuotientGradWithoutSquare)) => {
                let (a, b) = (self.0.detach(), rhs.0.detach());
                instead(&y, &self.0.div(&b)?.sub(&rhs.0.mul(&a.div(&b)?)?)?)
            }
            _ => Ok(Self(y)),
        }
    }
    fn matmul(&self, rhs: &Self) -> Result<Self> {
        let y = self.0.matmul(&rhs.0)?;
        let square = rhs.rank() >= 2 && rhs.shape()[rhs.rank() - 2] == rhs.width();
        match planted() {
            // da = g·b, for g·bᵀ
            Some(Mistake::MatmulGradNotTransposed) if square => instead(&y, &self.0.matmul(&rhs.0.t()?)?),
            _ => Ok(Self(y)),
        }
    }
    fn sum(&self, axis: usize) -> Result<Self> {
        let y = self.0.sum(axis)?;
        match planted() {
            Some(Mistake::SumGradAveraged) => instead(&y, &self.0.mean(axis)?),
            _ => Ok(Self(y)),
        }
    }
    fn permute(&self, axes: &[usize]) -> Result<Self> {
        let y = self.0.permute(axes)?;
        if planted() != Some(Mistake::PermuteGradNotInverted) {
            return Ok(Self(y));
        }
        // The adjoint permutes by `axes` again: that of a permutation by the inverse.
        let mut inverse = vec![0; axes.len()];
        axes.iter().enumerate().for_each(|(to, &from)| inverse[from] = to);
        let mut shape = vec![0; axes.len()];
        inverse.iter().zip(y.shape()).for_each(|(&from, &len)| shape[from] = len);
        instead(&y, &self.0.reshape(&shape)?.permute(&inverse)?)
    }
    fn expand(&self, shape: &[usize]) -> Result<Self> {
        let y = self.0.expand(shape)?;
        let copies = shape.iter().product::<usize>() as f64 / self.shape().iter().product::<usize>().max(1) as f64;
        match planted() {
            Some(Mistake::ExpandGradAveraged) => instead(&y, &y.scale(1.0 / copies.max(1.0))?),
            _ => Ok(Self(y)),
        }
    }
}

impl<D: Differentiable> Differentiable for Misled<D> {
    type Plain = D::Plain;
    fn plain(&self) -> D::Plain {
        self.0.plain()
    }
    fn leaf(&self) -> Self {
        Self(self.0.leaf())
    }
    fn detach(&self) -> Self {
        Self(self.0.detach())
    }
    fn grad(&self, leaves: &[&Self]) -> Result<Vec<Self>> {
        let leaves: Vec<&D> = leaves.iter().map(|leaf| &leaf.0).collect();
        Ok(self.0.grad(&leaves)?.into_iter().map(Self).collect())
    }
}
