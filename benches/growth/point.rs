//! One measurement, in a process of its own.

use crate::axes::{Axis, WIDTH};
use serde::{Deserialize, Serialize};
use simseg::{Picture, Recipe};
use simseg_benches::training::pixels;
use simseg_benches::usage::usage;
use simseg_benches::{Failure, median, model};
use simseg_cpu::{CpuDevice, CpuTensor};
use simseg_model::ModelConfig;
use simseg_segment::prompts::Templates;
use simseg_tensor::{NoTap, random};
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// What all measurements share.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Place {
    /// Holds `model/`, `classes.txt`, and the pictures.
    pub folder: PathBuf,
    /// `simseg`
    pub program: PathBuf,
    /// A small model, to see that it runs.
    pub small: bool,
}

/// What is measured.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Point {
    /// Where.
    pub place: Place,
    /// What; nothing only fills the place.
    pub axis: Option<Axis>,
    /// How much of it.
    pub x: usize,
}

/// What it took.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Measured {
    /// Of the clock, for one step.
    pub seconds: f64,
    /// Of all threads, for one step.
    pub cpu_seconds: f64,
    /// Most resident memory of the process, from its start.
    pub peak_bytes: u64,
}

impl Measured {
    /// The least time and the most memory of two.
    pub fn best(before: Option<Self>, now: Self) -> Self {
        let Some(before) = before else { return now };
        Self {
            seconds: before.seconds.min(now.seconds),
            cpu_seconds: before.cpu_seconds.min(now.cpu_seconds),
            peak_bytes: before.peak_bytes.max(now.peak_bytes),
        }
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seconds, cpu_seconds, peak_bytes } = self;
        write!(f, "{seconds:.3} s, {cpu_seconds:.3} s of processors, {} MiB", peak_bytes >> 20)
    }
}

/// Words where their number is not what grows.
const WORDS: usize = 20;
/// The vocabulary has so many.
const MOST_WORDS: usize = 2000;
/// Steps are repeated for so many seconds.
const LONG_ENOUGH: f64 = 2.0;

/// Measures a point in this process.
///
/// # Errors
/// If something is missing, or fails.
pub fn measure(point: &Point) -> Result<Measured, Failure> {
    let Point { place, axis, x } = point;
    let cores = std::thread::available_parallelism()?.get();
    let threads = if *axis == Some(Axis::Threads) { *x } else { cores };
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global()?;
    let mut recipe = Recipe::official_code();
    recipe.prompts.templates = Templates::Single;
    let open = || model::open(&place.folder.join("model"), recipe.clone(), None);
    let encoder = |batch: usize, side: usize| -> Result<Measured, Failure> {
        let (model, pixels) = (open()?, pixels::<CpuTensor<f32>>(batch, side, &CpuDevice)?);
        repeated(|| Ok(model.network().encode_image(&pixels, &mut NoTap).map(drop)?))
    };
    match axis {
        None => {
            fill(place)?;
            Ok(Measured { seconds: 0.0, cpu_seconds: 0.0, peak_bytes: 0 })
        }
        Some(Axis::Side) => encoder(1, *x),
        Some(Axis::Batch) if *x == 0 => encoder(1, 32), // Axis::fixed
        Some(Axis::Batch) => encoder(*x, 224),
        Some(Axis::Threads) => encoder(4, 224),
        Some(Axis::Bank) => {
            let (model, names) = (open()?, model::names(*x));
            repeated(|| Ok(model.words(&names).map(drop)?))
        }
        Some(Axis::Words) => {
            let (model, picture) = (open()?, picture(0));
            let words = model.words(model::names(*x))?;
            repeated(|| Ok(model.segment(&picture, &words).map(drop)?))
        }
        Some(Axis::Folder) => folder(place, *x),
    }
}

/// Once to warm up, then until it has taken long enough.
fn repeated(mut step: impl FnMut() -> Result<(), Failure>) -> Result<Measured, Failure> {
    step()?;
    let (began, before, mut seconds) = (Instant::now(), usage(false).cpu_seconds, vec![]);
    while seconds.is_empty() || began.elapsed().as_secs_f64() < LONG_ENOUGH {
        let start = Instant::now();
        step()?;
        seconds.push(start.elapsed().as_secs_f64());
    }
    let used = usage(false);
    let cpu_seconds = (used.cpu_seconds - before) / seconds.len() as f64;
    Ok(Measured { seconds: median(&mut seconds), cpu_seconds, peak_bytes: used.peak_bytes })
}

/// `simseg segment` on so many pictures; a run before has cached the class bank.
fn folder(place: &Place, count: usize) -> Result<Measured, Failure> {
    let photos = photos(place, count)?;
    let start = Instant::now();
    segment(place, &photos)?;
    let (seconds, used) = (start.elapsed().as_secs_f64(), usage(true));
    Ok(Measured { seconds, cpu_seconds: used.cpu_seconds, peak_bytes: used.peak_bytes })
}

/// Runs `simseg segment` on a folder.
fn segment(place: &Place, photos: &Path) -> Result<(), Failure> {
    let mut command = Command::new(&place.program);
    command.args(["segment", "--recipe", "official-code", "--set", "prompts.templates=single"]);
    for (option, name) in [("--model", "model"), ("--classes", "classes.txt"), ("--cache", "cache"), ("--out", "out")] {
        command.arg(option).arg(place.folder.join(name));
    }
    let output = command.arg(photos).output().map_err(|error| format!("{}: {error}", place.program.display()))?;
    let why = || String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if output.status.success() { Ok(()) } else { Err(why().into()) }
}

/// A folder of so many pictures, made once.
fn photos(place: &Place, count: usize) -> Result<PathBuf, Failure> {
    let photos = place.folder.join(format!("photos-{count}"));
    if !photos.exists() {
        std::fs::create_dir(&photos)?;
        (0..count).try_for_each(|i| picture(i).save(&photos.join(format!("{i:03}.png"))))?;
    }
    Ok(photos)
}

/// Writes the model and the class list, and has `simseg segment` cache its class bank.
fn fill(place: &Place) -> Result<(), Failure> {
    let (width, depth) = if place.small { (128, 2) } else { (WIDTH as usize, 12) };
    let tower = serde_json::json!({ "width": width, "depth": depth, "heads": width / 64 });
    let with = |more: serde_json::Value| {
        let mut all = tower.clone();
        if let (Some(all), serde_json::Value::Object(more)) = (all.as_object_mut(), more) {
            all.extend(more);
        }
        all
    };
    let config: ModelConfig = serde_json::from_value(serde_json::json!({
        "image": with(serde_json::json!({ "image_size": 224, "patch": 16 })),
        "text": with(serde_json::json!({ "vocabulary": 3000, "positions": 25 })),
        "projection": 512,
    }))?;
    model::write(&config, MOST_WORDS, &place.folder.join("model"))?;
    let lines = ["background".to_owned()].into_iter().chain(model::names(WORDS));
    std::fs::write(place.folder.join("classes.txt"), lines.collect::<Vec<_>>().join("\n"))?;
    segment(place, &photos(place, 1)?)
}

/// A picture of 640×480 in smooth colours with noise, each another.
fn picture(index: usize) -> Picture {
    let (width, height) = (640, 480);
    let mut rng = random::stream(0, "picture", index as u64);
    let phase: Vec<f64> = (0..3).map(|_| random::normal(&mut rng)).collect();
    let value = |i: usize| {
        let (x, y, c) = (i / 3 % width, i / 3 / width, i % 3);
        let wave = (0.02 * x as f64 + phase[c]).sin() * (0.03 * y as f64 + phase[c]).cos();
        (127.0 + 90.0 * wave + ((x * 7919 + y * 104_729 + i) % 23) as f64) as u8
    };
    Picture { width, height, rgb: (0..3 * width * height).map(value).collect() }
}
