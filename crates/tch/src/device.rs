//! Where tensors live and in which precision; CUDA is loaded when it is asked for.
//!
//! libtorch comes as a CPU library and a CUDA library that registers itself when it is loaded. Programs here are linked
//! with the first only, so that one binary runs on machines with and without CUDA packages: [`device`] opens the second
//! by `dlopen`, from the folder that the first was loaded from, the moment `cuda:0` is asked for. libtorch looks for CUDA
//! once and remembers the answer, so ask before any other use of libtorch in the process.
//!
//! *Precision.* `f32` and `f64` store and compute in that type. `bf16` and `f16` are PyTorch's automatic mixed precision
//! (Micikevicius et al. 2018) said openly: weights, norms, softmax, exponentials and sums are f32; products (`matmul`,
//! `linear`, `attention`) read their operands in the short type and leave their result in it; sums of both are f32 by
//! libtorch's type promotion. No thread-local switch is involved (`tch::autocast` has one, for f16 on CUDA only), so the
//! same device value works on the CPU too and gradients of leaves arrive in f32. bf16 has the range of f32; f16 has not:
//! scale the loss.
//!
//! *TF32* (products of f32 rounded to 10 bits of mantissa) is off by libtorch's default; `TORCH_ALLOW_TF32_CUBLAS_OVERRIDE=1`
//! in the environment turns it on. [`TchDevice::tf32`] measures which it is.

use crate::{TchTensor, backend};
use simseg_tensor::{Ops, Result, Tensor};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::OnceLock;
use tch::{Cuda, Kind};

/// How values are stored and multiplied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    /// 32 bits throughout.
    #[default]
    F32,
    /// 64 bits throughout.
    F64,
    /// Products in bfloat16, the rest in 32 bits.
    Bf16,
    /// Products in half precision, the rest in 32 bits. Gradients below 6e-8 vanish: scale the loss.
    F16,
}

impl FromStr for Precision {
    type Err = simseg_tensor::Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "f32" => Ok(Self::F32),
            "f64" => Ok(Self::F64),
            "bf16" => Ok(Self::Bf16),
            "f16" => Ok(Self::F16),
            _ => Err(simseg_tensor::Error::setting(
                "precision",
                format!("expected f32, f64, bf16 or f16, found `{text}`"),
            )),
        }
    }
}

/// A device of libtorch with a precision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TchDevice {
    place: tch::Device,
    precision: Precision,
}

/// The device of a specification: `cpu`, `cuda` or `cuda:N`, in f32.
///
/// # Errors
/// A specification that is none of these; CUDA libraries that can't be loaded, in the loader's words; no such GPU.
pub fn device(specification: &str) -> Result<TchDevice> {
    let number = match specification {
        "cpu" => return Ok(TchDevice::CPU),
        "cuda" => Some(0),
        other => other.strip_prefix("cuda:").and_then(|number| number.parse().ok()),
    };
    match number {
        Some(number) => TchDevice::cuda(number),
        None => Err(simseg_tensor::Error::setting(
            "device",
            format!("expected cpu, cuda or cuda:N, found `{specification}`"),
        )),
    }
}

impl TchDevice {
    /// The CPU in f32.
    pub const CPU: Self = Self { place: tch::Device::Cpu, precision: Precision::F32 };

    /// A GPU in f32.
    ///
    /// # Errors
    /// CUDA libraries that can't be loaded, in the loader's words; no such GPU.
    pub fn cuda(number: usize) -> Result<Self> {
        load_cuda()?;
        let count = usize::try_from(Cuda::device_count()).unwrap_or(0);
        if number >= count {
            return Err(backend(format!(
                "cuda:{number} is not there: libtorch_cuda.so is loaded and sees {count} GPUs (driver? \
                 CUDA_VISIBLE_DEVICES? was libtorch used before the GPU was asked for?)"
            )));
        }
        Ok(Self { place: tch::Device::Cuda(number), precision: Precision::F32 })
    }

    /// The same place in another precision.
    #[must_use]
    pub fn with_precision(self, precision: Precision) -> Self {
        Self { precision, ..self }
    }

    /// Its precision.
    pub fn precision(self) -> Precision {
        self.precision
    }

    /// Whether it is a GPU.
    pub fn is_cuda(self) -> bool {
        self.place.is_cuda()
    }

    /// Waits until everything asked of the device is done; a stopwatch means nothing without it.
    pub fn synchronize(self) {
        if let tch::Device::Cuda(number) = self.place {
            Cuda::synchronize(number as i64);
        }
    }

    /// Whether f32 products are rounded to TF32: multiplies `1 + 2⁻¹²`, which TF32 has no room for, by the identity.
    ///
    /// # Errors
    /// Whatever libtorch says.
    pub fn tf32(self) -> Result<bool> {
        const N: usize = 128;
        let device = self.with_precision(Precision::F32);
        let value = 1.0 + 1.0 / 4096.0;
        let identity: Vec<f32> = (0..N * N).map(|i| if i % N == i / N { 1.0 } else { 0.0 }).collect();
        let identity = TchTensor::from_host(&identity, &[N, N], &device)?;
        let product = TchTensor::full(value, &[N, N], &device)?.matmul(&identity)?;
        Ok(product.to_vec::<f64>()?.iter().any(|&x| x != value))
    }

    pub(crate) fn place(self) -> tch::Device {
        self.place
    }

    /// What values are stored in, but for results of products.
    pub(crate) fn kind(self) -> Kind {
        if self.precision == Precision::F64 { Kind::Double } else { Kind::Float }
    }

    /// What products read and leave.
    pub(crate) fn product_kind(self) -> Kind {
        match self.precision {
            Precision::Bf16 => Kind::BFloat16,
            Precision::F16 => Kind::Half,
            Precision::F32 | Precision::F64 => self.kind(),
        }
    }
}

impl fmt::Display for TchDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            tch::Device::Cuda(number) => write!(f, "cuda:{number}")?,
            _ => f.write_str("cpu")?,
        }
        match self.precision {
            Precision::F32 => f.write_str(" f32"),
            Precision::F64 => f.write_str(" f64"),
            Precision::Bf16 => f.write_str(" bf16"),
            Precision::F16 => f.write_str(" f16"),
        }
    }
}

/// Threads of libtorch's own pool; 0 leaves them as they are (one per core).
pub fn set_threads(count: usize) {
    if let Ok(count @ 1..) = i32::try_from(count) {
        tch::set_num_threads(count);
    }
}

/// Loads `libtorch_cuda.so` for good. Later calls repeat the first answer.
fn load_cuda() -> Result<()> {
    static ANSWER: OnceLock<std::result::Result<(), String>> = OnceLock::new();
    ANSWER.get_or_init(open_cuda).clone().map_err(backend)
}

#[cfg(unix)]
fn open_cuda() -> std::result::Result<(), String> {
    use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
    let name = "libtorch_cuda.so";
    let path = folder().map_or_else(|| PathBuf::from(name), |folder| folder.join(name));
    // SAFETY: loading runs the initialisers of libtorch's own library, of the same version as what is linked: it lies
    // beside it. They register kernels with the dispatcher, which takes its own locks.
    let library = unsafe { Library::open(Some(&path), RTLD_NOW | RTLD_GLOBAL) };
    match library {
        // Kernels stay registered to the end of the process: never unload.
        Ok(library) => {
            std::mem::forget(library);
            Ok(())
        }
        // The loader's own words are the source: which library of which file is missing.
        Err(error) => Err(format!(
            "CUDA can't be loaded: {}. Point LD_LIBRARY_PATH at the lib folder of a torch 2.11.0 that has CUDA \
             (see docs/libtorch.md)",
            std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string)
        )),
    }
}

#[cfg(not(unix))]
fn open_cuda() -> std::result::Result<(), String> {
    Err("CUDA is loaded at run time on Linux only".to_owned())
}

/// The folder that libtorch's CPU library was loaded from.
#[cfg(unix)]
fn folder() -> Option<PathBuf> {
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    let line = maps.lines().find(|line| line.ends_with("/libtorch_cpu.so"))?;
    let path = &line[line.find('/')?..];
    Some(PathBuf::from(path).parent()?.to_owned())
}
