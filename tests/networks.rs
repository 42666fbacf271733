//! Random encoders and aligners on pairs of backends: every tap, and the gradient of every parameter.
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
use simseg_tensor::{Autodiff, Error, Ops, Parameter, Result, Tap, Tensor};
use simseg_testkit::hostile::Layout;
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

/// Lively weights for the parameters that `visit` shows, in order.
fn weights(visit: impl FnOnce(&mut dyn FnMut(&str, &Parameter) -> Result<()>)) -> Vec<Input> {
    let mut list = vec![];
    visit(&mut |name, parameter| {
        let mut input = Input::numbered(&parameter.shape, list.len());
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
        list.extend(pixels.map(|shape| Input::numbered(shape, 0)));
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
        let mut list = vec![Input::numbered(&self.image, 1), Input::numbered(&[b, self.width, d], 2), temperature];
        list.extend(self.own().iter().enumerate().map(|(i, (_, parameter))| Input::numbered(&parameter.shape, 3 + i)));
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
}

/// The comparison can fail: an encoder in f32 does not hold the tolerance of f64.
#[test]
fn a_coarser_precision_is_told_apart() {
    let config = VitConfig { image_size: 4, patch: 2, width: 8, depth: 2, heads: 2 };
    let vit = Network::Vit(config, [1, 3, 4, 4]);
    let error = same_values::<NaiveTensor, CpuTensor<f32>>(&vit, (&(), &CpuDevice), NETWORK).unwrap_err();
    assert!(error.starts_with("image/embed: ["), "{error}");
}
