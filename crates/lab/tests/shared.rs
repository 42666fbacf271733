//! Variants that are judged together have the figures that each has alone: whatever they share is what each would compute.

#[path = "common/program.rs"]
mod program;

use program::{ok, refused, simseg, text};
use serde_json::Value;
use std::path::Path;

const VARIANTS: [&str; 6] = ["low", "high", "per-pixel", "crf", "compete", "compete-low"];

fn rows(out: &Path) -> Vec<Value> {
    let results: Value = serde_json::from_slice(&std::fs::read(out.join("results.json")).unwrap()).unwrap();
    results["rows"].as_array().unwrap().clone()
}

#[test]
fn together_as_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("e.toml");
    let quick = include_str!("../../../experiments/quick.toml");
    let head = quick.split("[variants.holistic.aligner]").next().unwrap();
    let head: String =
        head.lines().filter(|line| !line.starts_with("expect")).map(|line| format!("{line}\n")).collect();
    let head = head.replace("count = 2000", "count = 64").replace("count = 200,", "count = 6,");
    let head = head.replace("batch = 64", "batch = 8").replace("steps = 170", "steps = 20");
    let variants = "[aligner]\nkind = \"loda\"\nimage_k = 3\ntext_k = 1\n\
        [variants.low.segmentation.threshold]\nk = -1.0\n\
        [variants.high.segmentation.threshold]\nk = 1.5\n\
        [variants.per-pixel.segmentation]\ncompose = \"per-pixel\"\nthreshold = { k = -1.0 }\n\
        [variants.crf.segmentation]\nrefine = { kind = \"crf\", image = \"exact\" }\nthreshold = { k = 0.0 }\n\
        [variants.compete.segmentation]\nmap = { min_max = false, compete = 20.0 }\nthreshold = { k = 0.5 }\n\
        [variants.compete-low.segmentation]\nmap = { min_max = false, compete = 20.0 }\nthreshold = { k = -1.0 }\n";
    let metrics = "metrics = [\"iou\", \"true-classes\", \"pointing\", \"ceiling\", \"selection\"]\n";
    let head = head.replace("[evaluation]\n", &format!("[evaluation]\n{metrics}"));
    std::fs::write(&file, format!("{head}{variants}")).unwrap();
    let all = folder.path().join("all");
    let line = refused(&simseg(&["run", text(&file), "--out", text(&all), "--only", "lwo"]));
    assert!(line.contains("no variant fits `lwo`") && line.contains("per-pixel") && !all.exists(), "{line}");
    ok(&simseg(&["run", text(&file), "--out", text(&all)]));
    let together = rows(&all);
    assert_eq!(together.len(), VARIANTS.len() + 4, "and the rows of every experiment");
    assert!(together.iter().all(|row| row["training"] == together[0]["training"]));
    for (variant, row) in VARIANTS.iter().zip(&together) {
        let out = folder.path().join(variant);
        ok(&simseg(&["run", text(&file), "--out", text(&out), "--only", variant]));
        let alone = rows(&out).remove(0);
        assert_eq!((&alone["variant"], &alone["metrics"]), (&row["variant"], &row["metrics"]), "{variant}");
        assert_eq!((&alone["per_class"], &alone["intervals"]), (&row["per_class"], &row["intervals"]), "{variant}");
    }
}
