//! Pairs in tar files, as img2dataset writes them and webdataset reads them.
//!
//! Members that follow each other and share a key are one sample: `000000012.jpg`, `000000012.txt`, `000000012.json`. The key is a
//! member's name up to the first full stop of its last part, the extension is what comes behind. Source: webdataset's
//! `base_plus_ext` and `group_by_keys` (tariterators.py).
//!
//! A tar file has no table of contents. Its headers are read once, when the source is opened, and note where each image and caption
//! lies; from then on any pair can be read in any order. That cannot be done inside a `.tar.gz`: see [`shard`].

pub mod scan;
pub mod shard;

use super::paths::Paths;
use super::{Pair, Pairs};
use crate::picture::Exif;
use crate::source::DataRegistry;
use crate::{Error, Picture, Result};
use scan::{Sample, Span};
use serde::{Deserialize, Serialize};
use shard::{Shard, Unpacked};
use simseg_registry::Error as BuildError;
use simseg_tensor::parallel::prelude::*;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Largest image in a shard, as for files.
const IMAGE: u64 = 512 << 20;
/// Largest caption, or description that holds it.
const CAPTION: u64 = 16 << 20;

/// The settings of `kind = "webdataset"`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebDataset {
    /// The tar files, plain or `.tar.gz`: a path, a pattern such as `shards/{00000..00012}.tar`, or a list of these.
    pub shards: Paths,
    /// Extensions of images, as webdataset writes them.
    #[serde(default = "image")]
    pub image: String,
    /// Extensions of captions, likewise; of a `json` the caption is what stands under `caption_key`.
    #[serde(default = "caption")]
    pub caption: String,
    /// See `caption`.
    #[serde(default = "caption_key")]
    pub caption_key: String,
    /// Use the first so many pairs; those after them are held out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Whether photographs are turned as their camera noted it.
    #[serde(default)]
    pub exif: Exif,
}

fn image() -> String {
    "jpg;jpeg;png;webp".into()
}
fn caption() -> String {
    "txt".into()
}
fn caption_key() -> String {
    "caption".into()
}

/// Some of the samples of shards, one after the other.
#[derive(Debug, Clone)]
pub struct Shards {
    all: Arc<Index>,
    part: Range<usize>,
}

/// Where everything lies.
#[derive(Debug)]
struct Index {
    shards: Vec<Shard>,
    /// Number of samples before each shard.
    starts: Vec<usize>,
    samples: Vec<Sample>,
    caption_key: String,
    exif: Exif,
}

impl WebDataset {
    /// Reads the headers of all shards.
    ///
    /// # Errors
    /// If a shard is not there, is no tar file, is cut short or holds a member twice, or there is no sample in any of them.
    pub fn open(self) -> Result<Shards> {
        let list = |text: &str| text.split(';').map(|part| part.trim().to_lowercase()).collect::<Vec<_>>();
        let (images, captions) = (list(&self.image), list(&self.caption));
        let mut unpacked = Unpacked::default();
        let shards = self.shards.files()?.into_iter().map(|path| Shard::open(path, &mut unpacked));
        let shards = shards.collect::<Result<Vec<Shard>>>()?;
        let scan = |shard: &Shard| scan::samples(shard, &images, &captions);
        let each = shards.par_iter().map(scan).collect::<Result<Vec<_>>>()?;
        let starts = each.iter().scan(0, |before, one| Some(std::mem::replace(before, *before + one.len()))).collect();
        let samples: Vec<Sample> = each.into_iter().flatten().collect();
        let Some(first) = shards.first().filter(|_| samples.is_empty()) else {
            let part = 0..self.limit.unwrap_or(usize::MAX).min(samples.len());
            let index = Index { shards, starts, samples, caption_key: self.caption_key, exif: self.exif };
            return Ok(Shards { all: Arc::new(index), part });
        };
        let (image, caption) = (&images[0], &captions[0]);
        let others =
            if shards.len() > 1 { format!(" nor in the {} other shards", shards.len() - 1) } else { String::new() };
        let text =
            format!("no pairs in it{others}; expected members KEY.{image} and KEY.{caption} one after the other");
        Err(Error::content(&first.path, text))
    }
}

impl Index {
    fn shard(&self, index: usize) -> &Shard {
        &self.shards[self.starts.partition_point(|&start| start <= index) - 1]
    }

    /// A member's bytes, and its name for messages.
    fn read(&self, index: usize, span: Option<&Span>, (what, limit): (&str, u64)) -> Result<(PathBuf, Vec<u8>)> {
        let (shard, sample) = (self.shard(index), &self.samples[index]);
        let Some(span) = span else {
            return Err(Error::content(
                &shard.path.join(&*sample.key),
                format!("no {what} of this sample in the shard"),
            ));
        };
        let path = shard.path.join(format!("{}.{}", sample.key, span.extension));
        if span.length > limit {
            return Err(Error::content(&path, format!("{} bytes; expected at most {limit}", span.length)));
        }
        let bytes = shard.read(span).map_err(Error::io(&path))?;
        Ok((path, bytes))
    }

    fn caption(&self, index: usize) -> Result<String> {
        let span = self.samples[index].caption.as_ref();
        let (path, bytes) = self.read(index, span, ("caption", CAPTION))?;
        let text = if span.is_some_and(|span| &*span.extension == "json") {
            let key = &self.caption_key;
            let found = serde_json::from_slice::<serde_json::Value>(&bytes);
            let found = found.map_err(|error| Error::content(&path, format!("expected JSON: {error}")))?;
            let text = found.get(key).and_then(|value| value.as_str());
            text.ok_or_else(|| Error::content(&path, format!("expected a caption under the key `{key}`")))?.to_owned()
        } else {
            String::from_utf8(bytes).map_err(|_| Error::content(&path, "a caption that is not UTF-8"))?
        };
        match text.trim() {
            "" => Err(Error::content(&path, "an empty caption")),
            text => Ok(text.to_owned()),
        }
    }

    fn picture(&self, index: usize) -> Result<Picture> {
        let (path, bytes) = self.read(index, self.samples[index].image.as_ref(), ("image", IMAGE))?;
        Picture::decode(&path, &bytes, self.exif)
    }

    /// `SHARD/KEY`: keys of different shards may be the same.
    fn id(&self, index: usize) -> String {
        let name = self.shard(index).path.file_name().unwrap_or_default().to_string_lossy();
        let stem = name.split_once(".tar").map_or(&*name, |(stem, _)| stem);
        format!("{stem}/{}", self.samples[index].key)
    }
}

impl Shards {
    fn within(&self, index: usize) -> Result<usize> {
        match index < self.part.len() {
            true => Ok(self.part.start + index),
            false => Err(Error::setting("data", format!("pair {index} of {}", self.part.len()))),
        }
    }
}

impl Pairs for Shards {
    fn len(&self) -> usize {
        self.part.len()
    }

    fn pair(&self, index: usize) -> Result<Pair> {
        let (all, index) = (&self.all, self.within(index)?);
        Ok(Pair { id: all.id(index), caption: all.caption(index)?, picture: all.picture(index)? })
    }

    fn caption(&self, index: usize) -> Result<String> {
        self.all.caption(self.within(index)?)
    }

    fn id(&self, index: usize) -> Result<String> {
        Ok(self.all.id(self.within(index)?))
    }

    /// The first so many samples beyond the limit.
    fn held_out(&self, pictures: usize) -> Result<Box<dyn Pairs>> {
        let beyond = self.all.samples.len() - self.part.end;
        if beyond < pictures {
            let place = Path::new(&self.all.shards[0].path);
            let text = format!("expected {pictures} held-out pictures: samples beyond a `limit`; found {beyond}");
            return Err(Error::content(place, text));
        }
        Ok(Box::new(Self { all: self.all.clone(), part: self.part.end..self.part.end + pictures }))
    }
}

/// Adds it to the sources.
pub fn register(registry: &mut DataRegistry) {
    registry.pairs.add(
        "webdataset",
        "tar files with images and captions, as img2dataset writes them",
        |files: WebDataset| Ok(Box::new(files.open().map_err(BuildError::build)?)),
    );
}
