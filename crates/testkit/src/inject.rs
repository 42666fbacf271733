//! A fault on demand: one named operation is made slightly wrong while the program runs, to show that the parity report
//! finds it and names it (`simseg parity --inject softmax`).

use simseg_tensor::{Attention, Binary, Differentiable, Element, Ops, Result, SharedSlice, Tensor, Unary};
use std::sync::OnceLock;

static GUILTY: OnceLock<String> = OnceLock::new();

/// The operations that can be named.
pub const NAMES: [&str; 22] = [
    "affine",
    "recip",
    "sqrt",
    "exp",
    "log",
    "tanh",
    "sigmoid",
    "erf",
    "clamp",
    "add",
    "sub",
    "mul",
    "div",
    "matmul",
    "sum",
    "gather",
    "rows",
    "linear",
    "softmax",
    "log_softmax",
    "layer_norm",
    "attention",
];

/// Chooses the operation, once per process.
pub fn choose(name: &str) {
    let _ = GUILTY.set(name.to_owned());
}

/// A backend whose chosen operation is off by a thousandth.
#[derive(Debug, Clone)]
pub struct Injected<T>(pub T);

impl<T: Tensor> Injected<T> {
    fn nudge(name: &str, y: T) -> Result<Self> {
        if GUILTY.get().is_some_and(|guilty| guilty == name) { y.affine(1.001, 1e-3).map(Self) } else { Ok(Self(y)) }
    }
}

fn plain<'a, T: Tensor>(how: &Attention<'a, Injected<T>>) -> Attention<'a, T> {
    Attention { heads: how.heads, key_bias: how.key_bias.map(|bias| &bias.0), causal: how.causal }
}

impl<T: Tensor> Tensor for Injected<T> {
    type Device = T::Device;
    type Index = T::Index;

    fn from_host<E: Element>(data: &[E], shape: &[usize], device: &T::Device) -> Result<Self> {
        T::from_host(data, shape, device).map(Self)
    }
    fn from_shared(data: SharedSlice, shape: &[usize], device: &T::Device) -> Result<Self> {
        T::from_shared(data, shape, device).map(Self)
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
        let name = match op {
            Unary::Affine { .. } => "affine",
            Unary::Recip => "recip",
            Unary::Sqrt => "sqrt",
            Unary::Exp => "exp",
            Unary::Log => "log",
            Unary::Tanh => "tanh",
            Unary::Sigmoid => "sigmoid",
            Unary::Erf => "erf",
            Unary::Clamp { .. } => "clamp",
            Unary::Inside { .. } => "inside",
        };
        Self::nudge(name, self.0.unary(op)?)
    }
    fn binary(&self, op: Binary, rhs: &Self) -> Result<Self> {
        let name = match op {
            Binary::Add => "add",
            Binary::Sub => "sub",
            Binary::Mul => "mul",
            Binary::Div => "div",
        };
        Self::nudge(name, self.0.binary(op, &rhs.0)?)
    }
    fn matmul(&self, rhs: &Self) -> Result<Self> {
        Self::nudge("matmul", self.0.matmul(&rhs.0)?)
    }
    fn sum(&self, axis: usize) -> Result<Self> {
        Self::nudge("sum", self.0.sum(axis)?)
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
        Self::nudge("gather", self.0.gather(axis, index)?)
    }
    fn scatter_add(&self, axis: usize, index: &T::Index, src: &Self) -> Result<Self> {
        self.0.scatter_add(axis, index, &src.0).map(Self)
    }
    fn rows(&self, index: &T::Index) -> Result<Self> {
        Self::nudge("rows", self.0.rows(index)?)
    }
    fn rows_add(&self, index: &T::Index, src: &Self) -> Result<Self> {
        self.0.rows_add(index, &src.0).map(Self)
    }

    fn linear(&self, weight: &Self, bias: Option<&Self>) -> Result<Self> {
        Self::nudge("linear", self.0.linear(&weight.0, bias.map(|bias| &bias.0))?)
    }
    fn linear_grad(&self, weight: &Self, grad: &Self, wants_input: bool) -> Result<(Option<Self>, Self, Self)> {
        let (dx, dw, db) = self.0.linear_grad(&weight.0, &grad.0, wants_input)?;
        Ok((dx.map(Self), Self(dw), Self(db)))
    }
    fn softmax(&self) -> Result<Self> {
        Self::nudge("softmax", self.0.softmax()?)
    }
    fn softmax_grad(&self, grad: &Self) -> Result<Self> {
        self.0.softmax_grad(&grad.0).map(Self)
    }
    fn log_softmax(&self) -> Result<Self> {
        Self::nudge("log_softmax", self.0.log_softmax()?)
    }
    fn log_softmax_grad(&self, grad: &Self) -> Result<Self> {
        self.0.log_softmax_grad(&grad.0).map(Self)
    }
    fn layer_norm(&self, weight: &Self, bias: &Self, eps: f64) -> Result<Self> {
        Self::nudge("layer_norm", self.0.layer_norm(&weight.0, &bias.0, eps)?)
    }
    fn layer_norm_grad(&self, weight: &Self, eps: f64, grad: &Self) -> Result<(Self, Self, Self)> {
        let (dx, dw, db) = self.0.layer_norm_grad(&weight.0, eps, &grad.0)?;
        Ok((Self(dx), Self(dw), Self(db)))
    }
    fn gelu(&self) -> Result<Self> {
        self.0.gelu().map(Self)
    }
    fn gelu_grad(&self, grad: &Self) -> Result<Self> {
        self.0.gelu_grad(&grad.0).map(Self)
    }
    fn attention(&self, keys: &Self, values: &Self, how: Attention<'_, Self>) -> Result<Self> {
        Self::nudge("attention", self.0.attention(&keys.0, &values.0, plain(&how))?)
    }
    fn attention_grad(
        &self,
        keys: &Self,
        values: &Self,
        how: Attention<'_, Self>,
        grad: &Self,
    ) -> Result<(Self, Self, Self)> {
        let (dq, dk, dv) = self.0.attention_grad(&keys.0, &values.0, plain(&how), &grad.0)?;
        Ok((Self(dq), Self(dk), Self(dv)))
    }
}

impl<D: Differentiable> Differentiable for Injected<D> {
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
