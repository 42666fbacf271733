//! Every planted mistake is noticed, and the three legs name the operation and what is wrong with it.

use simseg_cpu::{CpuDevice, CpuTensor};
use simseg_tensor::{Autodiff, Tensor};
use simseg_testkit::diagnose::{FaultIn, Finding, Kind, blame, blame_with};
use simseg_testkit::golden::{Golden, goldens};
use simseg_testkit::step::Step;
use simseg_testkit::tolerance::{DIFFERENCES, F64};
use simseg_testkit::{Case, Faulty, MISTAKES, Misled, Mistake, gradient_cases, plant, value_cases};

type Cpu = CpuTensor<f64>;
type Table<T> = Misled<Autodiff<T>>;

#[cfg(feature = "tch")]
mod other {
    pub type Other = simseg_tch::TchTensor;
    pub type Native = simseg_tch::TchTensor;
    pub fn place() -> simseg_tch::TchDevice {
        simseg_tch::TchDevice::CPU.with_precision(simseg_tch::Precision::F64)
    }
}
/// Without libtorch the other backend is the CPU's once more, and has no engine of its own.
#[cfg(not(feature = "tch"))]
mod other {
    use super::*;
    pub type Other = Cpu;
    pub type Native = Table<Faulty<Cpu>>;
    pub fn place() -> CpuDevice {
        CpuDevice
    }
}
use other::{Native, Other, place};

/// What the diagnosis says of a mistake in the other backend, or in the rules that both share.
fn diagnosis(mistake: Option<Mistake>) -> Option<Finding> {
    plant(mistake);
    let places = (&CpuDevice, &place(), &place());
    let found = blame_with::<Table<Cpu>, Table<Faulty<Other>>, Native>(&goldens(), places, F64).unwrap();
    plant(None);
    found
}

#[test]
fn every_mistake_is_caught_and_named() {
    for (mistake, operation, kind) in MISTAKES {
        let found = diagnosis(Some(mistake)).unwrap_or_else(|| panic!("{mistake:?} went unnoticed"));
        println!("{mistake:?}: {found}");
        assert_eq!((found.operation.as_str(), found.kind), (operation, kind), "{mistake:?}: {found}");
        let fault_in = if found.kind == Kind::Kernel { FaultIn::Other } else { found.fault_in };
        assert_eq!(found.fault_in, fault_in, "{mistake:?}: {found}");
    }
}

#[test]
fn nothing_is_blamed_where_nothing_is_wrong() {
    assert_eq!(diagnosis(None), None);
}

#[test]
fn a_mistake_of_the_reference_is_not_blamed_on_the_other() {
    plant(Some(Mistake::LayerNormUnbiased));
    let found =
        blame::<Faulty<Cpu>, Other, Autodiff<Other>>(&goldens(), (&CpuDevice, &place(), &place()), F64).unwrap();
    plant(None);
    let found = found.unwrap();
    assert_eq!(
        (found.operation.as_str(), found.kind, found.fault_in),
        ("layer_norm", Kind::Kernel, FaultIn::Reference)
    );
}

/// Kernels of both backends that make the same mistake compute the same wrong formula.
#[test]
fn a_formula_that_both_backends_share_is_told_by_pytorch() {
    for (mistake, operation) in [
        (Mistake::LayerNormEpsOutsideTheRoot, "layer_norm"),
        (Mistake::GeluByTanh, "gelu"),
        (Mistake::AttentionScaledTwice, "attention"),
        (Mistake::PaddingLeaks, "attention"),
    ] {
        plant(Some(mistake));
        let places = (&CpuDevice, &place(), &place());
        let found = blame::<Faulty<Cpu>, Faulty<Other>, Autodiff<Faulty<Other>>>(&goldens(), places, F64).unwrap();
        plant(None);
        let found = found.unwrap_or_else(|| panic!("{mistake:?} went unnoticed"));
        println!("{mistake:?} on both: {found}");
        assert_eq!((found.operation.as_str(), found.kind), (operation, Kind::Formula), "{mistake:?}: {found}");
    }
}

/// Another text in place of the right one: both backends follow it faithfully.
#[test]
fn a_wrong_text_is_a_wrong_formula() {
    let attention = |causal| Step::Attention { heads: if causal { 1 } else { 2 }, causal, lengths: None };
    for (name, text, operation) in [
        ("quick_gelu", Step::Gelu, "quick_gelu"), // the exact one, where CLIP has the quick one
        ("l2_normalize", Step::L2NormalizePooled, "l2_normalize"), // ε added to the norm, for a bound on it
        ("layer_norm_1e-6", Step::LayerNorm(1e-5), "layer_norm"), // timm's ε is 1e-6
        ("attention_padded", attention(false), "attention"), // padding is seen
        ("attention_causal", Step::Attention { heads: 1, causal: false, lengths: None }, "attention"),
    ] {
        let wrong = |golden: Golden| if golden.name == name { golden.with_text(text.clone()) } else { golden };
        let goldens: Vec<Golden> = goldens().into_iter().map(wrong).collect();
        let places = (&CpuDevice, &place(), &place());
        let found = blame::<Cpu, Other, Autodiff<Other>>(&goldens, places, F64).unwrap();
        let found = found.unwrap_or_else(|| panic!("{name} went unnoticed"));
        assert_eq!((found.operation.as_str(), found.kind), (operation, Kind::Formula), "{name}: {found}");
    }
}

fn failing<T: Tensor<Device = CpuDevice>>(cases: Vec<Case<T>>) -> Vec<String> {
    let fails = |case: Case<T>| (case.run)(&CpuDevice).is_err().then_some(case.name);
    cases.into_iter().filter_map(fails).collect()
}

/// The conformance cases notice, too, at the step that is wrong: not one of them is for show.
#[test]
fn every_mistake_fails_conformance_at_its_step() {
    type Wrong = Faulty<Cpu>;
    for (mistake, operation, kind) in MISTAKES {
        plant(Some(mistake));
        let names = match kind {
            Kind::Kernel => failing(value_cases::<Wrong>(F64)),
            _ => failing(gradient_cases::<Table<Wrong>>(DIFFERENCES, true)),
        };
        plant(None);
        assert!(names.iter().any(|name| name.contains(operation)), "{mistake:?} went unnoticed; noticed: {names:?}");
    }
}
