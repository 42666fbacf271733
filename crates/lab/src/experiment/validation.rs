//! `[training.validation]`: how good a model is on what it does not train on, while it trains.

use crate::failure::{Failure, Outcome};
use crate::probes::retrieval;
use serde::{Deserialize, Serialize};
use simseg_data::{DataRegistry, Source};

/// The figure of label maps.
pub const MIOU: &str = "miou";

/// The settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Validation {
    /// Steps between two of them; after the last step, too.
    pub every: u64,
    /// Pictures with their captions that the source of training data holds out, for retrieval; 0 for none.
    #[serde(default = "two_hundred")]
    pub pairs: usize,
    /// Pictures with label maps, for mIoU by the plain recipe; 0 for none.
    #[serde(default)]
    pub images: usize,
    /// Where label maps are from: the first data set of the evaluation, unless told otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Source>,
}

fn two_hundred() -> usize {
    200
}

impl Validation {
    /// Checked, and with every default written out; `evaluated` is the first data set of the evaluation.
    ///
    /// # Errors
    /// The first key that is wrong, and what was expected.
    pub fn resolved(&self, evaluated: Option<&Source>, data: &DataRegistry) -> Outcome<Self> {
        let bad = |key: &str, expected: &str| Err(Failure::input(format!("training.validation.{key}"), expected));
        if self.every == 0 {
            return bad("every", "at least 1 step");
        }
        if self.pairs == 0 && self.images == 0 {
            return bad("pairs, training.validation.images", "at least one of the two above 0");
        }
        let source = match (self.images, &self.data) {
            (0, Some(_)) => return bad("images", "at least 1, since there is `data`"),
            (0, None) => None,
            (_, own) => {
                let Some(source) = own.as_ref().or(evaluated) else { return bad("data", "a data set with label maps") };
                let resolved = data.datasets.resolve(source);
                Some(resolved.map_err(|error| Failure::from(error).of_data("training.validation"))?)
            }
        };
        Ok(Self { data: source, ..self.clone() })
    }

    /// The names of its figures.
    pub fn figures(&self) -> Vec<&'static str> {
        let retrieval = retrieval::FIGURES.iter().map(|figure| figure.name).filter(|_| self.pairs > 0);
        retrieval.chain((self.images > 0).then_some(MIOU)).collect()
    }

    /// Whether there is one after so many steps of all.
    pub fn is_due(&self, step: u64, all: u64) -> bool {
        step.is_multiple_of(self.every) || step == all
    }
}
