//! What a run would do, in words.

use super::Registries;
use super::estimate::{Estimate, Measured, Sum};
use super::plan::{Plan, Unit};
use crate::experiment::{Experiment, Variant};
use crate::failure::Outcome;
use crate::results::trainings::{Elsewhere, FINISHED, of_training};
use crate::training::start;
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
) -> Outcome {
    use crate::output::say;
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
    for unit in &to_train {
        let settings = &experiment.at(unit.variants[0]).settings;
        let layout = start::layout(settings, &registries.training)?;
        let parameters: usize = layout.iter().map(|(_, p)| p.shape.iter().product::<usize>()).sum();
        let steps = registries.steps(settings, unit.seed)?;
        measured.add_training(&mut estimate, settings, steps, 4 * parameters as u64);
        let augment: Vec<&str> = settings.training.augment.iter().map(|choice| choice.kind.as_str()).collect();
        let augment = if augment.is_empty() { String::new() } else { format!(", {}", augment.join(", ")) };
        say!(
            "train  seed {}  {} steps of {} pairs{augment}, {parameters} parameters and those of its words: {}",
            unit.seed,
            steps,
            settings.training.batch,
            unit.names(&variants)
        );
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
    let Estimate { training, judging, bytes } = estimate;
    say!("time: training {}, judging {}, one after the other", minutes(training), minutes(judging));
    say!("disk: {}", known(bytes, format!("{:.1} MB", bytes.total / 1e6)));
    Ok(())
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
