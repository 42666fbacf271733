//! Your own data: `images/` and `labels/*.png` of the same stem, as `simseg scenes` writes them.

use super::files::{Files, PICTURES, Paths, files, stem};
use super::{IGNORED, Values, values};
use crate::picture::Exif;
use crate::source::DataRegistry;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use simseg_registry::Error as BuildError;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Largest class file that is read.
const CLASSES: u64 = 1 << 20;

/// The settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Folder {
    /// The folder that holds `images` and `labels`.
    pub root: PathBuf,
    /// A class file other than `classes.txt`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classes: Option<PathBuf>,
    /// Whether photographs are turned as their camera noted it; label maps must have the turned size then.
    #[serde(default)]
    pub exif: Exif,
    /// Whether the first class is the background; the class file's first line, `background = false`, says so, too.
    #[serde(default = "values::yes", skip_serializing_if = "values::is_yes")]
    pub background: bool,
    /// Whether 0 is "unlabelled" in the label maps, and class `k` is written as `k + 1`.
    #[serde(default, skip_serializing_if = "values::is_no")]
    pub reduce_zero_label: bool,
    /// A value in the label maps that is not counted, beside 255.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ignore_index: Option<u16>,
}

/// Reads what there is; classes come from `classes`, a class file (one class a line, `cat | kitten` for several words), or from
/// `classes.txt` beside the pictures.
///
/// # Errors
/// If a picture has no label map, a label map no picture, two pictures one stem, or there are none.
pub fn folder(root: &Path, classes: Option<&Path>, exif: Exif, mut values: Values) -> Result<Files> {
    let own = root.join("classes.txt");
    let path = classes.unwrap_or(&own);
    let text = crate::bounded::text(path, CLASSES, "a class file")?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let mut lines: Vec<String> = text.trim_end().lines().map(|line| line.trim().to_owned()).collect();
    if lines.first().is_some_and(|line| line.replace(' ', "") == "background=false") {
        lines.remove(0);
        values.background = false;
    }
    if values.reduce_zero_label && values.background {
        let expected = "reduce_zero_label makes 0 no class; expected background = false with it";
        return Err(Error::content(path, expected));
    }
    let first = |line: &String| line.split('|').next().unwrap_or_default().trim().to_owned();
    let classes: Vec<String> = lines.iter().map(first).collect();
    if !(2..=usize::from(IGNORED)).contains(&classes.len()) || classes.iter().any(String::is_empty) {
        return Err(Error::content(path, "expected 2 to 65,535 classes, the background among them, one a line"));
    }
    let (images, maps) = (root.join("images"), root.join("labels"));
    let mut labels: BTreeMap<String, _> =
        files(&maps, |ending| ending == "png")?.into_iter().map(|path| (stem(&path), path)).collect();
    let mut pairs: Vec<Paths> = vec![];
    for picture in files(&images, |ending| PICTURES.contains(&ending))? {
        let stem = stem(&picture);
        if pairs.iter().next_back().is_some_and(|pair| pair.stem == stem) {
            return Err(Error::content(&picture, "another picture has the same name; expected one per label map"));
        }
        let expected = || Error::content(&picture, format!("expected its label map in labels/{stem}.png"));
        let labels = labels.remove(&stem).ok_or_else(expected)?;
        pairs.push(Paths { stem, picture, labels, raw: false });
    }
    if let Some((stem, path)) = labels.pop_first() {
        return Err(Error::content(&path, format!("expected its picture in images/{stem}.png (or .jpg, .webp, .bmp)")));
    }
    if pairs.is_empty() {
        return Err(Error::content(&images, "expected pictures, found none"));
    }
    Ok(Files { classes, lines: Some(lines), items: pairs, relabel: None, values, exif })
}

/// Adds it to the sources.
pub fn register(registry: &mut DataRegistry) {
    registry.datasets.add("folder", "images/ and labels/*.png of the same stem", |place: Folder| {
        let Folder { root, classes, exif, background, reduce_zero_label, ignore_index } = place;
        let values = Values { background, reduce_zero_label, ignore_index };
        Ok(Box::new(folder(&root, classes.as_deref(), exif, values).map_err(BuildError::build)?))
    });
}
