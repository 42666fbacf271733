//! Sharper masks: from a coarse map of a class to pixels that follow the image.
//!
//! Everything here works on plain slices, row by row, and gives the same bits for any number of threads: work is split
//! over outputs, never over a sum. In reading order:
//!
//! - [`crf`]: fully connected CRF, the refinement of the released code (REFERENCE §5, step 6);
//! - [`pamr`]: pixel-adaptive averaging, what TCL and NACLIP use instead;
//! - [`morphology`]: dilation, erosion and closing with OpenCV's border rule (step 7).

pub mod crf;
pub mod pamr;
pub mod morphology;

pub use crf::{CrfParameters, Lattices};
pub use pamr::{Pamr, PamrParameters};

/// Why a refinement could not be computed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RefineError {
    /// An image without pixels, or with more than indices can count.
    #[error("{what}: an image of {height}×{width} pixels, expected sides from 1 to {}", MAX_SIDE)]
    Size {
        /// The operation.
        what: &'static str,
        /// Rows.
        height: usize,
        /// Columns.
        width: usize,
    },
    /// A slice that does not fit the image.
    #[error("{what}: {got} values, expected {expected}")]
    Length {
        /// The operation and slice.
        what: &'static str,
        /// Length expected.
        expected: usize,
        /// Length found.
        got: usize,
    },
    /// A setting outside of its range.
    #[error("{key} = {got}, expected {expected}")]
    Setting {
        /// The setting.
        key: &'static str,
        /// Its value.
        got: f64,
        /// Its range.
        expected: &'static str,
    },
}

impl From<RefineError> for simseg_tensor::Error {
    fn from(error: RefineError) -> Self {
        Self::setting("refine", error.to_string())
    }
}

/// The longest side an image may have; its square times six still counts in 32 bits.
pub const MAX_SIDE: usize = 16_384;

/// Checks that an image has pixels and returns how many.
fn area(what: &'static str, height: usize, width: usize) -> Result<usize, RefineError> {
    let sides = 1..=MAX_SIDE;
    match sides.contains(&height) && sides.contains(&width) {
        true => Ok(height * width),
        false => Err(RefineError::Size { what, height, width }),
    }
}

/// Checks the length of a slice.
fn length(what: &'static str, got: usize, expected: usize) -> Result<(), RefineError> {
    if got == expected { Ok(()) } else { Err(RefineError::Length { what, expected, got }) }
}

/// Runs a loop with AVX2 registers allowed, if the CPU has them. No fused operation is asked for, so both copies of the
/// loop round alike: the result does not depend on the machine.
#[inline]
fn wide<R>(body: impl FnOnce() -> R) -> R {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx2")]
        fn inner<R>(body: impl FnOnce() -> R) -> R {
            body()
        }
        if std::arch::is_x86_feature_detected!("avx2") {
            // SAFETY: `inner` is safe code that only demands the feature checked just above; `both_copies_agree` in
            // `crf/lattice.rs` compares the two copies.
            return unsafe { inner(body) };
        }
    }
    body()
}
