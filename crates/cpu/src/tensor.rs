//! A tensor on the CPU: shared values, an offset, one stride per axis. Movement changes the strides, not the values.

use crate::product::{Kernel, Prepared};
use crate::scalar::Scalar;
use crate::storage::{Buffer, Storage, Weight};
use crate::{contraction, fused, selection, walk};
use ndarray::{ArrayView, IxDyn, ShapeBuilder};
use simseg_tensor::{AdamWStep, Attention, Binary, Element, Result, SharedSlice, Tensor, Unary, contract};
use std::fmt;
use std::sync::Arc;

/// The CPU. Threads are those of the current rayon pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CpuDevice;

/// Positions, row-major.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CpuIndex {
    pub(crate) positions: Arc<[u32]>,
    pub(crate) shape: Vec<usize>,
}

/// An n-dimensional array of f32 or f64.
#[derive(Clone)]
pub struct CpuTensor<A: Scalar> {
    data: Storage<A>,
    shape: Vec<usize>,
    strides: Vec<usize>,
    offset: usize,
}

/// Row-major strides.
fn row_major(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis];
    }
    strides
}

impl<A: Scalar> CpuTensor<A> {
    /// A tensor that owns row-major values; `values.len()` is the product of `shape`.
    pub(crate) fn owned(values: Buffer<A>, shape: &[usize]) -> Self {
        debug_assert_eq!(values.len(), shape.iter().product::<usize>());
        let strides = row_major(shape);
        Self { data: Storage::Owned(Arc::new(values)), shape: shape.to_vec(), strides, offset: 0 }
    }

    /// Computes a row-major tensor: `fill` writes every value.
    pub(crate) fn build(shape: &[usize], fill: impl FnOnce(&mut [A])) -> Self {
        let mut values = Buffer::unwritten(shape.iter().product());
        fill(&mut values);
        Self::owned(values, shape)
    }

    pub(crate) fn numel(&self) -> usize {
        self.shape.iter().product()
    }

    /// Values from the first one on, and the strides to read them with.
    pub(crate) fn parts(&self) -> (&[A], &[usize]) {
        let data: &[A] = &self.data;
        (&data[self.offset.min(data.len())..], &self.strides)
    }

    /// Whether values lie row-major without gaps.
    fn is_contiguous(&self) -> bool {
        let wanted = row_major(&self.shape);
        self.numel() == 0 || (0..self.shape.len()).all(|i| self.shape[i] == 1 || self.strides[i] == wanted[i])
    }

    /// The same values row-major without gaps; no copy if they are.
    pub(crate) fn contiguous(&self) -> Self {
        if self.is_contiguous() {
            return Self { strides: row_major(&self.shape), ..self.clone() };
        }
        Self::build(&self.shape, |out| walk::map(&self.shape, self.parts(), out, |x| x))
    }

    /// The values of a tensor made by [`Self::contiguous`].
    pub(crate) fn values(&self) -> &[A] {
        &self.parts().0[..self.numel()]
    }

    /// These weights `[o, i]` as the right operand `[i, o]` of a product, if they can be prepared once for all.
    pub(crate) fn prepared(&self, kernel: &'static Kernel<A>) -> Option<&Prepared<A>> {
        match &self.data {
            Storage::Shared(weight) if self.shape.len() == 2 => {
                let ([o, i], [row, column]) = ([self.shape[0], self.shape[1]], [self.strides[0], self.strides[1]]);
                let strides = [column as isize, row as isize];
                weight.prepared(kernel, [i, o], strides, || contraction::view2(self).reversed_axes())
            }
            _ => None,
        }
    }

    /// Rows of this table `[v, d]`, if it is a whole weight in fewer bits; says whether it is. Only these rows are widened.
    pub(crate) fn read_narrow_rows(&self, rows: &[u32], out: &mut [A]) -> bool {
        match &self.data {
            Storage::Shared(weight) if weight.count() == self.numel() && self.is_contiguous() => {
                weight.read_narrow_rows(rows, self.shape[1], out)
            }
            _ => false,
        }
    }

    /// As an ndarray view, in whatever layout it has.
    pub fn view(&self) -> ArrayView<'_, A, IxDyn> {
        let (data, strides) = self.parts();
        let shape = IxDyn(&self.shape).strides(IxDyn(strides));
        ArrayView::from_shape(shape, data).expect("strides stay within the storage")
    }

    /// `[outer, len, inner]` around an axis.
    pub(crate) fn around(shape: &[usize], axis: usize) -> [usize; 3] {
        [shape[..axis].iter().product(), shape[axis], shape[axis + 1..].iter().product()]
    }
}

impl<A: Scalar> fmt::Debug for CpuTensor<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CpuTensor<{}>{:?}", A::NAME, self.shape)?;
        if self.numel() <= 64 { write!(f, " {:?}", self.view()) } else { Ok(()) }
    }
}

impl<A: Scalar> Tensor for CpuTensor<A> {
    type Device = CpuDevice;
    type Index = CpuIndex;

    fn from_host<E: Element>(data: &[E], shape: &[usize], _: &CpuDevice) -> Result<Self> {
        contract::values("from_host", data.len(), shape)?;
        Ok(Self::build(shape, |out| out.iter_mut().zip(data).for_each(|(y, x)| *y = A::from_f64(x.to_f64()))))
    }

    fn from_shared(data: SharedSlice, shape: &[usize], device: &CpuDevice) -> Result<Self> {
        contract::values("from_shared", data.count(), shape)?;
        match A::share(data) {
            Ok(data) => {
                let strides = row_major(shape);
                let data = Storage::Shared(Arc::new(Weight::new(data)));
                Ok(Self { data, shape: shape.to_vec(), strides, offset: 0 })
            }
            Err(data) => Self::from_host((*data).as_ref(), shape, device),
        }
    }

    fn bound_memory(_: &CpuDevice, bytes: usize) {
        crate::arena::bound(bytes);
    }

    fn weight_bytes(&self) -> usize {
        match &self.data {
            Storage::Shared(weight) if weight.count() == self.numel() => weight.bytes(),
            _ => size_of::<A>() * self.numel(),
        }
    }

    fn index_from_host(data: &[usize], shape: &[usize], _: &CpuDevice) -> Result<CpuIndex> {
        contract::values("index_from_host", data.len(), shape)?;
        contract::positions("index_from_host", data)?;
        Ok(CpuIndex { positions: data.iter().map(|&position| position as u32).collect(), shape: shape.to_vec() })
    }

    fn to_vec<E: Element>(&self) -> Result<Vec<E>> {
        Ok(self.contiguous().values().iter().map(|x| E::from_f64(x.to_f64())).collect())
    }

    fn index_to_vec(index: &CpuIndex) -> Result<Vec<usize>> {
        Ok(index.positions.iter().map(|&position| position as usize).collect())
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn device(&self) -> CpuDevice {
        CpuDevice
    }

    fn unary(&self, op: Unary) -> Result<Self> {
        let (one, lit) = (A::lit(1.0), A::lit);
        Ok(Self::build(&self.shape, |out| {
            let (shape, x) = (&self.shape[..], self.parts());
            match op {
                Unary::Affine { mul, add } => {
                    let (mul, add) = (lit(mul), lit(add));
                    walk::map(shape, x, out, move |x| mul * x + add);
                }
                Unary::Recip => walk::map(shape, x, out, |x| one / x),
                Unary::Sqrt => walk::map(shape, x, out, A::sqrt),
                Unary::Exp => walk::map(shape, x, out, A::exp),
                Unary::Log => walk::map(shape, x, out, A::ln),
                Unary::Tanh => walk::map(shape, x, out, A::tanh),
                Unary::Sigmoid => walk::map(shape, x, out, |x| one / (one + (A::default() - x).exp())),
                Unary::Erf => walk::map(shape, x, out, A::erf),
                Unary::Clamp { low, high } => {
                    let (low, high) = (lit(low), lit(high));
                    // Comparisons in this order let a NaN through, as libtorch does.
                    walk::map(shape, x, out, move |x| {
                        if x < low {
                            low
                        } else if x > high {
                            high
                        } else {
                            x
                        }
                    });
                }
                Unary::Inside { low, high } => {
                    let (low, high) = (lit(low), lit(high));
                    walk::map(shape, x, out, move |x| if x >= low && x <= high { one } else { A::default() });
                }
            }
        }))
    }

    fn binary(&self, op: Binary, rhs: &Self) -> Result<Self> {
        contract::equal("binary", &self.shape, &rhs.shape)?;
        Ok(Self::build(&self.shape, |out| {
            let (a, b) = (self.parts(), rhs.parts());
            match op {
                Binary::Add => walk::zip(&self.shape, a, b, out, |a, b| a + b),
                Binary::Sub => walk::zip(&self.shape, a, b, out, |a, b| a - b),
                Binary::Mul => walk::zip(&self.shape, a, b, out, |a, b| a * b),
                Binary::Div => walk::zip(&self.shape, a, b, out, |a, b| a / b),
            }
        }))
    }

    fn matmul(&self, rhs: &Self) -> Result<Self> {
        contraction::matmul(self, rhs)
    }

    fn sum(&self, axis: usize) -> Result<Self> {
        contraction::sum(self, axis)
    }

    fn reshape(&self, shape: &[usize]) -> Result<Self> {
        contract::reshape(&self.shape, shape)?;
        let flat = self.contiguous();
        Ok(Self { strides: row_major(shape), shape: shape.to_vec(), ..flat })
    }

    fn permute(&self, axes: &[usize]) -> Result<Self> {
        let shape = contract::permute(&self.shape, axes)?;
        Ok(Self { shape, strides: axes.iter().map(|&axis| self.strides[axis]).collect(), ..self.clone() })
    }

    fn expand(&self, shape: &[usize]) -> Result<Self> {
        contract::expand(&self.shape, shape)?;
        let stride = |axis: usize| if self.shape[axis] == shape[axis] { self.strides[axis] } else { 0 };
        Ok(Self { strides: (0..shape.len()).map(stride).collect(), shape: shape.to_vec(), ..self.clone() })
    }

    fn slice(&self, axis: usize, start: usize, len: usize) -> Result<Self> {
        let shape = contract::slice(&self.shape, axis, start, len)?;
        Ok(Self { offset: self.offset + start * self.strides[axis], shape, ..self.clone() })
    }

    fn concat(parts: &[&Self], axis: usize) -> Result<Self> {
        selection::concat(parts, axis)
    }

    fn topk(&self, k: usize, axis: usize) -> Result<CpuIndex> {
        selection::topk(self, k, axis)
    }

    fn gather(&self, axis: usize, index: &CpuIndex) -> Result<Self> {
        selection::gather(self, axis, index)
    }

    fn scatter_add(&self, axis: usize, index: &CpuIndex, src: &Self) -> Result<Self> {
        selection::scatter_add(self, axis, index, src)
    }

    fn rows(&self, index: &CpuIndex) -> Result<Self> {
        selection::rows(self, index)
    }

    fn rows_add(&self, index: &CpuIndex, src: &Self) -> Result<Self> {
        selection::rows_add(self, index, src)
    }

    fn linear(&self, weight: &Self, bias: Option<&Self>) -> Result<Self> {
        fused::linear::forward(self, weight, bias)
    }
    fn linear_grad(&self, weight: &Self, grad: &Self, wants_input: bool) -> Result<(Option<Self>, Self, Self)> {
        fused::linear::backward(self, weight, grad, wants_input)
    }
    fn softmax(&self) -> Result<Self> {
        fused::softmax::forward(self)
    }
    fn softmax_grad(&self, grad: &Self) -> Result<Self> {
        fused::softmax::backward(self, grad)
    }
    fn log_softmax(&self) -> Result<Self> {
        fused::softmax::log_forward(self)
    }
    fn log_softmax_grad(&self, grad: &Self) -> Result<Self> {
        fused::softmax::log_backward(self, grad)
    }
    fn layer_norm(&self, weight: &Self, bias: &Self, eps: f64) -> Result<Self> {
        fused::layer_norm::forward(self, weight, bias, eps)
    }
    fn layer_norm_grad(&self, weight: &Self, eps: f64, grad: &Self) -> Result<(Self, Self, Self)> {
        fused::layer_norm::backward(self, weight, eps, grad)
    }
    fn gelu(&self) -> Result<Self> {
        fused::gelu::forward(self)
    }
    fn gelu_grad(&self, grad: &Self) -> Result<Self> {
        fused::gelu::backward(self, grad)
    }
    fn attention(&self, keys: &Self, values: &Self, how: Attention<'_, Self>) -> Result<Self> {
        fused::attention::forward(self, keys, values, how)
    }
    fn attention_grad(
        &self,
        keys: &Self,
        values: &Self,
        how: Attention<'_, Self>,
        grad: &Self,
    ) -> Result<(Self, Self, Self)> {
        fused::attention::backward(self, keys, values, how, grad)
    }
    fn adamw(&self, grad: &Self, m: Self, v: Self, step: AdamWStep) -> Result<[Self; 3]> {
        fused::adamw::step(self, grad, &m, &v, step)
    }
}
