//! Which model a folder holds: a hash of its files.
//!
//! Hashing the weights of ViT-B and BERT-base takes as long as reading them, an eighth of a run on four images. So whoever writes
//! weights notes their hash beside them ([`note`]), and the note is believed as long as size, modification time, change time and
//! inode of the weights are those noted: no write leaves all four as they were. Otherwise the hash is computed.

use crate::directory::TOKENIZERS;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use simseg_data::atomic;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

const WEIGHTS: &str = "model.safetensors";
/// Hashing what is smaller takes less than ten milliseconds.
const WORTH_NOTING: u64 = 16 << 20;
/// A file system's clock may tick as rarely as this: what is written within one tick has one time.
const TICK: Duration = Duration::from_millis(20);
/// Largest note that is read.
const NOTE: u64 = 4096;

/// The name of the note in a model directory.
pub const NAME: &str = "model.safetensors.hash.json";

/// What is noted of a file.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Noted {
    /// Bytes.
    size: u64,
    /// Seconds and nanoseconds of the last modification.
    modified: [i64; 2],
    /// Seconds and nanoseconds of the last change, of content or of attributes; no program can set it.
    changed: [i64; 2],
    /// Number on its file system.
    inode: u64,
    /// Hash of the content, BLAKE3.
    hash: String,
}

/// Hash of a model directory's files, as 32 hexadecimal digits: two folders with the same are the same model.
///
/// # Errors
/// If one cannot be read.
pub fn fingerprint(folder: &Path) -> Result<String> {
    let mut hash = blake3::Hasher::new();
    for name in ["config.json"].into_iter().chain(TOKENIZERS).chain([WEIGHTS]) {
        let path = folder.join(name);
        if path.exists() {
            let noted = if name == WEIGHTS { believed(folder) } else { None };
            let one = noted.map_or_else(|| content(&path), Ok)?;
            hash.update(name.as_bytes()).update(one.as_bytes());
        }
    }
    Ok(hash.finalize().to_hex()[..32].to_owned())
}

/// Notes the hash of a model directory's weights, which were just written, if computing it takes noticeable time.
///
/// # Errors
/// If the folder cannot be read or written.
pub fn note(folder: &Path) -> Result<()> {
    let path = folder.join(WEIGHTS);
    let size = std::fs::metadata(&path).map_err(|error| Error::file(&path, error))?.len();
    if size >= WORTH_NOTING { note_any(folder) } else { Ok(()) }
}

fn note_any(folder: &Path) -> Result<()> {
    let path = folder.join(WEIGHTS);
    let before = about(&path);
    let hash = content(&path)?.to_hex().to_string();
    let Some(noted) = before.filter(|before| about(&path).as_ref() == Some(before)) else { return Ok(()) };
    // The note must be younger than the weights by a tick, so that a later write to them is younger than the note.
    while time(noted.changed).elapsed().is_ok_and(|age| age < 2 * TICK) {
        std::thread::sleep(TICK);
    }
    let text = serde_json::to_string_pretty(&Noted { hash, ..noted }).map_err(|error| Error::file(&path, error))?;
    Ok(atomic::write(&note_of(folder), (text + "\n").as_bytes())?)
}

fn note_of(folder: &Path) -> PathBuf {
    folder.join(NAME)
}

/// Seconds and nanoseconds since 1970 as a time.
fn time(since: [i64; 2]) -> SystemTime {
    let [seconds, nanoseconds] = since.map(|part| u64::try_from(part).unwrap_or(0));
    let within = Duration::new(seconds, nanoseconds.min(999_999_999) as u32);
    SystemTime::UNIX_EPOCH.checked_add(within).unwrap_or(SystemTime::UNIX_EPOCH)
}

/// The noted hash, if the weights are as they were noted.
fn believed(folder: &Path) -> Option<blake3::Hash> {
    let path = note_of(folder);
    let written = std::fs::metadata(&path).ok()?.modified().ok()?;
    let noted: Noted = serde_json::from_str(&simseg_data::bounded::text(&path, NOTE, "a note").ok()?).ok()?;
    let hash = blake3::Hash::from_hex(&noted.hash).ok()?;
    let now = Noted { hash: noted.hash.clone(), ..about(&folder.join(WEIGHTS))? };
    (now == noted && written.duration_since(time(noted.changed)).is_ok_and(|apart| apart >= TICK)).then_some(hash)
}

/// What the system says about a file; nothing where it does not tell when an attribute changed.
#[cfg(unix)]
fn about(path: &Path) -> Option<Noted> {
    use std::os::unix::fs::MetadataExt;
    let about = std::fs::metadata(path).ok()?;
    Some(Noted {
        size: about.size(),
        modified: [about.mtime(), about.mtime_nsec()],
        changed: [about.ctime(), about.ctime_nsec()],
        inode: about.ino(),
        hash: String::new(),
    })
}
#[cfg(not(unix))]
fn about(_: &Path) -> Option<Noted> {
    None
}

/// Read in pieces, not mapped: hashing should not make the weights count as memory in use.
fn content(path: &Path) -> Result<blake3::Hash> {
    let mut hash = blake3::Hasher::new();
    let read = std::fs::File::open(path).and_then(|file| hash.update_reader(file).map(|hash| hash.finalize()));
    read.map_err(|error| Error::file(path, error))
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::io::{Seek, Write};

    /// A folder with weights that were noted.
    fn noted() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("config.json"), "{}").unwrap();
        std::fs::write(folder.path().join(WEIGHTS), vec![1; 1000]).unwrap();
        note_any(folder.path()).unwrap();
        folder
    }

    /// The fingerprint without the note.
    fn computed(folder: &Path) -> String {
        std::fs::remove_file(note_of(folder)).unwrap();
        fingerprint(folder).unwrap()
    }

    #[test]
    fn a_note_says_what_is_computed() {
        let folder = noted();
        assert!(believed(folder.path()).is_some());
        assert_eq!(fingerprint(folder.path()).unwrap(), computed(folder.path()));
    }

    #[test]
    fn a_write_of_the_same_size_with_the_time_set_back_is_noticed() {
        let folder = noted();
        let (path, before) = (folder.path().join(WEIGHTS), fingerprint(folder.path()).unwrap());
        let modified = std::fs::metadata(&path).unwrap().modified().unwrap();
        let mut file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
        file.seek(std::io::SeekFrom::Start(500)).unwrap();
        file.write_all(&[7]).unwrap();
        file.set_modified(modified).unwrap();
        let after = fingerprint(folder.path()).unwrap();
        assert_ne!(before, after);
        assert_eq!(after, computed(folder.path()));
    }

    #[test]
    fn another_file_under_the_name_and_a_damaged_note_are_not_believed() {
        let folder = noted();
        let path = folder.path().join(WEIGHTS);
        let copy = folder.path().join("copy");
        std::fs::copy(&path, &copy).unwrap();
        std::fs::rename(&copy, &path).unwrap();
        assert!(believed(folder.path()).is_none(), "a copy has an inode of its own");
        note_any(folder.path()).unwrap();
        assert!(believed(folder.path()).is_some());
        for damage in ["", "{", "null", &"x".repeat(10_000)] {
            std::fs::write(note_of(folder.path()), damage).unwrap();
            assert!(believed(folder.path()).is_none(), "{damage:.10}");
        }
    }

    #[test]
    fn a_note_as_old_as_the_weights_is_not_believed() {
        let folder = noted();
        let changed = std::fs::metadata(folder.path().join(WEIGHTS)).unwrap().modified().unwrap();
        std::fs::File::options().write(true).open(note_of(folder.path())).unwrap().set_modified(changed).unwrap();
        assert!(believed(folder.path()).is_none());
    }

    #[test]
    fn small_weights_need_no_note() {
        let folder = noted();
        std::fs::remove_file(note_of(folder.path())).unwrap();
        note(folder.path()).unwrap();
        assert!(!note_of(folder.path()).exists());
    }
}
