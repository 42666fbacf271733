//! The headers of a tar file: which sample has its image and its caption where.
//!
//! Only headers are read, 512 bytes a member; everything between them is passed over. Long names come in a member of their own
//! before the one that they name, in GNU's form or in that of POSIX (pax). Source: POSIX.1-2017, pax, "ustar Interchange Format"
//! and "pax Header Block".

use super::shard::Shard;
use crate::{Error, Result};
use std::io::Read;
use std::path::Path;
use tar::EntryType;

/// Longest name, and the longest record that may hold one.
const NAME: u64 = 4096;
const RECORD: u64 = 64 << 10;

/// Where a member's bytes lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// Behind which byte of the shard.
    pub offset: u64,
    /// How many.
    pub length: u64,
    /// The member's extension in lower case.
    pub extension: Box<str>,
}

/// Members of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// Their name without extension.
    pub key: Box<str>,
    /// The image; none if it is missing.
    pub image: Option<Span>,
    /// The caption, likewise.
    pub caption: Option<Span>,
}

/// The samples of a shard in its order: all members of one key that have an image or a caption among these extensions.
///
/// # Errors
/// If it is no tar file, ends within a member or has an image or a caption of a sample twice.
pub fn samples(shard: &Shard, images: &[String], captions: &[String]) -> Result<Vec<Sample>> {
    let path = &shard.path;
    let (file, size) = shard.start()?;
    let mut archive = tar::Archive::new(file);
    let entries = archive.entries_with_seek().map_err(unreadable(path, 0))?.raw(true);
    let (mut samples, mut long_name): (Vec<Sample>, Option<Vec<u8>>) = (vec![], None);
    for (count, entry) in entries.enumerate() {
        let mut entry = entry.map_err(unreadable(path, count))?;
        let (offset, length) = (entry.raw_file_position(), entry.size());
        if offset.checked_add(length).is_none_or(|end| end > size) {
            let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            return Err(Error::content(path, format!("cut short: it ends within its member `{name}`")));
        }
        match entry.header().entry_type() {
            EntryType::GNULongName => {
                let mut name = contents(&mut entry, NAME, path)?;
                name.truncate(name.iter().position(|&byte| byte == 0).unwrap_or(name.len()));
                long_name = Some(name);
            }
            EntryType::XHeader => {
                let record = contents(&mut entry, RECORD, path)?;
                let mut pairs = tar::PaxExtensions::new(&record).flatten();
                long_name = pairs
                    .find(|pair| pair.key_bytes() == b"path")
                    .map(|pair| pair.value_bytes().to_vec())
                    .or(long_name);
            }
            EntryType::Regular | EntryType::Continuous => {
                let name = long_name.take().unwrap_or_else(|| entry.path_bytes().into_owned());
                let name = String::from_utf8_lossy(&name);
                let Some((key, extension)) = split(&name) else { continue };
                let (is_image, is_caption) = (images.contains(&extension), captions.contains(&extension));
                if !is_image && !is_caption {
                    continue;
                }
                if samples.last().is_none_or(|sample| *sample.key != *key) {
                    samples.push(Sample { key: key.into(), image: None, caption: None });
                }
                let Some(sample) = samples.last_mut() else { continue };
                let place = if is_image { &mut sample.image } else { &mut sample.caption };
                if place.is_some() {
                    let what = if is_image { "image" } else { "caption" };
                    return Err(Error::content(
                        path,
                        format!("a second {what} of sample `{key}`, `{name}`; expected one"),
                    ));
                }
                *place = Some(Span { offset: shard.begin() + offset, length, extension: extension.into() });
            }
            _ => long_name = None, // a folder, a link
        }
    }
    Ok(samples)
}

/// Key and extension: the name up to the first full stop of its last part, and what comes behind.
fn split(name: &str) -> Option<(&str, String)> {
    let last = name.rfind('/').map_or(0, |slash| slash + 1);
    let dot = last + name[last..].find('.')?;
    (dot > last).then(|| (&name[..dot], name[dot + 1..].to_lowercase()))
}

/// What a small member holds.
fn contents(entry: &mut impl Read, limit: u64, path: &Path) -> Result<Vec<u8>> {
    let mut bytes = vec![];
    entry.take(limit + 1).read_to_end(&mut bytes).map_err(Error::io(path))?;
    match bytes.len() as u64 > limit {
        true => Err(Error::content(path, format!("a name of more than {limit} bytes"))),
        false => Ok(bytes),
    }
}

fn unreadable(path: &Path, before: usize) -> impl Fn(std::io::Error) -> Error + '_ {
    move |error| {
        let place = match before {
            0 => "no tar file".to_owned(),
            _ => format!("damaged or cut short behind its member {before}"),
        };
        Error::content(path, format!("{place}: {error}"))
    }
}
