//! Every operation on a few numbers, with what PyTorch says: values and gradients (`golden/make.py` writes them).

use crate::gradient::total;
use crate::hostile::Layout;
use crate::step::Step;
use crate::subject::{Input, Subject};
use serde::Deserialize;
use simseg_tensor::{Binary, Ops, Result, Tensor, Unary};
use std::collections::HashMap;

/// An operation with its inputs and PyTorch's answer.
#[derive(Debug, Clone)]
pub struct Golden {
    /// Its name in the file.
    pub name: &'static str,
    /// What it is called in a diagnosis.
    pub operation: String,
    /// How it is computed.
    pub step: Step,
    /// What it starts from.
    pub inputs: Vec<Input>,
    /// Shape of the result.
    pub shape: Vec<usize>,
    /// The result, row-major.
    pub values: Vec<f64>,
    /// What the loss weighs the result with.
    pub weights: Vec<f64>,
    /// The gradients of the loss for every input.
    pub gradients: Vec<Vec<f64>>,
}

/// An entry of the file.
#[derive(Clone, Deserialize)]
struct Entry {
    inputs: Vec<Values>,
    shape: Vec<usize>,
    values: Vec<f64>,
    weights: Vec<f64>,
    gradients: Vec<Vec<f64>>,
}

#[derive(Clone, Deserialize)]
struct Values {
    shape: Vec<usize>,
    values: Vec<f32>,
}

/// The same list as in `make.py`, primitives before what is made of them, so that the first that is wrong is the one to blame.
/// `sum` and `mul` come first of all: every loss is made of them.
#[rustfmt::skip]
fn list() -> Vec<(&'static str, Step)> {
    let attention = |heads, causal, lengths| Step::Attention { heads, causal, lengths };
    vec![
        ("sum", Step::Sum(1)),
        ("mul", Step::Binary(Binary::Mul)),
        ("add", Step::Binary(Binary::Add)),
        ("sub", Step::Binary(Binary::Sub)),
        ("div", Step::Binary(Binary::Div)),
        ("affine", Step::Unary(Unary::Affine { mul: -1.5, add: 0.25 })),
        ("recip", Step::Unary(Unary::Recip)),
        ("sqrt", Step::Unary(Unary::Sqrt)),
        ("exp", Step::Unary(Unary::Exp)),
        ("log", Step::Unary(Unary::Log)),
        ("tanh", Step::Unary(Unary::Tanh)),
        ("sigmoid", Step::Unary(Unary::Sigmoid)),
        ("erf", Step::Unary(Unary::Erf)),
        ("clamp", Step::Unary(Unary::Clamp { low: -0.5, high: 0.75 })),
        ("inside", Step::Unary(Unary::Inside { low: -0.5, high: 0.75 })),
        ("reshape", Step::Reshape(vec![4, 6])),
        ("permute", Step::Permute(vec![2, 0, 1])),
        ("expand", Step::Expand(vec![2, 3, 4])),
        ("slice", Step::Slice(1, 1, 2)),
        ("concat", Step::Concat(1)),
        ("matmul", Step::Matmul),
        ("gather", Step::Gather(1, vec![2, 0, 2, 1, 1, 1], vec![3, 2])),
        ("topk", Step::Topk(2, 1)),
        ("scatter_add", Step::ScatterAdd(0, vec![1, 0, 1, 2], vec![2, 2])),
        ("rows", Step::Rows(vec![3, 0, 3])),
        ("rows_add", Step::RowsAdd(vec![1, 4, 1])),
        ("linear", Step::Linear),
        ("softmax", Step::Softmax),
        ("log_softmax", Step::LogSoftmax),
        ("layer_norm", Step::LayerNorm(0.1)),
        ("layer_norm_1e-6", Step::LayerNorm(1e-6)),
        ("gelu", Step::Gelu),
        ("attention", attention(2, false, None)),
        ("attention_causal", attention(1, true, None)),
        ("attention_padded", attention(2, false, Some(vec![2, 5]))),
        ("l2_normalize", Step::L2Normalize),
        ("l2_normalize_pooled", Step::L2NormalizePooled),
        ("quick_gelu", Step::QuickGelu),
    ]
}

/// All of them.
pub fn goldens() -> Vec<Golden> {
    let mut file: HashMap<String, Entry> =
        serde_json::from_str(include_str!("../golden/torch.json")).expect("the file is make.py's");
    let one = |(name, step): (&'static str, Step)| {
        let Entry { inputs, shape, values, weights, gradients } =
            file.remove(name).unwrap_or_else(|| panic!("make.py has no `{name}`"));
        let input = |Values { shape, values }| Input { shape, values, layout: Layout::Contiguous };
        let inputs = inputs.into_iter().map(input).collect();
        Golden { name, operation: step.name(), step, inputs, shape, values, weights, gradients }
    };
    list().into_iter().map(one).collect()
}

impl Golden {
    /// The same operation, computed by another text: what a wrong formula is.
    #[must_use]
    pub fn with_text(self, step: Step) -> Self {
        Self { step, ..self }
    }
}

impl Subject for Golden {
    fn inputs(&self) -> Vec<Input> {
        self.inputs.clone()
    }
    fn compute<T: Tensor>(&self, x: &[T]) -> Result<Vec<(String, T)>> {
        Ok(vec![(self.step.to_string(), self.step.apply(&x.iter().collect::<Vec<_>>())?)])
    }
    fn loss<T: Tensor>(&self, x: &[T]) -> Result<T> {
        let y = self.step.apply(&x.iter().collect::<Vec<_>>())?;
        if self.weights.iter().all(|&weight| weight == 1.0) {
            return total(&y); // where the weighing itself is on trial
        }
        total(&y.mul(&T::from_host(&self.weights, y.shape(), &y.device())?)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_that_of_the_file_and_covers_every_hook() {
        let goldens = goldens();
        let file: HashMap<String, Entry> = serde_json::from_str(include_str!("../golden/torch.json")).unwrap();
        assert_eq!(goldens.len(), file.len());
        for hook in ["linear", "softmax", "log_softmax", "layer_norm", "gelu", "attention"] {
            assert!(goldens.iter().any(|golden| golden.step.name() == hook && golden.step.is_hook()), "{hook}");
        }
    }
}
