//! Gradients by libtorch's own autograd.
//!
//! A tensor records its history only if a leaf is among its ancestors. Constants made by `from_host` are none, so inference
//! builds no graph and needs no guard. The graph lives as long as the tensors in it: `grad` may be asked twice, and memory
//! is given back when the loss is dropped.

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
        if self.shape().iter().product::<usize>() != 1 {
            let rule = "the gradient is that of one value";
            return Err(Error::Shape { op: "grad", lhs: self.shape().to_vec(), rhs: vec![], rule });
        }
        // libtorch wants inputs that require a gradient and a root with a history; everything else has gradient zero.
        let asked: Vec<&tch::Tensor> = leaves.iter().map(|leaf| leaf.raw()).filter(|x| x.requires_grad()).collect();
        let found = if self.raw().requires_grad() && !asked.is_empty() {
            ours(tch::Tensor::f_run_backward(&[self.raw()], &asked, true, false))?
        } else {
            vec![]
        };
        let mut found = found.into_iter();
        leaves
            .iter()
            .map(|leaf| match leaf.raw().requires_grad().then(|| found.next()).flatten() {
                // A leaf that the root does not depend on comes back undefined.
                Some(gradient) if gradient.defined() => Ok(Self::new(gradient, leaf.device())),
                _ => leaf.like(leaf.raw().f_detach().and_then(|x| x.f_zeros_like())),
            })
            .collect()
    }
}
