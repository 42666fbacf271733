//! Every primitive and hook at awkward sizes: the inputs of the conformance cases.

use crate::hostile::{Domain, Layout, values};
use crate::step::Step;
use simseg_tensor::{Binary, Tensor, Unary};

/// A step with the shapes of its inputs.
#[derive(Debug, Clone)]
pub struct Sample {
    /// The step.
    pub step: Step,
    /// One shape per input.
    pub shapes: Vec<Vec<usize>>,
    /// Which values it is well-conditioned on.
    pub domain: Domain,
}

/// Every primitive and hook, at awkward sizes.
pub fn samples() -> Vec<Sample> {
    let sample = |step: Step, domain, shapes: &[&[usize]]| Sample {
        step,
        shapes: shapes.iter().map(|shape| shape.to_vec()).collect(),
        domain,
    };
    let any = |step, shapes: &[&[usize]]| sample(step, Domain::Any, shapes);
    let positive = |step, shapes: &[&[usize]]| sample(step, Domain::Positive, shapes);
    let attention = |heads, causal, lengths| Step::Attention { heads, causal, lengths };
    let mut list = vec![
        any(Step::Unary(Unary::Affine { mul: -1.5, add: 0.25 }), &[&[3, 1, 11]]),
        any(Step::Unary(Unary::Exp), &[&[33, 3]]),
        any(Step::Unary(Unary::Tanh), &[&[2, 17]]),
        any(Step::Unary(Unary::Sigmoid), &[&[33]]),
        any(Step::Unary(Unary::Erf), &[&[5, 7]]),
        any(Step::Unary(Unary::Clamp { low: -0.5, high: 0.75 }), &[&[2, 33]]),
        any(Step::Unary(Unary::Inside { low: -0.5, high: 0.75 }), &[&[2, 33]]),
        positive(Step::Unary(Unary::Recip), &[&[33]]),
        positive(Step::Unary(Unary::Sqrt), &[&[4, 9]]),
        positive(Step::Unary(Unary::Log), &[&[2, 3, 4]]),
        any(Step::Matmul, &[&[1, 1], &[1, 1]]),
        any(Step::Matmul, &[&[33, 5], &[5, 17]]),
        any(Step::Matmul, &[&[2, 3, 7, 4], &[2, 3, 4, 9]]),
        any(Step::Sum(0), &[&[33, 5]]),
        any(Step::Sum(1), &[&[3, 33, 4]]),
        any(Step::Sum(2), &[&[2, 3, 33]]),
        any(Step::Reshape(vec![6, 11]), &[&[2, 3, 11]]),
        any(Step::Permute(vec![2, 0, 1]), &[&[3, 4, 11]]),
        any(Step::Expand(vec![3, 4, 5]), &[&[3, 1, 5]]),
        any(Step::Slice(1, 2, 3), &[&[2, 6, 4]]),
        any(Step::Concat(1), &[&[2, 1, 5], &[2, 3, 5], &[2, 4, 5]]),
        any(Step::Topk(1, 1), &[&[3, 33]]),
        any(Step::Topk(5, 1), &[&[2, 33, 3]]),
        any(Step::Topk(20, 0), &[&[33, 2]]),
        any(Step::Gather(1, vec![2, 0, 2, 1, 1, 0], vec![3, 2]), &[&[3, 4]]),
        any(Step::ScatterAdd(0, vec![1, 0, 1, 2], vec![2, 2]), &[&[3, 2], &[2, 2]]),
        any(Step::Rows(vec![3, 0, 3]), &[&[5, 4]]),
        any(Step::RowsAdd(vec![1, 4, 1]), &[&[5, 3], &[3, 3]]),
        any(Step::Linear, &[&[2, 3, 5], &[4, 5], &[4]]),
        any(Step::Linear, &[&[33, 5], &[1, 5]]),
        any(Step::Softmax, &[&[3, 33]]),
        any(Step::LogSoftmax, &[&[2, 2, 17]]),
        any(Step::LayerNorm(1e-6), &[&[3, 2, 33], &[33], &[33]]),
        any(Step::Gelu, &[&[5, 33]]),
        any(attention(2, false, None), &[&[2, 5, 6], &[2, 7, 6], &[2, 7, 6]]),
        any(attention(1, true, None), &[&[1, 4, 3], &[1, 4, 3], &[1, 4, 3]]),
        any(attention(2, false, Some(vec![1, 7])), &[&[2, 5, 6], &[2, 7, 6], &[2, 7, 6]]),
        any(attention(3, true, Some(vec![3, 5])), &[&[2, 5, 6], &[2, 5, 6], &[2, 5, 6]]),
        any(Step::L2Normalize, &[&[4, 9]]),
        any(Step::QuickGelu, &[&[33]]),
    ];
    for op in [Binary::Add, Binary::Sub, Binary::Mul, Binary::Div] {
        list.push(positive(Step::Binary(op), &[&[3, 1, 11], &[3, 1, 11]]));
    }
    list
}

impl Sample {
    /// The inputs' values.
    pub fn values(&self) -> Vec<Vec<f64>> {
        let numel = |shape: &Vec<usize>| shape.iter().product();
        self.shapes.iter().enumerate().map(|(i, shape)| values(self.domain, numel(shape), i as u64)).collect()
    }

    /// The inputs in a layout.
    ///
    /// # Errors
    /// Whatever the backend says.
    pub fn inputs<T: Tensor>(&self, layout: Layout, device: &T::Device) -> simseg_tensor::Result<Vec<T>> {
        let pairs = self.values().into_iter().zip(&self.shapes);
        pairs.map(|(values, shape)| layout.make(&values, shape, device)).collect()
    }

    /// The operation and its shapes, as part of a case's name.
    pub(crate) fn name(&self) -> String {
        format!(
            "{}_{}",
            self.step.name(),
            self.shapes.iter().map(|s| format!("{s:?}")).collect::<String>().replace(' ', "")
        )
    }
}
