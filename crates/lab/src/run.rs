//! `simseg run`: every variant × seed of an experiment, then a table, `results.json` and `report.html`.
//!
//! Reading order: this file (the sweep), [`plan`] (what is to be done; `estimate` knows what it cost before, `cost` what it needs, `said` says it), `unit` (one training and what is judged on
//! it; `calibrated`: thresholds that are learned first; `judged`: what it is worth; `ranks`: by several processes), `corpora` (what it reads).

pub mod plan;
mod known;
mod cost;
mod estimate;
mod said;
mod corpora;
mod models;
mod unit;
mod calibrated;
mod judged;
mod ranks;

use crate::experiment::{Experiment, Settings, Variant};
use crate::failure::{Failure, Outcome};
use crate::ranks::Ranks;
use crate::report;
use crate::results::answers::{self, answers_to};
use crate::results::drawn::Runs;
use crate::results::folder;
pub use crate::results::folder::Earlier;
use crate::results::provenance::Provenance;
use crate::results::trainings::{self, Elsewhere, Maker};
use crate::results::{Results, Row, Status};
use corpora::{Drawn, Sweep};
use plan::{Plan, Unit, Wanted};
use said::{pictures, say_plan};
use simseg::{Extension, Registry};
use simseg_tensor::Differentiable;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// What the command line adds to the file.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where results go; the experiment's own folder under `runs/` if not given.
    pub out: Option<PathBuf>,
    /// Which variants and seeds.
    pub wanted: Wanted,
    /// Trainings at a time.
    pub jobs: usize,
    /// Print what would be done, and do nothing.
    pub plan: bool,
    /// The short version of the experiment.
    pub quick: bool,
    /// What happens to an earlier run in the same folder.
    pub earlier: Earlier,
    /// Where the numbers come from.
    pub provenance: Provenance,
    /// Output folders whose finished trainings are taken, whatever made them.
    pub reuse: Vec<PathBuf>,
}

/// Other processes that do the run with this one, if there are any.
pub type Others = Option<Arc<dyn Ranks>>;

/// Algorithms for both kinds of tensors that a run needs: those that remember how they were computed, and plain ones.
pub struct Registries<D: Differentiable> {
    training: Registry<D>,
    judging: Arc<Registry<D::Plain>>,
    pairs: known::Counts,
}

impl<D: Differentiable> Registries<D> {
    /// Steps of a training: of so many epochs, if it says so.
    fn steps(&self, settings: &Settings, seed: u64) -> Outcome<u64> {
        match settings.training.steps {
            Some(steps) => Ok(steps),
            None => Ok(settings.training.steps(self.pairs.of(settings, seed, &self.training.data)?)),
        }
    }
}

/// Runs an experiment file: trains and judges every variant for every seed.
///
/// # Errors
/// Exit 2 for bad input or a disk that refuses, exit 1 if a variant failed or an expectation does not hold, exit 3 if the backend
/// fails.
pub fn run<D: Differentiable>(
    file: &Path,
    changes: &[String],
    options: &Options,
    extension: &impl Extension,
    device: &D::Device,
) -> Outcome<Results> {
    run_with::<D>(file, changes, options, extension, device, &None)
}

/// The same together with other processes; ranks other than the first have no results.
///
/// # Errors
/// As [`run`], and if ranks were not asked for the same.
pub fn run_with<D: Differentiable>(
    file: &Path,
    changes: &[String],
    options: &Options,
    extension: &impl Extension,
    device: &D::Device,
    others: &Others,
) -> Outcome<Results> {
    let registries = Registries::<D> {
        training: Registry::with(extension),
        judging: Arc::new(Registry::with(extension)),
        pairs: known::Counts::default(),
    };
    let load = if options.quick { Experiment::load_quick } else { Experiment::load };
    let experiment = load(file, changes, &registries.training)?;
    options.wanted.check(&experiment)?;
    // Sources that are not there are known before anything is computed.
    for Variant { settings, name, .. } in &experiment.variants {
        let opened = corpora::open(settings, 0, &registries);
        opened.map_err(|failure| {
            if experiment.variants.len() > 1 { failure.within(format!("[variants.{name}] ")) } else { failure }
        })?;
    }
    if let Some(ranks) = others {
        ranks::check(ranks, &experiment, options, &registries)?;
        ranks::agree(&**ranks, &experiment, options)?;
        if ranks.rank() > 0 {
            if !options.plan {
                ranks::serve(ranks, &experiment, &options.provenance, &registries, device)?;
            }
            return Ok(Results { experiment: experiment.name.clone(), rows: vec![] });
        }
    }
    let asked = Elsewhere::new(&options.reuse, Maker::of(&options.provenance))?;
    // Who starts afresh wants everything trained anew; what lies beside would be taken by chance.
    let afresh = options.earlier == Earlier::Clear;
    let plan = |out: &Path| {
        let elsewhere = if afresh { asked.clone() } else { asked.clone().beside(out) };
        Plan::of(&experiment, &options.wanted, (out, &elsewhere), &options.provenance, &registries.training)
    };
    if options.plan {
        let out = options.out.clone().unwrap_or_else(|| experiment.default_folder());
        let plan = plan(&out)?;
        say_plan(&experiment, &plan, (&out, &asked.beside(&out)), &registries, device)?;
        return Ok(Results { experiment: experiment.name.clone(), rows: plan.finished });
    }
    let place = folder::prepare(&experiment, options.out.as_deref(), options.earlier)?;
    let out = place.path.clone();
    others.as_ref().inspect(|ranks| _ = ranks::folder(&***ranks, &out));
    crate::output::note!("{}\n→ {}", experiment.question.trim(), out.display());
    let plan = plan(&out)?;
    plan.differences
        .iter()
        .for_each(|line| crate::output::note!("note: rows that are there and those to come: {line}"));
    // What is done again is trained again.
    plan.units
        .iter()
        .filter(|unit| unit.again)
        .for_each(|unit| trainings::forget(&trainings::of_training(&out, &unit.key)));
    let mut results = Results::earlier(&out, &experiment.name)?;
    plan.finished.into_iter().for_each(|row| results.put(row));
    let results = Mutex::new(results);
    let first = sweep(&experiment, &plan.units, options, &out, (&registries, others), device, &results)?;
    others.as_ref().inspect(|ranks| ranks::end(&***ranks));
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort(&experiment);
    results.save(&out)?;
    if let Some(failure) = all_failed(&results, first) {
        return Err(failure);
    }
    report::write(&experiment, &results, &registries.training, &out)?;
    crate::output::print(format_args!("{}", report::table::text(&experiment, &results, &registries.training)?));
    crate::output::say!("\n{}\n{}", out.join("report.html").display(), out.join("results.json").display());
    failed(&results)?;
    check(&experiment, &results, &out, &registries)?;
    Ok(results)
}

/// Trains and judges all units, so many at a time. Returns the first failure of a variant, if any failed.
fn sweep<D: Differentiable>(
    experiment: &Experiment,
    units: &[Unit],
    options: &Options,
    out: &Path,
    (registries, others): (&Registries<D>, &Others),
    device: &D::Device,
    results: &Mutex<Results>,
) -> Outcome<Option<Failure>> {
    let all = units.iter().map(|unit| pictures(experiment, unit, registries));
    let sweep = Sweep::new(all.sum::<Outcome<u64>>()?);
    let provenance = &options.provenance;
    let judged: Vec<Variant> = experiment.judged().cloned().collect();
    let maker = Maker::of(provenance);
    let work = unit::Work {
        variants: &judged,
        baseline: &experiment.baseline,
        out,
        registries,
        device,
        provenance,
        maker: &maker,
        sweep: &sweep,
        first: Mutex::default(),
        ranks: others.clone(),
    };
    let keep = |row: Row| -> Outcome {
        let mut results = results.lock().unwrap_or_else(PoisonError::into_inner);
        results.put(row);
        results.sort(experiment);
        results.save(out)
    };
    let next = Mutex::new(units.iter());
    let worker = || -> Outcome {
        let mut drawn: Option<Drawn> = None;
        loop {
            let unit = next.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some(unit) = unit else { return Ok(()) };
            work.unit(unit, &mut drawn, &mut |row| keep(row))?;
        }
    };
    let jobs = options.jobs;
    let outcome = if jobs <= 1 {
        worker()
    } else {
        let threads = (rayon::current_num_threads() / jobs).max(1);
        std::thread::scope(|scope| {
            let one = |_| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
                let pool = pool.map_err(|error| Failure::Machine(format!("--jobs: {error}")))?;
                Ok(scope.spawn(move || pool.install(worker)))
            };
            let workers = (0..jobs.min(units.len().max(1))).map(one).collect::<Outcome<Vec<_>>>()?;
            let ended = workers.into_iter().map(|worker| match worker.join() {
                Ok(outcome) => outcome,
                Err(_) => Err(Failure::Machine("a worker ended with a panic".into())),
            });
            ended.collect::<Vec<_>>().into_iter().collect::<Outcome>()
        })
    };
    sweep.finish();
    outcome?;
    Ok(work.first.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// The failure to end with if there is nothing but failures: the first of this call, or what an earlier one noted.
fn all_failed(results: &Results, first: Option<Failure>) -> Option<Failure> {
    let whys = results.rows.iter().map(|row| match &row.status {
        Status::Failed(why) => Some(Failure::Input(format!("{} seed {}: {why}", row.variant, row.seed))),
        Status::Done => None,
    });
    let whys = whys.collect::<Option<Vec<_>>>()?;
    first.or_else(|| whys.into_iter().next())
}

/// That no variant failed.
fn failed(results: &Results) -> Outcome {
    let failed: Vec<&Row> = results.rows.iter().filter(|row| row.status != Status::Done).collect();
    if failed.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = failed.iter().map(|row| format!("{} (seed {})", row.variant, row.seed)).collect();
    let listed = crate::failure::listed(&names);
    Err(Failure::Check(format!("{} of {} rows failed: {listed}", failed.len(), results.rows.len())))
}

/// Prints every expectation with its answer, and keeps it.
fn check<D: Differentiable>(
    experiment: &Experiment,
    results: &Results,
    out: &Path,
    registries: &Registries<D>,
) -> Outcome {
    let mut broken = Vec::new();
    let all = answers_to(&experiment.expect, results, Some(&Runs::new(out, results, &registries.judging)));
    answers::save(out, &all)?;
    for answer in all {
        match answer.holds {
            true => crate::output::say!("✓ {}", answer.text),
            false => broken.push(answer.text),
        }
    }
    if broken.is_empty() { Ok(()) } else { Err(Failure::Check(format!("expected, but not so: {}", broken.join("; ")))) }
}
