//! Text-supervised semantic segmentation for users: open a model, name what to look for, get a label map.
//!
//! ```no_run
//! let model = simseg::Model::open("model")?;
//! let words = model.words(["cat", "dog", "sofa"])?;
//! let picture = simseg::Picture::load("photo.jpg".as_ref())?;
//! let found = model.segment(&picture, &words)?;
//! for class in &found.found {
//!     println!("{}: {:.0}% of the pixels", class.name, 100.0 * class.share);
//! }
//! picture.overlay(&found.labels).save("photo.overlay.png".as_ref())?;
//! # Ok::<(), simseg::Error>(())
//! ```
//!
//! Reading order: [`model`] (open, segment), [`words`] and [`features`] (how words and pictures reach the network), [`memory`] (what a picture will need, and a limit), [`explanation`] (everything about one picture), [`windows`]
//! (a picture in several pieces), [`recipe`] (every switch, named), [`registry`] (what can be chosen by name, and how a crate outside adds to it), [`directory`] (model
//! directories), [`cache`] (class embeddings on disk), [`settings`] (TOML with helpful errors), [`watch`] (progress and
//! cancellation), [`error`].

pub mod error;
pub mod watch;
pub mod settings;
pub mod registry;
pub mod windows;
pub mod recipe;
pub mod directory;
pub mod model;
mod buckets;
pub mod words;
pub mod features;
pub mod memory;
pub mod explanation;
#[cfg(feature = "fs")]
pub mod fingerprint;
#[cfg(feature = "fs")]
pub mod cache;

#[cfg(feature = "fs")]
#[doc(no_inline)]
pub use blake3 as hash;
#[cfg(feature = "fs")]
pub use cache::Cache;
pub use directory::{Loaded, ModelDescription};
pub use error::{Error, Result};
pub use explanation::Explanation;
pub use memory::Memory;
pub use model::{Details, Found, Model, Segmented};
pub use recipe::Recipe;
pub use registry::{Extension, Registry};
pub use simseg_data as data;
pub use simseg_data::picture::{LabelFormat, Labels};
pub use simseg_data::{Image, Picture};
pub use simseg_registry::Choice;
/// What a [`Model`] computes with unless another backend is chosen: f32 on the CPU.
pub type Cpu = simseg_cpu::CpuTensor<f32>;
pub use simseg_segment::ClassList;
pub use simseg_tensor::WeightType;
pub use watch::{Unwatched, Watch};
pub use words::Words;

/// The Rust of the README compiles.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
