//! How a command ends: 0 done, 1 a check failed, 2 bad input or usage, 3 the machine or the backend failed; always with one
//! line that says what to change.

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
    /// A training whose loss is no number any more, or whose ranks are not alike: what all ranks find out at once (exit 2).
    #[error("{0}")]
    Diverged(String),
    /// The machine or the backend failed (exit 3).
    #[error("{0}")]
    Machine(String),
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

    /// What the system said about a file: a full disk is the machine's failure, all else is bad input.
    pub fn io(path: &Path) -> impl Fn(std::io::Error) -> Self + '_ {
        move |error| simseg_data::Error::io(path)(error).into()
    }

    /// The same failure with something in front of its line: where it happened.
    pub fn within(self, place: impl Display) -> Self {
        match self {
            Self::Check(why) => Self::Check(format!("{place}{why}")),
            Self::Input(why) => Self::Input(format!("{place}{why}")),
            Self::Diverged(why) => Self::Diverged(format!("{place}{why}")),
            Self::Machine(why) => Self::Machine(format!("{place}{why}")),
        }
    }

    /// The same failure of a source in this section: `data.kind` becomes `training.data.kind`, a file is told apart from a key.
    pub fn of_data(self, section: &str) -> Self {
        match self {
            Self::Input(why) if why.starts_with("data") => Self::Input(format!("{section}.{why}")),
            other => other.within(format!("{section}.data: ")),
        }
    }

    /// The exit status.
    pub fn code(&self) -> u8 {
        match self {
            Self::Check(_) => 1,
            Self::Input(_) | Self::Diverged(_) => 2,
            Self::Machine(_) => 3,
        }
    }
}

/// A list of names that stays readable.
pub fn listed(names: &[String]) -> String {
    const MOST: usize = 20;
    match names.len().checked_sub(MOST) {
        Some(more @ 1..) => format!("{} and {more} more", names[..MOST].join(", ")),
        _ => names.join(", "),
    }
}

impl From<simseg::Error> for Failure {
    fn from(error: simseg::Error) -> Self {
        match error {
            simseg::Error::Input(why) => Self::Input(why),
            simseg::Error::Machine(why) => Self::Machine(why),
            simseg::Error::Cancelled => Self::Check("cancelled".into()),
        }
    }
}

impl From<simseg_tensor::Error> for Failure {
    fn from(error: simseg_tensor::Error) -> Self {
        simseg::Error::from(error).into()
    }
}

impl From<simseg_data::Error> for Failure {
    fn from(error: simseg_data::Error) -> Self {
        simseg::Error::from(error).into()
    }
}

impl From<simseg_registry::Error> for Failure {
    fn from(error: simseg_registry::Error) -> Self {
        simseg::Error::from(error).into()
    }
}
