//! Help with a misspelt word: the known one that it was probably meant to be.

/// The known word nearest to an unknown one (Damerau–Levenshtein), if any is near.
///
/// ```
/// assert_eq!(simseg_registry::nearest("lodda", ["dense", "loda"]), Some("loda"));
/// assert_eq!(simseg_registry::nearest("zebra", ["dense", "loda"]), None);
/// ```
pub fn nearest<'a>(unknown: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let distance = |key: &str| strsim::damerau_levenshtein(unknown, key);
    let best = known.into_iter().min_by_key(|key| distance(key))?;
    (distance(best) <= best.len().max(3) / 2).then_some(best)
}

/// ``unknown `x`; did you mean `y`? (known: …)``
pub(crate) fn unknown(word: &str, known: &[&str]) -> String {
    let hint = nearest(word, known.iter().copied()).map(|near| format!("; did you mean `{near}`?"));
    format!("unknown `{word}`{} (known: {})", hint.unwrap_or_default(), known.join(", "))
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
