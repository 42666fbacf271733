//! Layers as plain fields, visited by hand under the names of the published checkpoint.
//!
//! `P` is whatever a field holds: a [`Parameter`] in an architecture, a tensor in a network, a gradient, a name. `map`
//! rebuilds the same layer around other contents; it is the only traversal there is.

use simseg_tensor::{Init, Parameter, Result, Tensor};

/// Turns one field's content into another, given its full name. `E` is the error it may fail with.
pub type Visit<'a, P, Q, E> = &'a mut dyn FnMut(&str, &P) -> std::result::Result<Q, E>;

/// Every parameter that a traversal visits, with its name, in order.
pub fn list<V: Clone, N>(
    traverse: impl FnOnce(Visit<'_, V, V, std::convert::Infallible>) -> std::result::Result<N, std::convert::Infallible>,
) -> Vec<(String, V)> {
    let mut all = Vec::new();
    let visited = traverse(&mut |name, value| {
        all.push((name.to_owned(), value.clone()));
        Ok(value.clone())
    });
    let Ok(_) = visited;
    all
}

/// `y = x·Wᵀ + b`.
#[derive(Debug, Clone)]
pub struct Linear<P> {
    /// `[out, in]`
    pub weight: P,
    /// `[out]`
    pub bias: Option<P>,
}

impl Linear<Parameter> {
    /// Weights start normal with deviation `1/√(3·in)`, which is the 0.02 of timm and BERT at their width of 768 and keeps
    /// the outputs of small models as large as those of large ones; the bias starts at zero.
    pub fn layout(input: usize, output: usize, bias: bool) -> Self {
        let deviation = 1.0 / (3.0 * input as f64).sqrt();
        let zeros = || Parameter::new(&[output], Init::Constant(0.0));
        Self { weight: Parameter::new(&[output, input], Init::Normal(deviation)), bias: bias.then(zeros) }
    }
}

impl<P> Linear<P> {
    /// The same layer around other contents.
    pub fn map<Q, E>(&self, name: &str, f: Visit<'_, P, Q, E>) -> std::result::Result<Linear<Q>, E> {
        let weight = f(&format!("{name}.weight"), &self.weight)?;
        let bias = self.bias.as_ref().map(|bias| f(&format!("{name}.bias"), bias)).transpose()?;
        Ok(Linear { weight, bias })
    }
}

impl<T: Tensor> Linear<T> {
    /// `[…, in]` → `[…, out]`
    pub fn forward(&self, x: &T) -> Result<T> {
        x.linear(&self.weight, self.bias.as_ref())
    }
}

/// Layer normalisation with a learned scale and shift.
#[derive(Debug, Clone)]
pub struct LayerNorm<P> {
    /// `[d]`
    pub weight: P,
    /// `[d]`
    pub bias: P,
    /// Added to the variance.
    pub eps: f64,
}

impl LayerNorm<Parameter> {
    /// Starts as the plain normalisation.
    pub fn layout(width: usize, eps: f64) -> Self {
        let of = |value| Parameter::new(&[width], Init::Constant(value));
        Self { weight: of(1.0), bias: of(0.0), eps }
    }
}

impl<P> LayerNorm<P> {
    /// The same layer around other contents.
    pub fn map<Q, E>(&self, name: &str, f: Visit<'_, P, Q, E>) -> std::result::Result<LayerNorm<Q>, E> {
        Ok(LayerNorm {
            weight: f(&format!("{name}.weight"), &self.weight)?,
            bias: f(&format!("{name}.bias"), &self.bias)?,
            eps: self.eps,
        })
    }
}

impl<T: Tensor> LayerNorm<T> {
    /// Over the last axis.
    pub fn forward(&self, x: &T) -> Result<T> {
        x.layer_norm(&self.weight, &self.bias, self.eps)
    }
}

/// Maps a list of layers, naming each by its number.
pub(crate) fn map_list<A, B, E>(
    name: &str,
    list: &[A],
    mut f: impl FnMut(&str, &A) -> std::result::Result<B, E>,
) -> std::result::Result<Vec<B>, E> {
    list.iter().enumerate().map(|(i, item)| f(&format!("{name}.{i}"), item)).collect()
}
