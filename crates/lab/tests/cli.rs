//! The program as a user meets it: what it leaves behind, how it goes on after a kill, and what it says to bad input.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

/// Seconds of work, all of the machinery: two variants, 16-pixel scenes, a dozen steps.
const TINY: &str = r#"
name = "tiny"
question = "Does the machinery work?"
[model]
projection = 8
temperature = 0.05
image = { image_size = 16, patch = 8, width = 12, depth = 1, heads = 2 }
text = { positions = 25, width = 12, depth = 1, heads = 2 }
[training]
data = { kind = "scenes", count = 64, image_size = 16 }
batch = 8
steps = 12
checkpoint_every = 3
schedule = { rate = 1e-3, warmup = 3, floor = 0.1 }
[evaluation]
data = { kind = "scenes", count = 4, image_size = 16, bias = 0.0 }
pictures = 2
[variants.dense.aligner]
kind = "dense"
[variants.loda.aligner]
kind = "loda"
image_k = 2
text_k = 1
"#;

fn simseg(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_simseg")).args(arguments).stdin(Stdio::null()).output().expect("the binary runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn path(path: &Path) -> &str {
    path.to_str().expect("test paths are UTF-8")
}

/// Writes the tiny experiment into a folder.
fn experiment(folder: &Path) -> PathBuf {
    let file = folder.join("tiny.toml");
    std::fs::write(&file, TINY).unwrap();
    file
}

/// Exit 2, one line on stderr that holds every needle, no temporary file left in `folder`.
fn refused(arguments: &[&str], folder: &Path, needles: &[&str]) {
    let output = simseg(arguments);
    let errors = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {errors}");
    let last = errors.lines().last().unwrap_or_default();
    assert!(last.starts_with("simseg: "), "{arguments:?}: {errors}");
    for needle in needles {
        assert!(last.contains(needle), "{arguments:?}: expected `{needle}` in: {last}");
    }
    no_leftovers(folder);
}

fn no_leftovers(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        assert!(!entry.file_name().to_string_lossy().ends_with(".tmp"), "left behind: {}", entry.path().display());
        if entry.path().is_dir() {
            no_leftovers(&entry.path());
        }
    }
}

/// A finished run of the tiny experiment, shared by the tests.
fn finished() -> &'static Path {
    static RUN: OnceLock<tempfile::TempDir> = OnceLock::new();
    let folder = RUN.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let file = experiment(folder.path());
        let output = simseg(&["run", path(&file), "--out", path(&folder.path().join("out")), "--threads", "2"]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        folder
    });
    folder.path()
}

fn bytes(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn a_run_leaves_results_a_report_and_one_folder_per_run() {
    let out = finished().join("out");
    let results: serde_json::Value = serde_json::from_slice(&bytes(&out.join("results.json"))).unwrap();
    assert_eq!(results["experiment"], "tiny");
    let rows = results["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 2 + 4, "two variants, and the rows of every experiment");
    for row in &rows[..2] {
        assert!(row["metrics"]["miou"].as_f64().is_some_and(|miou| (0.0..=1.0).contains(&miou)));
        assert!(row["train_images_per_second"].as_f64().unwrap() > 0.0 && row["seconds"].as_f64().unwrap() > 0.0);
        let training = out.join("trainings").join(row["training"].as_str().unwrap());
        assert!(training.join("training.json").exists() && !training.join("state.safetensors").exists());
    }
    let report = text(&bytes(&out.join("report.html")));
    assert!(report.contains("<svg") && report.matches("data:image/png;base64,").count() == 2 * (2 + 2 * 2));
    assert!(!report.contains("http://") || !report.contains("src=\"http"), "self-contained");
    for name in ["config.toml", "metrics.jsonl", "images.jsonl", "provenance.json", "result.json", "model/config.json"]
    {
        assert!(out.join("loda-seed0").join(name).exists(), "{name}");
    }
    no_leftovers(&out);
}

#[test]
fn the_same_seed_gives_the_same_bits_with_1_2_and_5_threads() {
    let want = bytes(&finished().join("out/loda-seed0/model/model.safetensors"));
    for threads in ["1", "5"] {
        let folder = tempfile::tempdir().unwrap();
        let file = experiment(folder.path());
        let out = folder.path().join("out");
        assert!(simseg(&["run", path(&file), "--out", path(&out), "--threads", threads]).status.success());
        assert!(bytes(&out.join("loda-seed0/model/model.safetensors")) == want, "{threads} threads");
    }
}

#[test]
fn a_killed_run_goes_on_to_the_same_bits() {
    let want = bytes(&finished().join("out/loda-seed0/model/model.safetensors"));
    let mut interrupted = 0;
    for delay in [30, 80, 150, 250, 400] {
        let folder = tempfile::tempdir().unwrap();
        let (file, out) = (experiment(folder.path()), folder.path().join("out"));
        let arguments = ["run", path(&file), "--out", path(&out), "--resume"];
        let mut child = Command::new(env!("CARGO_BIN_EXE_simseg"))
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(delay));
        child.kill().unwrap();
        interrupted += usize::from(!child.wait().unwrap().success());
        let output = simseg(&arguments);
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert!(bytes(&out.join("loda-seed0/model/model.safetensors")) == want, "killed after {delay} ms");
        let lines = text(&bytes(&out.join("loda-seed0/metrics.jsonl"))).lines().count();
        assert_eq!(lines, 12, "one line per step, killed after {delay} ms");
    }
    assert!(interrupted > 0, "no kill came in time to mean anything");
}

#[test]
fn a_run_stopped_between_checkpoints_goes_on_to_the_same_bits() {
    // Certain to stop in the middle: the state after 6 of 12 steps, as a shorter run of the same settings cannot make it,
    // is taken from a run whose later checkpoints are removed.
    let want = bytes(&finished().join("out/loda-seed0/model/model.safetensors"));
    let folder = tempfile::tempdir().unwrap();
    let (file, out) = (experiment(folder.path()), folder.path().join("out"));
    let run = out.join("loda-seed0");
    // The training of dense comes first; the other one is that of LoDA.
    let training = || -> Option<PathBuf> {
        let all = std::fs::read_dir(out.join("trainings")).ok()?.map(|entry| entry.unwrap().path());
        let of_loda =
            |path: &PathBuf| std::fs::read_to_string(path.join("config.toml")).is_ok_and(|text| text.contains("loda"));
        all.filter(|path| path.join("state.safetensors").exists()).find(of_loda)
    };
    let mut child = Command::new(env!("CARGO_BIN_EXE_simseg"))
        .args(["run", path(&file), "--out", path(&out), "--threads", "1"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    while training().is_none() && child.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    // A line cut short by the kill must not survive.
    let training = training().expect("stopped in the middle");
    let log = training.join("metrics.jsonl");
    let torn = text(&bytes(&log)) + "{\"step\": 11, \"lo";
    std::fs::write(&log, torn).unwrap();
    let output = simseg(&["run", path(&file), "--out", path(&out), "--resume"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(bytes(&run.join("model/model.safetensors")) == want);
    assert_eq!(text(&bytes(&log)).lines().count(), 12);
}

#[test]
fn a_finished_run_is_not_repeated_and_other_settings_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (file, out) = (experiment(folder.path()), folder.path().join("out"));
    assert!(simseg(&["run", path(&file), "--out", path(&out)]).status.success());
    let model = out.join("loda-seed0/model/model.safetensors");
    let made = std::fs::metadata(&model).unwrap().modified().unwrap();
    assert!(simseg(&["run", path(&file), "--out", path(&out), "--resume"]).status.success());
    assert_eq!(std::fs::metadata(&model).unwrap().modified().unwrap(), made);
    refused(&["run", path(&file), "--out", path(&out)], &out, &["out", "--resume"]);
    let other = ["run", path(&file), "--out", path(&out), "--resume", "--set", "training.steps=13"];
    refused(&other, &out, &["training.steps", "--fresh", "--redo"]);
}

#[test]
fn variants_that_differ_in_segmentation_alone_share_one_training() {
    let folder = tempfile::tempdir().unwrap();
    let (file, out) = (folder.path().join("rules.toml"), folder.path().join("out"));
    let rules = "[variants.strict]\naligner = { kind = \"dense\" }\nsegmentation = { threshold = { k = 2.0 } }\n";
    std::fs::write(&file, format!("{TINY}{rules}")).unwrap();
    let output = simseg(&["run", path(&file), "--out", path(&out)]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let of = |variant: &str, name: &str| bytes(&out.join(format!("{variant}-seed0/{name}")));
    assert!(of("dense", "model/model.safetensors") == of("strict", "model/model.safetensors"));
    assert_ne!(of("dense", "model/model.safetensors"), of("loda", "model/model.safetensors"));
    let results: serde_json::Value = serde_json::from_slice(&bytes(&out.join("results.json"))).unwrap();
    let row = |i: usize| &results["rows"][i];
    assert_eq!((row(0)["variant"].as_str(), row(2)["variant"].as_str()), (Some("dense"), Some("strict")));
    assert_eq!(row(0)["training"], row(2)["training"], "trained once");
    assert_ne!(row(0)["training"], row(1)["training"]);
    assert!(row(0)["seconds"].as_f64().unwrap() > 0.0 && row(2)["seconds"] == 0.0, "work counts once");
}

#[test]
fn bad_experiments_are_refused_with_the_file_and_the_key() {
    let folder = tempfile::tempdir().unwrap();
    let (file, out) = (folder.path().join("bad.toml"), folder.path().join("out"));
    for (from, to, needles) in [
        ("steps = 12", "stepz = 12", &["bad.toml", "`stepz`", "did you mean `steps`?"][..]),
        ("[training]", "[trianing]", &["bad.toml", "did you mean `training`?"]),
        ("batch = 8", "batch = \"eight\"", &["bad.toml", "training.batch"]),
        ("image_k = 2", "image_k = 5", &["bad.toml", "image_k", "4 patches"]),
        ("text_k = 1", "text_k = 26", &["bad.toml", "text_k"]),
        ("patch = 8", "patch = 5", &["bad.toml", "model.image.image_size", "multiple of the patch"]),
        ("heads = 2 }", "heads = 5 }", &["bad.toml", "heads"]),
        ("bias = 0.0", "bias = 3.0", &["bad.toml", "evaluation"]),
        ("steps = 12", "steps = ", &["bad.toml", "line"]),
    ] {
        std::fs::write(&file, TINY.replacen(from, to, 1)).unwrap();
        refused(&["run", path(&file), "--out", path(&out)], folder.path(), needles);
        assert!(!out.exists(), "nothing is written for a bad experiment");
    }
    refused(&["run", path(&folder.path().join("none.toml"))], folder.path(), &["none.toml"]);
}

#[test]
fn a_loss_that_is_no_number_stops_the_run_and_keeps_the_last_good_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let (file, out) = (experiment(folder.path()), folder.path().join("out"));
    let set = [
        "--set",
        "training.schedule.rate=1e38",
        "--set",
        "training.schedule.warmup=0",
        "--set",
        "training.checkpoint_every=1",
    ];
    let arguments = [&["run", path(&file), "--out", path(&out)][..], &set].concat();
    refused(&arguments, &out, &["dense seed 0", "at step", "last good checkpoint"]);
    let trainings: Vec<_> =
        std::fs::read_dir(out.join("trainings")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(trainings.iter().any(|training| training.join("state.safetensors").exists()), "{trainings:?}");
}

#[test]
fn a_disk_that_refuses_is_named_and_nothing_half_written_stays() {
    let folder = tempfile::tempdir().unwrap();
    let file = experiment(folder.path());
    let blocked = folder.path().join("blocked");
    std::fs::write(&blocked, "a file where a folder should be").unwrap();
    refused(&["run", path(&file), "--out", path(&blocked.join("out"))], folder.path(), &["blocked"]);
    // A full disk, as a limit on file sizes: 4 KiB are not enough for a checkpoint.
    let out = folder.path().join("out");
    let command = format!(
        "trap '' XFSZ; ulimit -f 4; exec {} run {} --out {}",
        env!("CARGO_BIN_EXE_simseg"),
        path(&file),
        path(&out)
    );
    let output = Command::new("bash").args(["-c", &command]).output().unwrap();
    let errors = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{errors}");
    assert!(errors.lines().last().unwrap().contains("safetensors"), "{errors}");
    let trainings = std::fs::read_dir(out.join("trainings")).unwrap();
    assert!(trainings.map(|entry| entry.unwrap().path()).all(|training| !training.join("state.safetensors").exists()));
    no_leftovers(&out);
}

/// A scene to segment, and its class file.
fn scenes(folder: &Path) -> (PathBuf, PathBuf) {
    let world = folder.join("world");
    let output = simseg(&["scenes", "--out", path(&world), "--count", "2", "--seed", "5", "--size", "32"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    (world.join("images/000000.png"), world.join("classes.txt"))
}

#[test]
fn segment_writes_an_indexed_label_map_an_overlay_a_trace_and_timings() {
    let folder = tempfile::tempdir().unwrap();
    let (image, classes) = scenes(folder.path());
    let model = finished().join("out/loda-seed0/model");
    let (out, trace, timings) =
        (folder.path().join("out"), folder.path().join("t.safetensors"), folder.path().join("t.json"));
    let common = ["--model", path(&model), "--classes", path(&classes), path(&image), "--out", path(&out)];
    let extra = ["--trace", path(&trace), "--timings", path(&timings)];
    let output = simseg(&[&["segment"][..], &common, &extra].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    let labels = simseg_data::picture::Labels::load(&out.join("000000.png")).unwrap();
    assert_eq!((labels.width, labels.height), (32, 32), "the image's own size, not the network's");
    assert!(labels.values.iter().all(|&label| label < 11));
    assert!(out.join("000000.overlay.png").exists());
    let times: serde_json::Value = serde_json::from_slice(&bytes(&timings)).unwrap();
    for stage in ["load", "text", "image", "refine", "total"] {
        assert!(times[stage].as_f64().is_some(), "{stage}");
    }
    let trace = bytes(&trace);
    for name in ["image/pixels", "image/patches", "image/embedding", "text/classes", "scores", "threshold", "labels"] {
        assert!(text(&trace).contains(&format!("\"{name}\"")), "{name}");
    }
    no_leftovers(folder.path());
}

#[test]
fn segment_refuses_bad_input_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let (image, classes) = scenes(folder.path());
    let model = finished().join("out/loda-seed0/model");
    let out = folder.path().join("out");
    let put = |name: &str, content: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    };
    let attempt = |model: &Path, classes: &Path, image: &Path, needles: &[&str]| {
        let arguments =
            ["segment", "--model", path(model), "--classes", path(classes), path(image), "--out", path(&out)];
        refused(&arguments, folder.path(), needles);
    };
    attempt(&model, &put("empty.txt", b""), &image, &["empty.txt"]);
    attempt(
        &model,
        &put("twice.txt", b"background\ncat\ncat\n"),
        &image,
        &["twice.txt", "line 3", "`cat` occurs twice"],
    );
    attempt(&model, &folder.path().join("none.txt"), &image, &["none.txt"]);
    let whole = bytes(&image);
    attempt(&model, &classes, &put("cut.png", &whole[..whole.len() / 2]), &["cut.png"]);
    attempt(&model, &classes, &put("zero.png", b""), &["zero.png"]);
    attempt(&model, &classes, &put("text.png", b"not an image"), &["text.png"]);
    let mut none = whole.clone();
    none[16..24].fill(0); // no width, no height
    attempt(&model, &classes, &put("nothing.png", &none), &["nothing.png"]);
    let mut huge = whole;
    huge[16..24].copy_from_slice(&[0x7f, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff]);
    attempt(&model, &classes, &put("huge.png", &huge), &["huge.png"]);
    attempt(&folder.path().join("nowhere"), &classes, &image, &["nowhere"]);

    // A model directory whose weights lack a tensor: the architecture asks for one block more.
    let lacking = folder.path().join("lacking");
    std::fs::create_dir(&lacking).unwrap();
    for name in ["model.safetensors", "vocab.txt"] {
        std::fs::copy(model.join(name), lacking.join(name)).unwrap();
    }
    let config = text(&bytes(&model.join("config.json"))).replacen("\"depth\": 1", "\"depth\": 2", 1);
    std::fs::write(lacking.join("config.json"), config).unwrap();
    attempt(&lacking, &classes, &image, &["model.safetensors", "blocks.1", "missing"]);

    let arguments =
        ["segment", "--model", path(&model), "--classes", path(&classes), path(&image), "--out", path(&out)];
    refused(&[&arguments[..], &["--recipe", "plian"]].concat(), folder.path(), &["did you mean `plain`?"]);
    refused(
        &[&arguments[..], &["--set", "map.upsampel=nearest"]].concat(),
        folder.path(),
        &["did you mean `upsample`?"],
    );
    if !cfg!(feature = "tch") {
        refused(&[&arguments[..], &["--backend", "tch"]].concat(), folder.path(), &["libtorch", "cargo xtask tch"]);
    }
    refused(&[&arguments[..], &["--precision", "f64"]].concat(), folder.path(), &["--backend tch"]);

    let limited = |limit: &'static str| [&arguments[..], &["--memory-limit", limit]].concat();
    refused(&limited("2kB"), folder.path(), &["--memory-limit", "the weights alone are"]);
    // Enough for the weights of the quick model, not for a picture of 1,024 pixels a side.
    let large = [&limited("4MB")[..], &["--set", "input.size=1024"]].concat();
    refused(
        &large,
        folder.path(),
        &["000000.png", "a picture of 32×32", "needs up to", "the memory limit is 4.000 MB"],
    );
    let wrong = simseg(&limited("many"));
    assert!(wrong.status.code() == Some(2) && text(&wrong.stderr).contains("such as 64MB"), "{}", text(&wrong.stderr));
    let fits = simseg(&limited("64 MiB"));
    assert!(fits.status.success(), "{}", text(&fits.stderr));
}
