//! The library a user depends on, on every backend: the same words in the same pictures.

use simseg::data::World;
use simseg::{ClassList, Error, Loaded, Model, Picture, Registry, Segmented};
use simseg_cpu::{CpuDevice, CpuTensor};
use simseg_tensor::Tensor;
use simseg_testkit::NaiveTensor;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const WORDS: [&str; 4] = ["ball", "fish", "house", "sheep"];

fn tiny() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/tiny")
}

fn open<T: Tensor>(device: &T::Device) -> Model<T> {
    let registry = Arc::new(Registry::built_in());
    let loaded = Loaded::read(&tiny(), &registry, device).unwrap();
    Model::assemble(loaded, None, registry, device).unwrap()
}

/// Scenes that no experiment trains on.
fn pictures() -> Vec<Picture> {
    let world = World::new(Default::default(), 3_000_000).unwrap();
    (0..6).map(|i| world.scene(i).picture()).collect()
}

fn segmented<T: Tensor>(model: &Model<T>) -> Vec<Segmented> {
    let words = model.words(WORDS).unwrap();
    pictures().iter().map(|picture| model.segment(picture, &words).unwrap()).collect()
}

/// Scores to the last digits of f32; labels but for pixels on a border between two classes.
fn agree(name: &str, one: &[Segmented], other: &[Segmented]) {
    let mut found = 0;
    for (a, b) in one.iter().zip(other) {
        let names = |s: &Segmented| s.found.iter().map(|found| found.name.clone()).collect::<Vec<_>>();
        assert_eq!(names(a), names(b), "{name}");
        for (a, b) in a.details.scores.iter().zip(&b.details.scores) {
            assert!((a - b).abs() < 1e-5, "{name}: score {a} against {b}");
        }
        let pairs = a.labels.values.iter().zip(&b.labels.values);
        let differ = pairs.filter(|(a, b)| a != b).count();
        assert!(differ * 500 <= a.labels.values.len(), "{name}: {differ} of {} pixels", a.labels.values.len());
        found += a.found.len();
    }
    assert!(one.len() == other.len() && found > 0, "{name}: nothing was found");
}

#[test]
fn a_model_finds_the_same_on_every_backend() {
    let cpu = segmented(&open::<CpuTensor<f32>>(&CpuDevice));
    agree("cpu in f64", &cpu, &segmented(&open::<CpuTensor<f64>>(&CpuDevice)));
    agree("naive", &cpu, &segmented(&open::<NaiveTensor>(&())));
    #[cfg(feature = "tch")]
    agree("tch", &cpu, &segmented(&open::<simseg_tch::TchTensor>(&simseg_tch::TchDevice::CPU)));
}

#[test]
fn a_model_from_bytes_is_the_model_of_the_folder() {
    let bytes = |name: &str| std::fs::read(tiny().join(name)).unwrap();
    let (config, weights, words) = (bytes("config.json"), bytes("model.safetensors"), bytes("vocab.txt"));
    let model = Model::from_bytes(&config, &weights, &words).unwrap();
    assert_eq!(segmented(&model), segmented(&Model::open(tiny()).unwrap()));

    for (wrong, config, weights) in
        [("config.json", &b"{"[..], &weights[..]), ("model", &config[..], &weights[..weights.len() / 2])]
    {
        let error = Model::from_bytes(config, weights, &words).err().unwrap().to_string();
        assert!(error.contains(wrong) && error.lines().count() == 1, "{error}");
    }
}

#[test]
fn long_calls_tell_how_far_they_are_and_stop_when_told() {
    let (model, pictures) = (open::<CpuTensor<f32>>(&CpuDevice), pictures());
    let words = model.words(WORDS).unwrap();
    let mut seen = vec![];
    let mut stop = |done, of| {
        seen.push((done, of));
        if done < 2 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    let stopped = model.segment_all(pictures.iter(), &words, &mut stop);
    assert!(matches!(stopped, Err(Error::Cancelled)));
    assert_eq!(seen, [(0, 6), (1, 6), (2, 6)]);

    // Prompts of two lengths, and so two batches.
    let list = || ClassList::parse("background\nball\nfish near the sea").unwrap();
    let at_once = &mut |_: usize, _: usize| ControlFlow::Break(());
    assert!(matches!(model.classes_watched(list(), at_once), Err(Error::Cancelled)));
    let mut steps = vec![];
    let mut on = |done, of| {
        steps.push((done, of));
        ControlFlow::Continue(())
    };
    model.classes_watched(list(), &mut on).unwrap();
    assert!(steps.len() > 1 && steps.is_sorted() && steps.iter().all(|(done, of)| done <= of), "{steps:?}");
}
