//! Errors as data: what was asked, of which shapes, and the rule it broke.

use alloc::string::String;
use alloc::vec::Vec;

/// Everything that can go wrong between two tensors, or between a tensor and its backend.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// Two shapes do not fit each other, or one shape does not fit the operation.
    #[error("{op}: shapes {lhs:?} and {rhs:?} do not fit: {rule}")]
    Shape {
        /// The operation.
        op: &'static str,
        /// The left shape (or the only one).
        lhs: Vec<usize>,
        /// The right shape (or the requested one).
        rhs: Vec<usize>,
        /// The rule that was broken.
        rule: &'static str,
    },
    /// An axis that the tensor does not have.
    #[error("{op}: axis {axis} does not exist in shape {shape:?}")]
    Axis {
        /// The operation.
        op: &'static str,
        /// The axis asked for.
        axis: usize,
        /// The shape it was asked of.
        shape: Vec<usize>,
    },
    /// A position past the end.
    #[error("{op}: position {index} is not below {bound}")]
    Position {
        /// The operation.
        op: &'static str,
        /// The position asked for.
        index: usize,
        /// One past the last valid position.
        bound: usize,
    },
    /// A named parameter that is missing or has another shape than the architecture asks for.
    #[error("parameter `{name}`: {problem}")]
    Parameter {
        /// Its name in the checkpoint.
        name: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A setting that cannot work.
    #[error("{key}: {expected}")]
    Setting {
        /// The key, as written in a configuration file.
        key: String,
        /// What was expected, and what was found.
        expected: String,
    },
    /// The backend itself failed (out of memory, no such device, …).
    #[error("{backend}: {message}")]
    Backend {
        /// Its name.
        backend: &'static str,
        /// Its own words.
        message: String,
    },
}

/// The result of every tensor operation.
pub type Result<T> = core::result::Result<T, Error>;

impl Error {
    /// A setting that cannot work: `key: expected`.
    pub fn setting(key: impl Into<String>, expected: impl Into<String>) -> Self {
        Self::Setting { key: key.into(), expected: expected.into() }
    }

    /// A parameter that is missing or misshapen.
    pub fn parameter(name: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Parameter { name: name.into(), problem: problem.into() }
    }
}
