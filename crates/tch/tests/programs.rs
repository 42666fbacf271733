//! Random programs: the CPU backend against libtorch, values of every step and gradients of every input, and libtorch's
//! own gradients against the derivative table over its kernels.
//!
//! A failure prints the least program that still fails and which of the three legs broke.

use simseg_cpu::{CpuDevice, CpuTensor, Scalar};
use simseg_tch::{Precision, TchDevice, TchTensor};
use simseg_tensor::{Autodiff, Tensor};
use simseg_testkit::program::Program;
use simseg_testkit::tolerance::{F64, Tolerance};

/// Chains of up to eight steps in f32 lose a little more than one step.
const F32_CHAIN: Tolerance = Tolerance {
    name: "f32 chain",
    reason: "up to eight f32 steps, each within 2e-5 of the largest value",
    limit: 2e-4,
};
const F64_CHAIN: Tolerance = Tolerance { limit: 1e-10, ..F64 };

fn say(error: simseg_tensor::Error) -> String {
    error.to_string()
}

fn compare(tolerance: Tolerance, leg: &str, got: &[Vec<f64>], want: &[Vec<f64>]) -> Result<(), String> {
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        tolerance.compare(&format!("{leg}, gradient of %{i}"), got, want)?;
    }
    if got.len() == want.len() { Ok(()) } else { Err(format!("{leg}: {} gradients", got.len())) }
}

/// What differs, if anything does.
fn diverges<A: Scalar>(program: &Program, device: TchDevice, tolerance: Tolerance) -> Result<(), String> {
    let cpu = program.run(&program.make::<CpuTensor<A>>(&CpuDevice).map_err(say)?).map_err(say)?;
    let tch = program.run(&program.make::<TchTensor>(&device).map_err(say)?).map_err(say)?;
    for (i, (cpu, tch)) in cpu.iter().zip(&tch).enumerate() {
        if cpu.shape() != tch.shape() {
            return Err(format!("kernel, step {i}: shape {:?}, expected {:?}", tch.shape(), cpu.shape()));
        }
        let (got, want) = (tch.to_vec::<f64>().map_err(say)?, cpu.to_vec::<f64>().map_err(say)?);
        tolerance.compare(&format!("kernel, step {i}"), &got, &want)?;
    }
    let cpu = program.gradients::<Autodiff<CpuTensor<A>>>(&CpuDevice).map_err(say)?;
    let tch = program.gradients::<Autodiff<TchTensor>>(&device).map_err(say)?;
    let native = program.gradients::<TchTensor>(&device).map_err(say)?;
    compare(tolerance, "kernel", &tch, &cpu)?;
    compare(tolerance, "derivative rule", &tch, &native)
}

fn explore<A: Scalar>(seeds: std::ops::Range<u64>, device: TchDevice, tolerance: Tolerance) {
    for seed in seeds {
        let program = Program::draw(seed, 8);
        if diverges::<A>(&program, device, tolerance).is_err() {
            let least = program.shrink(|program| diverges::<A>(program, device, tolerance).is_err());
            let error = diverges::<A>(&least, device, tolerance).unwrap_err();
            panic!("{error}\n{least}");
        }
    }
}

#[test]
fn a_thousand_random_programs_agree_with_the_cpu_backend_in_f64() {
    explore::<f64>(0..1000, TchDevice::CPU.with_precision(Precision::F64), F64_CHAIN);
}

#[test]
fn a_thousand_random_programs_agree_with_the_cpu_backend_in_f32() {
    explore::<f32>(1000..2000, TchDevice::CPU, F32_CHAIN);
}

/// The comparison can fail: f32 programs do not hold the tolerance of f64.
#[test]
fn the_comparison_rejects_a_coarser_precision() {
    let coarse = (0..20).filter(|&seed| diverges::<f64>(&Program::draw(seed, 8), TchDevice::CPU, F64_CHAIN).is_err());
    assert!(coarse.count() >= 10);
}
