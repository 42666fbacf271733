//! A fixed score (TCL: 0.4 or 0.5 on its own scale).

use super::{Scores, Selection, Threshold, keep};
use serde::{Deserialize, Serialize};
use simseg_registry::Kinds;

/// Classes scoring at least `score`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fixed {
    /// The score to reach.
    pub score: f64,
}

impl Threshold for Fixed {
    fn select(&self, scores: Scores<'_>) -> Selection {
        keep(scores, self.score as f32, |c| scores[c] >= self.score as f32)
    }
}

/// Adds it to its family.
pub fn register(kinds: &mut Kinds<dyn Threshold>) {
    kinds.add("fixed", "a score", |rule: Fixed| Ok(Box::new(rule)));
}
