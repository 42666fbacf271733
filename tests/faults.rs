//! Every planted fault is noticed, by the cases of the step that has it: `tests that would still pass` there are none.

use simseg_cpu::{CpuDevice, CpuTensor};
use simseg_tensor::{Autodiff, Tensor};
use simseg_testkit::fault::plant;
use simseg_testkit::tolerance::{DIFFERENCES, F64};
use simseg_testkit::{Case, FAULTS, Faulty, gradient_cases, value_cases};

fn failing<T: Tensor<Device = CpuDevice>>(cases: Vec<Case<T>>) -> Vec<String> {
    let fails = |case: Case<T>| (case.run)(&CpuDevice).is_err().then_some(case.name);
    cases.into_iter().filter_map(fails).collect()
}

/// The names of all cases that a fault makes fail.
fn noticed(fault: usize) -> Vec<String> {
    type Wrong = Faulty<CpuTensor<f64>>;
    plant(fault);
    let mut names = failing(value_cases::<Wrong>(F64));
    names.extend(failing(gradient_cases::<Autodiff<Wrong>>(DIFFERENCES, true)));
    names
}

#[test]
fn every_planted_fault_is_noticed_at_its_step() {
    let found: Vec<Vec<String>> = (0..FAULTS.len()).map(noticed).collect();
    for ((fault, step), names) in FAULTS.iter().zip(&found) {
        let at_step = names.iter().any(|name| name.contains(step));
        assert!(at_step, "`{fault}` went unnoticed at {step}; noticed: {names:?}");
    }
}

#[test]
fn a_backend_without_faults_passes() {
    assert_eq!(noticed(FAULTS.len()), Vec::<String>::new());
}
