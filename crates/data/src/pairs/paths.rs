//! Lists of files as they are written for webdataset: `shards/{00000..00012}.tar`, `{train,val}.parquet`.
//!
//! Braces mean what they mean in bash: a range of whole numbers, padded with zeros if a bound is, or alternatives between commas.

use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Most files that a pattern may stand for.
const MOST: usize = 1_000_000;

/// One path or several, each of which may have braces.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Paths {
    /// `"shards/{00000..00012}.tar"`
    One(String),
    /// `["a.tar", "b.tar"]`
    Several(Vec<String>),
}

impl Paths {
    /// The files that they stand for, in the order in which they are written; each is there.
    ///
    /// # Errors
    /// If braces are not understood, a list is empty, or a file is not there: how many are not, and the first of them.
    pub fn files(&self) -> Result<Vec<PathBuf>> {
        let patterns = match self {
            Self::One(pattern) => std::slice::from_ref(pattern),
            Self::Several(patterns) => patterns,
        };
        if patterns.is_empty() {
            return Err(Error::setting("data", "expected the path of a file, found an empty list"));
        }
        let mut files = vec![];
        for pattern in patterns {
            let meant = expand(pattern).map_err(|problem| Error::content(Path::new(pattern), problem))?;
            let missing: Vec<&PathBuf> = meant.iter().filter(|path| !path.is_file()).collect();
            match missing.first() {
                None => files.extend(meant),
                Some(_) if meant.len() == 1 => return Err(Error::content(&meant[0], "no such file")),
                Some(first) => {
                    let count = match missing.len() == meant.len() {
                        true => format!("matches no file: none of the {} that it stands for is there", meant.len()),
                        false => {
                            format!("{} of the {} files that it stands for are not there", missing.len(), meant.len())
                        }
                    };
                    let text = format!("{count}; the first is {}", first.display());
                    return Err(Error::content(Path::new(pattern), text));
                }
            }
        }
        Ok(files)
    }
}

/// The paths that a pattern stands for, whether they are there or not. One that is there as it is written stands for itself.
///
/// ```
/// use simseg_data::pairs::paths::expand;
/// let names = |pattern| expand(pattern).unwrap().iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(" ");
/// assert_eq!(names("s/{08..10}.tar"), "s/08.tar s/09.tar s/10.tar");
/// assert_eq!(names("{a,b}-{0..1}"), "a-0 a-1 b-0 b-1");
/// ```
///
/// # Errors
/// If a brace is not closed, a range is none, or it stands for more than a million files.
pub fn expand(pattern: &str) -> std::result::Result<Vec<PathBuf>, String> {
    if Path::new(pattern).exists() {
        return Ok(vec![pattern.into()]);
    }
    let mut paths = vec![String::new()];
    let mut rest = pattern;
    while let Some((before, after)) = rest.split_once('{') {
        let (inside, after) = after.split_once('}').ok_or("expected `}` after `{`")?;
        let choices = choices(inside)?;
        if paths.len().saturating_mul(choices.len()) > MOST {
            return Err(format!("stands for more than {MOST} files"));
        }
        let longer = |path: &String| choices.iter().map(|choice| format!("{path}{before}{choice}")).collect::<Vec<_>>();
        paths = paths.iter().flat_map(longer).collect();
        rest = after;
    }
    Ok(paths.into_iter().map(|path| PathBuf::from(path + rest)).collect())
}

/// What stands between braces, written out.
fn choices(inside: &str) -> std::result::Result<Vec<String>, String> {
    let Some((first, last)) = inside.split_once("..") else {
        return Ok(inside.split(',').map(str::to_owned).collect());
    };
    let number = |text: &str| match text.bytes().all(|byte| byte.is_ascii_digit()) {
        true => text.parse::<u64>().ok(),
        false => None,
    };
    match (number(first), number(last)) {
        (Some(from), Some(to)) if from <= to && to - from < MOST as u64 => {
            let padded = [first, last].iter().any(|text| text.len() > 1 && text.starts_with('0'));
            let width = if padded { first.len().max(last.len()) } else { 0 };
            Ok((from..=to).map(|number| format!("{number:0width$}")).collect())
        }
        _ => Err(format!("expected a range such as {{00000..00012}}, found `{{{inside}}}`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_that_makes_no_sense_or_stands_for_too_much_is_an_error() {
        for (pattern, needle) in [
            ("{0..9", "`}`"),
            ("{9..0}", "{9..0}"),
            ("{a..c}", "{a..c}"),
            ("{..}", "{..}"),
            ("{-1..2}", "{-1..2}"),
            ("{0..99999999999999999999}", "a range"),
            ("{0..999}{0..999}{0..9}", "1000000"),
        ] {
            let error = expand(pattern).unwrap_err();
            assert!(error.contains(needle), "{pattern}: {error}");
        }
    }

    #[test]
    fn files_that_are_not_there_are_counted() {
        let folder = tempfile::tempdir().unwrap();
        let pattern = |text: &str| folder.path().join(text).display().to_string();
        let fails = |paths: Paths| paths.files().unwrap_err().to_string();
        std::fs::write(folder.path().join("1.tar"), "").unwrap();
        std::fs::write(folder.path().join("{odd}.tar"), "").unwrap();
        let error = fails(Paths::One(pattern("{0..3}.tar")));
        assert!(error.contains("3 of the 4 files") && error.contains("0.tar"), "{error}");
        let error = fails(Paths::One(pattern("{5..7}.tar")));
        assert!(error.contains("matches no file") && error.contains("5.tar"), "{error}");
        assert!(fails(Paths::One(pattern("5.tar"))).contains("no such file"));
        assert!(fails(Paths::Several(vec![])).contains("empty list"));
        let both = Paths::Several(vec![pattern("{1..1}.tar"), pattern("{odd}.tar")]);
        assert_eq!(both.files().unwrap(), ["1.tar", "{odd}.tar"].map(|name| folder.path().join(name)));
    }
}
