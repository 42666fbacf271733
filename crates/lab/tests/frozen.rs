//! Frozen towers, whose features are computed once; dropped values and averaged weights.

#[path = "common/program.rs"]
mod program;
#[path = "common/world.rs"]
mod world;
use program::{ok, refused, simseg, text};
use std::path::{Path, PathBuf};
use world::{World, log, out, trained, weights};

/// A world, and a model directory that was trained on it.
fn begun(folder: &Path) -> (World, String) {
    let world = World::draw(folder);
    let file = world.experiment("begin", &world.captions(), "");
    weights(&file, "out", &[]);
    let model = out(&file, "out").join("begin-seed0/model");
    (world, format!("{model:?}"))
}

fn losses(out: &Path, file: &Path) -> Vec<f64> {
    log(out, file).iter().map(|line| line["loss"].as_f64().unwrap()).collect()
}

fn features(out: &Path) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> =
        std::fs::read_dir(out.join("features")).unwrap().map(|entry| entry.unwrap().path()).collect();
    all.sort();
    all
}

/// Largest difference over the size.
fn apart(one: &[f64], other: &[f64]) -> f64 {
    assert_eq!(one.len(), other.len());
    one.iter().zip(other).map(|(a, b)| (a - b).abs() / a.abs()).fold(0.0, f64::max)
}

#[test]
fn features_of_a_frozen_tower_train_as_the_tower_itself_does() {
    let folder = tempfile::tempdir().unwrap();
    let (world, model) = begun(folder.path());
    for (tower, encoder) in [("text", "text_encoder"), ("image", "image_encoder")] {
        let frozen = format!("init = {{ {tower} = {model} }}\nfreeze = [\"{encoder}\"]\n");
        let vocabulary =
            format!("vocabulary = \"{}\"\n", Path::new(model.trim_matches('"')).join("vocab.txt").display());
        let frozen = if tower == "text" { frozen } else { frozen + &vocabulary };
        let with = |name: &str, numbers: &str| {
            let more = format!("{frozen}frozen_features = {{ numbers = \"{numbers}\" }}");
            world.experiment(name, &world.captions(), &more)
        };
        let plain = world.experiment(&format!("{tower}-plain"), &world.captions(), &frozen);
        let (exact, half) = (with(&format!("{tower}-f32"), "f32"), with(&format!("{tower}-f16"), "f16"));
        weights(&plain, "out", &[]);
        let whole = weights(&exact, "one", &["--threads", "1"]);
        assert!(whole == weights(&exact, "three", &["--threads", "3", "--set", "training.prefetch=0"]));
        weights(&half, "out", &[]);
        let losses_of = |file: &Path, name: &str| losses(&out(file, name), file);
        let usual = losses_of(&plain, "out");
        assert!(apart(&usual, &losses_of(&exact, "one")) < 1e-4, "{usual:?} {:?}", losses_of(&exact, "one"));
        let rounded = apart(&usual, &losses_of(&half, "out"));
        assert!(rounded > 0.0 && rounded < 1e-2, "{rounded}");

        // Kept under a name that says for what, at half the size, and read again by other seeds.
        let (file, size) = (features(&out(&exact, "one")), |path: &Path| std::fs::metadata(path).unwrap().len());
        assert!(file.len() == 1 && file[0].file_name().unwrap().to_str().unwrap().starts_with(tower), "{file:?}");
        let table = 8 * (48 + 1) + 32;
        assert_eq!(size(&file[0]) - table, 2 * (size(&features(&out(&half, "out"))[0]) - table));
        let when = |path: &Path| std::fs::metadata(path).unwrap().modified().unwrap();
        let before = when(&file[0]);
        let place = out(&exact, "one");
        ok(&simseg(&["run", text(&exact), "--out", text(&place), "--resume", "--seeds", "2"]));
        assert_eq!(features(&place).len(), 1);
        assert_eq!(when(&file[0]), before);
        // Damaged, they are computed anew.
        std::fs::write(&file[0], b"no features").unwrap();
        ok(&simseg(&["run", text(&exact), "--out", text(&place), "--resume", "--redo", "*"]));
        assert!(trained(&place, &exact) == whole && when(&file[0]) != before);
    }
}

#[test]
fn where_the_input_changes_nothing_is_kept_and_the_plan_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let (world, model) = begun(folder.path());
    let plan = |name: &str, more: &str| {
        let file = world.experiment(name, &world.captions(), &format!("init = {model}\n{more}"));
        (ok(&simseg(&["run", text(&file), "--plan"])), file)
    };
    let asked = "freeze = [\"image\", \"text_encoder\"]\nfrozen_features = { numbers = \"f16\" }\n";
    let (said, _) = plan("kept", asked);
    assert!(said.contains("features of the frozen text tower are computed once and kept, in f16"), "{said}");
    assert!(said.contains("features of the frozen image tower are computed once and kept, in f16"), "{said}");
    let changing = format!("{asked}text_dropout = 0.1\naugment = [{{ kind = \"random-horizontal-flip\" }}]");
    let (said, file) = plan("changing", &changing);
    assert!(said.contains("frozen text tower are not kept: training.text_dropout drops values"), "{said}");
    assert!(said.contains("frozen image tower are not kept: images are augmented"), "{said}");
    let (noisy, _) = plan("noisy", &format!("{asked}caption_noise = 0.2\nmixup = 0.2"));
    assert!(noisy.contains("frozen text tower are not kept: captions are changed by noise"), "{noisy}");
    assert!(noisy.contains("frozen image tower are not kept: images are mixed"), "{noisy}");
    weights(&file, "out", &[]);
    assert!(!out(&file, "out").join("features").exists());
}

#[test]
fn dropped_values_and_averaged_weights_are_the_same_for_any_threads_and_when_resumed() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::draw(folder.path());
    let of = |name: &str, more: &str| world.experiment(name, &world.shards("holes", &[5, 6, 40]), more);
    let plain = weights(&of("plain", ""), "out", &[]);
    for (name, more) in [("dropped", "text_dropout = 0.1"), ("averaged", "ema = 0.9")] {
        let file = of(name, more);
        let whole = weights(&file, "one", &["--threads", "1"]);
        assert!(whole != plain && whole == weights(&file, "three", &["--threads", "3"]), "{name}");
        let stopped = out(&file, "stopped");
        let run = ["run", text(&file), "--out", text(&stopped)];
        let ended = simseg(&[&run[..], &["--set", "training.max_corrupt_samples=2"]].concat());
        assert_eq!(ended.status.code(), Some(2));
        ok(&simseg(&[&run[..], &["--resume"]].concat()));
        assert!(whole == trained(&stopped, &file), "{name}");
    }
    // Averages are of the weights, which learn as they would have.
    let averaged = world.place.join("averaged.toml");
    let (one, other) =
        (losses(&out(&averaged, "one"), &averaged), losses(&out(&of("plain", ""), "out"), &of("plain", "")));
    assert_eq!(one, other);
}

#[test]
fn what_is_wrong_with_frozen_towers_and_dropout_is_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let (world, model) = begun(folder.path());
    let attempt = |more: &str, needles: &[&str]| {
        let file = world.experiment("bad", &world.captions(), more);
        let line = refused(&simseg(&["run", text(&file), "--out", text(&folder.path().join("none"))]));
        assert!(needles.iter().all(|needle| line.contains(needle)), "{line}");
    };
    attempt("freeze = [\"text\"]", &["training.freeze", "expected training.init for the text tower"]);
    let init = format!("init = {model}\n");
    attempt(
        &format!("{init}frozen_features = {{ numbers = \"f16\" }}"),
        &["training.frozen_features", "expected a frozen tower"],
    );
    attempt("frozen_features = { numbers = \"int8\" }", &["int8"]);
    attempt("frozen_features = { numbers = \"f16\", max_gigabytes = 0 }", &["max_gigabytes", "positive"]);
    attempt("text_dropout = 1.0", &["training.text_dropout", "from 0 to below 1, found 1"]);
    attempt("ema = 1.0", &["training.ema", "from 0 to below 1, found 1"]);
    // How much it is shows when it is computed.
    let small = "freeze = [\"text\"]\nfrozen_features = { numbers = \"f32\", max_gigabytes = 1e-6 }";
    let file = world.experiment("small", &world.captions(), &format!("{init}{small}"));
    let ended = simseg(&["run", text(&file), "--out", text(&out(&file, "out"))]);
    let said = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(2), "{said}");
    assert!(said.lines().last().unwrap().contains("training.frozen_features.max_gigabytes: at least 0.0"), "{said}");
}
