//! One score per class, learned from captions: no label map is looked at. This is only the wish for such a rule.
//!
//! Pictures with captions that neither training nor evaluation saw are scored; a class counts as present in a picture whose caption
//! mentions it ([`Mentions`](super::Mentions)), and [`calibrate`](super::calibrate) finds the scores of a
//! [`Calibrated`](super::Calibrated) rule. That needs a model and captions: `simseg run` does it before it judges a variant, `simseg
//! calibrate --captions` for any model. Whoever is asked for classes without that says so ([`Threshold::check`]).

use super::{Scores, Selection, Threshold};
use serde::{Deserialize, Serialize};
use simseg_registry::Kinds;
use simseg_tensor::{Error, Result};
use std::num::NonZeroUsize;

/// The name of the rule in settings files.
pub const FROM_CAPTIONS: &str = "from-captions";

/// Thresholds to be learned from captions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FromCaptions {
    /// Held-out pictures, at least 1.
    #[serde(default = "thousand")]
    pub images: NonZeroUsize,
}

fn thousand() -> NonZeroUsize {
    NonZeroUsize::MIN.saturating_add(999)
}

impl Threshold for FromCaptions {
    /// Selects nothing: there is nothing yet to hold scores against.
    fn select(&self, _: Scores<'_>) -> Selection {
        Selection { threshold: f32::NAN, classes: vec![] }
    }

    /// # Errors
    /// Always: what would make a rule of it.
    fn check(&self, _: usize) -> Result<()> {
        let expected =
            "has no scores by itself; expected a recipe that `simseg calibrate --captions` or `--scenes` leaves";
        Err(Error::setting("threshold", format!("`{FROM_CAPTIONS}` {expected}")))
    }
}

/// Adds it to its family.
pub fn register(kinds: &mut Kinds<dyn Threshold>) {
    let about = "a score for each class, learned from held-out captions (simseg run)";
    kinds.add(FROM_CAPTIONS, about, |rule: FromCaptions| Ok(Box::new(rule)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use simseg_registry::Choice;

    #[test]
    fn without_captions_it_says_what_would_be_a_rule() {
        let mut kinds = Kinds::<dyn Threshold>::new("threshold");
        register(&mut kinds);
        let choice = kinds.resolve(&Choice::new(FROM_CAPTIONS)).unwrap();
        assert_eq!(choice.get::<usize>("images"), Some(1000));
        let error = kinds.build(&choice).unwrap().check(3).unwrap_err().to_string();
        assert!(error.contains("`from-captions`") && error.contains("simseg calibrate --captions"), "{error}");
        let error = kinds.resolve(&choice.with("images", 0)).unwrap_err().to_string();
        assert!(error.starts_with("threshold.images") && error.contains('0'), "{error}");
    }
}
