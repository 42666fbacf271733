//! Which two backends `simseg parity` compares.

use super::Options;
use crate::backend::{Libtorch, Precision, libtorch};
use crate::failure::{Failure, Outcome};
use simseg::Extension;
use simseg_cpu::{CpuDevice, CpuTensor};
use simseg_tensor::Autodiff;
use simseg_testkit::mistake::{Mistake, NUDGES};
use simseg_testkit::{Faulty, NaiveTensor, plant};

/// `simseg parity` on the two backends it names.
///
/// # Errors
/// Exit 1 if they diverge, exit 2 for bad input.
pub fn compare(options: &Options, extension: &impl Extension) -> Outcome {
    if let Some(name) = &options.inject {
        let Some(operation) = NUDGES.into_iter().find(|operation| operation == name) else {
            return Err(Failure::input("--inject", format!("expected one of {}, found `{name}`", NUDGES.join(", "))));
        };
        plant(Some(Mistake::Nudge(operation)));
    }
    match Against::open(&options.against, &options.device)? {
        Against::Naive => {
            type Naive = Faulty<NaiveTensor>;
            type Cpu = CpuTensor<f32>;
            super::parity::<Cpu, Naive, Autodiff<Naive>>(options, true, extension, &CpuDevice, &(), &())
        }
        #[cfg(feature = "tch")]
        Against::Tch(device) => {
            type Tch = Faulty<simseg_tch::TchTensor>;
            super::parity::<CpuTensor<f32>, Tch, Tch>(options, false, extension, &CpuDevice, &device, &device)
        }
        #[cfg(not(feature = "tch"))]
        Against::Tch(never) => match never {},
    }
}

/// What `simseg parity` holds the cpu backend against.
enum Against {
    Naive,
    Tch(Libtorch),
}

impl Against {
    fn open(name: &str, device: &str) -> Outcome<Self> {
        match (name, device) {
            ("naive", "cpu") => Ok(Self::Naive),
            ("naive", other) => {
                Err(Failure::input("--device", format!("the naive backend runs on `cpu`, not `{other}`")))
            }
            ("tch", device) => Ok(Self::Tch(libtorch("--against tch", device, Precision::F32)?)),
            (other, _) => Err(Failure::input("--against", format!("expected naive or tch, found `{other}`"))),
        }
    }
}
