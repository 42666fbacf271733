//! A number of classes (GroupViT: 5; its background is what no map reaches, `refine.level`).

use super::{Scores, Selection, Threshold, keep};
use serde::{Deserialize, Serialize};
use simseg_registry::Kinds;

/// The `count` best classes whatever their score.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Best {
    /// How many.
    #[serde(default = "five")]
    pub count: usize,
}

fn five() -> usize {
    5
}

impl Threshold for Best {
    fn select(&self, scores: Scores<'_>) -> Selection {
        let mut selection = keep(scores, f32::NAN, |_| true);
        selection.classes.truncate(self.count);
        selection
    }
}

/// Adds it to its family.
pub fn register(kinds: &mut Kinds<dyn Threshold>) {
    kinds.add("best", "a number of classes", |rule: Best| Ok(Box::new(rule)));
}
