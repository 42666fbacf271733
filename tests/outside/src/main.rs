//! The program `simseg` with algorithms that its own crates do not have.

mod aligner;
mod dataset;
mod encoder;
mod metric;
mod refiner;
mod score;
mod threshold;

use simseg::{Extension, Registry};
use simseg_lab::results::provenance::Provenance;
use simseg_lab::run::plan::Wanted;
use simseg_lab::run::{Earlier, Options, run};
use simseg_tensor::{Autodiff, Tensor};
use simseg_testkit::NaiveTensor;
use std::process::ExitCode;

struct Mine;

impl Extension for Mine {
    fn register<T: Tensor>(&self, registry: &mut Registry<T>) {
        aligner::register(&mut registry.model.aligners);
        encoder::register(&mut registry.model.encoders.image);
        score::register(&mut registry.segment.parts.scores);
        threshold::register(&mut registry.segment.parts.thresholds);
        refiner::register(&mut registry.segment.parts.refiners);
        metric::register(&mut registry.segment.metrics);
        dataset::register(&mut registry.data);
    }
}

/// `outside naive EXPERIMENT DIR` runs on plain loops; everything else is the program itself.
fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["naive", file, out] => {
            let provenance = Provenance::here("naive", "cpu");
            let wanted = Wanted { seeds: vec![0], ..Wanted::default() };
            let (out, earlier) = (Some(out.into()), Earlier::Keep);
            let options =
                Options { out, wanted, jobs: 1, plan: false, quick: false, reuse: vec![], earlier, provenance };
            match run::<Autodiff<NaiveTensor>>(file.as_ref(), &[], &options, &Mine, &()) {
                Ok(_) => ExitCode::SUCCESS,
                Err(failure) => {
                    eprintln!("outside: {failure}");
                    ExitCode::from(failure.code())
                }
            }
        }
        _ => simseg_lab::main(Mine),
    }
}
