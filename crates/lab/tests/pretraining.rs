//! Training on packed pairs (tar shards, Parquet, COCO's captions), with corrupt samples among them, and with augmentation.

use rayon::ThreadPoolBuilder;
use serde_json::Value;
use simseg::Registry;
use simseg_cpu::{CpuDevice, CpuTensor};
use simseg_data::Source;
use simseg_data::transform::{Augmentations, Draw};
use simseg_lab::experiment::Experiment;
use simseg_lab::training::batch::Given;
use simseg_lab::training::corpus::Corpus;
use simseg_lab::training::frozen::Frozen;
use simseg_lab::training::skipped::Skipped;
use simseg_tensor::Ops;
use std::path::Path;

#[path = "common/program.rs"]
mod program;
#[path = "common/world.rs"]
mod world;
use program::{ok, refused, simseg, text};
use world::{World, out, trained, weights};

#[test]
fn the_same_pairs_train_the_same_model_however_they_are_packed() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::draw(folder.path());
    let sources =
        [world.captions(), world.shards("shards", &[]), world.parquet()].into_iter().chain(world.coco_and_tsv());
    let all: Vec<Vec<u8>> = sources
        .enumerate()
        .map(|(index, source)| weights(&world.experiment(&format!("pack{index}"), &source, ""), "out", &[]))
        .collect();
    assert_eq!(all.len(), 5);
    assert!(all.iter().all(|one| *one == all[0]), "{:?}", all.iter().map(|one| *one == all[0]).collect::<Vec<_>>());

    // A run goes on only with the same content, in any of the shards.
    let file = world.place.join("pack1.toml");
    let out = out(&file, "out");
    let again = ["run", text(&file), "--out", text(&out), "--resume"];
    ok(&simseg(&again));
    let shard = world.place.join("shards/00002.tar");
    let mut bytes = std::fs::read(&shard).unwrap();
    bytes[600] ^= 1;
    std::fs::write(&shard, bytes).unwrap();
    let output = simseg(&again);
    let line = String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or_default().to_owned();
    assert!(output.status.code() == Some(2) && line.contains("00002.tar"), "{line}");
}

#[test]
fn corrupt_samples_are_listed_and_skipped_alike_by_any_number_of_threads_and_when_resumed() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::draw(folder.path());
    let file = world.experiment("holes", &world.shards("holes", &[5, 6, 40]), "");
    let whole = weights(&file, "one", &["--threads", "1"]);
    assert_eq!(whole, weights(&file, "three", &["--threads", "3"]));

    // Stopped at the second corrupt sample, and gone on with when more are allowed.
    let out = out(&file, "stopped");
    let limit = ["--set", "training.max_corrupt_samples=1"];
    let run = ["run", text(&file), "--out", text(&out)];
    let output = simseg(&[&run[..], &limit].concat());
    let said = String::from_utf8(output.stderr).unwrap();
    let line = said.lines().last().unwrap_or_default();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(line.contains("training.max_corrupt_samples: 2 samples cannot be read, 1 may be skipped"), "{said}");
    assert!(line.contains(".tar/0000000") && line.contains("not a readable image"), "{said}");
    ok(&simseg(&[&run[..], &["--resume"]].concat()));
    assert_eq!(whole, trained(&out, &file));

    // What was skipped stands beside the training, by name.
    let training = std::fs::read_dir(out.join("trainings")).unwrap().next().unwrap().unwrap().path();
    let list: Vec<Value> = serde_json::from_slice(&std::fs::read(training.join("skipped.json")).unwrap()).unwrap();
    let indices: Vec<u64> = list.iter().map(|sample| sample["index"].as_u64().unwrap()).collect();
    assert_eq!(indices, [5, 6, 40], "three epochs met all of them");
    assert!(list[2]["problem"].as_str().unwrap().contains("00002.tar/000000040.png"), "{}", list[2]);
}

/// A corpus of a source.
fn corpus(source: &Source, augment: &str) -> Corpus {
    let registry = Registry::<CpuTensor<f32>>::built_in();
    let model = r#"{"kind": "simseg", "projection": 16, "temperature": 0.02, "image": {"image_size": 32, "patch": 8, "width": 24, "depth": 1, "heads": 2},
        "text": {"vocabulary": 200, "positions": 25, "width": 24, "depth": 1, "heads": 2}}"#;
    let network = registry.model.network(&serde_json::from_str(model).unwrap()).unwrap();
    let choices: Vec<Source> = serde_json::from_str(augment).unwrap();
    let augmentations = Augmentations::build(&choices, &registry.data.augmentations).unwrap();
    let pairs = registry.data.open_pairs(source, 0).unwrap();
    Corpus::open(pairs, augmentations.into(), None, &*network, 16, |_| {}).unwrap()
}

const EPOCH: Draw = Draw { seed: 0, epoch: 0 };

/// The pixels of each place of a batch.
fn places(corpus: &Corpus, picks: &[usize], draw: Draw, skipped: &mut Skipped) -> Result<Vec<Vec<f32>>, String> {
    let batch = corpus
        .read((picks, 0..picks.len()), draw, 100, &Frozen::default())
        .take::<CpuTensor<f32>>(skipped, None, &CpuDevice);
    let Given::Raw(pixels) = batch.map_err(|failure| failure.to_string())?.image else { panic!("pixels") };
    let pixels = pixels.to_f32().unwrap();
    Ok(pixels.chunks(3 * 32 * 32).map(<[f32]>::to_vec).collect())
}

#[test]
fn a_sample_that_is_skipped_changes_no_other_place_of_the_batch() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::draw(folder.path());
    let (good, holes) = (corpus(&world.shards("good", &[]), "[]"), corpus(&world.shards("holes", &[5, 6, 40]), "[]"));
    let mut skipped = Skipped::open(folder.path(), 100, false).unwrap();
    let picks = [1, 5, 7, 40, 30];
    let (before, after) =
        (places(&good, &picks, EPOCH, &mut skipped).unwrap(), places(&holes, &picks, EPOCH, &mut skipped).unwrap());
    for place in [0, 2, 4] {
        assert_eq!(before[place], after[place]);
    }
    // For 5 stands 8: 6 is corrupt too, and 7 is there already.
    let stand_ins = places(&good, &[8, 41], EPOCH, &mut skipped).unwrap();
    assert_eq!([&after[1], &after[3]], [&stand_ins[0], &stand_ins[1]]);
    assert_eq!(skipped.len(), 3);
    let all: Vec<usize> = (0..48).collect();
    let error = places(&holes, &all, EPOCH, &mut skipped).unwrap_err();
    assert!(error.contains("fewer than 48 pairs can be read"), "{error}");
}

const AUGMENT: &str = r#"[{"kind": "random-resized-crop", "scale": [0.6, 1.0]}, {"kind": "random-horizontal-flip"}, {"kind": "auto-augment"}]"#;

#[test]
fn augmented_pixels_depend_on_seed_epoch_and_pair_and_not_on_threads_or_the_batch() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::draw(folder.path());
    let source = world.captions();
    let (corpus, plain) = (corpus(&source, AUGMENT), corpus(&source, "[]"));
    let mut skipped = Skipped::open(folder.path(), 0, false).unwrap();
    let mut on = |threads: usize, picks: &[usize], draw: Draw| {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| places(&corpus, picks, draw, &mut skipped).unwrap())
    };
    let picks: Vec<usize> = (0..48).collect();
    let first = on(1, &picks, EPOCH);
    assert_eq!(first, on(3, &picks, EPOCH));
    assert_eq!(first[9], on(2, &[20, 9], EPOCH)[1]);
    let differing = |other: &[Vec<f32>]| first.iter().zip(other).filter(|(a, b)| a != b).count();
    assert!(differing(&on(2, &picks, Draw { seed: 0, epoch: 1 })) > 40);
    assert!(differing(&on(2, &picks, Draw { seed: 1, epoch: 0 })) > 40);
    let mut none = Skipped::open(folder.path(), 0, false).unwrap();
    assert!(differing(&places(&plain, &picks, EPOCH, &mut none).unwrap()) > 40);
}

#[test]
fn an_experiment_says_its_augmentation_and_the_plan_and_the_help_show_it() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::draw(folder.path());
    let augment = r#"
[[training.augment]]
kind = "random-resized-crop"
scale = [0.6, 1.0]
[[training.augment]]
kind = "auto-augment"
"#;
    let source = world.shards("shards", &[]);
    let (with, without) = (world.experiment("with", &source, augment), world.experiment("without", &source, ""));
    let plan = ok(&simseg(&["run", text(&with), "--plan"]));
    assert!(plan.contains("of 16 pairs, random-resized-crop, auto-augment,"), "{plan}");
    let plain = ok(&simseg(&["run", text(&without), "--plan"]));
    assert!(plain.contains("of 16 pairs,") && !plain.contains("crop"), "{plain}");
    let one = weights(&with, "one", &["--threads", "1"]);
    assert_eq!(one, weights(&with, "three", &["--threads", "3"]));
    assert_ne!(one, weights(&without, "out", &[]));
    let config = std::fs::read_to_string(out(&with, "one").join("with-seed0/config.toml")).unwrap();
    assert!(config.contains("interpolation = \"bilinear\"") && config.contains("policy = \"imagenet\""), "{config}");
    let help = ok(&simseg(&["run", "--help"]));
    for name in
        ["webdataset", "parquet", "random-resized-crop", "random-horizontal-flip", "color-jitter", "auto-augment"]
    {
        assert!(help.contains(name), "{name}: {help}");
    }
}

#[test]
fn what_is_wrong_with_packed_data_or_augmentation_is_said_before_anything_trains() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::draw(folder.path());
    let source = world.shards("shards", &[]);
    let out = folder.path().join("out");
    let attempt = |source: &Source, more: &str, needles: &[&str]| {
        let file = world.experiment("bad", source, more);
        let line = refused(&simseg(&["run", text(&file), "--out", text(&out)]));
        for needle in needles {
            assert!(line.contains(needle), "expected `{needle}` in {line}");
        }
        assert!(!out.exists(), "{line}");
    };
    let shards = |pattern: &str| Source::new("webdataset").with("shards", format!("{}/{pattern}", text(&world.folder)));
    attempt(&shards("none/{0..4}.tar"), "", &["training.data", "matches no file", "none/0.tar"]);
    attempt(&shards("captions.csv"), "", &["training.data", "captions.csv", "no tar file"]);
    attempt(&world.parquet().with("caption_column", "alt"), "", &["training.data", "`alt`", "`image`, `caption`"]);
    attempt(&source.clone().with("limit", 15), "", &["training.batch", "15 pairs", "16"]);
    attempt(&source, "augment = [{ kind = \"random-crop\" }]", &["training.augment.kind", "random-resized-crop"]);
    attempt(&source, "augment = [{ kind = \"random-horizontal-flip\", p = 2 }]", &["training.augment.p", "found 2"]);
    attempt(&source, "max_corrupt_samples = -1", &["training.max_corrupt_samples"]);
    attempt(&source, "epochs = 3", &["training.steps, training.epochs", "one of the two, found both"]);
    attempt(&source, "validation = { every = 0 }", &["training.validation.every", "at least 1"]);
    attempt(&source, "validation = { every = 3, pairs = 0 }", &["training.validation.pairs", "images"]);
    attempt(&source, "validation = { every = 3, pairs = 8 }", &["training.validation.pairs", "held-out", "found 0"]);
    attempt(&source, "best = \"miou\"", &["training.best", "[training.validation]"]);
    let measured = "best = \"miou\"\nvalidation = { every = 3, pairs = 8 }";
    attempt(&source, measured, &["training.best", "i2t_r1", "found `miou`"]);
    attempt(&source, "prefetch = 100", &["training.prefetch", "from 0 to 64, found 100"]);
}

#[test]
fn the_file_in_the_documentation_is_one() {
    let page =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/pretraining.md")).unwrap();
    let toml = page.split("```toml").nth(1).unwrap().split("```").next().unwrap();
    let registry = Registry::<CpuTensor<f32>>::built_in();
    let experiment = Experiment::parse(Path::new("cc3m.toml"), toml, &[], &registry).unwrap();
    let training = &experiment.variants[0].settings.training;
    assert_eq!(
        (training.data.kind.as_str(), training.augment.len(), training.max_corrupt_samples),
        ("webdataset", 2, 1000)
    );
    // Defaults are torchvision's, and those that the page says.
    assert_eq!(training.augment[0].get::<[f64; 2]>("ratio"), Some([0.75, 4.0 / 3.0]));
    assert_eq!(training.augment[1].get::<[u8; 3]>("fill"), Some([128; 3]));
}
