//! A threshold for each class, from images whose classes are known: by their label maps, or by captions that mention them.
//!
//! ```text
//! image → features → scores [c];   label map, or captions → classes present;   all of them → one score per class (largest F1)
//! ```
//!
//! A variant of an experiment with the rule `from-captions` is judged with what is learned here from pictures that its source of
//! training data holds out ([`Pairs::held_out`]). The recipe that comes of it is kept in the run's folder ([`keep`]): `simseg
//! verify --rerun` judges by it, and `--recipe` takes it.

use crate::experiment::Settings;
use crate::failure::{Failure, Outcome};
use crate::judging::encoded::encoded;
use simseg::{Choice, ClassList, Model, Recipe, Words, settings as reading};
use simseg_data::{DataRegistry, Dataset, Pairs, atomic};
use simseg_segment::threshold::{Calibrated, FROM_CAPTIONS, FromCaptions, Mentions, calibrate};
use simseg_tensor::Tensor;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Scores and classes of images.
pub struct Cases {
    /// `[i][c]`
    scores: Vec<Vec<f32>>,
    /// The classes of image `i`.
    present: Vec<Vec<usize>>,
}

impl Cases {
    /// Of the first images of a data set: a class is present where its label map has it. `done` is told how many are there.
    ///
    /// # Errors
    /// If an image cannot be read, or the model fails.
    pub fn labelled<T: Tensor>(
        (model, words): (&Model<T>, &Words<T>),
        dataset: &dyn Dataset,
        images: usize,
        done: &mut dyn FnMut(usize),
    ) -> Outcome<Self> {
        let read = |index: usize| {
            let item = dataset.item(index)?;
            Ok((item.picture, item.labels.classes()))
        };
        Self::of(model, words, images, &read, done)
    }

    /// Of pictures with captions, [`mentioned`] by them.
    ///
    /// # Errors
    /// If a picture cannot be read, or the model fails.
    pub fn captioned<T: Tensor>(
        (model, words): (&Model<T>, &Words<T>),
        pairs: &dyn Pairs,
        mentioned: &[Mentioned],
        done: &mut dyn FnMut(usize),
    ) -> Outcome<Self> {
        let read = |index: usize| {
            let Mentioned { pair, classes } = &mentioned[index];
            Ok((pairs.pair(*pair)?.picture, classes.clone()))
        };
        Self::of(model, words, mentioned.len(), &read, done)
    }

    fn of<T: Tensor>(
        model: &Model<T>,
        words: &Words<T>,
        images: usize,
        read: &(dyn Fn(usize) -> Outcome<(simseg::Picture, Vec<usize>)> + Sync),
        done: &mut dyn FnMut(usize),
    ) -> Outcome<Self> {
        let mut cases = Self { scores: vec![], present: vec![] };
        encoded(model, 0..images, read, |index, _, present, features| {
            let view = model.view(features, words);
            view.check()?;
            cases.scores.push(model.segmenter().score().scores(view)?);
            cases.present.push(present);
            done(index + 1);
            Ok(())
        })?;
        Ok(cases)
    }

    /// The score per class that best separates images with it from those without it; never drawn if no image has it.
    ///
    /// # Errors
    /// If there is no image.
    pub fn rule(&self) -> Outcome<Calibrated> {
        Ok(calibrate(&self.scores, &self.present)?)
    }

    /// Number of images with a class.
    pub fn with(&self, class: usize) -> usize {
        self.present.iter().filter(|classes| classes.contains(&class)).count()
    }
}

/// A picture and the classes that its captions mention.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mentioned {
    /// Its first pair.
    pub pair: usize,
    /// The classes, each once.
    pub classes: Vec<usize>,
}

/// The first `most` pictures of some pairs with the classes that any of their captions mentions. Pictures are not read.
///
/// # Errors
/// If a caption cannot be read.
pub fn mentioned(pairs: &dyn Pairs, list: &ClassList, most: usize) -> Outcome<Vec<Mentioned>> {
    let mentions = Mentions::of(list);
    let (mut pictures, mut places) = (Vec::<Mentioned>::new(), HashMap::new());
    for pair in 0..pairs.len() {
        let id = pairs.id(pair)?;
        let place = match places.get(&id) {
            Some(&place) => place,
            None if pictures.len() == most => continue,
            None => {
                pictures.push(Mentioned { pair, classes: vec![] });
                places.insert(id, pictures.len() - 1);
                pictures.len() - 1
            }
        };
        let classes = &mut pictures[place].classes;
        classes.extend(mentions.classes(&pairs.caption(pair)?));
        classes.sort_unstable();
        classes.dedup();
    }
    Ok(pictures)
}

/// The same, with an error if no caption mentions any class.
///
/// # Errors
/// As [`mentioned`].
pub fn some_mentioned(pairs: &dyn Pairs, list: &ClassList, most: usize) -> Outcome<Vec<Mentioned>> {
    let pictures = mentioned(pairs, list, most)?;
    if pictures.iter().all(|picture| picture.classes.is_empty()) {
        let names = crate::failure::listed(&list.names()[usize::from(list.has_background())..]);
        let text = format!("no caption of {} pictures mentions a class; expected one of {names}", pictures.len());
        return Err(Failure::input("captions", text));
    }
    Ok(pictures)
}

/// What a recipe says if its thresholds are to be learned from captions.
pub fn wanted(recipe: &Recipe) -> Option<FromCaptions> {
    let rule: Choice = recipe.segmenter.get("threshold").filter(|rule: &Choice| rule.kind == FROM_CAPTIONS)?;
    serde_json::from_value(rule.settings.into()).ok()
}

/// The pictures that thresholds of a variant are learned from; none if it does not ask for that.
///
/// # Errors
/// If its training data hold out fewer.
pub fn held_out(settings: &Settings, seed: u64, data: &DataRegistry) -> Outcome<Option<Box<dyn Pairs>>> {
    let Some(rule) = wanted(&settings.segmentation) else { return Ok(None) };
    let pairs = data.open_pairs(&settings.training.data, settings.seeds.data(seed))?;
    let held_out = pairs.held_out(rule.images.get()).map_err(|error| Failure::from(error).of_data("training"));
    Ok(Some(held_out.map_err(|failure| failure.within("segmentation.threshold: "))?))
}

/// Where the recipe of a run is kept for a data set, by what is put before the names of its figures: nothing, or `name.`.
fn path_of(place: &Path, prefix: &str) -> PathBuf {
    place.join(format!("{prefix}recipe.toml"))
}

/// The names of the recipes that a run of these settings keeps.
pub fn kept(settings: &Settings) -> Vec<String> {
    let asked = wanted(&settings.segmentation).map(|_| settings.evaluation.data.list());
    asked.into_iter().flatten().map(|(prefix, _)| format!("{prefix}recipe.toml")).collect()
}

/// Keeps the recipe that a run is judged by in its folder; with none, removes what an earlier rule left there.
///
/// # Errors
/// If the disk refuses.
pub fn keep(place: &Path, prefix: &str, recipe: Option<&Recipe>) -> Outcome {
    let path = path_of(place, prefix);
    let Some(recipe) = recipe else {
        let _ = std::fs::remove_file(&path); // mostly there is none
        return Ok(());
    };
    let head = "# What this run was judged by: its thresholds were learned from held-out captions.\n".to_owned();
    Ok(atomic::write(&path, (head + &recipe.to_toml()?).as_bytes())?)
}

/// A model of a run's folder with the rule that was learned for it, if it asks for one.
///
/// # Errors
/// If the recipe that was kept is gone or damaged.
pub fn recorded<T: Tensor>(model: &Model<T>, place: &Path, prefix: &str) -> Outcome<Model<T>> {
    if wanted(model.recipe()).is_none() {
        return Ok(model.clone());
    }
    let path = path_of(place, prefix);
    let recipe: Recipe = reading::settings(&path, "", reading::parse(&path, &reading::read_text(&path)?)?)?;
    let rule = recipe.segmenter.get::<Choice>("threshold").unwrap_or_default();
    Ok(model.with_recipe(model.recipe().clone().with_threshold(&rule))?)
}
