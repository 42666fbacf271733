//! Classes above the median score.

use serde::{Deserialize, Serialize};
use simseg_registry::Kinds;
use simseg_segment::threshold::{Scores, Selection, Threshold, keep, ranking};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Median {}

impl Threshold for Median {
    fn select(&self, scores: Scores<'_>) -> Selection {
        let median = scores[ranking(&scores)[scores.len() / 2]];
        keep(scores, median, |class| scores[class] > median)
    }
}

pub fn register(kinds: &mut Kinds<dyn Threshold>) {
    kinds.add("median", "classes above the median score", |rule: Median| Ok(Box::new(rule)));
}
