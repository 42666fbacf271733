//! Training on a caption file, from model directories, with frozen towers and with a CLIP: one experiment file each, on drawn
//! miniatures.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn simseg(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_simseg")).args(arguments).output().unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn ok(arguments: &[&str]) -> String {
    let output = simseg(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The one line of a refusal.
fn refused(arguments: &[&str]) -> String {
    let output = simseg(arguments);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {errors}");
    errors.lines().last().unwrap_or_default().to_owned()
}

/// Pictures with captions, and label maps to be judged on: 60 scenes of 32 pixels.
fn world(folder: &Path) -> PathBuf {
    let world = folder.join("world");
    ok(&["scenes", "--out", text(&world), "--count", "60", "--seed", "3", "--size", "32"]);
    world
}

/// An experiment on them: a caption file for training, a folder for judging.
fn experiment(folder: &Path, world: &Path) -> PathBuf {
    let file = folder.join("own.toml");
    let world = text(world);
    let toml = format!(
        r#"
name = "own"
question = "Do captions of my own photographs teach where things are?"
expect = ["loda.miou >= 0", "loda.class_recall <= 1"]

[model]
projection = 16
temperature = 0.05
image = {{ image_size = 32, patch = 8, width = 24, depth = 1, heads = 2 }}
text = {{ positions = 25, width = 24, depth = 1, heads = 2 }}

[training]
data = {{ kind = "captions", file = "{world}/captions.csv", images = "{world}/images" }}
batch = 16
steps = 12
checkpoint_every = 6
schedule = {{ rate = 1e-3, warmup = 3, floor = 0.1 }}

[evaluation]
data = {{ kind = "folder", root = "{world}" }}
metrics = ["iou", "true-classes", "pointing", "selection"]

[variants.loda.aligner]
kind = "loda"
image_k = 3
text_k = 1
"#
    );
    assert!(toml.lines().count() <= 40, "an experiment on own data is short");
    std::fs::write(&file, toml).unwrap();
    file
}

fn results(out: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(out.join("results.json")).unwrap()).unwrap()
}

/// All tensors of a file as they are in it.
fn tensors(file: &Path) -> Vec<(String, Vec<u8>)> {
    let bytes = std::fs::read(file).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let mut all: Vec<_> = file.tensors().into_iter().map(|(name, view)| (name, view.data().to_vec())).collect();
    all.sort();
    all
}

#[test]
fn a_caption_file_trains_and_a_folder_judges() {
    let folder = tempfile::tempdir().unwrap();
    let world = world(folder.path());
    let (file, out) = (experiment(folder.path(), &world), folder.path().join("out"));
    let said = ok(&["run", text(&file), "--out", text(&out)]);
    assert!(said.contains("class recall") && said.contains("✓ loda.class_recall <= 1"), "{said}");
    let metrics = &results(&out)["rows"][0]["metrics"];
    for figure in ["miou", "pixel_accuracy", "miou_true_classes", "point_on_object", "class_precision", "class_recall"]
    {
        let value = metrics[figure].as_f64();
        assert!(value.is_some_and(|value| (0.0..=1.0).contains(&value)), "{figure}: {value:?}");
    }
    let report = std::fs::read_to_string(out.join("report.html")).unwrap();
    assert!(report.contains("sheep") && report.contains("data:image/png"), "pictures of the folder, its classes");

    // The model it leaves knows the words of the captions, and segments.
    let (model, masks) = (out.join("loda-seed0/model"), folder.path().join("masks"));
    let (classes, image) = (world.join("classes.txt"), world.join("images/000001.png"));
    ok(&["segment", "--model", text(&model), "--classes", text(&classes), text(&image), "--out", text(&masks)]);
    assert!(masks.join("000001.png").exists());

    // Stopped and resumed, it is the same run.
    let again = folder.path().join("again");
    std::fs::create_dir_all(&again).unwrap();
    ok(&["run", text(&file), "--out", text(&again)]);
    std::fs::remove_file(again.join("loda-seed0/result.json")).unwrap();
    ok(&["run", text(&file), "--out", text(&again), "--resume"]);
    assert_eq!(results(&again)["rows"][0]["metrics"], *metrics);
}

#[test]
fn a_run_goes_on_only_with_the_captions_and_images_that_it_was_begun_with() {
    let folder = tempfile::tempdir().unwrap();
    let world = world(folder.path());
    let (file, out) = (experiment(folder.path(), &world), folder.path().join("out"));
    let run = ["run", text(&file), "--out", text(&out)];
    ok(&run);
    let again = [&run[..], &["--resume"]].concat();
    ok(&again);
    let (captions, image) = (world.join("captions.csv"), world.join("images/000007.png"));
    for changed in [&captions, &image, &world.join("labels/000003.png")] {
        let before = std::fs::read(changed).unwrap();
        let mut after = before.clone();
        let last = after.len() - 2;
        after[last] ^= 1;
        std::fs::write(changed, after).unwrap();
        let line = refused(&again);
        assert!(line.contains("other content of") && line.contains(text(&world)), "{}: {line}", changed.display());
        std::fs::write(changed, before).unwrap();
    }
    ok(&again);
    std::fs::remove_file(out.join("loda-seed0/result.json")).unwrap();
    std::fs::copy(world.join("images/000001.png"), world.join("images/more.png")).unwrap();
    std::fs::copy(world.join("labels/000001.png"), world.join("labels/more.png")).unwrap();
    assert!(refused(&again).contains("other content of"), "a picture more, before it is judged");
}

#[test]
fn what_is_wrong_with_the_data_is_said_before_anything_trains() {
    let folder = tempfile::tempdir().unwrap();
    let world = world(folder.path());
    let (file, out) = (experiment(folder.path(), &world), folder.path().join("out"));
    let good = std::fs::read_to_string(&file).unwrap();
    let attempt = |from: &str, to: &str, needles: &[&str]| {
        assert!(good.contains(from), "{from}");
        std::fs::write(&file, good.replace(from, to)).unwrap();
        let line = refused(&["run", text(&file), "--out", text(&out)]);
        for needle in needles {
            assert!(line.contains(needle), "{to}: expected `{needle}` in {line}");
        }
        assert!(!out.exists(), "{to}: nothing is written");
    };
    attempt("captions.csv", "captoins.csv", &["captoins.csv"]);
    attempt("/images\"", "/labels_of_nobody\"", &["labels_of_nobody"]);
    attempt("kind = \"captions\"", "kind = \"captoins\"", &["training.data.kind", "did you mean `captions`?"]);
    attempt("kind = \"folder\"", "kind = \"fodler\"", &["evaluation.data.kind", "did you mean `folder`?"]);
    attempt("loda.class_recall", "loda.class_recal", &["unknown figure", "did you mean `class_recall`?"]);
    attempt("\"selection\"", "\"slection\"", &["metrics", "did you mean `selection`?"]);
    attempt("batch = 16", "batch = 61", &["training.batch", "60 pairs"]);
    attempt("steps = 12", "steps = 12\nfreeze = [\"txet\"]", &["training.freeze", "`txet`"]);
    attempt("steps = 12", "steps = 12\ninit = \"nowhere\"", &["nowhere"]);
    attempt("steps = 12", "steps = 12\nparts = 3", &["training.parts", "a divisor of training.batch = 16, found 3"]);
    attempt("root = \"", "root = \"/nowhere", &["nowhere"]);
}

#[test]
fn a_batch_in_parts_has_the_losses_of_the_whole_batch() {
    let folder = tempfile::tempdir().unwrap();
    let world = world(folder.path());
    let file = experiment(folder.path(), &world);
    let losses = |parts: &str| -> Vec<f64> {
        let out = folder.path().join(format!("parts{parts}"));
        ok(&["run", text(&file), "--out", text(&out), "--set", &format!("training.parts={parts}")]);
        let log = std::fs::read_to_string(out.join("loda-seed0/metrics.jsonl")).unwrap();
        log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["loss"].as_f64().unwrap()).collect()
    };
    let (whole, split) = (losses("1"), losses("4"));
    assert_eq!(whole.len(), 12);
    for (step, (a, b)) in whole.iter().zip(&split).enumerate() {
        assert!((a - b).abs() <= 1e-4 * a, "step {step}: {a} and {b}");
    }
    assert_ne!(whole, split, "parts add up in another order");
    let toml = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, toml.replace("kind = \"loda\"\nimage_k = 3\ntext_k = 1", "kind = \"filip\"")).unwrap();
    let line = refused(&["run", text(&file), "--plan", "--set", "training.parts=4"]);
    assert!(line.contains("training.parts") && line.contains("`filip`"), "{line}");
}

#[test]
fn training_starts_from_a_model_whole_or_by_tower_and_frozen_parameters_stay() {
    let folder = tempfile::tempdir().unwrap();
    let world = world(folder.path());
    let file = experiment(folder.path(), &world);
    let run = |name: &str, changes: &[String]| {
        let out = folder.path().join(name);
        let mut arguments = vec!["run".to_owned(), text(&file).to_owned(), "--out".into(), text(&out).to_owned()];
        changes.iter().for_each(|change| arguments.extend(["--set".to_owned(), change.clone()]));
        ok(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        out.join("loda-seed0/model")
    };
    let first = run("first", &[]);
    let start = text(&first);

    // Everything frozen but one parameter: the rest is still what it was.
    let whole = format!("training.init=\"{start}\"");
    let frozen = "training.freeze=[\"image\", \"text_encoder\", \"text_projection\"]".to_owned();
    let second = run("second", &[whole, frozen]);
    for ((name, before), (_, after)) in
        tensors(&first.join("model.safetensors")).iter().zip(&tensors(&second.join("model.safetensors")))
    {
        assert_eq!(before == after, name != "loss.temperature", "{name}");
    }

    // The text tower of another model under a fresh image tower of another size, kept as it is.
    let towers = format!("training.init={{text=\"{start}\"}}");
    let text_only = [towers, "training.freeze=[\"text\"]".into(), "model.image.width=32".into()];
    let third = run("third", &text_only);
    let (before, after) = (tensors(&first.join("model.safetensors")), tensors(&third.join("model.safetensors")));
    for (name, values) in before.iter().filter(|(name, _)| name.starts_with("text_")) {
        assert_eq!(after.iter().find(|(other, _)| other == name).map(|(_, values)| values), Some(values), "{name}");
    }
    assert_ne!(
        before.iter().find(|(n, _)| n.starts_with("image_projection")),
        after.iter().find(|(n, _)| n.starts_with("image_projection"))
    );
    assert_eq!(std::fs::read(first.join("vocab.txt")).unwrap(), std::fs::read(third.join("vocab.txt")).unwrap());

    // A tower that does not fit is named.
    let out = folder.path().join("misfit");
    let init = format!("training.init=\"{start}\"");
    let line = refused(&["run", text(&file), "--out", text(&out), "--set", &init, "--set", "model.text.width=48"]);
    assert!(line.contains("training.init") && line.contains("does not fit [model]"), "{line}");
}

/// What the README says of `import`: a ViT of timm with a BERT of Hugging Face is a start for pretraining.
#[test]
fn pretraining_starts_from_two_imported_towers() {
    let folder = tempfile::tempdir().unwrap();
    let world = world(folder.path());
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/pytorch/import");
    let (vit, bert) = (fixtures.join("vit.safetensors"), fixtures.join("bert.safetensors"));
    let (vocab, model) = (fixtures.join("vocab.txt"), folder.path().join("imported"));
    let import = ["import", text(&vit), "--text", text(&bert), "--vocab", text(&vocab), "--projection", "20"];
    ok(&[&import[..], &["--out", text(&model)]].concat());
    let config: Value = serde_json::from_slice(&std::fs::read(model.join("config.json")).unwrap()).unwrap();
    let toml = format!(
        r#"
name = "pretraining"
question = "Does training start from imported towers?"
[model]
projection = 20
image = {}
text = {}
[aligner]
kind = "loda"
image_k = 3
text_k = 1
[training]
init = "{}"
data = {{ kind = "captions", file = "{world}/captions.csv", images = "{world}/images" }}
batch = 8
steps = 2
schedule = {{ rate = 1e-4, warmup = 1, floor = 0.1 }}
[evaluation]
data = {{ kind = "folder", root = "{world}" }}
pictures = 1
"#,
        inline(&config["model"]["image"]),
        inline(&config["model"]["text"]),
        text(&model),
        world = text(&world),
    );
    let (file, out) = (folder.path().join("pretraining.toml"), folder.path().join("out"));
    std::fs::write(&file, toml).unwrap();
    ok(&["run", text(&file), "--out", text(&out)]);
    // Two steps at a small rate leave every weight near where it was imported; drawn ones would be far away.
    let (before, after) = (model.join("model.safetensors"), out.join("pretraining-seed0/model/model.safetensors"));
    let mut moved = 0;
    for ((name, before), (_, after)) in tensors(&before).iter().zip(&tensors(&after)) {
        let values =
            |bytes: &[u8]| bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect::<Vec<_>>();
        let (before, after) = (values(before), values(after));
        let far = before.iter().zip(&after).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(far < 1e-3, "{name}: {far}");
        moved += usize::from(far > 0.0);
    }
    assert!(moved > 20, "{moved} parameters were trained");
}

/// A JSON table as an inline table of TOML.
fn inline(value: &Value) -> String {
    let fields = value.as_object().unwrap().iter().map(|(key, value)| format!("{key} = {value}"));
    format!("{{ {} }}", fields.collect::<Vec<_>>().join(", "))
}

#[test]
fn a_clip_trains_too_and_its_scale_stays_within_bounds() {
    let folder = tempfile::tempdir().unwrap();
    let (file, out) = (folder.path().join("clip.toml"), folder.path().join("out"));
    let toml = r#"
name = "clip"
question = "Does a CLIP train?"
expect = ["clip.miou >= 0"]
[model]
kind = "clip"
projection = 16
image = { image_size = 32, patch = 8, width = 24, depth = 1, heads = 2 }
text = { positions = 30, width = 24, depth = 1, heads = 2 }
[aligner]
kind = "holistic"
[training]
data = { kind = "scenes", count = 64, image_size = 32 }
batch = 16
steps = 10
schedule = { rate = 5e-3, warmup = 2, floor = 0.1 }
[evaluation]
data = { kind = "scenes", count = 6, image_size = 32, bias = 0.0 }
pictures = 2
"#;
    std::fs::write(&file, toml).unwrap();
    ok(&["run", text(&file), "--out", text(&out)]);
    let log = std::fs::read_to_string(out.join("clip-seed0/metrics.jsonl")).unwrap();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |i: usize, key: &str| lines[i][key].as_f64().unwrap();
    assert!(of(9, "loss") < of(0, "loss"), "{} is not below {}", of(9, "loss"), of(0, "loss"));
    assert!(lines.iter().all(|line| (0.0099..=0.5001).contains(&line["temperature"].as_f64().unwrap())));
    let config: Value =
        serde_json::from_slice(&std::fs::read(out.join("clip-seed0/model/config.json")).unwrap()).unwrap();
    assert_eq!(config["model"]["kind"], "clip");
    let (model, json) = (out.join("clip-seed0/model"), folder.path().join("e.json"));
    ok(&["evaluate", "--model", text(&model), "--dataset", "scenes", "--count", "3", "--out", text(&json)]);
}
