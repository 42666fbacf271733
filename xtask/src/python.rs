//! `cargo xtask python`: the wheel of `crates/python`, built by maturin, installed alone into a fresh virtual environment and tried there.
//!
//! ```text
//! crates/python ── maturin ──> target/wheels/*.whl ──> target/python-try: alone; then pytest, which also runs the notebook
//! simseg (to compare with), examples/figures (trains the notebook's models) ─────────────────┘
//! ```
//!
//! With `--test`, as `cargo xtask test` calls it, the profile `quick` builds the wheel, and a machine on which Python makes no virtual
//! environment or pip has nothing to install from skips it; where `CI=true` nothing is skipped. Maturin is in `target/python-build`.

use crate::{cargo, root, written};
use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

/// What the tests import beside the wheel.
const TESTED_WITH: [&str; 6] = ["pytest", "pillow", "pandas", "matplotlib", "nbclient", "ipykernel"];

/// Builds and tries the wheel. Exit 2 where this machine lacks something, and that is no reason to skip.
pub fn python(options: &[&str]) -> ExitCode {
    let (test, profile) = match options {
        [] => (false, "release"),
        ["--test"] => (true, "quick"),
        _ => return crate::usage(),
    };
    match tried(profile) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) if test && !crate::in_ci() => {
            println!("SKIPPED the Python wheel: {why}");
            println!("test result: ok. 0 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out");
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("xtask: python: {why}");
            ExitCode::from(2)
        }
    }
}

/// Whether it builds and passes; what is missing here.
fn tried(profile: &str) -> Result<bool, String> {
    let target = root().join("target");
    let builder = environment(&target.join("python-build"), &["maturin>=1.9,<2"])?;
    let Some(wheel) = built(&builder, profile) else { return Ok(false) };
    let fresh = target.join("python-try");
    let _ = std::fs::remove_dir_all(&fresh);
    // The wheel alone first: it has to bring what it needs.
    let python = environment(&fresh, &[&wheel.to_string_lossy()])?;
    let alone = "import simseg; assert simseg.scenes(1)[0].image.any(); print('simseg', simseg.__version__)";
    if !succeeds(Command::new(&python).args(["-c", alone])) {
        return Ok(false);
    }
    install(&python, &TESTED_WITH)?;
    // Of the whole workspace: with the features of `cargo test --workspace`, so that nothing is compiled twice.
    if !succeeds(cargo().args(["build", "--quiet", "--workspace", "--bin", "simseg", "--example", "figures"])) {
        return Ok(false);
    }
    let (figures, models) = (program(&target.join("debug/examples/figures")), models());
    // Drawing the book's figures has trained them, unless the program is newer. The file is the last that it writes of them.
    let trained = written(&models.join("loda/config.json")) > written(&figures);
    if !trained && !succeeds(Command::new(figures).arg(target.join("figures")).arg(&models)) {
        return Ok(false);
    }
    let mut pytest = Command::new(&python);
    pytest.args(["-m", "pytest", "-q", "-p", "no:cacheprovider"]).arg(root().join("crates/python/tests"));
    pytest.env("SIMSEG", program(&target.join("debug/simseg"))).env("SIMSEG_MODELS", models);
    // What Python's programs write for themselves stays in `target`.
    let own = target.join("python-cache");
    pytest.env("PYTHONDONTWRITEBYTECODE", "1").env("IPYTHONDIR", own.join("ipython"));
    Ok(counted(pytest.env("MPLCONFIGDIR", own.join("matplotlib"))))
}

/// Builds the wheel; nothing if that fails.
fn built(builder: &Path, profile: &str) -> Option<PathBuf> {
    let (target, place) = (root().join("target"), root().join("crates/python"));
    if let Err(error) = crate::same_versions(&place) {
        eprintln!("xtask: python: {error}");
        return None;
    }
    let wheels = target.join("wheels");
    // One wheel only is to be found there.
    let _ = std::fs::remove_dir_all(&wheels);
    let mut maturin = Command::new(builder);
    maturin.args(["-m", "maturin", "build", "--quiet", "--profile", profile, "--manifest-path"]);
    maturin.arg(place.join("Cargo.toml")).arg("--out").arg(&wheels);
    maturin.arg("--interpreter").arg(builder).env("CARGO_TARGET_DIR", target.join("python"));
    if !succeeds(&mut maturin) {
        return None;
    }
    let files = std::fs::read_dir(&wheels).into_iter().flatten().flatten().map(|entry| entry.path());
    let wheel = files.into_iter().find(|path| path.extension().is_some_and(|it| it == "whl"));
    match &wheel {
        Some(wheel) => {
            println!("{}: {} bytes", wheel.display(), std::fs::metadata(wheel).map_or(0, |data| data.len()))
        }
        None => eprintln!("xtask: python: maturin left no wheel in {}", wheels.display()),
    }
    wheel
}

/// Where the notebook's models are, for whoever draws the figures.
pub fn models() -> PathBuf {
    root().join("target/figures/models")
}

fn program(path: &Path) -> PathBuf {
    path.with_extension(std::env::consts::EXE_EXTENSION)
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

/// Runs pytest, and says its counts as cargo's tests do.
fn counted(pytest: &mut Command) -> bool {
    let mut child = match pytest.stdout(Stdio::piped()).spawn() {
        Ok(child) => child,
        Err(error) => {
            eprintln!("xtask: python: {error}");
            return false;
        }
    };
    let mut last = String::new();
    if let Some(out) = child.stdout.take() {
        for line in std::io::BufReader::new(out).lines().map_while(Result::ok) {
            println!("{line}");
            last = line;
        }
    }
    let passed = child.wait().is_ok_and(|status| status.success());
    println!("{}", summary(&last, passed));
    passed
}

/// pytest's last line, `2 failed, 30 passed, 1 skipped in 4.56s`, as the totals count it.
fn summary(line: &str, ok: bool) -> String {
    let words: Vec<&str> = line.split([' ', ',']).filter(|word| !word.is_empty()).collect();
    let count = |names: &[&str]| {
        let named = words.windows(2).filter(|pair| names.contains(&pair[1]));
        named.filter_map(|pair| pair[0].parse::<u64>().ok()).sum::<u64>()
    };
    let (passed, failed, ignored) = (count(&["passed"]), count(&["failed", "error", "errors"]), count(&["skipped"]));
    format!("test result: {}. {passed} passed; {failed} failed; {ignored} ignored", if ok { "ok" } else { "FAILED" })
}

/// A virtual environment with packages in it.
fn environment(place: &Path, packages: &[&str]) -> Result<PathBuf, String> {
    let python = place.join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" });
    let make = || {
        let made = Command::new("python3").args(["-m", "venv", "--clear"]).arg(place).output();
        made.is_ok_and(|output| output.status.success())
    };
    if !python.exists() && !make() {
        if crate::in_ci() {
            crate::apt_install(&["python3", "python3-venv"]);
        }
        if !crate::in_ci() || !make() {
            // Half an environment must not be taken for one the next time.
            let _ = std::fs::remove_dir_all(place);
            return Err("`python3 -m venv` does not run here (on Debian: apt-get install python3-venv)".into());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_of_pytest_is_counted_like_that_of_cargo() {
        let counted = |line| {
            let mut totals = crate::totals::Totals::default();
            totals.add(&summary(line, true));
            (totals.passed, totals.failed, totals.skipped)
        };
        assert_eq!(counted("30 passed in 4.56s"), (30, 0, 0));
        assert_eq!(counted("2 failed, 28 passed, 1 skipped, 3 warnings, 1 error in 4.56s"), (28, 3, 1));
        assert_eq!(counted("no tests ran in 0.01s"), (0, 0, 0));
    }
}
