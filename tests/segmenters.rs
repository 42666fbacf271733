//! Random segmenters on pairs of backends: scores, maps, masks and labels.
//!
//! In the default build the CPU backend against plain loops, with the feature `tch` libtorch against the CPU backend.

use proptest::prelude::*;
use simseg_cpu::{CpuDevice, CpuTensor};
use simseg_registry::Choice;
use simseg_segment::map::{Size, Upsample};
use simseg_segment::{ClassBank, ImageFeatures, SegmentRegistry, SimSegConfig, View};
use simseg_tensor::{Result, Tap, Tensor};
#[cfg(not(feature = "tch"))]
use simseg_testkit::NaiveTensor;
use simseg_testkit::subject::Input;

/// A recipe on random features of patches and classes.
#[derive(Debug, Clone)]
struct Segmentation {
    segmenter: Choice,
    grid: Size,
    patch: usize,
    classes: usize,
    width: usize,
}

/// What a segmenter shows on the host, by name.
#[derive(Default)]
struct Shown(Vec<(String, Vec<f32>)>, Vec<(String, Vec<u16>)>);

impl<T: Tensor> Tap<T> for Shown {
    fn see_host(&mut self, name: &str, _: &[usize], values: &[f32]) -> Result<()> {
        self.0.push((name.to_owned(), values.to_vec()));
        Ok(())
    }
    fn see_labels(&mut self, name: &str, _: &[usize], values: &[u16]) -> Result<()> {
        self.1.push((name.to_owned(), values.to_vec()));
        Ok(())
    }
    fn see_mask(&mut self, name: &str, _: &[usize], values: &[u8]) -> Result<()> {
        self.1.push((name.to_owned(), values.iter().map(|&value| value.into()).collect()));
        Ok(())
    }
}

impl Segmentation {
    fn on<T: Tensor>(&self, device: &T::Device) -> Result<Shown> {
        let Self { grid, patch, classes, width, .. } = *self;
        let make = |shape: &[usize], number: usize| {
            let input = Input::numbered(shape, number);
            input.layout.make::<T>(&input.values, shape, device)
        };
        let size = Size { height: grid.height * patch, width: grid.width * patch };
        let image = ImageFeatures {
            patches: make(&[grid.area(), width], 1)?,
            grid,
            embedding: make(&[1, width], 2)?,
            input: size,
            rgb: (0..3 * size.area()).map(|i| (i * 37 % 251) as u8).collect(),
            output: Size { height: size.height + 1, width: 2 * size.width },
            tokens: None,
            attention: None,
            windows: vec![],
        };
        let class_of = (0..classes).collect();
        let bank =
            ClassBank { classes, background: true, embeddings: make(&[classes, width], 3)?, class_of, prompts: None };
        let mut shown = Shown::default();
        let registry = SegmentRegistry::<T>::built_in();
        let segmenter = registry.segmenter(&self.segmenter).map_err(simseg_model::setting)?;
        let view = View { image: &image, bank: &bank, aligner: &simseg_model::pool::Dense {}, memo: None };
        segmenter.segment(view, &mut shown)?;
        Ok(shown)
    }
}

/// Every registered threshold, refiner, score rule and segmenter, with settings of its own where it needs some.
fn segmenters() -> Vec<Choice> {
    let registry = SegmentRegistry::<CpuTensor<f64>>::built_in();
    let parts = &registry.parts;
    let threshold = |name: &str| match name {
        "statistics" => SimSegConfig::plain().threshold,
        "fixed" => Choice::new("fixed").with("score", 0.1),
        "softmax" => Choice::new("softmax").with("scale", 3.0).with("probability", 0.2),
        "best" => Choice::new("best").with("count", 2),
        "calibrated" => Choice::new("calibrated").with("scores", [0.0f64; 3]),
        "oracle" => Choice::new("oracle").with("classes", [1, 2]),
        other => Choice::new(other),
    };
    let recipes = [SimSegConfig::plain(), SimSegConfig::official_code(), SimSegConfig::paper()];
    let mut all: Vec<SimSegConfig> = recipes.to_vec();
    let plain = SimSegConfig::plain;
    // A calibrated rule is for one number of classes, which differs from case to case here; one to be learned from captions is none yet.
    let rules = parts.thresholds.names().into_iter().filter(|name| !["calibrated", "from-captions"].contains(name));
    all.extend(rules.map(|name| SimSegConfig { threshold: threshold(name), ..plain() }));
    all.extend(parts.refiners.names().into_iter().map(|name| SimSegConfig { refine: Choice::new(name), ..plain() }));
    all.extend(parts.scores.names().into_iter().map(|name| SimSegConfig { score: Choice::new(name), ..plain() }));
    let composed = all.iter().map(SimSegConfig::choice);
    let others = registry.segmenters.names().into_iter().filter(|name| *name != "simseg").map(Choice::new);
    composed.chain(others).collect()
}

fn segmentations() -> impl Strategy<Value = Segmentation> {
    let all = segmenters();
    let upsample = prop_oneof![Just(Upsample::Nearest), Just(Upsample::Bilinear)];
    (0..all.len(), upsample, [1usize..5, 1usize..5, 1usize..5, 3usize..9, 1usize..7]).prop_map(
        move |(which, upsample, [height, columns, patch, classes, width])| {
            let mut segmenter = all[which].clone();
            if let Some(map) = segmenter.settings.get_mut("map") {
                map["upsample"] = serde_json::to_value(upsample).unwrap();
            }
            Segmentation { segmenter, grid: Size { height, width: columns }, patch, classes, width }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, max_shrink_iters: 256, ..Default::default() })]

    #[test]
    fn segmenters_agree(segmentation in segmentations()) {
        let reference = segmentation.on::<CpuTensor<f64>>(&CpuDevice).unwrap();
        #[cfg(not(feature = "tch"))]
        let other = segmentation.on::<NaiveTensor>(&()).unwrap();
        #[cfg(feature = "tch")]
        let other = {
            use simseg_tch::{Precision, TchDevice, TchTensor};
            segmentation.on::<TchTensor>(&TchDevice::CPU.with_precision(Precision::F64)).unwrap()
        };
        // Both are f64 until the host rounds to f32: the same numbers, and so the same classes, masks and labels.
        prop_assert_eq!(reference.0.len(), other.0.len());
        for ((name, a), (_, b)) in reference.0.iter().zip(&other.0) {
            let near = a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-5 || a.is_nan() && b.is_nan());
            prop_assert!(near, "{}: {:?} against {:?}", name, a, b);
        }
        prop_assert_eq!(reference.1, other.1);
    }
}
