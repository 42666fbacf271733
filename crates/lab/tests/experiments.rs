//! Every file of experiments/ runs from its first step to its report: at a few steps and images, so that it takes seconds.

#[path = "common/program.rs"]
mod program;

use program::{ok, refused, simseg, text};
use serde_json::Value;
use std::path::{Path, PathBuf};

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../experiments");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    // Those on photographs need data that is not here.
    let on_photographs = ["kind = \"captions\"", "base = \"flickr8k.toml\""];
    let is_drawn = |file: &PathBuf| {
        let text = std::fs::read_to_string(file).unwrap();
        !on_photographs.iter().any(|said| text.contains(said))
    };
    let files = files.filter(|file| file.extension().is_some_and(|end| end == "toml"));
    let mut files: Vec<PathBuf> = files.filter(is_drawn).collect();
    files.sort();
    files
}

/// What remains of an experiment: two steps and three images, beside the smaller network of its short version.
const MINIATURE: [&str; 5] = [
    "training.steps=2",
    "training.data.count=24",
    "training.batch=8",
    "evaluation.data.count=3",
    "evaluation.pictures=1",
];

#[test]
fn every_experiment_runs_from_its_first_step_to_its_report() {
    let folder = tempfile::tempdir().unwrap();
    let files = files();
    assert!(files.len() >= 18, "{files:?}");
    for file in &files {
        let name = file.file_stem().unwrap().to_str().unwrap();
        let out = folder.path().join(name);
        let mut arguments = vec!["run", text(file), "--quick", "--out", text(&out)];
        MINIATURE.iter().for_each(|change| arguments.extend(["--set", change]));
        ok(&simseg(&arguments));
        let results: Value = serde_json::from_slice(&std::fs::read(out.join("results.json")).unwrap()).unwrap();
        assert_eq!(results["experiment"], format!("{name}-quick"), "its file is called after it");
        let rows = results["rows"].as_array().unwrap();
        assert!(rows.len() >= 3, "{name} compares {} variants", rows.len());
        for row in rows {
            let miou = row["metrics"]["miou"].as_f64();
            assert!(miou.is_some_and(|miou| (0.0..=1.0).contains(&miou)), "{name}: {row}");
        }
        assert!(std::fs::metadata(out.join("report.html")).unwrap().len() > 10_000, "{name}");
        ok(&simseg(&["verify", text(&out)]));
    }
}

/// The header of a file is all that a reader knows before running it.
#[test]
fn every_experiment_says_where_it_comes_from_and_how_it_is_run() {
    for file in files() {
        let toml = std::fs::read_to_string(&file).unwrap();
        let name = file.file_stem().unwrap().to_str().unwrap();
        let header: String =
            toml.lines().take_while(|line| line.starts_with('#')).map(|line| format!("{line}\n")).collect();
        let command = format!("# Command: cargo run --release -- run experiments/{name}.toml");
        assert!(header.contains(&command), "{name} has no line `{command}`");
        assert!(name == "quick" || header.contains("Source"), "{name} names no source");
        assert!(toml.contains("question = "), "{name}");
    }
}

#[test]
fn a_file_without_a_short_version_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mine.toml");
    let quick = include_str!("../../../experiments/quick.toml");
    std::fs::write(&file, quick.split("[quick]").next().unwrap()).unwrap();
    let out = folder.path().join("out");
    let line = refused(&simseg(&["run", text(&file), "--quick", "--out", text(&out)]));
    assert!(line.contains("mine.toml") && line.contains("[quick]") && !out.exists(), "{line}");
}
