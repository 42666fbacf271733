//! COCO-Object: the 80 things of COCO-Stuff; stuff and what nobody named count as background.
//!
//! COCO-Stuff's maps (`stuffthingmaps`) hold the category number less one: 0 to 89 are things, with ten gaps, 91 to 181 are
//! stuff, 255 is unlabelled. SimSeg's converter (after GroupViT) ranks the things from 1 and makes all else 0: *also 255*, so
//! that unlabelled pixels count. [`convert`] writes these as `*_labelTrainIds.png`; [`coco_object`] reads them, or the published
//! maps where there are none. Sources: Caesar et al. 2018; SimSeg's `tools/convert_datasets/coco_stuff164k.py`.

use super::files::{Files, Paths, files, locate, relabel_all, stem};
use super::{Values, owned};
use crate::datasets::voc::Root;
use crate::picture::{Exif, IGNORED, Labels};
use crate::source::DataRegistry;
use crate::{Error, Result};
use simseg_registry::Error as BuildError;
use simseg_tensor::parallel::prelude::*;
use std::path::Path;

/// COCO's names of the 80 things, background first.
#[rustfmt::skip]
pub const CLASSES: [&str; 81] = [
    "background", "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat",
    "traffic light", "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse", "sheep",
    "cow", "elephant", "bear", "zebra", "giraffe", "backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee",
    "skis", "snowboard", "sports ball", "kite", "baseball bat", "baseball glove", "skateboard", "surfboard",
    "tennis racket", "bottle", "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple", "sandwich",
    "orange", "broccoli", "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch", "potted plant", "bed",
    "dining table", "toilet", "tv", "laptop", "mouse", "remote", "keyboard", "cell phone", "microwave", "oven",
    "toaster", "sink", "refrigerator", "book", "clock", "vase", "scissors", "teddy bear", "hair drier", "toothbrush",
];

/// Category numbers less one, up to 89, that COCO never used.
const GAPS: [u16; 10] = [11, 25, 28, 29, 44, 65, 67, 68, 70, 82];
const CONVERTED: &str = "_labelTrainIds";

/// The label that a value of a published map stands for, or `None` if it stands for nothing; its 255 is read as [`IGNORED`].
///
/// ```
/// use simseg_data::datasets::coco::label;
/// // A person, a toothbrush (category 90, the 80th thing), branches, unlabelled, and a gap.
/// assert_eq!([0, 89, 93, 65535, 11].map(label), [Some(1), Some(80), Some(0), Some(0), None]);
/// ```
pub fn label(value: u16) -> Option<u16> {
    match value {
        0..=89 => {
            let before = GAPS.iter().filter(|&&gap| gap < value).count() as u16;
            (!GAPS.contains(&value)).then(|| value + 1 - before)
        }
        91..=181 | IGNORED => Some(0),
        _ => None,
    }
}

/// The validation split below `root`: the data folder or `coco_stuff164k`. Label maps may be converted or as published.
///
/// # Errors
/// If there are no pictures, or one has no label map.
pub fn coco_object(root: &Path) -> Result<Files> {
    let root = locate(root, &["coco_stuff164k"], "images/val2017")?;
    let (images, maps) = (root.join("images/val2017"), root.join("annotations/val2017"));
    let pair = |picture: std::path::PathBuf| {
        let stem = stem(&picture);
        let converted = maps.join(format!("{stem}{CONVERTED}.png"));
        let published = maps.join(format!("{stem}.png"));
        let (labels, raw) = if converted.is_file() { (converted, false) } else { (published, true) };
        if !labels.is_file() {
            return Err(Error::content(&picture, format!("expected its label map {}", labels.display())));
        }
        Ok(Paths { stem, picture, labels, raw })
    };
    let pairs: Vec<Paths> = files(&images, |ending| ending == "jpg")?.into_iter().map(pair).collect::<Result<_>>()?;
    if pairs.is_empty() {
        return Err(Error::content(&images, "expected .jpg pictures, found none"));
    }
    Ok(Files {
        classes: owned(&CLASSES),
        lines: None,
        items: pairs,
        relabel: Some(label),
        values: Values::default(),
        exif: Exif::Ignore,
    })
}

/// Writes a `*_labelTrainIds.png` beside every published map of `annotations`' folders (`train2017`, `val2017`) below `root`.
/// `progress` is told how many there are, once for each. Returns that number.
///
/// # Errors
/// If there are none, one is damaged or holds a value that stands for nothing, or the folder cannot be written.
pub fn convert(root: &Path, progress: impl Fn(usize) + Sync) -> Result<usize> {
    let annotations = locate(root, &["coco_stuff164k"], "annotations")?.join("annotations");
    let mut maps = vec![];
    for folder in ["train2017", "val2017"].map(|split| annotations.join(split)).iter().filter(|folder| folder.is_dir())
    {
        crate::atomic::folder(folder)?;
        maps.extend(files(folder, |ending| ending == "png")?);
    }
    maps.retain(|path| !stem(path).ends_with(CONVERTED));
    if maps.is_empty() {
        return Err(Error::content(&annotations, "expected COCO-Stuff's maps in train2017 or val2017, found none"));
    }
    maps.par_iter().try_for_each(|path| -> Result<()> {
        let mut labels = Labels::load(path)?;
        relabel_all(&mut labels, label, path)?;
        labels.save(&path.with_file_name(format!("{}{CONVERTED}.png", stem(path))))?;
        progress(maps.len());
        Ok(())
    })?;
    Ok(maps.len())
}

/// Adds it to the sources.
pub fn register(registry: &mut DataRegistry) {
    registry.datasets.add("coco-object", "COCO 2017, 80 things", |place: Root| {
        let files = coco_object(&place.root).map_err(BuildError::build)?;
        Ok(Box::new(if place.background { files } else { files.without_background() }))
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eighty_values_are_things_each_once_and_in_order() {
        let things: Vec<u16> = (0..=255).filter_map(label).filter(|&label| label > 0).collect();
        assert_eq!(things, (1..=80).collect::<Vec<u16>>());
        // COCO: category 18 is a dog, 62 a chair, 72 a tv; values are one less.
        assert_eq!([17, 61, 71].map(|v| CLASSES[usize::from(label(v).unwrap())]), ["dog", "chair", "tv"]);
    }
}
