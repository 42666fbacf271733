//! The README cannot rot: its links lead somewhere, its commands exist with their flags, and its first minute runs as printed.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap()
}

fn simseg(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_simseg")).args(arguments).current_dir(root()).output().unwrap()
}

/// Lines of code blocks, without comments.
fn code(text: &str) -> Vec<&str> {
    let blocks = text.split("```").skip(1).step_by(2).flat_map(str::lines);
    blocks.map(|line| line.split(" #").next().unwrap_or_default().trim()).filter(|line| !line.is_empty()).collect()
}

/// Calls of the program in a text: their arguments.
fn calls(text: &str) -> Vec<Vec<&str>> {
    let starts = ["cargo run --release -- ", "cargo xtask tch -- ", "simseg ", "./simseg "];
    let call = |line: &&str| starts.iter().find_map(|start| line.strip_prefix(start)).map(str::to_owned);
    let inline = text.split('`').skip(1).step_by(2).filter(|code| !code.contains('\n'));
    let lines = code(text).into_iter().chain(inline);
    lines
        .filter(|line| call(line).is_some())
        .map(|line| {
            let start = starts.iter().find(|start| line.starts_with(**start)).unwrap();
            line[start.len()..].split_whitespace().collect()
        })
        .collect()
}

/// The pages at the root, those of `docs/`, and the chapters of the book.
fn pages() -> Vec<String> {
    let mut pages = vec!["README.md".to_owned(), "CONTRIBUTING.md".to_owned()];
    for folder in ["docs", "docs/book/src"] {
        for entry in std::fs::read_dir(root().join(folder)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if name.ends_with(".md") {
                pages.push(format!("{folder}/{name}"));
            }
        }
    }
    pages.sort();
    assert!(pages.len() > 30, "{pages:?}");
    pages
}

#[test]
fn links_lead_to_files() {
    for page in pages() {
        let text = read(&page);
        let folder = root().join(&page).parent().unwrap().to_owned();
        for link in text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()) {
            // Figures are drawn when the book is built.
            if !link.starts_with("http") && !link.starts_with("figures/") {
                let path = folder.join(link.split('#').next().unwrap());
                assert!(path.exists(), "{page}: {link}");
            }
        }
    }
}

#[test]
fn every_call_in_the_pages_is_one_that_the_program_knows() {
    let mut seen = 0;
    for page in pages() {
        for call in calls(&read(&page)) {
            let Some(command) = call.first().filter(|word| word.chars().all(|c| c.is_ascii_lowercase())) else {
                continue;
            };
            let help = simseg(&[command, "--help"]);
            assert!(help.status.success(), "{page}: simseg {}", call.join(" "));
            let help = String::from_utf8(help.stdout).unwrap();
            for flag in
                call.iter().filter_map(|word| word.strip_prefix("--")).map(|word| word.split('=').next().unwrap())
            {
                let flag: String = flag.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
                assert!(flag.is_empty() || help.contains(&format!("--{flag}")), "{page}: `simseg {}`", call.join(" "));
            }
            for file in call.iter().filter(|word| word.starts_with("experiments/") || word.starts_with("fixtures/")) {
                assert!(root().join(file).exists(), "{page}: {file}");
            }
            seen += 1;
        }
    }
    assert!(seen >= 12, "{seen}");
}

#[test]
fn the_first_minute_runs_as_printed() {
    let text = read("README.md");
    let section = text.split("## The first minute").nth(1).unwrap().split("\n## ").next().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().to_str().unwrap();
    let calls: Vec<Vec<&str>> = calls(section).into_iter().filter(|call| call.len() > 2).collect();
    assert!(calls.len() >= 3);
    for call in calls {
        let mut arguments = vec![];
        for word in call {
            let word = word.replace("/tmp", place);
            match word.strip_suffix("*.png") {
                // What a shell does with a star.
                Some(images) => {
                    let mut files: Vec<String> = std::fs::read_dir(images)
                        .unwrap()
                        .map(|entry| entry.unwrap().path().to_str().unwrap().to_owned())
                        .collect();
                    files.sort();
                    arguments.extend(files);
                }
                None => arguments.push(word),
            }
        }
        let output = simseg(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    for left in ["masks/000019.png", "masks/000019.overlay.png", "steps.html"] {
        assert!(folder.path().join(left).exists(), "{left}");
    }
}

/// Flags that the interface contract fixes (other tools call them).
#[test]
fn the_flags_that_other_tools_call_are_there() {
    for (command, flags) in [
        ("run", "--out --backend --device --seeds --resume"),
        ("segment", "--model --classes --out --recipe --set --trace --timings --backend --device"),
        ("evaluate", "--model --dataset --root --classes --recipe --out --backend --device"),
        ("import", "--vocab --out"),
        ("explain", "--model --classes --out"),
        ("parity", "--against --device --model --json --inject"),
        ("scenes", "--out --count --seed --bias"),
    ] {
        let help = String::from_utf8(simseg(&[command, "--help"]).stdout).unwrap();
        for flag in flags.split(' ') {
            assert!(
                help.contains(&format!("{flag} ")) || help.contains(&format!("{flag}\n")),
                "simseg {command} {flag}"
            );
        }
    }
}
