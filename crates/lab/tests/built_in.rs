//! Rows that every experiment has beside its variants: what they are, and that they survive whatever is done with results.

#[path = "common/program.rs"]
mod program;

use program::{ok, refused, simseg, text};
use serde_json::{Value, json};
use simseg_lab::results::{Results, Row, export};
use simseg_segment::metrics::{Confusion, iou};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

const NAMES: [&str; 4] = ["nothing", "ceiling", "true-classes", "best-subset"];

/// Two trainings on few scenes; the second variant is the baseline, and draws one class an image.
fn experiment(folder: &Path, header: &str) -> PathBuf {
    let quick = include_str!("../../../experiments/quick.toml");
    let head = quick.split("[variants.holistic.aligner]").next().unwrap();
    let head: String = head.lines().filter(|line| !line.starts_with("expect")).map(|l| format!("{l}\n")).collect();
    let head = head.replace("count = 2000", "count = 64").replace("count = 200,", "count = 12,");
    let head = head.replace("batch = 64", "batch = 8").replace("steps = 170", "steps = 20");
    let variants = "[variants.dense.aligner]\nkind = \"dense\"\n\
        [variants.loda]\naligner = { kind = \"loda\", image_k = 3, text_k = 1 }\n\
        segmentation = { threshold = { k = -1.0 }, candidates = { cap = 1 } }\n";
    let metrics = "metrics = [\"iou\", \"true-classes\", \"pointing\", \"ceiling\", \"selection\"]\n";
    let head = head.replace("[evaluation]\n", &format!("[evaluation]\n{metrics}"));
    let file = folder.join("e.toml");
    std::fs::write(&file, format!("baseline = \"loda\"\n{header}\n{head}{variants}")).unwrap();
    file
}

/// The experiment, run once for all tests that only look.
fn finished() -> &'static Path {
    static RUN: OnceLock<tempfile::TempDir> = OnceLock::new();
    let run = RUN.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let lines = "expect = [\"loda.miou <= ceiling.miou\", \"mean(true-classes.miou) >= 0\"]";
        let file = experiment(folder.path(), lines);
        ok(&simseg(&["run", text(&file), "--out", text(&folder.path().join("out"))]));
        folder
    });
    run.path()
}

fn row(results: &Results, variant: &str) -> Row {
    results.rows.iter().find(|row| row.variant == variant).unwrap_or_else(|| panic!("no row {variant}")).clone()
}

/// What each image added to mean intersection over union.
fn counts(out: &Path, variant: &str) -> Vec<Confusion> {
    let text = std::fs::read_to_string(out.join(format!("{variant}-seed0/images.jsonl"))).unwrap();
    let mut lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let classes = lines.next().unwrap()["classes"][""].as_array().unwrap().len();
    lines.map(|line| iou::confusion(&line["observed"]["iou"], classes).unwrap()).collect()
}

#[test]
fn each_row_is_what_its_name_says() {
    let out = finished().join("out");
    let results = Results::read(&out).unwrap();
    let names: Vec<&str> = results.rows.iter().map(|row| row.variant.as_str()).collect();
    assert_eq!(names, [&["dense", "loda"][..], &NAMES].concat());
    assert_eq!(NAMES.map(|name| row(&results, name).of), ["", "", "loda", "loda"]);
    let miou = |variant: &str| row(&results, variant).metrics["miou"];
    for counts in counts(&out, "nothing") {
        assert!(counts.pairs().all(|pair| pair.label == Some(0)));
    }
    // One class of all is found wherever it is, and claims all that is not it.
    let nothing = row(&results, "nothing");
    let classes = nothing.per_class.values().flatten().count() as f64;
    assert!((nothing.metrics["miou"] - nothing.metrics["pixel_accuracy"] / classes).abs() < 1e-12);
    let loda = row(&results, "loda");
    assert!(miou("ceiling") <= loda.metrics["resolution_ceiling"] && miou("ceiling") > loda.metrics["miou"]);
    assert_eq!(miou("true-classes"), loda.metrics["miou_true_classes"]);
    // No image is better with all of its classes than with the best of them, and some are worse.
    let (all, best) = (counts(&out, "true-classes"), counts(&out, "best-subset"));
    let pairs: Vec<(f64, f64)> = all.iter().zip(&best).map(|(all, best)| (all.miou(), best.miou())).collect();
    assert_eq!(pairs.len(), 12);
    assert!(pairs.iter().all(|(all, best)| best >= all) && pairs.iter().any(|(all, best)| best > all), "{pairs:?}");
    // A cap on the classes that are chosen is none on those that are given.
    assert!(loda.metrics["classes_drawn"] <= 1.0);
    assert_eq!(row(&results, "true-classes").metrics["class_recall"], 1.0);
    // They say nothing about maps and the grid, and nothing was trained for them.
    for name in NAMES {
        let row = row(&results, name);
        assert!(row.intervals.contains_key("miou") && !row.metrics.contains_key("point_on_object"));
        assert_eq!((row.train_images_per_second, row.seconds), (0.0, 0.0));
    }
}

#[test]
fn tables_set_them_apart_and_comparisons_do_not_count_them() {
    let out = finished().join("out");
    let place = text(&out);
    let compared = ok(&simseg(&["compare", place, "--baseline", "loda"]));
    let lines: Vec<&str> = compared.lines().collect();
    let rule = lines.iter().position(|line| line.starts_with('─')).unwrap();
    assert!(lines[rule - 1].starts_with("dense") && lines[rule + 1].starts_with("nothing"), "{compared}");
    assert!(compared.contains("true-classes (of loda)"), "{compared}");
    let report = std::fs::read_to_string(out.join("report.html")).unwrap();
    let foot = report.split("<tfoot>").nth(1).unwrap().split("</tfoot>").next().unwrap();
    assert!(foot.contains("best-subset (of loda)") && !foot.contains(">dense<"), "{foot}");
    // The best row is one of a model, however high the ceiling is.
    let runs: Value = serde_json::from_str(&ok(&simseg(&["runs", place, "--format", "json"]))).unwrap();
    let best = runs["rows"][0]["best"].as_str().unwrap();
    assert!(best.contains("dense") || best.contains("loda"), "{best}");
}

#[test]
fn they_verify_are_exported_and_merge() {
    let folder = tempfile::tempdir().unwrap();
    let out = finished().join("out");
    ok(&simseg(&["verify", text(&out)]));
    let csv = folder.path().join("e.csv");
    ok(&simseg(&["runs", text(&out), "--export", text(&csv)]));
    let mut own = Results::read(&out).unwrap();
    own.rows.iter_mut().for_each(|row| {
        row.per_class.clear();
        row.training.clear();
        row.judge_seconds = 0.0;
    });
    assert_eq!(export::read(&csv).unwrap(), own);
    let both = folder.path().join("both");
    ok(&simseg(&["merge", text(&out), "--out", text(&both)]));
    assert_eq!(Results::read(&both).unwrap(), Results::read(&out).unwrap());
    ok(&simseg(&["verify", text(&both)]));
    // What one of them saw is checked as that of any run.
    let images = both.join("ceiling-seed0/images.jsonl");
    let good = std::fs::read_to_string(&images).unwrap();
    std::fs::write(&images, good.replacen("[0,0,", "[0,0,1", 1)).unwrap();
    let broken = simseg(&["verify", text(&both)]);
    assert_eq!(broken.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&broken.stderr).contains("ceiling-seed0/images.jsonl"));
    std::fs::remove_dir_all(both.join("ceiling-seed0")).unwrap();
    assert_eq!(simseg(&["verify", text(&both)]).status.code(), Some(1), "a row without its images");
}

#[test]
fn rows_judged_again_from_their_models_add_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy");
    ok(&simseg(&["merge", text(&finished().join("out")), "--out", text(&copy)]));
    let again = |count: &str| simseg(&["verify", text(&copy), "--rerun", count]);
    let said = ok(&again("99"));
    for name in [&["dense", "loda"][..], &NAMES].concat() {
        assert!(said.contains(&format!("judged again: {name} seed 0, expected the same to the last count")), "{said}");
    }
    assert_eq!(ok(&again("2")).matches("judged again").count(), 2);
    assert!(ok(&again("2")).contains("judged again: dense") && !ok(&again("2")).contains("judged again: loda"));
    // Weights of another model: all files fit each other, and only judging again shows it.
    let model = |variant: &str| copy.join(format!("{variant}-seed0/model/model.safetensors"));
    let good = std::fs::read(model("loda")).unwrap();
    std::fs::write(model("loda"), std::fs::read(model("dense")).unwrap()).unwrap();
    ok(&again("0"));
    let line = String::from_utf8(again("99").stderr).unwrap();
    assert!(line.contains("loda-seed0/images.jsonl: judged again, image `"), "{line}");
    assert_eq!(again("99").status.code(), Some(1));
    std::fs::write(model("loda"), good).unwrap();
    ok(&again("99"));
}

#[test]
fn a_folder_without_them_gets_them_with_the_baseline_and_without_another_training() {
    let folder = tempfile::tempdir().unwrap();
    let (file, out) = (experiment(folder.path(), ""), folder.path().join("out"));
    let run = |more: &[&str]| ok(&simseg(&[&["run", text(&file), "--out", text(&out), "--resume"], more].concat()));
    let names = || Results::read(&out).unwrap().rows.into_iter().map(|row| row.variant).collect::<Vec<_>>();
    run(&["--only", "dense"]);
    assert_eq!(names(), ["dense"], "they are of the baseline's model");
    let table = run(&[]);
    // The table is too wide for one block of lines: variants stand in each, rows beside them only where they have a figure.
    let blocks = table.lines().filter(|line| line.starts_with("variant ")).count();
    let lines = |name: &str| table.lines().filter(|line| line.starts_with(name)).count();
    assert!(blocks > 1 && lines("loda ") == blocks && lines("ceiling ") < blocks && lines("───") < blocks, "{table}");
    let first = Results::read(&out).unwrap();
    assert_eq!(names(), [&["dense", "loda"][..], &NAMES].concat());
    // As an earlier version would have left it.
    let mut earlier = first.clone();
    earlier.rows.truncate(2);
    earlier.save(&out).unwrap();
    NAMES.iter().for_each(|name| std::fs::remove_dir_all(out.join(format!("{name}-seed0"))).unwrap());
    let log = out.join("loda-seed0/metrics.jsonl");
    let trained = std::fs::metadata(&log).unwrap().modified().unwrap();
    run(&[]);
    let without_time = |mut results: Results| {
        results.rows.iter_mut().for_each(|row| row.judge_seconds = 0.0);
        results
    };
    assert_eq!(without_time(Results::read(&out).unwrap()), without_time(first));
    assert_eq!(std::fs::metadata(&log).unwrap().modified().unwrap(), trained);
}

#[test]
fn a_file_says_which_it_wants_and_no_variant_takes_their_names() {
    use simseg::Registry;
    use simseg_cpu::CpuTensor;
    use simseg_lab::experiment::Experiment;
    let folder = tempfile::tempdir().unwrap();
    let rows = |header: &str| {
        let file = experiment(folder.path(), header);
        let experiment = Experiment::load(&file, &[], &Registry::<CpuTensor<f32>>::built_in()).unwrap();
        experiment.built_in.into_iter().map(|row| json!(row.name)).collect::<Vec<_>>()
    };
    assert_eq!(rows(""), NAMES);
    assert_eq!(rows("rows = [\"ceiling\", \"nothing\"]"), ["nothing", "ceiling"]);
    assert!(rows("rows = []").is_empty());
    let plan = |header: &str| refused(&simseg(&["run", text(&experiment(folder.path(), header)), "--plan"]));
    assert!(plan("rows = [\"ceilling\"]").contains("ceilling"));
    let file = experiment(folder.path(), "");
    let named = std::fs::read_to_string(&file).unwrap().replace("variants.dense", "variants.nothing");
    std::fs::write(&file, named).unwrap();
    let line = refused(&simseg(&["run", text(&file), "--plan"]));
    assert!(line.contains("e.toml") && line.contains("`nothing` is a row that every experiment has"), "{line}");
}
