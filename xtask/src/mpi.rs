//! `cargo xtask mpi`: `simseg` with data parallel training over MPI; `--test` runs it on 2 and 3 ranks.
//!
//! It needs an MPI with headers, and libclang, which reads them. What is missing is said, with the command that brings it on Debian;
//! where `CI=true` that command is run.

use crate::{cargo, finish};
use std::path::Path;
use std::process::{Command, ExitCode};

const PACKAGES: [&str; 3] = ["openmpi-bin", "libopenmpi-dev", "libclang-dev"];

/// With the features of every crate, so that what the other steps have compiled is used again.
const TEST: [&str; 7] = ["test", "--workspace", "--features", "simseg-lab/mpi", "--test", "mpi", "--no-fail-fast"];
const BUILD: [&str; 6] = ["build", "--release", "--package", "simseg-lab", "--features", "mpi"];

/// Builds it, or tests it if asked to.
pub fn mpi(options: &[&str]) -> ExitCode {
    let test = match options {
        [] => false,
        ["--test"] => true,
        _ => return crate::usage(),
    };
    let in_ci = crate::in_ci();
    if missing().is_some() && in_ci {
        crate::apt_install(&PACKAGES);
    }
    if let Some(what) = missing() {
        let why = format!("{what} is missing; on Debian: apt-get install {}", PACKAGES.join(" "));
        if test && !in_ci {
            println!("SKIPPED training over MPI: {why}");
            println!("test result: ok. 0 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out");
            return ExitCode::SUCCESS;
        }
        eprintln!("xtask: mpi: {why}");
        return ExitCode::from(2);
    }
    if test {
        return finish(cargo().args(TEST));
    }
    let ended = finish(cargo().args(BUILD));
    if ended == ExitCode::SUCCESS {
        println!("→ mpirun -n 2 target/release/simseg run experiments/quick.toml");
    }
    ended
}

/// What is not there of what is needed.
fn missing() -> Option<&'static str> {
    let runs =
        |program: &str| Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success());
    if !runs("mpirun") {
        return Some("mpirun");
    }
    if !runs("mpicc") {
        return Some("mpicc, the compiler of an MPI with headers,");
    }
    (!has_libclang()).then_some("libclang")
}

/// Whether there is a libclang where it usually is; elsewhere `LIBCLANG_PATH` names its folder.
fn has_libclang() -> bool {
    if std::env::var_os("LIBCLANG_PATH").is_some() || !cfg!(target_os = "linux") {
        return true; // the build will say
    }
    let entries = |folder: &Path| std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let holds = |folder: &Path| {
        entries(folder).any(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("libclang")))
    };
    let below = |folder: &str| entries(Path::new(folder)).flat_map(|path| [path.join("lib"), path]).collect::<Vec<_>>();
    ["/usr/lib64", "/usr/local/lib"].iter().any(|folder| holds(Path::new(folder)))
        || below("/usr/lib").iter().any(|folder| folder.is_dir() && holds(folder))
}
