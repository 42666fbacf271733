//! Why something could not be done, and whose matter it is.

use std::fmt::Display;
use std::path::Path;

/// Everything that can go wrong between a user and a result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// What was given cannot work: one line that names the file or key, and what was expected.
    #[error("{0}")]
    Input(String),
    /// The machine or the backend failed: out of memory, a full disk, a shape that should not have come about.
    #[error("{0}")]
    Machine(String),
    /// The caller's [`crate::Watch`] said to stop.
    #[error("cancelled")]
    Cancelled,
}

/// The result of everything here.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Bad input: `what: why`.
    pub fn input(what: impl Display, why: impl Display) -> Self {
        Self::Input(format!("{what}: {why}"))
    }

    /// Bad input in a file.
    pub fn file(path: &Path, why: impl Display) -> Self {
        Self::input(path.display(), why)
    }
}

impl From<simseg_tensor::Error> for Error {
    fn from(error: simseg_tensor::Error) -> Self {
        use simseg_tensor::Error as Tensor;
        match error {
            // What a user can set. The other errors are about tensors that no user has made.
            Tensor::Setting { .. } | Tensor::Parameter { .. } => Self::Input(error.to_string()),
            _ => Self::Machine(error.to_string()),
        }
    }
}

impl From<simseg_data::Error> for Error {
    fn from(error: simseg_data::Error) -> Self {
        match &error {
            simseg_data::Error::Io { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => {
                Self::Machine(error.to_string())
            }
            _ => Self::Input(error.to_string()),
        }
    }
}

impl From<simseg_registry::Error> for Error {
    fn from(error: simseg_registry::Error) -> Self {
        match error {
            simseg_registry::Error::Build(inner) => match inner.downcast::<simseg_tensor::Error>() {
                Ok(tensor) => (*tensor).into(),
                Err(other) => match other.downcast::<simseg_data::Error>() {
                    Ok(data) => (*data).into(),
                    Err(other) => Self::Input(other.to_string()),
                },
            },
            setting => Self::Input(setting.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_user_can_set_is_input_and_the_rest_is_the_machine() {
        let setting = simseg_tensor::Error::setting("aligner.image_k", "at least 1");
        assert!(matches!(Error::from(setting.clone()), Error::Input(_)));
        assert!(matches!(Error::from(simseg_registry::Error::build(setting)), Error::Input(_)));
        let memory = simseg_tensor::Error::Backend { backend: "tch", message: "out of memory".into() };
        assert!(matches!(Error::from(memory.clone()), Error::Machine(_)));
        assert!(matches!(Error::from(simseg_registry::Error::build(memory)), Error::Machine(_)));
        let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
        assert!(matches!(Error::from(simseg_data::Error::io(Path::new("x"))(full)), Error::Machine(_)));
    }
}
