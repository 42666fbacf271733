//! Everything that comes from disk, or is drawn.
//!
//! Reading order: [`scenes`] (the small world), [`picture`] (images and label maps on disk), [`transform`] (from bytes to
//! network input), [`tokenizer`], [`checkpoint`] (model directories), [`datasets`] (pictures with label maps on disk),
//! [`atomic`] (nothing half-written).

pub mod error;
pub mod atomic;
pub mod picture;
pub mod scenes;
pub mod transform;
pub mod tokenizer;
pub mod checkpoint;
pub mod datasets;

pub use datasets::{Dataset, Item};
pub use error::{Error, Result};
pub use picture::Picture;
pub use scenes::{Scene, SceneConfig, World};
pub use tokenizer::Tokenizer;
