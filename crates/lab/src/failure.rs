//! How a command ends: 0 done, 1 a check failed, 2 bad input or usage, always with one line that says what to change.

use std::fmt::Display;
use std::path::Path;

/// Why a command stopped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// A check did not hold (exit 1).
    #[error("{0}")]
    Check(String),
    /// Bad input or usage (exit 2).
    #[error("{0}")]
    Input(String),
}

/// The result of a command.
pub type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    /// Bad input: `what: why`.
    pub fn input(what: impl Display, why: impl Display) -> Self {
        Self::Input(format!("{what}: {why}"))
    }

    /// Bad input in a file.
    pub fn file(path: &Path, why: impl Display) -> Self {
        Self::input(path.display(), why)
    }

    /// The exit status.
    pub fn code(&self) -> u8 {
        match self {
            Self::Check(_) => 1,
            Self::Input(_) => 2,
        }
    }
}

impl From<simseg_tensor::Error> for Failure {
    fn from(error: simseg_tensor::Error) -> Self {
        Self::Input(error.to_string())
    }
}

impl From<simseg_data::Error> for Failure {
    fn from(error: simseg_data::Error) -> Self {
        Self::Input(error.to_string())
    }
}
