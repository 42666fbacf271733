//! What a run would do, in words.

use super::Registries;
use super::cost::{self, Cost, bytes, time};
use super::estimate::{Estimate, Measured, Sum};
use super::plan::{Plan, Unit};
use crate::experiment::{Experiment, Settings, Variant};
use crate::failure::Outcome;
use crate::results::trainings::{Elsewhere, FINISHED, of_training};
use crate::training::{frozen, start};
use simseg_tensor::Differentiable;
use std::path::Path;

/// Pictures that a unit sees: in training, unless that is done, and in judging.
pub fn pictures<D: Differentiable>(experiment: &Experiment, unit: &Unit, registries: &Registries<D>) -> Outcome<u64> {
    let mut all = 0;
    for (number, &index) in unit.variants.iter().enumerate() {
        let settings = &experiment.at(index).settings;
        if number == 0 {
            all += registries.steps(settings, unit.seed)? * settings.training.batch as u64;
        }
        for (_, source) in settings.evaluation.data.list() {
            all += registries.training.data.open_dataset(source, settings.seeds.test)?.len() as u64;
        }
    }
    Ok(all)
}

/// What would be done.
pub fn say_plan<D: Differentiable>(
    experiment: &Experiment,
    plan: &Plan,
    (out, elsewhere): (&Path, &Elsewhere),
    registries: &Registries<D>,
    device: &D::Device,
) -> Outcome {
    use crate::output::say;
    let registry = &registries.training;
    let done = |unit: &&Unit| !unit.again && of_training(out, &unit.key).join(FINISHED).exists();
    let (taken, rest): (Vec<&Unit>, Vec<&Unit>) = plan.units.iter().partition(|unit| unit.elsewhere.is_some());
    let (done, to_train): (Vec<&Unit>, Vec<&Unit>) = rest.into_iter().partition(done);
    let variants: Vec<Variant> = experiment.judged().cloned().collect();
    let judged: usize = plan.units.iter().map(|unit| unit.variants.len()).sum();
    let outs: Vec<_> = std::iter::once(out).chain(elsewhere.folders()).map(Path::to_owned).collect();
    let (measured, mut estimate) = (Measured::below(&outs, elsewhere.maker()), Estimate::default());
    for unit in &plan.units {
        unit.variants.iter().for_each(|&index| measured.add_row(&mut estimate, &variants[index].settings));
    }
    let mut speed = None;
    for unit in &to_train {
        let settings = &known_words(&experiment.at(unit.variants[0]).settings)?;
        let (layout, network) = (start::layout(settings, registry)?, settings.network(registry)?);
        let trained = start::trained(settings, &layout, &*network)?;
        let count = |counted: &dyn Fn(bool) -> bool| -> usize {
            let all = layout.iter().zip(&trained).filter(|(_, trained)| counted(**trained));
            all.map(|((_, parameter), _)| parameter.shape.iter().product::<usize>()).sum()
        };
        let (parameters, frozen) = (count(&|_| true), count(&|trained| !trained));
        let (steps, training) = (registries.steps(settings, unit.seed)?, &settings.training);
        measured.add_training(&mut estimate, settings, steps, 4 * parameters as u64);
        let mut augment: Vec<&str> = training.augment.iter().map(|choice| choice.kind.as_str()).collect();
        augment.extend((training.mixup > 0.0).then_some("mixup"));
        augment.extend((training.caption_noise > 0.0).then_some("caption noise"));
        let augment = if augment.is_empty() { String::new() } else { format!(", {}", augment.join(", ")) };
        let words = if network.vocabulary() == 0 { " and those of its words" } else { "" };
        let frozen = if frozen > 0 { format!(" ({frozen} of them frozen)") } else { String::new() };
        say!(
            "train  seed {}  {steps} steps of {} pairs{augment}, {parameters} parameters{frozen}{words}: {}",
            unit.seed,
            training.batch,
            unit.names(&variants)
        );
        let pairs = registries.pairs.of(settings, unit.seed, &registry.data)?;
        let epochs = (steps * training.batch as u64) as f64 / pairs as f64;
        let parts = if training.parts > 1 { format!(", each in {} parts", training.parts) } else { String::new() };
        say!("  {epochs:.1} epochs of {pairs} pairs{parts}");
        let towers = frozen::towers(settings, &layout, &trained, &*network);
        let cost = Cost::of(settings, &layout, &trained, &towers, &*network);
        say!(
            "  memory about {}: {} weights, gradients and optimiser; {} activations; {} batches",
            bytes(cost.memory()),
            bytes(cost.state),
            bytes(cost.activations),
            bytes(cost.batches)
        );
        let per_second = match speed {
            Some(per_second) => per_second,
            None => *speed.insert(cost::speed::<D>(device)?),
        };
        let pairs = (steps * training.batch as u64) as f64;
        say!(
            "  at least {}: {:.1e} FLOP a pair, {:.0} GFLOP/s in a matrix product here",
            time(cost.flop * pairs / per_second),
            cost.flop,
            per_second / 1e9
        );
        for (side, why_not) in towers.into_iter().filter(|_| training.frozen_features.is_some()) {
            let numbers = training.frozen_features.map(|asked| format!("{:?}", asked.numbers).to_lowercase());
            match why_not {
                None => say!(
                    "  features of the frozen {} tower are computed once and kept, in {}",
                    frozen::name(side),
                    numbers.unwrap_or_default()
                ),
                Some(why) => say!("  features of the frozen {} tower are not kept: {why}", frozen::name(side)),
            }
        }
    }
    for unit in done {
        say!("judge  seed {}  trained already: {}", unit.seed, unit.names(&variants));
    }
    for unit in &taken {
        let from = unit.elsewhere.as_ref().map_or("", |found| found.folder());
        say!("judge  seed {}  trained already in {from}: {}", unit.seed, unit.names(&variants));
    }
    plan.differences.iter().for_each(|line| say!("differs  {line}"));
    say!(
        "{} trainings, {judged} evaluations, {} rows are there; in {}",
        to_train.len(),
        plan.finished.len(),
        out.display()
    );
    let Estimate { training, judging, bytes: disk } = estimate;
    say!("time: training {}, judging {}, one after the other", minutes(training), minutes(judging));
    say!("disk: {}", known(disk, format!("{:.1} MB", disk.total / 1e6)));
    Ok(())
}

/// The settings with the number of words that the network will know, if a vocabulary is named.
fn known_words(settings: &Settings) -> Outcome<Settings> {
    let words = start::tokenizer(settings)?.map(|tokenizer| tokenizer.vocabulary());
    let model = words.map_or(settings.model.clone(), |words| simseg_model::with_vocabulary(&settings.model, words));
    Ok(Settings { model, ..settings.clone() })
}

fn minutes(sum: Sum) -> String {
    known(sum, format!("{:.1} minutes", sum.total / 60.0))
}

/// An estimate with how many parts it is without.
fn known(sum: Sum, text: String) -> String {
    match sum.unknown {
        0 => text,
        unknown if sum.total == 0.0 => format!("unknown of {unknown}: nothing like it was run here yet"),
        unknown => format!("{text} and {unknown} more, like which nothing was run here yet"),
    }
}
