//! What a tensor must do: twenty methods in five families, closed under differentiation.
//!
//! | family | methods | adjoint |
//! |---|---|---|
//! | host | `from_host` `index_from_host` `to_vec` `index_to_vec` `shape` `device` | – |
//! | elementwise | `unary` `binary` | elementwise |
//! | contraction | `matmul`, `sum` | `matmul`, `expand` |
//! | movement | `reshape` `permute` `expand` `slice` `concat` | each other, and `sum` |
//! | selection | `topk` (positions only), `gather`/`scatter_add`, `rows`/`rows_add` | each other |
//!
//! `topk` yields positions and values come from `gather`, so selecting needs no derivative of its own, and
//! `max = gather(topk(1))`. There is no convolution: a patch embedding is reshape, permute, matmul.
//!
//! Below the required methods stand the *fused hooks*: provided methods whose default is their formula in primitives
//! ([`crate::hooks`]) and which a backend may override for speed, each with its adjoint.

use crate::{Narrow, Result, hooks};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt::Debug;

/// A number that crosses between host and device. Tensors store what their device says; both directions convert.
pub trait Element: Copy + Default + Debug + PartialOrd + Send + Sync + 'static {
    /// Exact for every element type here.
    fn to_f64(self) -> f64;
    /// Rounds to nearest.
    fn from_f64(value: f64) -> Self;
}

impl Element for f32 {
    fn to_f64(self) -> f64 {
        f64::from(self)
    }
    fn from_f64(value: f64) -> Self {
        value as f32
    }
}

impl Element for f64 {
    fn to_f64(self) -> f64 {
        self
    }
    fn from_f64(value: f64) -> Self {
        value
    }
}

/// Values that somebody else owns: a backend on the host can use them in place.
pub trait Shared<E = f32>: AsRef<[E]> + Send + Sync {
    /// Whether they lie in a file that is mapped into memory, so that they take up none while nobody reads them.
    fn in_file(&self) -> bool {
        false
    }
    /// Says that they will hardly be read again, by a backend that has a copy in an order of its own: what memory a mapped file
    /// takes up for them can be given back. They can still be read.
    fn release(&self) {}
    /// How many there are.
    fn count(&self) -> usize {
        self.as_ref().len()
    }
    /// The same values in fewer bits, if they are kept so: a backend that reads these, and never `as_ref`, leaves them so in memory.
    fn narrow(&self) -> Option<Narrow> {
        None
    }
    /// How many bytes [`Self::narrow`] takes up, scales included, without making it.
    fn narrow_bytes(&self) -> Option<usize> {
        self.narrow().map(|narrow| narrow.size())
    }
    /// Writes row `row` of values that are kept in fewer bits, in rows as long as `out`, widened; says whether they are. Else `out`
    /// stays as it is.
    ///
    /// # Panics
    /// If there is no such row.
    fn read_narrow_row(&self, row: usize, out: &mut [f32]) -> bool {
        let narrow = self.narrow().filter(|narrow| narrow.row_len() == out.len());
        narrow.is_some_and(|narrow| {
            narrow.read_row(row, out);
            true
        })
    }
}

impl<E: Send + Sync> Shared<E> for Vec<E> {}

/// Weights that somebody else owns, such as a memory-mapped file.
pub type SharedSlice = Arc<dyn Shared>;

/// An elementwise function of one value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Unary {
    /// `mul·x + add`
    Affine {
        /// The factor.
        mul: f64,
        /// The term.
        add: f64,
    },
    /// `1 / x`
    Recip,
    /// `√x`
    Sqrt,
    /// `eˣ`
    Exp,
    /// `ln x`
    Log,
    /// `tanh x`
    Tanh,
    /// `1 / (1 + e⁻ˣ)`
    Sigmoid,
    /// `erf x = 2/√π ∫₀ˣ e^(−t²) dt`
    Erf,
    /// `min(max(x, low), high)`; its gradient is 1 on the bounds, as in libtorch.
    Clamp {
        /// Lower bound.
        low: f64,
        /// Upper bound.
        high: f64,
    },
    /// `1` where `low ≤ x ≤ high`, else `0`: the derivative of `Clamp`.
    Inside {
        /// Lower bound.
        low: f64,
        /// Upper bound.
        high: f64,
    },
}

/// An elementwise function of two values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Binary {
    /// `a + b`
    Add,
    /// `a − b`
    Sub,
    /// `a · b`
    Mul,
    /// `a / b`
    Div,
}

/// The settings of [`Tensor::attention`].
#[derive(Debug)]
pub struct Attention<'a, T> {
    /// Number of heads; divides the width.
    pub heads: usize,
    /// Added to every score of a key, `[b, m]`: 0 for a token, [`PADDING`] for padding.
    pub key_bias: Option<&'a T>,
    /// Whether a query sees only itself and earlier keys (CLIP's text transformer).
    pub causal: bool,
}

/// Not derived: copying the settings never needs `T: Copy`.
impl<T> Clone for Attention<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Attention<'_, T> {}

/// The numbers of one step of AdamW: see [`hooks::adamw`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamWStep {
    /// Decay rate of the mean gradient, `β₁`.
    pub beta1: f64,
    /// Decay rate of the mean squared gradient, `β₂`.
    pub beta2: f64,
    /// Added to the root of the mean square, `ε`.
    pub eps: f64,
    /// What is left of the parameter before the step, `1 − η·λ`.
    pub keep: f64,
    /// `η/(1 − β₁ᵗ)`
    pub rate: f64,
    /// `1/√(1 − β₂ᵗ)`
    pub root: f64,
}

/// The score added to hide a key: far below any real score, finite in f16, and `exp(PADDING)` is exactly 0 in f32 and f64.
pub const PADDING: f64 = -3.0e4;

/// An n-dimensional array of real numbers on some device.
///
/// Implementers owe: results depend on values and shape only, never on how a tensor is laid out or shared; every shape
/// mismatch is an `Err`, never a panic; a clone is cheap and never observes later changes (tensors are immutable).
pub trait Tensor: Clone + Debug + Send + Sync + Sized + 'static {
    /// Where values live, and in which precision.
    type Device: Clone + Debug + PartialEq + Send + Sync + 'static;
    /// An integer tensor that stays on the device.
    type Index: Clone + Debug + Send + Sync + 'static;

    // ---- host ------------------------------------------------------------------------------------------------
    /// Copies row-major values to a device. `data.len()` must be the product of `shape`.
    fn from_host<E: Element>(data: &[E], shape: &[usize], device: &Self::Device) -> Result<Self>;
    /// Copies row-major positions to a device.
    fn index_from_host(data: &[usize], shape: &[usize], device: &Self::Device) -> Result<Self::Index>;
    /// All values, row-major.
    fn to_vec<E: Element>(&self) -> Result<Vec<E>>;
    /// All positions, row-major.
    fn index_to_vec(index: &Self::Index) -> Result<Vec<usize>>;
    /// The length of every axis; `[]` is a scalar.
    fn shape(&self) -> &[usize];
    /// The device it lives on.
    fn device(&self) -> Self::Device;

    // ---- elementwise -----------------------------------------------------------------------------------------
    /// `y[i] = op(x[i])`
    fn unary(&self, op: Unary) -> Result<Self>;
    /// `y[i] = op(a[i], b[i])`: equal shapes only; broadcasting is [`Tensor::expand`].
    fn binary(&self, op: Binary, rhs: &Self) -> Result<Self>;

    // ---- contraction -----------------------------------------------------------------------------------------
    /// `[…, m, k] × […, k, n] → […, m, n]`, equal leading axes.
    fn matmul(&self, rhs: &Self) -> Result<Self>;
    /// Sums over an axis, which keeps length 1.
    fn sum(&self, axis: usize) -> Result<Self>;

    // ---- movement --------------------------------------------------------------------------------------------
    /// The same row-major values under another shape.
    fn reshape(&self, shape: &[usize]) -> Result<Self>;
    /// Axis `i` of the result is axis `axes[i]` of `self`.
    fn permute(&self, axes: &[usize]) -> Result<Self>;
    /// Repeats axes of length 1 up to `shape` (same number of axes).
    fn expand(&self, shape: &[usize]) -> Result<Self>;
    /// Positions `start .. start + len` of an axis.
    fn slice(&self, axis: usize, start: usize, len: usize) -> Result<Self>;
    /// Joins along an axis; at least one tensor.
    fn concat(parts: &[&Self], axis: usize) -> Result<Self>;

    // ---- selection -------------------------------------------------------------------------------------------
    /// Positions of the `k` largest values along an axis, largest first; on a tie the order is the backend's.
    fn topk(&self, k: usize, axis: usize) -> Result<Self::Index>;
    /// `y[…, j, …] = x[…, index[…, j, …], …]`: the index has the shape of `x` but for the length of `axis`.
    fn gather(&self, axis: usize, index: &Self::Index) -> Result<Self>;
    /// A copy of `self` with `src[…, j, …]` added at `index[…, j, …]` of `axis`; repeated positions add up.
    fn scatter_add(&self, axis: usize, index: &Self::Index, src: &Self) -> Result<Self>;
    /// `[v, d]` and an index `[…]` → the rows it names, `[…, d]`.
    fn rows(&self, index: &Self::Index) -> Result<Self>;
    /// A copy of `self` `[v, d]` with the rows of `src` `[…, d]` added at `index`; repeated rows add up.
    fn rows_add(&self, index: &Self::Index, src: &Self) -> Result<Self>;

    // ---- fused hooks -----------------------------------------------------------------------------------------
    /// [`Tensor::from_host`] without a copy, where the backend can use the weights in place.
    fn from_shared(data: SharedSlice, shape: &[usize], device: &Self::Device) -> Result<Self> {
        Self::from_host((*data).as_ref(), shape, device)
    }
    /// Bytes that these values occupy once they were used as a weight: a backend that keeps weights in fewer bits, or a second time in the
    /// order in which its products read them, says so. At most; what plans of memory count with.
    fn weight_bytes(&self) -> usize {
        size_of::<f32>() * self.shape().iter().product::<usize>()
    }

    /// Says that buffers of freed tensors, kept to be used again, should not make this device's memory in use more than so many bytes.
    fn bound_memory(device: &Self::Device, bytes: usize) {
        let _ = (device, bytes);
    }

    /// `y = x·Wᵀ + b`: `x [b, …, i]`, `weight [o, i]`, `bias [o]`. See [`hooks::linear`].
    fn linear(&self, weight: &Self, bias: Option<&Self>) -> Result<Self> {
        hooks::linear(self, weight, bias)
    }
    /// Gradients of [`Tensor::linear`] for `(x, weight, bias)`; the first only if asked for. See [`hooks::linear_grad`].
    fn linear_grad(&self, weight: &Self, grad: &Self, wants_input: bool) -> Result<(Option<Self>, Self, Self)> {
        hooks::linear_grad(self, weight, grad, wants_input)
    }

    /// `softmax(x)` over the last axis. See [`hooks::softmax`].
    fn softmax(&self) -> Result<Self> {
        hooks::softmax(self)
    }
    /// Gradient of [`Tensor::softmax`]; `self` is its *output*. See [`hooks::softmax_grad`].
    fn softmax_grad(&self, grad: &Self) -> Result<Self> {
        hooks::softmax_grad(self, grad)
    }

    /// `log softmax(x)` over the last axis. See [`hooks::log_softmax`].
    fn log_softmax(&self) -> Result<Self> {
        hooks::log_softmax(self)
    }
    /// Gradient of [`Tensor::log_softmax`]; `self` is its *output*. See [`hooks::log_softmax_grad`].
    fn log_softmax_grad(&self, grad: &Self) -> Result<Self> {
        hooks::log_softmax_grad(self, grad)
    }

    /// Normalises the last axis, then scales and shifts it: `weight [d]`, `bias [d]`. See [`hooks::layer_norm`].
    fn layer_norm(&self, weight: &Self, bias: &Self, eps: f64) -> Result<Self> {
        hooks::layer_norm(self, weight, bias, eps)
    }
    /// Gradients of [`Tensor::layer_norm`] for `(x, weight, bias)`. See [`hooks::layer_norm_grad`].
    fn layer_norm_grad(&self, weight: &Self, eps: f64, grad: &Self) -> Result<(Self, Self, Self)> {
        hooks::layer_norm_grad(self, weight, eps, grad)
    }

    /// `x·Φ(x)`, the exact Gaussian error linear unit. See [`hooks::gelu`].
    fn gelu(&self) -> Result<Self> {
        hooks::gelu(self)
    }
    /// Gradient of [`Tensor::gelu`]; `self` is its input. See [`hooks::gelu_grad`].
    fn gelu_grad(&self, grad: &Self) -> Result<Self> {
        hooks::gelu_grad(self, grad)
    }

    /// Multi-head scaled dot-product attention: `self` = queries `[b, n, d]`, keys and values `[b, m, d]` → `[b, n, d]`.
    /// See [`hooks::attention`].
    fn attention(&self, keys: &Self, values: &Self, how: Attention<'_, Self>) -> Result<Self> {
        hooks::attention(self, keys, values, how)
    }
    /// Gradients of [`Tensor::attention`] for `(queries, keys, values)`. See [`hooks::attention_grad`].
    fn attention_grad(
        &self,
        keys: &Self,
        values: &Self,
        how: Attention<'_, Self>,
        grad: &Self,
    ) -> Result<(Self, Self, Self)> {
        hooks::attention_grad(self, keys, values, how, grad)
    }

    /// One step of AdamW: `self` = parameter, with its gradient and running means `m` and `v` → all three after the step, as
    /// constants. The means are given up, so that a backend may write over their memory; a clone that the caller keeps never
    /// changes. No adjoint: nobody differentiates a step. See [`hooks::adamw`].
    fn adamw(&self, grad: &Self, m: Self, v: Self, step: AdamWStep) -> Result<[Self; 3]> {
        hooks::adamw(self, grad, &m, &v, step)
    }
}

/// A tensor that remembers how it was computed.
///
/// Inference uses any [`Tensor`], training a `Differentiable`: there is no `no_grad` flag to forget.
pub trait Differentiable: Tensor {
    /// The same kind of tensor without a record, for inference.
    type Plain: Tensor<Device = Self::Device>;
    /// The same values without their record.
    fn plain(&self) -> Self::Plain;
    /// The same values as the start of a new computation, whose gradient can be asked for.
    fn leaf(&self) -> Self;
    /// The same values as a constant.
    fn detach(&self) -> Self;
    /// `∂self/∂leaf` for every leaf; `self` holds one value. A leaf that `self` does not depend on gets zeros.
    fn grad(&self, leaves: &[&Self]) -> Result<Vec<Self>>;
    /// `self` as a constant, and its [`Self::grad`]. The record is given up, so that a backend may free each layer's intermediate values
    /// as soon as the backward pass is through with them. Asking for a gradient through the same record again, from a clone or from
    /// another tensor computed on the way, may be an error.
    ///
    /// # Errors
    /// If `self` does not hold one value, or the backend fails.
    fn backward(self, leaves: &[&Self]) -> Result<(Self, Vec<Self>)> {
        let gradients = self.grad(leaves)?;
        Ok((self.detach(), gradients))
    }
}
