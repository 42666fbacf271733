//! What runs leave behind is verified and merged: from files that these tests write.

mod common {
    pub mod made;
    pub mod program;
}
use common::made::{broken, experiment, two};
use common::program::{ok, refused, simseg, text};
use simseg_lab::results::{Results, Row, answers};
use std::path::{Path, PathBuf};

#[test]
fn what_is_as_recorded_verifies() {
    let (_folder, out) = two();
    assert!(ok(&simseg(&["verify", text(&out)])).starts_with('✓'));
    std::fs::remove_file(out.join("expectations.json")).unwrap();
    assert!(simseg(&["verify", text(&out)]).status.success(), "older folders recorded none");
    assert!(refused(&simseg(&["verify", "/nowhere/at/all"])).contains("expected an output folder"));
}

#[test]
fn a_value_a_file_or_a_line_that_was_touched_is_named() {
    let (folder, out) = two();
    let change = |file: &str, from: &str, to: &str, needles: &[&str]| {
        let path = out.join(file);
        let good = std::fs::read(&path).unwrap();
        let text_of = String::from_utf8(good.clone()).unwrap();
        assert!(text_of.contains(from), "{file} has no {from}");
        std::fs::write(&path, text_of.replacen(from, to, 1)).unwrap();
        let line = broken(&simseg(&["verify", text(&out)]));
        assert!(needles.iter().all(|needle| line.contains(needle)), "{file}: {line}");
        std::fs::write(&path, good).unwrap();
    };
    let miou = Results::read(&out).unwrap().rows[1].metrics["miou"];
    let (said, other) = (format!("{miou}"), format!("{}", miou + 1e-9));
    change("results.json", &said, &other, &["loda-seed0", "miou"]);
    change("loda-seed0/result.json", &said, &other, &["loda-seed0/result.json", "miou"]);
    change("loda-seed0/result.json", "\"seconds\": 1.5", "\"seconds\": 1.4", &["seconds"]);
    change("results.json", "\"cat\": 0.", "\"cat\": 0.0", &["class cat"]);
    change("dense-seed0/images.jsonl", "[0,0,50]", "[0,0,51]", &["dense-seed0/images.jsonl"]);
    change("dense-seed0/images.jsonl", "000007", "000077", &["dense-seed0/images.jsonl", "changed"]);
    change("dense-seed0/config.toml", "steps = 3", "steps = 4", &["dense-seed0/config.toml"]);
    change("expectations.json", "\"holds\": false", "\"holds\": true", &["expectations.json", "@95%", "does not hold"]);
    change("expectations.json", "> 0.2 @95%\"", "> 0.01 @95%\"", &["expectations.json"]);
    for file in [
        "results.json",
        "loda-seed0/result.json",
        "loda-seed0/images.jsonl",
        "loda-seed0/config.toml",
        "loda-seed0/provenance.json",
    ] {
        let (path, aside) = (out.join(file), folder.path().join("aside"));
        std::fs::rename(&path, &aside).unwrap();
        assert!(broken(&simseg(&["verify", text(&out)])).contains(file), "{file}");
        std::fs::rename(&aside, &path).unwrap();
    }
    // A row that was left out.
    let mut fewer = Results::read(&out).unwrap();
    fewer.rows.truncate(1);
    fewer.save(&out).unwrap();
    assert!(broken(&simseg(&["verify", text(&out)])).contains("loda-seed0: no row"));
}

#[test]
fn an_experiment_file_is_checked_on_the_rows_kept_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let toml = include_str!("../../../experiments/quick.toml");
    let file = folder.path().join("quick.toml");
    std::fs::write(&file, toml).unwrap();
    let verify = |path: &Path| {
        // Elsewhere, where there is no runs/quick.
        let mut program = std::process::Command::new(env!("CARGO_BIN_EXE_simseg"));
        program.args(["verify", text(path)]).current_dir(folder.path()).output().unwrap()
    };
    assert!(refused(&verify(&file)).contains("results/quick.csv"));
    let row = |variant: &str, miou: f64| Row {
        variant: variant.into(),
        metrics: [("miou".to_owned(), miou)].into(),
        ..Row::default()
    };
    let rows = vec![row("holistic", 0.1), row("dense", 0.2), row("loda", 0.5)];
    let results = Results { experiment: "quick".into(), rows };
    let csv = folder.path().join("results/quick.csv");
    std::fs::create_dir(csv.parent().unwrap()).unwrap();
    let good = simseg_lab::results::export::csv(&results, "3b006a", "simseg run quick.toml");
    std::fs::write(&csv, &good).unwrap();
    ok(&verify(&file));
    ok(&verify(&csv));
    std::fs::write(&csv, good.replace("0.5", "0.3")).unwrap();
    assert!(broken(&verify(&file)).contains("loda.miou >= 2 * dense.miou (seed 0)"));
    std::fs::write(&csv, good.replace("0.5", "half")).unwrap();
    assert!(broken(&verify(&csv)).contains("line 5: miou: found `half`"));
    std::fs::write(&csv, good.replace("experiment quick", "experiment slow")).unwrap();
    assert!(broken(&verify(&csv)).contains("expected experiment quick"));
}

#[test]
fn folders_of_several_machines_become_one_and_contradictions_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    experiment(&at("a"), &[("dense", 0, 0.5), ("loda", 0, 0.6)]);
    experiment(&at("b"), &[("dense", 1, 0.5), ("loda", 1, 0.6), ("loda", 0, 0.6)]);
    let merge = |folders: &[&str], out: &str| {
        let places: Vec<PathBuf> = folders.iter().map(|name| at(name)).collect();
        let out = at(out);
        let mut arguments = vec!["merge"];
        arguments.extend(places.iter().map(|place| text(place)));
        arguments.extend(["--out", text(&out)]);
        simseg(&arguments)
    };
    ok(&merge(&["a", "b"], "both"));
    let both = Results::read(&at("both")).unwrap();
    let names: Vec<(&str, u64)> = both.rows.iter().map(|row| (row.variant.as_str(), row.seed)).collect();
    assert_eq!(names, [("dense", 0), ("loda", 0), ("dense", 1), ("loda", 1)]);
    ok(&simseg(&["verify", text(&at("both"))]));
    assert!(refused(&merge(&["a", "b"], "both")).contains("is not empty"));
    // The same run with other figures, other settings, another experiment.
    experiment(&at("c"), &[("loda", 0, 0.7)]);
    assert!(refused(&merge(&["a", "c"], "x")).contains("loda seed 0: miou is another than in"));
    experiment(&at("d"), &[("loda", 4, 0.6)]);
    std::fs::write(at("d/loda-seed4/config.toml"), "seed = 4\n[training]\nsteps = 9\n").unwrap();
    assert!(refused(&merge(&["a", "d"], "x")).contains("`steps = 9`: other settings"));
    let other = Results { experiment: "other".into(), rows: vec![] };
    std::fs::create_dir(at("e")).unwrap();
    other.save(&at("e")).unwrap();
    assert!(refused(&merge(&["a", "e"], "x")).contains("expected `made`"));
    assert!(!at("x").exists(), "nothing half-merged is left");
    let left = std::fs::read_dir(folder.path())
        .unwrap()
        .filter(|e| e.as_ref().unwrap().file_name().to_string_lossy().starts_with('.'));
    assert_eq!(left.count(), 0);
}

#[test]
fn answers_about_intervals_are_kept_with_the_rows_and_held_to_their_interval() {
    let folder = tempfile::tempdir().unwrap();
    let toml = include_str!("../../../experiments/quick.toml");
    let sure = "expect = [\"loda.miou > dense.miou @95%\"]\n";
    let plain: String = toml.lines().filter(|l| !l.starts_with("expect")).map(|line| format!("{line}\n")).collect();
    let file = folder.path().join("quick.toml");
    std::fs::write(&file, format!("{sure}{plain}")).unwrap();
    // A run's folder, exported beside the experiment.
    let (_made, out) = two();
    let mut results = Results::read(&out).unwrap();
    results.experiment = "quick".into();
    results.save(&out).unwrap();
    let csv = folder.path().join("results/quick.csv");
    std::fs::create_dir(csv.parent().unwrap()).unwrap();
    ok(&simseg(&["runs", text(&out), "--export", text(&csv)]));
    let kept = simseg_lab::results::export::answers(&csv).unwrap();
    assert_eq!(Some(kept), answers::read(&out).unwrap());
    let verified = simseg(&["verify", text(&csv)]);
    ok(&verified);
    let said = String::from_utf8(verified.stderr).unwrap();
    assert!(said.contains("recorded: ✓ loda.miou > dense.miou @95% (left − right: 0."), "{said}");
    let good = std::fs::read_to_string(&csv).unwrap();
    let touched = |from: &str, to: &str| {
        let at = good.find("\"expect\":\"loda.miou > dense.miou @95%\"").unwrap();
        let (before, after) = good.split_at(at);
        assert!(after.contains(from), "{from}");
        std::fs::write(&csv, format!("{before}{}", after.replacen(from, to, 1))).unwrap();
        let said = String::from_utf8(simseg(&["verify", text(&csv)]).stderr).unwrap();
        let line = said.lines().last().unwrap().to_owned();
        assert_eq!(simseg(&["verify", text(&csv)]).status.code(), Some(1), "{said}");
        line
    };
    assert!(touched("\"holds\":true", "\"holds\":false").contains("recorded as false, but the interval is 0."));
    assert!(touched("right: 0.", "right: -0.").contains("recorded as true, but the interval is -0."));
    assert!(touched("left − right", "right − left").contains("expected an answer"));
    // Rows that are only some of those that the answers are about are kept without them.
    ok(&simseg(&["runs", text(&out), "--where", "variant=loda", "--export", text(&csv)]));
    assert!(simseg_lab::results::export::answers(&csv).unwrap().is_empty());
}

#[test]
fn the_experiments_that_have_results_are_those_whose_results_verify() {
    let experiments = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../experiments");
    let stems = |folder: &Path, end: &str| {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
        let of = |path: &PathBuf| path.extension().is_some_and(|own| own == end);
        let stem = |path: PathBuf| path.file_stem().unwrap().to_str().unwrap().to_owned();
        entries.filter(of).map(stem).collect::<std::collections::BTreeSet<String>>()
    };
    let (asked, answered) = (stems(&experiments, "toml"), stems(&experiments.join("results"), "csv"));
    assert!(asked.len() > 5 && answered.is_subset(&asked), "results of no experiment: {answered:?}");
    let folder = tempfile::tempdir().unwrap();
    let mut verified = std::collections::BTreeSet::new();
    for name in &asked {
        // Elsewhere, where there is no runs/: the rows alone are checked.
        let mut program = std::process::Command::new(env!("CARGO_BIN_EXE_simseg"));
        let file = experiments.join(format!("{name}.toml"));
        let output = program.args(["verify", text(&file)]).current_dir(folder.path()).output().unwrap();
        match output.status.code() {
            Some(0) => assert!(verified.insert(name.clone())),
            Some(2) if !answered.contains(name) => assert!(refused(&output).contains(&format!("results/{name}.csv"))),
            _ => panic!("{}", broken(&output)),
        }
    }
    assert_eq!(verified, answered);
}
