//! Gradients for any backend: a tensor that records how it was computed, and walks the record backwards.
//!
//! `Autodiff<T>` holds a value and, unless it is a constant, a node: an operation ([`crate::adjoint`]) and the nodes of
//! its inputs. Ids come from a counter, so an input's id is below its result's and "largest id first" *is* the reverse
//! topological order (reverse-mode differentiation, Linnainmaa 1970; Griewank & Walther 2008, ch. 3).

use crate::adjoint::{Cotangent, Record};
use crate::ops::Ops;
use crate::tensor::{AdamWStep, Attention, Binary, Differentiable, Element, SharedSlice, Tensor, Unary};
use crate::{Error, Result};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

/// A tensor of backend `T` that remembers how it was computed.
#[derive(Debug, Clone)]
pub struct Autodiff<T: Tensor> {
    value: T,
    node: Option<Arc<Node<T>>>,
}

#[derive(Debug)]
struct Node<T: Tensor> {
    id: u64,
    record: Record<T>,
    /// One per input; constants have none.
    inputs: Vec<Option<Arc<Node<T>>>>,
}

impl<T: Tensor> Node<T> {
    fn new(record: Record<T>, inputs: Vec<Option<Arc<Self>>>) -> Arc<Self> {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        Arc::new(Self { id: COUNTER.fetch_add(1, Ordering::Relaxed), record, inputs })
    }
}

impl<T: Tensor> Autodiff<T> {
    /// A constant: nothing is recorded about it.
    pub fn constant(value: T) -> Self {
        Self { value, node: None }
    }

    /// The value without its history.
    pub fn value(&self) -> &T {
        &self.value
    }

    /// The result of an operation; `record` is only made if some input has a history.
    fn record<const N: usize>(value: T, inputs: [&Self; N], record: impl FnOnce(&T) -> Record<T>) -> Self {
        if inputs.iter().all(|input| input.node.is_none()) {
            return Self::constant(value);
        }
        let node = Node::new(record(&value), inputs.iter().map(|input| input.node.clone()).collect());
        Self { value, node: Some(node) }
    }
}

/// The gradient collected for one node: whole tensors are added up, slices are put together at the end.
struct Collected<T> {
    shape: Vec<usize>,
    whole: Option<T>,
    /// `(axis, start, gradient)`. Neighbours (such as q, k, v of one projection) become one `concat`, not sums of zeros.
    parts: Vec<(usize, usize, T)>,
}

impl<T: Tensor> Collected<T> {
    fn nothing(shape: Vec<usize>) -> Self {
        Self { shape, whole: None, parts: vec![] }
    }

    fn add(&mut self, cotangent: Cotangent<T>) -> Result<()> {
        match cotangent {
            Cotangent::Whole(x) => self.whole = Some(plus(self.whole.take(), x)?),
            Cotangent::Part { axis, start, value } => self.parts.push((axis, start, value)),
        }
        Ok(())
    }

    /// Everything collected, as one tensor.
    fn settle(mut self) -> Result<Option<T>> {
        self.parts.sort_by_key(|(axis, start, _)| (*axis, *start));
        let mut total = self.whole;
        let mut parts = self.parts.into_iter().peekable();
        while let Some((axis, start, first)) = parts.next() {
            let mut end = start + first.shape()[axis];
            let mut run = vec![first];
            while let Some((_, _, next)) = parts.next_if(|(a, s, _)| *a == axis && *s == end) {
                end += next.shape()[axis];
                run.push(next);
            }
            // Zeros before and after the run make it a tensor of the full shape.
            let zeros = |len: usize| {
                let mut shape = self.shape.clone();
                shape[axis] = len;
                T::full(0.0, &shape, &run[0].device())
            };
            let (before, after) = (zeros(start)?, zeros(self.shape[axis] - end)?);
            let all: Vec<&T> = core::iter::once(&before).chain(&run).chain(core::iter::once(&after)).collect();
            let used: Vec<&T> = all.into_iter().filter(|part| part.shape()[axis] > 0).collect();
            total = Some(plus(total, T::concat(&used, axis)?)?);
        }
        Ok(total)
    }
}

fn plus<T: Tensor>(old: Option<T>, new: T) -> Result<T> {
    match old {
        Some(old) => old.add(&new),
        None => Ok(new),
    }
}

impl<T: Tensor> Differentiable for Autodiff<T> {
    type Plain = T;

    fn plain(&self) -> T {
        self.value.clone()
    }

    fn leaf(&self) -> Self {
        Self { value: self.value.clone(), node: Some(Node::new(Record::Leaf, vec![])) }
    }

    fn detach(&self) -> Self {
        Self::constant(self.value.clone())
    }

    fn grad(&self, leaves: &[&Self]) -> Result<Vec<Self>> {
        if crate::ops::numel(self.shape()) != 1 {
            let rule = "the gradient is that of one value";
            return Err(Error::Shape { op: "grad", lhs: self.shape().to_vec(), rhs: vec![], rule });
        }
        // By node, not by place in the list: the same leaf may be asked for twice.
        let id_of = |leaf: &Self| leaf.node.as_ref().map(|node| node.id);
        let wanted: BTreeSet<u64> = leaves.iter().filter_map(|leaf| id_of(leaf)).collect();
        let mut found: BTreeMap<u64, T> = BTreeMap::new();
        // Nodes still to visit with what reached them, by id: the last entry is the latest computed.
        let mut waiting: BTreeMap<u64, (Arc<Node<T>>, Collected<T>)> = BTreeMap::new();
        if let Some(node) = &self.node {
            let mut seed = Collected::nothing(self.shape().to_vec());
            seed.add(Cotangent::Whole(T::full(1.0, self.shape(), &self.device())?))?;
            waiting.insert(node.id, (node.clone(), seed));
        }
        while let Some((id, (node, collected))) = waiting.pop_last() {
            let Some(g) = collected.settle()? else { continue };
            if wanted.contains(&id) {
                found.insert(id, g.clone());
            }
            let wants: Vec<bool> = node.inputs.iter().map(Option::is_some).collect();
            let cotangents = node.record.adjoint(&g, &wants)?;
            for (input, cotangent) in node.inputs.iter().zip(cotangents) {
                let (Some(input), Some(cotangent)) = (input, cotangent) else { continue };
                let shape = match (&cotangent, &node.record) {
                    (_, Record::Slice(shape, _, _)) => shape.clone(),
                    (Cotangent::Part { value, .. } | Cotangent::Whole(value), _) => value.shape().to_vec(),
                };
                let (_, collected) =
                    waiting.entry(input.id).or_insert_with(|| (input.clone(), Collected::nothing(shape)));
                collected.add(cotangent)?;
            }
        }
        let one = |leaf: &&Self| match id_of(leaf).and_then(|id| found.get(&id)) {
            Some(grad) => Ok(Self::constant(grad.clone())),
            None => Ok(Self::constant(leaf.value.zeros_like()?)),
        };
        leaves.iter().map(one).collect()
    }
}

impl<T: Tensor> Tensor for Autodiff<T> {
    type Device = T::Device;
    type Index = T::Index;

    fn from_host<E: Element>(data: &[E], shape: &[usize], device: &T::Device) -> Result<Self> {
        Ok(Self::constant(T::from_host(data, shape, device)?))
    }
    fn from_shared(data: SharedSlice, shape: &[usize], device: &T::Device) -> Result<Self> {
        Ok(Self::constant(T::from_shared(data, shape, device)?))
    }
    fn index_from_host(data: &[usize], shape: &[usize], device: &T::Device) -> Result<T::Index> {
        T::index_from_host(data, shape, device)
    }
    fn to_vec<E: Element>(&self) -> Result<Vec<E>> {
        self.value.to_vec()
    }
    fn index_to_vec(index: &T::Index) -> Result<Vec<usize>> {
        T::index_to_vec(index)
    }
    fn shape(&self) -> &[usize] {
        self.value.shape()
    }
    fn device(&self) -> T::Device {
        self.value.device()
    }

    fn unary(&self, op: Unary) -> Result<Self> {
        Ok(Self::record(self.value.unary(op)?, [self], |y| Record::Unary(op, self.value.clone(), y.clone())))
    }
    fn binary(&self, op: Binary, rhs: &Self) -> Result<Self> {
        let value = self.value.binary(op, &rhs.value)?;
        Ok(Self::record(value, [self, rhs], |_| Record::Binary(op, self.value.clone(), rhs.value.clone())))
    }
    fn matmul(&self, rhs: &Self) -> Result<Self> {
        let value = self.value.matmul(&rhs.value)?;
        Ok(Self::record(value, [self, rhs], |_| Record::Matmul(self.value.clone(), rhs.value.clone())))
    }
    fn sum(&self, axis: usize) -> Result<Self> {
        Ok(Self::record(self.value.sum(axis)?, [self], |_| Record::Sum(self.shape().to_vec())))
    }
    fn reshape(&self, shape: &[usize]) -> Result<Self> {
        Ok(Self::record(self.value.reshape(shape)?, [self], |_| Record::Reshape(self.shape().to_vec())))
    }
    fn permute(&self, axes: &[usize]) -> Result<Self> {
        Ok(Self::record(self.value.permute(axes)?, [self], |_| Record::Permute(axes.to_vec())))
    }
    fn expand(&self, shape: &[usize]) -> Result<Self> {
        Ok(Self::record(self.value.expand(shape)?, [self], |_| Record::Expand(self.shape().to_vec())))
    }
    fn slice(&self, axis: usize, start: usize, len: usize) -> Result<Self> {
        let value = self.value.slice(axis, start, len)?;
        Ok(Self::record(value, [self], |_| Record::Slice(self.shape().to_vec(), axis, start)))
    }
    fn concat(parts: &[&Self], axis: usize) -> Result<Self> {
        let values: Vec<&T> = parts.iter().map(|part| &part.value).collect();
        let value = T::concat(&values, axis)?;
        if parts.iter().all(|part| part.node.is_none()) {
            return Ok(Self::constant(value));
        }
        let lengths = parts.iter().map(|part| part.shape()[axis]).collect();
        let node = Node::new(Record::Concat(axis, lengths), parts.iter().map(|part| part.node.clone()).collect());
        Ok(Self { value, node: Some(node) })
    }
    fn topk(&self, k: usize, axis: usize) -> Result<T::Index> {
        self.value.topk(k, axis)
    }
    fn gather(&self, axis: usize, index: &T::Index) -> Result<Self> {
        let record = |_: &T| Record::Gather(self.shape().to_vec(), self.device(), axis, index.clone());
        Ok(Self::record(self.value.gather(axis, index)?, [self], record))
    }
    fn scatter_add(&self, axis: usize, index: &T::Index, src: &Self) -> Result<Self> {
        let value = self.value.scatter_add(axis, index, &src.value)?;
        Ok(Self::record(value, [self, src], |_| Record::ScatterAdd(axis, index.clone())))
    }
    fn rows(&self, index: &T::Index) -> Result<Self> {
        let record = |_: &T| Record::Rows(self.shape().to_vec(), self.device(), index.clone());
        Ok(Self::record(self.value.rows(index)?, [self], record))
    }
    fn rows_add(&self, index: &T::Index, src: &Self) -> Result<Self> {
        let value = self.value.rows_add(index, &src.value)?;
        Ok(Self::record(value, [self, src], |_| Record::RowsAdd(index.clone())))
    }

    fn linear(&self, weight: &Self, bias: Option<&Self>) -> Result<Self> {
        let value = self.value.linear(&weight.value, bias.map(|bias| &bias.value))?;
        let record = |_: &T| Record::Linear(self.value.clone(), weight.value.clone(), bias.is_some());
        Ok(match bias {
            Some(bias) => Self::record(value, [self, weight, bias], record),
            None => Self::record(value, [self, weight], record),
        })
    }
    fn softmax(&self) -> Result<Self> {
        Ok(Self::record(self.value.softmax()?, [self], |y| Record::Softmax(y.clone())))
    }
    fn log_softmax(&self) -> Result<Self> {
        Ok(Self::record(self.value.log_softmax()?, [self], |y| Record::LogSoftmax(y.clone())))
    }
    fn layer_norm(&self, weight: &Self, bias: &Self, eps: f64) -> Result<Self> {
        let value = self.value.layer_norm(&weight.value, &bias.value, eps)?;
        let record = |_: &T| Record::LayerNorm(self.value.clone(), weight.value.clone(), eps);
        Ok(Self::record(value, [self, weight, bias], record))
    }
    fn gelu(&self) -> Result<Self> {
        Ok(Self::record(self.value.gelu()?, [self], |_| Record::Gelu(self.value.clone())))
    }
    fn attention(&self, keys: &Self, values: &Self, how: Attention<'_, Self>) -> Result<Self> {
        let key_bias = how.key_bias.map(|bias| &bias.value);
        let plain = Attention { heads: how.heads, key_bias, causal: how.causal };
        let value = self.value.attention(&keys.value, &values.value, plain)?;
        let (q, k, v) = (&self.value, &keys.value, &values.value);
        let record =
            |_: &T| Record::Attention(q.clone(), k.clone(), v.clone(), how.heads, key_bias.cloned(), how.causal);
        Ok(Self::record(value, [self, keys, values], record))
    }
    fn adamw(&self, grad: &Self, m: Self, v: Self, step: AdamWStep) -> Result<[Self; 3]> {
        Ok(self.value.adamw(&grad.value, m.value, v.value, step)?.map(Self::constant))
    }
}
