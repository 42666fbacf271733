//! Looking inside a computation: every named intermediate is shown to a tap, which does nothing unless asked to.
//!
//! Trace files, the parity report and the step-by-step explanation are all taps.

use crate::{Result, Tensor};

/// Receives named intermediates such as `"image/patches"`, `"scores"` or `"map/3"`.
pub trait Tap<T: Tensor> {
    /// Whether it wants an intermediate that costs extra, such as `"image/attention"`: those are computed only if wanted.
    fn wants(&self, name: &str) -> bool {
        let _ = name;
        false
    }

    /// Called once per intermediate, in the order of computation. An error stops the computation.
    fn see(&mut self, name: &str, value: &T) -> Result<()> {
        let _ = (name, value);
        Ok(())
    }

    /// The same for intermediates that are plain numbers on the host, row-major.
    fn see_host(&mut self, name: &str, shape: &[usize], values: &[f32]) -> Result<()> {
        let _ = (name, shape, values);
        Ok(())
    }

    /// The same for masks: 1 inside, 0 outside.
    fn see_mask(&mut self, name: &str, shape: &[usize], values: &[u8]) -> Result<()> {
        let _ = (name, shape, values);
        Ok(())
    }

    /// The same for label maps: a class for each pixel, or `u16::MAX` for none.
    fn see_labels(&mut self, name: &str, shape: &[usize], values: &[u16]) -> Result<()> {
        let _ = (name, shape, values);
        Ok(())
    }
}

/// The tap that ignores everything.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoTap;

impl<T: Tensor> Tap<T> for NoTap {}
