//! Step 2: the same formula on a tensor that remembers gives gradients.
//!
//! `Autodiff<T>` records each operation; `grad` walks the record backwards by the table in
//! `crates/tensor/src/adjoint.rs`. A gradient is a slope, so it can be checked: `(f(x + h) − f(x − h)) / 2h`.
//!
//! `cargo run --release --example 02_gradient`

use simseg_cpu::{CpuDevice, CpuTensor};
use simseg_tensor::{Autodiff, Differentiable, Ops, Result, Tensor};

/// The loss of a softmax whose right answer is the first class, its surprise: `−log softmax(x)[0]`.
fn surprise<T: Tensor>(x: &T) -> Result<T> {
    x.log_softmax()?.slice(1, 0, 1)?.neg()?.sum_all()
}

pub(crate) fn main() -> Result<()> {
    type Plain = CpuTensor<f64>;
    type Tracked = Autodiff<Plain>;
    let logits = [2.0, 1.0, 0.0];

    let x = Tracked::from_host(&logits, &[1, 3], &CpuDevice)?.leaf();
    let loss = surprise(&x)?;
    let gradient = loss.grad(&[&x])?.remove(0).to_vec::<f64>()?;
    println!("loss                  {:.6}", loss.item()?);
    println!("gradient by the table {gradient:.6?}");

    let h = 1e-5;
    let slope = |i: usize| -> Result<f64> {
        let at = |step: f64| -> Result<f64> {
            let mut moved = logits;
            moved[i] += step;
            surprise(&Plain::from_host(&moved, &[1, 3], &CpuDevice)?)?.item()
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
