//! A run by several ranks: rank 0 does all that a run does, and tells the others when there is something to compute together.
//!
//! Others read the experiment and the data by themselves, and what rank 0 has written in the output folder: a checkpoint that is resumed,
//! features of frozen towers, models to judge.

use super::corpora::{Drawn, Sweep};
use super::models::{complete, features};
use super::plan::Unit;
use super::unit::Work;
use super::{Options, Registries};
use crate::experiment::{Experiment, Variant};
use crate::failure::{Failure, Outcome};
use crate::ranks::Ranks;
use crate::results::provenance::Provenance;
use crate::results::trainings::{Maker, of_training};
use crate::training::follow::{alike, follow};
use serde::{Deserialize, Serialize};
use simseg::Recipe;
use simseg_tensor::Differentiable;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

/// What all ranks do now.
#[derive(Debug, Serialize, Deserialize)]
pub enum Job {
    /// Train.
    Train(Named),
    /// Judge some of the images.
    Judge(Share),
    /// There is no more to do.
    End,
}

/// A training, and the variants that wait for it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Named {
    seed: u64,
    key: String,
    variants: Vec<usize>,
}

/// Images that are judged by variants of one training.
#[derive(Debug, Serialize, Deserialize)]
pub struct Share {
    /// Their training.
    pub unit: Named,
    /// Variants by their place in the experiment, each with the recipe it is judged by.
    pub group: Vec<(usize, Recipe)>,
    /// Which of the experiment's data sets.
    pub source: usize,
    /// Images that are rank 0's whatever their number.
    pub pictures: usize,
}

impl From<&Unit> for Named {
    fn from(unit: &Unit) -> Self {
        Self { seed: unit.seed, key: unit.key.clone(), variants: unit.variants.clone() }
    }
}

impl Named {
    /// The unit as another rank needs it.
    pub fn unit(&self) -> Unit {
        let Self { seed, key, variants } = self.clone();
        Unit { seed, key, variants, again: false, elsewhere: None }
    }
}

/// That all ranks were asked for the same, by the same program. The failure is rank 0's to say.
///
/// # Errors
/// What some rank has that rank 0 has not.
pub fn agree(ranks: &dyn Ranks, experiment: &Experiment, options: &Options) -> Outcome {
    let Options { out, wanted, jobs, plan, quick, earlier, provenance, reuse } = options;
    let Maker { executable, backend, precision, .. } = Maker::of(provenance);
    let settings: Vec<&Variant> = experiment.judged().collect();
    alike(
        ranks,
        &[
            ("program", executable),
            ("backend or precision", format!("{backend} {precision}")),
            ("options", format!("{out:?} {wanted:?} {jobs} {plan} {quick} {earlier:?} {reuse:?}")),
            ("settings", format!("{settings:?}")),
        ],
    )
}

/// Says before anything is computed what several ranks cannot do.
///
/// # Errors
/// The option or key that is in the way.
pub fn check<D: Differentiable>(
    ranks: &Arc<dyn Ranks>,
    experiment: &Experiment,
    options: &Options,
    registries: &Registries<D>,
) -> Outcome {
    if options.jobs > 1 {
        return Err(Failure::input("--jobs", format!("1 under mpirun, found {}", options.jobs)));
    }
    for Variant { name, settings, .. } in &experiment.variants {
        let objective = crate::training::objective::Objective::new(settings, &registries.training)?;
        let shared = objective.shared_by(Some(ranks.clone()), settings);
        shared.map_err(|failure| failure.within(format!("[variants.{name}] ")))?;
    }
    Ok(())
}

impl<D: Differentiable> Work<'_, D> {
    /// Tells the other ranks, if there are any, what all do now.
    pub(super) fn tell(&self, job: impl FnOnce() -> Job) {
        if let Some(ranks) = &self.ranks {
            tell(&**ranks, &job());
        }
    }

    /// A failure in the middle of what ranks do together: the others cannot go on, and all end, unless they have seen it, too.
    pub(super) fn alone(&self, failure: Failure) -> Failure {
        match (&self.ranks, &failure) {
            (Some(ranks), Failure::Input(_) | Failure::Machine(_) | Failure::Check(_)) => ranks.end(&failure),
            _ => failure,
        }
    }
}

fn tell(ranks: &dyn Ranks, job: &Job) {
    ranks.broadcast(&serde_json::to_string(job).unwrap_or_default());
}

/// Lets the other ranks go.
pub fn end(ranks: &dyn Ranks) {
    tell(ranks, &Job::End);
}

/// The folder that rank 0 writes to: told by it, heard by all.
pub fn folder(ranks: &dyn Ranks, out: &std::path::Path) -> PathBuf {
    let absolute = std::path::absolute(out).unwrap_or_else(|_| out.to_owned());
    PathBuf::from(ranks.broadcast(&absolute.to_string_lossy()))
}

/// Does what rank 0 says until it says that there is no more.
///
/// # Errors
/// If this rank cannot do its share of a training.
pub fn serve<D: Differentiable>(
    ranks: &Arc<dyn Ranks>,
    experiment: &Experiment,
    provenance: &Provenance,
    registries: &Registries<D>,
    device: &D::Device,
) -> Outcome {
    let out = folder(&**ranks, std::path::Path::new(""));
    let judged: Vec<Variant> = experiment.judged().cloned().collect();
    let (sweep, maker) = (Sweep::new(0), Maker::of(provenance));
    let work = Work {
        variants: &judged,
        baseline: &experiment.baseline,
        out: &out,
        registries,
        device,
        provenance,
        maker: &maker,
        sweep: &sweep,
        first: Mutex::default(),
        ranks: Some(ranks.clone()),
    };
    let mut drawn: Option<Drawn> = None;
    loop {
        let said = ranks.broadcast("");
        match serde_json::from_str(&said) {
            Ok(Job::End) => return Ok(()),
            Ok(Job::Judge(share)) => work.judge_share(&share, &**ranks),
            Ok(Job::Train(named)) => match work.follow(&named, &mut drawn, ranks) {
                // Rank 0 knows, and says what comes next.
                Err(Failure::Diverged(_)) => {}
                other => other?,
            },
            Err(error) => return Err(Failure::Machine(format!("what rank 0 said: {error}"))),
        }
    }
}

impl<D: Differentiable> Work<'_, D> {
    fn follow(&self, named: &Named, drawn: &mut Option<Drawn>, ranks: &Arc<dyn Ranks>) -> Outcome {
        let unit = named.unit();
        let settings = &self.variants[unit.variants[0]].settings;
        if !drawn.as_ref().is_some_and(|drawn| drawn.fits(settings, unit.seed)) {
            *drawn = None;
            *drawn = Some(Drawn::read(settings, unit.seed, self.registries)?);
        }
        let Some(Drawn { corpus, .. }) = drawn else { return Ok(()) };
        let settings = complete(settings, corpus.tokenizer.vocabulary());
        let place = of_training(self.out, &unit.key);
        let features = features(self.out, &settings, self.maker)?;
        let training = &self.registries.training;
        follow::<D>(&settings, unit.seed, corpus, training, (&place, &features), self.device, ranks)
    }
}
