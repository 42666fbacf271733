//! Pairs in Parquet files, as Hugging Face publishes data sets.
//!
//! The column of images holds encoded images (JPEG, PNG, …) as bytes, file names, or a struct of both, `bytes` and `path`, of which
//! the bytes are taken if there are any; that of captions holds a text a row. Source of the layout: Hugging Face's `datasets.Image`
//! (`pa_type`).
//!
//! Captions are read when the source is opened; of images it is only noted in which row group each row lies. One image is read by
//! passing over the pages before it and unpacking its own, so that rows can be read in any order.

mod table;

use super::captions::{CAPTION_NAMES, IMAGE_NAMES};
use super::paths::Paths;
use super::{Pair, Pairs};
use crate::picture::Exif;
use crate::source::DataRegistry;
use crate::{Error, Picture, Result};
use serde::{Deserialize, Serialize};
use simseg_registry::Error as BuildError;
use simseg_tensor::parallel::prelude::*;
use std::ops::Range;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use table::{Image, Table};

/// Most bytes of captions, of all files together.
const CAPTIONS: usize = 2 << 30;
/// Largest encoded image, as for files.
const IMAGE: usize = 512 << 20;

/// The settings of `kind = "parquet"`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ParquetFiles {
    /// The files: a path, a pattern such as `train-{00000..00003}-of-00004.parquet`, or a list of these.
    pub files: Paths,
    /// The folder that file names in the column of images are below, if there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub images: Option<PathBuf>,
    /// The column of images, if it has none of the usual names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_column: Option<String>,
    /// The column of captions, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caption_column: Option<String>,
    /// Use the first so many rows; those after them are held out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Whether photographs are turned as their camera noted it.
    #[serde(default)]
    pub exif: Exif,
}

/// Some of the rows of files, one after the other.
#[derive(Clone)]
pub struct Rows {
    all: Arc<Index>,
    part: Range<usize>,
}

struct Index {
    tables: Vec<Table>,
    /// Number of rows before each file.
    starts: Vec<usize>,
    captions: Vec<Option<Box<str>>>,
    images: Option<PathBuf>,
    exif: Exif,
}

impl ParquetFiles {
    /// Reads all captions, and where rows lie.
    ///
    /// # Errors
    /// If a file is not there, is damaged or no Parquet file, lacks a column (the error says which there are), is packed in a way
    /// that is not known here, or there is no row in any.
    pub fn open(self) -> Result<Rows> {
        let names = |own: &Option<String>, usual: &[&str]| match own {
            Some(own) => vec![own.clone()],
            None => usual.iter().map(|&name| name.to_owned()).collect(),
        };
        let (image, caption) = (names(&self.image_column, &IMAGE_NAMES), names(&self.caption_column, &CAPTION_NAMES));
        let open = |path: PathBuf| Table::open(path, &image, &caption);
        let tables = self.files.files()?.into_par_iter().map(open).collect::<Result<Vec<Table>>>()?;
        let (mut captions, mut starts, mut bytes) = (vec![], vec![], 0);
        for table in &tables {
            starts.push(captions.len());
            let own = table.captions()?;
            bytes += own.iter().flatten().map(|caption| caption.len()).sum::<usize>();
            captions.extend(own);
            if bytes > CAPTIONS {
                return Err(Error::content(&table.path, format!("captions of more than {CAPTIONS} bytes")));
            }
        }
        if let Some(first) = tables.first().filter(|_| captions.is_empty()) {
            return Err(Error::content(&first.path, "no pairs in it: it has no rows"));
        }
        if let Some(folder) = self.images.as_ref().filter(|folder| !folder.is_dir()) {
            return Err(Error::content(folder, "expected the folder of images"));
        }
        let part = 0..self.limit.unwrap_or(usize::MAX).min(captions.len());
        Ok(Rows { all: Arc::new(Index { tables, starts, captions, images: self.images, exif: self.exif }), part })
    }
}

impl Index {
    /// A row's file, and which of its rows it is.
    fn place(&self, index: usize) -> (&Table, usize) {
        let table = self.starts.partition_point(|&start| start <= index) - 1;
        (&self.tables[table], index - self.starts[table])
    }

    /// `FILE/ROW`, for names and messages.
    fn id(&self, index: usize) -> String {
        let (table, row) = self.place(index);
        format!("{}/{row}", table.path.file_stem().unwrap_or_default().to_string_lossy())
    }

    fn caption(&self, index: usize) -> Result<String> {
        let text = self.captions[index].as_deref().map(str::trim).unwrap_or_default();
        if text.is_empty() {
            let (table, row) = self.place(index);
            return Err(Error::content(&table.path, format!("row {row}: no caption")));
        }
        Ok(text.to_owned())
    }

    fn picture(&self, index: usize) -> Result<Picture> {
        let (table, row) = self.place(index);
        let problem = |text: String| Error::content(&table.path, format!("row {row}: {text}"));
        match table.image(row)? {
            Image::None => Err(problem("no image".into())),
            Image::Bytes(bytes) if bytes.len() > IMAGE => Err(problem(format!("an image of more than {IMAGE} bytes"))),
            Image::Bytes(bytes) => Picture::decode(&table.path.join(format!("row {row}")), bytes.data(), self.exif),
            Image::Name(name) => {
                let Some(folder) = &self.images else {
                    return Err(problem(format!(
                        "the image is a file name, `{name}`; expected its folder in `images`"
                    )));
                };
                let inside =
                    Path::new(&name).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
                if !inside {
                    return Err(problem(format!("expected a file below the folder of images, found `{name}`")));
                }
                Picture::load_with(&folder.join(name), self.exif)
            }
        }
    }
}

impl Rows {
    fn within(&self, index: usize) -> Result<usize> {
        match index < self.part.len() {
            true => Ok(self.part.start + index),
            false => Err(Error::setting("data", format!("pair {index} of {}", self.part.len()))),
        }
    }
}

impl Pairs for Rows {
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

    /// The first so many rows beyond the limit.
    fn held_out(&self, pictures: usize) -> Result<Box<dyn Pairs>> {
        let beyond = self.all.captions.len() - self.part.end;
        if beyond < pictures {
            let text = format!("expected {pictures} held-out pictures: rows beyond a `limit`; found {beyond}");
            return Err(Error::content(&self.all.tables[0].path, text));
        }
        Ok(Box::new(Self { all: self.all.clone(), part: self.part.end..self.part.end + pictures }))
    }
}

/// Adds it to the sources.
pub fn register(registry: &mut DataRegistry) {
    registry.pairs.add(
        "parquet",
        "Parquet files with images and captions, as Hugging Face writes them",
        |files: ParquetFiles| Ok(Box::new(files.open().map_err(BuildError::build)?)),
    );
}
