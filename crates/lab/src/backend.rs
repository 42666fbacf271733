//! Which backends there are, and where they run: with `commands/parity/pair.rs` the only file that names them. Commands are
//! generic: each is written once, and `on!` compiles its call for every backend.

use crate::failure::{Failure, Outcome};
use clap::{Args, ValueEnum};
use simseg::WeightType;
#[cfg(feature = "tch")]
pub use simseg_tch::TchDevice as Libtorch;
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
    /// In which numbers. On the cpu backend bf16 and int8 round the weights and keep them so in memory, for use, not for training;
    /// where the CPU has instructions for products in these types (AVX-512-BF16, AVX-512-VNNI) the inputs of layers are rounded as
    /// well, else arithmetic stays f32. With libtorch bf16 and f16 are automatic mixed precision; f64 and f16 need it.
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Precision {
    /// Single precision.
    F32,
    /// Double precision.
    F64,
    /// bfloat16 where it is safe, f32 elsewhere; on the cpu backend for the products of layers.
    Bf16,
    /// Half precision where it is safe, f32 elsewhere.
    F16,
    /// Products of layers in 8 bits with a scale for each row, f32 elsewhere.
    Int8,
}

/// A backend that is there, with its device. Only `on!` matches on it.
pub enum OpenBackend {
    /// The pure-Rust reference.
    Cpu,
    /// libtorch on a device.
    Tch(Libtorch),
}

/// Evaluates a command on a [`OpenBackend`]: the only `match` on the backend. In the command `T` is the tensor that computes, `D` the
/// one that also differentiates, and the name between the bars its device.
macro_rules! on {
    ($backend:expr, |$device:ident| $command:expr) => {
        match $backend {
            $crate::backend::OpenBackend::Cpu => {
                #[allow(dead_code, reason = "a command names the one or the other")]
                type T = simseg_cpu::CpuTensor<f32>;
                #[allow(dead_code, reason = "a command names the one or the other")]
                type D = simseg_tensor::Autodiff<T>;
                let $device = &simseg_cpu::CpuDevice;
                $command
            }
            #[cfg(not(feature = "tch"))]
            $crate::backend::OpenBackend::Tch(never) => match never {},
            #[cfg(feature = "tch")]
            $crate::backend::OpenBackend::Tch(device) => {
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
    /// Backend, device and precision as the command line names them.
    pub fn names(&self) -> [String; 3] {
        let name =
            |value: Option<clap::builder::PossibleValue>| value.map_or_else(String::new, |v| v.get_name().to_owned());
        [name(self.backend.to_possible_value()), self.device.clone(), name(self.precision.to_possible_value())]
    }

    /// The backend asked for.
    ///
    /// # Errors
    /// Exit 2 with one line: this build has no libtorch, CUDA can't be loaded, no such device or precision.
    pub fn open(&self) -> Outcome<OpenBackend> {
        match (self.backend, self.device.as_str(), self.precision) {
            (Backend::Cpu, "cpu", Precision::F32 | Precision::Bf16 | Precision::Int8) => Ok(OpenBackend::Cpu),
            (Backend::Cpu, "cpu", _) => Err(Failure::input(
                "--precision",
                "the cpu backend computes in f32, with weights in f32, bf16 or int8; others need `--backend tch`",
            )),
            (Backend::Cpu, other, _) => {
                Err(Failure::input("--device", format!("the cpu backend runs on `cpu`, not `{other}`")))
            }
            (Backend::Tch, _, Precision::Int8) => Err(Failure::input(
                "--precision int8",
                "for the cpu backend alone; libtorch has f32, f64, bf16 and f16",
            )),
            (Backend::Tch, device, precision) => Ok(OpenBackend::Tch(libtorch("--backend tch", device, precision)?)),
        }
    }

    /// To which type the weights of a model are rounded where it is opened: that of the precision, on the cpu backend.
    pub fn rounded(&self) -> Option<WeightType> {
        match (self.backend, self.precision) {
            (Backend::Cpu, Precision::Bf16) => Some(WeightType::Bf16),
            (Backend::Cpu, Precision::Int8) => Some(WeightType::Int8),
            _ => None,
        }
    }

    /// The same for a command that trains.
    ///
    /// # Errors
    /// Also for f16, in which gradients vanish, and for rounded weights.
    pub fn open_for_training(&self) -> Outcome<OpenBackend> {
        if self.rounded().is_some() {
            return Err(Failure::input(
                "--precision",
                "the cpu backend trains in f32: steps would be lost to rounding",
            ));
        }
        if self.precision == Precision::F16 {
            return Err(Failure::input("--precision f16", "gradients below 6e-8 would vanish; train in bf16"));
        }
        self.open()
    }
}

/// libtorch on a device, as the option `asked` wants it.
///
/// CUDA is looked for here, before any other use of libtorch: it looks once and remembers.
///
/// # Errors
/// Exit 2 if this build is without it, or the device is not there.
#[cfg(feature = "tch")]
pub fn libtorch(_asked: &str, device: &str, precision: Precision) -> Outcome<Libtorch> {
    let device = simseg_tch::device(device).map_err(|error| Failure::input(format!("--device {device}"), error))?;
    // `--threads` made the pool of this process; libtorch has its own.
    simseg_tch::set_threads(rayon::current_num_threads());
    Ok(device.with_precision(match precision {
        Precision::F32 => simseg_tch::Precision::F32,
        Precision::F64 => simseg_tch::Precision::F64,
        Precision::Bf16 => simseg_tch::Precision::Bf16,
        Precision::F16 => simseg_tch::Precision::F16,
        Precision::Int8 => return Err(Failure::input("--precision int8", "libtorch has f32, f64, bf16 and f16")),
    }))
}

/// libtorch is not in this build.
///
/// # Errors
/// Always, with exit 2.
#[cfg(not(feature = "tch"))]
pub fn libtorch(asked: &str, _: &str, _: Precision) -> Outcome<Libtorch> {
    Err(Failure::input(
        asked,
        "this build is without libtorch; `cargo xtask tch -- …` builds with it (docs/libtorch.md)",
    ))
}
