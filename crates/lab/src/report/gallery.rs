//! What became of some pictures: variants that were judged on the same ones side by side, others in a gallery of their own.
//!
//! Pictures of a run stand in the page as they are while they take no more than `BUDGET` together; else they are made smaller, and
//! those that still do not fit stay in the folders of their runs.

use super::thumbnail::{self, Image};
use crate::experiment::{Experiment, Sources};
use crate::failure::Outcome;
use crate::results::folder::of_run;
use crate::results::samples::{self, Said};
use simseg::Registry;
use simseg_data::Dataset;
use simseg_data::picture::LabelFormat;
use simseg_tensor::Tensor;
use std::path::{Path, PathBuf};

/// Most bytes of all pictures together, as text.
const BUDGET: usize = 2_200_000;

/// Most classes whose colours are shown whether or not they occur.
const LEGEND: usize = 30;

/// Pictures that some variants were judged on.
#[derive(Debug)]
pub struct Gallery {
    /// Where they are from, if there is more than one such place.
    pub title: String,
    /// What happened to each.
    pub pictures: Vec<Shown>,
    /// How many there was no room for.
    pub left_out: usize,
    /// Colours of the classes.
    pub legend: Vec<Class>,
}

/// One picture with what every variant made of it.
#[derive(Debug)]
pub struct Shown {
    /// What it says, or its name.
    pub caption: String,
    /// The class of the maps.
    pub object: String,
    /// The picture.
    pub image: Option<Image>,
    /// Its true labels.
    pub truth: Option<Image>,
    /// One per variant.
    pub predictions: Vec<Prediction>,
}

/// What a variant made of a picture; none where its run left nothing.
#[derive(Debug)]
pub struct Prediction {
    /// Whose.
    pub variant: String,
    /// Its labels.
    pub labels: Option<Image>,
    /// Where the class of the picture responds.
    pub heat: Option<Image>,
}

/// A class with its colour.
#[derive(Debug)]
pub struct Class {
    /// Its name.
    pub name: String,
    /// `rrggbb`
    pub hex: String,
}

/// Variants that were judged on the same data.
struct Group<'a> {
    data: &'a Sources,
    variants: Vec<&'a str>,
}

/// The galleries of a seed.
///
/// # Errors
/// If a data set cannot be opened, or what is said about a run's pictures is damaged.
pub fn of<T: Tensor>(experiment: &Experiment, seed: u64, registry: &Registry<T>, out: &Path) -> Outcome<Vec<Gallery>> {
    let mut groups: Vec<Group<'_>> = vec![];
    for variant in &experiment.variants {
        let data = &variant.settings.evaluation.data;
        match groups.iter_mut().find(|group| group.data == data) {
            Some(group) => group.variants.push(&variant.name),
            None => groups.push(Group { data, variants: vec![&variant.name] }),
        }
    }
    let several = groups.len() > 1;
    let count: usize = groups.iter().map(|group| group.data.list().len()).sum();
    let mut galleries = vec![];
    for Group { data, variants } in groups {
        for (prefix, source) in data.list() {
            let dataset = registry.data.open_dataset(source, seed)?;
            let name = prefix.trim_end_matches('.');
            let title = match (several, name) {
                (false, name) => name.to_owned(),
                (true, "") => variants.join(", "),
                (true, name) => format!("{name}: {}", variants.join(", ")),
            };
            let folder = |variant: &&str| of_run(out, variant, seed).join("pictures").join(name);
            let runs: Vec<(&str, PathBuf)> = variants.iter().map(|variant| (*variant, folder(variant))).collect();
            let gallery = gallery(title, &*dataset, &runs, BUDGET / count)?;
            // Failed runs leave nothing to look at.
            galleries.extend((!gallery.pictures.is_empty() || gallery.left_out > 0).then_some(gallery));
        }
    }
    Ok(galleries)
}

fn gallery(title: String, dataset: &dyn Dataset, runs: &[(&str, PathBuf)], budget: usize) -> Outcome<Gallery> {
    let mut said: Vec<Said> = vec![];
    // A run that failed left none; those that did not were asked about the same pictures.
    let mut source = None;
    for (_, folder) in runs {
        said = samples::read(folder, "")?;
        if !said.is_empty() {
            source = Some(folder);
            break;
        }
    }
    let format = LabelFormat::of(dataset.classes().len(), dataset.has_background());
    let mut gallery = Gallery { title, pictures: vec![], left_out: 0, legend: legend(dataset, format, &[]) };
    let Some(source) = source else { return Ok(gallery) };
    let file = |folder: &Path, i: usize, what: &str| folder.join(format!("{i}.{what}.png"));
    let names = |i| {
        let own = ["labels", "heat"].into_iter().flat_map(move |what| runs.iter().map(move |(_, f)| file(f, i, what)));
        own.chain([file(source, i, "image"), file(source, i, "truth")])
    };
    let bytes = |i| names(i).filter_map(|path| path.metadata().ok()).map(|file| file.len() as usize).sum::<usize>();
    let fits = (0..said.len()).map(bytes).sum::<usize>() * 4 / 3 <= budget;
    let (mut used, mut occurring) = (0, vec![]);
    for (i, said) in said.into_iter().enumerate() {
        let mut size = 0;
        let mut photo = |folder: &Path, what: &str, alt: String| {
            let image = thumbnail::photo(&file(folder, i, what), fits, alt);
            size += image.as_ref().map_or(0, |image| image.uri.len());
            image
        };
        let caption = said.caption.unwrap_or(said.stem);
        let image = photo(source, "image", format!("the picture: {caption}"));
        let heats: Vec<_> =
            runs.iter().map(|(v, f)| photo(f, "heat", format!("map of {} by {v}", said.object))).collect();
        let mut labels = |folder: &Path, what: &str, whose: &str| {
            let (image, classes) = thumbnail::labels(&file(folder, i, what), fits, format, dataset.classes(), whose)?;
            size += image.uri.len();
            occurring.extend(classes);
            Some(image)
        };
        let truth = labels(source, "truth", "true labels");
        let own: Vec<_> = runs.iter().map(|(v, folder)| labels(folder, "labels", &format!("labels by {v}"))).collect();
        used += size;
        if used > budget {
            gallery.left_out += 1;
            continue;
        }
        let predictions = runs.iter().zip(own).zip(heats);
        let predictions =
            predictions.map(|(((v, _), labels), heat)| Prediction { variant: (*v).to_owned(), labels, heat }).collect();
        gallery.pictures.push(Shown { caption, object: said.object, image, truth, predictions });
    }
    gallery.legend = legend(dataset, format, &occurring);
    Ok(gallery)
}

/// All classes if they are few, else those that occur.
fn legend(dataset: &dyn Dataset, format: LabelFormat, occurring: &[usize]) -> Vec<Class> {
    let all = dataset.classes();
    let shown = |class: &usize| all.len() <= LEGEND || occurring.contains(class);
    let class = |class: usize| {
        let hex = format.colour(class as u16).iter().map(|value| format!("{value:02x}")).collect();
        Class { name: all[class].clone(), hex }
    };
    (0..all.len()).filter(shown).map(class).collect()
}
