//! What an experiment expects of its outcome, as lines that a command checks: `loda.miou >= 2 * dense.miou`.
//!
//! ```text
//! expectation = sum (">=" | "<=" | ">" | "<" | "==") sum ["@95%"]
//! sum         = term { ("+" | "-") term }
//! term        = [number "*"] figure | number
//! figure      = variant "." name | "mean(" variant "." name ")"
//! ```
//!
//! An expectation holds for every seed; one whose figures are all means over seeds is checked once, and so is one with `@95%`, which
//! is about an interval ([`surely`]). Beside the variants stand the rows that every experiment has ([`BUILT_IN`]).

pub mod surely;

use super::built_in::BuiltIn;
use crate::failure::{Failure, Outcome};
use crate::statistics::Interval;
use simseg::settings::nearest;
use std::fmt;

/// Rows that are no variants, by name.
pub const BUILT_IN: [&str; 4] =
    [BuiltIn::Nothing.name(), BuiltIn::Ceiling.name(), BuiltIn::TrueClasses.name(), BuiltIn::BestSubset.name()];

/// One line that must hold.
#[derive(Debug, Clone, PartialEq)]
pub struct Expectation {
    line: String,
    left: Vec<Term>,
    how: Comparison,
    right: Vec<Term>,
    /// Whether an interval must lie on that side, not only a figure.
    sure: bool,
}

/// `factor · figure`, or `factor` alone.
#[derive(Debug, Clone, PartialEq)]
struct Term {
    factor: f64,
    figure: Option<Figure>,
}

/// A figure of a variant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Figure {
    /// The variant.
    pub variant: String,
    /// Its name, as in `results.json`.
    pub name: String,
    /// Whether its mean over all seeds is meant.
    pub mean: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    AtLeast,
    AtMost,
    Above,
    Below,
    Equal,
}

/// Longer signs first: `>` is the start of `>=`.
const COMPARISONS: [(&str, Comparison); 5] = [
    (">=", Comparison::AtLeast),
    ("<=", Comparison::AtMost),
    ("==", Comparison::Equal),
    (">", Comparison::Above),
    ("<", Comparison::Below),
];

impl Comparison {
    fn holds(self, left: f64, right: f64) -> bool {
        match self {
            Self::AtLeast => left >= right,
            Self::AtMost => left <= right,
            Self::Above => left > right,
            Self::Below => left < right,
            Self::Equal => left == right,
        }
    }

    /// Whether all of an interval of left − right lies on its side of 0.
    fn is_beside(self, (low, high): Interval) -> bool {
        self.holds(low, 0.0) && self.holds(high, 0.0)
    }
}

/// What figures there are: names of a variant's figures, by variant.
pub type Known = [(String, Vec<String>)];

impl Expectation {
    /// Reads a line.
    ///
    /// # Errors
    /// What was expected, with the nearest variant or figure for one that is unknown.
    pub fn parse(line: &str, known: &Known) -> Outcome<Self> {
        let (text, sure) = certainty(line)?;
        let sign = COMPARISONS.iter().find_map(|&(sign, how)| Some((text.split_once(sign)?, how)));
        let Some(((left, right), how)) = sign else {
            let form =
                "expected `figure >= [number *] figure` (or <=, >, <, ==), such as `loda.miou >= 2 * dense.miou`";
            return Err(Failure::input("expect", format!("{form}, found `{line}`")));
        };
        if sure && how == Comparison::Equal {
            return Err(Failure::input("expect", format!("expected >, >=, < or <= before `@95%`, found `{line}`")));
        }
        let (left, right) = (sum(left, known)?, sum(right, known)?);
        let parsed = Self { line: line.to_owned(), left, how, right, sure };
        if sure && parsed.figures().next().is_none() {
            return Err(Failure::input("expect", format!("expected a figure before `@95%`, found `{line}`")));
        }
        Ok(parsed)
    }

    /// All figures that it looks at.
    pub fn figures(&self) -> impl Iterator<Item = &Figure> {
        self.left.iter().chain(&self.right).filter_map(|term| term.figure.as_ref())
    }

    /// Whether it is about all seeds together, and so checked once.
    pub fn is_over_seeds(&self) -> bool {
        self.sure || self.figures().all(|figure| figure.mean)
    }

    /// Checks it, without its `@95%` if it has one: `value` looks a figure up. `None` if a figure is not there.
    pub fn holds(&self, value: impl Fn(&Figure) -> Option<f64>) -> Option<bool> {
        let term = |term: &Term| match &term.figure {
            Some(figure) => Some(term.factor * value(figure)?),
            None => Some(term.factor),
        };
        let total = |terms: &[Term]| terms.iter().map(term).sum::<Option<f64>>();
        Some(self.how.holds(total(&self.left)?, total(&self.right)?))
    }
}

/// A line without its `@95%`, and whether it had one.
fn certainty(line: &str) -> Outcome<(&str, bool)> {
    match line.split_once('@') {
        None => Ok((line, false)),
        Some((text, level)) if level.trim() == "95%" => Ok((text, true)),
        Some((_, level)) => Err(Failure::input("expect", format!("expected `@95%`, found `@{level}`"))),
    }
}

/// The terms of one side. A `-` in a name (`image-3.miou`) is none between terms: those stand between spaces.
fn sum(text: &str, known: &Known) -> Outcome<Vec<Term>> {
    let (mut terms, mut sign) = (vec![], 1.0);
    let mut words: Vec<&str> = vec![];
    for word in text.split_whitespace().chain(["+"]) {
        match word {
            "+" | "-" => {
                terms.push(term(&words.join(" "), sign, known)?);
                sign = if word == "-" { -1.0 } else { 1.0 };
                words.clear();
            }
            _ => words.push(word),
        }
    }
    Ok(terms)
}

fn term(text: &str, sign: f64, known: &Known) -> Outcome<Term> {
    let number = |text: &str| text.trim().parse::<f64>().ok().filter(|number| number.is_finite());
    if let Some(factor) = number(text) {
        return Ok(Term { factor: sign * factor, figure: None });
    }
    let (factor, name) = match text.split_once('*') {
        Some((factor, name)) => (number(factor), name),
        None => (Some(1.0), text),
    };
    let Some(factor) = factor else {
        return Err(Failure::input("expect", format!("expected `number * figure`, found `{text}`")));
    };
    Ok(Term { factor: sign * factor, figure: Some(figure(name.trim(), known)?) })
}

fn figure(text: &str, known: &Known) -> Outcome<Figure> {
    let inner = text.strip_prefix("mean(").and_then(|rest| rest.strip_suffix(')'));
    let (mean, name) = (inner.is_some(), inner.unwrap_or(text).trim());
    // Names of variants may hold dots: the longest that fits is meant.
    let variants = known.iter().map(|(variant, _)| variant.as_str());
    let of = |variant: &&str| name.strip_prefix(*variant).is_some_and(|rest| rest.starts_with('.'));
    let longest = variants.clone().filter(of).max_by_key(|variant| variant.len());
    let Some(variant) = longest.or_else(|| BUILT_IN.into_iter().find(of)) else {
        let Some((variant, _)) = name.split_once('.') else {
            return Err(Failure::input("expect", format!("expected `variant.figure`, found `{name}`")));
        };
        return Err(Failure::input("expect", unknown("variant", variant, variants)));
    };
    // A row that is no variant may have the figures of any.
    let own = known.iter().filter(|(name, _)| name == variant || longest.is_none());
    let mut figures: Vec<&str> = own.flat_map(|(_, figures)| figures.iter().map(String::as_str)).collect();
    let mut seen = std::collections::BTreeSet::new();
    figures.retain(|figure| seen.insert(*figure));
    let figure = &name[variant.len() + 1..];
    if !figures.contains(&figure) {
        return Err(Failure::input("expect", unknown("figure", figure, figures.into_iter())));
    }
    Ok(Figure { variant: variant.to_owned(), name: figure.to_owned(), mean })
}

fn unknown<'a>(what: &str, word: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    // The name of a data set is easily left out.
    let behind = known.clone().find(|known| known.strip_suffix(word).is_some_and(|start| start.ends_with('.')));
    let hint = behind
        .or_else(|| nearest(word, known.clone()))
        .map(|near| format!("; did you mean `{near}`?"))
        .unwrap_or_default();
    format!("unknown {what} `{word}`{hint} (known: {})", known.collect::<Vec<_>>().join(", "))
}

impl fmt::Display for Expectation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Vec<(String, Vec<String>)> {
        ["a", "b", "k-0.5"].map(|name| (name.to_owned(), vec!["x".to_owned(), "y".to_owned()])).into()
    }

    /// Figures: a.x = 0.4, b.x = 0.2, the rest 1; means are larger by 1.
    fn holds(line: &str) -> Option<bool> {
        let value = |figure: &Figure| {
            let own = match (figure.variant.as_str(), figure.name.as_str()) {
                ("a", "x") => 0.4,
                ("b", "x") => 0.2,
                _ => 1.0,
            };
            Some(own + f64::from(u8::from(figure.mean)))
        };
        Expectation::parse(line, &known()).unwrap().holds(value)
    }

    #[test]
    fn an_expectation_compares_sums_of_figures() {
        for (line, truth) in [
            ("a.x >= 2 * b.x", true),
            ("a.x >= 2.1 * b.x", false),
            ("a.x <= 0.4", true),
            ("a.x < 0.4", false),
            ("a.x >= b.x", true),
            ("a.x > b.x", true),
            ("b.x == 0.2", true),
            ("a.x - b.x > 0.19", true),
            ("0.5 >= a.x + b.x", false),
            ("k-0.5.x >= 1", true),
            ("mean(a.x) >= mean(b.x)", true),
            ("mean(a.x) >= 1.5", false),
        ] {
            assert_eq!(holds(line), Some(truth), "{line}");
        }
        assert!(Expectation::parse("mean(a.x) >= 2 * mean(b.x)", &known()).unwrap().is_over_seeds());
        assert!(!Expectation::parse("mean(a.x) >= 2 * b.x", &known()).unwrap().is_over_seeds());
        assert_eq!(Expectation::parse("a.x >= 1", &known()).unwrap().holds(|_| None), None);
    }

    #[test]
    fn rows_that_every_experiment_has_may_be_named() {
        for row in BUILT_IN {
            let expectation = Expectation::parse(&format!("a.x >= {row}.y"), &known()).unwrap();
            assert_eq!(expectation.figures().last().unwrap().variant, row);
        }
    }

    #[test]
    fn mistakes_are_answered_with_the_nearest_name() {
        for (line, needle) in [
            ("a.z >= 1", "unknown figure `z`"),
            ("c.x >= 1", "unknown variant `c`; did you mean"),
            ("a.x => 1", "unknown figure `x =` (known: x, y)"),
            ("a.x >= two", "expected `variant.figure`"),
            ("a.x >= two * b.x", "expected `number * figure`"),
            ("a.x 1", "expected `figure >="),
            ("a.x > 1 @90%", "expected `@95%`, found `@90%`"),
            ("a.x == 1 @95%", "expected >, >=, < or <="),
            ("2 > 1 @95%", "expected a figure"),
            ("nothing.z >= 1", "unknown figure `z`"),
            ("a.x >= ", "expected"),
        ] {
            let error = Expectation::parse(line, &known()).unwrap_err().to_string();
            assert!(error.starts_with("expect: ") && error.contains(needle), "{line}: {error}");
        }
    }
}
