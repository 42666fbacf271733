//! Thresholds of classes that are learned from captions: `simseg calibrate --captions` and `--scenes`, and variants with the rule
//! `from-captions`.

#[path = "common/program.rs"]
mod program;

use program::{ok, refused, simseg, text};
use serde_json::Value;
use simseg::Choice;
use simseg_data::DataRegistry;
use std::path::{Path, PathBuf};

fn tiny() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/tiny")
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))).unwrap()
}

/// The scores of a recipe's calibrated threshold.
fn scores(recipe: &Path) -> Vec<f64> {
    let table: toml::Table = std::fs::read_to_string(recipe).unwrap().parse().unwrap();
    assert_eq!(table["threshold"]["kind"].as_str(), Some("calibrated"), "{}", recipe.display());
    table["threshold"]["scores"].as_array().unwrap().iter().map(|score| score.as_float().unwrap()).collect()
}

/// Drawn scenes in a folder.
fn drawn(folder: &Path, count: &str) -> PathBuf {
    let world = folder.join("world");
    ok(&simseg(&["scenes", "--out", text(&world), "--count", count, "--seed", "9", "--bias", "0"]));
    world
}

/// Three variants that share a training: the usual rule, and two with thresholds from captions.
fn experiment(folder: &Path, data: &str) -> PathBuf {
    let quick = include_str!("../../../experiments/quick.toml");
    let head = quick.split("[variants.holistic.aligner]").next().unwrap();
    let head: String = head.lines().filter(|line| !line.starts_with("expect")).map(|l| format!("{l}\n")).collect();
    let head = head.replace("count = 200,", "count = 12,").replace("batch = 64", "batch = 8");
    let head = head.replace("steps = 170", "steps = 6");
    let line = head.lines().find(|line| line.starts_with("data = ")).unwrap().to_owned();
    let text = format!(
        "{}\n[variants.plain]\n\
         [variants.captions.segmentation]\nthreshold = {{ kind = \"from-captions\", images = 40 }}\n\
         [variants.cut.segmentation]\nthreshold = {{ kind = \"from-captions\", images = 40 }}\nrefine = {{ level = 0.4 }}\n",
        head.replacen(&line, &format!("data = {data}"), 1).replace("[variants", "\n[variants"),
    );
    let text = text.replace("\n[training]", "\n[aligner]\nkind = \"loda\"\nimage_k = 3\ntext_k = 1\n\n[training]");
    let file = folder.join("e.toml");
    std::fs::write(&file, text).unwrap();
    file
}

const SCENES: &str = "{ kind = \"scenes\", count = 64, image_size = 32, bias = 0.8 }";

#[test]
fn captions_that_say_what_label_maps_say_give_the_same_thresholds() {
    let folder = tempfile::tempdir().unwrap();
    let (world, tiny) = (drawn(folder.path(), "40"), tiny());
    let registry = DataRegistry::built_in();
    let dataset = registry.open_dataset(&Choice::new("folder").with("root", &world), 0).unwrap();
    // Every class in a line of its own, the second lines of all pictures after the first ones of all: captions of a picture belong
    // together wherever they stand. Class 1 is only ever part of another word.
    let classes: Vec<String> = dataset.classes().to_vec();
    let mut lines = vec![vec![]; 4];
    for index in 0..dataset.len() {
        let item = dataset.item(index).unwrap();
        let present = item.labels.classes().into_iter().filter(|&class| class > 0);
        for (number, class) in present.enumerate() {
            let named = if class == 1 { format!("{}pillar", classes[1]) } else { classes[class].to_uppercase() };
            lines[number].push(format!("{}.png,\"here, a {named}-like thing\"", item.stem));
        }
    }
    let csv = folder.path().join("own.csv");
    std::fs::write(&csv, format!("image,caption\n{}\n", lines.concat().join("\n"))).unwrap();
    let (labels, captions) = (folder.path().join("labels.toml"), folder.path().join("captions.toml"));
    let common = ["calibrate", "--model", text(&tiny), "--out"];
    ok(&simseg(&[&common[..], &[text(&labels), "--dataset", "folder", "--root", text(&world)]].concat()));
    let images = world.join("images");
    let list = world.join("classes.txt");
    let own = ["--captions", text(&csv), "--root", text(&images), "--classes", text(&list)];
    let said = ok(&simseg(&[&common[..], &[text(&captions)], &own].concat()));
    assert!(said.lines().any(|line| line.starts_with(&classes[1]) && line.contains("never seen")), "{said}");
    let (labels, captioned) = (scores(&labels), scores(&captions));
    assert_eq!((labels.len(), captioned.len()), (11, 11));
    assert_eq!(labels[2..], captioned[2..]);
    assert!(labels[1] < 1.0 && captioned[1] == 1e30, "{labels:?} {captioned:?}");
    // It is a recipe to use, and the first pictures alone give another.
    let report = folder.path().join("r.json");
    let evaluate = ["evaluate", "--model", text(&tiny), "--dataset", "scenes", "--count", "12", "--out", text(&report)];
    ok(&simseg(&[&evaluate[..], &["--recipe", text(&captions)]].concat()));
    ok(&simseg(&[&common[..], &[text(&captions), "--images", "10"], &own].concat()));
    assert_ne!(scores(&captions), captioned);
}

#[test]
fn a_calibration_that_cannot_be_is_refused_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let (world, tiny, out) = (drawn(folder.path(), "3"), tiny(), folder.path().join("out.toml"));
    let (captions, images, classes) = (world.join("captions.csv"), world.join("images"), world.join("classes.txt"));
    let at = |name: &str, text: &str| {
        std::fs::write(folder.path().join(name), text).unwrap();
        folder.path().join(name)
    };
    let common = ["calibrate", "--model", text(&tiny), "--out", text(&out)];
    let other = at("other.txt", "background\nbagpipe\nzither\n");
    let files = at("files.toml", "[training]\ndata = { kind = \"captions\", file = \"a\", images = \"b\" }\n");
    let misspelt = at("world.toml", "bais = 0.5\n");
    // A segmenter without a rule for which classes are in the picture.
    let plain = ok(&simseg(&["recipe", "plain"]));
    let (head, _) = plain.split_once("[score]").unwrap();
    let head = head.replace("kind = \"simseg\"", "kind = \"per-pixel\"").replace("compose = \"covering\"", "");
    let without = at("per-pixel.toml", &head);
    let own = ["--captions", text(&captions), "--root", text(&images)];
    for (more, needle) in [
        (&[&own[..], &["--classes", text(&other)]].concat()[..], "mentions a class; expected one of bagpipe, zither"),
        (&["--scenes", text(&files)], "files.toml: expected drawn scenes"),
        (&["--scenes", text(&misspelt)], "world.toml: data: unknown key `bais`"),
        (&["--scenes", "/nowhere.toml"], "/nowhere.toml"),
        (&["--scenes", "--count", "4", "--recipe", text(&without)], "unknown key `threshold`"),
    ] {
        let line = refused(&simseg(&[&common[..], more].concat()));
        assert!(line.contains(needle), "{more:?}: {line}");
    }
    // What belongs together, and what does not, is a matter of usage.
    for (more, needle) in [
        (&[][..], "--dataset"),
        (&own, "--classes"),
        (&["--captions", text(&captions), "--classes", text(&classes)], "--root"),
        (&["--scenes", "--dataset", "scenes"], "cannot be used with"),
        (&[&own[..], &["--classes", text(&classes), "--reduce-zero-label"]].concat(), "cannot be used with"),
    ] {
        let output = simseg(&[&common[..], more].concat());
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(2) && said.contains(needle), "{more:?}: {said}");
    }
    assert!(!out.exists());
}

#[test]
fn a_variant_learns_its_thresholds_from_captions_that_nothing_else_sees() {
    let folder = tempfile::tempdir().unwrap();
    let (file, out) = (experiment(folder.path(), SCENES), folder.path().join("out"));
    let run = |more: &[&str]| {
        let output = simseg(&[&["run", text(&file), "--out", text(&out)], more].concat());
        ok(&output);
        String::from_utf8(output.stderr).unwrap()
    };
    run(&[]);
    let place = |name: &str| out.join(format!("{name}-seed0"));
    let recipe = place("captions").join("recipe.toml");
    let learned = scores(&recipe);
    assert_eq!((learned.len(), scores(&place("cut").join("recipe.toml"))), (11, learned.clone()));
    assert!(!place("plain").join("recipe.toml").exists());
    // What was asked for stays what was asked for: a run that is resumed finds its settings unchanged.
    let config = std::fs::read_to_string(place("captions").join("config.toml")).unwrap();
    assert!(config.contains("from-captions") && !config.contains("calibrated"), "{config}");
    let result = std::fs::read(place("captions").join("result.json")).unwrap();
    let said = run(&["--resume"]);
    assert!(!said.contains("judged again"), "{said}");
    assert_eq!(std::fs::read(place("captions").join("result.json")).unwrap(), result);
    // Judged again from what was recorded, every image adds the same; and by the recipe, any command does.
    let said = ok(&simseg(&["verify", text(&out), "--rerun", "99"]));
    assert!(said.contains("captions seed 0, expected the same") && said.contains("cut seed 0"), "{said}");
    let (report, model) = (folder.path().join("r.json"), place("captions").join("model"));
    let evaluate = ["evaluate", "--model", text(&model), "--dataset", "scenes", "--out", text(&report), "--recipe"];
    ok(&simseg(&[&evaluate[..], &[text(&recipe)]].concat()));
    // The same held-out scenes by hand: the world of the experiment, or of the run, and the run's seed.
    let (again, config) = (folder.path().join("again.toml"), place("captions").join("config.toml"));
    for world in [&file, &config] {
        let scenes = ["--scenes", text(world), "--count", "40", "--seed", "0", "--recipe", text(&recipe)];
        ok(&simseg(&[&["calibrate", "--model", text(&model), "--out", text(&again)], &scenes[..]].concat()));
        assert_eq!(scores(&again), learned);
        ok(&simseg(&[&["calibrate", "--model", text(&model), "--out", text(&again)], &scenes[..5], &["1"]].concat()));
        assert_ne!(scores(&again), learned, "of another seed");
    }
    // A run that was killed before its result is judged to the same figures; a recipe that was touched is noticed.
    let metrics = json(&place("captions").join("result.json"))["metrics"].clone();
    for name in ["result.json", "recipe.toml"] {
        std::fs::remove_file(place("captions").join(name)).unwrap();
    }
    run(&["--resume"]);
    assert_eq!((json(&place("captions").join("result.json"))["metrics"].clone(), scores(&recipe)), (metrics, learned));
    let good = std::fs::read_to_string(&recipe).unwrap();
    std::fs::write(&recipe, good.replace("calibrated", "best")).unwrap();
    let touched = simseg(&["verify", text(&out)]);
    assert_eq!(touched.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&touched.stderr).contains("captions-seed0/recipe.toml: is gone or changed"));
    std::fs::write(&recipe, good).unwrap();
    // Another rule under the same name leaves no recipe of the old one.
    let text_of = std::fs::read_to_string(&file).unwrap();
    let fixed = text_of.replacen("kind = \"from-captions\", images = 40", "kind = \"fixed\", score = 0.2", 1);
    std::fs::write(&file, fixed).unwrap();
    assert!(run(&["--resume"]).contains("judged again") && !recipe.exists());
    ok(&simseg(&["verify", text(&out), "--rerun", "99"]));
}

#[test]
fn what_no_captions_can_give_is_known_before_anything_trains() {
    let folder = tempfile::tempdir().unwrap();
    let world = drawn(folder.path(), "60");
    let out = folder.path().join("out");
    let data = |limit: &str| {
        let world = text(&world);
        format!("{{ kind = \"captions\", file = \"{world}/captions.csv\", images = \"{world}/images\"{limit} }}")
    };
    let attempt = |data: &str, more: &[&str]| {
        let file = experiment(folder.path(), data);
        simseg(&[&["run", text(&file), "--out", text(&out)], more].concat())
    };
    for (limit, needle) in [("", "none is held out"), (", limit = 30", "expected 40 held-out pictures")] {
        let line = refused(&attempt(&data(limit), &[]));
        assert!(line.contains("[variants.captions] segmentation.threshold: training.data: "), "{line}");
        assert!(line.contains(needle) && line.contains("captions.csv") && !out.exists(), "{line}");
    }
    let mute = "{ kind = \"scenes\", count = 64, image_size = 32, context_only = 1.0 }";
    let line = refused(&attempt(mute, &[]));
    assert!(line.contains("segmentation.threshold: held-out captions: no caption of 40 pictures mentions"), "{line}");
    assert!(!out.exists());
    // Held out beyond the limit of a file.
    ok(&attempt(&data(", limit = 20"), &["--only", "captions"]));
    let learned = scores(&out.join("captions-seed0/recipe.toml"));
    assert_eq!(learned.len(), 11);
    ok(&simseg(&["verify", text(&out), "--rerun", "9"]));

    // Where there are no captions at all, the rule is none.
    let (tiny, recipe) = (tiny(), folder.path().join("wish.toml"));
    let plain = ok(&simseg(&["recipe", "plain"]));
    let (before, after) = plain.split_once("[threshold]").unwrap();
    let rest = after.split_once("\n[").map(|(_, rest)| format!("\n[{rest}")).unwrap_or_default();
    std::fs::write(&recipe, format!("{before}[threshold]\nkind = \"from-captions\"\n{rest}")).unwrap();
    let (image, classes, maps) =
        (world.join("images/000000.png"), world.join("classes.txt"), folder.path().join("maps"));
    let segment = ["segment", "--model", text(&tiny), "--classes", text(&classes), text(&image), "--out", text(&maps)];
    let line = refused(&simseg(&[&segment[..], &["--recipe", text(&recipe)]].concat()));
    assert!(
        line.contains("wish.toml: threshold: `from-captions`") && line.contains("simseg calibrate --captions"),
        "{line}"
    );
    assert!(!maps.exists());
    let report = folder.path().join("r.json");
    let evaluate = ["evaluate", "--model", text(&tiny), "--dataset", "scenes", "--out", text(&report)];
    let line = refused(&simseg(&[&evaluate[..], &["--set", "threshold.kind=from-captions"]].concat()));
    assert!(line.contains("simseg calibrate"), "{line}");
}
