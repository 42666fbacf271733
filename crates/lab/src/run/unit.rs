//! One training and the variants that are judged on it.

use super::Registries;
use super::corpora::{Drawn, Sweep};
use super::models::{Ready, complete, features, groups, json, plain, share};
use super::plan::Unit;
use super::ranks::Job;
use crate::calibration;
use crate::experiment::Variant;
use crate::failure::{Failure, Outcome};
use crate::probes::log as probes;
use crate::probes::watch::{Probing, Snapshots};
use crate::ranks::Ranks;
use crate::results::images::{self, Judged};
use crate::results::provenance::{self, Provenance};
use crate::results::trainings::{self, Finished, Maker, of_training};
use crate::results::{Row, Status, folder, inputs, save_json};
use crate::training::validation::{Figures, Validating, said};
use crate::training::{Watching, start, train};
use simseg::{Loaded, Model};
use simseg_data::atomic;
use simseg_tensor::Differentiable;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// Everything that a unit needs.
pub struct Work<'a, D: Differentiable> {
    /// All variants of the experiment, and the rows beside them.
    pub variants: &'a [Variant],
    /// The variant whose model the rows beside them are of.
    pub baseline: &'a str,
    /// The output folder.
    pub out: &'a Path,
    /// Algorithms.
    pub registries: &'a Registries<D>,
    /// Where it computes.
    pub device: &'a D::Device,
    /// Where the numbers come from.
    pub provenance: &'a Provenance,
    /// What trains.
    pub maker: &'a Maker,
    /// How far the sweep is.
    pub sweep: &'a Sweep,
    /// The first failure of a variant.
    pub first: Mutex<Option<Failure>>,
    /// Other processes that train and judge with this one, if there are any.
    pub ranks: Option<Arc<dyn Ranks>>,
}

impl<D: Differentiable> Work<'_, D> {
    /// Trains, unless that is done, and judges; `row` gets one row after the other. A variant that fails is a row with its error.
    ///
    /// # Errors
    /// If not even that can be written.
    pub fn unit(&self, unit: &Unit, drawn: &mut Option<Drawn>, row: &mut dyn FnMut(Row) -> Outcome) -> Outcome {
        let (started, mut known) = (provenance::now(), inputs::Inputs::new());
        let trained = self.trained(unit, drawn);
        let (finished, fresh) = match trained {
            Ok(trained) => trained,
            Err(failure) => {
                return unit.variants.iter().try_for_each(|&index| self.fail(index, unit.seed, &failure, row));
            }
        };
        let mut seconds = if fresh { finished.seconds } else { 0.0 };
        let mut ready = vec![];
        let loaded = self.loaded(unit);
        for &index in &unit.variants {
            let model = loaded.clone().and_then(|loaded| self.model(unit, index, loaded, ready.first()));
            match model {
                Ok(model) => ready.push((index, model)),
                Err(failure) => self.fail(index, unit.seed, &failure, row)?,
            }
        }
        let mut groups = groups(self.variants, ready);
        while let Some(group) = groups.pop_front() {
            let began = Instant::now();
            let judged = self.judged(unit, &group);
            let each = began.elapsed().as_secs_f64() / group.len() as f64;
            match judged {
                Ok(all) => {
                    for ((index, _), judged) in group.into_iter().zip(all) {
                        let variant = &self.variants[index];
                        let intervals = judged.intervals();
                        let Judged { mut metrics, per_class, .. } = judged;
                        let place = self.place(index, unit.seed);
                        for (name, value) in probes::finals(&place.join(probes::NAME))? {
                            metrics.entry(name).or_insert(value);
                        }
                        let done = Row {
                            variant: variant.name.clone(),
                            seed: unit.seed,
                            of: self.of(variant),
                            axes: json(&variant.axes),
                            training: unit.key.clone(),
                            metrics,
                            intervals,
                            per_class,
                            train_images_per_second: match variant.built_in {
                                None => finished.images_per_second,
                                Some(_) => 0.0, // nothing is trained for it
                            },
                            // The work really done for this row: a shared training counts once.
                            seconds: if variant.built_in.is_none() { std::mem::take(&mut seconds) } else { 0.0 },
                            judge_seconds: each,
                            ..Row::default()
                        };
                        let inputs = inputs::of(&variant.settings, &mut known)?;
                        let training = finished.taken.is_some().then(|| finished.clone());
                        let mut made =
                            Provenance { began: started.clone(), training, inputs, ..self.provenance.clone() };
                        let recipes = calibration::kept(&variant.settings);
                        let files = ["config.toml", images::NAME, probes::NAME].into_iter();
                        made.end(&place, &files.chain(recipes.iter().map(String::as_str)).collect::<Vec<_>>())?;
                        made.save(&place.join(provenance::NAME))?;
                        // The result comes last: a run that has one is finished, and not repeated.
                        save_json(&place.join("result.json"), &done)?;
                        row(done)?;
                    }
                }
                // Together they failed: one by one it shows whose fault it is.
                Err(_) if group.len() > 1 => group.into_iter().rev().for_each(|one| groups.push_front(vec![one])),
                Err(failure) => self.fail(group[0].0, unit.seed, &failure, row)?,
            }
        }
        Ok(())
    }

    pub(super) fn place(&self, index: usize, seed: u64) -> PathBuf {
        folder::of_run(self.out, &self.variants[index].name, seed)
    }

    /// Whose model a row beside the variants is of; empty if it is of none.
    fn of(&self, variant: &Variant) -> String {
        let is_of_a_model = variant.built_in.is_some_and(|row| row.is_of_a_model());
        if is_of_a_model { self.baseline.to_owned() } else { String::new() }
    }

    /// A row with an error.
    fn fail(&self, index: usize, seed: u64, failure: &Failure, row: &mut dyn FnMut(Row) -> Outcome) -> Outcome {
        let variant = &self.variants[index];
        crate::output::note!("{} seed {seed}: {failure}", variant.name);
        let named = failure.clone().within(format!("{} seed {seed}: ", variant.name));
        self.first.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(named);
        let status = Status::Failed(failure.to_string());
        let (axes, of) = (json(&variant.axes), self.of(variant));
        let failed = Row { variant: variant.name.clone(), seed, of, axes, status, ..Row::default() };
        let place = self.place(index, seed);
        // Where not even this can be written, the failure is not the variant's: it is passed on.
        let kept = atomic::folder(&place).map_err(Failure::from);
        kept.and_then(|()| save_json(&place.join("result.json"), &failed)).map_err(|_| failure.clone())?;
        row(failed)
    }

    /// The training of a unit: whether it was done now, or found.
    fn trained(&self, unit: &Unit, drawn: &mut Option<Drawn>) -> Outcome<(Finished, bool)> {
        let place = of_training(self.out, &unit.key);
        let Variant { name, settings, .. } = &self.variants[unit.variants[0]];
        let finished = match Finished::read(&place)? {
            Some(finished) => Some(finished),
            None => self.taken(unit, &place),
        };
        if let Some(finished) = finished {
            trainings::tidy(&place);
            let words = start::tokenizer_of(&place.join("model"))?.vocabulary();
            self.begin(unit, words)?;
            return Ok((finished, false));
        }
        if !drawn.as_ref().is_some_and(|drawn| drawn.fits(settings, unit.seed)) {
            *drawn = None; // two corpora at a time may be too much
            *drawn = Some(Drawn::read(settings, unit.seed, self.registries)?);
        }
        let Some(Drawn { corpus, .. }) = drawn else { return Err(Failure::file(&place, "no corpus")) };
        let words = corpus.tokenizer.vocabulary();
        let settings = complete(settings, words);
        self.begin(unit, words)?;
        atomic::folder(&place)?;
        folder::write_settings(&place, &settings, unit.seed)?;
        self.sweep.at(format!("{name} seed {}", unit.seed));
        let (batch, mut before) = (settings.training.batch as u64, None);
        let mut progress = |step: u64, loss: f64, measured: &Figures| {
            if !measured.is_empty() {
                self.sweep.measured(said(measured));
            }
            self.sweep.add((step - before.unwrap_or(step.saturating_sub(1))) * batch, Some(loss));
            before = Some(step);
        };
        let (training, device) = (&self.registries.training, self.device);
        let made = trainings::begin(&place, self.maker)?;
        let judging = &self.registries.judging;
        let probing = settings.probes.as_ref().map(|probes| Probing::new(probes, judging)).transpose()?;
        let validating = Validating::open(&settings, unit.seed, judging)?;
        let watching = Watching {
            progress: &mut progress,
            snapshots: &Snapshots::new(settings.description(), &corpus.tokenizer, judging, device)?,
            probing: probing.as_ref(),
            validating: validating.as_ref(),
            features: features(self.out, &settings, self.maker)?,
            ranks: self.ranks.clone(),
        };
        self.tell(|| Job::Train(unit.into()));
        let trained = train::<D>(&settings, unit.seed, corpus, training, &place, device, watching);
        let trained = trained.map_err(|failure| self.alone(failure))?;
        let (images_per_second, seconds, waiting) =
            (trained.images_per_second, trained.seconds, 100.0 * trained.waiting);
        crate::output::note!(
            "{name} seed {}: {images_per_second:.0} images/s, {waiting:.1}% of the time waiting for data",
            unit.seed
        );
        let finished = Finished { images_per_second, seconds, made, taken: None };
        plain(trained, &settings, corpus, self.registries)?.write(&place.join("model"))?;
        finished.save(&place)?;
        Ok((finished, true))
    }

    /// The training of a unit from another output folder. What cannot be taken is trained.
    fn taken(&self, unit: &Unit, place: &Path) -> Option<Finished> {
        let (found, names) = (unit.elsewhere.as_ref()?, unit.names(self.variants));
        let taken = trainings::take(found, place);
        match &taken {
            Ok(_) => crate::output::note!("{names} seed {}: trained already in {}", unit.seed, found.folder()),
            Err(failure) => crate::output::note!("{names} seed {}: trained here, as {failure}", unit.seed),
        }
        taken.ok()
    }

    /// Notes in the folders of all variants with what settings they were begun.
    fn begin(&self, unit: &Unit, words: usize) -> Outcome {
        for &index in &unit.variants {
            let (place, settings) = (self.place(index, unit.seed), &self.variants[index].settings);
            folder::write_settings(&place, &complete(settings, words), unit.seed)?;
            inputs::note(&place, &inputs::of(settings, &mut inputs::Inputs::new())?)?;
        }
        Ok(())
    }

    /// The trained model.
    pub(super) fn loaded(&self, unit: &Unit) -> Outcome<Loaded<D::Plain>> {
        let folder = of_training(self.out, &unit.key).join("model");
        Ok(Loaded::read(&folder, &self.registries.judging, self.device)?)
    }

    /// The trained model as a variant uses it; its folder gets a copy.
    fn model(
        &self,
        unit: &Unit,
        index: usize,
        loaded: Loaded<D::Plain>,
        first: Option<&Ready<D::Plain>>,
    ) -> Outcome<Model<D::Plain>> {
        let settings = complete(&self.variants[index].settings, loaded.tokenizer.vocabulary());
        share(&of_training(self.out, &unit.key), &self.place(index, unit.seed), &settings)?;
        self.assembled(index, loaded, first)
    }

    /// The trained model with the settings of a variant.
    pub(super) fn assembled(
        &self,
        index: usize,
        loaded: Loaded<D::Plain>,
        first: Option<&Ready<D::Plain>>,
    ) -> Outcome<Model<D::Plain>> {
        let settings = complete(&self.variants[index].settings, loaded.tokenizer.vocabulary());
        let (description, recipe) = (settings.description(), settings.segmentation);
        match first.filter(|(_, model)| *model.description() == description) {
            Some((_, model)) => Ok(model.with_recipe(recipe)?),
            None => {
                let loaded = Loaded { description, ..loaded };
                Ok(Model::assemble(loaded, Some(recipe), self.registries.judging.clone(), self.device)?)
            }
        }
    }
}
