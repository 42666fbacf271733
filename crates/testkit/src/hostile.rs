//! Inputs as backends like them least: the same values permuted, cut out of something larger, or shared.
//!
//! A well-known ndarray backend reordered the elements of shared permuted tensors from 32 elements on; another's product
//! of a transposed view was silently wrong. Lengths 1, 33 and 1025 lie just beside what kernels are blocked for.

use simseg_tensor::{Element, Ops, Result, Tensor, random};
use std::fmt;

/// The ways to lay out the same values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// Row-major.
    Contiguous,
    /// Stored with reversed axes, then permuted back.
    Permuted,
    /// A window of a larger tensor whose other values are NaN.
    Sliced,
    /// Another clone is alive, and a permuted view of it too.
    Shared,
}

/// All of them.
pub const LAYOUTS: [Layout; 4] = [Layout::Contiguous, Layout::Permuted, Layout::Sliced, Layout::Shared];

impl Layout {
    /// A tensor of these row-major values in this layout.
    ///
    /// # Errors
    /// Whatever the backend says.
    pub fn make<T: Tensor>(self, values: &[impl Element], shape: &[usize], device: &T::Device) -> Result<T> {
        let plain = T::from_host(values, shape, device)?;
        let reversed: Vec<usize> = (0..shape.len()).rev().collect();
        match self {
            Self::Contiguous => Ok(plain),
            Self::Permuted => {
                let turned = plain.permute(&reversed)?;
                let stored = T::from_host(&turned.to_vec::<f64>()?, turned.shape(), device)?;
                stored.permute(&reversed)
            }
            Self::Sliced => {
                let mut wide = plain;
                for axis in 0..shape.len() {
                    let mut margin = wide.shape().to_vec();
                    margin[axis] = 2;
                    let margin = T::full(f64::NAN, &margin, device)?;
                    wide = T::concat(&[&margin, &wide, &margin], axis)?;
                }
                (0..shape.len()).try_fold(wide, |wide, axis| wide.slice(axis, 2, shape[axis]))
            }
            Self::Shared => {
                let clone = plain.clone();
                let _view = clone.permute(&reversed)?;
                Ok(plain)
            }
        }
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Contiguous => "contiguous",
            Self::Permuted => "stored permuted",
            Self::Sliced => "cut out of a larger one",
            Self::Shared => "shared with a view",
        })
    }
}

/// Which values an operation is well-conditioned on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Domain {
    /// `[−2, 2]`
    Any,
    /// `[½, 2]`
    Positive,
}

/// f32-representable values, the same for every backend: one from each of `count` equal bins, in random order, so that
/// none is near another and no small step of a difference quotient changes which is largest.
pub fn values(domain: Domain, count: usize, seed: u64) -> Vec<f64> {
    let mut rng = random::stream(seed, "testkit", count as u64);
    let mut order: Vec<usize> = (0..count).collect();
    for i in (1..count).rev() {
        order.swap(i, (random::uniform(&mut rng) * (i + 1) as f64) as usize);
    }
    let draw = |bin: usize| {
        let u = (bin as f64 + 0.3 + 0.4 * random::uniform(&mut rng)) / count as f64;
        let x = match domain {
            Domain::Any => 4.0 * u - 2.0,
            Domain::Positive => 0.5 + 1.5 * u,
        };
        f64::from(x as f32)
    };
    order.into_iter().map(draw).collect()
}
