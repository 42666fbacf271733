//! What can be wrong with a file: always its name, and what was expected.

use std::path::{Path, PathBuf};

/// Everything that can go wrong between this crate and the disk.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's words.
        source: std::io::Error,
    },
    /// The content is not what it should be.
    #[error("{}: {problem}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what was expected.
        problem: String,
    },
    /// A setting that cannot work.
    #[error("{key}: {expected}")]
    Setting {
        /// The key.
        key: String,
        /// What was expected.
        expected: String,
    },
}

/// The result of everything here.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// The system refused something about `path`.
    pub fn io(path: &Path) -> impl Fn(std::io::Error) -> Self + '_ {
        move |source| Self::Io { path: path.to_owned(), source }
    }

    /// `path` holds something unexpected. The words may be a decoder's, over several lines; they become one.
    pub fn content(path: &Path, problem: impl Into<String>) -> Self {
        let problem: String = problem.into();
        let lines: Vec<&str> = problem.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        Self::Content { path: path.to_owned(), problem: lines.join(" ") }
    }

    /// A setting that cannot work.
    pub fn setting(key: impl Into<String>, expected: impl Into<String>) -> Self {
        Self::Setting { key: key.into(), expected: expected.into() }
    }
}
