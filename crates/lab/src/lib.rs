//! From a TOML file to runs, tables and reports; from a model and an image to a label map.
//!
//! Reading order: [`settings`] and [`experiment`] (the file), [`corpus`] (what is trained on), [`train`] and [`state`]
//! (one run, resumable), [`pipeline`] (images and words → features), [`evaluate`], [`run`] (all of an experiment),
//! [`expect`], [`report`]; [`model_dir`], [`bank`], and one module per command: [`mod@segment`],
//! [`dataset`], [`mod@explain`], [`mod@calibrate`], [`retrieval`], [`mod@convert`], [`mod@import`], [`mod@parity`] and [`mod@scenes`]. `main` is the only place that knows the backends.

pub mod failure;
pub mod settings;
pub mod experiment;
pub mod corpus;
pub mod state;
pub mod train;
pub mod pipeline;
pub mod bank;
pub mod evaluate;
pub mod model_dir;
pub mod expect;
pub mod run;
pub mod report;
pub mod progress;
pub mod segment;
pub mod scenes;
pub mod dataset;
pub mod explain;
pub mod calibrate;
pub mod retrieval;
pub mod convert;
pub mod import;
pub mod parity;

pub use failure::{Failure, Outcome};
