//! Random tensors of the cpu backend.

use simseg_cpu::{CpuDevice, CpuTensor};
use simseg_tensor::{Shared, Tensor, random};
use std::sync::Arc;

/// As if it were mapped, so that it is prepared once for all products.
struct File(Vec<f32>);
impl AsRef<[f32]> for File {
    fn as_ref(&self) -> &[f32] {
        &self.0
    }
}
impl Shared for File {
    fn in_file(&self) -> bool {
        true
    }
}

/// Values from a normal distribution.
pub fn values(count: usize) -> Vec<f32> {
    let mut rng = random::stream(0, "bench", count as u64);
    (0..count).map(|_| random::normal(&mut rng) as f32).collect()
}

/// A tensor of them.
pub fn tensor(shape: &[usize]) -> CpuTensor<f32> {
    let values = values(shape.iter().product());
    CpuTensor::from_host(&values, shape, &CpuDevice).expect("as many values as the shape holds")
}

/// The same as a weight that lies in a file.
pub fn in_file(shape: &[usize]) -> CpuTensor<f32> {
    let file = File(values(shape.iter().product()));
    CpuTensor::from_shared(Arc::new(file), shape, &CpuDevice).expect("as many values as the shape holds")
}
