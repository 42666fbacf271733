//! A backend with a planted [`crate::Mistake`]: in a kernel, or in the adjoint of a hook. ([`crate::Misled`] has those of the table.)

use crate::mistake::Mistake::*;
use crate::mistake::planted;
use crate::wrapper::{differentiate_inside, forward};
use simseg_tensor::{Attention, Binary, Element, Ops, Result, SharedSlice, Tensor, Unary};

/// A backend whose kernels are right but for the planted mistake.
#[derive(Debug, Clone)]
pub struct Faulty<T>(pub T);

/// The settings as the inner backend takes them.
fn inner<'a, T>(how: &Attention<'a, Faulty<T>>) -> Attention<'a, T> {
    Attention { heads: how.heads, key_bias: how.key_bias.map(|bias| &bias.0), causal: how.causal }
}

/// `x` rounded to 10 bits of mantissa, if that is the mistake.
fn tf32<T: Tensor>(x: &T) -> Result<T> {
    if planted() != Some(Tf32) {
        return Ok(x.clone());
    }
    let round = |x: f64| f64::from(f32::from_bits((x as f32).to_bits().saturating_add(0x1000) & !0x1fff));
    let values: Vec<f64> = x.to_vec::<f64>()?.into_iter().map(round).collect();
    T::from_host(&values, x.shape(), &x.device())
}

/// `√(2/π)·(x + 0.044715·x³)`, whose tanh passes for `erf(x/√2)`.
fn cheap<T: Tensor>(x: &T) -> Result<T> {
    let cubed = x.square()?.mul(x)?.scale(0.044_715)?;
    x.add(&cubed)?.scale((2.0 / std::f64::consts::PI).sqrt())
}

/// A vector `[d]` as a row of `like`'s rank.
fn row<T: Tensor>(x: &T, like: &T) -> Result<T> {
    let mut shape = vec![1; like.rank()];
    shape[like.rank() - 1] = x.width();
    x.reshape(&shape)
}

impl<T: Tensor> Faulty<T> {
    /// The result of an operation, unless it is the one to be nudged.
    fn nudged(operation: &str, y: T) -> Result<Self> {
        match planted() {
            Some(Nudge(guilty)) if guilty == operation => y.affine(1.001, 1e-3).map(Self),
            _ => Ok(Self(y)),
        }
    }
}

impl<T: Tensor> Tensor for Faulty<T> {
    forward!(host reshape);

    fn from_shared(data: SharedSlice, shape: &[usize], device: &T::Device) -> Result<Self> {
        T::from_shared(data, shape, device).map(Self)
    }
    fn unary(&self, op: Unary) -> Result<Self> {
        let (name, y) = match op {
            Unary::Affine { .. } => ("affine", self.0.unary(op)?),
            Unary::Recip => ("recip", self.0.unary(op)?),
            Unary::Sqrt => ("sqrt", self.0.unary(op)?),
            Unary::Exp => ("exp", self.0.unary(op)?),
            Unary::Log => ("log", self.0.unary(op)?),
            Unary::Tanh => ("tanh", self.0.unary(op)?),
            Unary::Sigmoid => ("sigmoid", self.0.unary(op)?),
            Unary::Erf if planted() == Some(ErfByTanh) => {
                ("erf", cheap(&self.0.scale(std::f64::consts::SQRT_2)?)?.tanh()?)
            }
            Unary::Erf => ("erf", self.0.unary(op)?),
            Unary::Clamp { .. } => ("clamp", self.0.unary(op)?),
            Unary::Inside { .. } => ("inside", self.0.unary(op)?),
        };
        Self::nudged(name, y)
    }
    fn binary(&self, op: Binary, rhs: &Self) -> Result<Self> {
        let (name, swapped) = match op {
            Binary::Add => ("add", false),
            Binary::Sub => ("sub", planted() == Some(DifferenceSwapped)),
            Binary::Mul => ("mul", false),
            Binary::Div => ("div", planted() == Some(QuotientSwapped)),
        };
        Self::nudged(name, if swapped { rhs.0.binary(op, &self.0)? } else { self.0.binary(op, &rhs.0)? })
    }
    fn matmul(&self, rhs: &Self) -> Result<Self> {
        Self::nudged("matmul", tf32(&self.0)?.matmul(&tf32(&rhs.0)?)?)
    }
    fn sum(&self, axis: usize) -> Result<Self> {
        let y = match self.shape().get(axis) {
            Some(&len) if planted() == Some(SumMissesTheLast) && len > 1 => {
                self.0.slice(axis, 0, len - 1)?.sum(axis)?
            }
            _ => self.0.sum(axis)?,
        };
        Self::nudged("sum", y)
    }
    fn permute(&self, axes: &[usize]) -> Result<Self> {
        let mut inverse = vec![0; axes.len()];
        if planted() == Some(PermuteByTheInverse) && axes.iter().all(|&axis| axis < axes.len()) {
            axes.iter().enumerate().for_each(|(to, &from)| inverse[from] = to);
            let shape: Vec<usize> = axes.iter().map(|&axis| self.shape()[axis]).collect();
            return self.0.permute(&inverse)?.reshape(&shape).map(Self);
        }
        self.0.permute(axes).map(Self)
    }
    fn expand(&self, shape: &[usize]) -> Result<Self> {
        Self::nudged("expand", self.0.expand(shape)?)
    }
    fn slice(&self, axis: usize, start: usize, len: usize) -> Result<Self> {
        let more = self.shape().get(axis).is_some_and(|&bound| start.saturating_add(len) < bound);
        let late = usize::from(planted() == Some(SliceStartsLate) && more);
        self.0.slice(axis, start.saturating_add(late), len).map(Self)
    }
    fn concat(parts: &[&Self], axis: usize) -> Result<Self> {
        let mut parts: Vec<&T> = parts.iter().map(|part| &part.0).collect();
        if planted() == Some(ConcatReversed) {
            parts.reverse();
        }
        T::concat(&parts, axis).map(Self)
    }
    fn topk(&self, k: usize, axis: usize) -> Result<T::Index> {
        if planted() != Some(TopkOffByOne) || self.shape().get(axis).is_none_or(|&len| k >= len) {
            return self.0.topk(k, axis);
        }
        // Ranks 2 to k + 1, read through a tensor of positions.
        let index = self.0.topk(k + 1, axis)?;
        let mut shape = self.shape().to_vec();
        shape[axis] = k + 1;
        let positions: Vec<f64> = T::index_to_vec(&index)?.into_iter().map(|i| i as f64).collect();
        let late = T::from_host(&positions, &shape, &self.device())?.slice(axis, 1, k)?;
        let late: Vec<usize> = late.to_vec::<f64>()?.into_iter().map(|i| i as usize).collect();
        shape[axis] = k;
        T::index_from_host(&late, &shape, &self.device())
    }
    fn gather(&self, axis: usize, index: &T::Index) -> Result<Self> {
        let y = match self.shape().get(axis) {
            Some(&len) if planted() == Some(GatherOffByOne) && len > 1 => {
                let turned = T::concat(&[&self.0.slice(axis, 1, len - 1)?, &self.0.slice(axis, 0, 1)?], axis)?;
                turned.gather(axis, index)?
            }
            _ => self.0.gather(axis, index)?,
        };
        Self::nudged("gather", y)
    }
    fn scatter_add(&self, axis: usize, index: &T::Index, src: &Self) -> Result<Self> {
        if planted() != Some(ScatterOverwrites) {
            return Self::nudged("scatter_add", self.0.scatter_add(axis, index, &src.0)?);
        }
        // What lies at the target is lost.
        let hit = self.0.zeros_like()?.scatter_add(axis, index, &src.0.zeros_like()?.shift(1.0)?)?;
        let keep = hit.affine(-1.0, 1.0)?.clamp(0.0, 1.0)?.mul(&self.0)?;
        keep.scatter_add(axis, index, &src.0).map(Self)
    }
    fn rows(&self, index: &T::Index) -> Result<Self> {
        Self::nudged("rows", self.0.rows(index)?)
    }
    fn rows_add(&self, index: &T::Index, src: &Self) -> Result<Self> {
        if planted() != Some(RowsOverwrite) {
            return Self::nudged("rows_add", self.0.rows_add(index, &src.0)?);
        }
        // Of repeated rows the mean is left.
        let zeros = self.0.zeros_like()?;
        let count = zeros.rows_add(index, &src.0.zeros_like()?.shift(1.0)?)?;
        let mean = zeros.rows_add(index, &src.0)?.div(&count.clamp(1.0, f64::MAX)?)?;
        self.0.add(&mean).map(Self)
    }

    fn linear(&self, weight: &Self, bias: Option<&Self>) -> Result<Self> {
        let y = tf32(&self.0)?.linear(&tf32(&weight.0)?, bias.map(|bias| &bias.0))?;
        Self::nudged("linear", y)
    }
    fn linear_grad(&self, weight: &Self, grad: &Self, wants_input: bool) -> Result<(Option<Self>, Self, Self)> {
        let (dx, dw, db) = self.0.linear_grad(&weight.0, &grad.0, wants_input)?;
        let turned = planted() == Some(LinearGradNotTransposed);
        let dw = if turned { dw.t()?.reshape(dw.shape())? } else { dw };
        Ok((dx.map(Self), Self(dw), Self(db)))
    }
    fn softmax(&self) -> Result<Self> {
        let wrong = planted() == Some(SoftmaxOverTheWrongAxis) && self.rank() > 1;
        Self::nudged("softmax", if wrong { self.0.t()?.softmax()?.t()? } else { self.0.softmax()? })
    }
    fn softmax_grad(&self, grad: &Self) -> Result<Self> {
        let wrong = planted() == Some(SoftmaxGradWithoutMean);
        if wrong { self.0.mul(&grad.0).map(Self) } else { self.0.softmax_grad(&grad.0).map(Self) }
    }
    fn log_softmax(&self) -> Result<Self> {
        Self::nudged("log_softmax", self.0.log_softmax()?)
    }
    fn log_softmax_grad(&self, grad: &Self) -> Result<Self> {
        self.0.log_softmax_grad(&grad.0).map(Self)
    }
    fn layer_norm(&self, weight: &Self, bias: &Self, eps: f64) -> Result<Self> {
        let (axis, d) = (self.rank().saturating_sub(1), self.width() as f64);
        let spread = || -> Result<(T, T)> {
            let centred = self.0.sub(&self.0.mean(axis)?)?;
            let variance = centred.square()?.mean(axis)?;
            Ok((centred, variance))
        };
        let (centred, deviation) = match planted() {
            Some(LayerNormEpsOutsideTheRoot) => {
                let (centred, variance) = spread()?;
                (centred, variance.sqrt()?.shift(eps)?)
            }
            Some(LayerNormUnbiased) => {
                let (centred, variance) = spread()?;
                (centred, variance.scale(d / (d - 1.0))?.shift(eps)?.sqrt()?)
            }
            _ => return Self::nudged("layer_norm", self.0.layer_norm(&weight.0, &bias.0, eps)?),
        };
        let scaled = centred.div(&deviation)?.mul(&row(&weight.0, &self.0)?)?;
        scaled.add(&row(&bias.0, &self.0)?).map(Self)
    }
    fn layer_norm_grad(&self, weight: &Self, eps: f64, grad: &Self) -> Result<(Self, Self, Self)> {
        let (mut dx, dw, db) = self.0.layer_norm_grad(&weight.0, eps, &grad.0)?;
        if planted() == Some(LayerNormGradWithoutMean) {
            let axis = self.rank() - 1;
            let centred = self.0.sub(&self.0.mean(axis)?)?;
            let inverse = centred.square()?.mean(axis)?.shift(eps)?.sqrt()?.recip()?;
            dx = dx.add(&grad.0.mul(&row(&weight.0, &self.0)?)?.mean(axis)?.mul(&inverse)?)?;
        }
        Ok((Self(dx), Self(dw), Self(db)))
    }
    fn gelu(&self) -> Result<Self> {
        if planted() == Some(GeluByTanh) {
            return self.0.mul(&cheap(&self.0)?.tanh()?.affine(0.5, 0.5)?).map(Self);
        }
        Self::nudged("gelu", self.0.gelu()?)
    }
    fn gelu_grad(&self, grad: &Self) -> Result<Self> {
        if planted() == Some(GeluGradWithoutDensity) {
            let cdf = self.0.scale(std::f64::consts::FRAC_1_SQRT_2)?.erf()?.affine(0.5, 0.5)?;
            return grad.0.mul(&cdf).map(Self);
        }
        self.0.gelu_grad(&grad.0).map(Self)
    }
    fn attention(&self, keys: &Self, values: &Self, how: Attention<'_, Self>) -> Result<Self> {
        let (q, k, v, settings) = (&self.0, &keys.0, &values.0, inner(&how));
        let c = (self.width() / how.heads.max(1)) as f64;
        let y = match planted() {
            Some(AttentionScaledTwice) => q.scale(1.0 / c.sqrt())?.attention(k, v, settings)?,
            Some(PaddingLeaks) => q.attention(k, v, Attention { key_bias: None, ..settings })?,
            Some(CausalMaskOffByOne) if how.causal && how.key_bias.is_none() => {
                // Every query also sees the next key: the mask of a sequence that is one longer.
                let n = self.shape()[1];
                let front = T::concat(&[&q.slice(1, 0, 1)?, q], 1)?;
                let back = |x: &T| T::concat(&[x, &x.slice(1, n - 1, 1)?], 1);
                front.attention(&back(k)?, &back(v)?, settings)?.slice(1, 1, n)?
            }
            _ => tf32(q)?.attention(&tf32(k)?, &tf32(v)?, settings)?,
        };
        Self::nudged("attention", y)
    }
    fn attention_grad(
        &self,
        keys: &Self,
        values: &Self,
        how: Attention<'_, Self>,
        grad: &Self,
    ) -> Result<(Self, Self, Self)> {
        let (mut dq, dk, dv) = self.0.attention_grad(&keys.0, &values.0, inner(&how), &grad.0)?;
        if planted() == Some(AttentionGradWithoutScale) {
            dq = dq.scale(((self.width() / how.heads) as f64).sqrt())?;
        }
        Ok((Self(dq), Self(dk), Self(dv)))
    }
}

differentiate_inside!(Faulty);
