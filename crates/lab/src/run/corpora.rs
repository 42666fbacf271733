//! What trainings read, and how far a sweep is.

use super::Registries;
use crate::calibration;
use crate::experiment::Settings;
use crate::failure::{Failure, Outcome};
use crate::progress::Steps;
use crate::training::corpus::{Changes, Corpus};
use crate::training::start;
use crate::training::validation::Validating;
use simseg::ClassList;
use simseg_tensor::Differentiable;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A corpus, and the settings that it was read for.
pub struct Drawn {
    settings: Settings,
    seed: u64,
    pub(super) corpus: Corpus,
}

impl Drawn {
    /// Whether it is what these settings train on.
    pub(super) fn fits(&self, settings: &Settings, seed: u64) -> bool {
        let of = |s: &Settings| {
            let training = s.training.clone();
            (training.data, training.init, training.vocabulary, training.augment, training.caption_noise.to_bits())
        };
        of(&self.settings) == of(settings)
            && self.settings.model == settings.model
            && self.settings.training.batch == settings.training.batch
            && self.settings.seeds.data(self.seed) == settings.seeds.data(seed)
    }

    /// Reads what a variant trains on.
    pub(super) fn read<D: Differentiable>(settings: &Settings, seed: u64, registries: &Registries<D>) -> Outcome<Self> {
        let seed_of_data = settings.seeds.data(seed);
        let pairs = registries.training.data.open_pairs(&settings.training.data, seed_of_data)?;
        let network = settings.network(&registries.training)?;
        let bar = Steps::new("reading pairs", 1.0, "pairs");
        bar.start(pairs.len() as u64, 0);
        let tokenizer = start::tokenizer(settings)?;
        let images = settings.augmentations(&registries.training)?;
        let changes = Changes { images, caption_noise: settings.training.caption_noise };
        let progress = |position| bar.to(position, None);
        let corpus = Corpus::open(pairs, changes, tokenizer, &*network, settings.training.batch, progress)?;
        bar.finish();
        if corpus.cut > 0 {
            let (all, most) = (corpus.len(), network.positions());
            crate::output::note!("{} of {all} captions are longer than {most} tokens: cut", corpus.cut);
        }
        Ok(Self { settings: settings.clone(), seed, corpus })
    }
}

/// Opens all sources of a variant.
pub(super) fn open<D: Differentiable>(settings: &Settings, seed: u64, registries: &Registries<D>) -> Outcome {
    let data = &registries.training.data;
    let (pairs, batch) = (registries.pairs.of(settings, seed, data)?, settings.training.batch);
    if pairs < batch {
        return Err(Failure::input("training.batch", format!("at most the {pairs} pairs there are, found {batch}")));
    }
    Validating::check(settings, seed, &registries.judging)?;
    let held_out = calibration::held_out(settings, seed, data)?;
    for (prefix, source) in settings.evaluation.data.list() {
        let dataset = data.open_dataset(source, settings.seeds.test);
        let section = format!("evaluation.{prefix}");
        let dataset = dataset.map_err(|error| Failure::from(error).of_data(section.trim_end_matches('.')))?;
        if let Some(held_out) = &held_out {
            let classes = ClassList::parse(&dataset.class_lines().join("\n"))?;
            let some = calibration::some_mentioned(&**held_out, &classes, usize::MAX);
            some.map_err(|failure| failure.within("segmentation.threshold: held-out "))?;
        }
    }
    if let Some(probes) = &settings.probes {
        crate::probes::watch::open(probes, &registries.judging)?;
    }
    start::check(settings, &registries.training)
}

/// How far the whole sweep is, in pictures seen.
pub struct Sweep {
    bar: Mutex<(Steps, u64)>,
}

impl Sweep {
    pub(super) fn new(all: u64) -> Self {
        let bar = Steps::new("sweep", 1.0, "images");
        bar.start(all, 0);
        Self { bar: Mutex::new((bar, 0)) }
    }

    /// The end.
    pub(super) fn finish(&self) {
        self.bar().0.finish();
    }

    fn bar(&self) -> MutexGuard<'_, (Steps, u64)> {
        self.bar.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is done now.
    pub(super) fn at(&self, label: String) {
        self.bar().0.label(label);
    }

    /// What was measured last; it is said until something else is done.
    pub(super) fn measured(&self, text: String) {
        self.bar().0.measured(text);
    }

    /// So many pictures more.
    pub(super) fn add(&self, pictures: u64, loss: Option<f64>) {
        let mut bar = self.bar();
        bar.1 += pictures;
        let done = bar.1;
        bar.0.to(done, loss);
    }
}
