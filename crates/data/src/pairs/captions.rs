//! A caption file beside a folder of images: its lines as pairs, and those beyond a limit held out.

mod lines;
pub mod coco;

pub use lines::{CAPTION as CAPTION_NAMES, Caption, Columns, IMAGE as IMAGE_NAMES, captions};

use super::{Pair, Pairs};
use crate::picture::Exif;
use crate::source::DataRegistry;
use crate::{Error, Picture, Result};
use serde::{Deserialize, Serialize};
use simseg_registry::Error as BuildError;
use std::collections::HashSet;
use std::path::{Component, Path, PathBuf};

/// The settings of `kind = "captions"`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaptionFile {
    /// The caption file.
    pub file: PathBuf,
    /// The folder that its file names are below.
    pub images: PathBuf,
    /// The column of file names, if it has none of the usual names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_column: Option<String>,
    /// The column of captions, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caption_column: Option<String>,
    /// Use the first so many pairs; those after them are held out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Whether photographs are turned as their camera noted it.
    #[serde(default)]
    pub exif: Exif,
}

/// Pairs of a caption file.
#[derive(Debug, Clone)]
pub struct Captioned {
    file: PathBuf,
    images: PathBuf,
    lines: Vec<Caption>,
    /// The lines beyond the limit.
    rest: Vec<Caption>,
    exif: Exif,
}

impl CaptionFile {
    /// Reads the file, and sees that its images are there.
    ///
    /// # Errors
    /// If the file is damaged, or an image is not there or outside the folder.
    pub fn open(self) -> Result<Captioned> {
        let columns = Columns { image: self.image_column, caption: self.caption_column };
        let mut lines = captions(&self.file, &columns)?;
        let rest = lines.split_off(self.limit.unwrap_or(usize::MAX).min(lines.len()));
        if lines.is_empty() {
            return Err(Error::content(&self.file, "no captions in it (limit is 0)"));
        }
        if !self.images.is_dir() {
            return Err(Error::content(&self.images, "expected the folder of images"));
        }
        let read = Captioned { file: self.file, images: self.images, lines, rest, exif: self.exif };
        read.check()?;
        Ok(read)
    }
}

impl Captioned {
    /// Where something stands in the file, for messages.
    fn place(&self, caption: &Caption) -> String {
        let is_json = self.file.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("json"));
        format!("{} {}", if is_json { "annotation" } else { "line" }, caption.line)
    }

    /// That its images are there, below the folder.
    fn check(&self) -> Result<()> {
        let mut seen = HashSet::new();
        let mut missing: Vec<&Caption> = vec![];
        for line in &self.lines {
            if seen.insert(line.image.as_str()) {
                let inside = Path::new(&line.image)
                    .components()
                    .all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
                if !inside {
                    let (place, image) = (self.place(line), &line.image);
                    let expected = format!("{place}: expected a file below the folder of images, found `{image}`");
                    return Err(Error::content(&self.file, expected));
                }
                if !self.images.join(&line.image).is_file() {
                    missing.push(line);
                }
            }
        }
        let Some(first) = missing.first() else { return Ok(()) };
        let (place, images) = (format!("{}: `{}`", self.place(first), first.image), self.images.display());
        let counts = format!("{} of {} images", missing.len(), seen.len());
        Err(Error::content(&self.file, format!("{counts} are not in {images}, the first of them in {place}")))
    }
}

impl Pairs for Captioned {
    fn len(&self) -> usize {
        self.lines.len()
    }

    fn pair(&self, index: usize) -> Result<Pair> {
        let Caption { image, caption, .. } = &self.lines[index];
        Ok(Pair {
            id: image.clone(),
            picture: Picture::load_with(&self.images.join(image), self.exif)?,
            caption: caption.clone(),
        })
    }

    fn caption(&self, index: usize) -> Result<String> {
        Ok(self.lines[index].caption.clone())
    }

    fn id(&self, index: usize) -> Result<String> {
        Ok(self.lines[index].image.clone())
    }

    /// The first so many pictures beyond the limit none of whose captions is within it.
    fn held_out(&self, pictures: usize) -> Result<Box<dyn Pairs>> {
        if self.rest.is_empty() {
            let text = format!("all of its {} pairs are used, none is held out; expected a `limit`", self.lines.len());
            return Err(Error::content(&self.file, text));
        }
        let used: HashSet<&str> = self.lines.iter().map(|line| line.image.as_str()).collect();
        let (mut chosen, mut lines) = (HashSet::new(), vec![]);
        for line in self.rest.iter().filter(|line| !used.contains(line.image.as_str())) {
            if chosen.len() < pictures || chosen.contains(line.image.as_str()) {
                chosen.insert(line.image.as_str());
                lines.push(line.clone());
            }
        }
        if chosen.len() < pictures {
            let text = format!(
                "expected {pictures} held-out pictures: beyond `limit` = {}, with no caption within it; found {}",
                self.lines.len(),
                chosen.len()
            );
            return Err(Error::content(&self.file, text));
        }
        let held_out = Self { lines, rest: vec![], ..self.clone() };
        held_out.check()?;
        Ok(Box::new(held_out))
    }
}

/// Adds it to the sources.
pub fn register(registry: &mut DataRegistry) {
    registry.pairs.add("captions", "a caption file and a folder of images", |file: CaptionFile| {
        Ok(Box::new(file.open().map_err(BuildError::build)?))
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(image: &str, caption: &str) -> (String, String) {
        (image.to_owned(), caption.to_owned())
    }

    #[test]
    fn images_that_are_not_there_are_counted_and_none_is_outside_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("c.csv");
        let open = |text: &str, limit| {
            std::fs::write(&file, text).unwrap();
            let images = folder.path().to_owned();
            CaptionFile {
                file: file.clone(),
                images,
                image_column: None,
                caption_column: None,
                limit,
                exif: Exif::Apply,
            }
            .open()
        };
        Picture { width: 1, height: 1, rgb: vec![1, 2, 3] }.save(&folder.path().join("a.png")).unwrap();
        let pairs = open("\u{feff}image,caption\na.png,one\na.png,two\n", None).unwrap();
        assert_eq!((pairs.len(), pairs.pair(1).unwrap().caption), (2, "two".into()));
        assert_eq!(pairs.pair(0).unwrap().picture.rgb, [1, 2, 3]);
        assert_eq!(open("image,caption\na.png,one\nb.png,two\n", Some(1)).unwrap().len(), 1);
        let error = open("image,caption\na.png,one\nb.png,two\nb.png,three\n", None).unwrap_err().to_string();
        assert!(error.contains("1 of 2 images") && error.contains("line 3: `b.png`"), "{error}");
        let error = open("image,caption\n../c.csv,one\n", None).unwrap_err().to_string();
        assert!(error.contains("below the folder"), "{error}");
    }

    #[test]
    fn pictures_beyond_the_limit_are_held_out_unless_one_of_their_captions_is_within_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("c.csv");
        let text = "image,caption\na.png,one\nb.png,two\nb.png,three\nc.png,four\nd.png,five\nc.png,six\n";
        std::fs::write(&file, text).unwrap();
        for name in ["a", "b", "c", "d"] {
            let picture = Picture { width: 1, height: 1, rgb: vec![1, 2, 3] };
            picture.save(&folder.path().join(format!("{name}.png"))).unwrap();
        }
        let open = |limit| {
            let images = folder.path().to_owned();
            let (image_column, caption_column) = (None, None);
            let file =
                CaptionFile { file: file.clone(), images, image_column, caption_column, limit, exif: Exif::Apply };
            file.open().unwrap()
        };
        let held_out = |limit, pictures| {
            let pairs = open(limit).held_out(pictures).map_err(|error| error.to_string())?;
            let lines = (0..pairs.len()).map(|i| (pairs.id(i).unwrap(), pairs.caption(i).unwrap()));
            Ok::<_, String>(lines.collect::<Vec<_>>())
        };
        let (four, five, six) = (pair("c.png", "four"), pair("d.png", "five"), pair("c.png", "six"));
        assert_eq!(held_out(Some(2), 2).unwrap(), [four.clone(), five, six.clone()]);
        assert_eq!(held_out(Some(2), 1).unwrap(), [four, six], "with all of its captions");
        let error = held_out(Some(2), 3).unwrap_err();
        assert!(error.contains("expected 3 held-out pictures") && error.contains("found 2"), "{error}");
        for limit in [None, Some(6), Some(60)] {
            let error = held_out(limit, 1).unwrap_err();
            assert!(error.contains("c.csv") && error.contains("none is held out"), "{error}");
        }
    }
}
