//! What a run has to do: trainings, each with the variants that are judged on it; and what is there already.

use crate::experiment::{BuiltIn, Experiment, Settings, Variant};
use crate::failure::{Failure, Outcome};
use crate::results::inputs::{self, Inputs};
use crate::results::provenance::{self, Provenance};
use crate::results::trainings::{self, Elsewhere, Finished, Found, Maker, of_training};
use crate::results::{Row, Status, folder};
use simseg::Registry;
use simseg_tensor::Tensor;
use std::collections::BTreeSet;
use std::path::Path;

/// A training, and the variants that wait for it.
#[derive(Debug, Clone)]
pub struct Unit {
    /// Random seed of the run.
    pub seed: u64,
    /// Hash of all that training depends on.
    pub key: String,
    /// Variants to judge, by their place in the experiment; the first one's settings are those of the training.
    pub variants: Vec<usize>,
    /// Whether it is trained anew, whatever is there.
    pub again: bool,
    /// The same training in another output folder, if it is to be taken from there.
    pub elsewhere: Option<Found>,
}

impl Unit {
    /// Its variants for people, of those of the experiment; built-in rows only where nothing else is judged.
    pub fn names(&self, variants: &[Variant]) -> String {
        let all = || self.variants.iter().map(|&index| &variants[index]);
        let own: Vec<String> = all().filter(|v| v.built_in.is_none()).map(|v| v.name.clone()).collect();
        let names = if own.is_empty() { all().map(|v| v.name.clone()).collect() } else { own };
        crate::failure::listed(&names)
    }
}

/// What is to be done.
#[derive(Debug, Default)]
pub struct Plan {
    /// Trainings in the order in which they are met.
    pub units: Vec<Unit>,
    /// Rows that are there already.
    pub finished: Vec<Row>,
    /// What could make the numbers of these rows differ from those of this process, each line once.
    pub differences: BTreeSet<String>,
}

/// Which variants and seeds are asked for, and what is done again.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Random seeds.
    pub seeds: Vec<u64>,
    /// Names of variants, with `*` for anything; all if there is none.
    pub only: Vec<String>,
    /// Names of variants that are trained and judged again.
    pub redo: Vec<String>,
}

/// Whether a name fits a pattern in which `*` stands for anything.
fn fits(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((start, rest)) => name.strip_prefix(start).is_some_and(|name| {
            (0..=name.len()).filter(|&at| name.is_char_boundary(at)).any(|at| fits(rest, &name[at..]))
        }),
    }
}

/// The variant whose training a row needs: its own, or the baseline's.
fn trained<'a>(experiment: &'a Experiment, name: &'a str) -> &'a str {
    if BuiltIn::by_name(name).is_some() { &experiment.baseline } else { name }
}

impl Wanted {
    /// That every pattern fits some variant.
    ///
    /// # Errors
    /// The pattern that fits none.
    pub fn check(&self, experiment: &Experiment) -> Outcome {
        for (option, patterns) in [("--only", &self.only), ("--redo", &self.redo)] {
            for pattern in patterns {
                if experiment.variants.iter().all(|variant| !fits(pattern, &variant.name)) {
                    let known: Vec<&str> = experiment.variants.iter().map(|variant| variant.name.as_str()).collect();
                    let text = format!("no variant fits `{pattern}` (known: {})", known.join(", "));
                    return Err(Failure::input(option, text));
                }
            }
        }
        Ok(())
    }

    /// Built-in rows go with the baseline, on whose model they are judged.
    fn takes(&self, experiment: &Experiment, name: &str) -> bool {
        let name = trained(experiment, name);
        self.only.is_empty() || self.only.iter().any(|pattern| fits(pattern, name))
    }

    /// Whether a variant is trained and judged again.
    pub fn repeats(&self, experiment: &Experiment, name: &str) -> bool {
        let name = trained(experiment, name);
        self.redo.iter().any(|pattern| fits(pattern, name))
    }
}

impl Plan {
    /// What remains to be done in a folder by a process with this provenance.
    ///
    /// # Errors
    /// If something there was made with other settings of its training, of other content, by another backend or in another
    /// precision: what has changed.
    pub fn of<T: Tensor>(
        experiment: &Experiment,
        wanted: &Wanted,
        (out, elsewhere): (&Path, &Elsewhere),
        provenance: &Provenance,
        registry: &Registry<T>,
    ) -> Outcome<Self> {
        let (mut plan, mut known) = (Self::default(), Inputs::new());
        for &seed in &wanted.seeds {
            for (index, Variant { name, settings, .. }) in experiment.judged().enumerate() {
                if !wanted.takes(experiment, name) {
                    continue;
                }
                let place = folder::of_run(out, name, seed);
                let key = key(settings, seed, registry, &mut known)?;
                let again = wanted.repeats(experiment, name);
                if !again {
                    inputs::hold(&place, &inputs::of(settings, &mut known)?)?;
                    if let Some(row) = finished(&place, settings, seed)? {
                        if let Ok(made) = Provenance::read(&place.join(provenance::NAME)) {
                            trainings::agree(&place, &Maker::of(&made), elsewhere.maker())?;
                            plan.differences.extend(made.differences(provenance));
                        }
                        plan.finished.push(row);
                        continue;
                    }
                }
                match plan.units.iter_mut().find(|unit| unit.seed == seed && unit.key == key) {
                    Some(unit) => {
                        unit.variants.push(index);
                        unit.again |= again;
                    }
                    None => plan.units.push(Unit { seed, key, variants: vec![index], again, elsewhere: None }),
                }
            }
        }
        for unit in plan.units.iter_mut().filter(|unit| !unit.again) {
            let training = of_training(out, &unit.key);
            trainings::check(&training, elsewhere.maker())?;
            if Finished::read(&training)?.is_none() {
                unit.elsewhere = elsewhere.find(&unit.key);
            }
        }
        Ok(plan)
    }
}

/// Hash of all that a training depends on: its settings, seeds, and the content of what it reads.
fn key<T: Tensor>(settings: &Settings, seed: u64, registry: &Registry<T>, known: &mut Inputs) -> Outcome<String> {
    let mut hash = simseg::hash::Hasher::new();
    hash.update(settings.training_text(seed, registry)?.as_bytes());
    for (path, content) in inputs::of_training(settings, known)? {
        hash.update(path.as_bytes()).update(content.as_bytes());
    }
    Ok(hash.finalize().to_hex()[..16].to_owned())
}

/// The row of a finished run; none if it is to be judged (again, if only its evaluation is another now).
fn finished(place: &Path, settings: &Settings, seed: u64) -> Outcome<Option<Row>> {
    let changed = folder::changed(place, settings, seed)?;
    let of_evaluation = |key: &String| {
        key == "seeds.test" || ["evaluation", "segmentation"].iter().any(|section| key.starts_with(section))
    };
    if let Some(key) = changed.iter().find(|key| !of_evaluation(key)) {
        let text = format!(
            "was made with another `{key}`; start afresh with --fresh, train it again with --redo, or choose another --out"
        );
        return Err(Failure::file(place, text));
    }
    if !changed.is_empty() {
        crate::output::note!("{}: judged again, as {} changed", place.display(), changed.join(", "));
        return Ok(None);
    }
    let row = folder::row(place)?;
    Ok(row.filter(|row| row.status == Status::Done))
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn patterns_stand_for_names() {
        for (pattern, name, truth) in [
            ("k-*", "k-0.5", true),
            ("k-*", "image-k-1", false),
            ("*k-1", "image_k-1", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("loda", "loda", true),
            ("loda", "loda2", false),
            ("*", "", true),
        ] {
            assert_eq!(fits(pattern, name), truth, "{pattern} {name}");
        }
    }
}
