//! `cargo xtask python`: the wheel of `crates/python`, built by maturin, installed alone into a fresh virtual environment and tried there.
//!
//! Both environments are in `target/`: `python-build` has maturin, `python-try` the wheel with what its tests import.

use crate::{cargo, root};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// Builds and tries the wheel. Exit 2 where this machine lacks something.
pub fn python() -> ExitCode {
    match tried() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("xtask: python: {why}");
            ExitCode::from(2)
        }
    }
}

/// Whether it builds and passes; what is missing here.
fn tried() -> Result<bool, String> {
    let target = root().join("target");
    let builder = environment(&target.join("python-build"), &["maturin>=1.9,<2"])?;
    let wheels = target.join("wheels");
    // One wheel only is to be found there.
    let _ = std::fs::remove_dir_all(&wheels);
    let mut maturin = Command::new(&builder);
    maturin.args(["-m", "maturin", "build", "--release", "--quiet", "--manifest-path"]);
    maturin.arg(root().join("crates/python/Cargo.toml")).arg("--out").arg(&wheels);
    maturin.arg("--interpreter").arg(&builder).env("CARGO_TARGET_DIR", target.join("python"));
    if !succeeds(&mut maturin) {
        return Ok(false);
    }
    let wheel = std::fs::read_dir(&wheels).into_iter().flatten().flatten().map(|entry| entry.path());
    let Some(wheel) = wheel.into_iter().find(|path| path.extension().is_some_and(|it| it == "whl")) else {
        eprintln!("xtask: python: maturin left no wheel in {}", wheels.display());
        return Ok(false);
    };
    let size = std::fs::metadata(&wheel).map_or(0, |data| data.len());
    println!("{}: {size} bytes", wheel.display());
    let fresh = target.join("python-try");
    let _ = std::fs::remove_dir_all(&fresh);
    // The wheel alone first: it has to bring what it needs.
    let wheel = wheel.to_string_lossy().into_owned();
    let python = environment(&fresh, &[&wheel])?;
    let alone = "import simseg; assert simseg.scenes(1)[0].image.any(); print('simseg', simseg.__version__)";
    if !succeeds(Command::new(&python).args(["-c", alone])) {
        return Ok(false);
    }
    install(&python, &["pytest", "pillow"])?;
    if !succeeds(cargo().args(["build", "--quiet", "--package", "simseg-lab", "--bin", "simseg"])) {
        return Ok(false);
    }
    let program = target.join("debug").join(format!("simseg{}", std::env::consts::EXE_SUFFIX));
    let mut pytest = Command::new(&python);
    pytest.args(["-m", "pytest", "-q", "-p", "no:cacheprovider"]).arg(root().join("crates/python/tests"));
    pytest.env("SIMSEG", program).env("PYTHONDONTWRITEBYTECODE", "1");
    Ok(succeeds(&mut pytest))
}

fn succeeds(command: &mut Command) -> bool {
    match command.status() {
        Ok(status) => status.success(),
        Err(error) => {
            eprintln!("xtask: python: {error}");
            false
        }
    }
}

/// A virtual environment with packages in it.
fn environment(place: &Path, packages: &[&str]) -> Result<PathBuf, String> {
    let python = place.join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" });
    if !python.exists() {
        let made = Command::new("python3").args(["-m", "venv"]).arg(place).output();
        if !made.is_ok_and(|output| output.status.success()) {
            return Err("`python3 -m venv` does not run here".into());
        }
    }
    install(&python, packages)?;
    Ok(python)
}

fn install(python: &Path, packages: &[&str]) -> Result<(), String> {
    let mut pip = Command::new(python);
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(packages);
    let done = pip.status().map_err(|error| error.to_string())?;
    if done.success() { Ok(()) } else { Err(format!("pip could not install {}", packages.join(" "))) }
}
