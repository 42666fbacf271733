//! `cargo xtask book`: the book, into `target/book`, to be opened offline.
//!
//! ```text
//! examples, simseg --help ──> outputs: held against docs/book/src/output/*.txt; a difference fails
//! docs/book/src/*.md ──┐
//! docs/*.md ───────────┼───> target/book-source ── mdbook ──> target/book/*.html ──> every link and anchor resolves
//! crates/**/*.rs ──────┘     (code and line numbers put in)
//! ```
//!
//! Reading order: [`outputs`] (what programs print), [`stage`] (chapters out of what is written elsewhere), [`links`] (the check).
//! `--update` writes the outputs, and the picture of the README, anew instead of comparing them. mdBook is installed into `target/tools` if
//! there is none; with `--installed`, as `cargo xtask test` calls it, only where `CI=true`: else rendering is skipped.

mod links;
mod outputs;
mod stage;

use crate::{cargo, root};
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

/// The version that the book is written for; 0.5 renders and configures otherwise.
const VERSION: &str = "0.4.52";

/// Builds and checks the book.
pub fn book(options: &[&str]) -> ExitCode {
    let in_ci = crate::in_ci();
    let (update, install) = match options {
        [] => (false, true),
        ["--installed"] => (false, in_ci),
        ["--update"] => (true, true),
        _ => return crate::usage(),
    };
    match built(update, install) {
        Ok((checks, skipped)) => {
            println!("test result: ok. {checks} passed; 0 failed; {skipped} ignored");
            ExitCode::SUCCESS
        }
        Err(problems) => {
            problems.iter().for_each(|problem| println!("book: {problem}"));
            println!("test result: FAILED. 0 passed; {} failed; 0 ignored", problems.len());
            ExitCode::FAILURE
        }
    }
}

/// What was checked and what was not, or what is wrong, a line each.
fn built(update: bool, install: bool) -> Result<(usize, usize), Vec<String>> {
    let compared = outputs::compared(update)?;
    let source = root().join("target/book-source");
    stage::staged(&source)?;
    outputs::figures(&source.join("src/figures"), update)?;
    let Some(mdbook) = mdbook(install) else {
        println!("SKIPPED the book: no mdbook {VERSION}. `cargo xtask book` installs it into target/tools");
        return if install { Err(vec!["mdbook could not be installed".into()]) } else { Ok((compared, 1)) };
    };
    let out = root().join("target/book");
    // What a chapter of yesterday left must not answer today's links.
    let _ = std::fs::remove_dir_all(&out);
    let said = Command::new(mdbook).arg("build").arg(&source).arg("--dest-dir").arg(&out).output();
    let said = said.map_err(|error| vec![format!("mdbook: {error}")])?;
    // A file that is to be included and is not there is an error in its log only.
    let log = String::from_utf8_lossy(&said.stderr);
    let complaints: Vec<String> =
        log.lines().filter(|l| l.contains("ERROR") || l.contains("WARN")).map(str::to_owned).collect();
    if !said.status.success() || !complaints.is_empty() {
        return Err(if complaints.is_empty() { vec![log.into_owned()] } else { complaints });
    }
    let links = links::checked(&out)?;
    println!("→ {} ({compared} outputs as recorded, {links} links lead somewhere)", out.join("index.html").display());
    Ok((compared + 1, 0))
}

/// mdBook, from `target/tools` or the path; installed if it may be.
fn mdbook(install: bool) -> Option<PathBuf> {
    let own = root().join("target/tools/bin").join(format!("mdbook{}", std::env::consts::EXE_SUFFIX));
    let fits = |program: &PathBuf| {
        let said = Command::new(program).arg("--version").stderr(Stdio::null()).output();
        said.is_ok_and(|said| String::from_utf8_lossy(&said.stdout).trim().starts_with("mdbook v0.4."))
    };
    let found = [own.clone(), PathBuf::from("mdbook")].into_iter().find(fits);
    if found.is_some() || !install {
        return found;
    }
    println!("installing mdbook {VERSION} into target/tools: some minutes, once");
    let what = ["install", "mdbook", "--version", VERSION, "--locked", "--no-default-features", "--features", "search"];
    let done = cargo().args(what).args(["--root", "target/tools"]).status();
    done.is_ok_and(|status| status.success()).then_some(own).filter(fits)
}
