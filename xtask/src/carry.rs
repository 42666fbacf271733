//! A folder to carry to a machine with a GPU and a Python with torch, but without Rust: programs, the script that runs them, and what
//! the script needs. Programs are stripped; libtorch stays here, since that machine has its own.

use crate::libtorch::{self, Libtorch};
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};

/// Files that go along, from the repository.
const FILES: [(&str, &str); 4] = [
    ("benches/gpu.sh", "gpu.sh"),
    ("experiments/quick.toml", "quick.toml"),
    ("benches/peers/cuda.py", "peers/cuda.py"),
    ("benches/peers/train.py", "peers/train.py"),
];

/// Builds the programs and fills the folder.
pub fn carry(folder: &str) -> ExitCode {
    let done = libtorch::set_up().and_then(|libtorch| fill(Path::new(folder), &libtorch));
    match done {
        Ok(()) => {
            println!("{folder}: copy it to the machine with the GPU, and there: bash {folder}/gpu.sh");
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("xtask: carry: {why}");
            ExitCode::from(2)
        }
    }
}

fn fill(folder: &Path, libtorch: &Libtorch) -> Result<(), String> {
    let text = |error: std::io::Error| format!("{}: {error}", folder.display());
    std::fs::create_dir_all(folder.join("peers")).map_err(text)?;
    for (from, to) in FILES {
        std::fs::copy(crate::root().join(from), folder.join(to)).map_err(|error| format!("{from}: {error}"))?;
    }
    let features = ["--features", "simseg-lab/tch,simseg-benches/tch,simseg-tests/tch"];
    let packages = ["--package", "simseg-lab", "--package", "simseg-benches", "--package", "simseg-tests"];
    let bins = [&["build", "--release", "--bins"][..], &packages, &features].concat();
    let tests = [&["test", "--release", "--no-run", "--test", "conformance"][..], &packages, &features].concat();
    for arguments in [bins, tests] {
        for program in build(&arguments, libtorch)? {
            let name = program.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            // Tests are named with a hash: `conformance-0123456789abcdef`.
            let name = name.split('-').next().unwrap_or_default();
            if ["simseg", "throughput", "conformance"].contains(&name) {
                let to = folder.join(name);
                std::fs::copy(&program, &to).map_err(|error| format!("{}: {error}", program.display()))?;
                // Without `strip` it is a larger file, nothing else.
                let _ = std::process::Command::new("strip").arg(&to).status();
            }
        }
    }
    Ok(())
}

/// Runs cargo; the executables it names in its messages.
fn build(arguments: &[&str], libtorch: &Libtorch) -> Result<Vec<PathBuf>, String> {
    let mut command = crate::cargo();
    libtorch.environment(&mut command);
    command.args(arguments).args(["--message-format", "json-render-diagnostics"]).stderr(Stdio::inherit());
    let output = command.output().map_err(|error| format!("cargo: {error}"))?;
    if !output.status.success() {
        return Err(format!("cargo {} failed", arguments.join(" ")));
    }
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let executable = |line: &str| {
        let (_, rest) = line.split_once("\"executable\":\"")?;
        Some(PathBuf::from(rest.split('"').next()?))
    };
    Ok(text.lines().filter_map(executable).collect())
}
