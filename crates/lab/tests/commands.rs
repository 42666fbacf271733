//! The commands around a finished model, from outside: recipes and their switches, class banks on disk, data sets, hold-outs,
//! retrieval and explanations. The model is the one that travels with the code.

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

fn model() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/tiny")
}

/// A folder of drawn scenes.
fn world(folder: &Path, count: &str) -> PathBuf {
    let world = folder.join("world");
    ok(&["scenes", "--out", text(&world), "--count", count, "--seed", "77", "--bias", "0"]);
    world
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn every_deviation_of_paper_and_code_is_a_switch() {
    let switches = [
        "input.fit=keep-aspect",
        "input.size=224",
        "input.resize=pillow-13",
        "map.upsample=bilinear",
        "map.min_max=false",
        "map.compete=20",
        "map.affinity=0.5",
        "input.last_layer=naclip",
        "input.windows={crop_size=224,stride=112}",
        "score={kind=\"local-softmax\",pooled=true}",
        "score={kind=\"best-window\"}",
        "prompts.background=[\"sea\",\"sky\"]",
        "refine.labels=probabilities",
        "refine.kind=cut",
        "refine.kind=pamr",
        "refine.labels=joint",
        "refine.image=exact",
        "refine.closing=off",
        "refine.closing=as-intended",
        "refine.closing={own={side=5,dilations=2,erosions=1}}",
        "refine.kernels.bilateral_srgb=5",
        "refine.kernels.iterations=10",
        "candidates.cap=0",
        "candidates.background_counts=false",
        "threshold.k=1.5",
        "threshold.top_n=upper-half",
        "threshold.top_n=30",
        "threshold.std=population",
        "threshold.background=false",
        "threshold.kind=best",
        "threshold.kind=otsu",
        "threshold.kind=softmax",
        "threshold={kind=\"fixed\",score=0.2}",
        "prompts.templates=single",
        "prompts.templates={own=[\"one {}\"]}",
        "prompts.padding=per-prompt",
        "prompts.padding=compete",
        "prompts.text_k=5",
        "prompts.max_tokens=77",
        "compose=per-pixel",
    ];
    let plain = ok(&["recipe", "official-code"]);
    let folder = tempfile::tempdir().unwrap();
    for switch in switches {
        let changed = ok(&["recipe", "official-code", "--set", switch]);
        assert_ne!(changed, plain, "{switch}");
        // What is printed is complete: it reads back as the same recipe.
        let file = folder.path().join("own.toml");
        std::fs::write(&file, &changed).unwrap();
        assert_eq!(ok(&["recipe", text(&file)]), changed, "{switch}");
    }
    assert_ne!(ok(&["recipe", "paper"]), plain);
    for (wrong, needle) in [
        ("threshold.top_n=1", "top_n"),
        ("refine.closing=sometimes", "as-executed"),
        ("prompts.templates={own=[\"no hole\"]}", "{}"),
        ("candidates.cup=3", "did you mean `cap`?"),
        ("input.windows={crop_size=224}", "missing field `stride`"),
        ("input.windows={size=224,stride=112}", "unknown key `size`"),
        ("input.windows={crop_size=224,stride=0}", "input.windows.stride: expected 1 to 224"),
    ] {
        let line = refused(&["recipe", "official-code", "--set", wrong]);
        assert!(line.contains(needle), "{wrong}: {line}");
    }
}

#[test]
fn class_embeddings_are_kept_by_content() {
    let folder = tempfile::tempdir().unwrap();
    let world = world(folder.path(), "1");
    let (cache, trace) = (folder.path().join("cache"), folder.path().join("trace.safetensors"));
    let segment = |classes: &Path| {
        let (model, image, out) = (model(), world.join("images/000000.png"), folder.path().join("out"));
        ok(&[
            "segment",
            "--model",
            text(&model),
            "--classes",
            text(classes),
            "--cache",
            text(&cache),
            "--trace",
            text(&trace),
            "--out",
            text(&out),
            text(&image),
        ]);
        std::fs::read(&trace).unwrap()
    };
    let kept = || {
        let files = std::fs::read_dir(&cache).unwrap().map(|entry| entry.unwrap().path());
        files.collect::<Vec<PathBuf>>()
    };
    let classes = world.join("classes.txt");
    let first = segment(&classes);
    let file = kept().remove(0);
    let whole = std::fs::read(&file).unwrap();
    assert!(segment(&classes) == first, "the kept bank is the computed one");
    assert_eq!(kept().len(), 1);
    // A damaged bank is computed anew, other words are another bank.
    std::fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    assert!(segment(&classes) == first);
    assert!(std::fs::read(&file).unwrap() == whole);
    let synonyms = folder.path().join("synonyms.txt");
    std::fs::write(&synonyms, std::fs::read_to_string(&classes).unwrap().replace("sheep", "sheep | lamb")).unwrap();
    assert!(segment(&synonyms) != first);
    assert_eq!(kept().len(), 2);
}

#[test]
fn a_stopped_evaluation_goes_on_to_the_same_result() {
    let folder = tempfile::tempdir().unwrap();
    let world = world(folder.path(), "6");
    let (model, out, again) = (model(), folder.path().join("a.json"), folder.path().join("b.json"));
    let evaluate = |out: &Path, more: &[&str]| {
        let arguments =
            ["evaluate", "--model", text(&model), "--dataset", "folder", "--root", text(&world), "--out", text(out)];
        simseg(&[&arguments[..], more].concat())
    };
    assert!(evaluate(&out, &[]).status.success());
    let whole = json(&out);
    for key in ["miou", "miou_95", "pixel_accuracy", "per_class", "confusions", "images", "recipe"] {
        assert!(!whole[key].is_null(), "{key}");
    }
    assert_eq!((whole["images"].as_u64(), whole["per_class"].as_object().unwrap().len()), (Some(6), 11));

    // The fourth picture cannot be read: what was counted before it is kept.
    let (fourth, hidden) = (world.join("images/000003.png"), world.join("hidden.png"));
    std::fs::rename(&fourth, &hidden).unwrap();
    std::fs::write(&fourth, "no picture").unwrap();
    let stopped = evaluate(&again, &[]);
    assert_eq!(stopped.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&stopped.stderr).contains("000003.png"));
    assert!(!again.exists());
    let partial = folder.path().join("b.json.partial");
    assert_eq!(std::fs::read_to_string(&partial).unwrap().lines().count(), 4, "settings, and three pictures");
    std::fs::rename(&hidden, &fourth).unwrap();
    let other = evaluate(&again, &["--resume", "--set", "map.upsample=nearest"]);
    assert!(String::from_utf8_lossy(&other.stderr).contains("another recipe"));
    let other = evaluate(&again, &["--resume", "--precision", "int8"]);
    assert!(String::from_utf8_lossy(&other.stderr).contains("another backend"));
    assert!(evaluate(&again, &["--resume"]).status.success());
    let mut resumed = json(&again);
    resumed["seconds"] = whole["seconds"].clone();
    assert_eq!(resumed, whole);
    assert!(!partial.exists());
}

#[test]
fn true_classes_and_drawn_scenes_can_be_evaluated() {
    let folder = tempfile::tempdir().unwrap();
    let (model, out) = (model(), folder.path().join("a.json"));
    let common = ["evaluate", "--model", text(&model), "--dataset", "scenes", "--count", "30", "--out", text(&out)];
    let said = ok(&common);
    assert!(said.contains("mIoU") && said.contains("30 images"), "{said}");
    let plain = json(&out)["miou"].as_f64().unwrap();
    ok(&[&common[..], &["--oracle"]].concat());
    assert_ne!(json(&out)["miou"].as_f64().unwrap(), plain);
    let line = refused(&["evaluate", "--model", text(&model), "--dataset", "voc", "--out", text(&out)]);
    assert!(line.contains("voc2012") && line.contains("scenes"), "{line}");
    let line = refused(&["evaluate", "--model", text(&model), "--dataset", "context", "--out", text(&out)]);
    assert!(line.contains("--root"), "{line}");
}

#[test]
fn a_calibrated_threshold_is_a_recipe_to_use() {
    let folder = tempfile::tempdir().unwrap();
    let (model, recipe, out) = (model(), folder.path().join("own.toml"), folder.path().join("a.json"));
    let said = ok(&[
        "calibrate",
        "--model",
        text(&model),
        "--dataset",
        "scenes",
        "--count",
        "30",
        "--seed",
        "9",
        "--out",
        text(&recipe),
    ]);
    assert!(said.contains("sheep"), "{said}");
    let common = ["evaluate", "--model", text(&model), "--dataset", "scenes", "--count", "20", "--out", text(&out)];
    ok(&[&common[..], &["--recipe", text(&recipe)]].concat());
    let used = &json(&out)["recipe"]["threshold"];
    assert_eq!((used["kind"].as_str(), used["scores"].as_array().unwrap().len()), (Some("calibrated"), 11));
}

#[test]
fn captions_find_their_images_far_better_than_chance() {
    let folder = tempfile::tempdir().unwrap();
    let world = world(folder.path(), "40");
    let (model, captions, images) = (model(), world.join("captions.csv"), world.join("images"));
    let out = folder.path().join("r.json");
    let common = ["retrieve", "--model", text(&model), "--captions", text(&captions), "--images", text(&images)];
    let said = ok(&[&common[..], &["--resize", "64", "--crop", "64", "--out", text(&out)]].concat());
    assert!(said.contains("R@10") && said.contains("40 images"), "{said}");
    let report = json(&out);
    for way in ["image_to_text", "text_to_image"] {
        let at = |k: &str| report[way][k].as_f64().unwrap();
        assert!(at("r@1") <= at("r@5") && at("r@5") <= at("r@10"));
        assert!(at("r@5") > 2.0 * 5.0 / 40.0, "{way}: {}", at("r@5"));
    }
}

#[test]
fn an_explanation_is_one_page_that_needs_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let world = world(folder.path(), "1");
    let (model, classes, image) = (model(), world.join("classes.txt"), world.join("images/000000.png"));
    let page = folder.path().join("page.html");
    let common = ["explain", "--model", text(&model), "--classes", text(&classes), text(&image), "--out", text(&page)];
    ok(&[&common[..], &["--set", "refine.kind=crf"]].concat());
    let html = std::fs::read_to_string(&page).unwrap();
    for needle in ["Recipe: plain", "from which patches?", "Which classes are in the image?", "after the CRF", "labels"]
    {
        assert!(html.contains(needle), "{needle}");
    }
    assert!(html.contains("top-k") && html.contains("Patches sum to"), "LoDA's formula, and its ledger");
    assert!(!html.contains("http://") && !html.contains("https://") && !html.contains("<script"));

    // What makes it live is in the page, too: the module, the model's files, words and recipe (`crates/web/tests/page.mjs` drives it).
    let module = folder.path().join("simseg.wasm");
    std::fs::write(&module, b"\0asm\x01\0\0\0").unwrap();
    ok(&[&common[..], &["--live", text(&module)]].concat());
    let html = std::fs::read_to_string(&page).unwrap();
    for id in ["module", "config", "weights", "vocabulary", "recipe", "words"] {
        assert!(html.contains(&format!("id=\"live-{id}\"")), "{id}");
    }
    assert!(!html.contains("http://") && !html.contains("https://"));
    std::fs::write(&module, b"no module").unwrap();
    assert!(refused(&[&common[..], &["--live", text(&module)]].concat()).contains("cargo xtask web"));
}

#[test]
fn an_explanation_compares_two_models_knows_the_truth_and_is_written_as_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let world = world(folder.path(), "1");
    let (model, classes, image) = (model(), world.join("classes.txt"), world.join("images/000000.png"));
    // The same weights, pooled by [CLS]: a model whose scores can't be split.
    let other = folder.path().join("holistic");
    std::fs::create_dir(&other).unwrap();
    for name in ["model.safetensors", "vocab.txt"] {
        std::fs::copy(model.join(name), other.join(name)).unwrap();
    }
    let mut config = json(&model.join("config.json"));
    config["aligner"] = serde_json::json!({ "kind": "holistic" });
    std::fs::write(other.join("config.json"), config.to_string()).unwrap();
    let (page, numbers, truth) =
        (folder.path().join("page.html"), folder.path().join("told.json"), world.join("labels/000000.png"));
    let common = ["explain", "--model", text(&model), "--classes", text(&classes), text(&image), "--out", text(&page)];
    let more = ["--against", text(&other), "--json", text(&numbers), "--truth", text(&truth)];
    ok(&[&common[..], &more].concat());
    let html = std::fs::read_to_string(&page).unwrap();
    let (first, second) = html.split_once(&format!("aria-label=\"{}\"", text(&other))).unwrap();
    assert!(first.contains("top-k") && first.contains("Patches sum to") && first.contains("mIoU of this label map"));
    assert!(second.contains("can&#39;t be split") && !second.contains("top-k") && !second.contains("Patches sum to"));
    assert!(html.matches("<h2").count() == 2 && html.contains("prefers-color-scheme: dark"));
    let told = std::fs::read_to_string(&numbers).unwrap();
    let told: Vec<serde_json::Value> = serde_json::from_str(&told).unwrap();
    for (sum, score) in told[0]["ledger"]["sums"].as_array().unwrap().iter().zip(told[0]["scores"].as_array().unwrap())
    {
        assert!((sum.as_f64().unwrap() - score.as_f64().unwrap()).abs() < 1e-5);
    }
    assert_eq!(told[1]["ledger"]["kind"], "whole");
    assert!(told[0]["truth"]["miou"].as_f64().unwrap() > 0.0);

    let small = folder.path().join("small.png");
    simseg_data::picture::Labels::new(2, 1, vec![0, 1]).save(&small).unwrap();
    let line = refused(&[&common[..], &["--truth", text(&small)]].concat());
    assert!(line.contains("small.png: 2×1; expected 64×64"), "{line}");
}

#[test]
fn the_page_of_a_photograph_is_smaller_than_a_megabyte() {
    let folder = tempfile::tempdir().unwrap();
    // Noise over gradients: as hard to pack as a photograph, and far larger than what goes into a page as it is.
    let (width, height) = (1200, 800);
    let value = |i: usize| ((i / 3 % width / 6 + i * 2_654_435_761 % 23) % 256) as u8;
    let rgb = (0..3 * width * height).map(value).collect();
    let image = folder.path().join("photo.png");
    simseg_data::Picture { width, height, rgb }.save(&image).unwrap();
    assert!(std::fs::metadata(&image).unwrap().len() > 1_000_000);
    let (model, page) = (model(), folder.path().join("page.html"));
    let classes = folder.path().join("classes.txt");
    std::fs::write(&classes, "background\nfish\ncar\nstar\ncup\nsheep\n").unwrap();
    let common = ["explain", "--model", text(&model), "--classes", text(&classes), text(&image), "--out", text(&page)];
    ok(&[&common[..], &["--recipe", "official-code"]].concat());
    let size = std::fs::metadata(&page).unwrap().len();
    assert!(size < 1_000_000, "{size} bytes");
}

#[test]
fn an_unknown_data_set_is_not_converted() {
    let folder = tempfile::tempdir().unwrap();
    let line = refused(&["convert", "voc", "--root", text(folder.path())]);
    assert!(line.contains("context or coco-object"), "{line}");
    let line = refused(&["convert", "context", "--root", text(folder.path())]);
    assert!(line.contains("trainval_merged.json"), "{line}");
}
