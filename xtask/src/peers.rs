//! Benchmarks that leave files in `benches/results`: `cargo xtask bench-peers`, this CPU beside PyTorch and onnxruntime, and
//! `cargo xtask growth`, how time and memory grow.

use crate::{cargo, finish, root};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// The peers, what exports a model from one to the other, and pictures.
const PACKAGES: [&str; 6] = ["torch==2.11.0", "onnx", "onnxscript", "onnxruntime", "numpy", "pillow"];

/// What only the CRF's row needs; the first is built by a C++ compiler where there is no wheel.
const FOR_CRF: [&str; 3] = ["pydensecrf2", "scikit-image", "safetensors"];

/// Builds the benchmarks and `simseg`.
fn built() -> bool {
    let build = ["build", "--release", "--package", "simseg-benches", "--package", "simseg-lab", "--bins"];
    cargo().args(build).status().is_ok_and(|status| status.success())
}

/// Builds and measures growth.
pub fn growth(options: &[&str]) -> ExitCode {
    if !built() {
        return ExitCode::FAILURE;
    }
    let program = root().join("target/release").join(format!("growth{}", std::env::consts::EXE_SUFFIX));
    let mut command = Command::new(program);
    command.args(options).args(["--cpu", &cpu().0]);
    if !options.contains(&"--out") {
        // A part, or a trial, is no result to keep.
        let whole = options.is_empty().then(|| root().join("benches/results").join(format!("growth-{}", cpu().1)));
        command.arg("--out").arg(whole.unwrap_or_else(|| root().join("target/growth")));
    }
    finish(&mut command)
}

/// Builds, installs, measures.
pub fn bench(options: &[&str]) -> ExitCode {
    if !built() {
        return ExitCode::FAILURE;
    }
    let python = match environment(&root().join("target/peers")) {
        Ok(python) => python,
        Err(why) => {
            eprintln!("xtask: peers: {why}");
            return ExitCode::from(2);
        }
    };
    // Peers in Rust: a workspace of its own, so that nobody else downloads and compiles them.
    let manifest = root().join("benches/peers/rust/Cargo.toml");
    let mut build = cargo();
    build.args(["build", "--release", "--manifest-path"]).arg(manifest).arg("--target-dir");
    let rust = build.arg(root().join("target/rust-peers")).status().is_ok_and(|status| status.success());
    if !rust {
        eprintln!("xtask: peers: candle and rten do not build here; their columns stay empty");
    }
    let mut command = Command::new(python);
    command.arg(root().join("benches/peers/cpu.py")).env("PYTHONDONTWRITEBYTECODE", "1");
    if options.is_empty() {
        command.arg("--out").arg(root().join("benches/results").join(format!("{}.md", cpu().1)));
    }
    finish(command.args(options))
}

/// A Python with the peers in it; made once.
fn environment(place: &Path) -> Result<PathBuf, String> {
    let python = place.join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" });
    let done = place.join("installed");
    let wanted = [&PACKAGES[..], &FOR_CRF].concat().join(" ");
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
    let install = |packages: &[&str]| {
        let status = Command::new(&python).args(pip).args(packages).status().map_err(|error| error.to_string())?;
        let failed = || format!("pip could not install {} ({status})", packages.join(" "));
        if status.success() { Ok(()) } else { Err(failed()) }
    };
    install(&PACKAGES)?;
    if let Err(why) = install(&FOR_CRF) {
        eprintln!("xtask: peers: {why}: without the CRF's row");
    }
    std::fs::write(&done, wanted).map_err(|error| format!("{}: {error}", done.display()))?;
    Ok(python)
}

/// The CPU in words, and as a part of a file's name; restricted kernels have a file of their own.
fn cpu() -> (String, String) {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        let line = text.lines().find(|line| line.split(':').next().is_some_and(|key| key.trim() == name));
        line.and_then(|line| line.split(':').nth(1)).map_or("", str::trim).to_owned()
    };
    let (name, family, model) = (field("model name"), field("cpu family"), field("model"));
    let path = std::env::var("SIMSEG_CPU").unwrap_or_default();
    let words = format!("{name} family {family} model {model} {path}");
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let file: String = words.chars().map(plain).collect();
    let parts: Vec<&str> = file.split('-').filter(|part| !part.is_empty()).collect();
    (format!("{name} (family {family}, model {model})"), parts.join("-"))
}
