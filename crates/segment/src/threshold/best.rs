//! A number of classes (GroupViT: 5; its background is what no map reaches, `refine.level`).

use super::{Selection, Threshold, keep};
use serde::{Deserialize, Serialize};

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
    fn select(&self, scores: &[f32]) -> Selection {
        let mut selection = keep(scores, f32::NAN, |_| true);
        selection.classes.truncate(self.count);
        selection
    }
}
