//! A fixed score (TCL: 0.4 or 0.5 on its own scale).

use super::{Selection, Threshold, keep};
use serde::{Deserialize, Serialize};

/// Classes scoring at least `score`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fixed {
    /// The score to reach.
    pub score: f64,
}

impl Threshold for Fixed {
    fn select(&self, scores: &[f32]) -> Selection {
        keep(scores, self.score as f32, |c| scores[c] >= self.score as f32)
    }
}
