//! Features of a frozen tower on disk: for each pair a row of tokens, read by range.
//!
//! ```text
//! values of pair 0, of pair 1, …      (tokens · width numbers of 2 or 4 bytes each, little-endian)
//! starts: the number of tokens before each pair, and of all    u64, pairs + 1 of them
//! pairs, width, bytes per number      u64 each
//! "simsegf1"
//! ```
//!
//! The table comes last, since how many tokens a picture has is known once the tower was asked.

use super::read::Host;
use crate::experiment::training::FeatureNumbers;
use crate::failure::{Failure, Outcome};
use rayon::prelude::*;
use simseg_data::atomic;
use simseg_tensor::narrow::widen;
use simseg_tensor::{Narrow, WeightType};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

const MAGIC: &[u8; 8] = b"simsegf1";
/// Bytes behind the starts.
const FOOTER: u64 = 32;

/// A file of features.
#[derive(Debug)]
pub struct Features {
    path: PathBuf,
    /// Tokens before each pair, and of all.
    starts: Vec<u64>,
    width: usize,
    bytes: u64,
    most: usize,
}

impl FeatureNumbers {
    fn bytes(self) -> u64 {
        match self {
            Self::F16 => 2,
            Self::F32 => 4,
        }
    }

    fn encode(self, values: &[f32]) -> Vec<u8> {
        match self {
            Self::F16 => Narrow::round(WeightType::F16, values, values.len()).bytes().to_vec(),
            Self::F32 => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        }
    }
}

/// Tokens of some pairs, one list of values for each, and their width.
pub type Chunk = (Vec<Vec<f32>>, usize);

impl Features {
    /// A file of so many pairs; none if there is no such file, or it is damaged.
    pub fn open(path: &Path, pairs: usize, numbers: FeatureNumbers) -> Option<Self> {
        let mut file = File::open(path).ok()?;
        let size = file.metadata().ok()?.len();
        let table = 8 * (pairs as u64 + 1) + FOOTER;
        file.seek(SeekFrom::Start(size.checked_sub(table)?)).ok()?;
        let mut bytes = vec![];
        file.read_to_end(&mut bytes).ok()?;
        let (numbers_there, magic) = bytes.split_at_checked(bytes.len().checked_sub(MAGIC.len())?)?;
        let mut all: Vec<u64> = numbers_there.as_chunks().0.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect();
        let (kind, width, count) = (all.pop()?, usize::try_from(all.pop()?).ok()?, all.pop()?);
        let rises = all.first() == Some(&0) && all.is_sorted();
        let values = all.last()?.checked_mul(width as u64)?.checked_mul(kind)?;
        let fits = magic == MAGIC
            && count == pairs as u64
            && kind == numbers.bytes()
            && values.checked_add(table) == Some(size);
        let most = all.windows(2).map(|pair| pair[1] - pair[0]).max()?;
        (fits && rises && width > 0).then_some(Self {
            path: path.to_owned(),
            most: most as usize,
            starts: all,
            width,
            bytes: kind,
        })
    }

    /// Writes a file: `chunk(start, end)` gives the tokens of some pairs; those of one that cannot be read are none.
    ///
    /// # Errors
    /// If the tower fails, a value is none that the numbers can hold, the disk refuses, or the file would be larger than `most` bytes.
    pub fn make(
        path: &Path,
        pairs: usize,
        (numbers, most): (FeatureNumbers, u64),
        mut chunk: impl FnMut(usize, usize) -> Outcome<Chunk>,
    ) -> Outcome {
        let mut failed = None;
        let mut fill = |out: &mut dyn Write| -> Outcome {
            let (mut starts, mut width) = (vec![0u64], 0);
            for start in (0..pairs).step_by(CHUNK) {
                let (rows, d) = chunk(start, (start + CHUNK).min(pairs))?;
                width = d;
                for values in &rows {
                    let held = |value: &f32| match numbers {
                        FeatureNumbers::F16 => WeightType::F16.holds(*value),
                        FeatureNumbers::F32 => value.is_finite(),
                    };
                    if let Some(value) = values.iter().find(|value| !held(value)) {
                        return Err(Failure::input(
                            "training.frozen_features.numbers",
                            format!("a feature is {value}: expected f32"),
                        ));
                    }
                    out.write_all(&numbers.encode(values)).map_err(Failure::io(path))?;
                    starts.push(starts.last().copied().unwrap_or(0) + (values.len() / d.max(1)) as u64);
                }
                let size = starts.last().copied().unwrap_or(0) * d as u64 * numbers.bytes();
                if size > most {
                    let whole = size as f64 * pairs as f64 / (starts.len() - 1) as f64 / 1e9;
                    let text =
                        format!("at least {whole:.1} for this tower and these pairs, found {:.1}", most as f64 / 1e9);
                    return Err(Failure::input("training.frozen_features.max_gigabytes", text));
                }
            }
            let table = starts.into_iter().chain([pairs as u64, width as u64, numbers.bytes()]);
            let table: Vec<u8> = table.flat_map(u64::to_le_bytes).chain(*MAGIC).collect();
            out.write_all(&table).map_err(Failure::io(path))
        };
        let written = atomic::write_with(path, |out| {
            fill(out).map_err(|failure| {
                failed = Some(failure);
                std::io::Error::other("features")
            })
        });
        match failed {
            Some(failure) => Err(failure),
            None => Ok(written?),
        }
    }

    /// Channels of a token.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Tokens of the pair with the most of them.
    pub fn most(&self) -> usize {
        self.most
    }

    /// Bytes of all values.
    pub fn size(&self) -> u64 {
        self.starts.last().copied().unwrap_or(0) * self.width as u64 * self.bytes
    }

    fn tokens(&self, index: usize) -> usize {
        (self.starts[index + 1] - self.starts[index]) as usize
    }

    /// Reads the tokens of a pair to the front of `out`; returns how many there are.
    ///
    /// # Errors
    /// If the pair could not be read when the tower was asked, or the file is gone or damaged.
    pub fn read(&self, index: usize, out: &mut [f32]) -> Result<usize, String> {
        let tokens = self.tokens(index);
        if tokens == 0 {
            return Err(format!("pair {index} could not be read when its features were computed"));
        }
        let one = self.width * self.bytes as usize;
        let mut bytes = vec![0u8; tokens * one];
        // A file of its own for each thread that reads: they share no position in it.
        let read = File::open(&self.path).and_then(|mut file| {
            file.seek(SeekFrom::Start(self.starts[index] * one as u64))?;
            file.read_exact(&mut bytes)
        });
        read.map_err(|error| format!("{}: {error}", self.path.display()))?;
        let out = &mut out[..tokens * self.width];
        match self.bytes {
            2 => widen(WeightType::F16, &bytes, &[1.0], out, |x| x),
            _ => out.iter_mut().zip(bytes.as_chunks().0).for_each(|(x, bytes)| *x = f32::from_le_bytes(*bytes)),
        }
        Ok(tokens)
    }

    /// The tokens of some pairs, filled up with zeros to those of the longest.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn batch<R>(&self, picks: &[usize]) -> Result<Host<R>, String> {
        let lengths: Vec<usize> = picks.iter().map(|&index| self.tokens(index)).collect();
        let n = lengths.iter().copied().max().unwrap_or(0);
        let mut values = vec![0.0f32; picks.len() * n * self.width];
        let rows = values.par_chunks_mut((n * self.width).max(1)).zip(picks);
        rows.map(|(out, &index)| self.read(index, out).map(drop)).collect::<Result<(), String>>()?;
        Ok(Host::Features { values, shape: [n, self.width], lengths: Some(lengths) })
    }
}

/// Pairs that go through a tower together.
const CHUNK: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    /// Pair i has i % 3 tokens of 2 channels.
    fn chunk(start: usize, end: usize) -> Outcome<Chunk> {
        let tokens = |i: usize| (0..2 * (i % 3)).map(|j| i as f32 + j as f32 / 4.0).collect();
        Ok(((start..end).map(tokens).collect(), 2))
    }

    #[test]
    fn what_is_written_is_read_back_by_pair_and_a_damaged_file_is_none() {
        let folder = tempfile::tempdir().unwrap();
        for numbers in [FeatureNumbers::F16, FeatureNumbers::F32] {
            let path = folder.path().join("a.features");
            Features::make(&path, 150, (numbers, 1 << 20), chunk).unwrap();
            let features = Features::open(&path, 150, numbers).unwrap();
            assert_eq!((features.most(), features.width(), features.size()), (2, 2, 150 * 2 * numbers.bytes()));
            let mut out = [0.0; 4];
            assert_eq!(features.read(149, &mut out), Ok(2));
            assert_eq!(out, [149.0, 149.25, 149.5, 149.75]);
            assert!(features.read(0, &mut out).unwrap_err().contains("pair 0"));
            let Ok(Host::<()>::Features { values, shape, lengths }) = features.batch(&[4, 5]) else { panic!() };
            assert_eq!((values, shape), (vec![4.0, 4.25, 0.0, 0.0, 5.0, 5.25, 5.5, 5.75], [2, 2]));
            assert_eq!(lengths, Some(vec![1, 2]));
            assert!(Features::open(&path, 149, numbers).is_none(), "another number of pairs");
            let bytes = std::fs::read(&path).unwrap();
            std::fs::write(&path, &bytes[1..]).unwrap();
            assert!(Features::open(&path, 150, numbers).is_none(), "cut short");
        }
    }

    #[test]
    fn too_much_and_what_numbers_cannot_hold_are_errors_and_leave_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.features");
        let error = Features::make(&path, 150, (FeatureNumbers::F32, 1000), chunk).unwrap_err().to_string();
        assert!(error.contains("max_gigabytes") && error.contains("at least"), "{error}");
        let large = |start: usize, end: usize| Ok((vec![vec![1e6; 2]; end - start], 2));
        let error = Features::make(&path, 150, (FeatureNumbers::F16, 1 << 20), large).unwrap_err().to_string();
        assert!(error.contains("a feature is 1000000"), "{error}");
        Features::make(&path, 150, (FeatureNumbers::F32, 1 << 20), large).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
