//! PASCAL Context: VOC 2010 with every pixel named, the 59 most frequent of its classes and background.
//!
//! Its annotations come as one file, `trainval_merged.json` (PASCAL in Detail): `images` with `image_id`, `file_name`, `phase`,
//! `height`, `width`, and `annos_segmentation` with `image_id`, `category_id` and a mask of run lengths ([`super::mask`]). The
//! release paints them in the order of the file, a later one over an earlier one, and replaces the 60 category numbers by
//! their rank. [`convert`] does the same. Sources: Mottaghi et al. 2014; the Detail API's `getMask`; the converter of
//! MMSegmentation that SimSeg's README names.

use super::files::{Files, locate, stem};
use super::{mask, voc};
use crate::datasets::voc::Root;
use crate::picture::Labels;
use crate::source::DataRegistry;
use crate::{Error, Result, atomic};
use serde::Deserialize;
use simseg_registry::Error as BuildError;
use simseg_tensor::parallel::prelude::*;
use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;

/// Class words of SimSeg's `label_category/pascal_context.txt`, in the order of [`CATEGORIES`].
#[rustfmt::skip]
pub const CLASSES: [&str; 60] = [
    "background", "aeroplane", "bag", "bed", "bedclothes", "bench", "bicycle", "bird", "boat", "book", "bottle",
    "building", "bus", "cabinet", "car", "cat", "ceiling", "chair", "cloth", "computer", "cow", "cup", "curtain", "dog",
    "door", "fence", "floor", "flower", "food", "grass", "ground", "horse", "keyboard", "light", "motorbike",
    "mountain", "mouse", "person", "plate", "platform", "pottedplant", "road", "rock", "sheep", "shelves", "sidewalk",
    "sign", "sky", "snow", "sofa", "table", "track", "train", "tree", "truck", "tvmonitor", "wall", "water", "window",
    "wood",
];

/// The category number of each class among all 459; 0 is background.
pub const CATEGORIES: [u16; 60] = [
    0, 2, 9, 18, 19, 22, 23, 25, 31, 33, 34, 44, 45, 46, 59, 65, 68, 72, 80, 85, 98, 104, 105, 113, 115, 144, 158, 159,
    162, 187, 189, 207, 220, 232, 258, 259, 260, 284, 295, 296, 308, 324, 326, 347, 349, 354, 355, 360, 366, 368, 397,
    415, 416, 420, 424, 427, 440, 445, 454, 458,
];

const LIST: &str = "ImageSets/SegmentationContext/val.txt";
const MAPS: &str = "SegmentationClassContext";
/// Most pixels of a picture; its size comes from the file.
const PIXELS: u64 = 64 << 20;

/// The validation split below `root`: the data folder, `VOCdevkit` or `VOC2010`.
///
/// # Errors
/// If its list is not there; [`convert`] writes it.
pub fn context(root: &Path) -> Result<Files> {
    voc::split(&locate(root, &["VOC2010", "VOCdevkit/VOC2010"], LIST)?, LIST, MAPS, &CLASSES)
}

#[derive(Deserialize)]
struct Merged<'a> {
    images: Vec<Image>,
    #[serde(borrow)]
    annos_segmentation: Vec<Annotation<'a>>,
}

#[derive(Deserialize)]
struct Image {
    image_id: u64,
    file_name: String,
    phase: String,
    height: usize,
    width: usize,
}

#[derive(Deserialize)]
struct Annotation<'a> {
    image_id: u64,
    category_id: u16,
    #[serde(borrow)]
    segmentation: Runs<'a>,
}

#[derive(Deserialize)]
struct Runs<'a> {
    #[serde(borrow)]
    counts: Cow<'a, str>,
    size: [usize; 2],
}

/// What a conversion wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Converted {
    /// Label maps of the training split.
    pub train: usize,
    /// Label maps of the validation split.
    pub val: usize,
}

/// Writes label maps and lists from `trainval_merged.json` into `root` (the folder `VOC2010`). `progress` is told how many
/// pictures there are, once for each.
///
/// # Errors
/// If the file is not what it should be, names an unknown category, or `root` cannot be written.
pub fn convert(json: &Path, root: &Path, progress: impl Fn(usize) + Sync) -> Result<Converted> {
    let file = std::fs::File::open(json).map_err(Error::io(json))?;
    // SAFETY: the map is only read. Should another program cut the file short meanwhile, reading faults: the price of not
    // holding hundreds of megabytes twice.
    let bytes = unsafe { memmap2::Mmap::map(&file) }.map_err(Error::io(json))?;
    let merged: Merged = serde_json::from_slice(&bytes)
        .map_err(|error| Error::content(json, format!("expected PASCAL in Detail's annotations: {error}")))?;
    let mut annotations: HashMap<u64, Vec<&Annotation>> = HashMap::new();
    for annotation in &merged.annos_segmentation {
        annotations.entry(annotation.image_id).or_default().push(annotation);
    }
    let maps = root.join(MAPS);
    atomic::folder(&maps)?;
    let images: Vec<&Image> =
        merged.images.iter().filter(|image| matches!(&image.phase[..], "train" | "val")).collect();
    images.par_iter().try_for_each(|image| -> Result<()> {
        let problem = |text: String| Error::content(json, format!("{}: {text}", image.file_name));
        if image.file_name.contains(['/', '\\']) || stem(image.file_name.as_ref()).is_empty() {
            return Err(problem("expected a file name without folders".into()));
        }
        let painted = annotations.get(&image.image_id).map_or(&[][..], Vec::as_slice);
        let labels = labels(image, painted).map_err(problem)?;
        labels.save(&maps.join(format!("{}.png", stem(image.file_name.as_ref()))))?;
        progress(images.len());
        Ok(())
    })?;
    let list = |phase: &str| -> Result<usize> {
        let of_phase = images.iter().filter(|image| image.phase == phase);
        let mut names: Vec<String> = of_phase.map(|image| stem(image.file_name.as_ref())).collect();
        names.sort();
        let path = root.join(LIST).with_file_name(format!("{phase}.txt"));
        path.parent().map_or(Ok(()), atomic::folder)?;
        atomic::write(&path, names.iter().map(|name| format!("{name}\n")).collect::<String>().as_bytes())?;
        Ok(names.len())
    };
    Ok(Converted { train: list("train")?, val: list("val")? })
}

/// The label map of a picture.
fn labels(image: &Image, annotations: &[&Annotation]) -> std::result::Result<Labels, String> {
    let (width, height) = (image.width, image.height);
    if width == 0 || height == 0 || (width as u64).saturating_mul(height as u64) > PIXELS {
        return Err(format!("{width}×{height} pixels; expected 1 to {PIXELS} in all"));
    }
    let mut map = vec![0u16; width * height];
    for Annotation { category_id, segmentation: Runs { counts, size }, .. } in annotations {
        if *size != [height, width] {
            return Err(format!("a mask of {}×{}; expected {width}×{height}", size[1], size[0]));
        }
        mask::paint(&mask::runs(counts)?, &mut map, width, height, *category_id)?;
    }
    let label = |category: u16| CATEGORIES.binary_search(&category).map(|rank| rank as u16);
    let values: std::result::Result<Vec<u16>, _> = map.iter().map(|&c| label(c).map_err(|_| c)).collect();
    let values = values.map_err(|c| format!("category {c}, which is none of the 59 and background"))?;
    Ok(Labels::new(width, height, values))
}

/// Adds it to the sources.
pub fn register(registry: &mut DataRegistry) {
    registry.datasets.add("context", "PASCAL Context, 59 classes", |place: Root| {
        let files = context(&place.root).map_err(BuildError::build)?;
        Ok(Box::new(if place.background { files } else { files.without_background() }))
    });
}
