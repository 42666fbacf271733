//! `provenance.json`: where the numbers of a run come from, and what could make another machine's differ.

use super::inputs::Inputs;
use super::save_json;
use super::trainings::Finished;
use crate::failure::{Failure, Outcome};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

/// The file in a run's folder.
pub const NAME: &str = "provenance.json";

/// Where a run's numbers come from.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Provenance {
    /// Version of the program.
    pub version: String,
    /// Revision of the sources that the program was built from, as their folder has it now; `unknown` without it.
    pub revision: String,
    /// Whether files there differ from that revision.
    pub dirty: Option<bool>,
    /// Hash of the program's file; empty where the system does not show it.
    pub executable: String,
    /// The command line.
    pub command: Vec<String>,
    /// Name of the machine.
    pub host: String,
    /// Its processor.
    pub cpu: String,
    /// Instructions of it that numbers depend on.
    pub cpu_features: Vec<String>,
    /// Threads that computed; of each rank, if there were several.
    pub threads: usize,
    /// Ranks that trained and judged together, if there were several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ranks: Option<usize>,
    /// What computed.
    pub backend: String,
    /// On which device.
    pub device: String,
    /// In which numbers.
    pub precision: String,
    /// When it began (RFC 3339, UTC).
    pub began: String,
    /// When it was finished; empty before.
    pub ended: String,
    /// Its training, if that was taken from another output folder: from which, and what made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub training: Option<Finished>,
    /// Hashes of what it read, by path.
    pub inputs: Inputs,
    /// Hashes of what it left behind, by name in its folder.
    pub files: Inputs,
}

impl Provenance {
    /// Of a run that begins now, in f32.
    pub fn here(backend: &str, device: &str) -> Self {
        let (revision, dirty) = revision(Path::new(env!("CARGO_MANIFEST_DIR")));
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            revision: revision.unwrap_or_else(unknown),
            dirty,
            executable: executable(),
            command: std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect(),
            host: first_line("/proc/sys/kernel/hostname").unwrap_or_else(unknown),
            cpu: processor().unwrap_or_else(unknown),
            cpu_features: features(),
            threads: rayon::current_num_threads(),
            backend: backend.to_owned(),
            device: device.to_owned(),
            precision: "f32".to_owned(),
            began: now(),
            ..Self::default()
        }
    }

    /// The same in other numbers.
    #[must_use]
    pub fn in_precision(self, precision: &str) -> Self {
        Self { precision: precision.to_owned(), ..self }
    }

    /// Notes the end, and what the run left in its folder: those of `names` that are there.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub fn end(&mut self, folder: &Path, names: &[&str]) -> Outcome {
        for name in names.iter().filter(|name| folder.join(name).is_file()) {
            self.files.insert((*name).to_owned(), super::inputs::hash(&folder.join(name))?);
        }
        self.ended = now();
        Ok(())
    }

    /// The files of a run's folder that are not what it left there, or are gone.
    pub fn changed(&self, folder: &Path) -> Vec<String> {
        let same = |name: &str, hash: &str| super::inputs::hash(&folder.join(name)).is_ok_and(|now| now == hash);
        self.files.iter().filter(|(name, hash)| !same(name, hash)).map(|(name, _)| name.clone()).collect()
    }

    /// Writes the file.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn save(&self, path: &Path) -> Outcome {
        save_json(path, self)
    }

    /// Reads the file.
    ///
    /// # Errors
    /// If it is not there or is none.
    pub fn read(path: &Path) -> Outcome<Self> {
        serde_json::from_str(&simseg::settings::read_text(path)?).map_err(|error| Failure::file(path, error))
    }

    /// What could make the numbers of two runs with the same settings differ, one line each; host, time and threads cannot.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let features = |of: &Self| of.cpu_features.join(" ");
        // One executable is one program, whatever the folder of its sources has by now.
        let same = !self.executable.is_empty() && self.executable == other.executable;
        let pairs = [
            ("version", self.version.clone(), other.version.clone(), !same),
            ("revision", self.revision.clone(), other.revision.clone(), !same),
            ("backend", self.backend.clone(), other.backend.clone(), true),
            ("device", self.device.clone(), other.device.clone(), true),
            ("precision", self.precision.clone(), other.precision.clone(), true),
            ("CPU features", features(self), features(other), true),
        ];
        let line = |(what, a, b, counts): (&str, String, String, bool)| {
            (counts && a != b).then(|| format!("{what}: `{a}` and `{b}`"))
        };
        let mut lines: Vec<String> = pairs.into_iter().filter_map(line).collect();
        let known = !self.executable.is_empty() && !other.executable.is_empty();
        if known && !same && self.revision == other.revision {
            lines.push("executable: another file, of one revision".into());
        }
        if !same && (self.dirty == Some(true) || other.dirty == Some(true)) {
            lines.push("revision: sources that differ from it".into());
        }
        for (path, hash) in &self.inputs {
            if other.inputs.get(path).is_some_and(|other| other != hash) {
                lines.push(format!("input `{path}`: other content"));
            }
        }
        lines
    }
}

fn unknown() -> String {
    "unknown".into()
}

/// The hash of the file of this process, made once.
fn executable() -> String {
    static HASH: OnceLock<String> = OnceLock::new();
    let made = || {
        // Under Linux the file that runs, even if another one has its name by now.
        let file = std::fs::File::open("/proc/self/exe").or_else(|_| std::fs::File::open(std::env::current_exe()?));
        let mut hasher = simseg::hash::Hasher::new();
        let hash = file.and_then(|file| hasher.update_reader(file).map(|hasher| hasher.finalize()));
        hash.map_or_else(|_| String::new(), |hash| hash.to_hex()[..32].to_owned())
    };
    HASH.get_or_init(made).clone()
}

/// The revision of a folder under git, and whether it has changes.
fn revision(folder: &Path) -> (Option<String>, Option<bool>) {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").arg("-C").arg(folder).args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    if !folder.is_dir() {
        return (None, None);
    }
    let revision = git(&["rev-parse", "HEAD"]);
    let dirty = revision.as_ref().and_then(|_| git(&["status", "--porcelain", "--untracked-files=no"]));
    (revision, dirty.map(|changes| !changes.is_empty()))
}

fn first_line(path: &str) -> Option<String> {
    Some(std::fs::read_to_string(path).ok()?.lines().next()?.trim().to_owned())
}

fn processor() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

#[cfg(target_arch = "x86_64")]
fn features() -> Vec<String> {
    let known = [
        ("avx2", std::arch::is_x86_feature_detected!("avx2")),
        ("fma", std::arch::is_x86_feature_detected!("fma")),
        ("avx512f", std::arch::is_x86_feature_detected!("avx512f")),
    ];
    known.into_iter().filter(|(_, there)| *there).map(|(name, _)| name.to_owned()).collect()
}
#[cfg(not(target_arch = "x86_64"))]
fn features() -> Vec<String> {
    vec![std::env::consts::ARCH.to_owned()]
}

/// The time as RFC 3339 has it, in UTC.
pub fn now() -> String {
    rfc3339(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}

/// Seconds since 1970 as a date and a time of day, by the Gregorian calendar: 400 years have 146,097 days. Years begin in March
/// here, so that the day that comes every fourth year is a year's last.
pub fn rfc3339(seconds: u64) -> String {
    let (days, time) = (seconds / 86_400 + 719_468, seconds % 86_400); // days since 1 March of the year 0
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153; // from March on; five months have 153 days
    let date = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let (hour, minute, second) = (time / 3600, time / 60 % 60, time % 60);
    format!("{:04}-{month:02}-{date:02}T{hour:02}:{minute:02}:{second:02}Z", 400 * era + year + next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, date) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_234_567_890, "2009-02-13T23:31:30Z"),
            (1_709_164_800, "2024-02-29T00:00:00Z"),
            (1_735_689_599, "2024-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(rfc3339(seconds), date);
        }
    }

    #[test]
    fn what_matters_for_numbers_is_named_and_what_does_not_is_not() {
        let a = Provenance { dirty: None, ..Provenance::here("cpu", "cpu") };
        let elsewhere = Provenance { host: "other".into(), threads: 99, began: "later".into(), ..a.clone() };
        assert!(a.differences(&elsewhere).is_empty());
        let b = Provenance { version: "9".into(), executable: "other".into(), cpu_features: vec![], ..a.clone() }
            .in_precision("bf16");
        let lines = a.differences(&b);
        assert!(lines.iter().any(|line| line == "precision: `f32` and `bf16`"), "{lines:?}");
        assert!(lines.iter().any(|line| line.starts_with("version: ")), "{lines:?}");
        assert!(!a.cpu.is_empty() && !a.host.is_empty() && a.threads > 0 && a.began.ends_with('Z'));
    }

    #[test]
    fn it_reads_back_and_knows_which_files_have_changed() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("images.jsonl"), "one").unwrap();
        std::fs::write(at("config.toml"), "seed = 0").unwrap();
        let mut made = Provenance::here("cpu", "cpu");
        made.end(folder.path(), &["images.jsonl", "config.toml", "absent"]).unwrap();
        made.save(&at(NAME)).unwrap();
        let read = Provenance::read(&at(NAME)).unwrap();
        assert_eq!(read, made);
        assert!(read.changed(folder.path()).is_empty());
        std::fs::write(at("images.jsonl"), "two").unwrap();
        std::fs::remove_file(at("config.toml")).unwrap();
        assert_eq!(read.changed(folder.path()), ["config.toml", "images.jsonl"]);
    }
}
