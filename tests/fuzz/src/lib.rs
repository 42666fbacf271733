//! Every parser of files from elsewhere, under bytes that nobody meant: an error in one line or a value, and never a panic, a hang
//! or more memory than the limits of `docs/limits.md` allow.
//!
//! [`TARGETS`] is the list. Each target has seeds, whole files that are made here; [`mutate`] damages them. The same functions run
//! under libFuzzer (`fuzz_targets`) and, where there is no nightly compiler, in the plain loop of `src/main.rs`.

mod seeds;

use simseg::Registry;
use simseg_cpu::CpuTensor;
use simseg_data::checkpoint::{self, Checkpoint};
use simseg_data::datasets::{context, mask};
use simseg_data::pairs::captions::{Columns, captions};
use simseg_data::picture::Labels;
use simseg_data::{Exif, Picture, Tokenizer};
use simseg_lab::commands::import::described::Described;
use simseg_lab::experiment::Experiment;
use simseg_tensor::random::{self, ChaCha8Rng};
use std::cell::RefCell;
use std::path::{Path, PathBuf};

/// A parser, and whole files for it.
pub struct Target {
    /// Its name.
    pub name: &'static str,
    /// Reads bytes; what comes of it is dropped.
    pub read: fn(&[u8]),
    /// Files that it accepts.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All parsers.
pub const TARGETS: [Target; 15] = [
    Target { name: "pth", read: pth, seeds: seeds::pth },
    Target { name: "safetensors", read: safetensors, seeds: seeds::safetensors },
    Target { name: "index", read: index, seeds: seeds::index },
    Target { name: "config", read: config, seeds: seeds::config },
    Target { name: "tokenizer", read: tokenizer, seeds: seeds::tokenizer },
    Target { name: "vocabulary", read: tokenizer, seeds: seeds::vocabulary },
    Target { name: "classes", read: classes, seeds: seeds::classes },
    Target { name: "experiment", read: experiment, seeds: seeds::experiment },
    Target { name: "picture", read: picture, seeds: seeds::picture },
    Target { name: "labels", read: labels, seeds: seeds::labels },
    Target { name: "captions", read: caption_file, seeds: seeds::captions },
    Target { name: "runs", read: runs, seeds: seeds::runs },
    Target { name: "context", read: context_file, seeds: seeds::context },
    Target { name: "webdataset", read: webdataset, seeds: seeds::webdataset },
    Target { name: "parquet", read: parquet, seeds: seeds::parquet },
];

/// Runs a target by name.
///
/// # Panics
/// If there is none, or the parser does what it never should.
pub fn run(name: &str, bytes: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name).expect("a target of the list");
    (target.read)(bytes);
}

/// A seed with one to eight changes: bits, bytes of interest, pieces cut out, repeated or taken from elsewhere, an early end.
pub fn mutate(seeds: &[Vec<u8>], rng: &mut ChaCha8Rng) -> Vec<u8> {
    let below = |n: usize, rng: &mut ChaCha8Rng| (random::uniform(rng) * n as f64) as usize;
    let mut bytes = seeds[below(seeds.len(), rng)].clone();
    for _ in 0..1 + below(8, rng) {
        if bytes.is_empty() {
            break;
        }
        let (at, length) = (below(bytes.len(), rng), 1 + below(16, rng));
        let end = (at + length).min(bytes.len());
        match below(8, rng) {
            0 | 1 => bytes[at] ^= 1 << below(8, rng),
            2 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff, b'\n', b'"', b'{'][below(8, rng)],
            3 => drop(bytes.drain(at..end)),
            4 => {
                let piece = bytes[at..end].to_vec();
                let to = below(bytes.len(), rng);
                bytes.splice(to..to, piece);
            }
            5 => {
                let other = &seeds[below(seeds.len(), rng)];
                let from = below(other.len().max(1), rng).min(other.len());
                let piece = other[from..(from + length).min(other.len())].to_vec();
                bytes.splice(at..end, piece);
            }
            6 => bytes[at..end].iter_mut().for_each(|byte| *byte = byte.wrapping_add(1)),
            _ if below(4, rng) == 0 => bytes.truncate(at),
            _ => bytes[at] = below(256, rng) as u8,
        }
    }
    bytes
}

/// Hands a parser of files the bytes as a file of this name.
fn as_file(name: &str, bytes: &[u8], read: impl FnOnce(&Path)) {
    thread_local!(static FOLDER: RefCell<Option<tempfile::TempDir>> = const { RefCell::new(None) });
    let path: PathBuf = FOLDER.with_borrow_mut(|folder| {
        // In memory where the system has such a folder.
        let shm = Path::new("/dev/shm");
        let make = || if shm.is_dir() { tempfile::tempdir_in(shm) } else { tempfile::tempdir() };
        folder.get_or_insert_with(|| make().expect("a temporary folder")).path().join(name)
    });
    std::fs::write(&path, bytes).expect("room for a small file");
    read(&path);
}

/// One line, which names the file: what every error of a file is.
fn one_line<T, E: std::fmt::Display>(outcome: Result<T, E>) -> Option<T> {
    outcome.map_err(|error| assert!(!error.to_string().trim().contains('\n'), "{error}")).ok()
}

fn checkpoint(name: &str, bytes: &[u8]) {
    as_file(name, bytes, |path| {
        let Some(checkpoint) = one_line(Checkpoint::open(path)) else { return };
        for name in checkpoint.names().filter(|name| checkpoint.is_real(name)) {
            let count: usize = checkpoint.shape(name).unwrap_or_default().iter().product();
            assert_eq!(checkpoint.bytes(name).map_or(0, |bytes| bytes.len()), 4 * count);
        }
    });
}

fn pth(bytes: &[u8]) {
    checkpoint("a.pth", bytes);
}

fn safetensors(bytes: &[u8]) {
    checkpoint("a.safetensors", bytes);
    drop(one_line(simseg_data::checkpoint::Weights::from_bytes(bytes.to_vec())));
}

fn index(bytes: &[u8]) {
    as_file("a.index.json", bytes, |path| {
        for part in one_line(checkpoint::parts(path)).unwrap_or_default() {
            assert_eq!(part.parent(), path.parent(), "parts lie beside their index");
        }
    });
}

fn config(bytes: &[u8]) {
    as_file("config.json", bytes, |path| {
        drop(one_line(Described::beside(&[path], &[])));
        let registry = Registry::<CpuTensor<f32>>::built_in();
        let Ok(text) = std::str::from_utf8(bytes) else { return };
        if let Some(description) = one_line(simseg::ModelDescription::parse(path, text)) {
            drop(one_line(description.network(&registry)));
        }
    });
}

fn tokenizer(bytes: &[u8]) {
    if let Some(tokenizer) = one_line(Tokenizer::from_bytes(bytes)) {
        drop(tokenizer.encode("a photo of 2 cats, isn't it?", 25));
    }
}

fn classes(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        drop(one_line(simseg_segment::ClassList::parse(text)));
    }
}

fn experiment(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    thread_local!(static REGISTRY: Registry<CpuTensor<f32>> = Registry::built_in());
    REGISTRY.with(|registry| drop(one_line(Experiment::parse(Path::new("a.toml"), text, &[], registry))));
}

fn picture(bytes: &[u8]) {
    if let Some(picture) = one_line(Picture::from_bytes(bytes, Exif::Apply)) {
        assert_eq!(picture.rgb.len(), 3 * picture.width * picture.height);
    }
}

fn labels(bytes: &[u8]) {
    if let Some(labels) = one_line(Labels::from_bytes(bytes)) {
        assert_eq!(labels.values.len(), labels.width * labels.height);
    }
}

fn caption_file(bytes: &[u8]) {
    as_file("a.csv", bytes, |path| {
        for caption in one_line(captions(path, &Columns::default())).unwrap_or_default() {
            assert!(!caption.image.is_empty() && !caption.caption.is_empty());
        }
    });
}

/// A source of pairs in one file; the first pairs of it are read.
fn packed(name: &str, bytes: &[u8], source: impl FnOnce(&Path) -> simseg_data::Source) {
    as_file(name, bytes, |path| {
        let registry = simseg_data::DataRegistry::built_in();
        let Some(pairs) = one_line(registry.open_pairs(&source(path), 0)) else { return };
        for pair in (0..pairs.len().min(8)).filter_map(|index| one_line(pairs.pair(index))) {
            assert!(!pair.caption.is_empty() && pair.picture.rgb.len() == 3 * pair.picture.width * pair.picture.height);
        }
    });
}

fn webdataset(bytes: &[u8]) {
    packed("a.tar", bytes, |path| simseg_data::Source::new("webdataset").with("shards", path));
}

fn parquet(bytes: &[u8]) {
    packed("a.parquet", bytes, |path| simseg_data::Source::new("parquet").with("files", path));
}

/// PASCAL in Detail's annotations, as `simseg convert context` reads them.
fn context_file(bytes: &[u8]) {
    as_file("trainval_merged.json", bytes, |path| {
        let root = path.with_file_name("VOC2010");
        if let Some(written) = one_line(context::convert(path, &root, |_| {})) {
            assert!(written.train + written.val == 0 || root.join("SegmentationClassContext").is_dir());
        }
        drop(std::fs::remove_dir_all(root));
    });
}

/// COCO's run lengths, as PASCAL in Detail has them.
fn runs(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(runs) = mask::runs(text) {
        drop(mask::paint(&runs, &mut [0; 64 * 48], 64, 48, 1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_whole_files() {
        for seed in seeds::picture() {
            Picture::from_bytes(&seed, Exif::Apply).unwrap();
        }
        for seed in seeds::labels() {
            Labels::from_bytes(&seed).unwrap();
        }
        for seed in seeds::context() {
            as_file("whole.json", &seed, |path| {
                assert_eq!(context::convert(path, &path.with_file_name("whole"), |_| {}).unwrap().train, 1);
            });
        }
    }

    #[test]
    fn every_parser_survives_a_thousand_damaged_files() {
        for target in &TARGETS {
            let seeds = (target.seeds)();
            seeds.iter().for_each(|seed| (target.read)(seed));
            let mut rng = random::stream(0, target.name, 0);
            (0..1000).for_each(|_| (target.read)(&mutate(&seeds, &mut rng)));
        }
    }
}
