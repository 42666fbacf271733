//! The project's chores.
//!
//! `cargo xtask test` is the one command for all tests: format, lints, tests, documentation, then the same for the libtorch
//! backend, which it installs by itself. Reading order: [`steps`] (what has to pass), [`libtorch`] (where it comes from),
//! [`carry`] (programs for a machine with a GPU), [`peers`] (how fast, and who else), [`web`] (the live page), [`book`](mod@book) (the book),
//! [`lines`] (how long, how safe), [`python`] (the wheel), [`mpi`] (several processes), [`small`] (builds for devices), [`release`] (what is checked before a release), [`totals`] (the last line).

mod steps;
mod libtorch;
mod carry;
mod peers;
mod web;
mod book;
mod lines;
mod python;
mod mpi;
mod small;
mod release;
mod totals;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::SystemTime;

const HELP: &str = "\
cargo xtask test                 everything that has to pass, libtorch included
cargo xtask test --only STEP     some of: fmt lines clippy test doc web small book mpi python libtorch (repeat for more)
cargo xtask test --skip STEP     all but these; `--skip libtorch` where it can't be had
cargo xtask lines                lines of Rust per crate; fails where a file is too long, or has `unsafe` outside crates/cpu
cargo xtask parity [-- ARGS]     simseg parity --against tch ARGS, built with libtorch
cargo xtask tch -- ARGS          any simseg command, built with libtorch
cargo xtask carry DIR            programs and a script for a machine with a GPU but without Rust
cargo xtask bench-peers          this CPU beside PyTorch, onnxruntime and pydensecrf → benches/results/<cpu>.md; options go to
                                 benches/peers/cpu.py ([--quick] [--only ROW] [--turns N] …; with any, nothing is written but --out)
cargo xtask growth               how time and memory of the cpu backend grow → benches/results/growth-<cpu>.csv and .svg;
                                 [--quick] [--turns N] [--only AXIS]: target/growth.csv and .svg
cargo xtask mpi [--test]         simseg with training over MPI → target/release/simseg; with --test run on 2 and 3 ranks
cargo xtask python [--test]      the Python wheel (crates/python) → target/wheels: built, installed alone into a fresh environment,
                                 tested, its notebook run; --test spends less time on building it
cargo xtask web [--test]         the live page → target/web (simseg.html is one file); with --test driven in headless Chromium
cargo xtask book [--update]      the book → target/book/index.html: outputs of programs as recorded, every link checked;
                                 --update records them anew. Installs mdBook into target/tools on first use
cargo xtask small                the builds for devices: sizes, and the same labels without threads
cargo xtask release --dry-run    what has to hold before a release: one version, packages that build by themselves, documentation,
                                 the oldest dependencies, an archive for this platform → target/release-files
cargo xtask libtorch             install libtorch; prints what to export for plain cargo
cargo xtask fuzz                 every parser under bytes that nobody meant: with libFuzzer where there is nightly and
                                 cargo-fuzz, else by mutation of whole files ([--minutes N] [TARGET …])
cargo xtask fixtures             train the tiny model of fixtures/tiny again";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["test", ref options @ ..] => match steps::Choice::parse(options) {
            Some(choice) => steps::test(&choice),
            None => usage(),
        },
        ["parity"] => simseg(&["parity", "--against", "tch"], &[]),
        ["parity", "--", ref rest @ ..] => simseg(&["parity", "--against", "tch"], rest),
        ["tch", "--", ref rest @ ..] => simseg(&[], rest),
        ["carry", folder] => carry::carry(folder),
        ["bench-peers", ref options @ ..] => peers::bench(options),
        ["growth", ref options @ ..] => peers::growth(options),
        ["web", ref options @ ..] => web::web(options),
        ["book", ref options @ ..] => book::book(options),
        ["lines"] => lines::lines(),
        ["python", ref options @ ..] => python::python(options),
        ["mpi", ref options @ ..] => mpi::mpi(options),
        ["small"] => small::small(),
        ["release", ref options @ ..] => release::release(options),
        ["libtorch"] => exports(),
        ["fuzz", ref options @ ..] => fuzz(options),
        ["fixtures"] => fixtures(),
        ["--help" | "-h" | "help"] => {
            println!("{HELP}");
            ExitCode::SUCCESS
        }
        _ => usage(),
    }
}

/// What the parsers of `tests/fuzz` are called: each has a file of its own.
fn parsers() -> Vec<String> {
    let files = std::fs::read_dir(root().join("tests/fuzz/fuzz_targets")).into_iter().flatten().flatten();
    let mut names: Vec<String> =
        files.filter_map(|file| Some(file.path().file_stem()?.to_string_lossy().into_owned())).collect();
    names.sort();
    names
}

/// Fuzzes for some minutes, shared among the targets.
fn fuzz(options: &[&str]) -> ExitCode {
    let (minutes, named) = match options {
        ["--minutes", minutes, named @ ..] => (minutes.parse::<f64>().ok(), named),
        named => (Some(1.0), named),
    };
    let all = parsers();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let Some(minutes) = minutes.filter(|minutes| *minutes > 0.0 && named.iter().all(|name| all.contains(name))) else {
        return usage();
    };
    let quietly = |arguments: &[&str]| cargo().args(arguments).output().is_ok_and(|output| output.status.success());
    if !quietly(&["+nightly", "fuzz", "--version"]) {
        let minutes = minutes.to_string();
        let arguments = ["run", "--release", "--package", "simseg-fuzz", "--bin", "fuzz", "--", "--minutes", &minutes];
        return finish(cargo().args(arguments).args(named));
    }
    let targets = if named.is_empty() { &all[..] } else { named };
    let seconds = format!("-max_total_time={}", (60.0 * minutes / targets.len() as f64).ceil());
    for target in targets {
        let arguments =
            ["+nightly", "fuzz", "run", "--fuzz-dir", "tests/fuzz", "--features", "libfuzzer", target, "--", &seconds];
        let ended = finish(cargo().args(arguments));
        if ended != ExitCode::SUCCESS {
            return ended;
        }
    }
    ExitCode::SUCCESS
}

/// Runs a command to its end, with its exit status.
fn finish(command: &mut Command) -> ExitCode {
    match command.status() {
        Ok(status) => ExitCode::from(u8::try_from(status.code().unwrap_or(1)).unwrap_or(1)),
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::from(2)
        }
    }
}

/// Whether a test machine is running this: there nothing is skipped that can be installed.
fn in_ci() -> bool {
    std::env::var_os("CI").is_some_and(|value| value == "true")
}

/// Installs Debian's packages, where this is Debian; whoever needs them looks again.
fn apt_install(packages: &[&str]) {
    let apt = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive").status().is_ok_and(|status| status.success())
    };
    let install =
        |packages: &[&str]| apt(&[&["install", "-y", "-qq", "--no-install-recommends"][..], packages].concat());
    _ = apt(&["update", "-qq"]); // without a network, what is known of packages may still do
    // One that can't be had (a machine with another origin's Node.js refuses Debian's npm) keeps none of the others away.
    if !install(packages) {
        packages.iter().for_each(|package| _ = install(&[package]));
    }
}

fn usage() -> ExitCode {
    eprintln!("xtask: expected one of\n{HELP}");
    ExitCode::from(2)
}

/// The repository.
fn root() -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.parent().map_or(here.clone(), PathBuf::from)
}

fn cargo() -> Command {
    let mut command = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".into()));
    command.current_dir(root());
    command
}

/// The pictures of a folder, by name.
fn pngs(folder: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = files.map(|entry| entry.path()).collect();
    files.retain(|path| path.extension().is_some_and(|end| end == "png"));
    files.sort();
    files
}

/// When a file was written last; nothing if there is none, which is before anything else.
fn written(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).and_then(|data| data.modified()).ok()
}

/// Gives a workspace of its own the versions that everything else is tested with. What it needs beyond them is added to the copy, which is kept
/// until there are others: without a network it could not be added again.
///
/// # Errors
/// If they can't be copied.
fn same_versions(place: &Path) -> Result<(), String> {
    let (versions, own) = (root().join("Cargo.lock"), place.join("Cargo.lock"));
    if written(&own) < written(&versions) {
        std::fs::copy(&versions, &own).map_err(|error| format!("{}: {error}", own.display()))?;
    }
    Ok(())
}

/// Runs `simseg` built with libtorch, with its exit status.
fn simseg(first: &[&str], rest: &[&str]) -> ExitCode {
    let libtorch = match libtorch::set_up() {
        Ok(libtorch) => libtorch,
        Err(why) => {
            eprintln!("xtask: libtorch: {why}");
            return ExitCode::from(2);
        }
    };
    let mut command = cargo();
    libtorch.environment(&mut command);
    // Paths in ARGS are meant from where the user stands.
    if let Ok(here) = std::env::current_dir() {
        command.current_dir(here);
    }
    let manifest = root().join("Cargo.toml");
    command.args(["run", "--release", "--package", "simseg-lab", "--features", "tch", "--manifest-path"]).arg(manifest);
    command.arg("--").args(first).args(rest);
    match command.status() {
        Ok(status) => ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)),
        Err(error) => {
            eprintln!("xtask: cargo: {error}");
            ExitCode::from(2)
        }
    }
}

/// `eval "$(cargo xtask libtorch)"` makes plain cargo find libtorch.
fn exports() -> ExitCode {
    match libtorch::set_up() {
        Ok(libtorch) => {
            for (key, value) in libtorch.variables() {
                println!("export {key}='{value}'");
            }
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("xtask: libtorch: {why}");
            ExitCode::from(2)
        }
    }
}

/// Trains `fixtures/tiny` by its experiment file and copies the model.
fn fixtures() -> ExitCode {
    let out = root().join("target/tiny");
    let run = ["run", "--release", "--", "run", "fixtures/tiny.toml", "--fresh", "--out"];
    if !cargo().args(run).arg(&out).status().is_ok_and(|status| status.success()) {
        return ExitCode::FAILURE;
    }
    for name in ["config.json", "model.safetensors", "vocab.txt"] {
        let from = out.join("tiny-seed0/model").join(name);
        if let Err(error) = std::fs::copy(&from, root().join("fixtures/tiny").join(name)) {
            eprintln!("xtask: {}: {error}", from.display());
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
