//! Central differences: what a derivative must be, without knowing a single rule.
//!
//! `f′(x) ≈ (8·(f(x+h) − f(x−h)) − (f(x+2h) − f(x−2h))) / 12h`, wrong by about `h⁴·f⁗′/30`; in f64 with `h = 1e-3` that
//! and rounding both stay near 1e-12.

use simseg_tensor::{Differentiable, Ops, Result, Tensor};

const H: f64 = 1e-3;

/// The gradient of `f` at `x` by central differences.
///
/// # Errors
/// Whatever `f` fails with.
pub fn differences<T: Tensor>(x: &[T], f: impl Fn(&[T]) -> Result<T>) -> Result<Vec<Vec<f64>>> {
    differences_with(H, x, f)
}

/// The same with another step: where `f` selects (top-k), a step must be small enough not to change what is selected.
///
/// # Errors
/// Whatever `f` fails with.
pub fn differences_with<T: Tensor>(h: f64, x: &[T], f: impl Fn(&[T]) -> Result<T>) -> Result<Vec<Vec<f64>>> {
    let mut gradients = Vec::with_capacity(x.len());
    for which in 0..x.len() {
        let values = x[which].to_vec::<f64>()?;
        let at = |i: usize, shift: f64| -> Result<f64> {
            let mut moved = values.clone();
            moved[i] += shift;
            let mut inputs = x.to_vec();
            inputs[which] = T::from_host(&moved, x[which].shape(), &x[which].device())?;
            f(&inputs)?.item()
        };
        let slope = |i: usize| -> Result<f64> {
            let (near, far) = (at(i, h)? - at(i, -h)?, at(i, 2.0 * h)? - at(i, -2.0 * h)?);
            Ok((8.0 * near - far) / (12.0 * h))
        };
        gradients.push((0..values.len()).map(slope).collect::<Result<_>>()?);
    }
    Ok(gradients)
}

/// The gradient of `f` at `x` by the backend's own rules.
///
/// # Errors
/// Whatever `f` fails with.
pub fn rules<D: Differentiable>(x: &[D], f: impl Fn(&[D]) -> Result<D>) -> Result<Vec<Vec<f64>>> {
    let leaves: Vec<D> = x.iter().map(Differentiable::leaf).collect();
    let gradients = f(&leaves)?.grad(&leaves.iter().collect::<Vec<_>>())?;
    gradients.iter().map(|g| g.to_vec::<f64>()).collect()
}

/// `Σ w ⊙ y` with fixed weights: one value through which every value of `y` counts differently.
///
/// # Errors
/// Whatever the backend says.
pub fn weigh<T: Tensor>(y: &T) -> Result<T> {
    let weights = crate::hostile::values(crate::hostile::Domain::Any, y.shape().iter().product(), 99);
    total(&y.mul(&T::from_host(&weights, y.shape(), &y.device())?)?)
}

/// The sum of all values, `[1, …, 1]`: by nothing but `sum`, so that a wrong rule of another operation stays its own.
///
/// # Errors
/// Whatever the backend says.
pub fn total<T: Tensor>(y: &T) -> Result<T> {
    (0..y.rank()).try_fold(y.clone(), |y, axis| y.sum(axis))
}
