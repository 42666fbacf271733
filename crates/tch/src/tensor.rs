//! `TchTensor`: the trait over libtorch. Shapes are checked here, so that errors are those of every backend; what libtorch
//! itself fails with (out of memory, a device that went away) is [`simseg_tensor::Error::Backend`].

use crate::device::TchDevice;
use crate::{adamw, elementwise, fused, ours, selection};
use simseg_tensor::{AdamWStep, Attention, Binary, Element, Result, Tensor, Unary, contract};
use std::any::TypeId;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tch::Kind;

/// A handle that several threads may read.
pub(crate) struct Handle(pub(crate) tch::Tensor);

// SAFETY: reference counts, version counters and the graph of autograd are atomic or locked inside libtorch, which allows
// concurrent reads of one tensor. Nothing in this crate writes to a tensor after it was made but what
// `TchTensor::into_own` gave out, whose caller has the only handle to it.
unsafe impl Sync for Handle {}

/// An n-dimensional array of libtorch.
#[derive(Clone)]
pub struct TchTensor(Arc<Inner>);

struct Inner {
    handle: Handle,
    shape: Vec<usize>,
    device: TchDevice,
    /// Whether anyone has had libtorch's handle: views of the values, and graphs that saved them, may exist then. Relaxed suffices: it is
    /// read by whoever has taken the last `Arc`, which the dropping of every other one came before.
    lent: AtomicBool,
}

/// Positions (64-bit, as libtorch wants them), on the device.
#[derive(Clone)]
pub struct TchIndex(pub(crate) Arc<Positions>);

pub(crate) struct Positions {
    pub(crate) handle: Handle,
    pub(crate) shape: Vec<usize>,
    /// Every position is below this. Known without asking the device, which would wait for it.
    pub(crate) below: usize,
}

impl TchTensor {
    pub(crate) fn new(values: tch::Tensor, device: TchDevice) -> Self {
        let shape = values.size().into_iter().map(|len| len as usize).collect();
        Self(Arc::new(Inner { handle: Handle(values), shape, device, lent: AtomicBool::new(true) }))
    }

    /// Values whose memory nobody else has a handle to, nor `values` a history.
    pub(crate) fn sole(values: tch::Tensor, device: TchDevice) -> Self {
        let mut tensor = Self::new(values, device);
        if let Some(inner) = Arc::get_mut(&mut tensor.0) {
            *inner.lent.get_mut() = false;
        }
        tensor
    }

    /// Address of the first value in the device's memory; 0 if there is none. It says whether two tensors share memory, and is no way
    /// to the values.
    pub fn data_ptr(&self) -> usize {
        self.0.handle.0.data_ptr() as usize
    }

    /// Contiguous values without history in memory of their own, which the caller may write to: the memory of this tensor if it is
    /// [`Self::sole`], was never lent and has no clone, else a copy.
    pub(crate) fn into_own(self) -> Result<tch::Tensor> {
        let (kind, place) = (self.device().kind(), self.device().place());
        let inner = match Arc::try_unwrap(self.0) {
            Ok(inner) if !inner.lent.load(Ordering::Relaxed) => return Ok(inner.handle.0),
            Ok(inner) => Arc::new(inner),
            Err(shared) => shared,
        };
        let old = ours(inner.handle.0.f_detach())?;
        let copy = tch::Tensor::f_empty(lengths(&inner.shape), (kind, place));
        ours(copy.and_then(|mut copy| copy.f_copy_(&old).map(|()| copy)))
    }

    /// What an operation of libtorch gave, on the device of `self`.
    pub(crate) fn like(&self, values: std::result::Result<tch::Tensor, tch::TchError>) -> Result<Self> {
        Ok(Self::new(ours(values)?, self.0.device))
    }

    /// libtorch's tensor, in whichever type it has.
    pub(crate) fn raw(&self) -> &tch::Tensor {
        self.0.lent.store(true, Ordering::Relaxed);
        &self.0.handle.0
    }

    /// In a type; no copy if it has it.
    pub(crate) fn cast(&self, kind: Kind) -> Result<tch::Tensor> {
        if self.raw().kind() == kind { Ok(self.raw().shallow_clone()) } else { ours(self.raw().f_to_kind(kind)) }
    }

    /// In the type that values are stored in.
    pub(crate) fn wide(&self) -> Result<tch::Tensor> {
        self.cast(self.0.device.kind())
    }

    /// In the type that products read.
    pub(crate) fn narrow(&self) -> Result<tch::Tensor> {
        self.cast(self.0.device.product_kind())
    }
}

/// A shape as libtorch wants it.
pub(crate) fn lengths(shape: &[usize]) -> Vec<i64> {
    shape.iter().map(|&len| len as i64).collect()
}

impl fmt::Debug for TchTensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TchTensor<{}>{:?}", self.0.device, self.0.shape)?;
        match self.to_vec::<f64>() {
            Ok(values) if values.len() <= 64 => write!(f, " {values:?}"),
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for TchIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TchIndex{:?}", self.0.shape)
    }
}

/// Row-major values of one type as another.
fn convert<A: Element, B: Element>(data: &[A]) -> Vec<B> {
    data.iter().map(|x| B::from_f64(x.to_f64())).collect()
}

/// `data` itself, if its element type is `B`.
fn same<A: 'static, B: 'static>(data: &[A]) -> Option<&[B]> {
    // SAFETY: `A` and `B` are the same type.
    (TypeId::of::<A>() == TypeId::of::<B>())
        .then(|| unsafe { std::slice::from_raw_parts(data.as_ptr().cast(), data.len()) })
}

/// A copy of row-major values in libtorch's host memory.
fn upload<E: Element, B: Element + tch::kind::Element>(data: &[E]) -> Result<tch::Tensor> {
    ours(match same::<E, B>(data) {
        Some(data) => tch::Tensor::f_from_slice(data),
        None => tch::Tensor::f_from_slice(&convert::<E, B>(data)),
    })
}

/// Values on the host as a tensor on the device.
///
/// Nothing waits for the device: a plain copy would wait until all that was asked of it is done, in the middle of every training step.
/// CUDA takes what it needs out of pageable memory before the call returns, so the source may go at once.
fn send(flat: &tch::Tensor, shape: &[usize], device: TchDevice) -> Result<tch::Tensor> {
    let values = flat.f_reshape(lengths(shape));
    ours(values.and_then(|values| values.f_to_device_(device.place(), values.kind(), true, false)))
}

/// A copy of libtorch's values, row-major, in Rust's memory.
fn download<B: Element + tch::kind::Element, E: Element>(values: &tch::Tensor) -> Result<Vec<E>> {
    let mut out = vec![B::default(); values.numel()];
    ours(values.f_copy_data(&mut out, values.numel()))?;
    Ok(match same::<B, E>(&out) {
        Some(same) => same.to_vec(),
        None => convert(&out),
    })
}

impl Tensor for TchTensor {
    type Device = TchDevice;
    type Index = TchIndex;

    fn from_host<E: Element>(data: &[E], shape: &[usize], device: &TchDevice) -> Result<Self> {
        contract::values("from_host", data.len(), shape)?;
        let flat = if device.kind() == Kind::Double { upload::<E, f64>(data)? } else { upload::<E, f32>(data)? };
        Ok(Self::new(send(&flat, shape, *device)?, *device))
    }

    fn index_from_host(data: &[usize], shape: &[usize], device: &TchDevice) -> Result<TchIndex> {
        contract::values("index_from_host", data.len(), shape)?;
        contract::positions("index_from_host", data)?;
        let flat = ours(tch::Tensor::f_from_slice(&lengths(data)))?;
        let below = data.iter().max().map_or(0, |max| max + 1);
        Ok(TchIndex(Arc::new(Positions { handle: Handle(send(&flat, shape, *device)?), shape: shape.to_vec(), below })))
    }

    fn to_vec<E: Element>(&self) -> Result<Vec<E>> {
        let host = |kind| -> Result<tch::Tensor> {
            let values = self.raw().f_detach().and_then(|values| values.f_to_device(tch::Device::Cpu));
            ours(values.and_then(|values| values.f_to_kind(kind)?.f_contiguous()))
        };
        if self.raw().kind() == Kind::Double {
            download::<f64, E>(&host(Kind::Double)?)
        } else {
            download::<f32, E>(&host(Kind::Float)?)
        }
    }

    fn index_to_vec(index: &TchIndex) -> Result<Vec<usize>> {
        let host = index.0.handle.0.f_to_device(tch::Device::Cpu).and_then(|values| values.f_contiguous());
        let host = ours(host)?;
        let mut out = vec![0i64; host.numel()];
        ours(host.f_copy_data(&mut out, host.numel()))?;
        Ok(out.into_iter().map(|position| position as usize).collect())
    }

    fn shape(&self) -> &[usize] {
        &self.0.shape
    }

    fn device(&self) -> TchDevice {
        self.0.device
    }

    fn unary(&self, op: Unary) -> Result<Self> {
        elementwise::unary(self, op)
    }

    fn binary(&self, op: Binary, rhs: &Self) -> Result<Self> {
        elementwise::binary(self, op, rhs)
    }

    fn matmul(&self, rhs: &Self) -> Result<Self> {
        contract::matmul(self.shape(), rhs.shape())?;
        self.like(self.narrow()?.f_matmul(&rhs.narrow()?))
    }

    fn sum(&self, axis: usize) -> Result<Self> {
        contract::axis("sum", self.shape(), axis)?;
        self.like(self.raw().f_sum_dim_intlist([axis as i64].as_slice(), true, self.0.device.kind()))
    }

    fn reshape(&self, shape: &[usize]) -> Result<Self> {
        contract::reshape(self.shape(), shape)?;
        self.like(self.raw().f_reshape(lengths(shape)))
    }

    fn permute(&self, axes: &[usize]) -> Result<Self> {
        contract::permute(self.shape(), axes)?;
        self.like(self.raw().f_permute(lengths(axes)))
    }

    fn expand(&self, shape: &[usize]) -> Result<Self> {
        contract::expand(self.shape(), shape)?;
        self.like(self.raw().f_expand(lengths(shape), false))
    }

    fn slice(&self, axis: usize, start: usize, len: usize) -> Result<Self> {
        contract::slice(self.shape(), axis, start, len)?;
        self.like(self.raw().f_narrow(axis as i64, start as i64, len as i64))
    }

    fn concat(parts: &[&Self], axis: usize) -> Result<Self> {
        selection::concat(parts, axis)
    }

    fn topk(&self, k: usize, axis: usize) -> Result<TchIndex> {
        selection::topk(self, k, axis)
    }

    fn gather(&self, axis: usize, index: &TchIndex) -> Result<Self> {
        selection::gather(self, axis, index)
    }

    fn scatter_add(&self, axis: usize, index: &TchIndex, src: &Self) -> Result<Self> {
        selection::scatter_add(self, axis, index, src)
    }

    fn rows(&self, index: &TchIndex) -> Result<Self> {
        selection::rows(self, index)
    }

    fn rows_add(&self, index: &TchIndex, src: &Self) -> Result<Self> {
        selection::rows_add(self, index, src)
    }

    fn linear(&self, weight: &Self, bias: Option<&Self>) -> Result<Self> {
        fused::linear(self, weight, bias)
    }
    fn linear_grad(&self, weight: &Self, grad: &Self, wants_input: bool) -> Result<(Option<Self>, Self, Self)> {
        fused::linear_grad(self, weight, grad, wants_input)
    }
    fn softmax(&self) -> Result<Self> {
        fused::softmax(self)
    }
    fn softmax_grad(&self, grad: &Self) -> Result<Self> {
        fused::softmax_grad(self, grad)
    }
    fn log_softmax(&self) -> Result<Self> {
        fused::log_softmax(self)
    }
    fn log_softmax_grad(&self, grad: &Self) -> Result<Self> {
        fused::log_softmax_grad(self, grad)
    }
    fn layer_norm(&self, weight: &Self, bias: &Self, eps: f64) -> Result<Self> {
        fused::layer_norm(self, weight, bias, eps)
    }
    fn layer_norm_grad(&self, weight: &Self, eps: f64, grad: &Self) -> Result<(Self, Self, Self)> {
        fused::layer_norm_grad(self, weight, eps, grad)
    }
    fn gelu(&self) -> Result<Self> {
        self.like(self.raw().f_gelu("none"))
    }
    fn gelu_grad(&self, grad: &Self) -> Result<Self> {
        fused::gelu_grad(self, grad)
    }
    fn attention(&self, keys: &Self, values: &Self, how: Attention<'_, Self>) -> Result<Self> {
        fused::attention(self, keys, values, how)
    }
    fn attention_grad(
        &self,
        keys: &Self,
        values: &Self,
        how: Attention<'_, Self>,
        grad: &Self,
    ) -> Result<(Self, Self, Self)> {
        fused::attention_grad(self, keys, values, how, grad)
    }
    fn adamw(&self, grad: &Self, m: Self, v: Self, step: AdamWStep) -> Result<[Self; 3]> {
        adamw::step(self, grad, m, v, step)
    }
}
