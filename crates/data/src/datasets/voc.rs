//! PASCAL VOC 2012, validation split: 20 things and background; 255 on their outlines.
//!
//! Layout: `VOCdevkit/VOC2012/{JPEGImages/*.jpg, SegmentationClass/*.png, ImageSets/Segmentation/val.txt}`.
//! Source: Everingham et al., the VOC 2012 development kit; class words as in SimSeg's `label_category/pascal_voc.txt`.

use super::files::{Files, Paths, locate, names};
use super::{Values, owned, values};
use crate::Result;
use crate::picture::Exif;
use crate::source::DataRegistry;
use serde::{Deserialize, Serialize};
use simseg_registry::Error as BuildError;
use std::path::{Path, PathBuf};

/// The settings of the published data sets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Root {
    /// Where the data set lies.
    pub root: PathBuf,
    /// Whether the background is a class; without it, its pixels are not counted.
    #[serde(default = "values::yes", skip_serializing_if = "values::is_yes")]
    pub background: bool,
}

/// Class words of SimSeg's release: `table`, `plant` and `monitor` instead of `diningtable`, `pottedplant` and `tvmonitor`.
#[rustfmt::skip]
pub const CLASSES: [&str; 21] = [
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "table", "dog",
    "horse", "motorbike", "person", "plant", "sheep", "sofa", "train", "monitor",
];

/// The validation split below `root`: the data folder, `VOCdevkit` or `VOC2012`.
///
/// # Errors
/// If its list is not there.
pub fn voc2012(root: &Path) -> Result<Files> {
    let list = "ImageSets/Segmentation/val.txt";
    let root = locate(root, &["VOC2012", "VOCdevkit/VOC2012"], list)?;
    split(&root, list, "SegmentationClass", &CLASSES)
}

/// The pictures of a list in a VOC folder.
pub(super) fn split(root: &Path, list: &str, maps: &str, classes: &[&str]) -> Result<Files> {
    let pair = |stem: String| Paths {
        picture: root.join("JPEGImages").join(format!("{stem}.jpg")),
        labels: root.join(maps).join(format!("{stem}.png")),
        stem,
        raw: false,
    };
    let pairs = names(&root.join(list))?.into_iter().map(pair).collect();
    Ok(Files {
        classes: owned(classes),
        lines: None,
        items: pairs,
        relabel: None,
        values: Values::default(),
        exif: Exif::Ignore,
    })
}

/// Adds it to the sources.
pub fn register(registry: &mut DataRegistry) {
    registry.datasets.add("voc2012", "PASCAL VOC 2012, validation split", |place: Root| {
        let files = voc2012(&place.root).map_err(BuildError::build)?;
        Ok(Box::new(if place.background { files } else { files.without_background() }))
    });
}
