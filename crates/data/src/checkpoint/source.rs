//! Checkpoints of others, as they come: `.pth` or `.safetensors`, under whatever names, in f32, f16, bf16 or f64.
//!
//! The file is mapped and its tensors stay in it; values are read one tensor at a time, as f32.

use super::pickle::Element;
use super::pth;
use crate::{Error, Result};
use simseg_tensor::narrow::{from_bf16, from_f16};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Where a tensor's values lie in the file.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Located {
    /// Their type.
    pub element: Element,
    /// The length of every axis.
    pub shape: Vec<usize>,
    /// In which order they lie.
    pub layout: Layout,
    /// From the first value on.
    pub bytes: Range<usize>,
    /// All of the part of the file that holds them, others perhaps too.
    pub file: Range<usize>,
}

/// The order of a tensor's values.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Layout {
    /// Row-major, without gaps.
    Contiguous,
    /// So many values between neighbours of every axis.
    Strided(Vec<usize>),
}

/// A checkpoint.
#[derive(Debug)]
pub struct Checkpoint {
    path: PathBuf,
    map: memmap2::Mmap,
    tensors: BTreeMap<String, Located>,
    /// What lies beside the tensors, such as `optimizer` or `epoch`.
    pub beside: Vec<String>,
}

impl Checkpoint {
    /// Maps a file and reads what is in it; the content decides its format. What wrappers
    /// put before all names (`module.`, `_orig_mod.`, `model.`) is taken away.
    ///
    /// # Errors
    /// If it is no checkpoint, is damaged, holds anything but tensors, plain containers and harmless objects.
    pub fn open(path: &Path) -> Result<Self> {
        let file = std::fs::File::open(path).map_err(Error::io(path))?;
        if file.metadata().map_err(Error::io(path))?.is_dir() {
            return Err(Error::content(path, "a folder; expected a .pth or .safetensors file"));
        }
        // SAFETY: as in `Weights::open`: the map is only ever read.
        let map = unsafe { memmap2::Mmap::map(&file) }.map_err(Error::io(path))?;
        let problem = |problem: String| Error::content(path, problem);
        let (tensors, beside) = if pth::is_zip(&map) {
            let archive = pth::read(&map).map_err(problem)?;
            (archive.tensors, archive.beside)
        } else if pth::is_legacy(&map) {
            let archive = pth::read_legacy(&map).map_err(problem)?;
            (archive.tensors, archive.beside)
        } else {
            (safetensors(&map).map_err(problem)?, vec![])
        };
        if tensors.is_empty() {
            return Err(problem("no tensors in it".into()));
        }
        Ok(Self { path: path.to_owned(), map, tensors: pth::without_wrappers(tensors), beside })
    }

    /// The file it came from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All names, in alphabetical order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// A tensor's shape.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.tensors.get(name).map(|tensor| &tensor.shape[..])
    }

    /// Whether a tensor holds real numbers.
    pub fn is_real(&self, name: &str) -> bool {
        self.tensors.get(name).is_some_and(|tensor| tensor.element.is_real())
    }

    /// A tensor's values as row-major f32 in little-endian bytes; in place where the file has them so.
    ///
    /// # Errors
    /// If there is no such tensor, or it holds whole numbers.
    pub fn bytes(&self, name: &str) -> Result<Cow<'_, [u8]>> {
        let problem = |problem: String| Error::content(&self.path, problem);
        let tensor = self.tensors.get(name).ok_or_else(|| problem(format!("tensor `{name}` is missing")))?;
        let raw = &self.map[tensor.bytes.clone()];
        let count: usize = tensor.shape.iter().product();
        match (&tensor.layout, tensor.element) {
            (_, Element::Whole(_)) => Err(problem(format!("tensor `{name}` holds whole numbers; expected real ones"))),
            (Layout::Contiguous, Element::F32) => Ok(Cow::Borrowed(&raw[..4 * count])),
            (layout, element) => {
                let size = element.size();
                let value = |position: usize| as_f32(element, &raw[position * size..][..size]).to_le_bytes();
                Ok(Cow::Owned(match layout {
                    Layout::Contiguous => (0..count).flat_map(value).collect(),
                    Layout::Strided(strides) => positions(&tensor.shape, strides).flat_map(value).collect(),
                }))
            }
        }
    }

    /// The values of a tensor of one value.
    ///
    /// # Errors
    /// As [`Self::bytes`], or if there are more or fewer.
    pub fn scalar(&self, name: &str) -> Result<f32> {
        match self.bytes(name)?.as_ref() {
            &[a, b, c, d] => Ok(f32::from_le_bytes([a, b, c, d])),
            _ => Err(Error::content(&self.path, format!("tensor `{name}`: expected one value"))),
        }
    }
}

/// Largest index that is read: a line of a hundred bytes for each of half a million tensors.
const INDEX: u64 = 64 << 20;
/// Checkpoints in a folder, as hubs have them; the first that is there is meant.
const IN_FOLDER: [&str; 7] = [
    "model.safetensors",
    "model.safetensors.index.json",
    "open_clip_model.safetensors",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
    "open_clip_pytorch_model.bin",
    "model.pth",
];

/// The files of a checkpoint: itself, or the parts that an index (`….index.json`) names, each once, in order of their names.
/// A folder stands for the checkpoint in it.
///
/// # Errors
/// If a folder holds none, or an index is none or names files elsewhere.
pub fn parts(path: &Path) -> Result<Vec<PathBuf>> {
    if path.is_dir() {
        let inner = IN_FOLDER.iter().map(|name| path.join(name)).find(|file| file.is_file());
        let expected =
            || Error::content(path, format!("a folder without a checkpoint; expected one of {}", IN_FOLDER.join(", ")));
        return parts(&inner.ok_or_else(expected)?);
    }
    if path.extension().is_none_or(|extension| extension != "json") {
        return Ok(vec![path.to_owned()]);
    }
    let problem = |why: String| Error::content(path, why);
    #[derive(serde::Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let text = crate::bounded::read(path, INDEX, "an index")?;
    let index: Index = serde_json::from_slice(&text).map_err(|error| {
        problem(format!("no index of a checkpoint in parts (a weight_map of tensors to files): {error}"))
    })?;
    let names: std::collections::BTreeSet<&String> = index.weight_map.values().collect();
    // One component that is itself: no folder, no `.`, nothing that a system would spell in another way.
    let plain = |name: &str| Path::new(name).file_name().is_some_and(|own| own == name) && !name.contains(['\\', '\0']);
    if let Some(name) = names.iter().find(|name| !plain(name)) {
        return Err(problem(format!("names the part `{name}`; expected files beside it")));
    }
    let folder = path.parent().unwrap_or(Path::new(""));
    let files: Vec<PathBuf> = names.iter().map(|name| folder.join(name)).collect();
    if files.is_empty() {
        return Err(problem("names no parts".into()));
    }
    Ok(files)
}

/// One value as f32, rounded to nearest.
fn as_f32(element: Element, bytes: &[u8]) -> f32 {
    let short = || u16::from_le_bytes([bytes[0], bytes[1]]);
    match element {
        Element::F32 => f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]),
        Element::F64 => f64::from_le_bytes(std::array::from_fn(|i| bytes[i])) as f32,
        Element::Bf16 => from_bf16(short()),
        Element::F16 => from_f16(short()),
        Element::Whole(_) => f32::NAN,
    }
}

/// Positions of a strided tensor's values, row-major.
fn positions<'a>(shape: &'a [usize], strides: &'a [usize]) -> impl Iterator<Item = usize> + 'a {
    let count: usize = shape.iter().product();
    (0..count).map(move |mut i| {
        let mut position = 0;
        for (length, stride) in shape.iter().zip(strides).rev() {
            position += i % length * stride;
            i /= length;
        }
        position
    })
}

/// The tensors of a safetensors file.
fn safetensors(bytes: &[u8]) -> std::result::Result<BTreeMap<String, Located>, String> {
    use safetensors::Dtype;
    let expected = "neither a .pth (a zip archive) nor a .safetensors file";
    let (header, metadata) =
        safetensors::SafeTensors::read_metadata(bytes).map_err(|error| format!("{expected}: {error}"))?;
    let mut tensors = BTreeMap::new();
    for (name, info) in metadata.tensors() {
        let element = match info.dtype {
            Dtype::F64 => Element::F64,
            Dtype::F32 => Element::F32,
            Dtype::F16 => Element::F16,
            Dtype::BF16 => Element::Bf16,
            Dtype::I64 | Dtype::U64 => Element::Whole(8),
            Dtype::I32 | Dtype::U32 => Element::Whole(4),
            Dtype::I16 | Dtype::U16 => Element::Whole(2),
            Dtype::BOOL | Dtype::U8 | Dtype::I8 => Element::Whole(1),
            other => return Err(format!("tensor `{name}` is {other:?}; expected f32, f16, bf16 or f64")),
        };
        let (start, end) = (header + 8 + info.data_offsets.0, header + 8 + info.data_offsets.1);
        if end > bytes.len() {
            return Err(format!("cut short inside tensor `{name}`"));
        }
        let (shape, layout, bytes) = (info.shape.clone(), Layout::Contiguous, start..end);
        let located = Located { element, shape, layout, file: bytes.clone(), bytes };
        tensors.insert(name, located);
    }
    Ok(tensors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transposed_view_is_read_row_by_row() {
        assert_eq!(positions(&[3, 2], &[1, 3]).collect::<Vec<_>>(), [0, 3, 1, 4, 2, 5]);
    }
}
