//! Gradients by libtorch's own autograd.
//!
//! A tensor records its history only if a leaf is among its ancestors. Constants made by `from_host` are none, so inference
//! builds no graph and needs no guard. The graph lives as long as the tensors in it: `grad` may be asked twice, and memory
//! is given back when the loss is dropped. `backward` gives it back on the way, so that gradients take the place of the values they
//! were computed from.

use crate::ours;
use crate::tensor::TchTensor;
use simseg_tensor::{Differentiable, Error, Result, Tensor};

impl Differentiable for TchTensor {
    type Plain = Self;

    fn plain(&self) -> Self {
        self.detach()
    }

    fn leaf(&self) -> Self {
        // `detach` makes a handle of its own to the same values: marking it does not mark `self`.
        let marked = self.raw().f_detach().and_then(|x| x.f_set_requires_grad(true));
        Self::new(marked.expect("a floating-point tensor without history can require a gradient"), self.device())
    }

    fn detach(&self) -> Self {
        Self::new(self.raw().f_detach().expect("every tensor has values without history"), self.device())
    }

    fn grad(&self, leaves: &[&Self]) -> Result<Vec<Self>> {
        gradients(self, leaves, true)
    }

    fn backward(self, leaves: &[&Self]) -> Result<(Self, Vec<Self>)> {
        let gradients = gradients(&self, leaves, false)?;
        Ok((self.detach(), gradients))
    }
}

/// `∂root/∂leaf` for every leaf. Unless `keep_graph`, libtorch frees what each node saved as soon as it has been through it.
fn gradients(root: &TchTensor, leaves: &[&TchTensor], keep_graph: bool) -> Result<Vec<TchTensor>> {
    if root.shape().iter().product::<usize>() != 1 {
        let rule = "the gradient is that of one value";
        return Err(Error::Shape { op: "grad", lhs: root.shape().to_vec(), rhs: vec![], rule });
    }
    // libtorch wants inputs that require a gradient and a root with a history; everything else has gradient zero.
    let asked: Vec<&tch::Tensor> = leaves.iter().map(|leaf| leaf.raw()).filter(|x| x.requires_grad()).collect();
    let found = if root.raw().requires_grad() && !asked.is_empty() {
        ours(tch::Tensor::f_run_backward(&[root.raw()], &asked, keep_graph, false))?
    } else {
        vec![]
    };
    let mut found = found.into_iter();
    leaves
        .iter()
        .map(|leaf| match leaf.raw().requires_grad().then(|| found.next()).flatten() {
            // A leaf that the root does not depend on comes back undefined.
            Some(gradient) if gradient.defined() => Ok(TchTensor::new(gradient, leaf.device())),
            _ => leaf.like(leaf.raw().f_detach().and_then(|x| x.f_zeros_like())),
        })
        .collect()
}
