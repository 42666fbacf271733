//! `simseg compare`: variants beside a baseline, with intervals and, where one is possible, a test.
//!
//! | number | of what |
//! |---|---|
//! | figure \[95%\] | one seed: images drawn with replacement; several: Student's over seeds |
//! | difference \[95%\] | from the baseline on the same images: one seed: images; several: seeds, then images |
//! | p | exact test over seeds from six on, after Holm's correction over all variants and figures |
//!
//! Built-in rows (`nothing`, `ceiling`, …) stand below, without a test.

use crate::experiment::BuiltIn;
use crate::failure::{Failure, Outcome};
use crate::report::table::sheet::{Cell, Column, Format, Sheet};
use crate::results::drawn::{Run, Runs};
use crate::results::{Results, Status};
use crate::statistics::bootstrap::{hierarchical, paired, percentile};
use crate::statistics::{holm, mean, sign, student};
use clap::Args;
use simseg::{Extension, Registry};
use simseg_tensor::Tensor;
use std::path::PathBuf;
use std::rc::Rc;

/// What the command line says.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Output folders of `simseg run`.
    #[arg(required = true, value_name = "DIR")]
    pub folders: Vec<PathBuf>,
    /// The variant that others are compared with.
    #[arg(long, value_name = "VARIANT")]
    pub baseline: String,
    /// What is compared.
    #[arg(long, value_name = "NAME", value_delimiter = ',', default_value = "miou")]
    pub figure: Vec<String>,
    /// How the table is written.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

/// A variant of one of the folders.
struct Entry<'a, T: Tensor> {
    label: String,
    variant: String,
    results: &'a Results,
    runs: &'a Runs<'a, T>,
}

impl<T: Tensor> Entry<'_, T> {
    /// Whether it is none of the experiment's variants.
    fn is_built_in(&self) -> bool {
        BuiltIn::by_name(&self.variant).is_some()
    }

    /// Seeds whose run came to its end, rising.
    fn seeds(&self) -> Vec<u64> {
        let own = self.results.rows.iter().filter(|row| row.variant == self.variant && row.status == Status::Done);
        let mut seeds: Vec<u64> = own.map(|row| row.seed).collect();
        seeds.sort_unstable();
        seeds
    }

    /// Its runs that have a figure.
    fn of(&self, figure: &str) -> Outcome<Vec<(u64, f64, Rc<Run>)>> {
        let mut found = vec![];
        for seed in self.seeds() {
            let run = self.runs.get(&self.variant, seed)?;
            if let Some(value) = run.judged.metrics.get(figure) {
                found.push((seed, *value, run.clone()));
            }
        }
        Ok(found)
    }
}

/// Compares.
///
/// # Errors
/// Exit 2 for a folder without results or images, an unknown baseline or figure, or runs that were judged on other images.
pub fn compare<T: Tensor>(options: &Options, extension: &impl Extension) -> Outcome {
    let registry = Registry::<T>::with(extension);
    crate::output::print(format_args!("{}", table(options, &registry)?.write(options.format)?));
    Ok(())
}

/// The table.
///
/// # Errors
/// As [`compare`].
pub fn table<T: Tensor>(options: &Options, registry: &Registry<T>) -> Outcome<Sheet> {
    let results = options.folders.iter().map(|folder| Results::read(folder)).collect::<Outcome<Vec<_>>>()?;
    let runs: Vec<Runs<'_, T>> =
        options.folders.iter().zip(&results).map(|(folder, results)| Runs::new(folder, results, registry)).collect();
    let mut entries = vec![];
    for ((folder, results), runs) in options.folders.iter().zip(&results).zip(&runs) {
        for variant in results.variants() {
            let first = results.rows.iter().find(|row| row.variant == variant);
            let name = first.map_or_else(|| variant.to_owned(), |row| row.label());
            let label = match options.folders.len() {
                1 => name,
                _ => format!("{}/{name}", folder.display()),
            };
            entries.push(Entry { label, variant: variant.to_owned(), results, runs });
        }
    }
    let position =
        entries.iter().position(|entry| entry.variant == options.baseline || entry.label == options.baseline);
    let Some(position) = position else {
        let known: Vec<&str> = entries.iter().map(|entry| entry.label.as_str()).collect();
        let text = format!("expected one of {}, found `{}`", known.join(", "), options.baseline);
        return Err(Failure::input("--baseline", text));
    };
    let baseline = entries.remove(position);
    entries.sort_by_key(Entry::is_built_in);
    let beside = entries.iter().filter(|entry| entry.is_built_in()).count();
    entries.insert(0, baseline);
    let mut columns = ["variant", "seeds", "images"].map(|name| Column::new(name, name)).to_vec();
    let mut rows: Vec<Vec<Cell>> = entries.iter().map(|entry| vec![Cell::Text(entry.label.clone())]).collect();
    let mut tests: Vec<(usize, usize, f64)> = vec![];
    for (i, figure) in options.figure.iter().enumerate() {
        columns.push(Column::new(figure.as_str(), figure.as_str()));
        columns.push(Column::new(format!("{figure}.difference"), format!("{figure} − {}'s", options.baseline)));
        columns.push(Column::new(format!("{figure}.p"), "p"));
        let base = entries[0].of(figure)?;
        if base.is_empty() {
            let known = results.iter().flat_map(|results| &results.rows).flat_map(|row| row.metrics.keys());
            let known: std::collections::BTreeSet<&str> = known.map(String::as_str).collect();
            let known = known.into_iter().collect::<Vec<_>>().join(", ");
            let text = format!("the baseline has no `{figure}` (known: {known})");
            return Err(Failure::input("--figure", text));
        }
        for (row, entry) in entries.iter().enumerate() {
            let own = entry.of(figure)?;
            if i == 0 {
                rows[row].push(Cell::plain(entry.seeds().len() as f64, 0));
                rows[row].push(counted(&own, figure));
            }
            let compared =
                if row == 0 { None } else { Some(difference(figure, entry, &own, &base, &options.baseline)?) };
            let (cell, p) = compared.unwrap_or((Cell::Nothing, None));
            rows[row].extend([level(&own, figure), cell, Cell::Nothing]);
            // A row that is no variant answers no question: it is no member of the family of tests.
            tests.extend(p.filter(|_| !entry.is_built_in()).map(|p| (row, rows[row].len() - 1, p)));
        }
    }
    let corrected = holm::correct(&tests.iter().map(|(.., p)| *p).collect::<Vec<_>>());
    for (&(row, column, _), p) in tests.iter().zip(corrected) {
        rows[row][column] = Cell::plain(p, 3);
    }
    Ok(Sheet { caption: caption(&entries, tests.len()), columns, fixed: 3, rows, beside })
}

/// A variant's own figure.
fn level(own: &[(u64, f64, Rc<Run>)], figure: &str) -> Cell {
    let values: Vec<f64> = own.iter().map(|(_, value, _)| *value).collect();
    let interval = match own {
        [(.., run)] => run.judged.replicates.get(figure).and_then(|rounds| percentile(rounds)),
        _ => student::interval(&values),
    };
    mean(&values).map_or(Cell::Nothing, |value| Cell::Number { value, interval, digits: 3 })
}

/// Images of the data set that the figure is of, in the first run.
fn counted(own: &[(u64, f64, Rc<Run>)], figure: &str) -> Cell {
    own.first().map_or(Cell::Nothing, |(.., run)| Cell::plain(run.images.count(run.images.data_of(figure)) as f64, 0))
}

/// How far a variant is from the baseline over the seeds that both have, and the p of a test if there can be one.
fn difference<T: Tensor>(
    figure: &str,
    entry: &Entry<'_, T>,
    own: &[(u64, f64, Rc<Run>)],
    base: &[(u64, f64, Rc<Run>)],
    baseline: &str,
) -> Outcome<(Cell, Option<f64>)> {
    let (mut values, mut replicates, mut shared) = (vec![], vec![], true);
    let mut first: Option<Rc<Run>> = None;
    for (seed, value, run) in own {
        let Some((_, other, reference)) = base.iter().find(|(other, ..)| other == seed) else { continue };
        let data = run.images.data_of(figure);
        if !run.images.same(&reference.images, data) {
            let text =
                format!("was judged on other images than `{baseline}`; expected the same for a comparison of {figure}");
            return Err(Failure::file(&entry.runs.folder(&entry.variant, *seed), text));
        }
        shared &= first.get_or_insert_with(|| run.clone()).images.same(&run.images, data);
        values.push(value - other);
        if let (Some(a), Some(b)) = (run.judged.replicates.get(figure), reference.judged.replicates.get(figure)) {
            replicates.push(paired(a, b));
        }
    }
    let interval = match &replicates[..] {
        [] => None,
        [one] => percentile(one),
        several => percentile(&hierarchical(several, shared)),
    };
    let cell = mean(&values).map_or(Cell::Nothing, |value| Cell::Number { value, interval, digits: 3 });
    Ok((cell, sign::test(&values)))
}

fn caption<T: Tensor>(entries: &[Entry<'_, T>], tests: usize) -> String {
    let most = entries.iter().map(|entry| entry.seeds().len()).max().unwrap_or(0);
    let of = match most {
        0 | 1 => "[95% interval] of figures and of paired differences: images drawn with replacement 1,000 times, the models as they are; one seed says nothing of other seeds".to_owned(),
        seeds => format!(
            "[95% interval] of figures: Student's over up to {seeds} seeds (one seed: its images); of paired differences: seeds, then images, drawn with replacement 1,000 times"
        ),
    };
    let fewest = sign::FEWEST;
    match tests {
        0 => format!("{of}. No p: fewer than {fewest} seeds cannot reach 5%."),
        tests => format!("{of}. p: exact test over seeds, Holm's correction for {tests}."),
    }
}
