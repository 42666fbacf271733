//! What has to pass, in order: first everything that a default build is, then what needs libtorch.
//!
//! All steps share one target directory and one profile, so that a crate is compiled once for lints and once for tests,
//! whatever the number of steps; the libtorch steps recompile only what its features reach.

use crate::libtorch::{self, Libtorch};
use crate::totals::Totals;
use std::io::BufRead;
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

/// A call of cargo that has to succeed.
struct Step {
    name: &'static str,
    /// Whether it is part of `libtorch`.
    libtorch: bool,
    arguments: &'static [&'static str],
    rustdoc_flags: Option<&'static str>,
}

impl Step {
    const fn new(name: &'static str, arguments: &'static [&'static str]) -> Self {
        Self { name, libtorch: false, arguments, rustdoc_flags: None }
    }

    const fn with_libtorch(name: &'static str, arguments: &'static [&'static str]) -> Self {
        Self { libtorch: true, ..Self::new(name, arguments) }
    }

    /// Warnings of rustdoc are errors.
    const fn strict(self) -> Self {
        Self { rustdoc_flags: Some("-D warnings"), ..self }
    }

    /// The word that `--only` and `--skip` know it by.
    fn word(&self) -> &'static str {
        if self.libtorch { "libtorch" } else { self.name }
    }
}

/// The features that bring libtorch in.
const LIBTORCH: &str = "simseg-tch/libtorch,simseg-lab/tch,simseg-tests/tch";

#[rustfmt::skip]
const STEPS: [Step; 13] = [
    Step::new("fmt", &["fmt", "--all", "--check"]),
    Step::new("lines", &["xtask", "lines"]),
    Step::new("clippy", &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]),
    Step::new("test", &["test", "--workspace", "--no-fail-fast"]),
    Step::new("doc", &["doc", "--workspace", "--no-deps", "--document-private-items"]).strict(),
    Step::new("web", &["xtask", "web", "--test"]),
    // One thread, no files: what devices and browsers have. After `web`, whose module stands in its table of sizes.
    Step::new("small", &["xtask", "small"]),
    Step::new("book", &["xtask", "book", "--installed"]),
    Step::new("mpi", &["xtask", "mpi", "--test"]),
    Step::new("python", &["xtask", "python", "--test"]),
    Step::with_libtorch("libtorch clippy", &[
        "clippy", "--package", "simseg-tch", "--package", "simseg-lab", "--package", "simseg-tests", "--package", "simseg-benches",
        "--features", LIBTORCH, "--features", "simseg-benches/tch", "--all-targets", "--", "-D", "warnings",
    ]),
    // What has nothing to do with the backend has passed above.
    Step::with_libtorch("libtorch test", &[
        "test", "--package", "simseg-tch", "--package", "simseg-lab", "--package", "simseg-tests", "--features", LIBTORCH,
        "--test", "errors", "--test", "optimiser", "--test", "tch", "--test", "parity", "--test", "conformance", "--test", "programs",
        "--test", "networks", "--test", "segmenters", "--test", "faults", "--test", "outside", "--test", "model",
        "--no-fail-fast",
    ]),
    Step::with_libtorch("libtorch doc", &[
        "doc", "--package", "simseg-tch", "--features", "simseg-tch/libtorch", "--no-deps", "--document-private-items",
    ]).strict(),
];

/// Which steps are wanted.
pub struct Choice {
    only: Vec<String>,
    skip: Vec<String>,
}

impl Choice {
    /// Reads `--only STEP` and `--skip STEP`, each any number of times.
    pub fn parse(options: &[&str]) -> Option<Self> {
        let mut choice = Self { only: vec![], skip: vec![] };
        for pair in options.chunks(2) {
            let &[option, word] = pair else { return None };
            if !STEPS.iter().any(|step| step.word() == word) {
                return None;
            }
            match option {
                "--only" => choice.only.push(word.to_owned()),
                "--skip" => choice.skip.push(word.to_owned()),
                _ => return None,
            }
        }
        Some(choice)
    }

    fn wants(&self, step: &Step) -> bool {
        let named = |list: &[String]| list.iter().any(|word| word == step.word());
        (self.only.is_empty() || named(&self.only)) && !named(&self.skip)
    }
}

/// What became of libtorch in this run.
enum Found {
    NotYet,
    Here(Libtorch),
    Nowhere,
}

/// Runs the wanted steps, all of them whatever fails, and ends with the totals.
pub fn test(choice: &Choice) -> ExitCode {
    let in_ci = crate::in_ci();
    let (mut totals, mut failed, mut notes, mut times) = (Totals::default(), vec![], vec![], vec![]);
    let mut libtorch = Found::NotYet;
    for step in STEPS.iter().filter(|step| choice.wants(step)) {
        if step.libtorch && matches!(libtorch, Found::NotYet) {
            let start = Instant::now();
            libtorch = match libtorch::set_up() {
                Ok(found) => Found::Here(found),
                Err(why) if in_ci => {
                    failed.push("libtorch set-up");
                    notes.push(format!("libtorch could not be set up, and CI=true skips nothing: {why}"));
                    Found::Nowhere
                }
                Err(why) => {
                    totals.skipped += 1;
                    notes.push(format!("SKIPPED the libtorch backend: {why}"));
                    Found::Nowhere
                }
            };
            times.push(format!("libtorch set-up {:.0} s", start.elapsed().as_secs_f64()));
        }
        let environment = match &libtorch {
            Found::Nowhere if step.libtorch => continue,
            Found::Here(found) if step.libtorch => Some(found),
            _ => None,
        };
        println!("── {}: cargo {}", step.name, step.arguments.join(" "));
        let start = Instant::now();
        let failures_before = totals.failed;
        if !run(step, environment, &mut totals) {
            failed.push(step.name);
            // A step without tests of its own, or one that did not compile, counts as one failure.
            totals.failed = totals.failed.max(failures_before + 1);
        }
        times.push(format!("{} {:.0} s", step.name, start.elapsed().as_secs_f64()));
    }
    if failed.contains(&"libtorch set-up") {
        totals.failed += 1;
    }
    println!("── {}", times.join(", "));
    notes.iter().for_each(|note| println!("── {note}"));
    if !failed.is_empty() {
        println!("failed: {}", failed.join(", "));
    }
    println!("{}", totals.line());
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Whether every source file is formatted. `cargo fmt` follows `mod` statements and does not see those that a macro writes
/// (`family!` names the files of the algorithms), so rustfmt gets the list from git.
fn formatted() -> bool {
    let mut git = Command::new("git");
    let Ok(list) = git.args(["ls-files", "*.rs"]).current_dir(crate::root()).output() else { return true };
    let files: Vec<_> = String::from_utf8_lossy(&list.stdout).lines().map(|name| crate::root().join(name)).collect();
    let files: Vec<_> = files.iter().filter(|file| file.is_file()).collect();
    if files.is_empty() {
        return true; // no checkout: `cargo fmt` alone has to do
    }
    let mut rustfmt = Command::new("rustfmt");
    rustfmt.args(["--check", "--edition", "2024", "--config-path"]).arg(crate::root()).args(files);
    rustfmt.status().is_ok_and(|status| status.success())
}

/// Runs a step, showing what it prints as it comes.
fn run(step: &Step, libtorch: Option<&Libtorch>, totals: &mut Totals) -> bool {
    if step.name == "fmt" && !formatted() {
        return false;
    }
    let mut command = crate::cargo();
    command.args(step.arguments).stdout(Stdio::piped());
    if crate::in_ci() {
        // Nothing is compiled there a second time after a change, and what would be kept for that is two thirds of the folder.
        command.env("CARGO_INCREMENTAL", "0");
    }
    if let Some(flags) = step.rustdoc_flags {
        command.env("RUSTDOCFLAGS", flags);
    }
    if let Some(libtorch) = libtorch {
        libtorch.environment(&mut command);
    }
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            println!("cargo: {error}");
            return false;
        }
    };
    if let Some(out) = child.stdout.take() {
        for line in std::io::BufReader::new(out).lines().map_while(Result::ok) {
            println!("{line}");
            totals.add(&line);
        }
    }
    child.wait().is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(options: &[&str]) -> Option<Vec<&'static str>> {
        let choice = Choice::parse(options)?;
        Some(STEPS.iter().filter(|step| choice.wants(step)).map(|step| step.name).collect())
    }

    #[test]
    fn only_and_skip_choose_by_word_and_unknown_words_are_refused() {
        assert_eq!(names(&[]).map(|all| all.len()), Some(STEPS.len()));
        assert_eq!(names(&["--only", "fmt", "--only", "doc"]), Some(vec!["fmt", "doc"]));
        let plain = vec!["fmt", "lines", "clippy", "test", "doc", "web", "small", "book", "mpi", "python"];
        assert_eq!(names(&["--skip", "libtorch"]), Some(plain));
        assert_eq!(names(&["--only", "libtorch"]).map(|all| all.len()), Some(3));
        for wrong in [&["--only"][..], &["--only", "tests"], &["--except", "fmt"], &["fmt"]] {
            assert_eq!(names(wrong), None, "{wrong:?}");
        }
    }
}
