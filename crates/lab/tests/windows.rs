//! Sliding windows, from outside: a switch of every command that segments, a difference between variants, and refused before anything
//! is trained where a network cannot have them.

#[path = "common/program.rs"]
mod program;

use program::{ok, refused, simseg, text};
use safetensors::SafeTensors;
use serde_json::Value;
use std::path::{Path, PathBuf};

fn model() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/tiny")
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// Variants that share a training and differ in their windows alone, by name.
fn experiment(folder: &Path, variants: &[(&str, &str)]) -> PathBuf {
    let quick = include_str!("../../../experiments/quick.toml");
    let head = quick.split("[variants.holistic.aligner]").next().unwrap();
    let head: String = head.lines().filter(|line| !line.starts_with("expect")).map(|l| format!("{l}\n")).collect();
    let head = head.replace("count = 2000", "count = 64").replace("count = 200,", "count = 4,");
    let head = head.replace("batch = 64", "batch = 8").replace("steps = 170", "steps = 6");
    let head = format!("{head}[aligner]\nkind = \"dense\"\n[segmentation.input]\nsize = 96\n");
    let variant = |(name, windows): &(&str, &str)| format!("[variants.{name}.segmentation.input]\n{windows}\n");
    let file = folder.join("e.toml");
    std::fs::write(&file, head + &variants.iter().map(variant).collect::<String>()).unwrap();
    file
}

#[test]
fn variants_that_differ_in_windows_alone_share_a_training_and_no_features() {
    let folder = tempfile::tempdir().unwrap();
    let file = experiment(
        folder.path(),
        &[
            ("whole", "fit = \"squash\""),
            ("covered", "windows = { crop_size = 96, stride = 96 }"),
            ("windows", "windows = { crop_size = 0, stride = 32 }"),
            ("small", "windows = { crop_size = 32, stride = 16 }"),
        ],
    );
    let (out, alone) = (folder.path().join("out"), folder.path().join("alone"));
    ok(&simseg(&["run", text(&file), "--out", text(&out)]));
    assert_eq!(std::fs::read_dir(out.join("trainings")).unwrap().count(), 1);
    let figures = |out: &Path, variant: &str| {
        let rows = json(&out.join("results.json"))["rows"].as_array().unwrap().clone();
        let row = rows.into_iter().find(|row| row["variant"] == variant).unwrap();
        assert_eq!(row["status"], "done", "{row}");
        std::fs::read_to_string(out.join(format!("{variant}-seed0/images.jsonl"))).unwrap()
    };
    let whole = figures(&out, "whole");
    assert_eq!(figures(&out, "covered"), whole, "one window that covers the input is no window");
    assert!(figures(&out, "windows") != whole && figures(&out, "small") != whole);
    assert_ne!(figures(&out, "windows"), figures(&out, "small"));
    // Judged beside the others or alone: no features of another variant are taken for its own.
    ok(&simseg(&["run", text(&file), "--out", text(&alone), "--only", "windows"]));
    assert_eq!(figures(&alone, "windows"), figures(&out, "windows"));
    let config = std::fs::read_to_string(out.join("windows-seed0/config.toml")).unwrap();
    assert!(config.contains("[segmentation.input.windows]") && config.contains("stride = 32"), "{config}");
    ok(&simseg(&["verify", text(&out), "--rerun", "1"]));
}

#[test]
fn windows_that_a_network_cannot_have_are_refused_before_it_is_trained() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    for (windows, wanted) in [
        (
            "{ crop_size = 60, stride = 8 }",
            "input.windows.crop_size: expected a multiple of the model's patch (8), found 60",
        ),
        (
            "{ crop_size = 64, stride = 12 }",
            "input.windows.stride: expected a multiple of the model's patch (8), found 12",
        ),
        ("{ crop_size = 64, stride = 0 }", "input.windows.stride: expected 1 to 64, the crop_size, pixels, found 0"),
        ("{ crop_size = 32, stride = 64 }", "input.windows.stride: expected 1 to 32, the crop_size, pixels, found 64"),
        ("{ crop_size = 0, stride = 72 }", "input.windows.stride: expected 1 to 64, the crop_size, pixels, found 72"),
        ("{ crop_size = 64 }", "missing field `stride`"),
        ("{ crop_size = 64, strides = 8 }", "did you mean `stride`?"),
        ("{ crop_size = -64, stride = 8 }", "windows"),
        ("true", "windows"),
    ] {
        let file = experiment(folder.path(), &[("fine", ""), ("wrong", &format!("windows = {windows}"))]);
        let line = refused(&simseg(&["run", text(&file), "--out", text(&out)]));
        assert!(line.contains("e.toml") && line.contains(wanted), "{windows}: {line}");
        assert!(!out.exists(), "{windows}");
    }
}

#[test]
fn segment_evaluate_and_explain_take_windows() {
    let folder = tempfile::tempdir().unwrap();
    let world = folder.path().join("world");
    ok(&simseg(&["scenes", "--out", text(&world), "--count", "3", "--seed", "77", "--bias", "0"]));
    let (classes, image) = (world.join("classes.txt"), world.join("images/000000.png"));
    let own = ["--model", text(&model())].map(str::to_owned);
    let own: Vec<&str> = own.iter().map(String::as_str).collect();
    let size = ["--set", "input.size=128"];
    let windows = ["--set", "input.windows={crop_size=64,stride=32}", "--set", "score.kind=best-window"];

    let evaluate = |name: &str, more: &[&str]| {
        let out = folder.path().join(name);
        let fixed = ["evaluate", "--dataset", "folder", "--root", text(&world), "--out", text(&out)];
        let output = simseg(&[&fixed, own.as_slice(), &size, more].concat());
        (ok(&output), json(&out)).1
    };
    let (whole, found) = (evaluate("whole.json", &[]), evaluate("windows.json", &windows));
    assert_eq!(found["recipe"]["input"]["windows"]["crop_size"], 64);
    assert!(whole["recipe"]["input"].get("windows").is_none());
    assert_ne!(whole["miou"], found["miou"]);

    let segment = |name: &str, more: &[&str]| {
        let out = folder.path().join(name);
        let trace = folder.path().join(format!("{name}.safetensors"));
        let fixed =
            ["segment", "--classes", text(&classes), "--out", text(&out), "--trace", text(&trace), text(&image)];
        ok(&simseg(&[&fixed, own.as_slice(), &size, more].concat()));
        std::fs::read(&trace).unwrap()
    };
    let (whole, found) = (segment("whole", &[]), segment("windows", &windows));
    let [whole, found] = [&whole, &found].map(|bytes| SafeTensors::deserialize(bytes).unwrap());
    let mut names: Vec<&str> = found.names().into_iter().filter(|name| name.starts_with("image/")).collect();
    names.sort_unstable();
    assert_eq!(names, ["image/embedding", "image/patches", "image/pixels"]);
    assert_eq!(found.tensor("image/patches").unwrap().shape(), [1, 256, 64]);
    let same = |name: &str| whole.tensor(name).unwrap().data() == found.tensor(name).unwrap().data();
    assert!(same("image/pixels") && !same("image/patches"));

    let page = folder.path().join("page.html");
    let fixed = ["explain", "--classes", text(&classes), "--out", text(&page), text(&image)];
    ok(&simseg(&[&fixed, own.as_slice(), &size, windows.as_slice()].concat()));
    assert!(std::fs::read_to_string(&page).unwrap().contains("the mean of those of 9 windows"));

    let fixed = ["segment", "--classes", text(&classes), "--out", text(&folder.path().join("no")), text(&image)]
        .map(str::to_owned);
    let fixed: Vec<&str> = fixed.iter().map(String::as_str).collect();
    let line =
        refused(&simseg(&[&fixed, &own, ["--set", "input.windows={crop_size=60,stride=8}"].as_slice()].concat()));
    assert!(line.contains("input.windows.crop_size: expected a multiple of the model's patch (8)"), "{line}");
    assert!(!folder.path().join("no").exists());
}
