//! A backend without its hooks: forwards the required methods only, so every hook runs as its formula.
//!
//! `Plain<T>` against `T` shows that an override equals the text that a student reads.

use simseg_tensor::{Binary, Differentiable, Element, Result, Tensor, Unary};

/// A backend's primitives.
#[derive(Debug, Clone)]
pub struct Plain<T>(pub T);

impl<T: Tensor> Tensor for Plain<T> {
    type Device = T::Device;
    type Index = T::Index;

    fn from_host<E: Element>(data: &[E], shape: &[usize], device: &T::Device) -> Result<Self> {
        T::from_host(data, shape, device).map(Self)
    }
    fn index_from_host(data: &[usize], shape: &[usize], device: &T::Device) -> Result<T::Index> {
        T::index_from_host(data, shape, device)
    }
    fn to_vec<E: Element>(&self) -> Result<Vec<E>> {
        self.0.to_vec()
    }
    fn index_to_vec(index: &T::Index) -> Result<Vec<usize>> {
        T::index_to_vec(index)
    }
    fn shape(&self) -> &[usize] {
        self.0.shape()
    }
    fn device(&self) -> T::Device {
        self.0.device()
    }
    fn unary(&self, op: Unary) -> Result<Self> {
        self.0.unary(op).map(Self)
    }
    fn binary(&self, op: Binary, rhs: &Self) -> Result<Self> {
        self.0.binary(op, &rhs.0).map(Self)
    }
    fn matmul(&self, rhs: &Self) -> Result<Self> {
        self.0.matmul(&rhs.0).map(Self)
    }
    fn sum(&self, axis: usize) -> Result<Self> {
        self.0.sum(axis).map(Self)
    }
    fn reshape(&self, shape: &[usize]) -> Result<Self> {
        self.0.reshape(shape).map(Self)
    }
    fn permute(&self, axes: &[usize]) -> Result<Self> {
        self.0.permute(axes).map(Self)
    }
    fn expand(&self, shape: &[usize]) -> Result<Self> {
        self.0.expand(shape).map(Self)
    }
    fn slice(&self, axis: usize, start: usize, len: usize) -> Result<Self> {
        self.0.slice(axis, start, len).map(Self)
    }
    fn concat(parts: &[&Self], axis: usize) -> Result<Self> {
        T::concat(&parts.iter().map(|part| &part.0).collect::<Vec<_>>(), axis).map(Self)
    }
    fn topk(&self, k: usize, axis: usize) -> Result<T::Index> {
        self.0.topk(k, axis)
    }
    fn gather(&self, axis: usize, index: &T::Index) -> Result<Self> {
        self.0.gather(axis, index).map(Self)
    }
    fn scatter_add(&self, axis: usize, index: &T::Index, src: &Self) -> Result<Self> {
        self.0.scatter_add(axis, index, &src.0).map(Self)
    }
    fn rows(&self, index: &T::Index) -> Result<Self> {
        self.0.rows(index).map(Self)
    }
    fn rows_add(&self, index: &T::Index, src: &Self) -> Result<Self> {
        self.0.rows_add(index, &src.0).map(Self)
    }
}

impl<D: Differentiable> Differentiable for Plain<D> {
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
