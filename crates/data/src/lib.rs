//! Everything that comes from disk, or is drawn.
//!
//! Reading order: [`scenes`] (the small world), [`picture`] (images and label maps on disk), [`transform`] (from bytes to
//! network input), [`tokenizer`], [`checkpoint`] (model directories), [`pairs`] (images with captions), [`datasets`] (images with
//! label maps), [`source`] (both by name), `atomic` (nothing half-written).
//!
//! Without the feature `fs` everything comes from bytes: drawn scenes, tokenizers, pictures and weights in memory.

pub mod error;
#[cfg(feature = "fs")]
pub mod atomic;
#[cfg(feature = "fs")]
pub mod bounded;
pub mod picture;
pub mod scenes;
pub mod transform;
pub mod tokenizer;
pub mod checkpoint;
pub mod pairs;
pub mod datasets;
pub mod source;

pub use datasets::{Dataset, Item};
pub use error::{Error, Result};
pub use pairs::{NamedWords, Pair, Pairs};
pub use picture::{Exif, Image, Picture};
pub use scenes::{Scene, SceneConfig, World};
pub use source::{DataRegistry, Seed, Source};
pub use tokenizer::Tokenizer;
