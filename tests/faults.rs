//! Every planted fault is noticed, by the cases of the step that has it: `tests that would still pass` there are none.

use simseg_cpu::{CpuDevice, CpuTensor};
use simseg_tensor::{Autodiff, Tensor};
use simseg_testkit::tolerance::{DIFFERENCES, F64};
use simseg_testkit::{Case, FAULTS, Faulty, gradient_cases, value_cases};

fn failing<T: Tensor<Device = CpuDevice>>(cases: Vec<Case<T>>) -> Vec<String> {
    let fails = |case: Case<T>| (case.run)(&CpuDevice).is_err().then_some(case.name);
    cases.into_iter().filter_map(fails).collect()
}

/// The names of all cases that fault `F` makes fail.
fn noticed<const F: usize>() -> Vec<String> {
    type Wrong<const F: usize> = Faulty<CpuTensor<f64>, F>;
    let mut names = failing(value_cases::<Wrong<F>>(F64));
    names.extend(failing(gradient_cases::<Autodiff<Wrong<F>>>(DIFFERENCES, true)));
    names
}

#[test]
fn every_planted_fault_is_noticed_at_its_step() {
    let found = [
        noticed::<0>(),
        noticed::<1>(),
        noticed::<2>(),
        noticed::<3>(),
        noticed::<4>(),
        noticed::<5>(),
        noticed::<6>(),
        noticed::<7>(),
        noticed::<8>(),
        noticed::<9>(),
        noticed::<10>(),
        noticed::<11>(),
        noticed::<12>(),
        noticed::<13>(),
        noticed::<14>(),
        noticed::<15>(),
        noticed::<16>(),
        noticed::<17>(),
    ];
    for ((fault, step), names) in FAULTS.iter().zip(&found) {
        let at_step = names.iter().any(|name| name.contains(step));
        assert!(at_step, "`{fault}` went unnoticed at {step}; noticed: {names:?}");
    }
}

#[test]
fn a_backend_without_faults_passes() {
    assert_eq!(noticed::<999>(), Vec::<String>::new());
}
