//! Your own data: `images/` and `labels/*.png` of the same stem, as `simseg scenes` writes them.

use super::files::{Files, PICTURES, Paths, files, stem};
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
}

/// Reads what there is; classes come from `classes`, a class file (one class a line, `cat | kitten` for several words), or from
/// `classes.txt` beside the pictures.
///
/// # Errors
/// If a picture has no label map, a label map no picture, two pictures one stem, or there are none.
pub fn folder(root: &Path, classes: Option<&Path>, exif: Exif) -> Result<Files> {
    let own = root.join("classes.txt");
    let path = classes.unwrap_or(&own);
    let text = crate::bounded::text(path, CLASSES, "a class file")?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let lines: Vec<String> = text.trim_end().lines().map(|line| line.trim().to_owned()).collect();
    let first = |line: &String| line.split('|').next().unwrap_or_default().trim().to_owned();
    let classes: Vec<String> = lines.iter().map(first).collect();
    if !(2..=255).contains(&classes.len()) || classes.iter().any(String::is_empty) {
        return Err(Error::content(path, "expected the background and 1 to 254 classes, one a line"));
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
    Ok(Files { classes, lines: Some(lines), items: pairs, relabel: None, exif })
}

/// Adds it to the sources.
pub fn register(registry: &mut DataRegistry) {
    registry.datasets.add("folder", "images/ and labels/*.png of the same stem", |place: Folder| {
        Ok(Box::new(folder(&place.root, place.classes.as_deref(), place.exif).map_err(BuildError::build)?))
    });
}
