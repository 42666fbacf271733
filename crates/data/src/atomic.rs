//! Nothing half-written: a file appears under its name complete, or not at all.

use crate::{Error, Result};
use std::io::Write;
use std::path::Path;

/// Writes through `fill` to a temporary file in the same folder, which then takes the name.
///
/// # Errors
/// If the folder cannot be written or the disk is full; the old file, if any, is then still there.
pub fn write_with(path: &Path, fill: impl FnOnce(&mut dyn Write) -> std::io::Result<()>) -> Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new()
        .prefix(".simseg-")
        .suffix(".tmp")
        .permissions(permissions())
        .tempfile_in(folder)
        .map_err(Error::io(path))?;
    let written = {
        let mut buffered = std::io::BufWriter::new(file.as_file_mut());
        fill(&mut buffered).and_then(|()| buffered.flush())
    };
    written.and_then(|()| file.as_file().sync_data()).map_err(Error::io(path))?;
    file.persist(path).map_err(|error| Error::io(path)(error.error))?;
    Ok(())
}

/// A temporary file is private to its owner; the finished one is an ordinary file.
#[cfg(unix)]
fn permissions() -> std::fs::Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(0o644)
}
#[cfg(not(unix))]
fn permissions() -> std::fs::Permissions {
    std::fs::metadata(".").expect("the working folder exists").permissions()
}

/// Gives a file that was private while it was written the permissions of an ordinary one.
///
/// # Errors
/// If the system refuses.
pub fn ordinary(path: &Path) -> Result<()> {
    std::fs::set_permissions(path, permissions()).map_err(Error::io(path))
}

/// Writes bytes; see [`write_with`].
///
/// # Errors
/// As [`write_with`].
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    write_with(path, |out| out.write_all(bytes))
}

/// Makes a folder and those above it.
///
/// # Errors
/// If the system refuses.
pub fn folder(path: &Path) -> Result<()> {
    std::fs::create_dir_all(path).map_err(Error::io(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_leaves_the_old_file_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.txt");
        write(&path, b"old").unwrap();
        let failed = write_with(&path, |out| {
            out.write_all(b"new")?;
            Err(std::io::Error::other("disk full"))
        });
        assert!(failed.unwrap_err().to_string().contains("disk full"));
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
