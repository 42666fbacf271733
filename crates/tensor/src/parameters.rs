//! What a parameter is before it has values: a shape and a way to start.
//!
//! Networks are written once, generic over what their fields hold. `Vit<Parameter>` is the architecture (names, shapes,
//! starting values), `Vit<T>` the network; `map` turns one into the other, whether values come from a generator or from a
//! checkpoint, and visits parameters in one fixed order under the names of the published checkpoint.

use crate::ops::numel;
#[cfg(not(feature = "std"))]
use crate::real::Real as _;
use crate::tensor::Tensor;
use crate::{Result, random};
use alloc::vec::Vec;

/// Starting values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Init {
    /// All the same.
    Constant(f64),
    /// Normal with this standard deviation, cut at two of them (timm's `trunc_normal_`; BERT's range 0.02).
    Normal(f64),
    /// Uniform in `±√(6/(fan_in + fan_out))` (Glorot & Bengio 2010) for a matrix `[out, in]`.
    Xavier,
}

/// A parameter before it has values.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its starting values.
    pub init: Init,
}

impl Parameter {
    /// A parameter of this shape.
    pub fn new(shape: &[usize], init: Init) -> Self {
        Self { shape: shape.to_vec(), init }
    }

    /// Draws starting values: a pure function of `(seed, name)`, whatever else the network holds.
    ///
    /// # Errors
    /// If the backend fails.
    pub fn draw<T: Tensor>(&self, seed: u64, name: &str, device: &T::Device) -> Result<T> {
        T::from_host(&self.values(seed, name), &self.shape, device)
    }

    /// The same values on the host, row-major.
    pub fn values(&self, seed: u64, name: &str) -> Vec<f32> {
        let mut rng = random::stream(seed, name, 0);
        match self.init {
            Init::Constant(value) => vec![value as f32; numel(&self.shape)],
            Init::Normal(std) => {
                let mut draw = || loop {
                    let z = random::normal(&mut rng);
                    if z.abs() <= 2.0 {
                        return (std * z) as f32;
                    }
                };
                (0..numel(&self.shape)).map(|_| draw()).collect()
            }
            Init::Xavier => {
                let fans = self.shape.first().unwrap_or(&1) + self.shape.last().unwrap_or(&1);
                let bound = (6.0 / fans as f64).sqrt();
                (0..numel(&self.shape)).map(|_| (bound * (2.0 * random::uniform(&mut rng) - 1.0)) as f32).collect()
            }
        }
    }
}
