//! `DIR/trainings/<hash>/`: one folder per training, finished once its `training.json` is there; and where finished ones of other
//! runs are found, so that nothing is trained twice.
//!
//! The hash says what was trained: settings, seeds, content of what is read. What it does not say is what computed it, so
//! `training.json` does ([`Maker`]): a training of another folder is taken only if this process would make the same one, to the bit,
//! or if the user names that folder.

use super::provenance::Provenance;
use super::{folder, save_json};
use crate::failure::{Failure, Outcome};
use serde::{Deserialize, Serialize};
use simseg_data::atomic;
use std::path::{Path, PathBuf};

/// The folder of trainings in an output folder.
pub const FOLDER: &str = "trainings";
/// The file of a finished training.
pub const FINISHED: &str = "training.json";
/// What began a training that is not finished: what goes on with it may be another program.
const BEGUN: &str = "begun.json";
/// What an unfinished training goes on from.
const STATE: &str = "state.safetensors";

/// The folder of a training.
pub fn of_training(out: &Path, key: &str) -> PathBuf {
    out.join(FOLDER).join(key)
}

/// All that the bits of a training depend on beside its hash.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Maker {
    /// Hash of the program's file.
    pub executable: String,
    /// Revision of its sources, for people.
    pub revision: String,
    /// What computed.
    pub backend: String,
    /// On which device.
    pub device: String,
    /// In which numbers.
    pub precision: String,
    /// Instructions of the processor that numbers depend on.
    pub cpu_features: Vec<String>,
}

impl Maker {
    /// Of a process.
    pub fn of(provenance: &Provenance) -> Self {
        let Provenance { executable, revision, backend, device, precision, cpu_features, .. } = provenance.clone();
        Self { executable, revision, backend, device, precision, cpu_features }
    }

    /// Whether both make the same bits. The revision is left out: it is that of the sources now, not of the program's file.
    fn same(&self, other: &Self) -> bool {
        let all = |of: &Self| (of.backend.clone(), of.device.clone(), of.precision.clone(), of.cpu_features.clone());
        !self.executable.is_empty() && self.executable == other.executable && all(self) == all(other)
    }
}

/// `training.json`: a finished training.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Finished {
    /// Pairs per second.
    pub images_per_second: f64,
    /// Seconds, over all resumptions.
    pub seconds: f64,
    /// What made it; none if nobody wrote it down, or several programs did parts of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made: Option<Maker>,
    /// Where it was taken from, if it was not trained here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken: Option<Taken>,
}

/// Where a training was taken from.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Taken {
    /// The output folder.
    pub from: String,
    /// Whether the user named that folder: then any program may have made it.
    pub asked: bool,
}

impl Finished {
    /// What a folder has; none if its training is not finished.
    ///
    /// # Errors
    /// If the file is damaged.
    pub fn read(training: &Path) -> Outcome<Option<Self>> {
        let path = training.join(FINISHED);
        let Ok(text) = std::fs::read_to_string(&path) else { return Ok(None) };
        serde_json::from_str(&text).map(Some).map_err(|error| Failure::file(&path, error))
    }

    /// Writes it, which finishes the training. What it was made from is three times the model, and done with.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn save(&self, training: &Path) -> Outcome {
        save_json(&training.join(FINISHED), self)?;
        tidy(training);
        Ok(())
    }
}

/// Makes a training an unfinished one, which begins anew.
pub fn forget(training: &Path) {
    let _ = std::fs::remove_file(training.join(FINISHED));
    tidy(training);
}

/// Whether a training is not finished, and would be gone on with.
pub fn is_begun(training: &Path) -> bool {
    !training.join(FINISHED).exists() && training.join(STATE).exists()
}

/// Takes away what a finished training does not need any more; a kill may have left it.
pub fn tidy(training: &Path) {
    for name in [STATE, BEGUN] {
        let _ = std::fs::remove_file(training.join(name));
    }
}

/// That a training which is finished or begun in an output folder has the backend, kind of device and precision of a process. One
/// that the user had taken from elsewhere has what it has.
///
/// # Errors
/// The first that is another now; if `training.json` is damaged.
pub fn check(training: &Path, now: &Maker) -> Outcome {
    let made = match Finished::read(training)? {
        Some(Finished { taken: Some(Taken { asked: true, .. }), .. }) => None,
        Some(finished) => finished.made,
        None if training.join(STATE).exists() => begun(training),
        None => None,
    };
    made.map_or(Ok(()), |made| agree(training, &made, now))
}

/// What began a training, if somebody wrote it down.
fn begun(training: &Path) -> Option<Maker> {
    let text = std::fs::read_to_string(training.join(BEGUN)).ok()?;
    serde_json::from_str(&text).ok()
}

/// Notes what begins or goes on with a training; returns it if nothing else did a part.
///
/// # Errors
/// If the disk refuses.
pub fn begin(training: &Path, maker: &Maker) -> Outcome<Option<Maker>> {
    let path = training.join(BEGUN);
    if !training.join(STATE).exists() {
        save_json(&path, maker)?;
        return Ok(Some(maker.clone()));
    }
    let whole = begun(training).filter(|begun| begun.same(maker));
    if whole.is_none() {
        save_json(&path, &Maker { executable: String::new(), ..maker.clone() })?; // from now on of several programs
    }
    Ok(whole)
}

/// That what was computed and what will be have one backend, kind of device and precision.
///
/// # Errors
/// The first that is another now.
pub fn agree(place: &Path, made: &Maker, now: &Maker) -> Outcome {
    // A machine may have several GPUs of a kind.
    let kind = |device: &str| device.split(':').next().unwrap_or_default().to_owned();
    let pairs = [
        ("backend", made.backend.clone(), now.backend.clone()),
        ("device", kind(&made.device), kind(&now.device)),
        ("precision", made.precision.clone(), now.precision.clone()),
    ];
    match pairs.into_iter().find(|(_, made, now)| made != now) {
        None => Ok(()),
        Some((option, made, now)) => {
            let text = format!(
                "was made with --{option} {made}, found {now}; start afresh with --fresh, do it again with --redo, or choose \
                 another --out"
            );
            Err(Failure::file(place, text))
        }
    }
}

/// Where finished trainings are looked for beside the own output folder.
#[derive(Debug, Clone, Default)]
pub struct Elsewhere {
    /// Output folders that the user named.
    asked: Vec<PathBuf>,
    /// Output folders beside the own one.
    beside: Vec<PathBuf>,
    maker: Maker,
}

/// A finished training elsewhere.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// Its folder.
    place: PathBuf,
    /// What it will be here.
    pub finished: Finished,
}

impl Found {
    /// The output folder that it is in.
    pub fn folder(&self) -> &str {
        self.finished.taken.as_ref().map_or("", |taken| &taken.from)
    }
}

impl Elsewhere {
    /// The folders in `asked`, for a process.
    ///
    /// # Errors
    /// If one has no trainings.
    pub fn new(asked: &[PathBuf], maker: Maker) -> Outcome<Self> {
        if let Some(none) = asked.iter().find(|folder| !folder.join(FOLDER).is_dir()) {
            return Err(Failure::file(none, "--reuse: expected an output folder with trainings/ in it"));
        }
        Ok(Self { asked: asked.to_vec(), beside: vec![], maker })
    }

    /// The same, and the folders that lie beside `out`.
    #[must_use]
    pub fn beside(self, out: &Path) -> Self {
        Self { beside: siblings(out), ..self }
    }

    /// All of these folders.
    pub fn folders(&self) -> impl Iterator<Item = &Path> {
        self.asked.iter().chain(&self.beside).map(PathBuf::as_path)
    }

    /// The process.
    pub fn maker(&self) -> &Maker {
        &self.maker
    }

    /// A finished training; damaged ones are passed over.
    pub fn find(&self, key: &str) -> Option<Found> {
        let of = |folders: &[PathBuf], asked: bool| {
            folders.iter().find_map(|folder| {
                let place = of_training(folder, key);
                let finished = Finished::read(&place).ok()??;
                let fits = asked || finished.made.as_ref().is_some_and(|made| made.same(&self.maker));
                let taken = Some(Taken { from: folder.display().to_string(), asked });
                (fits && place.join("model/model.safetensors").is_file())
                    .then_some(Found { place, finished: Finished { taken, ..finished } })
            })
        };
        of(&self.asked, true).or_else(|| of(&self.beside, false))
    }
}

/// Output folders beside one, by name.
fn siblings(out: &Path) -> Vec<PathBuf> {
    // `.` and `..` have a parent only under their full names.
    let named = if out.file_name().is_some() { Ok(out.to_owned()) } else { out.canonicalize() };
    let Some(parent) = named.ok().and_then(|out| out.parent().map(Path::to_owned)) else { return vec![] };
    let listed = if parent.as_os_str().is_empty() { Path::new(".") } else { &parent };
    let own = out.canonicalize().ok();
    let names = std::fs::read_dir(listed).into_iter().flatten().flatten().map(|entry| entry.file_name());
    let mut all: Vec<PathBuf> = names
        .filter(|name| !name.to_string_lossy().starts_with('.'))
        .map(|name| parent.join(name))
        .filter(|folder| folder.join(FOLDER).is_dir() && folder.canonicalize().ok() != own)
        .collect();
    all.sort();
    all
}

/// Takes a training: its files are shared where the file system can, copied elsewhere. `training.json` comes last, so that a kill
/// leaves an unfinished training, which is taken or trained anew.
///
/// # Errors
/// If a file is gone meanwhile, or the disk refuses.
pub fn take(found: &Found, training: &Path) -> Outcome<Finished> {
    for part in ["", "model"] {
        let (from, to) = (found.place.join(part), training.join(part));
        atomic::folder(&to)?;
        for entry in std::fs::read_dir(&from).map_err(Failure::io(&from))?.flatten() {
            let name = entry.file_name();
            let own = [FINISHED, BEGUN, STATE].iter().any(|own| name == *own);
            if entry.path().is_file() && !own && !name.to_string_lossy().starts_with('.') {
                folder::share(&entry.path(), &to.join(&name))?;
            }
        }
    }
    found.finished.save(training)?;
    Ok(found.finished.clone())
}
