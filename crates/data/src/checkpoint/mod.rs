//! Weights on disk: safetensors files, memory-mapped, every tensor accounted for.
//!
//! A model directory holds `config.json`, `model.safetensors` and `vocab.txt` (or `tokenizer.json`). What others published
//! comes in through [`source`], which reads PyTorch's own format too.

mod pickle;
mod pth;
pub mod source;

pub use source::Checkpoint;

use crate::{Error, Result, atomic};
use simseg_tensor::SharedSlice;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Named f32 tensors in a file.
#[derive(Debug)]
pub struct Weights {
    path: PathBuf,
    map: Arc<memmap2::Mmap>,
    /// Name → shape, and the bytes it occupies.
    entries: BTreeMap<String, Entry>,
    /// Free text stored beside the tensors.
    pub metadata: BTreeMap<String, String>,
}

#[derive(Debug, Clone)]
struct Entry {
    shape: Vec<usize>,
    bytes: std::ops::Range<usize>,
}

/// A tensor's values inside a mapped file.
struct Mapped {
    map: Arc<memmap2::Mmap>,
    bytes: std::ops::Range<usize>,
}

impl AsRef<[f32]> for Mapped {
    fn as_ref(&self) -> &[f32] {
        bytemuck::cast_slice(&self.map[self.bytes.clone()])
    }
}

impl Weights {
    /// Maps a file.
    ///
    /// # Errors
    /// If it is no safetensors file, is cut short, or holds anything but f32.
    pub fn open(path: &Path) -> Result<Self> {
        let file = std::fs::File::open(path).map_err(Error::io(path))?;
        // SAFETY: the map is only ever read. Should another program cut the file short meanwhile, reading faults: the price
        // of not copying the weights, and the same in every program that maps its weights.
        let map = Arc::new(unsafe { memmap2::Mmap::map(&file) }.map_err(Error::io(path))?);
        let (header, metadata) = safetensors::SafeTensors::read_metadata(&map)
            .map_err(|error| Error::content(path, format!("not a safetensors file: {error}")))?;
        let start = header + 8;
        let mut entries = BTreeMap::new();
        for (name, info) in metadata.tensors() {
            if info.dtype != safetensors::Dtype::F32 {
                return Err(Error::content(path, format!("tensor `{name}` is {:?}; expected F32", info.dtype)));
            }
            let bytes = start + info.data_offsets.0..start + info.data_offsets.1;
            if bytes.end > map.len() {
                return Err(Error::content(path, format!("cut short inside tensor `{name}`")));
            }
            entries.insert(name, Entry { shape: info.shape.clone(), bytes });
        }
        let metadata = metadata.metadata().clone().unwrap_or_default().into_iter().collect();
        Ok(Self { path: path.to_owned(), map, entries, metadata })
    }

    /// The file it came from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All names, in alphabetical order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// A tensor's shape.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.entries.get(name).map(|entry| &entry.shape[..])
    }

    /// A tensor of the wanted shape, in place where the file's alignment allows it.
    ///
    /// # Errors
    /// If it is missing or has another shape.
    pub fn get(&self, name: &str, shape: &[usize]) -> Result<SharedSlice> {
        let problem = |text: String| Error::content(&self.path, text);
        let entry = self.entries.get(name).ok_or_else(|| problem(format!("tensor `{name}` is missing")))?;
        if entry.shape != shape {
            return Err(problem(format!("tensor `{name}` has shape {:?}; expected {shape:?}", entry.shape)));
        }
        let bytes = &self.map[entry.bytes.clone()];
        if bytemuck::try_cast_slice::<u8, f32>(bytes).is_ok() && cfg!(target_endian = "little") {
            return Ok(Arc::new(Mapped { map: self.map.clone(), bytes: entry.bytes.clone() }));
        }
        let values = bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        Ok(Arc::new(values.collect::<Vec<f32>>()))
    }

    /// Whether every tensor of the file is among `expected`.
    ///
    /// # Errors
    /// The names left over.
    pub fn accounted<'a>(&self, expected: impl IntoIterator<Item = &'a str>) -> Result<()> {
        let expected: std::collections::HashSet<&str> = expected.into_iter().collect();
        let extra: Vec<&str> = self.names().filter(|name| !expected.contains(name)).collect();
        if extra.is_empty() {
            return Ok(());
        }
        Err(Error::content(&self.path, format!("{} tensors nobody asked for: {}", extra.len(), extra.join(", "))))
    }
}

/// A tensor on its way to a file: its bytes are asked for when their turn comes, so that a model is never in memory as a
/// whole on its account.
pub struct Stored<'a> {
    name: String,
    dtype: safetensors::Dtype,
    shape: Vec<usize>,
    bytes: Bytes<'a>,
}

type Bytes<'a> = Box<dyn Fn() -> Cow<'a, [u8]> + 'a>;

impl<'a> Stored<'a> {
    /// Real values.
    pub fn f32(name: String, shape: Vec<usize>, values: Vec<f32>) -> Self {
        Self::lazy(name, shape, move || Cow::Owned(values.iter().flat_map(|x| x.to_le_bytes()).collect()))
    }

    /// Masks and labels.
    pub fn u8(name: String, shape: Vec<usize>, values: Vec<u8>) -> Self {
        Self { name, dtype: safetensors::Dtype::U8, shape, bytes: Box::new(move || Cow::Owned(values.clone())) }
    }

    /// Real values as row-major f32 in little-endian bytes, made or borrowed when they are written.
    pub fn lazy(name: String, shape: Vec<usize>, bytes: impl Fn() -> Cow<'a, [u8]> + 'a) -> Self {
        Self { name, dtype: safetensors::Dtype::F32, shape, bytes: Box::new(bytes) }
    }
}

impl safetensors::View for &Stored<'_> {
    fn dtype(&self) -> safetensors::Dtype {
        self.dtype
    }
    fn shape(&self) -> &[usize] {
        &self.shape
    }
    fn data(&self) -> Cow<'_, [u8]> {
        (self.bytes)()
    }
    fn data_len(&self) -> usize {
        self.shape.iter().product::<usize>() * self.dtype.bitsize() / 8
    }
}

/// Writes named f32 tensors.
///
/// # Errors
/// If the file cannot be written.
pub fn write(path: &Path, tensors: &[(String, Vec<usize>, Vec<f32>)], metadata: &[(&str, String)]) -> Result<()> {
    let store = |(name, shape, values): &(String, Vec<usize>, Vec<f32>)| {
        Stored::f32(name.clone(), shape.clone(), values.clone())
    };
    write_stored(path, &tensors.iter().map(store).collect::<Vec<_>>(), metadata)
}

/// Writes named tensors, one after the other.
///
/// # Errors
/// If the file cannot be written; the old one, if any, is then still there.
pub fn write_stored(path: &Path, tensors: &[Stored<'_>], metadata: &[(&str, String)]) -> Result<()> {
    let metadata = metadata.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
    let views = tensors.iter().map(|tensor| (tensor.name.as_str(), tensor));
    // To a temporary name, then renamed: the library does as `atomic` does, but for the permissions.
    safetensors::serialize_to_file(views, Some(metadata), path).map_err(|error| match error {
        safetensors::SafeTensorError::IoError(source) => Error::Io { path: path.to_owned(), source },
        other => Error::content(path, other.to_string()),
    })?;
    atomic::ordinary(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_survive_the_disk_and_mistakes_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.safetensors");
        let tensors =
            [("a".to_owned(), vec![2, 2], vec![1.0, 2.0, 3.0, 4.0]), ("b".to_owned(), vec![], vec![f32::MIN_POSITIVE])];
        write(&path, &tensors, &[("step", "7".to_owned())]).unwrap();
        let weights = Weights::open(&path).unwrap();
        assert_eq!((*weights.get("a", &[2, 2]).unwrap()).as_ref(), [1.0, 2.0, 3.0, 4.0]);
        assert_eq!(weights.metadata["step"], "7");
        let message = |error: Error| error.to_string();
        assert!(message(weights.get("c", &[1]).err().unwrap()).contains("`c` is missing"));
        assert!(message(weights.get("a", &[4]).err().unwrap()).contains("[2, 2]"));
        assert!(message(weights.accounted(["a"]).err().unwrap()).contains("b"));
        let whole = std::fs::read(&path).unwrap();
        for cut in 0..whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            assert!(Weights::open(&path).is_err(), "cut at {cut}");
        }
    }
}
