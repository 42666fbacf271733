//! Which backends there are, and where they run: the only file that names them. Commands are generic: each is written once, and
//! [`on!`] compiles its call for every backend.

use crate::commands::parity;
use crate::failure::{Failure, Outcome};
use clap::{Args, ValueEnum};
use simseg::Extension;
use simseg_cpu::{CpuDevice, CpuTensor};
#[cfg(feature = "tch")]
pub use simseg_tch::TchDevice as Libtorch;
use simseg_tensor::Autodiff;
use simseg_testkit::mistake::{Mistake, NUDGES};
use simseg_testkit::{Faulty, NaiveTensor, plant};
/// In a build without libtorch there is no device of it.
#[cfg(not(feature = "tch"))]
pub use std::convert::Infallible as Libtorch;

/// What the command line says about it.
#[derive(Debug, Clone, Args)]
pub struct BackendArgs {
    /// What computes.
    #[arg(long, value_enum, default_value_t = Backend::Cpu)]
    backend: Backend,
    /// Where: cpu, or with libtorch cuda:0.
    #[arg(long, default_value = "cpu")]
    device: String,
    /// In which numbers; all but f32 with libtorch only. bf16 and f16 are automatic mixed precision.
    #[arg(long, value_enum, default_value_t = Precision::F32)]
    precision: Precision,
}

/// The backends by name.
#[derive(Debug, Clone, Copy, PartialEq, ValueEnum)]
enum Backend {
    /// The pure-Rust reference.
    Cpu,
    /// libtorch; only in builds made for it (see `cargo xtask`).
    Tch,
}

/// The precisions by name.
#[derive(Debug, Clone, Copy, PartialEq, ValueEnum)]
enum Precision {
    F32,
    F64,
    Bf16,
    F16,
}

/// A backend that is there, with its device. Only [`on!`] matches on it.
pub enum Place {
    /// The pure-Rust reference.
    Cpu,
    /// libtorch on a device.
    Tch(Libtorch),
}

/// Evaluates a command on a [`Place`]: the only `match` on the backend. In the command `T` is the tensor that computes, `D` the
/// one that also differentiates, and the name between the bars its device.
macro_rules! on {
    ($place:expr, |$device:ident| $command:expr) => {
        match $place {
            $crate::cli::backend::Place::Cpu => {
                #[allow(dead_code, reason = "a command names the one or the other")]
                type T = simseg_cpu::CpuTensor<f32>;
                #[allow(dead_code, reason = "a command names the one or the other")]
                type D = simseg_tensor::Autodiff<T>;
                let $device = &simseg_cpu::CpuDevice;
                $command
            }
            #[cfg(not(feature = "tch"))]
            $crate::cli::backend::Place::Tch(never) => match never {},
            #[cfg(feature = "tch")]
            $crate::cli::backend::Place::Tch(device) => {
                #[allow(dead_code, reason = "a command names the one or the other")]
                type T = simseg_tch::TchTensor;
                #[allow(dead_code, reason = "a command names the one or the other")]
                type D = T; // libtorch has an autograd of its own
                let $device = &device;
                $command
            }
        }
    };
}
pub(crate) use on;

impl BackendArgs {
    /// The backend asked for.
    ///
    /// # Errors
    /// Exit 2 with one line: this build has no libtorch, CUDA can't be loaded, no such device or precision.
    pub fn open(&self) -> Outcome<Place> {
        match (self.backend, self.device.as_str(), self.precision) {
            (Backend::Cpu, "cpu", Precision::F32) => Ok(Place::Cpu),
            (Backend::Cpu, "cpu", _) => {
                Err(Failure::input("--precision", "the cpu backend computes in f32; others need `--backend tch`"))
            }
            (Backend::Cpu, other, _) => {
                Err(Failure::input("--device", format!("the cpu backend runs on `cpu`, not `{other}`")))
            }
            (Backend::Tch, device, precision) => Ok(Place::Tch(libtorch("--backend tch", device, precision)?)),
        }
    }

    /// The same for a command that trains.
    ///
    /// # Errors
    /// Also for f16, in which gradients vanish.
    pub fn open_for_training(&self) -> Outcome<Place> {
        if self.precision == Precision::F16 {
            return Err(Failure::input("--precision f16", "gradients below 6e-8 would vanish; train in bf16"));
        }
        self.open()
    }
}

/// `simseg parity` on the two backends it names.
///
/// # Errors
/// Exit 1 if they diverge, exit 2 for bad input.
pub fn parity(options: &parity::Options, extension: &impl Extension) -> Outcome {
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
            parity::parity::<Cpu, Naive, Autodiff<Naive>>(options, true, extension, &CpuDevice, &(), &())
        }
        #[cfg(feature = "tch")]
        Against::Tch(device) => {
            type Tch = Faulty<simseg_tch::TchTensor>;
            parity::parity::<CpuTensor<f32>, Tch, Tch>(options, false, extension, &CpuDevice, &device, &device)
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

/// libtorch on a device. CUDA is looked for here, before any other use of libtorch: it looks once and remembers.
#[cfg(feature = "tch")]
fn libtorch(_: &str, device: &str, precision: Precision) -> Outcome<Libtorch> {
    let device = simseg_tch::device(device).map_err(|error| Failure::input(format!("--device {device}"), error))?;
    // `--threads` made the pool of this process; libtorch has its own.
    simseg_tch::set_threads(rayon::current_num_threads());
    Ok(device.with_precision(match precision {
        Precision::F32 => simseg_tch::Precision::F32,
        Precision::F64 => simseg_tch::Precision::F64,
        Precision::Bf16 => simseg_tch::Precision::Bf16,
        Precision::F16 => simseg_tch::Precision::F16,
    }))
}

#[cfg(not(feature = "tch"))]
fn libtorch(asked: &str, _: &str, _: Precision) -> Outcome<Libtorch> {
    Err(Failure::input(
        asked,
        "this build is without libtorch; `cargo xtask tch -- …` builds with it (docs/libtorch.md)",
    ))
}
