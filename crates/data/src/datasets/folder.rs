//! Your own data: `images/` and `labels/*.png` of the same stem, as `simseg scenes` writes them.

use super::{Pair, Pairs, files, stem};
use crate::{Error, Result};
use std::collections::BTreeMap;
use std::path::Path;

/// The endings of files that count as pictures.
const PICTURES: [&str; 5] = ["png", "jpg", "jpeg", "webp", "bmp"];

/// Reads what there is; class names come from `classes.txt` (a class a line, its first word before any `|`) if not given.
///
/// # Errors
/// If a picture has no label map, a label map no picture, two pictures one stem, or there are none.
pub fn folder(root: &Path, classes: Option<Vec<String>>) -> Result<Pairs> {
    let classes = match classes {
        Some(classes) => classes,
        None => {
            let path = root.join("classes.txt");
            let text = std::fs::read_to_string(&path).map_err(Error::io(&path))?;
            let first = |line: &str| line.split('|').next().unwrap_or_default().trim().to_owned();
            let classes: Vec<String> = text.trim_end().lines().map(first).collect();
            if !(2..=255).contains(&classes.len()) || classes.iter().any(String::is_empty) {
                return Err(Error::content(&path, "expected the background and 1 to 254 classes, one a line"));
            }
            classes
        }
    };
    let (images, maps) = (root.join("images"), root.join("labels"));
    let mut labels: BTreeMap<String, _> =
        files(&maps, |ending| ending == "png")?.into_iter().map(|path| (stem(&path), path)).collect();
    let mut pairs: Vec<Pair> = vec![];
    for picture in files(&images, |ending| PICTURES.contains(&ending))? {
        let stem = stem(&picture);
        if pairs.iter().next_back().is_some_and(|pair| pair.stem == stem) {
            return Err(Error::content(&picture, "another picture has the same name; expected one per label map"));
        }
        let expected = || Error::content(&picture, format!("expected its label map in labels/{stem}.png"));
        let labels = labels.remove(&stem).ok_or_else(expected)?;
        pairs.push(Pair { stem, picture, labels, raw: false });
    }
    if let Some((stem, path)) = labels.pop_first() {
        return Err(Error::content(&path, format!("expected its picture in images/{stem}.png (or .jpg, .webp, .bmp)")));
    }
    if pairs.is_empty() {
        return Err(Error::content(&images, "expected pictures, found none"));
    }
    Ok(Pairs { classes, pairs, relabel: None })
}
