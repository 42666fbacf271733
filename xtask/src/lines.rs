//! `cargo xtask lines`: how much Rust there is, and that it stays readable: no file too long, `unsafe` and intrinsics in one crate.
//!
//! A crate's tests are its folder `tests/` and, in other files, all from `#[cfg(test)] mod tests` on. Lines are counted as an editor
//! counts them, with comments. Two rules can fail: [`limit`], and that `unsafe` and intrinsics stand in `crates/cpu` alone but for the
//! files of [`EXCEPTIONS`]. An exception whose file has no such thing any more fails too, so that the list stays true.

use crate::root;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, ExitCode};

/// What belongs into `crates/cpu`: reasons, tests and Miri are there.
const KEPT_APART: [&str; 3] = ["unsafe", "std::arch", "core::arch"];

/// Files outside `crates/cpu` that have it all the same, and why.
const EXCEPTIONS: [(&str, &str); 11] = [
    ("benches/shared/peak.rs", "the peak of this CPU: multiply-adds that no kernel needs"),
    ("crates/capi/src/lib.rs", "functions that C calls, with the pointers that C gives: tests/c.rs, under sanitizers"),
    ("crates/data/src/checkpoint/mod.rs", "weights are read from a mapped file"),
    ("crates/data/src/checkpoint/source.rs", "so are checkpoints that are imported"),
    ("crates/data/src/datasets/context.rs", "so is an annotation file of hundreds of megabytes"),
    ("crates/lab/src/results/provenance.rs", "asks what the CPU can do, to write it down; computes nothing"),
    (
        "crates/segment/src/refine/mod.rs",
        "compiles a safe loop twice, plain and AVX2; this crate may name no backend to keep it in",
    ),
    (
        "crates/tch/src/adamw.rs",
        "one pass over libtorch's memory, which takes eight of its kernels: tests/optimiser.rs",
    ),
    ("crates/tch/src/device.rs", "loads libtorch's CUDA library"),
    ("crates/tch/src/tensor.rs", "tensors of libtorch behind a pointer: shared between threads, copied to the host"),
    ("crates/web/src/abi.rs", "exported names are `unsafe` attributes; the functions are safe"),
];

/// Most lines of a file.
fn limit(file: &str) -> usize {
    if file.starts_with("crates/lab/src/") { 300 } else { 400 }
}

/// A crate's lines.
#[derive(Default)]
struct Crate {
    code: usize,
    tests: usize,
    longest: (usize, String),
}

/// Prints the table; fails, with a line for each, where a rule is broken.
pub fn lines() -> ExitCode {
    let files = match sources() {
        Ok(files) => files,
        Err(why) => {
            eprintln!("xtask: lines: {why}");
            return ExitCode::from(2);
        }
    };
    let mut crates: BTreeMap<String, Crate> = BTreeMap::new();
    for (file, text) in &files {
        let (code, tests) = counted(file, text);
        let entry = crates.entry(crate_of(file)).or_default();
        (entry.code, entry.tests) = (entry.code + code, entry.tests + tests);
        entry.longest = entry.longest.clone().max((code + tests, file.clone()));
    }
    println!("{:<16} {:>7} {:>7}  longest file", "crate", "code", "tests");
    for (name, Crate { code, tests, longest: (most, file) }) in &crates {
        println!("{name:<16} {code:>7} {tests:>7}  {most} {file}");
    }
    let sum = |of: fn(&Crate) -> usize| crates.values().map(of).sum::<usize>();
    println!("{:<16} {:>7} {:>7}", "all", sum(|c| c.code), sum(|c| c.tests));
    let broken = broken(&files);
    broken.iter().for_each(|line| println!("{line}"));
    if broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Every source file that git knows or would take, with its text.
fn sources() -> Result<Vec<(String, String)>, String> {
    let mut git = Command::new("git");
    git.args(["ls-files", "--cached", "--others", "--exclude-standard", "*.rs"]).current_dir(root());
    let list = git.output().map_err(|error| format!("git: {error}"))?;
    if !list.status.success() {
        return Err(String::from_utf8_lossy(&list.stderr).trim().to_owned());
    }
    let names: BTreeSet<String> = String::from_utf8_lossy(&list.stdout).lines().map(str::to_owned).collect();
    let there = names.into_iter().filter(|name| root().join(name).is_file());
    let read = |name: String| {
        let text = std::fs::read_to_string(root().join(&name)).map_err(|error| format!("{name}: {error}"))?;
        Ok((name, text))
    };
    there.map(read).collect()
}

/// The nearest folder above a file that has a manifest.
fn crate_of(file: &str) -> String {
    let above = Path::new(file).ancestors().skip(1);
    let found = above.into_iter().find(|folder| root().join(folder).join("Cargo.toml").is_file());
    found.map(|folder| folder.display().to_string()).filter(|name| !name.is_empty()).unwrap_or_else(|| ".".into())
}

/// Lines of code and of tests.
fn counted(file: &str, text: &str) -> (usize, usize) {
    let all = text.lines().count();
    if file.split('/').any(|part| part == "tests") {
        return (0, all);
    }
    let code = text.lines().take_while(|line| line.trim() != "#[cfg(test)]").count();
    (code, all - code)
}

/// What breaks a rule, a line each.
fn broken(files: &[(String, String)]) -> Vec<String> {
    let mut broken = vec![];
    let allowed = |file: &str| EXCEPTIONS.iter().any(|(name, _)| *name == file);
    for (file, text) in files {
        let (count, most) = (text.lines().count(), limit(file));
        if count > most {
            broken.push(format!("{file}: {count} lines, at most {most}: split it by idea"));
        }
        let found = kept_apart(text);
        match found.first() {
            Some((line, word)) if !file.starts_with("crates/cpu/") && !allowed(file) => {
                broken.push(format!("{file}:{line}: `{word}` outside crates/cpu: move it there"));
            }
            None if allowed(file) => broken.push(format!("{file}: no exception any more: take it off the list")),
            _ => {}
        }
    }
    let gone = EXCEPTIONS.iter().filter(|(name, _)| files.iter().all(|(file, _)| file != name));
    broken.extend(gone.map(|(name, _)| format!("{name}: not there any more: take it off the list of exceptions")));
    broken
}

/// Where code, not comments nor strings, has a word of [`KEPT_APART`]: lines from 1.
fn kept_apart(text: &str) -> Vec<(usize, &'static str)> {
    let whole = |c: char| c.is_alphanumeric() || c == '_';
    let has = |line: &str, word: &str| {
        let mut places = line.match_indices(word);
        places.any(|(at, _)| !line[..at].ends_with(whole) && !line[at + word.len()..].starts_with(whole))
    };
    let code = without_prose(text);
    let on = |(i, line): (usize, &str)| {
        let words = KEPT_APART.into_iter().filter(|word| has(line, word));
        words.map(|word| (i + 1, word)).collect::<Vec<_>>()
    };
    code.lines().enumerate().flat_map(on).collect()
}

/// The text without what comments, strings and characters say; line ends stay.
fn without_prose(text: &str) -> String {
    let (mut out, mut rest) = (String::new(), text);
    while let Some(first) = rest.chars().next() {
        let raw = rest.strip_prefix('r').map(|r| r.len() - r.trim_start_matches('#').len());
        let raw = raw.filter(|hashes| rest[1 + hashes..].starts_with('"') && !out.ends_with(char::is_alphanumeric));
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(hashes) = raw {
            let (start, end) = (hashes + 2, format!("\"{}", "#".repeat(hashes)));
            rest[start..].find(&end).map_or(rest.len(), |at| start + at + end.len())
        } else if first == '"' {
            quoted(rest, '"')
        } else if rest.starts_with("'\\") || rest.chars().nth(2) == Some('\'') && first == '\'' {
            quoted(rest, '\'')
        } else {
            out.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        };
        out.extend(rest[..length].chars().filter(|c| *c == '\n'));
        rest = &rest[length..];
    }
    out
}

/// The length of a quotation from its first mark to its last.
fn quoted(text: &str, mark: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == mark => return at + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_count_in_code_only() {
        let text = "// unsafe\nlet a = \"unsafe \\\" unsafe\";\nlet q = '\"'; /* std::arch */ unsafe { f::<'a>() }\n\
                    #[allow(unsafe_code)]\nlet r = r#\"a \" unsafe\"#;\nuse core::arch::x86_64 as x;\n";
        assert_eq!(kept_apart(text), [(3, "unsafe"), (6, "core::arch")]);
    }

    #[test]
    fn tests_of_a_file_begin_at_their_module() {
        assert_eq!(counted("crates/a/src/lib.rs", "fn f() {}\n\n#[cfg(test)]\nmod tests {\n}\n"), (2, 3));
        assert_eq!(counted("crates/a/tests/f.rs", "fn f() {}\n"), (0, 1));
    }

    #[test]
    fn long_files_and_words_elsewhere_are_named_and_stale_exceptions_too() {
        let exceptions = EXCEPTIONS.iter().map(|(file, _)| ((*file).to_owned(), "unsafe {}\n".to_owned()));
        let mut files: Vec<(String, String)> = exceptions.collect();
        assert_eq!(broken(&files), <[&str; 0]>::default());
        files.push(("crates/lab/src/long.rs".into(), "\n".repeat(301)));
        files.push(("crates/model/src/long.rs".into(), "\n".repeat(400)));
        files.push(("crates/model/src/bold.rs".into(), "\nunsafe {}\n".into()));
        files.push(("crates/cpu/src/bold.rs".into(), "unsafe {}\n".into()));
        files[0].1.clear();
        files.remove(1);
        let found = broken(&files);
        let begins: Vec<&str> = found.iter().filter_map(|line| line.split(": ").next()).collect();
        let expected = [EXCEPTIONS[0].0, "crates/lab/src/long.rs", "crates/model/src/bold.rs:2", EXCEPTIONS[1].0];
        assert_eq!(begins, expected);
    }
}
