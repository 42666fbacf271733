//! What a run would do, in words.

use super::Registries;
use super::plan::{Plan, Unit, of_training};
use crate::experiment::Experiment;
use crate::failure::Outcome;
use crate::training::start;
use simseg_tensor::Differentiable;
use std::path::Path;

/// Pictures that a unit sees: in training, unless that is done, and in judging.
pub fn pictures<D: Differentiable>(experiment: &Experiment, unit: &Unit, registries: &Registries<D>) -> Outcome<u64> {
    let mut all = 0;
    for (number, &index) in unit.variants.iter().enumerate() {
        let settings = &experiment.at(index).settings;
        if number == 0 {
            all += settings.training.steps * settings.training.batch as u64;
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
    out: &Path,
    registries: &Registries<D>,
) -> Outcome {
    use crate::output::say;
    let done = |unit: &&Unit| of_training(out, &unit.key).join("training.json").exists();
    let to_train: Vec<&Unit> = plan.units.iter().filter(|unit| !done(unit)).collect();
    let judged: usize = plan.units.iter().map(|unit| unit.variants.len()).sum();
    let mut bytes = 0;
    for unit in &to_train {
        let settings = &experiment.at(unit.variants[0]).settings;
        let layout = start::layout(settings, &registries.training)?;
        let parameters: usize = layout.iter().map(|(_, p)| p.shape.iter().product::<usize>()).sum();
        bytes += 4 * parameters as u64;
        let names: Vec<&str> = unit.variants.iter().map(|&index| experiment.at(index).name.as_str()).collect();
        say!(
            "train  seed {}  {} steps of {} pairs, {parameters} parameters and those of its words: {}",
            unit.seed,
            settings.training.steps,
            settings.training.batch,
            names.join(", ")
        );
    }
    for unit in plan.units.iter().filter(done) {
        let names: Vec<&str> = unit.variants.iter().map(|&index| experiment.at(index).name.as_str()).collect();
        say!("judge  seed {}  trained already: {}", unit.seed, names.join(", "));
    }
    say!(
        "{} trainings, {judged} evaluations, {} rows are there; at least {:.1} MB in {}",
        to_train.len(),
        plan.finished.len(),
        bytes as f64 / 1e6,
        out.display()
    );
    Ok(())
}
