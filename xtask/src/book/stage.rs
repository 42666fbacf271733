//! Chapters out of what is written elsewhere: a page of `docs/` is included, not copied, and code comes from the file that is compiled.
//!
//! A chapter can say, on a line of its own,
//!
//! ```text
//! {{#include ../../paper.md}}                       a page of docs/: without its title, its links turned to this place
//! {{#item crates/model/src/pool/loda.rs pub fn top_k_mean}}   an item of a source file, from that line to its end, with where it stands
//! ```
//!
//! and anywhere `{{#line crates/model/src/pool/loda.rs pub fn top_k_mean}}`, a link that names the line. What is named has to be there
//! once. Other includes are mdBook's.

use crate::root;
use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

/// Where chapters are, from the repository's root.
const CHAPTERS: &str = "docs/book/src";

/// Writes all that mdBook needs into a folder, or says what is missing.
pub fn staged(folder: &Path) -> Result<(), Vec<String>> {
    let failed = |path: &Path, error: std::io::Error| vec![format!("{}: {error}", path.display())];
    let _ = std::fs::remove_dir_all(folder);
    let source = root().join(CHAPTERS);
    std::fs::create_dir_all(folder.join("src/output")).map_err(|error| failed(folder, error))?;
    let copy = |from: PathBuf, to: PathBuf| std::fs::copy(&from, &to).map_err(|error| failed(&from, error)).map(|_| ());
    for name in ["book.toml", "book.css"] {
        copy(root().join("docs/book").join(name), folder.join(name))?;
    }
    let listed = |folder: &Path| -> Vec<PathBuf> {
        let mut files: Vec<_> =
            std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
        files.sort();
        files
    };
    let named = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let outputs: Vec<String> = listed(&source.join("output")).iter().map(|path| named(path)).collect();
    for name in &outputs {
        copy(source.join("output").join(name), folder.join("src/output").join(name))?;
    }
    let mut chapters: BTreeMap<String, String> = BTreeMap::new();
    for path in listed(&source).into_iter().filter(|path| path.is_file()) {
        chapters.insert(named(&path), std::fs::read_to_string(&path).map_err(|error| failed(&path, error))?);
    }
    let mut problems = vec![];
    let pages = included(&chapters);
    let list = chapters.get("SUMMARY.md").cloned().unwrap_or_default();
    for (name, text) in &chapters {
        if name != "SUMMARY.md" && !list.contains(&format!("({name})")) {
            problems.push(format!("{name}: not in SUMMARY.md"));
        }
        let text = written(name, text, &pages, &mut problems);
        let to = folder.join("src").join(name);
        std::fs::write(&to, text).map_err(|error| failed(&to, error))?;
    }
    let (glossary, taps) = (chapters.get("notation.md").cloned().unwrap_or_default(), source.join("output/taps.txt"));
    let taps = std::fs::read_to_string(taps).unwrap_or_default();
    let missing = taps
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .filter(|tap| !glossary.contains(&format!("| `{tap}` |")));
    problems.extend(missing.map(|tap| format!("notation.md: `{tap}` is shown to taps, and is not in the glossary")));
    let shown = |name: &&String| chapters.values().any(|text| text.contains(&format!("output/{name}")));
    problems
        .extend(outputs.iter().filter(|name| !shown(name)).map(|name| format!("output/{name}: no chapter shows it")));
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

/// Which chapter a page of `docs/` stands in, and a chapter itself: by path from the root.
fn included(chapters: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut pages = BTreeMap::new();
    for (name, text) in chapters {
        pages.insert(format!("{CHAPTERS}/{name}"), name.clone());
        for path in text.lines().filter_map(page_of) {
            pages.insert(plain(CHAPTERS, path), name.clone());
        }
    }
    pages
}

/// The page that a line includes, if it includes one.
fn page_of(line: &str) -> Option<&str> {
    line.strip_prefix("{{#include ")?.strip_suffix("}}").filter(|path| path.ends_with(".md"))
}

/// A chapter as mdBook gets it.
fn written(name: &str, text: &str, pages: &BTreeMap<String, String>, problems: &mut Vec<String>) -> String {
    let mut out = String::new();
    let mut fenced = false;
    for line in text.lines() {
        let directive =
            |word: &str| line.strip_prefix(&format!("{{{{#{word} ")).and_then(|rest| rest.strip_suffix("}}"));
        fenced ^= line.trim_start().starts_with("```");
        if let Some(path) = page_of(line) {
            let path = plain(CHAPTERS, path);
            match std::fs::read_to_string(root().join(&path)) {
                Ok(page) => out += &turned(&path, &page, pages, problems),
                Err(error) => problems.push(format!("{name}: {path}: {error}")),
            }
        } else if let Some(what) = directive("item") {
            match item(what) {
                Ok(code) => out += &code,
                Err(why) => problems.push(format!("{name}: {why}")),
            }
        } else if fenced {
            out += line;
        } else {
            out += &linked(&format!("{CHAPTERS}/{name}"), &with_lines(name, line, problems), pages, problems);
        }
        out.push('\n');
    }
    out
}

/// A page of `docs/` without its title, links leading from the book.
fn turned(path: &str, page: &str, pages: &BTreeMap<String, String>, problems: &mut Vec<String>) -> String {
    let (mut out, mut fenced, mut title) = (String::new(), false, true);
    for line in page.lines() {
        fenced ^= line.trim_start().starts_with("```");
        if title && line.starts_with("# ") {
            title = false;
            continue;
        }
        out += &if fenced { line.to_owned() } else { linked(path, line, pages, problems) };
        out.push('\n');
    }
    out
}

/// A line whose relative links lead from `target/book` to where they led from `path`.
fn linked(path: &str, line: &str, pages: &BTreeMap<String, String>, problems: &mut Vec<String>) -> String {
    let folder = Path::new(path).parent().unwrap_or(Path::new("")).to_string_lossy().into_owned();
    let mut parts = line.split("](");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (target, rest) = part.split_once(')').unwrap_or((part, ""));
        out += "](";
        out += &leads(&folder, target, pages).unwrap_or_else(|why| {
            problems.push(format!("{path}: {why}"));
            target.to_owned()
        });
        out.push(')');
        out += rest;
    }
    out
}

/// Where a link of a file in `folder` leads from the book.
fn leads(folder: &str, target: &str, pages: &BTreeMap<String, String>) -> Result<String, String> {
    if target.contains("://") || target.starts_with('#') || target.starts_with("figures/") {
        return Ok(target.to_owned());
    }
    let (file, place) =
        target.split_once('#').map_or((target, String::new()), |(file, place)| (file, format!("#{place}")));
    let path = plain(folder, file);
    match pages.get(&path) {
        Some(chapter) => Ok(format!("{chapter}{place}")),
        None if !root().join(&path).exists() => Err(format!("{target}: no such file")),
        // mdBook takes every `.md` for one of its chapters, unless it can't see it.
        None if path.ends_with(".md") => Ok(format!("../../{}%2Emd{place}", path.trim_end_matches(".md"))),
        None => Ok(format!("../../{path}{place}")),
    }
}

/// A path from a folder, without `..`, from the root.
fn plain(folder: &str, path: &str) -> String {
    let mut parts: Vec<String> = vec![];
    for part in Path::new(folder).join(path).components() {
        match part {
            Component::ParentDir => drop(parts.pop()),
            Component::CurDir => {}
            part => parts.push(part.as_os_str().to_string_lossy().into_owned()),
        }
    }
    parts.join("/")
}

/// `{{#line FILE TEXT}}` becomes a link that names the line.
fn with_lines(name: &str, line: &str, problems: &mut Vec<String>) -> String {
    let mut parts = line.split("{{#line ");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (what, rest) = part.split_once("}}").unwrap_or((part, ""));
        match found(what) {
            Ok((path, number, _)) => out += &format!("[`{}:{number}`](../../../{path})", short(path)),
            Err(why) => problems.push(format!("{name}: {why}")),
        }
        out += rest;
    }
    out
}

/// A file as one says it: the last two parts of its path, without `src`.
fn short(path: &str) -> String {
    let parts: Vec<&str> = path.split('/').filter(|part| *part != "src").collect();
    parts[parts.len().saturating_sub(2)..].join("/")
}

/// The file, the line (from 1) and the text of what is named.
fn found(what: &str) -> Result<(&str, usize, String), String> {
    let (path, needle) = what.split_once(' ').ok_or_else(|| format!("`{what}`: expected a file and a text in it"))?;
    let text = std::fs::read_to_string(root().join(path)).map_err(|error| format!("{path}: {error}"))?;
    let mut places = text.lines().enumerate().filter(|(_, line)| line.contains(needle));
    match (places.next(), places.next()) {
        (Some((at, _)), None) => Ok((path, at + 1, text)),
        (None, _) => Err(format!("{path}: no `{needle}`")),
        _ => Err(format!("{path}: `{needle}` stands there more than once")),
    }
}

/// An item: from the line that is named to the line that closes it, or that line alone if it ends there.
fn item(what: &str) -> Result<String, String> {
    let (path, number, text) = found(what)?;
    let lines: Vec<&str> = text.lines().skip(number - 1).collect();
    let first = lines.first().copied().unwrap_or_default();
    let indent = first.len() - first.trim_start().len();
    let closes = |line: &&str| {
        ["}", "};", ");", "];"].iter().any(|end| line.get(indent..) == Some(*end) && line[..indent].trim().is_empty())
    };
    let length = if first.ends_with(';') { 1 } else { lines.iter().position(closes).map_or(0, |at| at + 1) };
    if length == 0 {
        return Err(format!("{path}:{number}: no end"));
    }
    let body: Vec<&str> = lines[..length].iter().map(|line| line.get(indent..).unwrap_or("")).collect();
    Ok(format!("```rust,noplayground\n{}\n```\n\n*[`{path}:{number}`](../../{path})*\n", body.join("\n")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_from_the_book_to_chapters_and_to_files() {
        let pages = BTreeMap::from([("docs/import.md".to_owned(), "importing.md".to_owned())]);
        assert_eq!(leads("docs", "import.md#heads", &pages).as_deref(), Ok("importing.md#heads"));
        assert_eq!(leads("docs", "../xtask/src/main.rs", &pages).as_deref(), Ok("../../xtask/src/main.rs"));
        assert_eq!(leads("docs", "../README.md", &pages).as_deref(), Ok("../../README%2Emd"));
        assert!(leads("docs", "../nowhere.rs", &pages).is_err());
        assert_eq!(leads("docs", "https://x.org/a.md", &pages).as_deref(), Ok("https://x.org/a.md"));
    }

    #[test]
    fn an_item_ends_where_it_closes_and_what_is_not_there_is_an_error() {
        let code = item("xtask/src/totals.rs pub fn line").unwrap();
        assert!(code.starts_with("```rust,noplayground\npub fn line") && code.contains("\n}\n```"), "{code}");
        assert!(item("xtask/src/totals.rs pub fn nothing").is_err());
        assert!(found("xtask/src/nowhere.rs fn").is_err());
    }
}
