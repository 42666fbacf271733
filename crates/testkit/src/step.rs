//! Every operation as data: one enum that covers all primitives and hooks, so that cases and random programs are lists.

use simseg_tensor::{Attention, Binary, Ops, PADDING, Result, Tensor, Unary};
use std::fmt;

/// One operation with its settings.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// See [`Tensor::unary`].
    Unary(Unary),
    /// See [`Tensor::binary`].
    Binary(Binary),
    /// See [`Tensor::matmul`].
    Matmul,
    /// Along an axis.
    Sum(usize),
    /// To a shape.
    Reshape(Vec<usize>),
    /// By axes.
    Permute(Vec<usize>),
    /// To a shape.
    Expand(Vec<usize>),
    /// `(axis, start, len)`
    Slice(usize, usize, usize),
    /// Along an axis.
    Concat(usize),
    /// `gather(topk(k, axis))`: the `k` largest, largest first.
    Topk(usize, usize),
    /// `(axis, positions, shape of the index)`
    Gather(usize, Vec<usize>, Vec<usize>),
    /// `(axis, positions, shape of the index)`
    ScatterAdd(usize, Vec<usize>, Vec<usize>),
    /// Positions.
    Rows(Vec<usize>),
    /// Positions.
    RowsAdd(Vec<usize>),
    /// Weight, and bias if there is a third input.
    Linear,
    /// Over the last axis.
    Softmax,
    /// Over the last axis.
    LogSoftmax,
    /// With weight, bias and this ε.
    LayerNorm(f64),
    /// Exact.
    Gelu,
    /// Of queries, keys and values.
    Attention {
        /// Heads.
        heads: usize,
        /// Whether queries see earlier keys only.
        causal: bool,
        /// How many keys of each item are real, if not all are: the others are hidden by a key bias.
        lengths: Option<Vec<usize>>,
    },
    /// A formula of [`Ops`].
    L2Normalize,
    /// A formula of [`Ops`].
    L2NormalizePooled,
    /// A formula of [`Ops`].
    QuickGelu,
}

impl Step {
    /// The result on some inputs.
    ///
    /// # Errors
    /// Whatever the backend says.
    pub fn apply<T: Tensor>(&self, x: &[&T]) -> Result<T> {
        let index = |positions: &[usize], shape: &[usize]| T::index_from_host(positions, shape, &x[0].device());
        match self {
            Self::Unary(op) => x[0].unary(*op),
            Self::Binary(op) => x[0].binary(*op, x[1]),
            Self::Matmul => x[0].matmul(x[1]),
            Self::Sum(axis) => x[0].sum(*axis),
            Self::Reshape(shape) => x[0].reshape(shape),
            Self::Permute(axes) => x[0].permute(axes),
            Self::Expand(shape) => x[0].expand(shape),
            Self::Slice(axis, start, len) => x[0].slice(*axis, *start, *len),
            Self::Concat(axis) => T::concat(x, *axis),
            Self::Topk(k, axis) => x[0].gather(*axis, &x[0].topk(*k, *axis)?),
            Self::Gather(axis, positions, shape) => x[0].gather(*axis, &index(positions, shape)?),
            Self::ScatterAdd(axis, positions, shape) => x[0].scatter_add(*axis, &index(positions, shape)?, x[1]),
            Self::Rows(positions) => x[0].rows(&index(positions, &[positions.len()])?),
            Self::RowsAdd(positions) => x[0].rows_add(&index(positions, &[positions.len()])?, x[1]),
            Self::Linear => x[0].linear(x[1], x.get(2).copied()),
            Self::Softmax => x[0].softmax(),
            Self::LogSoftmax => x[0].log_softmax(),
            Self::LayerNorm(eps) => x[0].layer_norm(x[1], x[2], *eps),
            Self::Gelu => x[0].gelu(),
            Self::Attention { heads, causal, lengths } => {
                let key_bias = lengths.as_ref().map(|lengths| key_bias(lengths, x[1])).transpose()?;
                x[0].attention(x[1], x[2], Attention { heads: *heads, key_bias: key_bias.as_ref(), causal: *causal })
            }
            Self::L2Normalize => x[0].l2_normalize(),
            Self::L2NormalizePooled => x[0].l2_normalize_pooled(),
            Self::QuickGelu => x[0].quick_gelu(),
        }
    }

    /// A short name: the operation without its settings.
    pub fn name(&self) -> String {
        let text = format!("{self:?}");
        let text = text.strip_prefix("Unary(").or(text.strip_prefix("Binary(")).unwrap_or(&text);
        let word: String = text.chars().take_while(|c| c.is_alphanumeric()).collect();
        let mut name = String::new();
        for (i, c) in word.chars().enumerate() {
            if c.is_uppercase() && i > 0 {
                name.push('_');
            }
            name.extend(c.to_lowercase());
        }
        name
    }

    /// Whether a backend may override this step as a whole.
    pub fn is_hook(&self) -> bool {
        matches!(
            self,
            Self::Linear | Self::Softmax | Self::LogSoftmax | Self::LayerNorm(_) | Self::Gelu | Self::Attention { .. }
        )
    }
}

/// 0 for the first `lengths[i]` keys `[b, m, d]` of item `i`, [`PADDING`] for the others: `[b, m]`.
fn key_bias<T: Tensor>(lengths: &[usize], keys: &T) -> Result<T> {
    let [b, m, _] = keys.dims()?;
    let bias = |i: usize| if i % m < lengths.get(i / m).copied().unwrap_or(m) { 0.0 } else { PADDING };
    T::from_host(&(0..b * m).map(bias).collect::<Vec<_>>(), &[b, m], &keys.device())
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name();
        match self {
            Self::Unary(Unary::Affine { mul, add }) => write!(f, "{name}[{mul}·x + {add}]"),
            Self::Unary(Unary::Clamp { low, high } | Unary::Inside { low, high }) => write!(f, "{name}[{low}, {high}]"),
            Self::Sum(axis) | Self::Concat(axis) => write!(f, "{name}[axis {axis}]"),
            Self::Reshape(list) | Self::Permute(list) | Self::Expand(list) | Self::Rows(list) | Self::RowsAdd(list) => {
                write!(f, "{name}{list:?}")
            }
            Self::Slice(axis, start, len) => write!(f, "{name}[axis {axis}, {start}..{}]", start + len),
            Self::Topk(k, axis) => write!(f, "{name}[{k} along axis {axis}]"),
            Self::Gather(axis, positions, _) | Self::ScatterAdd(axis, positions, _) => {
                write!(f, "{name}[axis {axis}, at {positions:?}]")
            }
            Self::LayerNorm(eps) => write!(f, "{name}[ε {eps}]"),
            Self::Attention { heads, causal, lengths } => {
                write!(f, "{name}[{heads} heads{}", if *causal { ", causal" } else { "" })?;
                match lengths {
                    Some(lengths) => write!(f, ", {lengths:?} real keys]"),
                    None => f.write_str("]"),
                }
            }
            _ => f.write_str(&name),
        }
    }
}
