//! Random encoders, aligners and segmenters on pairs of backends: every tap, and the gradient of every parameter.
//!
//! In the default build the CPU backend against plain loops, with the feature `tch` libtorch against the CPU backend, and
//! libtorch's own gradients against the derivative table.

use proptest::prelude::*;
use simseg_cpu::{CpuDevice, CpuTensor};
use simseg_model::bert::{Bert, BertConfig};
use simseg_model::clip::{Clip, ClipConfig, ClipTextConfig, Gelu};
use simseg_model::loss::siglip::siglip;
use simseg_model::pool::{LodaConfig, Padding};
use simseg_model::vit::{Vit, VitConfig};
use simseg_model::{Encoder, ModelRegistry, Network as _, Parameters, Side, Stage, TokenBatch, Tokens, nce};
use simseg_registry::Choice;
use simseg_segment::map::{Size, Upsample};
use simseg_segment::{ClassBank, ImageFeatures, SegmentRegistry, SimSegConfig, View};
use simseg_tensor::{Autodiff, Error, Ops, Parameter, Result, Tap, Tensor};
use simseg_testkit::hostile::{Domain, LAYOUTS, Layout, values};
use simseg_testkit::subject::{Input, same_gradients, same_values};
use simseg_testkit::tolerance::{F64, Tolerance};
use simseg_testkit::{NaiveTensor, Subject};

/// Tens of operations behind one another; layer norms divide by small deviations.
const NETWORK: Tolerance = Tolerance { name: "f64 network", reason: "tens of steps", limit: 1e-9, ..F64 };

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, max_shrink_iters: 256, ..Default::default() }
}

/// Holds a subject to the pair of backends of this build, values and gradients.
fn agree(subject: &impl Subject) -> std::result::Result<(), TestCaseError> {
    type Cpu = Autodiff<CpuTensor<f64>>;
    #[cfg(not(feature = "tch"))]
    let found = {
        let places = (&(), &CpuDevice);
        same_values::<NaiveTensor, Cpu>(subject, places, NETWORK)
            .and_then(|()| same_gradients::<Autodiff<NaiveTensor>, Cpu>(subject, places, NETWORK))
    };
    #[cfg(feature = "tch")]
    let found = {
        use simseg_tch::{Precision, TchDevice, TchTensor};
        let double = TchDevice::CPU.with_precision(Precision::F64);
        let places = (&CpuDevice, &double);
        same_values::<Cpu, TchTensor>(subject, places, NETWORK)
            .and_then(|()| same_gradients::<Cpu, TchTensor>(subject, places, NETWORK))
            .and_then(|()| same_gradients::<Autodiff<TchTensor>, TchTensor>(subject, (&double, &double), NETWORK))
    };
    found.map_err(TestCaseError::fail)
}

/// Keeps every named intermediate.
struct Taps<T>(Vec<(String, T)>);

impl<T: Tensor> Tap<T> for Taps<T> {
    fn see(&mut self, name: &str, value: &T) -> Result<()> {
        self.0.push((name.to_owned(), value.clone()));
        Ok(())
    }
}

/// An input in a layout; values are those of a shape and a number, evenly spread.
fn input(shape: &[usize], number: usize) -> Input {
    let values = values(Domain::Any, shape.iter().product(), number as u64);
    let values = values.into_iter().map(|x| x as f32).collect();
    Input { shape: shape.to_vec(), values, layout: LAYOUTS[number % LAYOUTS.len()] }
}

/// Lively weights for the parameters that `visit` shows, in order.
fn weights(visit: impl FnOnce(&mut dyn FnMut(&str, &Parameter) -> Result<()>)) -> Vec<Input> {
    let mut list = vec![];
    visit(&mut |name, parameter| {
        let mut input = input(&parameter.shape, list.len());
        // Vectors called weight are norms': around one. Others small, or attention would look at one token only.
        let (scale, shift) =
            if name.ends_with("weight") && parameter.shape.len() == 1 { (0.2, 1.0) } else { (0.4, 0.0) };
        input.values.iter_mut().for_each(|x| *x = *x * scale + shift);
        list.push(input);
        Ok(())
    });
    list
}

/// Hands out values in order.
fn next<'a, T: Tensor>(values: &mut impl Iterator<Item = &'a T>, name: &str) -> Result<T> {
    values.next().cloned().ok_or_else(|| Error::parameter(name, "no value given"))
}

#[derive(Debug, Clone)]
enum Network {
    /// With pixels `[b, 3, h, w]`; the grid may be another than the model's own.
    Vit(VitConfig, [usize; 4]),
    Bert(BertConfig, TokenBatch),
    Clip(ClipConfig, [usize; 4], TokenBatch),
}

impl Subject for Network {
    fn inputs(&self) -> Vec<Input> {
        let (mut list, pixels) = match self {
            Self::Vit(config, pixels) => {
                let layout = Vit::layout(*config);
                (weights(|f| drop(layout.map("v", &mut |name, parameter| f(name, parameter)))), Some(pixels))
            }
            Self::Bert(config, _) => {
                let layout = Bert::layout(*config);
                (weights(|f| drop(layout.map("t", &mut |name, parameter| f(name, parameter)))), None)
            }
            Self::Clip(config, pixels, _) => {
                let layout = Clip::layout(config);
                (weights(|f| drop(layout.map(&mut |name, parameter| f(name, parameter)))), Some(pixels))
            }
        };
        list.extend(pixels.map(|shape| input(shape, 0)));
        list
    }

    fn compute<T: Tensor>(&self, x: &[T]) -> Result<Vec<(String, T)>> {
        let (mut taps, mut values) = (Taps(vec![]), x.iter());
        match self {
            Self::Vit(config, _) => {
                let vit = Vit::layout(*config).map("v", &mut |name, _| next(&mut values, name))?;
                vit.encode(&next(&mut values, "pixels")?, &mut taps)?;
            }
            Self::Bert(config, sentences) => {
                let bert = Bert::layout(*config).map("t", &mut |name, _| next(&mut values, name))?;
                bert.encode(sentences, &mut taps)?;
            }
            Self::Clip(config, _, sentences) => {
                let clip = Clip::layout(config).map(&mut |name, _| next(&mut values, name))?;
                let image = clip.encode_image(&next(&mut values, "pixels")?, &mut taps)?.values;
                let text = clip.encode_text(sentences, &mut taps)?.values;
                let [image, text] =
                    [&image, &text].map(|x| x.slice(1, 0, 1)?.reshape(&[x.shape()[0], config.projection]));
                let similarity = image?.matmul(&text?.permute(&[1, 0])?)?;
                taps.see("temperature", &clip.temperature()?)?;
                taps.see("similarity", &similarity)?;
            }
        }
        Ok(taps.0)
    }
}

fn vits() -> impl Strategy<Value = VitConfig> {
    (1usize..4, 1usize..4, 1usize..4, 1usize..4, 1usize..3).prop_map(|(grid, patch, heads, per_head, depth)| {
        VitConfig { image_size: grid * patch, patch, width: heads * per_head * 2, depth, heads }
    })
}

/// Pixels for a vision transformer: its own grid, or another that need not be square.
fn pixels(patch: usize, own: usize) -> impl Strategy<Value = [usize; 4]> {
    let other = (1usize..4, 1usize..4).prop_map(move |(rows, columns)| [rows * patch, columns * patch]);
    (1usize..3, prop_oneof![Just([own, own]), other]).prop_map(|(b, [h, w])| [b, 3, h, w])
}

/// Sentences below a vocabulary, of different lengths, perhaps padded further.
fn sentences(vocabulary: u32, positions: usize) -> impl Strategy<Value = TokenBatch> {
    let sentence = prop::collection::vec(1..vocabulary, 1..=positions);
    (prop::collection::vec(sentence, 1..4), 0..=positions)
        .prop_map(|(sentences, width)| TokenBatch::new(&sentences, 0, width).expect("no sentence is empty"))
}

fn networks() -> impl Strategy<Value = Network> {
    let vit = vits().prop_flat_map(|config| {
        pixels(config.patch, config.image_size).prop_map(move |pixels| Network::Vit(config, pixels))
    });
    let bert = (3usize..9, 1usize..7, 1usize..3, 1usize..4, 1usize..4, 1usize..3).prop_flat_map(
        |(vocabulary, positions, types, heads, per_head, depth)| {
            let width = heads * per_head * 2;
            let config = BertConfig { vocabulary, positions, types, width, intermediate: width + 1, depth, heads };
            sentences(vocabulary as u32, positions).prop_map(move |batch| Network::Bert(config, batch))
        },
    );
    let clip = (vits(), 3usize..9, 1usize..7, 1usize..3, 1usize..4, 1usize..3, 1usize..5, any::<bool>()).prop_flat_map(
        |(image, vocabulary, positions, heads, per_head, depth, projection, quick)| {
            let gelu = if quick { Gelu::Quick } else { Gelu::Exact };
            let text = ClipTextConfig { vocabulary, positions, width: heads * per_head * 2, depth, heads };
            let config = ClipConfig { image, text, projection, gelu };
            (pixels(image.patch, image.image_size), sentences(vocabulary as u32, positions))
                .prop_map(move |(pixels, batch)| Network::Clip(config, pixels, batch))
        },
    );
    prop_oneof![vit, bert, clip]
}

/// Pooling, similarity and loss over given tokens.
#[derive(Debug, Clone)]
struct Alignment {
    aligner: Choice,
    /// `[b, 1+n, d]`
    image: [usize; 3],
    /// Real words of each caption.
    lengths: Vec<usize>,
    /// Words that captions are padded to.
    width: usize,
    smoothing: f64,
}

impl Alignment {
    /// The aligner's own parameters.
    fn own(&self) -> Vec<(String, Parameter)> {
        let aligner = ModelRegistry::<CpuTensor<f64>>::built_in().aligners.build(&self.aligner).unwrap();
        aligner.parameters(self.image[2])
    }
}

/// Every registered aligner, with settings where it needs some.
fn aligners(image_k: usize, text_k: usize, padding: Padding) -> Vec<Choice> {
    let names = ModelRegistry::<CpuTensor<f64>>::built_in().aligners.names();
    let all = names.into_iter().flat_map(|name| match name {
        "loda" => vec![LodaConfig { image_k, text_k, eval_image_k: None, eval_text_k: None, padding }.choice()],
        "token-top-k" => vec![Choice::new(name).with("image_k", image_k).with("text_k", text_k)],
        "soft-top-k" => ["softmax", "sparsemax", "entmax15"].map(|rule| Choice::new(name).with("rule", rule)).into(),
        "attention-pool" => vec![Choice::new(name).with("value_projection", true)],
        other => vec![Choice::new(other)],
    });
    all.collect()
}

impl Subject for Alignment {
    fn inputs(&self) -> Vec<Input> {
        let [b, _, d] = self.image;
        let temperature = Input { shape: vec![], values: vec![0.3], layout: Layout::Contiguous };
        let mut list = vec![input(&self.image, 1), input(&[b, self.width, d], 2), temperature];
        list.extend(self.own().iter().enumerate().map(|(i, (_, parameter))| input(&parameter.shape, 3 + i)));
        list
    }

    fn compute<T: Tensor>(&self, x: &[T]) -> Result<Vec<(String, T)>> {
        let image = Tokens { values: x[0].clone(), lengths: None };
        let text = Tokens { values: x[1].clone(), lengths: Some(self.lengths.clone()) };
        let aligner = ModelRegistry::<T>::built_in().aligners.build(&self.aligner).map_err(simseg_model::setting)?;
        let own =
            self.own().into_iter().zip(&x[3..]).map(|((name, _), value)| (format!("aligner.{name}"), value.clone()));
        let aligner = aligner.build(Stage::Training, &Parameters::new(own.collect())?)?;
        let pools = [aligner.pool(Side::Image, &image)?, aligner.pool(Side::Text, &text)?];
        let similarity = aligner.similarity(&image, &text)?;
        let sigmoid = siglip(&similarity, &x[2], &x[2].neg()?)?;
        let loss = nce::info_nce(&similarity, &x[2], self.smoothing)?.add(&sigmoid)?;
        let loss = aligner.extra_loss(&image, &text)?.map_or(Ok(loss.clone()), |extra| loss.add(&extra))?;
        let [images, texts] = pools;
        let named = [("pool/image", images), ("pool/text", texts), ("similarity", similarity), ("loss", loss)];
        Ok(named.map(|(name, x)| (name.to_owned(), x)).into())
    }
}

fn alignments() -> impl Strategy<Value = Alignment> {
    let padding = prop_oneof![Just(Padding::PerCaption), Just(Padding::ShortestInBatch), Just(Padding::Compete)];
    let kinds = aligners(1, 1, Padding::PerCaption).len();
    (1usize..5, 1usize..8, 1usize..7, 1usize..8, 0..kinds).prop_flat_map(move |(b, n, d, width, kind)| {
        let lengths = prop::collection::vec(1..=width, b);
        (lengths, 1..=n, 1..=width, padding.clone(), prop_oneof![Just(0.0), Just(0.1)]).prop_map(
            move |(lengths, image_k, text_k, padding, smoothing)| {
                let aligner = aligners(image_k, text_k, padding)[kind].clone();
                // Unit vectors of one channel are ±1: two that cancel leave a rounding error, which these aligners would normalise.
                let d = if aligner.kind.starts_with("cls-") { d.max(2) } else { d };
                Alignment { aligner, image: [b, 1 + n, d], lengths, width, smoothing }
            },
        )
    })
}

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
            let input = input(shape, number);
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
    #![proptest_config(config(96))]

    #[test]
    fn encoders_agree(network in networks()) {
        agree(&network)?;
    }

    #[test]
    fn aligners_agree(alignment in alignments()) {
        agree(&alignment)?;
    }

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

/// The comparison can fail: an encoder in f32 does not hold the tolerance of f64.
#[test]
fn a_coarser_precision_is_told_apart() {
    let config = VitConfig { image_size: 4, patch: 2, width: 8, depth: 2, heads: 2 };
    let vit = Network::Vit(config, [1, 3, 4, 4]);
    let error = same_values::<NaiveTensor, CpuTensor<f32>>(&vit, (&(), &CpuDevice), NETWORK).unwrap_err();
    assert!(error.starts_with("image/embed: ["), "{error}");
}
