//! A model directory appears whole, in place of an earlier one: no tokenizer or configuration of that stays beside new weights.

use crate::failure::{Failure, Outcome};
use simseg::ModelDescription;
use simseg_data::atomic;
use std::path::{Path, PathBuf};

/// What a model directory holds.
const OURS: [&str; 5] = ["config.json", "model.safetensors", simseg::fingerprint::NAME, "vocab.txt", "tokenizer.json"];

/// A new folder beside the one whose name it takes; gone again if it never does.
pub struct Replacement {
    folder: tempfile::TempDir,
    name: PathBuf,
}

impl Replacement {
    /// Begins a folder that will take the name `out`.
    ///
    /// # Errors
    /// If `out` is a file, holds one of the inputs, or anything but an earlier model; nothing is changed then.
    pub fn of(out: &Path, inputs: &[&Path]) -> Outcome<Self> {
        if out.exists() {
            may_be_replaced(out, inputs)?;
        }
        let above = out.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
        atomic::folder(above)?;
        let folder = tempfile::Builder::new().prefix(&atomic::prefix()).suffix(".tmp").tempdir_in(above);
        let folder = folder.map_err(Failure::io(out))?;
        Ok(Self { folder, name: out.to_owned() })
    }

    /// Where files go until then.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Takes the name; what had it is gone.
    ///
    /// # Errors
    /// If the system refuses; the earlier model is then still there.
    pub fn takes_the_name(self) -> Outcome {
        let failed = Failure::io(&self.name);
        folder_of_everybody(self.folder.path()).map_err(&failed)?;
        // Two imports into one folder: one after the other.
        let above = self.folder.path().parent().map(std::fs::File::open);
        if let Some(Ok(above)) = &above {
            let _ = above.lock();
        }
        let earlier = self.folder.path().with_extension("old");
        let replaces = self.name.exists();
        if replaces {
            std::fs::rename(&self.name, &earlier).map_err(&failed)?;
        }
        if let Err(error) = std::fs::rename(self.folder.path(), &self.name) {
            if replaces {
                let _ = std::fs::rename(&earlier, &self.name);
            }
            return Err(failed(error));
        }
        let _ = self.folder.keep();
        if replaces {
            std::fs::remove_dir_all(&earlier).map_err(|error| Failure::file(&earlier, error))?;
        }
        Ok(())
    }
}

/// Whether a folder is empty, or an earlier model and nothing else.
fn may_be_replaced(out: &Path, inputs: &[&Path]) -> Outcome {
    let failed = |error: std::io::Error| Failure::file(out, error);
    if !out.is_dir() {
        return Err(Failure::file(out, "a file; expected a folder for the model"));
    }
    let own = out.canonicalize().map_err(failed)?;
    for input in inputs {
        let input = input.canonicalize().map_err(|error| Failure::file(input, error))?;
        if input.starts_with(&own) {
            let text = format!("holds the input {}; expected another --out", input.display());
            return Err(Failure::file(out, text));
        }
    }
    let mut names = vec![];
    for entry in std::fs::read_dir(out).map_err(failed)? {
        names.push(entry.map_err(failed)?.file_name().to_string_lossy().into_owned());
    }
    if let Some(other) = names.iter().find(|name| !OURS.contains(&name.as_str())) {
        let text =
            format!("holds `{other}`, which is no part of a model; expected a new folder, or one with a model alone");
        return Err(Failure::file(out, text));
    }
    if !names.is_empty() && ModelDescription::read(out).is_err() {
        return Err(Failure::file(
            out,
            "holds a model of somebody else's; expected a new folder, or one with a model of ours",
        ));
    }
    Ok(())
}

/// A temporary folder is private to its owner; the finished one is an ordinary folder.
#[cfg(unix)]
fn folder_of_everybody(path: &Path) -> std::io::Result<()> {
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755))
}
#[cfg(not(unix))]
fn folder_of_everybody(_: &Path) -> std::io::Result<()> {
    Ok(())
}
