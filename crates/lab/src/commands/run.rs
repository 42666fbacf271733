//! `simseg run`: an experiment file from the command line.

use crate::backend::BackendArgs;
use crate::failure::{Failure, Outcome};
use crate::results::folder::Earlier;
use crate::results::provenance::Provenance;
use crate::run as experiment;
use crate::run::plan::Wanted;
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
    /// Runs random seeds 0, 1, … N-1; or A..B, seeds A to B-1; or A,B,….
    #[arg(long, value_name = "N", default_value = "1")]
    pub seeds: String,
    /// Only variants whose name fits, such as 'k-*'; may be given several times.
    #[arg(long, value_name = "NAME")]
    pub only: Vec<String>,
    /// Train and judge variants again whose name fits; goes on with the rest as --resume does.
    #[arg(long, value_name = "NAME", conflicts_with = "fresh")]
    pub redo: Vec<String>,
    /// Trainings at a time, each with its share of the threads.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub jobs: usize,
    /// Say what would be trained and judged, and do nothing.
    #[arg(long)]
    pub plan: bool,
    /// The short version: the smaller settings of the file's section `quick`, results in runs/NAME-quick, nothing expected.
    #[arg(long)]
    pub quick: bool,
    /// Go on where an earlier run in DIR stopped; finished runs are not repeated.
    #[arg(long)]
    pub resume: bool,
    /// Throw away an earlier run in DIR first, and train everything anew.
    #[arg(long, conflicts_with = "resume")]
    pub fresh: bool,
    /// Take trainings that are finished in this output folder, whichever program made them; may be given several times. Those of
    /// folders beside DIR are taken by themselves if this very program made them on the same backend, device and instructions.
    #[arg(long, value_name = "DIR")]
    pub reuse: Vec<PathBuf>,
    /// Change a setting of every variant, such as training.steps=100.
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

/// Runs an experiment.
///
/// # Errors
/// As [`crate::run::run`].
pub fn run<D: Differentiable>(
    options: &Options,
    extension: &impl Extension,
    device: &D::Device,
    others: &experiment::Others,
) -> Outcome {
    let seeds = seeds(&options.seeds)?;
    if !(1..=MOST_JOBS).contains(&options.jobs) {
        return Err(Failure::input("--jobs", format!("from 1 to {MOST_JOBS}, found {}", options.jobs)));
    }
    let earlier = match (options.resume || !options.redo.is_empty(), options.fresh) {
        (true, _) => Earlier::Resume,
        (_, true) => Earlier::Clear,
        _ => Earlier::Keep,
    };
    let wanted = Wanted { seeds, only: options.only.clone(), redo: options.redo.clone() };
    let (out, plan) = (options.out.clone(), options.plan);
    let [backend, of, precision] = options.backend.names();
    let ranks = others.as_ref().map(|ranks| ranks.size());
    let provenance = Provenance { ranks, ..Provenance::here(&backend, &of).in_precision(&precision) };
    let how = experiment::Options {
        out,
        wanted,
        jobs: options.jobs,
        plan,
        quick: options.quick,
        earlier,
        provenance,
        reuse: options.reuse.clone(),
    };
    experiment::run_with::<D>(&options.experiment, &options.set, &how, extension, device, others).map(|_| ())
}

/// More trainings at a time than this are a mistake, and so are more seeds.
const MOST_JOBS: usize = 256;
const MOST_SEEDS: u64 = 10_000;

/// Random seeds as they are written: `5`, `3..5`, `1,4,7`.
fn seeds(text: &str) -> Outcome<Vec<u64>> {
    let bad = || {
        let form = format!("expected a number of seeds, a range A..B or a list A,B,…, of 1 to {MOST_SEEDS}");
        Failure::input("--seeds", format!("{form}, found `{text}`"))
    };
    let number = |text: &str| text.trim().parse::<u64>().map_err(|_| bad());
    let mut seeds: Vec<u64> = match (text.split_once(".."), text.contains(',')) {
        (Some((from, to)), _) => {
            let (from, to) = (number(from)?, number(to)?);
            if to.saturating_sub(from) > MOST_SEEDS {
                return Err(bad());
            }
            (from..to).collect()
        }
        (None, true) => text.split(',').map(number).collect::<Outcome<_>>()?,
        (None, false) => {
            let count = number(text)?;
            if count > MOST_SEEDS {
                return Err(bad());
            }
            (0..count).collect()
        }
    };
    seeds.sort_unstable();
    seeds.dedup();
    if seeds.is_empty() || seeds.len() as u64 > MOST_SEEDS { Err(bad()) } else { Ok(seeds) }
}

#[cfg(test)]
mod tests {
    use super::seeds;

    #[test]
    fn seeds_are_a_number_a_range_or_a_list() {
        assert_eq!(seeds("3").unwrap(), [0, 1, 2]);
        assert_eq!(seeds("3..5").unwrap(), [3, 4]);
        assert_eq!(seeds("7, 1,7").unwrap(), [1, 7]);
        for text in ["0", "5..5", "5..3", "x", "1,", "1..x", "99999999999", "0..99999999999", ""] {
            assert!(seeds(text).unwrap_err().to_string().contains("--seeds"), "{text}");
        }
    }
}
