//! Output folders as `simseg run` leaves them, of runs that never were: figures follow from made-up images.
//!
//! Each file of tests uses some of it.
#![allow(dead_code)]

use serde_json::json;
use simseg::Registry;
use simseg_cpu::CpuTensor;
use simseg_lab::results::images::{self, Images};
use simseg_lab::results::provenance::{self, Provenance};
use simseg_lab::results::{Results, Row, answers, folder, save_json};
use simseg_tensor::random;
use std::path::{Path, PathBuf};
use std::process::Output;

/// One run: of each image of 100 pixels, 50 of them an object, `skill` right on the average, and what all models find hard.
pub fn run(out: &Path, variant: &str, seed: u64, skill: f64, count: usize) -> Row {
    let metrics = ["iou".to_owned(), "pointing".to_owned()];
    let mut seen = Images::new();
    seen.classes("", &["background".to_owned(), "cat".to_owned()]);
    for index in 0..count {
        let mut common = random::stream(seed, "image", index as u64);
        let mut own = random::stream(seed, variant, index as u64);
        let share = skill + 0.2 * (random::uniform(&mut common) - 0.5) + 0.05 * (random::uniform(&mut own) - 0.5);
        let right = (50.0 * share).round() as u64;
        let observed = [json!([[0, 0, 50], [1, 0, 50 - right], [1, 1, right]]), json!([u64::from(share > 0.5), 1])];
        seen.add("", &format!("{index:06}"), &metrics, &observed);
    }
    let place = folder::of_run(out, variant, seed);
    std::fs::create_dir_all(&place).unwrap();
    seen.save(&place.join(images::NAME)).unwrap();
    let judged = seen.judge(&Registry::<CpuTensor<f32>>::built_in()).unwrap();
    let row = Row {
        variant: variant.into(),
        seed,
        axes: [("skill".to_owned(), json!(skill))].into(),
        intervals: judged.intervals(),
        metrics: judged.metrics,
        per_class: judged.per_class,
        train_images_per_second: 100.0,
        seconds: 1.5,
        ..Row::default()
    };
    save_json(&place.join("result.json"), &row).unwrap();
    std::fs::write(place.join("config.toml"), format!("seed = {seed}\n[training]\nsteps = 3\n")).unwrap();
    let mut made = Provenance::here("cpu", "cpu");
    made.end(&place, &["config.toml", "images.jsonl", "result.json"]).unwrap();
    made.save(&place.join(provenance::NAME)).unwrap();
    row
}

/// Runs of an experiment called `made`, by variant, seed and skill, of 40 images each.
pub fn experiment(out: &Path, runs: &[(&str, u64, f64)]) -> Results {
    let rows = runs.iter().map(|&(variant, seed, skill)| run(out, variant, seed, skill, 40)).collect();
    let results = Results { experiment: "made".into(), rows };
    results.save(out).unwrap();
    results
}

/// The one line of a check that failed.
pub fn broken(output: &Output) -> String {
    let line = String::from_utf8(output.stderr.clone()).unwrap();
    let lines: Vec<&str> = line.lines().filter(|line| !line.starts_with("note: ")).collect();
    assert_eq!((output.status.code(), lines.len()), (Some(1), 1), "{line}");
    lines[0].to_owned()
}

/// A folder with two variants and one seed, and expectations of both kinds recorded.
pub fn two() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("made");
    let results = experiment(&out, &[("dense", 0, 0.5), ("loda", 0, 0.6)]);
    let known = ["dense", "loda"].map(|name| (name.to_owned(), vec!["miou".to_owned()]));
    let parse = |line: &str| simseg_lab::experiment::expect::Expectation::parse(line, &known).unwrap();
    let lines = ["loda.miou > dense.miou", "loda.miou > dense.miou @95%", "loda.miou - dense.miou > 0.2 @95%"];
    let registry = Registry::<CpuTensor<f32>>::built_in();
    let runs = simseg_lab::results::drawn::Runs::new(&out, &results, &registry);
    let kept = answers::answers_to(&lines.map(parse), &results, Some(&runs));
    assert_eq!(kept.iter().map(|answer| answer.holds).collect::<Vec<_>>(), [true, true, false], "{kept:?}");
    assert!(kept[1].text.contains("images, one seed"), "{}", kept[1].text);
    answers::save(&out, &kept).unwrap();
    (folder, out)
}
