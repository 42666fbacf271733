//! `[probes]` of an experiment file.
//!
//! ```toml
//! [probes]
//! every = 50                                       # steps; before the first and after the last one, too
//! what = ["word-swap", "attention", "retrieval"]   # all, unless told otherwise
//! images = 100
//! data = { kind = "scenes", count = 100, bias = 0.0 }
//! ```
//!
//! Without `data` the examples are those of `[evaluation]`: if these are drawn, others of a seed of their own and without bias. Captions
//! of one's own need the words: `objects = ["dog", "kite"]`, `contexts = ["beach", "snow"]`.

use super::Probe;
use crate::failure::{Failure, Outcome};
use serde::{Deserialize, Serialize};
use simseg_data::{DataRegistry, NamedWords, Source};

/// The seed of drawn examples: neither that of test sets nor one that a run is likely to have.
pub const SEED: u64 = 2_000_000;

/// The settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probes {
    /// Steps between probes.
    pub every: u64,
    /// Which.
    #[serde(default = "all")]
    pub what: Vec<Probe>,
    /// Images at most.
    #[serde(default = "hundred")]
    pub images: usize,
    /// Of drawn examples, and of the words that stand for others.
    #[serde(default = "seed")]
    pub seed: u64,
    /// Other words that stand for each word of a caption, at most.
    #[serde(default = "four")]
    pub swaps: usize,
    /// Words that name objects; those of the data if there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub objects: Vec<String>,
    /// Words that name contexts, likewise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub contexts: Vec<String>,
    /// Images with captions (for words and retrieval), with label maps (for attention), or both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Source>,
}

fn all() -> Vec<Probe> {
    Probe::ALL.into()
}
fn hundred() -> usize {
    100
}
fn seed() -> u64 {
    SEED
}
fn four() -> usize {
    4
}

impl Probes {
    /// Checked, and with every default written out; `evaluated` is the first data set of the evaluation.
    ///
    /// # Errors
    /// The first key that is wrong, and what was expected.
    pub fn resolved(&self, evaluated: Option<&Source>, data: &DataRegistry) -> Outcome<Self> {
        let bad = |key: &str, expected: &str| Err(Failure::input(format!("probes.{key}"), expected));
        match self {
            Self { every: 0, .. } => return bad("every", "at least 1 step"),
            Self { images: 0, .. } => return bad("images", "at least 1"),
            Self { swaps: 0, .. } => return bad("swaps", "at least 1"),
            Self { what, .. } if what.is_empty() => {
                return bad("what", &format!("at least one of {}", Probe::ALL.map(Probe::name).join(", ")));
            }
            Self { what, .. } if what.iter().enumerate().any(|(i, probe)| what[..i].contains(probe)) => {
                return bad("what", "each probe once");
            }
            _ => {}
        }
        let own = |source: &Source| match source.kind.as_str() {
            "scenes" => source.without(&["seed"]).with("bias", 0.0).with("count", self.images),
            _ => source.clone(),
        };
        let Some(source) = self.data.clone().or_else(|| evaluated.map(own)) else {
            return bad("data", "a source of images");
        };
        let pairs = data.pairs.names().contains(&&*source.kind) && !data.datasets.names().contains(&&*source.kind);
        let source = if pairs { data.pairs.resolve(&source) } else { data.datasets.resolve(&source) };
        let source = source.map_err(|error| Failure::from(error).of_data("probes"))?;
        Ok(Self { data: Some(source), ..self.clone() })
    }

    /// The words of these settings, if there are any.
    pub fn words(&self) -> Option<NamedWords> {
        let none = self.objects.is_empty() && self.contexts.is_empty();
        (!none).then(|| NamedWords { objects: self.objects.clone(), contexts: self.contexts.clone() })
    }
}
