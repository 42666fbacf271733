//! Rows that stand beside the variants of every experiment: what a figure is to be read against.
//!
//! | row | label map of an image | of |
//! |---|---|---|
//! | `nothing` | all background | the test set |
//! | `ceiling` | for each patch of the grid the label that most of its pixels have | the test set and the grid |
//! | `true-classes` | the classes in the image are given; all of them are drawn | the baseline's model |
//! | `best-subset` | of all sets of classes that are in the image, the one whose label map has the best mIoU | the baseline's model |
//!
//! `true-classes` is no bound for the choice of classes: drawing one that is in the image can cover another. `best-subset` is one, image
//! by image, for choices among the classes that are there. The header key `rows = ["nothing"]` keeps some of them, `rows = []` none.

use super::{Settings, Variant};
use crate::failure::Outcome;
use serde::{Deserialize, Serialize};
use simseg::{Choice, Registry};
use simseg_segment::metrics::Scope;
use simseg_tensor::Tensor;

/// A row that is no variant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BuiltIn {
    /// All background.
    Nothing,
    /// The best label per patch.
    Ceiling,
    /// The true classes given.
    TrueClasses,
    /// The best subset of the true classes.
    BestSubset,
}

impl BuiltIn {
    /// All of them, in the order of tables.
    pub const ALL: [Self; 4] = [Self::Nothing, Self::Ceiling, Self::TrueClasses, Self::BestSubset];

    /// Its name in results and expectations.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Ceiling => "ceiling",
            Self::TrueClasses => "true-classes",
            Self::BestSubset => "best-subset",
        }
    }

    /// The row of this name; none for a variant.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|row| row.name() == name)
    }

    /// Whether it depends on what a model says.
    pub fn is_of_a_model(self) -> bool {
        matches!(self, Self::TrueClasses | Self::BestSubset)
    }
}

/// The rows as they are judged: the baseline's settings, with those of its metrics that look at label maps alone. None if there is no
/// such metric.
pub(super) fn rows<T: Tensor>(asked: &[BuiltIn], baseline: &Variant, registry: &Registry<T>) -> Outcome<Vec<Variant>> {
    let mut settings: Settings = baseline.settings.clone();
    let mut metrics = vec![];
    for name in std::mem::take(&mut settings.evaluation.metrics) {
        if registry.segment.metrics.build(&Choice::new(&name))?.scope() == Scope::Labels {
            metrics.push(name);
        }
    }
    if metrics.is_empty() {
        return Ok(vec![]);
    }
    (settings.evaluation.metrics, settings.evaluation.pictures) = (metrics, 0);
    let wanted = BuiltIn::ALL.into_iter().filter(|row| asked.contains(row));
    let row = |row: BuiltIn| Variant {
        name: row.name().to_owned(),
        built_in: Some(row),
        axes: Default::default(),
        settings: settings.clone(),
    };
    Ok(wanted.map(row).collect())
}
