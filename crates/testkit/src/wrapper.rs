//! Forwarding, written once: a backend around a backend says which methods it passes on, and overrides the others.
//!
//! `struct Plain<T>(pub T)` with `forward!(host unary …)` inside its `impl Tensor` is a backend whose listed methods are those
//! of `self.0`.

/// Methods of [`simseg_tensor::Tensor`] that go to `self.0`, by name; `host`, `movement` and `selection` stand for their family.
macro_rules! forward {
    ($($name:ident)*) => { $( $crate::wrapper::forward!(@$name); )* };
    (@host) => {
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
    };
    (@unary) => {
        fn unary(&self, op: Unary) -> Result<Self> {
            self.0.unary(op).map(Self)
        }
    };
    (@binary) => {
        fn binary(&self, op: Binary, rhs: &Self) -> Result<Self> {
            self.0.binary(op, &rhs.0).map(Self)
        }
    };
    (@matmul) => {
        fn matmul(&self, rhs: &Self) -> Result<Self> {
            self.0.matmul(&rhs.0).map(Self)
        }
    };
    (@sum) => {
        fn sum(&self, axis: usize) -> Result<Self> {
            self.0.sum(axis).map(Self)
        }
    };
    (@movement) => { $crate::wrapper::forward!(reshape permute expand slice concat); };
    (@reshape) => {
        fn reshape(&self, shape: &[usize]) -> Result<Self> {
            self.0.reshape(shape).map(Self)
        }
    };
    (@permute) => {
        fn permute(&self, axes: &[usize]) -> Result<Self> {
            self.0.permute(axes).map(Self)
        }
    };
    (@expand) => {
        fn expand(&self, shape: &[usize]) -> Result<Self> {
            self.0.expand(shape).map(Self)
        }
    };
    (@slice) => {
        fn slice(&self, axis: usize, start: usize, len: usize) -> Result<Self> {
            self.0.slice(axis, start, len).map(Self)
        }
    };
    (@concat) => {
        fn concat(parts: &[&Self], axis: usize) -> Result<Self> {
            T::concat(&parts.iter().map(|part| &part.0).collect::<Vec<_>>(), axis).map(Self)
        }
    };
    (@selection) => { $crate::wrapper::forward!(topk gather scatter_add rows rows_add); };
    (@topk) => {
        fn topk(&self, k: usize, axis: usize) -> Result<T::Index> {
            self.0.topk(k, axis)
        }
    };
    (@gather) => {
        fn gather(&self, axis: usize, index: &T::Index) -> Result<Self> {
            self.0.gather(axis, index).map(Self)
        }
    };
    (@scatter_add) => {
        fn scatter_add(&self, axis: usize, index: &T::Index, src: &Self) -> Result<Self> {
            self.0.scatter_add(axis, index, &src.0).map(Self)
        }
    };
    (@rows) => {
        fn rows(&self, index: &T::Index) -> Result<Self> {
            self.0.rows(index).map(Self)
        }
    };
    (@rows_add) => {
        fn rows_add(&self, index: &T::Index, src: &Self) -> Result<Self> {
            self.0.rows_add(index, &src.0).map(Self)
        }
    };
    (@linear) => {
        fn linear(&self, weight: &Self, bias: Option<&Self>) -> Result<Self> {
            self.0.linear(&weight.0, bias.map(|bias| &bias.0)).map(Self)
        }
    };
    (@softmax) => {
        fn softmax(&self) -> Result<Self> {
            self.0.softmax().map(Self)
        }
    };
    (@log_softmax) => {
        fn log_softmax(&self) -> Result<Self> {
            self.0.log_softmax().map(Self)
        }
    };
    (@layer_norm) => {
        fn layer_norm(&self, weight: &Self, bias: &Self, eps: f64) -> Result<Self> {
            self.0.layer_norm(&weight.0, &bias.0, eps).map(Self)
        }
    };
    (@gelu) => {
        fn gelu(&self) -> Result<Self> {
            self.0.gelu().map(Self)
        }
    };
    (@attention) => {
        fn attention(&self, keys: &Self, values: &Self, how: Attention<'_, Self>) -> Result<Self> {
            self.0.attention(&keys.0, &values.0, inner(&how)).map(Self)
        }
    };
}
pub(crate) use forward;

/// A decorator of differentiable backends differentiates by what is inside.
macro_rules! differentiate_inside {
    ($wrapper:ident) => {
        impl<D: simseg_tensor::Differentiable> simseg_tensor::Differentiable for $wrapper<D> {
            type Plain = D::Plain;
            fn plain(&self) -> D::Plain {
                self.0.plain()
            }
            fn leaf(&self) -> Self {
                Self(self.0.leaf())
            }
            fn detach(&self) -> Self {
                Self(self.0.detach())
            }
            fn grad(&self, leaves: &[&Self]) -> simseg_tensor::Result<Vec<Self>> {
                let leaves: Vec<&D> = leaves.iter().map(|leaf| &leaf.0).collect();
                Ok(self.0.grad(&leaves)?.into_iter().map(Self).collect())
            }
            fn backward(self, leaves: &[&Self]) -> simseg_tensor::Result<(Self, Vec<Self>)> {
                let leaves: Vec<&D> = leaves.iter().map(|leaf| &leaf.0).collect();
                let (value, gradients) = self.0.backward(&leaves)?;
                Ok((Self(value), gradients.into_iter().map(Self).collect()))
            }
        }
    };
}
pub(crate) use differentiate_inside;
