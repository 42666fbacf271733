//! `simseg run`: an experiment file from the command line.

use crate::backend::BackendArgs;
use crate::failure::{Failure, Outcome};
use crate::results::folder::Earlier;
use crate::results::provenance::Provenance;
use crate::run as experiment;
use clap::Args;
use simseg::Extension;
use simseg_tensor::Differentiable;
use std::path::PathBuf;

/// What the command line says.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// An experiment file, such as experiments/alignment.toml.
    pub experiment: PathBuf,
    /// Where results go [default: runs/NAME, or runs/NAME-2 … if that is taken].
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// What computes.
    #[command(flatten)]
    pub backend: BackendArgs,
    /// Runs random seeds 0, 1, … N-1.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64))]
    pub seeds: u64,
    /// Go on where an earlier run in DIR stopped; finished runs are not repeated.
    #[arg(long)]
    pub resume: bool,
    /// Throw away an earlier run in DIR first.
    #[arg(long, conflicts_with = "resume")]
    pub fresh: bool,
    /// Change a setting of every variant, such as training.steps=100.
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

/// Runs an experiment.
///
/// # Errors
/// As [`crate::run::run`].
pub fn run<D: Differentiable>(options: &Options, extension: &impl Extension, device: &D::Device) -> Outcome {
    if options.seeds == 0 {
        return Err(Failure::input("--seeds", "at least 1"));
    }
    let earlier = match (options.resume, options.fresh) {
        (true, _) => Earlier::Resume,
        (_, true) => Earlier::Clear,
        _ => Earlier::Keep,
    };
    let [backend, of, precision] = options.backend.names();
    let provenance = Provenance::here(&backend, &of).in_precision(&precision);
    let how = experiment::Options { out: options.out.clone(), seeds: options.seeds, earlier, provenance };
    experiment::run::<D>(&options.experiment, &options.set, &how, extension, device).map(|_| ())
}
