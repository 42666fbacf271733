//! Probes from outside: while a model trains, and of a finished one by `simseg probe`.

mod common {
    pub mod program;
}
use common::program::{ok, refused, simseg, text};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

const TOML: &str = r#"
name = "probed"
question = "What does it rely on?"
[model]
projection = 8
temperature = 0.05
image = { image_size = 16, patch = 8, width = 12, depth = 1, heads = 2 }
text = { positions = 25, width = 12, depth = 1, heads = 2 }
[aligner]
kind = "loda"
image_k = 1
text_k = 1
[training]
data = { kind = "scenes", count = 32, image_size = 16 }
batch = 8
steps = 10
checkpoint_every = 4
schedule = { rate = 1e-2, warmup = 1, floor = 0.1 }
[evaluation]
data = { kind = "scenes", count = 3, image_size = 16 }
pictures = 1
"#;

const PROBES: &str = "[probes]\nevery = 4\nimages = 6\n";

/// The one training of an experiment that is run here, and where it lies.
fn run(folder: &Path, name: &str, toml: &str) -> (PathBuf, String) {
    let (file, out) = (folder.join(name).with_extension("toml"), folder.join(name));
    std::fs::write(&file, toml).unwrap();
    ok(&simseg(&["run", text(&file), "--out", text(&out)]));
    let mut trainings = std::fs::read_dir(out.join("trainings")).unwrap();
    let training = trainings.next().unwrap().unwrap();
    assert!(trainings.next().is_none());
    (out, training.file_name().into_string().unwrap())
}

fn bytes(path: PathBuf) -> Vec<u8> {
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn json(path: PathBuf) -> Value {
    serde_json::from_slice(&bytes(path)).unwrap()
}

#[test]
fn probes_change_no_weight_and_no_name_of_a_training_without_them() {
    let folder = tempfile::tempdir().unwrap();
    let (plain, key) = run(folder.path(), "plain", TOML);
    // What this training was called before there were probes.
    assert_eq!(key, "82392327311d24e0");
    assert!(!plain.join("trainings").join(&key).join("probes.jsonl").exists());
    let expect = "expect = [\"probed.i2t_r10 >= 1\", \"probed.swap_right > -1\"]\n";
    let (probed, other) = run(folder.path(), "probed", &format!("{expect}{TOML}{PROBES}"));
    assert_ne!(key, other);
    let weights = |out: &Path, key: &str| bytes(out.join("trainings").join(key).join("model/model.safetensors"));
    assert!(weights(&plain, &key) == weights(&probed, &other));
    let log = |out: &Path, key: &str| {
        let text = String::from_utf8(bytes(out.join("trainings").join(key).join("metrics.jsonl"))).unwrap();
        let mut lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        lines.iter_mut().for_each(|line| drop(line.as_object_mut().unwrap().remove("wait_seconds").unwrap()));
        lines
    };
    assert_eq!(log(&plain, &key), log(&probed, &other));

    // Before the first step, every fourth, and after the last; the run's folder has them, too.
    let lines = String::from_utf8(bytes(probed.join("probed-seed0/probes.jsonl"))).unwrap();
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let steps: Vec<u64> = lines.iter().map(|line| line["step"].as_u64().unwrap()).collect();
    assert_eq!(steps, [0, 0, 0, 4, 4, 4, 8, 8, 8, 10, 10, 10]);
    let values =
        |step: u64| lines.iter().filter(|line| line["step"] == step).map(|l| &l["figures"]).collect::<Vec<_>>();
    assert_ne!(values(0)[0], values(10)[0], "the weights were asked, not the starting values");

    // The last answers are figures of the row; the report draws them.
    let row = json(probed.join("results.json"))["rows"][0]["metrics"].clone();
    let mut named = 0;
    for (name, value) in values(10).into_iter().flat_map(|figures| figures.as_object().unwrap()) {
        assert!((row[name].as_f64().unwrap() - value.as_f64().unwrap()).abs() < 1e-12, "{name}");
        named += 1;
    }
    assert!(named > 12, "{named}");
    let report = String::from_utf8(bytes(probed.join("report.html"))).unwrap();
    assert!(report.contains("probe-swap_object_drop") && report.contains("probe-t2i_on_object"));
    ok(&simseg(&["verify", text(&probed)]));
    let path = probed.join("probed-seed0/probes.jsonl");
    let other = String::from_utf8(bytes(path.clone())).unwrap().replace("\"swap_right\":0.", "\"swap_right\":0.9");
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, other).unwrap();
    let verified = simseg(&["verify", text(&probed)]);
    assert_eq!(verified.status.code(), Some(1), "{}", String::from_utf8_lossy(&verified.stderr));
}

#[test]
fn mistakes_in_the_settings_name_the_key() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("e.toml");
    for (probes, needle) in [
        ("[probes]\n", "every"),
        ("[probes]\nevery = 0\n", "probes.every"),
        ("[probes]\nevery = 1\nwhat = []\n", "probes.what"),
        ("[probes]\nevery = 1\nwhat = [\"word-swaps\"]\n", "word-swap"),
        ("[probes]\nevery = 1\nwhat = [\"retrieval\", \"retrieval\"]\n", "each probe once"),
        ("[probes]\nevery = 1\nimages = 0\n", "probes.images"),
        ("[probes]\nevery = 1\nobjects = [\"fish\"]\n", "probes.objects, probes.contexts"),
        ("[probes]\nevery = 1\ndata = { kind = \"scenes\", cuont = 3 }\n", "probes.data"),
        ("[probes]\nevery = 1\ndata = { kind = \"folder\", root = \"nowhere\" }\n", "nowhere"),
        ("[probes]\nevry = 1\n", "did you mean `every`?"),
    ] {
        std::fs::write(&file, format!("{TOML}{probes}")).unwrap();
        let line = refused(&simseg(&["run", text(&file), "--out", text(&folder.path().join("out"))]));
        assert!(line.contains(needle), "{probes}: {line}");
    }
    std::fs::write(&file, format!("expect = [\"probed.swap_drop_ration > 0\"]\n{TOML}{PROBES}")).unwrap();
    let line = refused(&simseg(&["run", text(&file), "--plan"]));
    assert!(line.contains("did you mean `swap_drop_ratio`?"), "{line}");
    std::fs::write(&file, format!("expect = [\"probed.swap_drop_ratio > 0 @95%\"]\n{TOML}{PROBES}")).unwrap();
    let line = refused(&simseg(&["run", text(&file), "--plan"]));
    assert!(line.contains("`swap_drop_ratio` is a probe's"), "{line}");
}

fn tiny() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/tiny")
}

#[test]
fn the_same_scenes_drawn_or_as_files_give_the_same_figures() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (model, world) = (tiny(), at("world"));
    ok(&simseg(&["scenes", "--out", text(&world), "--count", "12", "--seed", "7", "--bias", "0"]));
    let common = ["probe", "--model", text(&model), "--seed", "7", "--out"];
    let (drawn, own) = (at("drawn"), at("own"));
    let table = ok(&simseg(&[&common[..], &[text(&drawn), "--scenes", "12", "--pictures", "2"]].concat()));
    for figure in ["swap_drop_ratio", "i2i_on_foreground", "score_from_object", "t2i_r5"] {
        assert!(table.contains(figure), "{table}");
    }
    let objects = "cherry,fish,star,cactus,car,flower,balloon,cup,mushroom,sheep";
    std::fs::write(at("contexts.txt"), "sea\nmeadow\ndesert\nnight\nsnow\nforest\nstreet\nsky\n").unwrap();
    let (captions, images, contexts) = (world.join("captions.csv"), world.join("images"), at("contexts.txt"));
    let files = ["--captions", text(&captions), "--images", text(&images)];
    let words = ["--objects", objects, "--contexts", text(&contexts)];
    ok(&simseg(&[&common[..], &[text(&own)], &files, &words].concat()));

    let (a, b) = (json(drawn.join("probes.json")), json(own.join("probes.json")));
    let names = |report: &Value| report["probes"].as_object().unwrap().keys().cloned().collect::<BTreeSet<String>>();
    assert_eq!(names(&a).len(), 3);
    assert_eq!(names(&b), BTreeSet::from(["retrieval", "word-swap"].map(str::to_owned)), "files have no label maps");
    assert_eq!(a["probes"]["retrieval"], b["probes"]["retrieval"]);
    // Which objects stand there unnamed only the drawn world knows; the right captions are the same.
    let swap = |report: &Value, figure: &str| report["probes"]["word-swap"]["figures"][figure].as_f64().unwrap();
    assert_eq!(swap(&a, "swap_right"), swap(&b, "swap_right"));
    for report in [&a, &b] {
        let (right, object, drop) =
            (swap(report, "swap_right"), swap(report, "swap_object"), swap(report, "swap_object_drop"));
        assert!(
            (right - object - drop).abs() < 1e-12 && drop > 0.0,
            "the model in fixtures has learned objects: {report}"
        );
    }
    let page = String::from_utf8(bytes(drawn.join("probes.html"))).unwrap();
    assert_eq!(page.matches("<article>").count(), 2);
    assert!(page.contains("s(I2I): the pooled image") && page.contains("s(T2I): its caption"));
    assert!(page.contains("context swapped") && page.matches("data:image/png").count() >= 2 * 5, "pictures and scores");
}

#[test]
fn what_cannot_be_asked_is_refused_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let (model, world, broken) = (tiny(), folder.path().join("world"), folder.path().join("model"));
    ok(&simseg(&["scenes", "--out", text(&world), "--count", "3", "--seed", "7"]));
    let (captions, images) = (world.join("captions.csv"), world.join("images"));
    let own = ["--captions", text(&captions), "--images", text(&images)];
    let ask = |model: &Path, more: &[&str]| refused(&simseg(&[&["probe", "--model", text(model)], more].concat()));
    for (more, needle) in [
        (&[&own[..], &["--what", "word-swap"]].concat()[..], "at least two words"),
        (&[&own[..], &["--what", "attention"]].concat(), "label maps"),
        (&[&own[..], &["--objects", "dog"]].concat(), "--objects"),
        (&[&own[..], &["--objects", "dog,Dog"]].concat(), "occurs twice"),
        (&[&own[..], &["--objects", "tree,house"]].concat(), "none of 3 (3 images)"),
        (&["--scenes", "0"], "count"),
        (&["--scenes", "3", "--swaps", "0"], "--swaps"),
        (&["--scenes", "3", "--bias", "2"], "bias"),
    ] {
        let line = ask(&model, more);
        assert!(line.contains(needle), "{more:?}: {line}");
    }
    // A model without words cannot read captions.
    std::fs::create_dir(&broken).unwrap();
    for name in ["config.json", "model.safetensors"] {
        std::fs::copy(model.join(name), broken.join(name)).unwrap();
    }
    assert!(ask(&broken, &["--scenes", "3"]).contains("vocab.txt"));
}
