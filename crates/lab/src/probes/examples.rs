//! What probes look at: a few images with their captions and, if there are any, label maps, read once.

use super::Probe;
use crate::failure::{Failure, Outcome};
use simseg_data::picture::Labels;
use simseg_data::{DataRegistry, Dataset, NamedWords, Pairs, Picture, Source};

/// Images with what is known about them.
#[derive(Debug, Clone, Default)]
pub struct Examples {
    /// The images.
    pub images: Vec<Example>,
    /// Their captions, in the order of the images.
    pub captions: Vec<Caption>,
    /// The class file of their label maps; none if there are no label maps.
    pub class_lines: Vec<String>,
    /// Which words of captions name objects and which contexts.
    pub words: NamedWords,
}

/// An image.
#[derive(Debug, Clone)]
pub struct Example {
    /// Its name.
    pub name: String,
    /// What one sees.
    pub picture: Picture,
    /// What is where.
    pub labels: Option<Labels>,
    /// The class of every object, background excluded.
    pub objects: Vec<usize>,
    /// The names of these classes.
    pub present: Vec<String>,
}

/// A caption.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caption {
    /// Whose, by its place among the images.
    pub image: usize,
    /// What somebody wrote.
    pub text: String,
}

impl Examples {
    /// The first `most` images of a source; drawn ones are of `seed`. `words` replaces those that the source knows.
    ///
    /// # Errors
    /// If it cannot be read, or lacks what one of the probes needs.
    pub fn open(
        data: &DataRegistry,
        source: &Source,
        (most, seed): (usize, u64),
        words: Option<NamedWords>,
        probes: &[Probe],
    ) -> Outcome<Self> {
        let within = |error: simseg_registry::Error| Failure::from(error).of_data("probes");
        let mut examples = if data.datasets.names().contains(&&*source.kind) {
            Self::of_dataset(&*data.open_dataset(source, seed).map_err(within)?, most)?
        } else {
            Self::of_pairs(&*data.open_pairs(source, seed).map_err(within)?, most)?
        };
        examples.words = words.unwrap_or(examples.words);
        examples.check(probes)?;
        Ok(examples)
    }

    /// The first images of a data set, with captions if it has any.
    ///
    /// # Errors
    /// If an image cannot be read.
    pub fn of_dataset(dataset: &dyn Dataset, most: usize) -> Outcome<Self> {
        let words = dataset.named_words().unwrap_or_default();
        let mut examples = Self { class_lines: dataset.class_lines(), words, ..Self::default() };
        for index in 0..dataset.len().min(most) {
            let item = dataset.item(index)?;
            let objects = dataset.objects(index, &item);
            let present = objects.iter().map(|&class| dataset.classes()[class].clone()).collect();
            let caption = dataset.caption(index)?;
            examples.captions.extend(caption.map(|text| Caption { image: index, text }));
            let labels = Some(item.labels);
            examples.images.push(Example { name: item.stem, picture: item.picture, labels, objects, present });
        }
        Ok(examples)
    }

    /// The first images of a source of pairs; pairs of one name that follow each other are one image with several captions.
    ///
    /// # Errors
    /// If an image cannot be read.
    pub fn of_pairs(pairs: &dyn Pairs, most: usize) -> Outcome<Self> {
        let mut examples = Self { words: pairs.named_words().unwrap_or_default(), ..Self::default() };
        for index in 0..pairs.len() {
            let pair = pairs.pair(index)?;
            if examples.images.last().is_none_or(|last| last.name != pair.id) {
                if examples.images.len() == most {
                    break;
                }
                let (picture, objects, present) = (pair.picture, vec![], vec![]);
                examples.images.push(Example { name: pair.id, picture, labels: None, objects, present });
            }
            examples.captions.push(Caption { image: examples.images.len() - 1, text: pair.caption });
        }
        Ok(examples)
    }

    fn check(&self, probes: &[Probe]) -> Outcome {
        let bad = |key: &str, expected: String| Err(Failure::input(format!("probes.{key}"), expected));
        for probe in probes {
            let name = probe.name();
            match probe {
                Probe::Attention if self.class_lines.is_empty() => {
                    return bad(
                        "data",
                        format!("expected label maps for `{name}` (scenes, or a data set), found none"),
                    );
                }
                Probe::WordSwap | Probe::Retrieval if self.captions.is_empty() => {
                    return bad("data", format!("expected captions for `{name}` (scenes, captions), found none"));
                }
                Probe::WordSwap if self.words.objects.len() < 2 && self.words.contexts.len() < 2 => {
                    let expected = format!("at least two words, one of which can stand for another, for `{name}`");
                    return bad("objects, probes.contexts", expected);
                }
                _ => {}
            }
        }
        Ok(())
    }
}
