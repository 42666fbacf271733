//! Epochs, validation while training, and models that are kept on the way.

#[path = "common/program.rs"]
mod program;
#[path = "common/world.rs"]
mod world;
use program::{ok, refused, simseg, text};
use serde_json::Value;
use std::path::{Path, PathBuf};
use world::{World, log, out, trained, weights};

#[test]
fn epochs_are_steps_of_whole_batches() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::draw(folder.path());
    let source = world.captions();
    let file = world.experiment("epochs", &source, "");
    let steps = weights(&file, "steps", &[]);
    let text_of = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text_of.replace("steps = 9\n", "epochs = 3\n")).unwrap();
    let plan = ok(&simseg(&["run", text(&file), "--plan"]));
    assert!(plan.contains("9 steps of 16 pairs"), "{plan}");
    assert!(steps == weights(&file, "epochs", &[]));
    let both = refused(&simseg(&["run", text(&file), "--plan", "--set", "training.steps=9"]));
    assert!(both.contains("training.steps, training.epochs: one of the two, found both"), "{both}");
    // 20 pairs are left over of 48 in batches of 28.
    let plan = ok(&simseg(&["run", text(&file), "--plan", "--set", "training.batch=28"]));
    assert!(plan.contains("3 steps of 28 pairs"), "{plan}");
}

/// The folder of the only training.
fn training(out: &Path) -> PathBuf {
    let mut entries = std::fs::read_dir(out.join("trainings")).unwrap();
    let only = entries.next().unwrap().unwrap().path();
    assert!(entries.next().is_none());
    only
}

const MEASURED: &str = "keep = 2\nbest = \"t2i_r5\"\nvalidation = { every = 2, pairs = 8, images = 6 }";

#[test]
fn a_validation_changes_no_weight_and_its_figures_and_best_model_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::draw(folder.path());
    let source = world.captions().with("limit", 40);
    let plain = world.experiment("plain", &source, "");
    let measured = world.experiment("measured", &source, MEASURED);
    assert!(weights(&plain, "out", &[]) == weights(&measured, "out", &["--threads", "1"]));

    let out = out(&measured, "out");
    let lines = log(&out, &measured);
    let figure = |line: &Value, name: &str| line["validation"][name].as_f64();
    let steps: Vec<u64> =
        lines.iter().filter(|line| !line["validation"].is_null()).map(|l| l["step"].as_u64().unwrap() + 1).collect();
    assert_eq!(steps, [2, 4, 6, 8, 9]);
    for line in lines.iter().filter(|line| !line["validation"].is_null()) {
        for name in ["i2t_r1", "i2t_r5", "t2i_r1", "t2i_r5", "miou"] {
            let value = figure(line, name).unwrap();
            assert!((0.0..=1.0).contains(&value), "{name}: {value}");
        }
        assert!(figure(line, "t2i_r5") >= figure(line, "t2i_r1"));
    }

    // The last two checkpoints, and the best, which every command opens.
    let checkpoints = training(&out).join("checkpoints");
    let best: Value = serde_json::from_slice(&std::fs::read(checkpoints.join("best.json")).unwrap()).unwrap();
    let top = lines.iter().filter_map(|line| figure(line, "t2i_r5")).fold(0.0, f64::max);
    let first = lines.iter().find(|line| figure(line, "t2i_r5") == Some(top)).unwrap();
    assert_eq!(
        (best["value"].as_f64(), best["step"].as_u64().unwrap()),
        (Some(top), first["step"].as_u64().unwrap() + 1)
    );
    let mut kept: Vec<String> = std::fs::read_dir(&checkpoints)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    kept.sort();
    let mut wanted = vec![
        "best.json".to_owned(),
        best["folder"].as_str().unwrap().to_owned(),
        "step-00000008".into(),
        "step-00000009".into(),
    ];
    wanted.sort();
    wanted.dedup();
    assert_eq!(kept, wanted);
    let last = std::fs::read(checkpoints.join("step-00000009/model.safetensors")).unwrap();
    assert!(last == trained(&out, &measured));
    simseg::Model::open(checkpoints.join("step-00000008")).unwrap();

    // The figures are those of that model: retrieval of the same pictures by the command.
    assert_ne!(std::fs::read(checkpoints.join("step-00000008/model.safetensors")).unwrap(), last);
}

#[test]
fn stopped_after_a_validation_a_training_keeps_what_a_whole_one_keeps() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::draw(folder.path());
    let shards = world.shards("holes", &[5, 6, 39]).with("limit", 40);
    let file = world.experiment("stopped", &shards, MEASURED);
    let toml = std::fs::read_to_string(&file).unwrap().replace("checkpoint_every = 1", "checkpoint_every = 4");
    std::fs::write(&file, toml).unwrap();
    let whole = weights(&file, "whole", &[]);
    // The third corrupt sample is one too many; when it is met, models of later steps than the last checkpoint may be there.
    let stopped = out(&file, "stopped");
    let run = ["run", text(&file), "--out", text(&stopped)];
    let set = ["--set", "training.max_corrupt_samples=2"];
    let said = simseg(&[&run[..], &set].concat());
    assert_eq!(said.status.code(), Some(2), "{}", String::from_utf8_lossy(&said.stderr));
    ok(&simseg(&[&run[..], &["--resume"]].concat()));
    assert!(whole == trained(&stopped, &file));
    let timeless = |out: &Path| {
        let mut lines = log(out, &file);
        lines.iter_mut().for_each(|line| drop(line.as_object_mut().unwrap().remove("wait_seconds")));
        lines
    };
    assert_eq!(timeless(&stopped), timeless(&out(&file, "whole")));
    let best = |out: &Path| std::fs::read(training(out).join("checkpoints/best.json")).unwrap();
    assert_eq!(best(&stopped), best(&out(&file, "whole")));
}
