//! The outcome of an experiment for people: a table for the terminal ([`table`]), and a page that needs nothing but itself.

pub mod table;
pub mod chart;

use crate::experiment::{Experiment, Sources, Variant};
use crate::failure::{Failure, Outcome};
use crate::results::folder::of_run;
use crate::results::samples::{self, Said};
use crate::results::{Results, answers};
use askama::Template;
use base64::Engine;
use simseg::{Picture, Registry};
use simseg_data::atomic;
use simseg_data::picture::LabelFormat;
use simseg_tensor::Tensor;
use std::path::Path;

#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    name: &'a str,
    question: &'a str,
    seeds: usize,
    headings: Vec<String>,
    rows: Vec<Vec<String>>,
    chart: String,
    galleries: Vec<Gallery<'a>>,
    expectations: Vec<String>,
    config: String,
}

/// Pictures that some variants were judged on.
struct Gallery<'a> {
    /// Where they are from, if there is more than one such place.
    title: String,
    variants: Vec<&'a str>,
    pictures: Vec<Shown>,
    legend: Vec<Class>,
}

/// One picture with what every variant made of it.
struct Shown {
    caption: String,
    object: String,
    image: String,
    truth: String,
    predictions: Vec<Prediction>,
}

struct Prediction {
    labels: String,
    heat: String,
}

struct Class {
    name: String,
    hex: String,
}

/// Writes `report.html`.
///
/// # Errors
/// If the folder cannot be written.
pub fn write<T: Tensor>(experiment: &Experiment, results: &Results, registry: &Registry<T>, out: &Path) -> Outcome {
    let path = out.join("report.html");
    let table = table::of(experiment, results, registry)?;
    let seeds = results.seeds();
    let seed = seeds.first().copied().unwrap_or(0);
    let config = |variant: &Variant| Ok(format!("# {}\n{}\n", variant.name, variant.settings.to_toml()?));
    let page = Page {
        name: &experiment.name,
        question: experiment.question.trim(),
        seeds: seeds.len(),
        headings: table.headings,
        rows: table.rows,
        chart: chart::losses(experiment, seed, out)?,
        galleries: galleries(experiment, seed, registry, out)?,
        expectations: answers(experiment, results)
            .into_iter()
            .map(|answer| format!("{} {}", if answer.holds { "✓" } else { "✗" }, answer.text))
            .collect(),
        config: experiment.variants.iter().map(config).collect::<Outcome<_>>()?,
    };
    let text = page.render().map_err(|error| Failure::file(&path, error))?;
    Ok(atomic::write(&path, text.as_bytes())?)
}

/// Variants that were judged on the same pictures stand side by side; others have a gallery of their own.
fn galleries<'a, T: Tensor>(
    experiment: &'a Experiment,
    seed: u64,
    registry: &Registry<T>,
    out: &Path,
) -> Outcome<Vec<Gallery<'a>>> {
    struct Group<'a> {
        data: &'a Sources,
        variants: Vec<&'a str>,
    }
    let mut groups: Vec<Group<'a>> = vec![];
    for variant in &experiment.variants {
        let data = &variant.settings.evaluation.data;
        match groups.iter_mut().find(|group| group.data == data) {
            Some(group) => group.variants.push(&variant.name),
            None => groups.push(Group { data, variants: vec![&variant.name] }),
        }
    }
    let several = groups.len() > 1;
    let mut galleries = vec![];
    for Group { data, variants } in groups {
        for (prefix, source) in data.list() {
            let dataset = registry.data.open_dataset(source, seed)?;
            let folder = |variant: &str| of_run(out, variant, seed).join("pictures");
            let said = match variants.first() {
                Some(first) => samples::read(&folder(first), &prefix)?,
                None => vec![],
            };
            let shown = |(i, said): (usize, Said)| {
                let file = |variant: &str, what: &str| {
                    file_uri(&folder(variant).join(prefix.trim_end_matches('.')).join(format!("{i}.{what}.png")))
                };
                let first = variants.first().copied().unwrap_or_default();
                let prediction =
                    |variant: &&str| Prediction { labels: file(variant, "labels"), heat: file(variant, "heat") };
                Shown {
                    caption: said.caption.unwrap_or(said.stem),
                    object: said.object,
                    image: file(first, "image"),
                    truth: file(first, "truth"),
                    predictions: variants.iter().map(prediction).collect(),
                }
            };
            let pictures = said.into_iter().enumerate().map(shown).collect();
            let format = LabelFormat::of(dataset.classes().len(), dataset.has_background());
            let class =
                |(class, name): (usize, &String)| Class { name: name.clone(), hex: hex(format.colour(class as u16)) };
            let title = match (several, prefix.trim_end_matches('.')) {
                (false, name) => name.to_owned(),
                (true, "") => variants.join(", "),
                (true, name) => format!("{name}: {}", variants.join(", ")),
            };
            let legend = dataset.classes().iter().enumerate().map(class).collect();
            galleries.push(Gallery { title, variants: variants.clone(), pictures, legend });
        }
    }
    Ok(galleries)
}

fn hex(colour: [u8; 3]) -> String {
    colour.iter().map(|value| format!("{value:02x}")).collect()
}

/// A picture of a run; a run that left none shows as an empty cell.
fn file_uri(path: &Path) -> String {
    let png = std::fs::read(path);
    let png = png.unwrap_or_else(|_| Picture { width: 1, height: 1, rgb: vec![238; 3] }.png());
    format!("data:image/png;base64,{}", base64::engine::general_purpose::STANDARD.encode(png))
}
