//! The bytes of a shard: in its own file, or unpacked from a `.tar.gz`.
//!
//! Nothing behind a place in a gzip stream can be read without all that is before it. So packed shards are unpacked once, when the
//! source is opened, one after the other into a single temporary file, of which the system keeps no name: it is gone when the process
//! ends, however it ends. The file lies in the system's folder of temporary files (`TMPDIR`) and is bounded by `UNPACKED`.

use super::scan::Span;
use crate::{Error, Result};
use flate2::read::MultiGzDecoder;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Most bytes that the packed shards of a source may unpack to, together: 64 GiB.
const UNPACKED: u64 = 64 << 30;

/// A tar file.
#[derive(Debug)]
pub struct Shard {
    /// The file that was named.
    pub path: PathBuf,
    unpacked: Option<Part>,
}

/// A part of the file of everything that was unpacked.
#[derive(Debug)]
pub(super) struct Part {
    // Not read at places in parallel, which only some systems can: one reader at a time.
    file: Arc<Mutex<File>>,
    begin: u64,
    length: u64,
}

/// The file of everything that was unpacked so far, if anything was.
#[derive(Debug, Default)]
pub struct Unpacked {
    file: Option<Arc<Mutex<File>>>,
    length: u64,
}

impl Shard {
    /// A shard; a packed one is unpacked. Shards of a source open no file of their own between reads, since there may be thousands.
    ///
    /// # Errors
    /// If it cannot be read or unpacked, or takes more room than there may be.
    pub fn open(path: PathBuf, unpacked: &mut Unpacked) -> Result<Self> {
        let mut magic = vec![];
        let file = File::open(&path).map_err(Error::io(&path))?;
        (&file).take(2).read_to_end(&mut magic).map_err(Error::io(&path))?;
        let unpacked = if magic == [0x1f, 0x8b] { Some(unpacked.add(&path, UNPACKED)?) } else { None };
        Ok(Self { path, unpacked })
    }

    /// Where its first byte lies in the file that holds it.
    pub(super) fn begin(&self) -> u64 {
        self.unpacked.as_ref().map_or(0, |part| part.begin)
    }

    /// A reader of all of it from its start, and its size in bytes.
    pub(super) fn start(&self) -> Result<(Reader<'_>, u64)> {
        match &self.unpacked {
            None => {
                let file = File::open(&self.path).map_err(Error::io(&self.path))?;
                let size = file.metadata().map_err(Error::io(&self.path))?.len();
                Ok((Reader::Own(file), size))
            }
            Some(part) => Ok((Reader::Part { part, at: 0 }, part.length)),
        }
    }

    /// The bytes of a member, as many as it says.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn read(&self, span: &Span) -> std::io::Result<Vec<u8>> {
        let read = |mut file: &File| {
            file.seek(SeekFrom::Start(span.offset))?;
            let mut bytes = vec![0; usize::try_from(span.length).unwrap_or(0)];
            file.read_exact(&mut bytes)?;
            Ok(bytes)
        };
        match &self.unpacked {
            None => read(&File::open(&self.path)?),
            Some(part) => read(&part.file.lock().unwrap_or_else(PoisonError::into_inner)),
        }
    }
}

impl Unpacked {
    fn add(&mut self, path: &Path, most: u64) -> Result<Part> {
        let file = match &self.file {
            Some(file) => file.clone(),
            None => {
                let made = tempfile::tempfile().map_err(Error::io(&std::env::temp_dir()))?;
                self.file.insert(Arc::new(Mutex::new(made))).clone()
            }
        };
        let packed = File::open(path).map_err(Error::io(path))?;
        let mut tar = MultiGzDecoder::new(std::io::BufReader::new(packed)).take(most.saturating_sub(self.length) + 1);
        let (begin, mut buffer) = (self.length, vec![0; 1 << 16]);
        loop {
            let damaged = |error| Error::content(path, format!("damaged or cut short, it does not unpack: {error}"));
            let count = tar.read(&mut buffer).map_err(damaged)?;
            if count == 0 {
                return Ok(Part { file, begin, length: self.length - begin });
            }
            self.length += count as u64;
            if self.length > most {
                let text =
                    format!("it and the packed shards before it unpack to more than {most} bytes; unpack them to .tar");
                return Err(Error::content(path, text));
            }
            let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
            let written =
                file.seek(SeekFrom::Start(self.length - count as u64)).and_then(|_| file.write_all(&buffer[..count]));
            written.map_err(Error::io(&std::env::temp_dir()))?;
        }
    }
}

/// Reads a shard from its start.
pub(super) enum Reader<'a> {
    Own(File),
    Part { part: &'a Part, at: u64 },
}

impl Read for Reader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::Own(file) => file.read(buffer),
            Self::Part { part, at } => {
                let mut file = part.file.lock().unwrap_or_else(PoisonError::into_inner);
                file.seek(SeekFrom::Start(part.begin + *at))?;
                let count = (&mut *file).take(part.length.saturating_sub(*at)).read(buffer)?;
                *at += count as u64;
                Ok(count)
            }
        }
    }
}

impl Seek for Reader<'_> {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        match self {
            Self::Own(file) => file.seek(to),
            Self::Part { part, at } => {
                let place = match to {
                    SeekFrom::Start(place) => Some(place),
                    SeekFrom::Current(step) => at.checked_add_signed(step),
                    SeekFrom::End(step) => part.length.checked_add_signed(step),
                };
                *at = place.ok_or(std::io::ErrorKind::InvalidInput)?;
                Ok(*at)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_unpacks_to_more_than_its_bound_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.tar.gz");
        let mut packed = flate2::write::GzEncoder::new(File::create(&path).unwrap(), flate2::Compression::fast());
        packed.write_all(&[7; 5000]).unwrap();
        packed.finish().unwrap();
        let mut unpacked = Unpacked::default();
        assert_eq!(unpacked.add(&path, 12_000).unwrap().length, 5000);
        assert_eq!(unpacked.add(&path, 12_000).unwrap().begin, 5000);
        let error = unpacked.add(&path, 12_000).unwrap_err().to_string();
        assert!(error.contains("a.tar.gz") && error.contains("more than 12000 bytes"), "{error}");
    }
}
