//! Planted faults: a backend that is wrong in one known place, to show that the tests would notice.
//!
//! `Faulty<T>` forwards everything to `T` but for the fault of [`FAULTS`] that the current thread has planted ([`plant`]). Kernel faults change what an
//! operation computes; rule faults change only the derivative of a fused hook.

use std::cell::Cell;

use simseg_tensor::{Attention, Binary, Element, Ops, Result, Tensor, Unary, hooks};

/// Name of a fault and of the step it breaks.
pub const FAULTS: [(&str, &str); 18] = [
    ("sum misses the last value", "sum"),
    ("operands of a difference swapped", "sub"),
    ("operands of a quotient swapped", "div"),
    ("product rounded to TF32 (10-bit mantissa)", "matmul"),
    ("top-k off by one", "largest"),
    ("scatter overwrites where it should add", "scatter_add"),
    ("rows overwrite where they should add", "rows_add"),
    ("slice starts one late", "slice"),
    ("permute by the inverse", "permute"),
    ("concat in reverse order", "concat"),
    ("erf by its tanh approximation", "erf"),
    ("layer norm with ε outside the root", "layer_norm"),
    ("layer norm with the unbiased variance", "layer_norm"),
    ("attention scaled by 1/d", "attention"),
    ("causal mask off by one", "attention"),
    ("softmax derivative without its mean", "softmax"),
    ("layer norm derivative without its mean", "layer_norm"),
    ("weight gradient not transposed", "linear"),
];

thread_local! {
    static PLANTED: Cell<usize> = const { Cell::new(usize::MAX) };
}

/// Plants a fault by its position in [`FAULTS`] for all work that this thread asks for; any other number plants none.
///
/// A number at run time, not a type: eighteen backends would be compiled otherwise.
pub fn plant(fault: usize) {
    PLANTED.set(fault);
}

fn planted() -> usize {
    PLANTED.get()
}

/// A backend with the planted fault.
#[derive(Debug, Clone)]
pub struct Faulty<T>(pub T);

impl<T: Tensor> Faulty<T> {
    /// `x` rounded to a 10-bit mantissa.
    fn tf32(x: &T) -> Result<T> {
        let round = |x: f64| f64::from(f32::from_bits((x as f32).to_bits().saturating_add(0x1000) & !0x1fff));
        let values: Vec<f64> = x.to_vec::<f64>()?.into_iter().map(round).collect();
        T::from_host(&values, x.shape(), &x.device())
    }
}

impl<T: Tensor> Tensor for Faulty<T> {
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
        if planted() == 10 && op == Unary::Erf {
            // erf(x) ≈ tanh(2/√π·(x + 0.089·x³)): the cheap GELU.
            let cubed = self.0.square()?.mul(&self.0)?.scale(0.044_715 * 2.0)?;
            return Ok(Self(self.0.add(&cubed)?.scale(std::f64::consts::FRAC_2_SQRT_PI)?.tanh()?));
        }
        self.0.unary(op).map(Self)
    }
    fn binary(&self, op: Binary, rhs: &Self) -> Result<Self> {
        let swap = (planted() == 1 && op == Binary::Sub) || (planted() == 2 && op == Binary::Div);
        if swap { rhs.0.binary(op, &self.0).map(Self) } else { self.0.binary(op, &rhs.0).map(Self) }
    }
    fn matmul(&self, rhs: &Self) -> Result<Self> {
        if planted() == 3 {
            return Self::tf32(&self.0)?.matmul(&Self::tf32(&rhs.0)?).map(Self);
        }
        self.0.matmul(&rhs.0).map(Self)
    }
    fn sum(&self, axis: usize) -> Result<Self> {
        match self.shape().get(axis) {
            Some(&len) if planted() == 0 && len > 1 => self.0.slice(axis, 0, len - 1)?.sum(axis).map(Self),
            _ => self.0.sum(axis).map(Self),
        }
    }
    fn reshape(&self, shape: &[usize]) -> Result<Self> {
        self.0.reshape(shape).map(Self)
    }
    fn permute(&self, axes: &[usize]) -> Result<Self> {
        let mut inverse = vec![0; axes.len()];
        if planted() == 8 && axes.iter().all(|&axis| axis < axes.len()) {
            axes.iter().enumerate().for_each(|(to, &from)| inverse[from] = to);
            return self.0.permute(&inverse).map(Self);
        }
        self.0.permute(axes).map(Self)
    }
    fn expand(&self, shape: &[usize]) -> Result<Self> {
        self.0.expand(shape).map(Self)
    }
    fn slice(&self, axis: usize, start: usize, len: usize) -> Result<Self> {
        let late = planted() == 7 && self.shape().get(axis).is_some_and(|&bound| start.saturating_add(len) < bound);
        self.0.slice(axis, start.saturating_add(usize::from(late)), len).map(Self)
    }
    fn concat(parts: &[&Self], axis: usize) -> Result<Self> {
        let mut parts: Vec<&T> = parts.iter().map(|part| &part.0).collect();
        if planted() == 9 {
            parts.reverse();
        }
        T::concat(&parts, axis).map(Self)
    }
    fn topk(&self, k: usize, axis: usize) -> Result<T::Index> {
        if planted() == 4 && self.shape().get(axis).is_some_and(|&len| k < len) {
            let index = self.0.topk(k + 1, axis)?;
            let mut shape = self.shape().to_vec();
            shape[axis] = k;
            // Ranks 2 to k+1, read through a tensor of positions.
            let wide = [&shape[..axis], &[k + 1], &shape[axis + 1..]].concat();
            let positions: Vec<f64> = T::index_to_vec(&index)?.into_iter().map(|i| i as f64).collect();
            let late = T::from_host(&positions, &wide, &self.device())?.slice(axis, 1, k)?.to_vec::<f64>()?;
            let late: Vec<usize> = late.into_iter().map(|i| i as usize).collect();
            return T::index_from_host(&late, &shape, &self.device());
        }
        self.0.topk(k, axis)
    }
    fn gather(&self, axis: usize, index: &T::Index) -> Result<Self> {
        self.0.gather(axis, index).map(Self)
    }
    fn scatter_add(&self, axis: usize, index: &T::Index, src: &Self) -> Result<Self> {
        if planted() == 5 {
            // What lies at the target is lost; repeated positions keep the mean of what they were given.
            let zeros = self.0.zeros_like()?;
            let ones = src.0.zeros_like()?.shift(1.0)?;
            let count = zeros.scatter_add(axis, index, &ones)?;
            let keep = count.affine(-1.0, 1.0)?.clamp(0.0, 1.0)?.mul(&self.0)?;
            let mean = zeros.scatter_add(axis, index, &src.0)?.div(&count.clamp(1.0, f64::MAX)?)?;
            return keep.add(&mean).map(Self);
        }
        self.0.scatter_add(axis, index, &src.0).map(Self)
    }
    fn rows(&self, index: &T::Index) -> Result<Self> {
        self.0.rows(index).map(Self)
    }
    fn rows_add(&self, index: &T::Index, src: &Self) -> Result<Self> {
        if planted() == 6 {
            let zeros = self.0.zeros_like()?;
            let count = zeros.rows_add(index, &src.0.zeros_like()?.shift(1.0)?)?;
            let mean = zeros.rows_add(index, &src.0)?.div(&count.clamp(1.0, f64::MAX)?)?;
            return self.0.add(&mean).map(Self);
        }
        self.0.rows_add(index, &src.0).map(Self)
    }

    fn layer_norm(&self, weight: &Self, bias: &Self, eps: f64) -> Result<Self> {
        let axis = self.rank().saturating_sub(1);
        let d = self.width() as f64;
        match planted() {
            11 | 12 => {
                let centred = self.0.sub(&self.0.mean(axis)?)?;
                let variance = centred.square()?.mean(axis)?;
                let deviation = match planted() {
                    11 => variance.sqrt()?.shift(eps)?,
                    _ => variance.scale(d / (d - 1.0))?.shift(eps)?.sqrt()?,
                };
                let mut shape = vec![1; self.rank()];
                shape[axis] = self.width();
                let scaled = centred.div(&deviation)?.mul(&weight.0.reshape(&shape)?)?;
                scaled.add(&bias.0.reshape(&shape)?).map(Self)
            }
            _ => hooks::layer_norm(self, weight, bias, eps),
        }
    }
    fn attention(&self, keys: &Self, values: &Self, how: Attention<'_, Self>) -> Result<Self> {
        let key_bias = how.key_bias.map(|bias| &bias.0);
        let inner = Attention { heads: how.heads, key_bias, causal: how.causal };
        let c = (self.width() / how.heads.max(1)) as f64;
        match planted() {
            13 => self.0.scale(1.0 / c.sqrt())?.attention(&keys.0, &values.0, inner).map(Self),
            14 if how.causal => {
                // Every query also sees the next key: the mask of a sequence that is one longer.
                let n = self.shape()[1];
                let grow = |x: &T| T::concat(&[&x.slice(1, 0, 1)?, x], 1);
                let wide = grow(&self.0)?;
                let long = |x: &T| T::concat(&[x, &x.slice(1, n - 1, 1)?], 1);
                let out = wide.attention(&long(&keys.0)?, &long(&values.0)?, inner)?;
                out.slice(1, 1, n).map(Self)
            }
            _ => hooks::attention(self, keys, values, how),
        }
    }
    fn softmax_grad(&self, grad: &Self) -> Result<Self> {
        if planted() == 15 {
            return self.0.mul(&grad.0).map(Self);
        }
        hooks::softmax_grad(self, grad)
    }
    fn layer_norm_grad(&self, weight: &Self, eps: f64, grad: &Self) -> Result<(Self, Self, Self)> {
        let (dx, dw, db) = hooks::layer_norm_grad(self, weight, eps, grad)?;
        if planted() != 16 {
            return Ok((dx, dw, db));
        }
        let axis = self.rank() - 1;
        let mut shape = vec![1; self.rank()];
        shape[axis] = self.width();
        let centred = self.0.sub(&self.0.mean(axis)?)?;
        let inverse = centred.square()?.mean(axis)?.shift(eps)?.sqrt()?.recip()?;
        let missing = grad.0.mul(&weight.0.reshape(&shape)?)?.mean(axis)?.mul(&inverse)?;
        Ok((Self(dx.0.add(&missing)?), dw, db))
    }
    fn linear_grad(&self, weight: &Self, grad: &Self, wants_input: bool) -> Result<(Option<Self>, Self, Self)> {
        let (dx, dw, db) = hooks::linear_grad(self, weight, grad, wants_input)?;
        if planted() != 17 {
            return Ok((dx, dw, db));
        }
        let shape = dw.shape().to_vec();
        Ok((dx, dw.t()?.reshape(&shape)?, db))
    }
}
