//! Data sets on disk come down to pairs of files: a picture and its label map.

use super::{Dataset, Item, Values};
use crate::picture::{Exif, Labels, Picture};
use crate::{Error, Result};
use std::path::{Path, PathBuf};

/// Largest list of names that is read.
const LIMIT: u64 = 64 << 20;

/// Files beside each other with class names: what every data set on disk comes down to.
#[derive(Debug, Clone)]
pub struct Files {
    pub(super) classes: Vec<String>,
    /// All words of every class, if a class file gives several.
    pub(super) lines: Option<Vec<String>>,
    pub(super) items: Vec<Paths>,
    /// What the values of the label maps mean, if not the labels themselves.
    pub(super) relabel: Option<fn(u16) -> Option<u16>>,
    /// What those values, or these meanings, stand for.
    pub(super) values: Values,
    /// Whether photographs are turned as their camera noted it.
    pub(super) exif: Exif,
}

#[derive(Debug, Clone)]
pub(super) struct Paths {
    pub(super) stem: String,
    pub(super) picture: PathBuf,
    pub(super) labels: PathBuf,
    /// Whether the label map is as published and needs `relabel`.
    pub(super) raw: bool,
}

impl Files {
    /// The same without its background: 0 is not counted, class `k` is written as `k + 1`. The literature's VOC20 and Context59
    /// are VOC 2012 and PASCAL Context so.
    pub(super) fn without_background(mut self) -> Self {
        self.classes.remove(0);
        self.values = Values { background: false, reduce_zero_label: true, ..self.values };
        self
    }
}

impl Dataset for Files {
    fn len(&self) -> usize {
        self.items.len()
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn class_lines(&self) -> Vec<String> {
        let none = (!self.values.background).then(|| "background = false".to_owned());
        none.into_iter().chain(self.lines.clone().unwrap_or_else(|| self.classes.clone())).collect()
    }

    fn has_background(&self) -> bool {
        self.values.background
    }

    fn item(&self, index: usize) -> Result<Item> {
        let Paths { stem, picture: picture_path, labels: path, raw } = &self.items[index];
        let (picture, mut labels) = (Picture::load_with(picture_path, self.exif)?, Labels::load(path)?);
        if (picture.width, picture.height) != (labels.width, labels.height) {
            let (w, h) = (labels.width, labels.height);
            let turned = (picture.width, picture.height) == (h, w) && self.exif == Exif::Apply;
            let hint =
                if turned { " (turned as its Exif says; `exif = \"ignore\"` leaves it as it is stored)" } else { "" };
            let found =
                format!("{w}×{h}; expected {}×{}, the size of its picture{hint}", picture.width, picture.height);
            return Err(Error::content(path, found));
        }
        if let Some(relabel) = self.relabel.filter(|_| *raw) {
            relabel_all(&mut labels, relabel, path)?;
        }
        self.values.apply(&mut labels, self.classes.len()).map_err(|text| Error::content(path, text))?;
        Ok(Item { stem: stem.clone(), picture, labels })
    }
}

/// Gives every value of a label map its meaning.
pub(super) fn relabel_all(labels: &mut Labels, relabel: fn(u16) -> Option<u16>, path: &Path) -> Result<()> {
    for label in &mut labels.values {
        *label =
            relabel(*label).ok_or_else(|| Error::content(path, format!("value {label}, which stands for no class")))?;
    }
    Ok(())
}

/// The first of `root` and the places below it that has `inside` in it.
pub(super) fn locate(root: &Path, below: &[&str], inside: &str) -> Result<PathBuf> {
    let places = std::iter::once(root.to_owned()).chain(below.iter().map(|place| root.join(place)));
    let missing = || Error::content(root, format!("expected {inside} in it, or below it in {}", below.join(" or ")));
    places.into_iter().find(|place| place.join(inside).exists()).ok_or_else(missing)
}

/// The lines of a list of names; a name is not a path.
pub(super) fn names(path: &Path) -> Result<Vec<String>> {
    let text = crate::bounded::text(path, LIMIT, "a list of names")?;
    let names: Vec<String> = text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
    match names.iter().find(|name| name.contains(['/', '\\'])) {
        Some(name) => Err(Error::content(path, format!("expected a name a line, found the path `{name}`"))),
        None if names.is_empty() => Err(Error::content(path, "expected a name a line, found none")),
        None => Ok(names),
    }
}

/// The pictures of a folder by name, hidden ones passed over; with `deep` also those of the folders in it.
///
/// # Errors
/// If a folder cannot be read.
pub fn pictures(folder: &Path, deep: bool) -> Result<Vec<PathBuf>> {
    let mut found = files(folder, |ending| PICTURES.contains(&ending))?;
    if deep {
        let mut inner = vec![];
        for entry in std::fs::read_dir(folder).map_err(Error::io(folder))? {
            let entry = entry.map_err(Error::io(folder))?;
            // Not through links, which may lead around in a circle.
            if entry.file_type().map_err(Error::io(folder))?.is_dir() && !is_hidden(&entry.path()) {
                inner.push(entry.path());
            }
        }
        inner.sort();
        for folder in inner {
            found.extend(pictures(&folder, deep)?);
        }
    }
    Ok(found)
}

/// The endings of files that count as pictures.
pub(super) const PICTURES: [&str; 5] = ["png", "jpg", "jpeg", "webp", "bmp"];

fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'))
}

/// The files of a folder whose ending (in lower case) is wanted, by name; hidden ones are passed over: macOS leaves a `._NAME`
/// beside every file on other file systems.
pub(super) fn files(folder: &Path, wanted: impl Fn(&str) -> bool) -> Result<Vec<PathBuf>> {
    let mut files = vec![];
    for entry in std::fs::read_dir(folder).map_err(Error::io(folder))? {
        let path = entry.map_err(Error::io(folder))?.path();
        if is_hidden(&path) {
            continue;
        }
        let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
        if ending.is_some_and(|ending| wanted(&ending)) && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// A file's name without folder and ending.
pub(super) fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}
