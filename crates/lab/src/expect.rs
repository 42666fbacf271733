//! What an experiment expects of its outcome, as lines that a command checks: `loda.miou >= 2 * dense.miou`.

use crate::settings::nearest;
use std::fmt;

/// `variant.metric >= bound`, for every seed.
#[derive(Debug, Clone, PartialEq)]
pub struct Expectation {
    line: String,
    left: Metric,
    factor: f64,
    right: Option<Metric>,
}

#[derive(Debug, Clone, PartialEq)]
struct Metric {
    variant: String,
    metric: String,
}

impl Metric {
    fn parse(text: &str, variants: &[&str]) -> Result<Self, String> {
        let (variant, metric) =
            text.trim().split_once('.').ok_or_else(|| format!("expected `variant.metric`, found `{text}`"))?;
        if !variants.contains(&variant) {
            let hint = nearest(variant, variants.iter().copied()).map(|name| format!("; did you mean `{name}`?"));
            return Err(format!("unknown variant `{variant}`{}", hint.unwrap_or_default()));
        }
        Ok(Self { variant: variant.to_owned(), metric: metric.to_owned() })
    }
}

impl Expectation {
    /// Reads `variant.metric >= number` or `variant.metric >= number * variant.metric`.
    ///
    /// # Errors
    /// What was expected.
    pub fn parse(line: &str, variants: &[&str]) -> Result<Self, String> {
        let form = || format!("expected `variant.metric >= number [* variant.metric]`, found `{line}`");
        let (left, right) = line.split_once(">=").ok_or_else(form)?;
        let (factor, right) = match right.split_once('*') {
            Some((factor, metric)) => (factor, Some(Metric::parse(metric, variants)?)),
            None => (right, None),
        };
        let factor = factor.trim().parse().map_err(|_| form())?;
        Ok(Self { line: line.to_owned(), left: Metric::parse(left, variants)?, factor, right })
    }

    /// Checks it: `value(variant, metric)` looks a figure up. `None` if a figure is not there.
    pub fn holds(&self, value: impl Fn(&str, &str) -> Option<f64>) -> Option<bool> {
        let look = |metric: &Metric| value(&metric.variant, &metric.metric);
        let bound = match &self.right {
            Some(metric) => self.factor * look(metric)?,
            None => self.factor,
        };
        Some(look(&self.left)? >= bound)
    }
}

impl fmt::Display for Expectation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expectation_compares_two_figures() {
        let rule = Expectation::parse("a.x >= 2 * b.x", &["a", "b"]).unwrap();
        let value = |a: f64| move |variant: &str, _: &str| Some(if variant == "a" { a } else { 0.2 });
        assert_eq!(rule.holds(value(0.41)), Some(true));
        assert_eq!(rule.holds(value(0.39)), Some(false));
        assert_eq!(rule.holds(|_, _| None), None);
        assert!(Expectation::parse("a.x > 2", &["a"]).is_err());
        assert!(Expectation::parse("a.x >= two", &["a"]).is_err());
    }
}
