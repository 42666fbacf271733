//! Nothing half-written: a file appears under its name complete, or not at all.
//!
//! What is not complete yet has a temporary name, `.simseg-PROCESS-….tmp`. A process that is killed leaves it behind; whoever next
//! makes sure of the folder ([`folder`]) takes it away, since its process is no more.

use crate::{Error, Result};
use std::io::Write;
use std::path::Path;

/// Writes through `fill` to a temporary file in the same folder, which then takes the name.
///
/// # Errors
/// If the folder cannot be written or the disk is full; the old file, if any, is then still there.
pub fn write_with(path: &Path, fill: impl FnOnce(&mut dyn Write) -> std::io::Result<()>) -> Result<()> {
    // A device or a pipe is written to: a file in its place would take it away from everybody.
    if std::fs::metadata(path).is_ok_and(|about| !about.is_file() && !about.is_dir()) {
        let mut device = std::fs::OpenOptions::new().write(true).open(path).map_err(Error::io(path))?;
        return fill(&mut device).and_then(|()| device.flush()).map_err(Error::io(path));
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new()
        .prefix(&prefix())
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
fn ordinary(path: &Path) -> Result<()> {
    std::fs::set_permissions(path, permissions()).map_err(Error::io(path))
}

/// Writes bytes; see [`write_with`].
///
/// # Errors
/// As [`write_with`].
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    write_with(path, |out| out.write_all(bytes))
}

/// Lets a library write a file that wants a path and not a writer: in a temporary folder beside it, from where the file takes its name.
/// Some libraries do as much by themselves, but what they leave behind when they are killed has a name that nobody knows to take away.
///
/// # Errors
/// As [`write_with`], and those of `make`.
pub fn write_by(path: &Path, make: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let temporary = tempfile::Builder::new().prefix(&prefix()).suffix(".tmp").tempdir_in(folder);
    let made = temporary.map_err(Error::io(path))?;
    let file = made.path().join("file");
    make(&file)?;
    if std::fs::metadata(path).is_ok_and(|about| !about.is_file() && !about.is_dir()) {
        // As in `write_with`: a device stays what it is.
        let mut device = std::fs::OpenOptions::new().write(true).open(path).map_err(Error::io(path))?;
        let mut file = std::fs::File::open(&file).map_err(Error::io(path))?;
        return std::io::copy(&mut file, &mut device).map(|_| ()).map_err(Error::io(path));
    }
    ordinary(&file)?;
    std::fs::rename(&file, path).map_err(Error::io(path))
}

/// Makes a folder and those above it, and takes away what killed processes left in it.
///
/// # Errors
/// If the system refuses to make it.
pub fn folder(path: &Path) -> Result<()> {
    std::fs::create_dir_all(path).map_err(Error::io(path))?;
    sweep(path);
    Ok(())
}

const PREFIX: &str = ".simseg-";

/// How temporary names of this process begin.
pub fn prefix() -> String {
    format!("{PREFIX}{}-", std::process::id())
}

/// Removes temporary files and folders whose process is no more, where the system tells (`/proc`); elsewhere they stay.
fn sweep(folder: &Path) {
    if !Path::new("/proc/self").exists() {
        return;
    }
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let process = name.strip_prefix(PREFIX).and_then(|rest| rest.split_once('-')).map(|(process, _)| process);
        let Some(process) = process.and_then(|process| process.parse::<u32>().ok()) else { continue };
        if !Path::new("/proc").join(process.to_string()).exists() {
            // Somebody else may have been faster.
            let path = entry.path();
            let _ = if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn a_device_stays_a_device() {
        use std::os::unix::fs::FileTypeExt;
        write(Path::new("/dev/null"), b"x").unwrap();
        assert!(write(Path::new("/dev/full"), b"x").is_err(), "a full disk is an error");
        for device in ["/dev/null", "/dev/full"] {
            assert!(std::fs::metadata(device).unwrap().file_type().is_char_device(), "{device}");
        }
        write_by(Path::new("/dev/null"), |file| std::fs::write(file, "x").map_err(Error::io(file))).unwrap();
        assert!(std::fs::metadata("/dev/null").unwrap().file_type().is_char_device());
    }

    #[test]
    fn a_file_that_a_library_writes_appears_complete_and_what_it_leaves_behind_can_be_swept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("weights");
        let names = || std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
        let make = |file: &Path| {
            // Whatever else the library makes is below a folder of this process.
            assert!(names().all(|name| name.starts_with(&prefix())), "{:?}", names().collect::<Vec<_>>());
            assert!(!path.exists() && file.starts_with(dir.path()));
            std::fs::write(file, "x").map_err(Error::io(file))
        };
        write_by(&path, make).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"x");
        let failed = write_by(&path, |_| Err(Error::content(&path, "no")));
        assert!(failed.is_err() && std::fs::read(&path).unwrap() == b"x", "the old file stays");
        assert_eq!(names().collect::<Vec<_>>(), ["weights"]);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_a_killed_process_left_is_taken_away_and_what_a_living_one_writes_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let gone = child.id();
        child.wait().unwrap();
        let names =
            [format!("{PREFIX}{gone}-a.tmp"), format!("{}b.tmp", prefix()), ".simseg-x.tmp".into(), "mine".into()];
        names.iter().for_each(|name| std::fs::write(dir.path().join(name), "x").unwrap());
        std::fs::create_dir(dir.path().join(format!("{PREFIX}{gone}-c.tmp"))).unwrap();
        folder(dir.path()).unwrap();
        let mut left: Vec<_> =
            std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        left.sort();
        let mut expected = names[1..].to_vec();
        expected.sort();
        assert_eq!(left, expected);
    }

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
