//! Pictures of a run as parts of the page.

use base64::Engine;
use simseg::{Labels, Picture};
use simseg_data::picture::{Depth, Exif, LabelFormat};
use std::path::Path;

/// The longest side of a picture that is made smaller: 1½ times its size on the page.
const LONGEST: usize = 144;

/// A picture in the page.
#[derive(Debug)]
pub struct Image {
    /// `data:image/png;base64,…`
    pub uri: String,
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// What it shows, in words.
    pub alt: String,
}

impl Image {
    /// Whether it is smaller than it is shown: its pixels then stay squares.
    pub fn is_coarse(&self) -> bool {
        self.width < LONGEST
    }
}

/// A picture, as it is or made smaller; none if there is none that can be read.
pub fn photo(path: &Path, whole: bool, alt: String) -> Option<Image> {
    let bytes = std::fs::read(path).ok()?;
    let picture = Picture::from_bytes(&bytes, Exif::Ignore).ok()?;
    if whole || picture.width.max(picture.height) <= LONGEST {
        return Some(Image { uri: uri(&bytes), width: picture.width, height: picture.height, alt });
    }
    let small = shrink(&picture);
    Some(Image { uri: uri(&small.png()), width: small.width, height: small.height, alt })
}

/// A label map in the colours of its classes, and which occur. The words name them with their share of the pixels.
pub fn labels(
    path: &Path,
    whole: bool,
    format: LabelFormat,
    classes: &[String],
    whose: &str,
) -> Option<(Image, Vec<usize>)> {
    let bytes = std::fs::read(path).ok()?;
    let labels = Labels::from_bytes(&bytes).ok()?;
    let found = labels.classes();
    let alt = format!("{whose}: {}", shares(&labels, &found, classes));
    let (width, height) = fit(labels.width, labels.height);
    let small = width == labels.width && height == labels.height;
    // Maps of 16 bits are grey on disk.
    if labels.format.depth == Depth::Eight && (whole || small) {
        return Some((Image { uri: uri(&bytes), width: labels.width, height: labels.height, alt }, found));
    }
    let nearest = |i: usize| {
        let (x, y) = (i % width * labels.width / width, i / width * labels.height / height);
        labels.values[y * labels.width + x]
    };
    let values: Vec<u16> = (0..width * height).map(nearest).collect();
    let png = match labels.format.depth {
        Depth::Eight => Labels { width, height, values, format: labels.format }.png(),
        Depth::Sixteen => {
            let rgb = values.iter().flat_map(|&label| format.colour(label)).collect();
            Picture { width, height, rgb }.png()
        }
    };
    Some((Image { uri: uri(&png), width, height, alt }, found))
}

/// `background 80%, disc 20%`, the largest first.
fn shares(labels: &Labels, found: &[usize], classes: &[String]) -> String {
    let count = |&class: &usize| (labels.values.iter().filter(|&&label| usize::from(label) == class).count(), class);
    let mut counts: Vec<(usize, usize)> = found.iter().map(count).collect();
    counts.sort_by_key(|&(count, class)| (std::cmp::Reverse(count), class));
    let all = labels.values.len().max(1) as f64;
    let one = |&(count, class): &(usize, usize)| {
        let name = classes.get(class).cloned().unwrap_or_else(|| format!("class {class}"));
        format!("{name} {:.0}%", 100.0 * count as f64 / all)
    };
    counts.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// The size with the longest side at most [`LONGEST`].
fn fit(width: usize, height: usize) -> (usize, usize) {
    let longest = width.max(height);
    if longest <= LONGEST {
        return (width, height);
    }
    ((width * LONGEST / longest).max(1), (height * LONGEST / longest).max(1))
}

/// Each pixel is the mean of those that it stands for.
fn shrink(picture: &Picture) -> Picture {
    let (width, height) = fit(picture.width, picture.height);
    let part = |i: usize, from: usize, to: usize| i * from / to..((i + 1) * from).div_ceil(to).min(from);
    let mut rgb = Vec::with_capacity(width * height * 3);
    for y in 0..height {
        for x in 0..width {
            let (rows, columns) = (part(y, picture.height, height), part(x, picture.width, width));
            let count = rows.len() * columns.len();
            for channel in 0..3 {
                let at = |y: usize, x: usize| usize::from(picture.rgb[(y * picture.width + x) * 3 + channel]);
                let sum: usize = rows.clone().flat_map(|y| columns.clone().map(move |x| at(y, x))).sum();
                rgb.push((sum / count) as u8);
            }
        }
    }
    Picture { width, height, rgb }
}

fn uri(png: &[u8]) -> String {
    format!("data:image/png;base64,{}", base64::engine::general_purpose::STANDARD.encode(png))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_pictures_are_made_small_and_small_ones_stay() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.png");
        // Left half black, right half white.
        let rgb = (0..300 * 600).flat_map(|i| [if i % 300 < 150 { 0 } else { 255 }; 3]).collect();
        Picture { width: 300, height: 600, rgb }.save(&path).unwrap();
        let small = photo(&path, false, "x".into()).unwrap();
        assert_eq!((small.width, small.height), (72, 144));
        let bytes = base64::engine::general_purpose::STANDARD.decode(small.uri.split_once(',').unwrap().1).unwrap();
        let read = Picture::from_bytes(&bytes, Exif::Ignore).unwrap();
        assert_eq!((read.rgb[0], read.rgb[71 * 3]), (0, 255));
        assert_eq!(photo(&path, true, "x".into()).unwrap().width, 300);
        assert!(photo(&folder.path().join("none.png"), true, "x".into()).is_none());
    }

    #[test]
    fn words_name_classes_by_share_and_wide_maps_get_colours() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.png");
        let classes = ["sky".to_owned(), "sea".to_owned()];
        let values = vec![1, 1, 1, 0];
        Labels::new(2, 2, values.clone()).save(&path).unwrap();
        let (image, found) = labels(&path, true, LabelFormat::of(2, false), &classes, "truth").unwrap();
        assert_eq!((image.alt.as_str(), found), ("truth: sea 75%, sky 25%", vec![0, 1]));
        let wide = LabelFormat { depth: Depth::Sixteen, background: false };
        Labels { format: wide, ..Labels::new(2, 2, values) }.save(&path).unwrap();
        let (image, _) = labels(&path, true, wide, &classes, "truth").unwrap();
        let bytes = base64::engine::general_purpose::STANDARD.decode(image.uri.split_once(',').unwrap().1).unwrap();
        assert_eq!(Picture::from_bytes(&bytes, Exif::Ignore).unwrap().rgb[..3], wide.colour(1));
    }
}
