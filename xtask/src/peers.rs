//! `cargo xtask bench-peers`: inference on this CPU beside PyTorch and onnxruntime, as `benches/results/<cpu>.md`.

use crate::{cargo, root};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// The peers, and what exports a model from one to the other.
const PACKAGES: [&str; 4] = ["torch==2.11.0", "onnx", "onnxscript", "onnxruntime"];

/// Builds, installs, measures.
pub fn bench(options: &[&str]) -> ExitCode {
    let built = cargo().args(["build", "--release", "--package", "simseg-benches"]).status();
    if !built.is_ok_and(|status| status.success()) {
        return ExitCode::FAILURE;
    }
    let python = match environment(&root().join("target/peers")) {
        Ok(python) => python,
        Err(why) => {
            eprintln!("xtask: peers: {why}");
            return ExitCode::from(2);
        }
    };
    let mut command = Command::new(python);
    command.arg(root().join("benches/peers/cpu.py")).env("PYTHONDONTWRITEBYTECODE", "1");
    if options.is_empty() {
        command.arg("--out").arg(root().join("benches/results").join(file_name()));
    }
    match command.args(options).status() {
        Ok(status) => ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)),
        Err(error) => {
            eprintln!("xtask: python: {error}");
            ExitCode::from(2)
        }
    }
}

/// A Python with the peers in it; made once.
fn environment(place: &Path) -> Result<PathBuf, String> {
    let python = place.join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" });
    let done = place.join("installed");
    let wanted = PACKAGES.join(" ");
    if std::fs::read_to_string(&done).is_ok_and(|installed| installed == wanted) {
        return Ok(python);
    }
    eprintln!(
        "── peers: {wanted} (up to 5 GB: on Linux PyTorch brings its CUDA libraries; once) → {}",
        place.display()
    );
    let made = Command::new("python3").args(["-m", "venv"]).arg(place).status();
    if !made.is_ok_and(|status| status.success()) {
        return Err("`python3 -m venv` does not run here".into());
    }
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
    let status = Command::new(&python).args(pip).args(PACKAGES).status().map_err(|error| error.to_string())?;
    if !status.success() {
        return Err(format!("pip could not install {wanted} ({status})"));
    }
    std::fs::write(&done, wanted).map_err(|error| format!("{}: {error}", done.display()))?;
    Ok(python)
}

/// The CPU's name as a file's; restricted kernels have a file of their own.
fn file_name() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        let line = text.lines().find(|line| line.split(':').next().is_some_and(|key| key.trim() == name));
        line.and_then(|line| line.split(':').nth(1)).map_or("", str::trim).to_owned()
    };
    let path = std::env::var("SIMSEG_CPU").unwrap_or_default();
    let words = format!("{} family {} model {} {path}", field("model name"), field("cpu family"), field("model"));
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let name: String = words.chars().map(plain).collect();
    let parts: Vec<&str> = name.split('-').filter(|part| !part.is_empty()).collect();
    format!("{}.md", parts.join("-"))
}
