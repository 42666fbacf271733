//! What is said, and where files may go.
//!
//! A reader that has gone away (`simseg … | head -1`) ends the program quietly; a full disk behind stdout ends it with one line. No
//! output lands on an input, or on another output.

use crate::failure::{Failure, Outcome};
use serde::Serialize;
use simseg_data::atomic;
use std::collections::HashMap;
use std::fmt::Arguments;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// `println!` for a program among others.
macro_rules! say {
    () => { $crate::output::line(format_args!("")) };
    ($($text:tt)*) => { $crate::output::line(format_args!($($text)*)) };
}
pub(crate) use say;

/// `eprintln!` that nobody has to listen to.
macro_rules! note {
    ($($text:tt)*) => { $crate::output::aside(format_args!($($text)*)) };
}
pub(crate) use note;

/// A line to stdout.
pub fn line(text: Arguments<'_>) {
    print(format_args!("{text}\n"));
}

/// A text to stdout.
pub fn print(text: Arguments<'_>) {
    let mut out = std::io::stdout().lock();
    let written = out.write_fmt(text).and_then(|()| out.flush());
    match written {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => {
            aside(format_args!("simseg: stdout: {error}"));
            std::process::exit(Failure::Machine(String::new()).code().into());
        }
    }
}

/// Whether this process keeps to itself what it would tell people meanwhile.
static SILENT: AtomicBool = AtomicBool::new(false);

/// From now on only errors are said: another process speaks for this one.
pub fn silence() {
    SILENT.store(true, Ordering::Relaxed);
}

/// A line to stderr.
pub fn aside(text: Arguments<'_>) {
    if !SILENT.load(Ordering::Relaxed) {
        error(text);
    }
}

/// A line to stderr that is never kept back.
pub fn error(text: Arguments<'_>) {
    // At once: other processes write there, too.
    let _ = std::io::stderr().write_all(format!("{text}\n").as_bytes());
}

/// Writes a value as JSON for people.
///
/// # Errors
/// If the folder cannot be written.
pub fn save_json(path: &Path, value: &impl Serialize) -> Outcome {
    let text = serde_json::to_string_pretty(value).map_err(|error| Failure::file(path, error))?;
    Ok(atomic::write(path, (text + "\n").as_bytes())?)
}

/// One file under all of its names: where the system tells, by device and number, which links share; else by its full path.
#[derive(PartialEq, Eq, Hash, Clone)]
enum Identity {
    #[cfg(unix)]
    Node(u64, u64),
    Path(PathBuf),
}

fn identities(path: &Path) -> Vec<Identity> {
    let mut found = vec![];
    #[cfg(unix)]
    if let Ok(about) = std::fs::metadata(path) {
        use std::os::unix::fs::MetadataExt;
        found.push(Identity::Node(about.dev(), about.ino()));
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Folders that are to be made have no other spelling yet than those that lead to an existing one.
    let mut existing = folder;
    let mut below = vec![];
    let whole = loop {
        match (existing.canonicalize(), existing.parent(), existing.file_name()) {
            (Ok(whole), _, _) => break below.iter().rev().fold(whole, |path: PathBuf, part| path.join(part)),
            (Err(_), Some(parent), Some(name)) => {
                below.push(name);
                existing = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
            }
            _ => break folder.to_owned(),
        }
    };
    found.extend(path.file_name().map(|name| Identity::Path(whole.join(name))));
    found
}

/// Refuses outputs that would land on an input, or on each other, by whatever name; folders among the inputs stand for the files
/// directly in them.
///
/// # Errors
/// Exit 2 with the first such output.
pub fn guard(inputs: &[&Path], outputs: &[PathBuf]) -> Outcome {
    let mut known: HashMap<Identity, PathBuf> = HashMap::new();
    for input in inputs {
        let inside = std::fs::read_dir(input).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
        for path in std::iter::once(input.to_path_buf()).chain(inside) {
            for identity in identities(&path) {
                known.entry(identity).or_insert_with(|| path.clone());
            }
        }
    }
    let mut taken: HashMap<Identity, &PathBuf> = HashMap::new();
    for output in outputs {
        for identity in identities(output) {
            if let Some(input) = known.get(&identity) {
                let text = format!("would be written over the input {}; expected another --out", input.display());
                return Err(Failure::file(output, text));
            }
            if let Some(other) = taken.insert(identity, output).filter(|other| *other != output) {
                let text = format!("and {} would be one file; outputs would overwrite each other", other.display());
                return Err(Failure::file(output, text));
            }
        }
    }
    let mut names: Vec<&PathBuf> = outputs.iter().collect();
    names.sort();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(Failure::file(pair[0], "two outputs have this name; they would overwrite each other")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_output_on_an_input_is_found_by_path_link_and_other_spelling() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("photo.png"), b"x").unwrap();
        std::fs::create_dir(at("sub")).unwrap();
        let photo = at("photo.png");
        let refused = |output: PathBuf| guard(&[&photo], &[output]).is_err();
        assert!(refused(at("photo.png")) && refused(at("sub/../photo.png")) && refused(at("./photo.png")));
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(at("photo.png"), at("link.png")).unwrap();
            std::fs::hard_link(at("photo.png"), at("hard.png")).unwrap();
            std::os::unix::fs::symlink(folder.path(), at("sub/back")).unwrap();
            assert!(refused(at("link.png")) && refused(at("hard.png")) && refused(at("sub/back/photo.png")));
        }
        assert!(!refused(at("other.png")) && !refused(at("new/deep/photo.png")));
        assert!(guard(&[folder.path()], &[at("photo.png")]).is_err(), "a folder stands for its files");
    }

    #[test]
    fn outputs_on_each_other_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        assert!(guard(&[], &[at("a.png"), at("b.png")]).is_ok());
        assert!(guard(&[], &[at("a.png"), at("a.png")]).is_err());
        assert!(guard(&[], &[at("new/a.png"), at("new/./a.png")]).is_err());
        // Two spellings that differ as paths.
        std::fs::create_dir(folder.path().join("sub")).unwrap();
        assert!(guard(&[], &[at("a.png"), at("sub/../a.png")]).is_err());
    }
}
