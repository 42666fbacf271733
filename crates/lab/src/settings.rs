//! Reading TOML so that a mistake is met with help: the file, the key, and the nearest key that exists.

use crate::failure::{Failure, Outcome};
use serde::de::DeserializeOwned;
use std::path::Path;
use toml::{Table, Value};

/// A file's text, at most a megabyte of it: nobody writes larger settings by hand.
pub fn read_text(path: &Path) -> Outcome<String> {
    const LIMIT: u64 = 1 << 20;
    let size = std::fs::metadata(path).map_err(|error| Failure::file(path, error))?.len();
    if size > LIMIT {
        return Err(Failure::file(path, format!("{size} bytes; expected a text file of at most {LIMIT}")));
    }
    std::fs::read_to_string(path).map_err(|error| Failure::file(path, error))
}

/// Parses TOML; syntax errors name the line.
pub fn parse(path: &Path, text: &str) -> Outcome<Table> {
    text.parse::<Table>().map_err(|error| {
        let line = error.span().map_or(1, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
        Failure::file(path, format!("line {line}: {}", error.message()))
    })
}

/// A table as settings; errors name the key, and the nearest one if it is unknown.
pub fn settings<S: DeserializeOwned>(path: &Path, section: &str, table: Table) -> Outcome<S> {
    S::deserialize(Value::Table(table)).map_err(|error| {
        let message = error.to_string();
        let inside = section_of(&message);
        let at = [section, &inside].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(".");
        let at = if at.is_empty() { String::new() } else { format!("[{at}] ") };
        Failure::file(path, format!("{at}{}", explain(&message)))
    })
}

/// toml's errors end with a line ``in `a.b` `` that names where they happened.
fn section_of(message: &str) -> String {
    let line = message.lines().find_map(|line| line.trim().strip_prefix("in `"));
    line.map(|rest| rest.trim_end_matches('`').to_owned()).unwrap_or_default()
}

/// serde's message in one line, with a suggestion for an unknown key.
pub fn explain(message: &str) -> String {
    let first = message.lines().find(|line| !line.trim().is_empty()).unwrap_or(message).trim();
    let quoted: Vec<&str> = first.split('`').skip(1).step_by(2).collect();
    match quoted.split_first() {
        Some((unknown, known)) if first.starts_with("unknown") && !known.is_empty() => {
            let nearest = nearest(unknown, known.iter().copied());
            let hint = nearest.map(|key| format!("; did you mean `{key}`?")).unwrap_or_default();
            let what = if first.starts_with("unknown variant") { "unknown value" } else { "unknown key" };
            format!("{what} `{unknown}`{hint} (known: {})", known.join(", "))
        }
        _ => first.to_owned(),
    }
}

/// The known word nearest to an unknown one, if any is near.
pub fn nearest<'a>(unknown: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let distance = |key: &str| strsim::damerau_levenshtein(unknown, key);
    let best = known.into_iter().min_by_key(|key| distance(key))?;
    (distance(best) <= best.len().max(3) / 2).then_some(best)
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
pub fn set(table: &mut Table, assignment: &str) -> Outcome {
    let bad = |why: &str| Failure::input(format!("--set {assignment}"), why);
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
