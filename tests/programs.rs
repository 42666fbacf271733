//! Thousands of random programs: values of every step and gradients of every input, on pairs of backends.
//!
//! In the default build the CPU backend against plain loops; with the feature `tch` libtorch against the CPU backend, and
//! libtorch's own gradients against the derivative table over its kernels. A failure prints the least program that still fails.

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{RngAlgorithm, TestError, TestRng, TestRunner};
use simseg_cpu::{CpuDevice, CpuTensor};
use simseg_tensor::{Autodiff, Differentiable};
use simseg_testkit::strategy::programs;
use simseg_testkit::subject::{same_gradients, same_values};
use simseg_testkit::tolerance::{F32, F64, Tolerance};
use simseg_testkit::{Faulty, Misled, Mistake, NaiveTensor, Program, plant};
use std::collections::HashMap;

/// Steps of a program.
const MOST: usize = 8;
const F32_CHAIN: Tolerance = Tolerance {
    name: "f32 chain",
    reason: "up to eight f32 steps, each within 2e-5 of the largest value",
    limit: 2e-4,
    ..F32
};
const F64_CHAIN: Tolerance = Tolerance { limit: 1e-10, ..F64 };

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, max_shrink_iters: 4096, ..Default::default() }
}

/// What differs between a reference and another backend, if anything does.
fn diverges<A: Differentiable, B: Differentiable>(
    program: &Program,
    places: (&A::Device, &B::Device),
    tolerance: Tolerance,
) -> Result<(), TestCaseError> {
    same_values::<A, B>(program, places, tolerance).map_err(TestCaseError::fail)?;
    same_gradients::<A, B>(program, places, tolerance).map_err(TestCaseError::fail)
}

type Naive = Autodiff<NaiveTensor>;
type Cpu<A> = Autodiff<CpuTensor<A>>;

proptest! {
    #![proptest_config(config(2000))]

    #[test]
    fn the_cpu_backend_agrees_with_plain_loops_in_f64(program in programs(MOST)) {
        diverges::<Naive, Cpu<f64>>(&program, (&(), &CpuDevice), F64_CHAIN)?;
    }

    #[test]
    fn the_cpu_backend_agrees_with_plain_loops_in_f32(program in programs(MOST)) {
        diverges::<Naive, Cpu<f32>>(&program, (&(), &CpuDevice), F32_CHAIN)?;
    }
}

#[cfg(feature = "tch")]
mod libtorch {
    use super::*;
    use simseg_tch::{Precision, TchDevice, TchTensor};

    type Table = Autodiff<TchTensor>;

    proptest! {
        #![proptest_config(config(2000))]

        #[test]
        fn libtorch_agrees_with_the_cpu_backend_in_f64(program in programs(MOST)) {
            let double = TchDevice::CPU.with_precision(Precision::F64);
            diverges::<Cpu<f64>, Table>(&program, (&CpuDevice, &double), F64_CHAIN)?;
            same_gradients::<Table, TchTensor>(&program, (&double, &double), F64_CHAIN).map_err(TestCaseError::fail)?;
        }

        #[test]
        fn libtorch_agrees_with_the_cpu_backend_in_f32(program in programs(MOST)) {
            let single = TchDevice::CPU;
            diverges::<Cpu<f32>, Table>(&program, (&CpuDevice, &single), F32_CHAIN)?;
            same_gradients::<Table, TchTensor>(&program, (&single, &single), F32_CHAIN).map_err(TestCaseError::fail)?;
        }
    }
}

/// A runner that draws the same programs every time.
fn fixed(cases: u32) -> TestRunner {
    TestRunner::new_with_rng(config(cases), TestRng::deterministic_rng(RngAlgorithm::ChaCha))
}

#[test]
fn programs_hold_every_primitive_and_hook_and_long_and_strided_inputs() {
    let (mut runner, mut steps, mut inputs) = (fixed(1), HashMap::<String, u32>::new(), HashMap::<String, u32>::new());
    for _ in 0..1000 {
        let program = programs(MOST).new_tree(&mut runner).unwrap().current();
        program.steps().into_iter().for_each(|step| *steps.entry(step).or_default() += 1);
        for line in program.to_string().lines().filter(|line| line.contains("input")) {
            for word in ["1025", "33", "permuted", "cut out", "shared"] {
                *inputs.entry(word.to_owned()).or_default() += u32::from(line.contains(word));
            }
        }
    }
    assert_eq!(steps.len(), 35, "{steps:?}");
    assert!(steps.values().all(|&count| count >= 20), "{steps:?}");
    assert!(inputs.len() == 5 && inputs.values().all(|&count| count >= 10), "{inputs:?}");
}

/// The least program in which a planted mistake shows.
fn least(mistake: Mistake) -> String {
    type Right = Cpu<f64>;
    type Wrong = Misled<Autodiff<Faulty<CpuTensor<f64>>>>;
    plant(Some(mistake));
    let here = (&CpuDevice, &CpuDevice);
    let found = fixed(2000).run(&programs(MOST), |program| diverges::<Right, Wrong>(&program, here, F64_CHAIN));
    plant(None);
    match found {
        Err(TestError::Fail(_, program)) => program.to_string(),
        other => panic!("{mistake:?} was not found: {other:?}"),
    }
}

#[test]
fn a_planted_mistake_shrinks_to_the_step_that_has_it() {
    for (mistake, program) in [
        (Mistake::Nudge("softmax"), "%0 = input [1]\n%1 = softmax %0\n"),
        (Mistake::DifferenceSwapped, "%0 = input [1]\n%1 = input [1]\n%2 = sub %0, %1\n"),
        (Mistake::TanhGradWithoutSquare, "%0 = input [1]\n%1 = tanh %0\n"),
    ] {
        assert_eq!(least(mistake), program, "{mistake:?}");
    }
    // What shows only in larger inputs keeps them no larger than it needs.
    for (mistake, step) in [
        (Mistake::TopkOffByOne, "topk["),
        (Mistake::PaddingLeaks, "attention["),
        (Mistake::MatmulGradNotTransposed, "matmul"),
        (Mistake::ScatterOverwrites, "scatter_add["),
    ] {
        let program = least(mistake);
        let last = program.lines().last().unwrap_or_default();
        assert!(last.contains(step) && program.matches(" = ").count() <= 4, "{mistake:?}:\n{program}");
        println!("{mistake:?} shrinks to\n{program}");
    }
}

#[test]
fn the_comparison_rejects_a_coarser_precision() {
    let mut runner = fixed(1);
    let mut coarse = || {
        let program = programs(MOST).new_tree(&mut runner).unwrap().current();
        same_values::<NaiveTensor, CpuTensor<f32>>(&program, (&(), &CpuDevice), F64_CHAIN).is_err()
    };
    assert!((0..100).filter(|_| coarse()).count() >= 50);
}
