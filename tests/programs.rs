//! A thousand random programs: the CPU backend against plain loops, values and gradients.

use simseg_cpu::{CpuDevice, CpuTensor, Scalar};
use simseg_tensor::{Autodiff, Tensor};
use simseg_testkit::NaiveTensor;
use simseg_testkit::program::Program;
use simseg_testkit::tolerance::{F64, Tolerance};

/// Chains of up to eight steps in f32 lose a little more than one step.
const F32_CHAIN: Tolerance = Tolerance {
    name: "f32 chain",
    reason: "up to eight f32 steps, each within 2e-5 of the largest value",
    limit: 2e-4,
};
const F64_CHAIN: Tolerance = Tolerance { limit: 1e-10, ..F64 };

/// What differs, if anything does.
fn diverges<A: Scalar>(program: &Program, tolerance: Tolerance) -> Result<(), String> {
    let say = |error: simseg_tensor::Error| error.to_string();
    let naive = program.run(&program.make::<NaiveTensor>(&()).map_err(say)?).map_err(say)?;
    let cpu = program.run(&program.make::<CpuTensor<A>>(&CpuDevice).map_err(say)?).map_err(say)?;
    for (i, (naive, cpu)) in naive.iter().zip(&cpu).enumerate() {
        if naive.shape() != cpu.shape() {
            return Err(format!("step {i}: shape {:?}, expected {:?}", cpu.shape(), naive.shape()));
        }
        let (got, want) = (cpu.to_vec::<f64>().map_err(say)?, naive.to_vec::<f64>().map_err(say)?);
        tolerance.compare(&format!("step {i}"), &got, &want)?;
    }
    let want = program.gradients::<Autodiff<NaiveTensor>>(&()).map_err(say)?;
    let got = program.gradients::<Autodiff<CpuTensor<A>>>(&CpuDevice).map_err(say)?;
    for (i, (got, want)) in got.iter().zip(&want).enumerate() {
        tolerance.compare(&format!("gradient of %{i}"), got, want)?;
    }
    Ok(())
}

fn explore<A: Scalar>(seeds: std::ops::Range<u64>, tolerance: Tolerance) {
    for seed in seeds {
        let program = Program::draw(seed, 8);
        if diverges::<A>(&program, tolerance).is_err() {
            let least = program.shrink(|program| diverges::<A>(program, tolerance).is_err());
            let error = diverges::<A>(&least, tolerance).unwrap_err();
            panic!("{error}\n{least}");
        }
    }
}

#[test]
fn a_thousand_random_programs_agree_with_plain_loops_in_f64() {
    explore::<f64>(0..1000, F64_CHAIN);
}

#[test]
fn a_thousand_random_programs_agree_with_plain_loops_in_f32() {
    explore::<f32>(1000..2000, F32_CHAIN);
}

#[test]
fn a_planted_fault_shrinks_to_the_step_that_has_it() {
    // The fault: softmax steps are said to diverge. The least program that still has one has nothing else it can lose.
    let guilty = |program: &Program| program.steps.iter().any(|(step, _)| step.name() == "softmax");
    let program =
        (0..).map(|seed| Program::draw(seed, 8)).find(|program| guilty(program) && program.steps.len() > 5).unwrap();
    let least = program.shrink(guilty);
    assert!(guilty(&least) && least.steps.len() < program.steps.len(), "{least}");
    assert!(least.to_string().contains("softmax %"), "{least}");
}
