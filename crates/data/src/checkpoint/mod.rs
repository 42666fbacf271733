//! Weights on disk: safetensors files, memory-mapped, every tensor accounted for.
//!
//! A model directory holds `config.json`, `model.safetensors` and `vocab.txt` (or `tokenizer.json`). What others published
//! comes in through `source`, which reads PyTorch's own format too.

mod narrow;
#[cfg(feature = "fs")]
mod pickle;
#[cfg(feature = "fs")]
mod pth;
#[cfg(feature = "fs")]
pub mod source;
#[cfg(feature = "fs")]
mod writing;

#[cfg(feature = "fs")]
pub use source::{Checkpoint, parts};
#[cfg(feature = "fs")]
pub use writing::{Stored, write, write_stored};

pub use narrow::{SCALE, is_narrowed, rounded, rounded_with_inputs};

use crate::{Error, Result};
use safetensors::Dtype;
use simseg_tensor::{Shared, SharedSlice, WeightType};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The bytes of a safetensors file.
#[derive(Clone)]
enum Bytes {
    #[cfg(feature = "fs")]
    Mapped(Arc<memmap2::Mmap>),
    Memory(Arc<Vec<u8>>),
}

impl std::ops::Deref for Bytes {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        match self {
            #[cfg(feature = "fs")]
            Self::Mapped(map) => map,
            Self::Memory(bytes) => bytes,
        }
    }
}

/// Named tensors of real values in a file: f32, f16, bf16, or int8 with scales ([`SCALE`]).
pub struct Weights {
    path: PathBuf,
    bytes: Bytes,
    /// Name → shape, and the bytes it occupies.
    entries: BTreeMap<String, Entry>,
    /// Free text stored beside the tensors.
    pub metadata: BTreeMap<String, String>,
}

#[derive(Debug, Clone)]
struct Entry {
    shape: Vec<usize>,
    dtype: Dtype,
    bytes: std::ops::Range<usize>,
    /// Of int8, one for each row.
    scales: Vec<f32>,
}

/// A tensor's values inside the file.
struct InPlace {
    bytes: Bytes,
    range: std::ops::Range<usize>,
}

impl InPlace {
    fn is_mapped(&self) -> bool {
        match self.bytes {
            #[cfg(all(feature = "fs", unix))]
            Bytes::Mapped(_) => true,
            _ => false,
        }
    }

    /// Gives back the memory of the pages, if they are a mapped file's.
    fn give_back(&self) {
        #[cfg(all(feature = "fs", unix))]
        {
            /// Whole pages on every CPU: they are of 4, 16 or 64 KiB.
            const PAGE: usize = 1 << 16;
            // Neighbours may still be read, so only pages that are of this tensor alone.
            let (from, to) = (self.range.start.next_multiple_of(PAGE), self.range.end / PAGE * PAGE);
            if let Bytes::Mapped(map) = &self.bytes
                && from < to
            {
                // SAFETY: the map is read-only, so no change is lost; who reads these pages again gets them from the file, as at first.
                let done = unsafe { map.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, from, to - from) };
                drop(done); // advice: where it isn't taken, memory is only not given back
            }
        }
    }
}

impl AsRef<[u8]> for InPlace {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[self.range.clone()]
    }
}

impl AsRef<[f32]> for InPlace {
    fn as_ref(&self) -> &[f32] {
        bytemuck::cast_slice(&self.bytes[self.range.clone()])
    }
}

impl Shared for InPlace {
    fn in_file(&self) -> bool {
        self.is_mapped()
    }
    fn release(&self) {
        self.give_back();
    }
}

impl Weights {
    /// Maps a file.
    ///
    /// # Errors
    /// If it is no safetensors file, is cut short, or holds anything but f32, f16, bf16 and int8 with finite scales.
    #[cfg(feature = "fs")]
    pub fn open(path: &Path) -> Result<Self> {
        let file = std::fs::File::open(path).map_err(Error::io(path))?;
        // SAFETY: the map is only ever read. Should another program cut the file short meanwhile, reading faults: the price
        // of not copying the weights, and the same in every program that maps its weights.
        let map = unsafe { memmap2::Mmap::map(&file) }.map_err(Error::io(path))?;
        Self::read(path, Bytes::Mapped(Arc::new(map)))
    }

    /// Weights from the bytes of a file.
    ///
    /// # Errors
    /// As for a file that holds them.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self> {
        Self::read(Path::new("model.safetensors"), Bytes::Memory(Arc::new(bytes)))
    }

    fn read(path: &Path, bytes: Bytes) -> Result<Self> {
        let all = &*bytes;
        let (header, metadata) = safetensors::SafeTensors::read_metadata(all)
            .map_err(|error| Error::content(path, format!("not a safetensors file: {error}")))?;
        let start = header + 8;
        let mut entries = BTreeMap::new();
        for (name, info) in metadata.tensors() {
            if info.dtype != Dtype::F32 && narrow::kind(info.dtype).is_none() {
                let text = format!("tensor `{name}` is {:?}; expected F32, F16, BF16 or I8", info.dtype);
                return Err(Error::content(path, text));
            }
            let range = start + info.data_offsets.0..start + info.data_offsets.1;
            if range.end > all.len() {
                return Err(Error::content(path, format!("cut short inside tensor `{name}`")));
            }
            let (shape, dtype) = (info.shape.clone(), info.dtype);
            entries.insert(name, Entry { shape, dtype, bytes: range, scales: vec![] });
        }
        let int8 = entries.iter().filter(|(_, entry)| entry.dtype == Dtype::I8);
        for name in int8.map(|(name, _)| name.clone()).collect::<Vec<String>>() {
            let scales = scales(&mut entries, &name, all).map_err(|text| Error::content(path, text))?;
            entries.entry(name).and_modify(|entry| entry.scales = scales);
        }
        let metadata = metadata.metadata().clone().unwrap_or_default().into_iter().collect();
        Ok(Self { path: path.to_owned(), bytes, entries, metadata })
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

    /// A tensor of the wanted shape, in place: as f32, or in the fewer bits that the file has it in, which are widened when they are
    /// read.
    ///
    /// # Errors
    /// If it is missing or has another shape.
    pub fn get(&self, name: &str, shape: &[usize]) -> Result<SharedSlice> {
        let problem = |text: String| Error::content(&self.path, text);
        let entry = self.entries.get(name).ok_or_else(|| problem(format!("tensor `{name}` is missing")))?;
        if entry.shape != shape {
            return Err(problem(format!("tensor `{name}` has shape {:?}; expected {shape:?}", entry.shape)));
        }
        let place = InPlace { bytes: self.bytes.clone(), range: entry.bytes.clone() };
        if let Some(kind) = narrow::kind(entry.dtype) {
            let stored = narrow::Stored::new(kind, place, entry.scales.clone(), narrow::row_len(shape));
            return Ok(Arc::new(stored.ok_or_else(|| problem(format!("tensor `{name}` does not fit its bytes")))?));
        }
        let bytes = &self.bytes[entry.bytes.clone()];
        if cfg!(target_endian = "little") && bytemuck::try_cast_slice::<u8, f32>(bytes).is_ok() {
            return Ok(Arc::new(place));
        }
        Ok(Arc::new(floats(bytes)))
    }

    /// The same, rounded to a type of fewer bits where [`is_narrowed`] says so; a backend with instructions for products in this type may
    /// round what the weight is multiplied by as well.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn get_rounded(&self, name: &str, shape: &[usize], kind: WeightType) -> Result<SharedSlice> {
        Ok(rounded_with_inputs(self.get(name, shape)?, name, shape, kind))
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

/// Little-endian f32.
fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
}

/// Takes the scales of an int8 tensor out of the entries, where they are no tensor of their own.
fn scales(entries: &mut BTreeMap<String, Entry>, name: &str, all: &[u8]) -> std::result::Result<Vec<f32>, String> {
    let of = format!("{name}{SCALE}");
    let rows = entries[name].shape.first().copied();
    let rows = rows.ok_or_else(|| format!("tensor `{name}` is I8 without rows; expected a matrix"))?;
    let found = entries.remove(&of);
    let found = found.ok_or_else(|| format!("tensor `{name}` is I8, but its scales `{of}` are missing"))?;
    if found.dtype != Dtype::F32 || found.shape != [rows] {
        return Err(format!("scales `{of}` are {:?} {:?}; expected F32 [{rows}]", found.dtype, found.shape));
    }
    let scales = floats(&all[found.bytes]);
    match scales.iter().all(|scale| scale.is_finite() && *scale >= 0.0) {
        true => Ok(scales),
        false => Err(format!("scales `{of}` hold values that are negative or not finite")),
    }
}

#[cfg(all(test, feature = "fs"))]
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
        let large: Vec<f32> = (0..200_000).map(|i| i as f32).collect();
        write(&path, &[("large".to_owned(), vec![200_000], large.clone())], &[]).unwrap();
        let weights = Weights::open(&path).unwrap().get("large", &[200_000]).unwrap();
        assert_eq!(((*weights).as_ref(), weights.in_file()), (&large[..], cfg!(unix)));
        weights.release();
        assert_eq!((*weights).as_ref(), large, "released values can still be read");
        write(&path, &tensors, &[("step", "7".to_owned())]).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for cut in 0..whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            assert!(Weights::open(&path).is_err(), "cut at {cut}");
        }
    }

    /// A file with tensors of given types.
    fn file(tensors: &[(&str, Dtype, Vec<usize>, Vec<u8>)]) -> Result<Weights> {
        let views = tensors.iter().map(|(name, dtype, shape, bytes)| {
            (*name, safetensors::tensor::TensorView::new(*dtype, shape.clone(), bytes).unwrap())
        });
        Weights::from_bytes(safetensors::serialize(views, None).unwrap())
    }

    #[test]
    fn short_types_are_widened_and_scales_are_no_tensors_of_their_own() {
        let le = |values: &[f32]| values.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
        let int8 = |scales: Vec<u8>, rows: usize| {
            file(&[("w", Dtype::I8, vec![2, 2], vec![1, 255, 3, 127]), ("w.scale", Dtype::F32, vec![rows], scales)])
        };
        let weights = int8(le(&[0.5, 2.0]), 2).unwrap();
        assert_eq!((*weights.get("w", &[2, 2]).unwrap()).as_ref(), [0.5, -0.5, 6.0, 254.0]);
        assert_eq!(weights.names().collect::<Vec<_>>(), ["w"]);
        for (dtype, bytes) in [(Dtype::BF16, vec![0x80, 0x3f, 0, 0xc0]), (Dtype::F16, vec![0, 0x3c, 0, 0xc0])] {
            let weights = file(&[("w", dtype, vec![2], bytes)]).unwrap();
            assert_eq!((*weights.get("w", &[2]).unwrap()).as_ref(), [1.0, -2.0]);
        }
        let refused = |weights: Result<Weights>, why: &str| {
            let text = weights.err().unwrap().to_string();
            assert!(text.contains(why) && !text.contains('\n'), "{text}");
        };
        refused(file(&[("w", Dtype::I8, vec![2], vec![1, 2])]), "`w.scale` are missing");
        refused(file(&[("w", Dtype::I8, vec![], vec![1])]), "without rows");
        refused(int8(le(&[0.5]), 1), "expected F32 [2]");
        refused(int8(le(&[0.5, f32::NAN]), 2), "not finite");
        refused(int8(le(&[0.5, -1.0]), 2), "negative");
        refused(file(&[("w", Dtype::F64, vec![1], vec![0; 8])]), "expected F32, F16, BF16 or I8");
    }
}
