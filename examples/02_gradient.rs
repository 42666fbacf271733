//! Step 2: the same formula on a tensor that remembers gives gradients.
//!
//! `Autodiff<T>` records each operation; `grad` walks the record backwards by the table in
//! `crates/tensor/src/adjoint.rs`. A gradient is a slope, so it can be checked: `(f(x + h) − f(x − h)) / 2h`.
//!
//! Expect both to agree, and to be `softmax(x) − onehot(0)`: what the softmax gives the wrong classes, and one less than it gives the right
//! one, so that the three sum to 0. `cargo run --release --example 02_gradient`

use simseg_cpu::{CpuDevice, CpuTensor};
use simseg_tensor::{Autodiff, Differentiable, Ops, Result, Tensor};

/// The negative log-likelihood of the first class, `−log softmax(x)[0]`: 0 if the softmax is certain of it, large if it is certain of another.
fn negative_log_likelihood<T: Tensor>(x: &T) -> Result<T> {
    x.log_softmax()?.slice(1, 0, 1)?.neg()?.sum_all()
}

pub(crate) fn main() -> Result<()> {
    type Plain = CpuTensor<f64>;
    type Tracked = Autodiff<Plain>;
    let logits = [2.0, 1.0, 0.0];

    let x = Tracked::from_host(&logits, &[1, 3], &CpuDevice)?.leaf();
    let loss = negative_log_likelihood(&x)?;
    let gradient = loss.grad(&[&x])?.remove(0).to_vec::<f64>()?;
    println!("loss                  {:.6}", loss.item()?);
    println!("gradient by the table {gradient:.6?}");

    let h = 1e-5;
    let slope = |i: usize| -> Result<f64> {
        let at = |step: f64| -> Result<f64> {
            let mut moved = logits;
            moved[i] += step;
            negative_log_likelihood(&Plain::from_host(&moved, &[1, 3], &CpuDevice)?)?.item()
        };
        Ok((at(h)? - at(-h)?) / (2.0 * h))
    };
    let slopes = (0..3).map(slope).collect::<Result<Vec<f64>>>()?;
    println!("slope by differences  {slopes:.6?}");

    // The textbook: softmax(x) − onehot(0), whose entries sum to 0.
    let softmax = Plain::from_host(&logits, &[1, 3], &CpuDevice)?.softmax()?.to_vec::<f64>()?;
    for i in 0..3 {
        let textbook = softmax[i] - f64::from(u8::from(i == 0));
        assert!((gradient[i] - slopes[i]).abs() < 1e-9 && (gradient[i] - textbook).abs() < 1e-12);
    }
    println!("✓ table, differences and textbook (softmax − onehot) agree");
    Ok(())
}
