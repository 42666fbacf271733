//! What fewer bits of the weights cost and save, type by type.
//!
//! - `precision labels MODEL`: on the photographs of `fixtures/pytorch`, the pixels whose label changes; on 300 scenes of the small
//!   world, the mIoU of MODEL (a directory that `simseg run experiments/quick.toml` has left).
//! - `precision write FOLDER`: ViT-B/16 and BERT-base of random weights in every type, for the next; prints the files' sizes.
//! - `precision speed FOLDER TURNS`: seconds and peak memory of `simseg segment` for four pictures, types in turns, the best of each.
//!
//! All in Markdown. Each run of the program is a process of its own, `precision run FILE ARGUMENTS…`, which leaves its peak memory in a
//! file.

use safetensors::SafeTensors;
use simseg::Picture;
use simseg_benches::usage::usage;
use simseg_benches::{Failure, model};
use simseg_model::ModelConfig;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

const TYPES: [&str; 4] = ["f32", "f16", "bf16", "int8"];
const STEMS: [&str; 3] = ["astronaut", "chelsea", "coffee"];
/// Words of a class list beside the background.
const WORDS: usize = 20;

fn main() -> Result<ExitCode, Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["run", file, ref rest @ ..] => {
            let code = simseg_lab::main_from((), std::iter::once("simseg").chain(rest.iter().copied()).map(Into::into));
            std::fs::write(file, usage(false).peak_bytes.to_string())?;
            return Ok(code);
        }
        ["labels", model] => labels(Path::new(model))?,
        ["write", folder] => write(Path::new(folder))?,
        ["speed", folder, turns] => speed(Path::new(folder), turns.parse()?)?,
        _ => return Err("usage: precision labels MODEL | write FOLDER | speed FOLDER TURNS".into()),
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs the program; its peak memory in bytes.
fn simseg(arguments: &[&str]) -> Result<u64, Failure> {
    let file = tempfile::NamedTempFile::new()?;
    let mut command = Command::new(std::env::current_exe()?);
    let output = command.arg("run").arg(file.path()).args(arguments).output()?;
    if !output.status.success() {
        return Err(format!("{arguments:?}: {}", String::from_utf8_lossy(&output.stderr).trim()).into());
    }
    Ok(std::fs::read_to_string(file.path())?.parse()?)
}

fn text(path: &Path) -> Result<&str, Failure> {
    path.to_str().ok_or_else(|| "a folder whose name is no UTF-8".into())
}

/// Stores a model directory again, in a type; what `import` does not know of it, its aligner, is copied.
fn stored(model: &Path, kind: &str, heads: &str, out: &Path) -> Result<u64, Failure> {
    let [weights, vocab] = ["model.safetensors", "vocab.txt"].map(|name| model.join(name));
    let arguments = ["import", text(&weights)?, "--vocab", text(&vocab)?, "--heads", heads];
    simseg(&[&arguments[..], &["--store", kind, "--out", text(out)?]].concat())?;
    std::fs::copy(model.join("config.json"), out.join("config.json"))?;
    Ok(std::fs::metadata(out.join("model.safetensors"))?.len())
}

/// The number of heads of both towers, as `import` wants them.
fn heads(model: &Path) -> Result<String, Failure> {
    let config: serde_json::Value = serde_json::from_slice(&std::fs::read(model.join("config.json"))?)?;
    let of = |side: &str| config["model"][side]["heads"].as_u64().ok_or("config.json without heads");
    Ok(format!("{},{}", of("image")?, of("text")?))
}

fn labels(small: &Path) -> Result<(), Failure> {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/pytorch");
    let folder = tempfile::tempdir()?;
    println!(
        "| weights | products | photographs: pixels with another label | file | small world: mIoU | file |\n|---|---|---|---|---|---|"
    );
    let mut first: Option<(Vec<u8>, u64, u64)> = None;
    for kind in TYPES {
        let [photographs, scenes] = ["photographs", "scenes"].map(|name| folder.path().join(format!("{name}-{kind}")));
        let sizes = [(&fixtures.join("model"), &photographs), (&small.to_owned(), &scenes)];
        let sizes = sizes.map(|(model, out)| stored(model, kind, &heads(model)?, out));
        let [of_photographs, of_scenes] = sizes;
        let (of_photographs, of_scenes) = (of_photographs?, of_scenes?);
        // Products in fewer bits as well, for types that `--precision` has.
        let ways = if ["bf16", "int8"].contains(&kind) { &["f32", kind][..] } else { &["f32"] };
        for precision in ways {
            let found = photograph_labels(&fixtures, &photographs, precision)?;
            let miou = miou(&scenes, precision)?;
            let (whole, large, small) = first.get_or_insert((found.clone(), of_photographs, of_scenes));
            let changed = found.iter().zip(&*whole).filter(|(a, b)| a != b).count() as f64 / found.len() as f64;
            let share = |bytes: u64, of: u64| bytes as f64 / of as f64;
            let (large, small) = (share(of_photographs, *large), share(of_scenes, *small));
            let changed = format!("{:.3}% of {}", 100.0 * changed, found.len());
            println!("| {kind} | {precision} | {changed} | {large:.3} | {miou:.4} | {small:.3} |");
        }
    }
    Ok(())
}

/// The labels of all photographs, one after the other.
fn photograph_labels(fixtures: &Path, model: &Path, precision: &str) -> Result<Vec<u8>, Failure> {
    let out = tempfile::tempdir()?;
    let (classes, trace) = (fixtures.join("classes.txt"), out.path().join("trace.safetensors"));
    let images = STEMS.map(|stem| fixtures.join(format!("images/{stem}.png")));
    let mut arguments = vec!["segment", "--recipe", "official-code", "--no-cache", "--model", text(model)?];
    arguments.extend([
        "--precision",
        precision,
        "--classes",
        text(&classes)?,
        "--out",
        text(out.path())?,
        "--trace",
        text(&trace)?,
    ]);
    arguments.extend(images.iter().map(|image| text(image)).collect::<Result<Vec<_>, _>>()?);
    simseg(&arguments)?;
    let bytes = std::fs::read(trace)?;
    let file = SafeTensors::deserialize(&bytes)?;
    let labels = STEMS.map(|stem| Ok(file.tensor(&format!("{stem}/labels"))?.data().to_vec()));
    Ok(labels.into_iter().collect::<Result<Vec<_>, Failure>>()?.concat())
}

fn miou(model: &Path, precision: &str) -> Result<f64, Failure> {
    let out = tempfile::NamedTempFile::with_suffix(".json")?;
    let arguments =
        ["evaluate", "--dataset", "scenes", "--no-cache", "--precision", precision, "--model", text(model)?];
    simseg(&[&arguments[..], &["--out", text(out.path())?]].concat())?;
    let report: serde_json::Value = serde_json::from_slice(&std::fs::read(out.path())?)?;
    report["miou"].as_f64().ok_or_else(|| "a report without mIoU".into())
}

/// A model of the published size in every type, four pictures and a class list.
fn write(folder: &Path) -> Result<(), Failure> {
    let tower = |more: serde_json::Value| {
        let mut tower = serde_json::json!({ "width": 768, "depth": 12, "heads": 12 });
        if let (Some(tower), serde_json::Value::Object(more)) = (tower.as_object_mut(), more) {
            tower.extend(more);
        }
        tower
    };
    let config: ModelConfig = serde_json::from_value(serde_json::json!({
        "image": tower(serde_json::json!({ "image_size": 224, "patch": 16 })),
        "text": tower(serde_json::json!({ "vocabulary": 30522, "positions": 512 })),
        "projection": 512,
    }))?;
    model::write(&config, WORDS, &folder.join("f32"))?;
    let whole = std::fs::metadata(folder.join("f32/model.safetensors"))?.len();
    println!("| weights | file, bytes | of f32 |\n|---|---|---|\n| f32 | {whole} | 1 |");
    for kind in &TYPES[1..] {
        let bytes = stored(&folder.join("f32"), kind, "12,12", &folder.join(kind))?;
        println!("| {kind} | {bytes} | {:.4} |", bytes as f64 / whole as f64);
    }
    let lines = ["background".to_owned()].into_iter().chain(model::names(WORDS));
    std::fs::write(folder.join("classes.txt"), lines.collect::<Vec<_>>().join("\n"))?;
    for i in 0..4usize {
        let rgb = (0..3 * 288 * 288).map(|at| ((at * (7 + i)) % 251) as u8).collect();
        Picture { width: 288, height: 288, rgb }.save(&folder.join(format!("{i}.png")))?;
    }
    Ok(())
}

/// How the weights come to their type: from which file, and with which `--precision`.
const WAYS: [(&str, &str, &str); 8] = [
    ("f32", "f32", "f32"),
    ("f16, stored", "f16", "f32"),
    ("bf16, stored", "bf16", "f32"),
    ("int8, stored", "int8", "f32"),
    ("bf16, `--precision`", "f32", "bf16"),
    ("int8, `--precision`", "f32", "int8"),
    ("bf16, stored and `--precision`", "bf16", "bf16"),
    ("int8, stored and `--precision`", "int8", "int8"),
];

fn speed(folder: &Path, turns: usize) -> Result<(), Failure> {
    let out = tempfile::tempdir()?;
    let (timings, classes) = (out.path().join("timings.json"), folder.join("classes.txt"));
    let images: Vec<PathBuf> = (0..4).map(|i| folder.join(format!("{i}.png"))).collect();
    let stages = ["load", "text", "image", "total"];
    let mut best = [[f64::INFINITY; 4]; WAYS.len()];
    let mut peak = [0; WAYS.len()];
    for _ in 0..turns {
        for (way, (_, file, precision)) in WAYS.iter().enumerate() {
            let model = folder.join(file);
            let mut arguments =
                vec!["segment", "--no-cache", "--set", "prompts.templates=single", "--model", text(&model)?];
            arguments.extend(["--precision", precision, "--classes", text(&classes)?, "--out", text(out.path())?]);
            arguments.extend(["--timings", text(&timings)?]);
            arguments.extend(images.iter().map(|image| text(image)).collect::<Result<Vec<_>, _>>()?);
            peak[way] = simseg(&arguments)?.max(peak[way]);
            let seconds: serde_json::Value = serde_json::from_slice(&std::fs::read(&timings)?)?;
            for (best, stage) in best[way].iter_mut().zip(stages) {
                *best = best.min(seconds[stage].as_f64().ok_or("timings without a stage")?);
            }
        }
    }
    println!(
        "| weights | load, s | text, s | four images, s | total, s | peak memory, MiB |\n|---|---|---|---|---|---|"
    );
    for ((name, ..), (best, peak)) in WAYS.iter().zip(best.iter().zip(peak)) {
        let [load, text, image, total] = best;
        println!("| {name} | {load:.3} | {text:.3} | {image:.3} | {total:.3} | {} |", peak >> 20);
    }
    Ok(())
}
