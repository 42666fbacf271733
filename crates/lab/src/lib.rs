//! From a TOML file to runs, tables and reports; from a model and an image to a label map: the program `simseg` as a library.
//!
//! A crate outside adds algorithms of its own by an [`Extension`] and calls [`main`] from its `main`: TOML then reaches them.
//!
//! | module | what |
//! |---|---|
//! | [`failure`] | how a command ends |
//! | [`mod@ahead`] | the next item beside the work on this one |
//! | [`output`] | what is said, and where files may go |
//! | [`ranks`] | processes that train together |
//! | [`progress`] | bars and lines for people |
//! | [`statistics`] | how sure a figure is |
//! | [`probes`] | what a model relies on |
//! | [`experiment`] | the file: settings, variants, expectations |
//! | [`backend`] | what computes |
//! | [`judging`] | one evaluation, for whoever asks |
//! | [`training`] | one training run, resumable |
//! | [`calibration`] | a threshold for each class |
//! | [`results`] | what an experiment leaves behind |
//! | [`report`] | the table, and the page |
//! | [`mod@run`] | all runs of an experiment |
//! | [`commands`] | one module per command, with its options |
//! | [`cli`] | the command line |
//!
//! Each module uses those above it and none below.

pub mod failure;
pub mod ahead;
pub mod output;
pub mod ranks;
pub mod progress;
pub mod statistics;
pub mod probes;
pub mod experiment;
pub mod backend;
pub mod judging;
pub mod training;
pub mod calibration;
pub mod results;
pub mod report;
pub mod run;
pub mod commands;
pub mod cli;

pub use cli::{main, main_from};
pub use failure::{Failure, Outcome};
pub use run::run;
pub use simseg::Extension;
