//! PyTorch's `.pth`: a zip archive of one pickle (`data.pkl`) and one file per storage (`data/0`, `data/1`, …), stored without
//! compression, so that tensors can stay where they lie in the mapped file.
//!
//! Source: PyTorch's `torch/serialization.py` (format since 1.6). Everything that is not a tensor or a plain container is
//! refused by [`super::pickle`].

use super::pickle::{self, Id, Pickle, Value};
use super::source::{Layout, Located};
use simseg_tensor::parallel::prelude::*;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{Cursor, Read};
use std::ops::Range;
use zip::{CompressionMethod, ZipArchive};

/// Largest pickle that is read; one with an optimiser has a few hundred kilobytes.
const PICKLE: u64 = 64 << 20;

/// Named tensors of a `.pth`, and what else lies in it.
pub(super) struct Archive {
    /// Tensors of the state dict by name.
    pub tensors: BTreeMap<String, Located>,
    /// Things beside the state dict, such as `epoch` or `optimizer`.
    pub beside: Vec<String>,
}

/// Whether the bytes begin as a zip archive does.
pub(super) fn is_zip(bytes: &[u8]) -> bool {
    bytes.starts_with(b"PK\x03\x04")
}

/// Whether the bytes begin as the format before PyTorch 1.6 does, a pickle of a magic number.
pub(super) fn is_legacy(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.")
}

/// Reads the directory and the pickle.
///
/// # Errors
/// What is wrong with them, and what was expected.
pub(super) fn read(bytes: &[u8]) -> Result<Archive, String> {
    let broken = |error: zip::result::ZipError| format!("not a readable zip archive: {error}");
    let mut zip = ZipArchive::new(Cursor::new(bytes)).map_err(broken)?;
    let mut files = HashMap::new(); // name → number
    for number in 0..zip.len() {
        let file = zip.by_index_raw(number).map_err(broken)?;
        files.insert(file.name().map_err(broken)?.into_owned(), number);
    }
    // A module that torch.jit.save wrote: its classes come as source code, which nobody runs; its parameters as in a state dict.
    let script = files.keys().any(|name| name.split('/').any(|part| part == "code"));
    let pickle_name = files.keys().find(|name| *name == "data.pkl" || name.ends_with("/data.pkl"));
    let pickle_name = pickle_name.ok_or("a zip archive without data.pkl; expected one written by torch.save")?;
    let folder = pickle_name.trim_end_matches("data.pkl");

    let text = whole(&mut zip, files[pickle_name], pickle_name)?;
    let order = format!("{folder}byteorder");
    if let Some(&number) = files.get(&order)
        && whole(&mut zip, number, &order)? != b"little"
    {
        return Err("written on a big-endian machine; expected little-endian values".into());
    }
    let pickle = pickle::read(&text, script).map_err(|problem| format!("{pickle_name}: {problem}"))?;
    let mut places = HashMap::new(); // key → file
    for (name, &number) in &files {
        let Some(key) = name.strip_prefix(folder).and_then(|name| name.strip_prefix("data/")) else { continue };
        let file = zip.by_index_raw(number).map_err(broken)?;
        let plain = file.compression() == CompressionMethod::Stored && !file.encrypted();
        let place = file.data_start().and_then(|start| {
            let start = usize::try_from(start).ok()?;
            let end = start.checked_add(usize::try_from(file.size()).ok()?)?;
            (plain && end <= bytes.len()).then_some(start..end)
        });
        let place = place.ok_or_else(|| format!("{}: expected a plain, uncompressed file", printable(name)))?;
        places.insert(key.to_owned(), Stored { place, checksum: Some(file.crc32()) });
    }
    let archive = state_dict(&pickle, &places)?;
    archive.check(bytes, &places)?;
    Ok(archive)
}

/// A file of the archive that holds values.
struct Stored {
    place: Range<usize>,
    /// Where the format has one.
    checksum: Option<u32>,
}

impl Archive {
    /// Compares the files that tensors lie in with their checksums: a flipped bit in a weight shows nowhere else.
    fn check(&self, bytes: &[u8], places: &HashMap<String, Stored>) -> Result<(), String> {
        let ends: HashSet<usize> = self.tensors.values().map(|tensor| tensor.file.end).collect();
        let used: Vec<_> = places.iter().filter(|(_, file)| ends.contains(&file.place.end)).collect();
        let whole = |(key, file): &(&String, &Stored)| match file
            .checksum
            .is_none_or(|sum| crc32fast::hash(&bytes[file.place.clone()]) == sum)
        {
            true => Ok(()),
            false => Err(format!("data/{}: its checksum is wrong, the file is damaged", printable(key))),
        };
        used.par_iter().try_for_each(whole)
    }
}

/// A small file of the archive, checked against its checksum.
fn whole(zip: &mut ZipArchive<Cursor<&[u8]>>, number: usize, name: &str) -> Result<Vec<u8>, String> {
    let file = zip.by_index(number).map_err(|error| format!("{name}: {error}"))?;
    if file.size() > PICKLE {
        return Err(format!("{name}: {} bytes; expected at most {PICKLE}", file.size()));
    }
    let mut out = vec![];
    file.take(PICKLE).read_to_end(&mut out).map_err(|error| format!("{name}: {error}"))?;
    Ok(out)
}

/// Reads the format before PyTorch 1.6: pickles of a magic number, the protocol, the machine, what was saved and the storages'
/// names, then the storages one after the other, each behind its number of values.
///
/// # Errors
/// What is wrong with them, and what was expected.
pub(super) fn read_legacy(bytes: &[u8]) -> Result<Archive, String> {
    let mut at = 0;
    let mut next = || -> Result<Pickle, String> {
        let rest = &bytes[at..];
        let (pickle, length) = pickle::first(&rest[..rest.len().min(PICKLE as usize)], false)?;
        at += length;
        Ok(pickle)
    };
    let (_magic, _protocol, machine, saved, keys) = (next()?, next()?, next()?, next()?, next()?);
    let little = machine.lookup(machine.root, "little_endian").map(|id| machine.get(id));
    if little != Some(&Value::Bool(true)) {
        return Err("written on a big-endian machine; expected little-endian values".into());
    }
    let sizes: HashMap<&str, usize> = saved.storages().map(|s| (s.key.as_str(), s.element.size())).collect();
    let Value::List(keys_in_order) = keys.get(keys.root) else { return Err("no list of storages".into()) };
    let mut places = HashMap::new();
    for &key in keys_in_order {
        let Value::Text(key) = keys.get(key) else { return Err("a storage whose name is no string".into()) };
        let size = sizes.get(key.as_str()).ok_or("a storage that nothing uses")?;
        let cut = || format!("cut short before storage `{}`", printable(key));
        let count = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()).ok_or_else(cut)?;
        let length = usize::try_from(u64::from_le_bytes(*count)).ok().and_then(|count| count.checked_mul(*size));
        let start = at + 8;
        let end = length.and_then(|length| start.checked_add(length)).filter(|&end| end <= bytes.len());
        at = end.ok_or_else(cut)?;
        places.insert(key.clone(), Stored { place: start..at, checksum: None });
    }
    state_dict(&saved, &places)
}

/// Under which names trainers put the state dict.
const HOLDERS: [&str; 6] = ["state_dict", "model", "module", "net", "model_state_dict", "teacher"];
/// Most levels of holders, and of modules within modules.
const DEEPEST: usize = 64;

/// The tensors of a state dict, which may lie in a dictionary of other things, or of a TorchScript module.
fn state_dict(pickle: &Pickle, places: &HashMap<String, Stored>) -> Result<Archive, String> {
    let (mut dict, mut beside) = (pickle.root, vec![]);
    for _ in 0..DEEPEST {
        let inner = HOLDERS.iter().find_map(|holder| {
            let inner = pickle.lookup(dict, holder)?;
            matches!(pickle.get(inner), Value::Dict(_) | Value::Object(Some(_))).then_some((*holder, inner))
        });
        let Some((holder, inner)) = inner else { break };
        beside.extend(keys(pickle, dict)?.into_iter().filter(|key| key != holder));
        dict = inner;
    }
    let mut found = Found { pickle, places, tensors: BTreeMap::new(), beside, seen: HashSet::new() };
    match pickle.get(dict) {
        Value::Dict(_) => found.entries(dict, "", 0)?,
        Value::Object(Some(state)) => found.entries(*state, "", 0)?,
        _ => return Err("no state dict in it; expected a dictionary of tensors by name".into()),
    }
    let Found { tensors, mut beside, .. } = found;
    beside.sort();
    Ok(Archive { tensors, beside })
}

/// What has been found of a state dict.
struct Found<'a> {
    pickle: &'a Pickle,
    places: &'a HashMap<String, Stored>,
    tensors: BTreeMap<String, Located>,
    beside: Vec<String>,
    /// Modules that were entered: one that holds itself is no trap.
    seen: HashSet<Id>,
}

impl Found<'_> {
    /// The tensors among a dictionary's entries, and those of modules.
    fn entries(&mut self, dict: Id, prefix: &str, depth: usize) -> Result<(), String> {
        let Value::Dict(entries) = self.pickle.get(dict) else { return Ok(()) };
        if depth > DEEPEST || !self.seen.insert(dict) {
            return Ok(());
        }
        for &(key, value) in entries {
            let Value::Text(key) = self.pickle.get(key) else { return Err("a tensor whose name is no string".into()) };
            let name = format!("{prefix}{key}");
            match self.pickle.get(value) {
                Value::Tensor(tensor) => {
                    let located = locate(tensor, self.places)
                        .map_err(|problem| format!("tensor `{}`: {problem}", printable(&name)))?;
                    self.tensors.insert(name, located);
                }
                &Value::Object(Some(state)) => self.entries(state, &format!("{name}."), depth + 1)?,
                // Such as a module's `training`.
                _ if depth > 0 => {}
                _ => self.beside.push(printable(&name)),
            }
        }
        Ok(())
    }
}

fn keys(pickle: &Pickle, dict: Id) -> Result<Vec<String>, String> {
    let Value::Dict(entries) = pickle.get(dict) else { return Ok(vec![]) };
    let key = |&(key, _): &(Id, Id)| match pickle.get(key) {
        Value::Text(text) => Ok(printable(text)),
        _ => Err("a checkpoint with a key that is no string".to_owned()),
    };
    entries.iter().map(key).collect()
}

fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}

/// Where a tensor's values lie. Every value must lie inside of its storage, and there are no more than the storage holds:
/// so nothing that is read later can be larger than the file.
fn locate(tensor: &pickle::Tensor, places: &HashMap<String, Stored>) -> Result<Located, String> {
    let pickle::Tensor { storage, offset, shape, strides } = tensor;
    let missing = || format!("its storage `{}` is missing", printable(&storage.key));
    let place = &places.get(&storage.key).ok_or_else(missing)?.place;
    let size = storage.element.size();
    let fits = storage.count.checked_mul(size).is_some_and(|bytes| bytes <= place.len());
    if !fits {
        return Err(format!("its storage holds {} bytes; expected {} values of {size}", place.len(), storage.count));
    }
    let count = shape.iter().try_fold(1usize, |product, &length| product.checked_mul(length));
    let last = shape
        .iter()
        .zip(strides)
        .try_fold(*offset, |last, (&length, &stride)| last.checked_add(length.saturating_sub(1).checked_mul(stride)?));
    match (count, last) {
        (Some(0), _) => {}
        (Some(count), Some(last)) if count <= storage.count && last < storage.count => {}
        _ => return Err(format!("shape {shape:?} with strides {strides:?} does not fit its storage")),
    }
    let contiguous = {
        let mut expected = 1;
        shape.iter().zip(strides).rev().all(|(&length, &stride)| {
            let fits = length == 1 || stride == expected;
            expected *= length.max(1);
            fits
        })
    };
    let layout = if contiguous { Layout::Contiguous } else { Layout::Strided(strides.clone()) };
    let start = place.start + offset.min(&storage.count) * size;
    let bytes = start..place.start + storage.count * size;
    Ok(Located { element: storage.element, shape: shape.clone(), layout, bytes, file: place.clone() })
}

/// What wrappers put before all names: `DataParallel`, `torch.compile`, trainers of a model of theirs.
const WRAPPERS: [&str; 3] = ["module.", "_orig_mod.", "model."];

/// The names without wrappers.
pub(super) fn without_wrappers(mut tensors: BTreeMap<String, Located>) -> BTreeMap<String, Located> {
    while let Some(wrapper) =
        WRAPPERS.iter().find(|wrapper| !tensors.is_empty() && tensors.keys().all(|name| name.starts_with(**wrapper)))
    {
        tensors = tensors.into_iter().map(|(name, tensor)| (name[wrapper.len()..].to_owned(), tensor)).collect();
    }
    tensors
}
