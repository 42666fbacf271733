//! Long calls tell how far they are, and can be stopped.

use crate::{Error, Result};
use std::ops::ControlFlow;

/// Told how far a long call is; says whether it should go on.
///
/// Any `FnMut(usize, usize) -> ControlFlow<()>` is one:
///
/// ```
/// use std::ops::ControlFlow;
/// let mut seen = vec![];
/// let mut watch = |done: usize, of: usize| {
///     seen.push((done, of));
///     if done < 2 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
/// };
/// assert!(simseg::Watch::step(&mut watch, 1, 3).is_continue());
/// ```
pub trait Watch {
    /// `done` of `of` parts are finished. `Break` ends the call with [`Error::Cancelled`].
    fn step(&mut self, done: usize, of: usize) -> ControlFlow<()>;
}

impl<F: FnMut(usize, usize) -> ControlFlow<()>> Watch for F {
    fn step(&mut self, done: usize, of: usize) -> ControlFlow<()> {
        self(done, of)
    }
}

/// Nobody looks: calls run to their end.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unwatched;

impl Watch for Unwatched {
    fn step(&mut self, _: usize, _: usize) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

/// [`Watch::step`] as a result.
pub(crate) fn step(watch: &mut dyn Watch, done: usize, of: usize) -> Result<()> {
    match watch.step(done, of) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(Error::Cancelled),
    }
}
