//! libtorch, installed once into `target/libtorch` from Python's package index.
//!
//! The wheel `torch` holds the C++ libraries and headers that `tch` binds, of the version that `tch` wants (`tch` 0.24 ↔
//! libtorch 2.11.0: change both together). Its CPU library is linked against two small CUDA libraries, the profiler's and
//! the runtime's, so their wheels come along; the gigabytes that CUDA needs to compute do not (`--no-deps`). Nothing of
//! Python runs later: any Python that has pip and a wheel of this version will do.
//!
//! `LIBTORCH` in the environment names an installation of one's own, which is then used as it is.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

const PINS: &[&str] = if cfg!(target_os = "linux") {
    &["torch==2.11.0", "nvidia-cuda-runtime==13.0.96", "nvidia-cuda-cupti==13.0.85"]
} else {
    &["torch==2.11.0"]
};

/// An installation.
pub struct Libtorch {
    folder: PathBuf,
}

impl Libtorch {
    /// What cargo and the programs it runs need to find it.
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        let mut library_path = self.folder.join("lib").display().to_string();
        if let Ok(more) = std::env::var("LD_LIBRARY_PATH")
            && !more.is_empty()
        {
            library_path = format!("{library_path}:{more}");
        }
        vec![
            ("LIBTORCH", self.folder.display().to_string()),
            ("LIBTORCH_CXX11_ABI", "1".into()),
            ("LD_LIBRARY_PATH", library_path),
        ]
    }

    /// Sets [`Self::variables`] for a command.
    pub fn environment(&self, command: &mut Command) {
        command.envs(self.variables());
    }
}

/// Finds or installs libtorch.
///
/// # Errors
/// Why there is none, in words for whoever started this.
pub fn set_up() -> Result<Libtorch, String> {
    if let Some(folder) = std::env::var_os("LIBTORCH") {
        let folder = PathBuf::from(folder);
        return match missing(&folder) {
            None => Ok(Libtorch { folder }),
            Some(file) => Err(format!("LIBTORCH names a folder without {}", file.display())),
        };
    }
    if !runs("c++", &["--version"]) && !runs("g++", &["--version"]) && std::env::var_os("CXX").is_none() {
        return Err("its bindings need a C++ compiler, and there is neither c++ nor g++ (nor $CXX)".into());
    }
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| crate::root().join("target"), PathBuf::from);
    let place = std::path::absolute(&target).map_err(|error| format!("{}: {error}", target.display()))?;
    let place = place.components().collect::<PathBuf>().join("libtorch");
    let (folder, stamp) = (place.join("torch"), place.join("stamp"));
    let wanted = PINS.join(" ");
    if std::fs::read_to_string(&stamp).is_ok_and(|stamp| stamp == wanted) && missing(&folder).is_none() {
        return Ok(Libtorch { folder });
    }
    install(&place)?;
    if let Some(file) = missing(&folder) {
        return Err(format!("pip installed {wanted}, but there is no {}", file.display()));
    }
    // Last: an installation that was cut off has no stamp.
    std::fs::write(&stamp, wanted).map_err(|error| format!("{}: {error}", stamp.display()))?;
    Ok(Libtorch { folder })
}

/// A file that an installation must have and this one has not.
fn missing(folder: &Path) -> Option<PathBuf> {
    let library = if cfg!(target_os = "macos") { "lib/libtorch_cpu.dylib" } else { "lib/libtorch_cpu.so" };
    ["include/torch/csrc/api/include/torch/torch.h", library]
        .into_iter()
        .map(|file| folder.join(file))
        .find(|file| !file.exists())
}

fn runs(program: &str, arguments: &[&str]) -> bool {
    let quiet = Command::new(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
    quiet.is_ok_and(|status| status.success())
}

/// Installs the pinned wheels with the first Python that has pip.
fn install(place: &Path) -> Result<(), String> {
    let python = ["python3", "python"].into_iter().find(|python| runs(python, &["-m", "pip", "--version"]));
    let Some(python) = python else {
        return Err("installing it needs pip, and neither `python3 -m pip` nor `python -m pip` runs here".into());
    };
    eprintln!("── libtorch: {python} -m pip install {} (about 545 MB, once) → {}", PINS.join(" "), place.display());
    let start = Instant::now();
    if place.exists() {
        std::fs::remove_dir_all(place).map_err(|error| format!("{}: {error}", place.display()))?;
    }
    // pip's own words go to stderr: stdout is for `cargo xtask libtorch`.
    let status = Command::new(python)
        .args(["-m", "pip", "install", "--quiet", "--no-deps", "--no-compile", "--only-binary", ":all:"])
        .args(["--disable-pip-version-check", "--target"])
        .arg(place)
        .args(PINS)
        .stdout(std::io::stderr())
        .status();
    match status {
        Ok(status) if status.success() => {
            eprintln!("── libtorch: installed in {:.0} s", start.elapsed().as_secs_f64());
            Ok(())
        }
        Ok(status) => Err(format!("pip could not install it ({status}; its reason is above)")),
        Err(error) => Err(format!("{python}: {error}")),
    }
}
