//! Every case on every backend of the default build: `cargo test --test conformance`.

use libtest_mimic::{Arguments, run};
use simseg_cpu::{CpuDevice, CpuTensor};
use simseg_tensor::Autodiff;
use simseg_testkit::tolerance::{DIFFERENCES, F32, F64};
use simseg_testkit::{NaiveTensor, gradient_cases, trials, value_cases};

fn main() {
    let cpu = Some(CpuDevice);
    let mut all = trials::<NaiveTensor>("naive", Some(()), value_cases(F64));
    all.extend(trials::<CpuTensor<f32>>("cpu-f32", cpu, value_cases(F32)));
    all.extend(trials::<CpuTensor<f64>>("cpu-f64", cpu, value_cases(F64)));
    all.extend(trials::<Autodiff<CpuTensor<f64>>>("autodiff-cpu-f64", cpu, gradient_cases(DIFFERENCES, true)));
    all.extend(trials::<Autodiff<CpuTensor<f32>>>("autodiff-cpu-f32", cpu, gradient_cases(F32, false)));
    all.extend(trials::<Autodiff<NaiveTensor>>("autodiff-naive", Some(()), gradient_cases(DIFFERENCES, true)));
    run(&Arguments::from_args(), all).exit();
}
