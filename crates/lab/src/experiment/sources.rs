//! Where the images of an evaluation come from: one data set, or several by name.

use serde::{Deserialize, Serialize};
use simseg_data::Source;
use std::collections::BTreeMap;

/// One data set, or several by name: `data = { kind = "voc2012", … }` or `[evaluation.data.voc] kind = "voc2012"`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Sources {
    /// Several; their figures are called `name.figure`.
    Named(BTreeMap<String, NamedSource>),
    /// One.
    One(Source),
}

/// A source that says its kind: without it a table of sources would read as one source.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Source", into = "Source")]
pub struct NamedSource(pub Source);

impl TryFrom<Source> for NamedSource {
    type Error = &'static str;

    fn try_from(source: Source) -> Result<Self, &'static str> {
        if source.kind.is_empty() { Err("expected `kind`") } else { Ok(Self(source)) }
    }
}

impl From<NamedSource> for Source {
    fn from(named: NamedSource) -> Self {
        named.0
    }
}

impl Sources {
    /// All of them, under what is put before the names of their figures: nothing, or `name.`.
    pub fn list(&self) -> Vec<(String, &Source)> {
        match self {
            Self::One(source) => vec![(String::new(), source)],
            Self::Named(sources) => sources.iter().map(|(name, source)| (format!("{name}."), &source.0)).collect(),
        }
    }
}
