//! Files read whole, if they are not too large: also pipes and devices, whose size the system does not tell.

use crate::{Error, Result};
use std::io::Read;
use std::path::Path;

/// A file's bytes.
///
/// # Errors
/// If it cannot be read or has more than `limit` bytes; `what` says what was expected.
pub fn read(path: &Path, limit: u64, what: &str) -> Result<Vec<u8>> {
    let file = std::fs::File::open(path).map_err(Error::io(path))?;
    let size = file.metadata().map_or(0, |about| about.len());
    let mut bytes = Vec::with_capacity(usize::try_from(size.min(limit)).unwrap_or(0));
    file.take(limit + 1).read_to_end(&mut bytes).map_err(Error::io(path))?;
    if bytes.len() as u64 > limit {
        return Err(Error::content(path, format!("more than {limit} bytes; expected {what}")));
    }
    Ok(bytes)
}

/// The same as a text.
///
/// # Errors
/// As [`read`], or if it is not UTF-8.
pub fn text(path: &Path, limit: u64, what: &str) -> Result<String> {
    let text = String::from_utf8(read(path, limit, what)?);
    text.map_err(|error| Error::content(path, format!("not UTF-8: {}", error.utf8_error())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_beyond_its_limit_and_a_device_without_end_are_errors() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "12345").unwrap();
        assert_eq!(text(file.path(), 5, "five").unwrap(), "12345");
        assert!(read(file.path(), 4, "four").unwrap_err().to_string().contains("more than 4 bytes; expected four"));
        #[cfg(unix)]
        assert!(read(Path::new("/dev/zero"), 1000, "a text").is_err());
    }
}
