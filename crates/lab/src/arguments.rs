//! Arguments that several commands share.

use clap::{Args, ValueEnum};
use simseg_lab::bank::Cache;
use simseg_lab::dataset;
use simseg_model::clip::Gelu;
use std::path::PathBuf;

/// Which data set.
#[derive(Args)]
pub struct SourceArgs {
    /// voc2012, context, coco-object, folder (images/ and labels/*.png of the same stem), or scenes (drawn).
    #[arg(long)]
    dataset: String,
    /// Where the data set lies.
    #[arg(long, value_name = "PATH")]
    root: Option<PathBuf>,
    /// How many scenes to draw, without bias.
    #[arg(long, value_name = "N", default_value_t = 300)]
    count: usize,
    /// Which world to draw them from; small numbers are what experiments train on.
    #[arg(long, value_name = "S", default_value_t = 1_000_000)]
    seed: u64,
}

impl SourceArgs {
    /// The data set.
    pub fn source(self) -> dataset::Source {
        dataset::Source { name: self.dataset, root: self.root, count: self.count, seed: self.seed }
    }
}

/// Where class embeddings are kept.
#[derive(Args)]
pub struct CacheArgs {
    /// Keep class embeddings in this folder, by content [default: the user's cache folder, if they took over a second].
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
    /// Neither read nor keep class embeddings.
    #[arg(long, conflicts_with = "cache")]
    no_cache: bool,
}

impl CacheArgs {
    /// Where class embeddings are kept.
    pub fn choice(self) -> Cache {
        match (self.cache, self.no_cache) {
            (_, true) => Cache::Off,
            (Some(folder), _) => Cache::In(folder),
            (None, false) => Cache::Usual,
        }
    }
}

/// CLIP's two GELUs.
#[derive(Clone, Copy, ValueEnum)]
pub enum GeluArg {
    /// x·sigmoid(1.702 x)
    Quick,
    /// x·Φ(x)
    Exact,
}

impl GeluArg {
    /// As the model has it.
    pub fn gelu(self) -> Gelu {
        match self {
            Self::Quick => Gelu::Quick,
            Self::Exact => Gelu::Exact,
        }
    }
}
