//! `--rerun N`: rows judged again from the models and test sets that they name, and held to what their images are recorded to have added.
//!
//! Rows are taken evenly from `results.json`: the `i`-th is row `⌊i·rows/N⌋`. On the backend, numbers and instructions of the
//! recorded run every image must add the same to the last count; elsewhere figures may differ by [`ELSEWHERE`].

use super::Problems;
use crate::calibration;
use crate::experiment::{BuiltIn, Settings};
use crate::failure::Outcome;
use crate::judging::Judge;
use crate::output::say;
use crate::results::drawn::Runs;
use crate::results::images::{self, Images};
use crate::results::provenance::{self, Provenance};
use crate::results::{Results, Row, Status};
use simseg::{Choice, ClassList, Loaded, Model, Registry, settings as reading};
use simseg_tensor::Tensor;
use std::path::Path;
use std::sync::Arc;

/// How far figures may lie apart where rounding differs: a response that is picked differently moves a few masks.
const ELSEWHERE: f64 = 0.01;

/// Judges rows again; says which.
///
/// # Errors
/// If a row's settings, model or images cannot be read.
pub(super) fn rerun<T: Tensor>(
    count: usize,
    results: &Results,
    runs: &Runs<'_, T>,
    registry: &Arc<Registry<T>>,
    device: &T::Device,
) -> Outcome<Problems> {
    let done: Vec<&Row> = results.rows.iter().filter(|row| row.status == Status::Done).collect();
    let count = count.min(done.len());
    let mut problems = vec![];
    for row in (0..count).map(|i| done[i * done.len() / count]) {
        let place = runs.folder(&row.variant, row.seed);
        let recorded = runs.get(&row.variant, row.seed)?;
        let again = judged_again(&place, row, registry, device)?;
        let made = Provenance::read(&place.join(provenance::NAME))?;
        let here = Provenance::here("cpu", "cpu");
        let of = |made: &Provenance| (made.backend.clone(), made.precision.clone(), made.cpu_features.clone());
        let exact = of(&made) == of(&here);
        let path = place.join(images::NAME);
        if exact && let Some(image) = recorded.images.differs(&again) {
            problems.push(format!("{}: judged again, image `{image}` adds something else", path.display()));
        } else if !exact {
            let figures = again.judge(registry)?.metrics;
            let far = |(key, value): &(&String, &f64)| {
                figures.get(*key).is_none_or(|again| (again - **value).abs() > ELSEWHERE)
            };
            if let Some((key, value)) = row.metrics.iter().find(far) {
                let found = figures.get(key).copied().unwrap_or(f64::NAN);
                problems.push(format!("{}: judged again, {key} is {found}, but {value} was recorded", path.display()));
            }
        }
        let how = if exact { "the same to the last count".to_owned() } else { format!("within {ELSEWHERE}") };
        say!("judged again: {} seed {}, expected {how}", row.variant, row.seed);
    }
    Ok(problems)
}

/// What the images of a row's test sets add, by its stored settings and model.
fn judged_again<T: Tensor>(
    place: &Path,
    row: &Row,
    registry: &Arc<Registry<T>>,
    device: &T::Device,
) -> Outcome<Images> {
    let path = place.join("config.toml");
    let mut table = reading::parse(&path, &reading::read_text(&path)?)?;
    table.remove("seed");
    let settings: Settings = reading::settings(&path, "", table)?;
    let loaded = Loaded::read(&place.join("model"), registry, device)?;
    let model = Model::assemble(loaded, Some(settings.segmentation.clone()), registry.clone(), device)?;
    let names = &settings.evaluation.metrics;
    let build = |name: &String| Ok(registry.segment.metrics.build(&Choice::new(name))?);
    let metrics = names.iter().map(build).collect::<Outcome<Vec<_>>>()?;
    let instead = BuiltIn::by_name(&row.variant);
    let mut seen = Images::new();
    for (prefix, source) in settings.evaluation.data.list() {
        let dataset = registry.data.open_dataset(source, settings.seeds.test)?;
        let words = model.classes(ClassList::parse(&dataset.class_lines().join("\n"))?)?;
        seen.classes(&prefix, dataset.classes());
        let model = match instead {
            Some(_) => model.clone(), // is given its classes, by whatever rule
            None => calibration::recorded(&model, place, &prefix)?,
        };
        let judge = Judge { model: &model, words: &words, segmenter: model.segmenter(), metrics: &metrics, instead };
        judge.all(&*dataset, 0..dataset.len(), &mut |image| {
            seen.add(&prefix, &image.item.stem, names, &image.observed);
            Ok(())
        })?;
    }
    Ok(seen)
}
