//! Data sets: pictures with label maps, one at a time from disk, in the layouts that SimSeg's release expects.
//!
//! | name | pictures | label maps | classes |
//! |---|---|---|---|
//! | `voc2012` | `VOCdevkit/VOC2012/JPEGImages` | `SegmentationClass` | 20 + background |
//! | `context` | `VOCdevkit/VOC2010/JPEGImages` | `SegmentationClassContext` ([`context::convert`]) | 59 + background |
//! | `coco-object` | `coco_stuff164k/images/val2017` | `annotations/val2017` ([`coco::convert`]) | 80 + background |
//! | `folder` | `images` | `labels/*.png` of the same stem | `classes.txt`, or given |
//!
//! A label is the index of its class; 255 means that nobody knows, and is not counted. Items come in the order of their
//! names (or of the list file), so that a run can be resumed at an index.

pub mod folder;
pub mod voc;
pub mod mask;
pub mod context;
pub mod coco;
pub mod captions;
pub mod drawn;

use crate::picture::{Labels, Picture};
use crate::{Error, Result};
use std::path::{Path, PathBuf};

/// The label that is not counted.
pub const IGNORED: u8 = 255;
/// Largest list of names that is read.
const LIMIT: u64 = 64 << 20;

/// A picture and its truth, of one size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Its name without folder and ending.
    pub stem: String,
    /// What one sees.
    pub picture: Picture,
    /// What is where.
    pub labels: Labels,
}

/// Pictures with label maps. An item is read when it is asked for, and not kept.
pub trait Dataset: Send + Sync {
    /// Number of items.
    fn len(&self) -> usize;

    /// Class names by label, background first.
    fn classes(&self) -> &[String];

    /// Item `index`, below [`len`](Self::len): always the same one, whichever was read before. Picture and label map are of one
    /// size, and labels are below the number of classes or [`IGNORED`].
    ///
    /// # Errors
    /// If a file is missing or damaged, or breaks that promise.
    fn item(&self, index: usize) -> Result<Item>;

    /// Whether there is nothing in it.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All items, one after the other.
    fn items(&self) -> Box<dyn Iterator<Item = Result<Item>> + '_> {
        Box::new((0..self.len()).map(|index| self.item(index)))
    }
}

/// Names of the data sets that [`open`] knows.
pub const NAMES: [&str; 4] = ["voc2012", "context", "coco-object", "folder"];

/// A data set by its name. `classes` replaces the names of a `folder`'s `classes.txt`.
///
/// # Errors
/// If there is no such data set, or not at that place.
pub fn open(name: &str, root: &Path, classes: Option<Vec<String>>) -> Result<Box<dyn Dataset>> {
    Ok(match name {
        "voc2012" => Box::new(voc::voc2012(root)?),
        "context" => Box::new(context::context(root)?),
        "coco-object" => Box::new(coco::coco_object(root)?),
        "folder" => Box::new(folder::folder(root, classes)?),
        _ => return Err(Error::setting("--dataset", format!("one of {}, found `{name}`", NAMES.join(", ")))),
    })
}

/// Pairs of files with class names: what every data set on disk comes down to.
#[derive(Debug, Clone)]
pub struct Pairs {
    classes: Vec<String>,
    pairs: Vec<Pair>,
    /// What the values of the label maps mean, if not the labels themselves.
    relabel: Option<fn(u8) -> Option<u8>>,
}

#[derive(Debug, Clone)]
struct Pair {
    stem: String,
    picture: PathBuf,
    labels: PathBuf,
    /// Whether the label map is as published and needs `relabel`.
    raw: bool,
}

impl Dataset for Pairs {
    fn len(&self) -> usize {
        self.pairs.len()
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn item(&self, index: usize) -> Result<Item> {
        let Pair { stem, picture: picture_path, labels: path, raw } = &self.pairs[index];
        let (picture, mut labels) = (Picture::load(picture_path)?, Labels::load(path)?);
        if (picture.width, picture.height) != (labels.width, labels.height) {
            let (w, h) = (labels.width, labels.height);
            let found = format!("{w}×{h}; expected {}×{}, the size of its picture", picture.width, picture.height);
            return Err(Error::content(path, found));
        }
        if let Some(relabel) = self.relabel.filter(|_| *raw) {
            relabel_all(&mut labels, relabel, path)?;
        }
        let count = self.classes.len();
        if let Some(wrong) = labels.values.iter().find(|&&label| usize::from(label) >= count && label != IGNORED) {
            let expected = format!("label {wrong}; expected below {count} (the number of classes) or {IGNORED}");
            return Err(Error::content(path, expected));
        }
        Ok(Item { stem: stem.clone(), picture, labels })
    }
}

/// Gives every value of a label map its meaning.
fn relabel_all(labels: &mut Labels, relabel: fn(u8) -> Option<u8>, path: &Path) -> Result<()> {
    for label in &mut labels.values {
        *label =
            relabel(*label).ok_or_else(|| Error::content(path, format!("value {label}, which stands for no class")))?;
    }
    Ok(())
}

/// The first of `root` and the places below it that has `inside` in it.
fn locate(root: &Path, below: &[&str], inside: &str) -> Result<PathBuf> {
    let places = std::iter::once(root.to_owned()).chain(below.iter().map(|place| root.join(place)));
    let missing = || Error::content(root, format!("expected {inside} in it, or below it in {}", below.join(" or ")));
    places.into_iter().find(|place| place.join(inside).exists()).ok_or_else(missing)
}

/// The lines of a list of names; a name is not a path.
fn names(path: &Path) -> Result<Vec<String>> {
    let size = std::fs::metadata(path).map_err(Error::io(path))?.len();
    if size > LIMIT {
        return Err(Error::content(path, format!("{size} bytes; expected a list of at most {LIMIT}")));
    }
    let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
    let names: Vec<String> = text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
    match names.iter().find(|name| name.contains(['/', '\\'])) {
        Some(name) => Err(Error::content(path, format!("expected a name a line, found the path `{name}`"))),
        None if names.is_empty() => Err(Error::content(path, "expected a name a line, found none")),
        None => Ok(names),
    }
}

/// The files of a folder whose ending (in lower case) is wanted, by name.
fn files(folder: &Path, wanted: impl Fn(&str) -> bool) -> Result<Vec<PathBuf>> {
    let mut files = vec![];
    for entry in std::fs::read_dir(folder).map_err(Error::io(folder))? {
        let path = entry.map_err(Error::io(folder))?.path();
        let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
        if ending.is_some_and(|ending| wanted(&ending)) && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// A file's name without folder and ending.
fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}
