//! PASCAL VOC 2012, validation split: 20 things and background; 255 on their outlines.
//!
//! Layout: `VOCdevkit/VOC2012/{JPEGImages/*.jpg, SegmentationClass/*.png, ImageSets/Segmentation/val.txt}`.
//! Source: Everingham et al., the VOC 2012 development kit; class words as in SimSeg's `label_category/pascal_voc.txt`.

use super::{Pair, Pairs, locate, names, owned};
use crate::Result;
use std::path::Path;

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
pub fn voc2012(root: &Path) -> Result<Pairs> {
    let list = "ImageSets/Segmentation/val.txt";
    let root = locate(root, &["VOC2012", "VOCdevkit/VOC2012"], list)?;
    split(&root, list, "SegmentationClass", &CLASSES)
}

/// The pictures of a list in a VOC folder.
pub(super) fn split(root: &Path, list: &str, maps: &str, classes: &[&str]) -> Result<Pairs> {
    let pair = |stem: String| Pair {
        picture: root.join("JPEGImages").join(format!("{stem}.jpg")),
        labels: root.join(maps).join(format!("{stem}.png")),
        stem,
        raw: false,
    };
    let pairs = names(&root.join(list))?.into_iter().map(pair).collect();
    Ok(Pairs { classes: owned(classes), pairs, relabel: None })
}
