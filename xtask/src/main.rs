//! The project's chores.
//!
//! `cargo xtask test` is the one command for all tests: format, lints, tests, documentation. It prints every step with its
//! time and ends with one line of totals.

use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

const HELP: &str = "\
cargo xtask test              everything that has to pass: fmt, clippy, tests, doctests, docs
cargo xtask test --only STEP  one of: fmt clippy test doc
cargo xtask fixtures          train the tiny model of fixtures/tiny again";

/// A step of `cargo xtask test`: a name and what cargo is called with.
struct Step {
    name: &'static str,
    arguments: &'static [&'static str],
    rustdoc_flags: Option<&'static str>,
}

const STEPS: [Step; 4] = [
    Step { name: "fmt", arguments: &["fmt", "--all", "--check"], rustdoc_flags: None },
    Step {
        name: "clippy",
        arguments: &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"],
        rustdoc_flags: None,
    },
    Step { name: "test", arguments: &["test", "--workspace", "--no-fail-fast"], rustdoc_flags: None },
    Step {
        name: "doc",
        arguments: &["doc", "--workspace", "--no-deps", "--document-private-items"],
        rustdoc_flags: Some("-D warnings"),
    },
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["test"] => test(|_| true),
        ["test", "--only", wanted] if STEPS.iter().any(|step| step.name == wanted) => test(|step| step.name == wanted),
        ["fixtures"] => fixtures(),
        ["--help" | "-h" | "help"] => {
            println!("{HELP}");
            ExitCode::SUCCESS
        }
        _ => {
            eprintln!("xtask: expected one of\n{HELP}");
            ExitCode::from(2)
        }
    }
}

fn cargo() -> Command {
    let mut command = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".into()));
    command.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    command
}

/// Counts of all test runners: passed, failed, ignored.
#[derive(Default)]
struct Totals([u64; 3]);

impl Totals {
    /// Adds a line such as `test result: ok. 5 passed; 0 failed; 1 ignored; …`.
    fn add(&mut self, line: &str) {
        let Some((_, counts)) = line.split_once("test result:").and_then(|(_, rest)| rest.split_once(". ")) else {
            return;
        };
        for (total, word) in self.0.iter_mut().zip(["passed", "failed", "ignored"]) {
            let count = counts.split(';').find_map(|part| part.trim().strip_suffix(word)?.trim().parse::<u64>().ok());
            *total += count.unwrap_or(0);
        }
    }
}

fn test(wanted: impl Fn(&Step) -> bool) -> ExitCode {
    let (mut totals, mut failed) = (Totals::default(), vec![]);
    let mut times = vec![];
    for step in STEPS.iter().filter(|step| wanted(step)) {
        println!("── {}: cargo {}", step.name, step.arguments.join(" "));
        let start = Instant::now();
        if !run(step, &mut totals) {
            failed.push(step.name);
        }
        times.push(format!("{} {:.0} s", step.name, start.elapsed().as_secs_f64()));
    }
    println!("── {}", times.join(", "));
    if !failed.is_empty() {
        println!("failed: {}", failed.join(", "));
    }
    let [passed, bad, ignored] = totals.0;
    println!("{passed} passed, {} failed, {ignored} skipped", bad.max(failed.len() as u64));
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs a step, showing what it prints as it comes.
fn run(step: &Step, totals: &mut Totals) -> bool {
    let mut command = cargo();
    command.args(step.arguments).stdout(Stdio::piped());
    if let Some(flags) = step.rustdoc_flags {
        command.env("RUSTDOCFLAGS", flags);
    }
    let Ok(mut child) = command.spawn() else { return false };
    if let Some(out) = child.stdout.take() {
        use std::io::BufRead;
        for line in std::io::BufReader::new(out).lines().map_while(Result::ok) {
            println!("{line}");
            totals.add(&line);
        }
    }
    child.wait().is_ok_and(|status| status.success())
}

/// Trains `fixtures/tiny` by its experiment file and copies the model.
fn fixtures() -> ExitCode {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let out = format!("{root}/target/tiny");
    let run = ["run", "--release", "--", "run", "fixtures/tiny.toml", "--fresh", "--out", &out];
    if !cargo().args(run).status().is_ok_and(|status| status.success()) {
        return ExitCode::FAILURE;
    }
    for name in ["config.json", "model.safetensors", "vocab.txt"] {
        let from = format!("{out}/tiny-seed0/model/{name}");
        if let Err(error) = std::fs::copy(&from, format!("{root}/fixtures/tiny/{name}")) {
            eprintln!("xtask: {from}: {error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
