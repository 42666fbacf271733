//! Step 10: write a backend. One type that implements `Tensor` runs all of the library; one list of cases says whether it is right.
//!
//! The backend here is the testkit's, plain loops over `Vec<f64>` in less than 300 lines (`crates/testkit/src/naive.rs`;
//! `docs/write-a-backend.md` walks through it). LoDA and its gradient come out as on the cpu backend. Then a mistake is planted,
//! gradients of a matrix product that forget to transpose, and the cases that notice name it.
//!
//! Expect no case to fail, then some. `cargo run --release --example 10_write_a_backend`

use simseg_cpu::{CpuDevice, CpuTensor};
use simseg_model::pool::loda::top_k_mean;
use simseg_tensor::{Autodiff, Differentiable, Ops, Result};
use simseg_testkit::tolerance::DIFFERENCES;
use simseg_testkit::{Case, Misled, Mistake, NaiveTensor, gradient_cases, plant};

/// LoDA's pool of four patches, squared and added up, and what each response is worth: generic, as everything is.
fn loda<D: Differentiable>(device: &D::Device) -> Result<(f64, Vec<f64>)> {
    let patches = [1.0, 4.0, 2.0, 3.0, 9.0, 2.0, 0.5, 0.1];
    let x = D::from_host(&patches, &[1, 4, 2], device)?.leaf();
    let loss = top_k_mean(&x, 2, None)?.square()?.sum_all()?;
    Ok((loss.item()?, loss.grad(&[&x])?.remove(0).to_vec()?))
}

/// Names of the cases that fail.
fn failing<D: Differentiable>(device: &D::Device) -> Vec<String> {
    let cases: Vec<Case<D>> = gradient_cases(DIFFERENCES, true);
    let fails = |case: &Case<D>| (case.run)(device).is_err();
    cases.iter().filter(|case| fails(case)).map(|case| case.name.clone()).collect()
}

pub(crate) fn main() -> Result<()> {
    let (naive, cpu) = (loda::<Autodiff<NaiveTensor>>(&())?, loda::<Autodiff<CpuTensor<f64>>>(&CpuDevice)?);
    println!("naive   {:.3}   {:?}\ncpu     {:.3}   {:?}", naive.0, naive.1, cpu.0, cpu.1);
    assert_eq!(naive, cpu);
    // Channel 0 pools 9 and 2, channel 1 pools 4 and 3: only these four responses are worth anything.
    assert_eq!(naive.1.iter().filter(|slope| **slope != 0.0).count(), 4);

    type Mine = Misled<Autodiff<NaiveTensor>>;
    let right = failing::<Mine>(&());
    plant(Some(Mistake::MatmulGradNotTransposed));
    let wrong = failing::<Mine>(&());
    plant(None);
    println!("cases that fail: {}; with a planted mistake {}, such as {:?}", right.len(), wrong.len(), wrong.first());
    assert!(right.is_empty() && wrong.iter().any(|name| name.contains("matmul")), "{right:?} {wrong:?}");
    println!("✓ another backend, the same numbers; and a wrong one is found out by name");
    Ok(())
}
