//! `images.jsonl`: what every image of a run added to every metric. All figures, and how sure they are, follow from this file alone.
//!
//! ```text
//! {"classes": {"": ["background", "cat"]}, "metrics": ["iou", "pointing"]}
//! {"data": "", "stem": "000012", "observed": {"iou": [[0, 0, 3000], [1, 0, 96]], "pointing": [1, 1]}}
//! ```
//!
//! `data` is what stands before the figures of a data set: nothing for the only one, `name.` for one of several.

use super::Metrics;
use crate::failure::{Failure, Outcome};
use crate::statistics::Interval;
use crate::statistics::bootstrap::{ROUNDS, Replicates, percentile, rounds};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use simseg::{Choice, Registry};
use simseg_data::{atomic, bounded};
use simseg_segment::metrics::{ClassFigure, Metric};
use simseg_tensor::Tensor;
use std::collections::BTreeMap;
use std::path::Path;

/// The file in a run's folder.
pub const NAME: &str = "images.jsonl";

/// A file has at most this many bytes.
const LARGEST: u64 = 1 << 30;

/// What a run saw.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Images {
    header: Header,
    lines: Vec<Line>,
}

/// The first line.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    /// Names of the classes of each data set.
    classes: BTreeMap<String, Vec<String>>,
    /// Names of metrics, in the order in which they were asked for.
    metrics: Vec<String>,
}

/// One image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    data: String,
    stem: String,
    observed: BTreeMap<String, Value>,
}

/// What follows from all images of a run.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Judged {
    /// Figures by name, as in `results.json`.
    pub metrics: Metrics,
    /// Every figure in every round of the bootstrap over images.
    pub replicates: BTreeMap<String, Replicates>,
    /// Intersection over union by class.
    pub per_class: BTreeMap<String, Option<f64>>,
}

impl Judged {
    /// 95% intervals of the figures: images drawn with replacement, the model as it is.
    pub fn intervals(&self) -> BTreeMap<String, Interval> {
        self.replicates.iter().filter_map(|(key, rounds)| Some((key.clone(), percentile(rounds)?))).collect()
    }
}

impl Images {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Says which classes a data set has, in their order.
    pub fn classes(&mut self, prefix: &str, names: &[String]) {
        self.header.classes.insert(prefix.to_owned(), names.to_vec());
    }

    /// Adds an image: one observation per metric.
    pub fn add(&mut self, prefix: &str, stem: &str, metrics: &[String], observed: &[Value]) {
        for name in metrics.iter().filter(|name| !self.header.metrics.contains(name)).collect::<Vec<_>>() {
            self.header.metrics.push(name.clone());
        }
        let observed = metrics.iter().cloned().zip(observed.iter().cloned()).collect();
        self.lines.push(Line { data: prefix.to_owned(), stem: stem.to_owned(), observed });
    }

    /// Writes the file.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn save(&self, path: &Path) -> Outcome {
        Ok(atomic::write_with(path, |out| {
            serde_json::to_writer(&mut *out, &self.header)?;
            writeln!(out)?;
            for line in &self.lines {
                serde_json::to_writer(&mut *out, line)?;
                writeln!(out)?;
            }
            Ok(())
        })?)
    }

    /// Reads the file.
    ///
    /// # Errors
    /// If it is not there, larger than 1 GiB, or the first line that is none of it.
    pub fn read(path: &Path) -> Outcome<Self> {
        let text = bounded::text(path, LARGEST, "observations of images")?;
        let wrong = |line: usize, why: String| Failure::file(path, format!("line {line}: {why}"));
        let mut lines = text.lines().zip(1..);
        let (first, _) =
            lines.next().ok_or_else(|| Failure::file(path, "is empty; expected a line of classes and metrics"))?;
        let header: Header = serde_json::from_str(first).map_err(|error| wrong(1, error.to_string()))?;
        let read = |(text, number): (&str, usize)| {
            let line: Line = serde_json::from_str(text).map_err(|error| wrong(number, error.to_string()))?;
            if !header.classes.contains_key(&line.data) {
                return Err(wrong(number, format!("data `{}` is none of the first line", line.data)));
            }
            if let Some(name) = header.metrics.iter().find(|name| !line.observed.contains_key(*name)) {
                return Err(wrong(number, format!("no observation of `{name}`")));
            }
            if line.observed.len() != header.metrics.len() {
                return Err(wrong(number, "a metric that is none of the first line".into()));
            }
            Ok(line)
        };
        let lines = lines.map(read).collect::<Outcome<Vec<_>>>()?;
        Ok(Self { header, lines })
    }

    /// Images of all data sets.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Data sets: what stands before their figures.
    pub fn data(&self) -> impl Iterator<Item = &str> {
        self.header.classes.keys().map(String::as_str)
    }

    /// The data set whose figure this is.
    pub fn data_of(&self, figure: &str) -> &str {
        self.data().filter(|prefix| figure.starts_with(prefix)).max_by_key(|prefix| prefix.len()).unwrap_or_default()
    }

    fn of<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a Line> {
        self.lines.iter().filter(move |line| line.data == prefix)
    }

    /// Images of a data set.
    pub fn count(&self, prefix: &str) -> usize {
        self.of(prefix).count()
    }

    /// Whether two runs saw the same images of a data set in the same order: by their names and, where both counted pixels, by the
    /// number of pixels of each true class.
    pub fn same(&self, other: &Self, prefix: &str) -> bool {
        let truth = |line: &Line| {
            let cells: Vec<(usize, Option<usize>, u64)> =
                serde_json::from_value(line.observed.get("iou")?.clone()).ok()?;
            let mut pixels: BTreeMap<usize, u64> = BTreeMap::new();
            cells.into_iter().for_each(|(truth, _, n)| *pixels.entry(truth).or_default() += n);
            Some(pixels)
        };
        let alike = |(a, b): (&Line, &Line)| a.stem == b.stem && truth(a).zip(truth(b)).is_none_or(|(a, b)| a == b);
        self.count(prefix) == other.count(prefix) && self.of(prefix).zip(other.of(prefix)).all(alike)
    }

    /// The first image that adds something else than in another run, or that one of the two has not.
    pub fn differs(&self, other: &Self) -> Option<&str> {
        if self.header != other.header {
            return Some(self.lines.first().map_or("", |line| &line.stem));
        }
        let differing = self.lines.iter().zip(&other.lines).find(|(own, other)| own != other).map(|(own, _)| own);
        let longer = if self.len() > other.len() { &self.lines } else { &other.lines };
        let missing = longer.get(self.len().min(other.len()));
        differing.map(|line| line.stem.as_str()).or(missing.map(|_| "one that only one of them has"))
    }

    /// All figures, in every round of the bootstrap too.
    ///
    /// # Errors
    /// If a metric is unknown, or an observation is none of it.
    pub fn judge<T: Tensor>(&self, registry: &Registry<T>) -> Outcome<Judged> {
        self.judge_after(registry, &mut Known::default())
    }

    /// The same after other rows of the same images: what a metric saw alike in the last one (the resolution ceiling in a sweep of
    /// thresholds) has the same figures, and is not resampled again.
    ///
    /// # Errors
    /// As [`Self::judge`].
    pub fn judge_after<T: Tensor>(&self, registry: &Registry<T>, known: &mut Known) -> Outcome<Judged> {
        let mut judged = Judged::default();
        let build = |name: &String| Ok(registry.segment.metrics.build(&Choice::new(name))?);
        let metrics = self.header.metrics.iter().map(build).collect::<Outcome<Vec<_>>>()?;
        for (prefix, classes) in &self.header.classes {
            for (metric, name) in metrics.iter().zip(&self.header.metrics) {
                let key = (prefix.clone(), name.clone());
                let seen = || self.of(prefix).map(|line| &line.observed[name]);
                if !known.0.get(&key).is_some_and(|resampled| seen().eq(&resampled.observed)) {
                    known.0.insert(key.clone(), Resampled::of(&**metric, seen().cloned().collect())?);
                }
                let resampled = &known.0[&key];
                for (figure, (value, replicates)) in metric.figures().iter().zip(&resampled.figures) {
                    if let Some(value) = value {
                        let key = format!("{prefix}{}", figure.name);
                        judged.metrics.insert(key.clone(), *value);
                        judged.replicates.insert(key, replicates.clone());
                    }
                }
                for ClassFigure { class, prefix: what, value } in metric.by_class(&resampled.observed, classes.len())? {
                    let name = classes.get(class).map_or("?", String::as_str);
                    judged.per_class.insert(format!("{prefix}{what}{name}"), value);
                }
            }
        }
        Ok(judged)
    }
}

/// What the metrics of the last row saw of each data set, and their figures.
#[derive(Debug, Default)]
pub struct Known(BTreeMap<(String, String), Resampled>);

/// The figures of a metric, in the order in which it declares them.
#[derive(Debug)]
struct Resampled {
    /// One observation per image.
    observed: Vec<Value>,
    /// Over all images, and in every round of the bootstrap.
    figures: Vec<(Option<f64>, Replicates)>,
}

impl Resampled {
    fn of<T: Tensor>(metric: &dyn Metric<T>, observed: Vec<Value>) -> Outcome<Self> {
        let values = metric.finish(&observed)?;
        let replicates = {
            let prepared = metric.prepare(&observed)?;
            rounds(observed.len(), ROUNDS, |times| Ok::<_, Failure>(prepared(times)?))?
        };
        let of_figure = |(position, value)| (value, replicates.iter().map(|round| round[position]).collect());
        Ok(Self { observed, figures: values.into_iter().enumerate().map(of_figure).collect() })
    }
}
