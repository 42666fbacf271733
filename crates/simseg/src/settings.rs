//! Reading TOML so that a mistake is met with help: the file, the key, and the nearest key that exists.

use crate::{Error, Result};
use serde::de::DeserializeOwned;
pub use simseg_registry::{explain, nearest};
use std::path::Path;
use toml::{Table, Value};

/// A file's text, at most a megabyte of it: nobody writes larger settings by hand.
///
/// # Errors
/// If it cannot be read, is larger, or is not UTF-8.
#[cfg(feature = "fs")]
pub fn read_text(path: &Path) -> Result<String> {
    const LIMIT: u64 = 1 << 20;
    Ok(simseg_data::bounded::text(path, LIMIT, "a text file")?)
}

/// Parses TOML; `path` is for messages.
///
/// # Errors
/// Syntax errors, with their line.
pub fn parse(path: &Path, text: &str) -> Result<Table> {
    text.parse::<Table>().map_err(|error| {
        let line = error.span().map_or(1, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
        Error::file(path, format!("line {line}: {}", error.message()))
    })
}

/// A table as settings.
///
/// # Errors
/// One line that names the key, and the nearest one if it is unknown.
pub fn settings<S: DeserializeOwned>(path: &Path, section: &str, table: Table) -> Result<S> {
    S::deserialize(Value::Table(table)).map_err(|error| {
        let message = error.to_string();
        let inside = section_of(&message);
        let at = [section, &inside].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(".");
        let at = if at.is_empty() { String::new() } else { format!("[{at}] ") };
        Error::file(path, format!("{at}{}", explain(&message)))
    })
}

/// toml's errors end with a line ``in `a.b` `` that names where they happened.
fn section_of(message: &str) -> String {
    let line = message.lines().find_map(|line| line.trim().strip_prefix("in `"));
    line.map(|rest| rest.trim_end_matches('`').to_owned()).unwrap_or_default()
}

/// Lays `over` on top of `base`: tables are merged key by key, everything else is replaced.
///
/// A table that changes `kind` replaces the old one whole: the keys of one kind mean nothing to another.
pub fn merge(base: &mut Table, over: &Table) {
    for (key, value) in over {
        match (base.get_mut(key), value) {
            (Some(Value::Table(old)), Value::Table(new))
                if new.get("kind").is_none_or(|kind| old.get("kind") == Some(kind)) =>
            {
                merge(old, new);
            }
            _ => {
                base.insert(key.clone(), value.clone());
            }
        }
    }
}

/// Applies `--set a.b.c=value`; the value is TOML, or else a plain word.
///
/// # Errors
/// If it is no assignment.
pub fn set(table: &mut Table, assignment: &str) -> Result<()> {
    let bad = |why: &str| Error::input(format!("--set {assignment}"), why);
    let (path, value) = assignment.split_once('=').ok_or_else(|| bad("expected key=value"))?;
    let value = value.trim();
    let parsed = format!("x = {value}").parse::<Table>().ok().and_then(|mut table| table.remove("x"));
    let value = parsed.unwrap_or_else(|| Value::String(value.to_owned()));
    let keys: Vec<&str> = path.trim().split('.').collect();
    if keys.iter().any(|key| key.is_empty()) {
        return Err(bad("expected key=value"));
    }
    let mut over = Table::new();
    let (last, outer) = keys.split_last().expect("split yields at least one");
    over.insert((*last).to_owned(), value);
    for key in outer.iter().rev() {
        over = Table::from_iter([((*key).to_owned(), Value::Table(over))]);
    }
    merge(table, &over);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        #[allow(dead_code, reason = "only read by serde")]
        training: Inner,
    }
    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        #[allow(dead_code, reason = "only read by serde")]
        steps: usize,
    }

    fn read(text: &str) -> String {
        let path = Path::new("a.toml");
        let table = parse(path, text);
        table.and_then(|table| settings::<Outer>(path, "", table)).unwrap_err().to_string()
    }

    #[test]
    fn a_misspelt_key_is_answered_with_the_nearest() {
        let error = read("[training]\nstesp = 3\n");
        assert!(error.contains("a.toml") && error.contains("`stesp`; did you mean `steps`?"), "{error}");
        assert!(!error.contains('\n'));
    }

    #[test]
    fn a_wrong_type_names_the_key() {
        let error = read("[training]\nsteps = \"many\"\n");
        assert!(error.contains("training.steps") && error.contains("expected usize"), "{error}");
    }

    #[test]
    fn a_syntax_error_names_the_line() {
        let error = read("[training]\nsteps = = 3\n");
        assert!(error.contains("line 2"), "{error}");
    }

    #[test]
    fn set_reaches_into_tables_and_a_new_kind_starts_afresh() {
        let mut table: Table = "a = { b = 1, c = 2 }\nd = { kind = \"x\", y = 1 }".parse().unwrap();
        set(&mut table, "a.b=3.5").unwrap();
        set(&mut table, "a.w=word").unwrap();
        merge(&mut table, &"d = { kind = \"z\" }".parse().unwrap());
        let wanted: Table = "a = { b = 3.5, c = 2, w = \"word\" }\nd = { kind = \"z\" }".parse().unwrap();
        assert_eq!(table, wanted);
        assert!(set(&mut table, "nothing").is_err());
    }
}
