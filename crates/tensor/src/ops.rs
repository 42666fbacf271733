//! Formulas on tensors: everything that primitives can say, said once.
//!
//! [`Ops`] is implemented for every [`Tensor`] and is final: no backend can change a formula. Binary formulas broadcast
//! axes of length 1 between tensors of equal rank (an explicit [`Tensor::expand`] underneath).

use crate::tensor::{Binary, Element, Tensor, Unary};
use crate::{Error, Result};
use alloc::vec::Vec;

/// The number of values in a shape.
pub fn numel(shape: &[usize]) -> usize {
    shape.iter().product()
}

/// The shape two tensors of equal rank broadcast to.
fn broadcast(op: &'static str, lhs: &[usize], rhs: &[usize]) -> Result<Vec<usize>> {
    let fits = lhs.len() == rhs.len() && lhs.iter().zip(rhs).all(|(&a, &b)| a == b || a == 1 || b == 1);
    if !fits {
        let rule = "equal rank, and axes equal or 1";
        return Err(Error::Shape { op, lhs: lhs.to_vec(), rhs: rhs.to_vec(), rule });
    }
    Ok(lhs.iter().zip(rhs).map(|(&a, &b)| if a == 1 { b } else { a }).collect())
}

/// The formulas.
///
/// ```
/// # use simseg_tensor::{Result, Tensor, Ops};
/// fn centred<T: Tensor>(x: &T) -> Result<T> {
///     x.sub(&x.mean(1)?)
/// }
/// ```
pub trait Ops: Tensor {
    // ---- shape -----------------------------------------------------------------------------------------------
    /// The shape as an array, or an error that says how many axes were expected.
    fn dims<const N: usize>(&self) -> Result<[usize; N]> {
        <[usize; N]>::try_from(self.shape()).map_err(|_| Error::Shape {
            op: "dims",
            lhs: self.shape().to_vec(),
            rhs: vec![N],
            rule: "the right number is the number of axes expected",
        })
    }
    /// The last axis' length.
    fn width(&self) -> usize {
        self.shape().last().copied().unwrap_or(1)
    }
    /// Number of axes.
    fn rank(&self) -> usize {
        self.shape().len()
    }
    /// Swaps the last two axes.
    fn t(&self) -> Result<Self> {
        let rank = self.rank();
        if rank < 2 {
            return Err(Error::Axis { op: "t", axis: 1, shape: self.shape().to_vec() });
        }
        let mut axes: Vec<usize> = (0..rank).collect();
        axes.swap(rank - 2, rank - 1);
        self.permute(&axes)
    }
    /// Inserts an axis of length 1.
    fn unsqueeze(&self, axis: usize) -> Result<Self> {
        let mut shape = self.shape().to_vec();
        if axis > shape.len() {
            return Err(Error::Axis { op: "unsqueeze", axis, shape });
        }
        shape.insert(axis, 1);
        self.reshape(&shape)
    }
    /// Removes an axis of length 1.
    fn squeeze(&self, axis: usize) -> Result<Self> {
        let mut shape = self.shape().to_vec();
        if shape.get(axis) != Some(&1) {
            return Err(Error::Axis { op: "squeeze", axis, shape });
        }
        shape.remove(axis);
        self.reshape(&shape)
    }

    // ---- making ----------------------------------------------------------------------------------------------
    /// A tensor of one repeated value.
    fn full(value: f64, shape: &[usize], device: &Self::Device) -> Result<Self> {
        let ones = vec![1; shape.len()];
        Self::from_host(&[value], &ones, device)?.expand(shape)
    }
    /// Zeros of this shape on this device.
    fn zeros_like(&self) -> Result<Self> {
        Self::full(0.0, self.shape(), &self.device())
    }
    /// The only value of a tensor with one value.
    fn item(&self) -> Result<f64> {
        match self.to_vec::<f64>()?.as_slice() {
            [value] => Ok(*value),
            _ => Err(Error::Shape { op: "item", lhs: self.shape().to_vec(), rhs: vec![], rule: "exactly one value" }),
        }
    }
    /// All values as f32, row-major.
    fn to_f32(&self) -> Result<Vec<f32>> {
        self.to_vec::<f32>()
    }
    /// The same values in another kind of tensor.
    fn convert<E: Element, U: Tensor>(&self, device: &U::Device) -> Result<U> {
        U::from_host(&self.to_vec::<E>()?, self.shape(), device)
    }

    // ---- elementwise -----------------------------------------------------------------------------------------
    /// `op(a, b)` after broadcasting.
    fn broadcast_binary(&self, op: Binary, rhs: &Self, name: &'static str) -> Result<Self> {
        if self.shape() == rhs.shape() {
            return self.binary(op, rhs);
        }
        let shape = broadcast(name, self.shape(), rhs.shape())?;
        self.expand(&shape)?.binary(op, &rhs.expand(&shape)?)
    }
    /// `a + b`
    fn add(&self, rhs: &Self) -> Result<Self> {
        self.broadcast_binary(Binary::Add, rhs, "add")
    }
    /// `a − b`
    fn sub(&self, rhs: &Self) -> Result<Self> {
        self.broadcast_binary(Binary::Sub, rhs, "sub")
    }
    /// `a · b`
    fn mul(&self, rhs: &Self) -> Result<Self> {
        self.broadcast_binary(Binary::Mul, rhs, "mul")
    }
    /// `a / b`
    fn div(&self, rhs: &Self) -> Result<Self> {
        self.broadcast_binary(Binary::Div, rhs, "div")
    }
    /// `mul·x + add`
    fn affine(&self, mul: f64, add: f64) -> Result<Self> {
        self.unary(Unary::Affine { mul, add })
    }
    /// `factor·x`
    fn scale(&self, factor: f64) -> Result<Self> {
        self.affine(factor, 0.0)
    }
    /// `x + term`
    fn shift(&self, term: f64) -> Result<Self> {
        self.affine(1.0, term)
    }
    /// `−x`
    fn neg(&self) -> Result<Self> {
        self.scale(-1.0)
    }
    /// `x²`
    fn square(&self) -> Result<Self> {
        self.mul(self)
    }
    /// `eˣ`
    fn exp(&self) -> Result<Self> {
        self.unary(Unary::Exp)
    }
    /// `ln x`
    fn log(&self) -> Result<Self> {
        self.unary(Unary::Log)
    }
    /// `√x`
    fn sqrt(&self) -> Result<Self> {
        self.unary(Unary::Sqrt)
    }
    /// `1 / x`
    fn recip(&self) -> Result<Self> {
        self.unary(Unary::Recip)
    }
    /// `tanh x`
    fn tanh(&self) -> Result<Self> {
        self.unary(Unary::Tanh)
    }
    /// `1 / (1 + e⁻ˣ)`
    fn sigmoid(&self) -> Result<Self> {
        self.unary(Unary::Sigmoid)
    }
    /// `erf x`
    fn erf(&self) -> Result<Self> {
        self.unary(Unary::Erf)
    }
    /// `min(max(x, low), high)`
    fn clamp(&self, low: f64, high: f64) -> Result<Self> {
        self.unary(Unary::Clamp { low, high })
    }
    /// `x·sigmoid(1.702 x)`: the GELU of OpenAI's CLIP (Radford et al. 2021, released code).
    fn quick_gelu(&self) -> Result<Self> {
        self.mul(&self.scale(1.702)?.sigmoid()?)
    }

    // ---- reductions ------------------------------------------------------------------------------------------
    /// Mean over an axis, which keeps length 1.
    fn mean(&self, axis: usize) -> Result<Self> {
        let sum = self.sum(axis)?;
        sum.scale(1.0 / self.shape()[axis] as f64)
    }
    /// Largest value along an axis, which keeps length 1: the first of `topk`.
    fn max(&self, axis: usize) -> Result<Self> {
        self.gather(axis, &self.topk(1, axis)?)
    }
    /// Sum of all values, as a scalar.
    fn sum_all(&self) -> Result<Self> {
        self.reshape(&[numel(self.shape())])?.sum(0)?.reshape(&[])
    }
    /// Mean of all values, as a scalar.
    fn mean_all(&self) -> Result<Self> {
        self.sum_all()?.scale(1.0 / numel(self.shape()) as f64)
    }

    // ---- norms -----------------------------------------------------------------------------------------------
    /// Euclidean norm of the last axis, `[…, 1]`.
    ///
    /// Squares are kept ≥ 1e-24 before the root, whose slope at 0 is infinite: a zero row has norm 1e-12 and gradient 0.
    fn norm(&self) -> Result<Self> {
        self.square()?.sum(self.rank() - 1)?.clamp(1e-24, f64::MAX)?.sqrt()
    }
    /// `x / max(‖x‖, 1e-12)` over the last axis: how the released code normalises patches (and PyTorch's `normalize`).
    fn l2_normalize(&self) -> Result<Self> {
        self.div(&self.norm()?)
    }
    /// `x / (‖x‖ + 1e-8)` over the last axis: how the released code normalises pooled embeddings.
    fn l2_normalize_pooled(&self) -> Result<Self> {
        self.div(&self.norm()?.shift(1e-8)?)
    }
}

impl<T: Tensor> Ops for T {}
