//! A training that is finished in another output folder is taken from there: by the same program on its own, from a folder that the
//! user names whoever made it; and what was computed otherwise is not mixed with what is computed now.

#[path = "common/program.rs"]
mod program;

use program::{ok, refused, simseg, text};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Two variants that share a training, and one with its own.
fn experiment(folder: &Path) -> PathBuf {
    let quick = include_str!("../../../experiments/quick.toml");
    let head = quick.split("[variants.holistic.aligner]").next().unwrap();
    let head: String = head.lines().filter(|line| !line.starts_with("expect")).map(|l| format!("{l}\n")).collect();
    let head = head.replace("count = 2000", "count = 64").replace("count = 200,", "count = 4,");
    let head = head.replace("batch = 64", "batch = 8").replace("steps = 170", "steps = 6");
    let variants = "[variants.dense.aligner]\nkind = \"dense\"\n\
        [variants.loda]\naligner = { kind = \"loda\", image_k = 3, text_k = 1 }\n\
        [variants.low]\naligner = { kind = \"loda\", image_k = 3, text_k = 1 }\nsegmentation = { threshold = { k = -1.0 } }\n";
    let file = folder.join("e.toml");
    std::fs::write(&file, format!("{head}{variants}")).unwrap();
    file
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))).unwrap()
}

fn rewrite(path: &Path, change: impl FnOnce(&mut Value)) {
    let mut value = json(path);
    change(&mut value);
    std::fs::write(path, value.to_string()).unwrap();
}

fn trainings(out: &Path) -> Vec<PathBuf> {
    let all = std::fs::read_dir(out.join("trainings")).unwrap();
    let mut all: Vec<PathBuf> = all.map(|entry| entry.unwrap().path()).collect();
    all.sort();
    all
}

/// Figures and trainings of all rows, without times.
fn rows(out: &Path) -> Vec<Value> {
    let rows = json(&out.join("results.json"))["rows"].as_array().unwrap().clone();
    rows.iter().map(|row| json!([row["variant"], row["metrics"], row["per_class"], row["training"]])).collect()
}

/// Runs, and gives what was said to people.
fn run(file: &Path, out: &Path, more: &[&str]) -> String {
    let output = simseg(&[&["run", text(file), "--out", text(out)], more].concat());
    ok(&output);
    String::from_utf8(output.stderr).unwrap()
}

/// The line that a run ends with which is refused after it has said what it is about.
fn refused_last(arguments: &[&str]) -> String {
    let output = simseg(arguments);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    said.lines().last().unwrap().to_owned()
}

#[test]
fn a_training_beside_is_taken_if_this_program_made_it_and_a_named_one_whoever_did() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (file, first) = (experiment(folder.path()), at("runs/first"));
    let said = run(&file, &first, &[]);
    assert!(!said.contains("trained already"), "{said}");
    let executable = json(&trainings(&first)[0].join("training.json"))["made"]["executable"].clone();
    assert_eq!(executable.as_str().unwrap().len(), 32);
    assert_eq!(executable, json(&first.join("loda-seed0/provenance.json"))["executable"]);

    let plan = ok(&simseg(&["run", text(&file), "--out", text(&at("runs/second")), "--plan"]));
    assert!(plan.contains("trained already in") && plan.contains("runs/first: loda, low"), "{plan}");
    assert!(plan.contains("0 trainings") && !at("runs/second").exists(), "{plan}");
    // How long it takes, by what is beside; six times as many steps take six times as long.
    let time = |steps: &str| {
        let out = at("runs/second");
        let plan = ok(&simseg(&["run", text(&file), "--out", text(&out), "--plan", "--set", steps]));
        let time = plan.split("time: training ").nth(1).unwrap_or_else(|| panic!("{plan}"));
        time.split(" minutes").next().unwrap().parse::<f64>().unwrap()
    };
    let (some, many) = (time("training.steps=60000"), time("training.steps=360000"));
    assert!(some > 0.0 && (many / some - 6.0).abs() < 0.2, "{some} {many}");
    let plan = ok(&simseg(&["run", text(&file), "--out", text(&at("away/second")), "--plan"]));
    assert!(plan.contains("training unknown of 2: nothing like it was run here yet"), "{plan}");
    let said = run(&file, &at("runs/second"), &["--only", "lo*"]);
    assert!(said.contains("loda, low seed 0: trained already in") && said.contains("runs/first"), "{said}");
    let both = [&rows(&first)[1..3], &rows(&at("runs/second"))[..2]];
    assert_eq!(both[0], both[1]);
    let made = json(&at("runs/second/low-seed0/provenance.json"));
    assert_eq!(made["training"]["taken"]["from"], json!(text(&first)));
    assert_eq!(made["training"]["made"]["executable"], executable);
    assert_eq!(json(&first.join("low-seed0/provenance.json")).get("training"), None, "trained there");
    ok(&simseg(&["verify", text(&at("runs/second"))]));

    // Anew where that is asked for.
    assert!(!run(&file, &at("runs/fresh"), &["--fresh"]).contains("trained already"));
    assert!(!run(&file, &at("runs/second"), &["--redo", "loda"]).contains("loda, low seed 0: trained already"));
    assert_eq!(json(&at("runs/second/loda-seed0/provenance.json")).get("training"), None);
    // Training anew changes nothing in the folder that it was taken from.
    ok(&simseg(&["verify", text(&first)]));
    assert_eq!(rows(&first), rows(&at("runs/fresh")));

    // Made by another program, by one that did not say, or elsewhere: only if it is named.
    for out in ["runs/second", "runs/fresh"] {
        std::fs::remove_dir_all(at(out)).unwrap();
    }
    for training in trainings(&first) {
        rewrite(&training.join("training.json"), |value| value["made"]["executable"] = json!("another"));
    }
    let said = run(&file, &at("runs/third"), &["--only", "loda"]);
    assert!(!said.contains("trained already"), "{said}");
    for training in trainings(&first) {
        rewrite(&training.join("training.json"), |value| _ = value.as_object_mut().unwrap().remove("made"));
    }
    let said = run(&file, &at("far/fourth"), &["--reuse", text(&first)]);
    assert!(said.contains("dense seed 0: trained already in"), "{said}");
    let made = json(&at("far/fourth/loda-seed0/provenance.json"));
    assert_eq!(made["training"]["taken"], json!({"from": text(&first), "asked": true}));
    assert_eq!(rows(&first), rows(&at("far/fourth")));
    let line = refused(&simseg(&["run", text(&file), "--out", text(&at("x")), "--reuse", text(&at("nowhere"))]));
    assert!(line.contains("nowhere") && line.contains("--reuse") && !at("x").exists(), "{line}");
}

#[test]
fn what_another_backend_computed_is_refused_and_another_program_is_noted() {
    let folder = tempfile::tempdir().unwrap();
    let (file, out) = (experiment(folder.path()), folder.path().join("out"));
    run(&file, &out, &["--only", "loda"]);
    let said = run(&file, &out, &["--only", "lo*", "--resume"]);
    assert!(!said.contains("note: rows"), "nothing differs: {said}");
    let provenance = out.join("loda-seed0/provenance.json");
    let made = json(&provenance);
    rewrite(&provenance, |value| {
        value["executable"] = json!("another");
        value["revision"] = json!("0123abcd");
    });
    let said = run(&file, &out, &["--resume"]);
    assert!(said.contains("revision: `0123abcd` and"), "{said}");
    let report = std::fs::read_to_string(out.join("report.html")).unwrap();
    assert!(
        report.contains("rows differ in") && report.contains("and `0123abcd`"),
        "the report says that rows come of several programs"
    );
    rewrite(&provenance, |value| value["precision"] = json!("bf16"));
    let resume = ["run", text(&file), "--out", text(&out), "--resume"];
    let line = refused_last(&resume);
    assert!(line.contains("loda-seed0: was made with --precision bf16, found f32"), "{line}");
    std::fs::write(&provenance, made.to_string()).unwrap();
    // A training whose rows are still to be judged.
    std::fs::remove_file(out.join("low-seed0/result.json")).unwrap();
    let training = out.join("trainings").join(json(&out.join("loda-seed0/result.json"))["training"].as_str().unwrap());
    rewrite(&training.join("training.json"), |value| value["made"]["backend"] = json!("tch"));
    let line = refused_last(&resume);
    assert!(line.contains("was made with --backend tch, found cpu"), "{line}");
    ok(&simseg(&[&resume[..4], &["--redo", "lo*"]].concat()));
}

#[test]
fn trainings_are_listed_and_those_without_rows_removed_while_runs_keep_their_models() {
    let folder = tempfile::tempdir().unwrap();
    let (file, out) = (experiment(folder.path()), folder.path().join("runs/one"));
    run(&file, &out, &["--only", "lo*"]);
    let used = trainings(&out).remove(0);
    let (unused, begun) = (out.join("trainings/aaaa"), out.join("trainings/bbbb"));
    for (place, file) in [(&unused, "training.json"), (&begun, "state.safetensors")] {
        std::fs::create_dir(place).unwrap();
        std::fs::write(place.join(file), "{\"images_per_second\": 1.0, \"seconds\": 1.0}").unwrap();
    }
    let runs = folder.path().join("runs");
    let cache = |more: &[&str]| ok(&simseg(&[&["cache", text(&runs)], more].concat()));
    let listed = cache(&[]);
    let line = |place: &Path| listed.lines().find(|line| line.starts_with(text(place))).unwrap();
    assert!(line(&used).contains("loda seed 0, low seed 0") && line(&used).contains("(cpu f32)"), "{listed}");
    assert!(line(&unused).ends_with("made by an unknown program; no row"), "{listed}");
    assert!(line(&begun).ends_with("not finished; no row") && listed.contains("3 trainings"), "{listed}");
    assert!(cache(&["--clear", "--dry-run"]).contains("would remove 1 of 3") && unused.exists());
    assert!(cache(&["--clear"]).contains("removed 1 of 3"));
    assert_eq!((unused.exists(), used.exists(), begun.exists()), (false, true, true));
    cache(&["--clear", "--all"]);
    assert!(trainings(&out).is_empty());
    ok(&simseg(&["verify", text(&out), "--rerun", "2"]));
    assert!(run(&file, &out, &["--only", "lo*", "--resume"]).contains("one"), "nothing is trained again");
    assert!(trainings(&out).is_empty());
    assert!(refused(&simseg(&["cache", text(&folder.path().join("nowhere"))])).contains("nowhere"));
    assert_eq!(simseg(&["cache", text(&runs), "--all"]).status.code(), Some(2), "--all is about --clear");
}
