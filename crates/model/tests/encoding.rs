//! What encoders and pools promise: an item's vector depends on that item alone, unless a switch says otherwise.

use proptest::prelude::*;
use simseg_cpu::{CpuDevice, CpuTensor};
use simseg_model::bert::{Bert, BertConfig};
use simseg_model::clip::{Clip, ClipConfig, ClipTextConfig, Gelu};
use simseg_model::pool::{Dense, Holistic, Loda, Padding, pooled_tokens};
use simseg_model::vit::{Vit, VitConfig, bicubic, patchify};
use simseg_model::{
    Aligner, AlignerConfig, Architecture, Encoder, Limits, ModelConfig, ModelRegistry, Network, Parameters, Side,
    Stage, TokenBatch, Tokens,
};
use simseg_registry::Choice;
use simseg_tensor::{Error, NoTap, Ops, Parameter, Tap, Tensor};

type Cpu = CpuTensor<f64>;

const IMAGE: VitConfig = VitConfig { image_size: 8, patch: 4, width: 6, depth: 2, heads: 2 };
const BERT: BertConfig =
    BertConfig { vocabulary: 9, positions: 9, types: 2, width: 6, intermediate: 8, depth: 2, heads: 2 };
const CLIP: ClipConfig = ClipConfig {
    image: IMAGE,
    text: ClipTextConfig { vocabulary: 9, positions: 9, width: 6, depth: 2, heads: 2 },
    projection: 5,
    gelu: Gelu::Quick,
};

/// Starting values, but large enough that tokens attend to each other.
fn larger(name: &str, parameter: &Parameter) -> Result<Cpu, Error> {
    let drawn = parameter.draw::<Cpu>(11, name, &CpuDevice)?;
    if parameter.shape.len() > 1 { drawn.scale(4.0) } else { Ok(drawn) }
}

fn tensor(values: &[f64], shape: &[usize]) -> Cpu {
    Cpu::from_host(values, shape, &CpuDevice).unwrap()
}

fn host(x: &Cpu) -> Vec<f64> {
    x.to_vec().unwrap()
}

fn near(a: &[f64], b: &[f64]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-10)
}

fn sentence() -> impl Strategy<Value = Vec<u32>> {
    prop::collection::vec(1u32..9, 1..7)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..Default::default() })]

    #[test]
    fn real_tokens_do_not_depend_on_neighbours_or_padding(mine in sentence(), other in sentence(), width in 0usize..10) {
        let bert: Bert<Cpu> = Bert::layout(BERT).map("t", &mut larger).unwrap();
        let clip = Clip::layout(&CLIP).map(&mut larger).unwrap();
        let alone = TokenBatch::new(std::slice::from_ref(&mine), 0, 0).unwrap();
        let together = TokenBatch::new(&[other, mine.clone()], 3, width).unwrap();
        for encoder in [&bert as &dyn Encoder<Cpu, Input = TokenBatch>, &clip.text] {
            let mine_alone = host(&encoder.encode(&alone, &mut NoTap).unwrap().values);
            let both = encoder.encode(&together, &mut NoTap).unwrap().values;
            let mine_together = both.slice(0, 1, 1).unwrap().slice(1, 0, mine.len()).unwrap();
            prop_assert!(near(&mine_alone, &host(&mine_together)));
        }
    }

    #[test]
    fn an_image_does_not_depend_on_its_neighbours(pixels in prop::collection::vec(-2.0f64..2.0, 2 * 3 * 8 * 8)) {
        let vit: Vit<Cpu> = Vit::layout(IMAGE).map("i", &mut larger).unwrap();
        let clip = Clip::layout(&CLIP).map(&mut larger).unwrap();
        let pixels = tensor(&pixels, &[2, 3, 8, 8]);
        for encoder in [&vit as &dyn Encoder<Cpu, Input = Cpu>, &clip.image] {
            let both = encoder.encode(&pixels, &mut NoTap).unwrap().values.slice(0, 1, 1).unwrap();
            let alone = encoder.encode(&pixels.slice(0, 1, 1).unwrap(), &mut NoTap).unwrap().values;
            prop_assert!(near(&host(&both), &host(&alone)));
        }
    }

    #[test]
    fn interpolation_keeps_constants_and_mirrors(from in 1usize..20, to in 1usize..20) {
        let rows = bicubic(from, to);
        for (i, row) in rows.chunks(from).enumerate() {
            prop_assert!((row.iter().sum::<f64>() - 1.0).abs() < 1e-12);
            let mirrored: Vec<f64> = rows[(to - 1 - i) * from..][..from].iter().rev().copied().collect();
            prop_assert!(near(row, &mirrored));
        }
    }

    #[test]
    fn pooled_vectors_have_norm_one(x in prop::collection::vec(-3.0f64..3.0, 2 * 5 * 3), k in 1usize..5) {
        prop_assume!(x.iter().all(|x| x.abs() > 0.01));
        let tokens = Tokens { values: tensor(&x, &[2, 5, 3]), lengths: Some(vec![5, 3]) };
        let loda = Loda { image_k: k, text_k: k, padding: Padding::PerCaption };
        for aligner in [&loda as &dyn Aligner<Cpu>, &Holistic {}] {
            for row in host(&aligner.pool(Side::Text, &tokens).unwrap()).chunks(3) {
                let norm = row.iter().map(|x| x * x).sum::<f64>().sqrt();
                prop_assert!(norm < 1.0 && norm > 1.0 - 1e-5 || near(row, &[0.0; 3]), "{norm}");
            }
        }
    }
}

#[test]
fn a_neighbour_of_clips_text_never_changes_what_came_before() {
    // Causal: the first word's features are the same whatever follows; the end-of-text token, which comes last, is not.
    let clip = Clip::layout(&CLIP).map(&mut larger).unwrap();
    let encode =
        |ids: Vec<u32>| host(&clip.encode_text(&TokenBatch::new(&[ids], 0, 0).unwrap(), &mut NoTap).unwrap().values);
    let (a, b) = (encode(vec![7, 5, 6, 8]), encode(vec![7, 5, 3, 8]));
    let token = |x: &[f64], i: usize| x[i * 5..(i + 1) * 5].to_vec();
    assert!(near(&token(&a, 1), &token(&b, 1)) && near(&token(&a, 2), &token(&b, 2)));
    assert!(!near(&token(&a, 0), &token(&b, 0)) && !near(&token(&a, 3), &token(&b, 3)));
}

/// One channel would be ±1 after normalisation, so two: the second is constant, and their ratio tells the pooled value.
fn ratio(values: &[f64], lengths: &[usize], k: usize, padding: Padding) -> f64 {
    let pairs: Vec<f64> = values.iter().flat_map(|&x| [x, 1.0]).collect();
    let n = values.len() / lengths.len();
    let tokens = Tokens { values: tensor(&pairs, &[lengths.len(), n, 2]), lengths: Some(lengths.to_vec()) };
    let pooled = host(&Loda { image_k: 1, text_k: k, padding }.pool(Side::Text, &tokens).unwrap());
    pooled[0] / pooled[1]
}

#[test]
fn padding_is_ignored_shared_or_competes_as_the_switch_says() {
    // First caption 1 5 3; the second, of one word, is padded with nines.
    let both = [1.0, 5.0, 3.0, 2.0, 9.0, 9.0];
    let close = |a: f64, b: f64| (a - b).abs() < 1e-12;
    assert!(close(ratio(&both, &[3, 1], 2, Padding::PerCaption), 4.0));
    assert!(close(ratio(&both, &[3, 1], 2, Padding::ShortestInBatch), 5.0)); // k fell to 1
    assert!(close(ratio(&both, &[3, 3], 2, Padding::ShortestInBatch), 4.0)); // and is 2 beside a longer one
    let mine = [2.0, 9.0, 9.0, 1.0, 5.0, 3.0];
    assert!(close(ratio(&mine, &[1, 3], 2, Padding::PerCaption), 2.0)); // its own k = min(2, 1)
    assert!(close(ratio(&mine, &[1, 3], 2, Padding::Compete), 9.0));
    // Padding never wins, however low the words are.
    assert!(close(ratio(&[-7.0, 0.0, 0.0], &[1], 3, Padding::PerCaption), -7.0));
}

#[test]
fn aligners_pool_the_tokens_they_name() {
    // Summary token (8, 6), patches (2, 1) and (4, 0).
    let image = Tokens { values: tensor(&[8.0, 6.0, 2.0, 1.0, 4.0, 0.0], &[1, 3, 2]), lengths: None };
    let pool = |aligner: &dyn Aligner<Cpu>| {
        let z = host(&aligner.pool(Side::Image, &image).unwrap());
        z[0] / z[1]
    };
    let loda = |image_k| Loda { image_k, text_k: 1, padding: Padding::PerCaption };
    assert!((pool(&Holistic {}) - 8.0 / 6.0).abs() < 1e-12);
    assert!((pool(&Dense {}) - 3.0 / 0.5).abs() < 1e-12);
    assert!((pool(&loda(1)) - 4.0 / 1.0).abs() < 1e-12); // channel 0 from one patch, channel 1 from the other
    assert!((pool(&loda(2)) - 3.0 / 0.5).abs() < 1e-12);
}

/// Every registered aligner, with settings where it needs some and irregular parameters where it has some, for `channels`.
fn aligners(channels: usize) -> Vec<(String, Box<dyn Aligner<Cpu>>)> {
    configured(channels).into_iter().map(|(name, _, aligner)| (name, aligner)).collect()
}

/// An aligner by name, before and after it has weights.
type Configured = (String, Box<dyn AlignerConfig<Cpu>>, Box<dyn Aligner<Cpu>>);

/// The same with what they are before they have weights.
fn configured(channels: usize) -> Vec<Configured> {
    let registry = ModelRegistry::<Cpu>::built_in();
    let counts = |name: &str| Choice::new(name).with("image_k", 2).with("text_k", 3);
    let choices = registry.aligners.names().into_iter().flat_map(|name| match name {
        "loda" | "token-top-k" => vec![counts(name)],
        "soft-top-k" => ["softmax", "sparsemax", "entmax15"].map(|rule| Choice::new(name).with("rule", rule)).into(),
        "attention-pool" => [false, true].map(|value| Choice::new(name).with("value_projection", value)).into(),
        other => vec![Choice::new(other)],
    });
    let build = |choice: Choice| {
        let config = registry.aligners.build(&choice).unwrap();
        let drawn = config.parameters(channels).into_iter().map(|(name, parameter)| {
            let name = format!("aligner.{name}");
            let values: Vec<f64> = parameter.values(3, &name).iter().map(|&x| f64::from(x) + 0.1).collect();
            (name, tensor(&values, &parameter.shape))
        });
        let parameters = Parameters::new(drawn.collect()).unwrap();
        let aligner = config.build(Stage::Training, &parameters).unwrap();
        (format!("{choice:?}"), config, aligner)
    };
    choices.map(build).collect()
}

fn irregular(count: usize) -> Vec<f64> {
    (0..count).map(|i| (0.9 * (i * i) as f64).cos()).collect()
}

#[test]
fn an_aligner_whose_loss_needs_more_than_its_pools_says_so() {
    let tokens = |n: usize| Tokens { values: tensor(&irregular(2 * n * 4), &[2, n, 4]), lengths: None };
    let mut more = 0;
    for (name, config, aligner) in configured(4) {
        let own = aligner.pairwise() || aligner.extra_loss(&tokens(4), &tokens(3)).unwrap().is_some();
        assert_eq!(config.pools_suffice(), !own, "{name}");
        more += usize::from(own);
    }
    assert!(more >= 3, "filip, pacl and sparc");
}

#[test]
fn whatever_an_aligner_computes_does_not_depend_on_how_far_captions_are_padded() {
    let (d, lengths) = (4, vec![4, 1, 3]);
    let image = Tokens { values: tensor(&irregular(3 * 6 * d), &[3, 6, d]), lengths: None };
    let words = irregular(3 * 4 * d);
    let padded = |width: usize, filling: f64| {
        let mut values = vec![filling; 3 * width * d];
        for (i, &length) in lengths.iter().enumerate() {
            values[i * width * d..][..length * d].copy_from_slice(&words[i * 4 * d..][..length * d]);
        }
        Tokens { values: tensor(&values, &[3, width, d]), lengths: Some(lengths.clone()) }
    };
    let (tight, wide) = (padded(4, 0.5), padded(7, -3.0));
    for (name, aligner) in aligners(d) {
        let all = |text: &Tokens<Cpu>| {
            let mut all = host(&aligner.pool(Side::Text, text).unwrap());
            all.extend(host(&aligner.similarity(&image, text).unwrap()));
            all.extend(aligner.extra_loss(&image, text).unwrap().map_or(vec![], |extra| host(&extra)));
            all
        };
        let (a, b) = (all(&tight), all(&wide));
        assert!(near(&a, &b), "{name}: {a:?} {b:?}");
        // Nor on the neighbours themselves.
        let third = |x: &Cpu| x.slice(0, 2, 1).unwrap();
        let alone = Tokens { values: third(&wide.values), lengths: Some(vec![3]) };
        let together = third(&aligner.pool(Side::Text, &wide).unwrap());
        assert!(near(&host(&aligner.pool(Side::Text, &alone).unwrap()), &host(&together)), "{name}");
        let alone = host(&aligner.similarity(&image, &alone).unwrap());
        let together = aligner.similarity(&image, &wide).unwrap();
        assert!(near(&alone, &host(&together.slice(1, 2, 1).unwrap())), "{name}");
    }
}

#[test]
fn every_aligner_pools_to_unit_vectors_that_patches_can_be_compared_with() {
    let image = Tokens { values: tensor(&irregular(2 * 5 * 4), &[2, 5, 4]), lengths: None };
    for (name, aligner) in aligners(4) {
        let pooled = aligner.pool(Side::Image, &image).unwrap();
        assert_eq!(pooled.shape(), [2, 4], "{name}");
        for row in host(&pooled).chunks(4) {
            let norm = row.iter().map(|x| x * x).sum::<f64>().sqrt();
            assert!((norm - 1.0).abs() < 1e-6, "{name}: {norm}");
        }
        let similarity = aligner.similarity(&image, &image).unwrap();
        let dots = pooled.matmul(&aligner.pool(Side::Text, &image).unwrap().t().unwrap()).unwrap();
        assert_eq!(aligner.pairwise(), !near(&host(&similarity), &host(&dots)), "{name}");
    }
}

#[test]
fn a_pool_is_the_sum_of_its_shares() {
    let values = irregular(3 * 5 * 4);
    let tokens = |lengths: Option<Vec<usize>>| Tokens { values: tensor(&values, &[3, 5, 4]), lengths };
    let loda = |padding| Loda { image_k: 2, text_k: 3, padding };
    type Case<'a> = (&'a dyn Aligner<Cpu>, Side, Option<Vec<usize>>);
    let cases: [Case<'_>; 6] = [
        (&Dense {}, Side::Image, None),
        (&Dense {}, Side::Text, Some(vec![5, 2, 4])),
        (&loda(Padding::PerCaption), Side::Image, None),
        (&loda(Padding::PerCaption), Side::Text, Some(vec![5, 2, 4])),
        (&loda(Padding::ShortestInBatch), Side::Text, Some(vec![5, 2, 4])),
        (&loda(Padding::Compete), Side::Text, Some(vec![5, 2, 4])),
    ];
    let all = aligners(4);
    let both = [(Side::Image, None), (Side::Text, Some(vec![5, 2, 4]))];
    let registered = all.iter().flat_map(|(_, aligner)| both.iter().map(|(side, l)| (&**aligner, *side, l.clone())));
    let mut sums = 0;
    for (i, (aligner, side, lengths)) in cases.into_iter().chain(registered).enumerate() {
        let tokens = tokens(lengths);
        let x = pooled_tokens(side, &tokens).unwrap();
        let Some(shares) = aligner.shares(side, &tokens).unwrap() else { continue };
        sums += 1;
        let sum = shares.mul(&x).unwrap().sum(1).unwrap().squeeze(1).unwrap().l2_normalize_pooled().unwrap();
        let (sum, pool) = (host(&sum), host(&aligner.pool(side, &tokens).unwrap()));
        assert!(sum.iter().zip(&pool).all(|(a, b)| (a - b).abs() < 1e-12), "case {i}: {sum:?} {pool:?}");
    }
    // Beside the six: dense, loda, token-top-k, three rules of soft-top-k, attention-pool without values, sparc.
    assert_eq!(sums, 6 + 2 * 8);
    assert!(Aligner::<Cpu>::shares(&Holistic {}, Side::Image, &tokens(None)).unwrap().is_none());
}

/// Keeps the attention, and asks for it.
struct Attentive(Option<Cpu>, bool);

impl Tap<Cpu> for Attentive {
    fn wants(&self, name: &str) -> bool {
        self.1 && name == "image/attention"
    }
    fn see(&mut self, name: &str, value: &Cpu) -> Result<(), Error> {
        if name == "image/attention" {
            self.0 = Some(value.clone());
        }
        Ok(())
    }
}

#[test]
fn the_last_layers_attention_is_shown_to_a_tap_that_wants_it() {
    let vit: Vit<Cpu> = Vit::layout(IMAGE).map("i", &mut larger).unwrap();
    let clip = Clip::layout(&CLIP).map(&mut larger).unwrap();
    let side = IMAGE.image_size;
    let pixels: Vec<f64> = (0..2 * 3 * side * side).map(|i| (0.3 * i as f64).sin()).collect();
    let pixels = tensor(&pixels, &[2, 3, side, side]);
    for encoder in [&vit as &dyn Encoder<Cpu, Input = Cpu>, &clip.image] {
        let mut asked = Attentive(None, true);
        encoder.encode(&pixels, &mut asked).unwrap();
        let attention = asked.0.unwrap();
        let n = 1 + (IMAGE.image_size / IMAGE.patch).pow(2);
        assert_eq!(attention.shape()[..1], [2]);
        assert_eq!(attention.shape()[2..], [n, n]);
        assert!(host(&attention).chunks(n).all(|row| (row.iter().sum::<f64>() - 1.0).abs() < 1e-12));
        let mut silent = Attentive(None, false);
        encoder.encode(&pixels, &mut silent).unwrap();
        assert!(silent.0.is_none(), "nobody asked");
    }
}

#[test]
fn k_above_the_number_of_tokens_names_its_key() {
    let tokens = Tokens { values: tensor(&[1.0; 6], &[1, 3, 2]), lengths: None };
    let loda = Loda { image_k: 3, text_k: 4, padding: Padding::Compete };
    let message = |side| loda.pool(side, &tokens).unwrap_err().to_string();
    assert_eq!(message(Side::Image), "aligner.image_k: from 1 to the 2 tokens there are, found 3");
    assert_eq!(message(Side::Text), "aligner.text_k: from 1 to the 3 tokens there are, found 4");
    let registry = ModelRegistry::<Cpu>::built_in();
    let config = |json: &str| registry.aligners.build(&serde_json::from_str::<Choice>(json).unwrap());
    let parsed = config(r#"{"kind": "loda", "image_k": 4, "text_k": 5, "eval_text_k": 9}"#).unwrap();
    let check = |patches, words| parsed.check(Limits { patches, words }).map_err(|error| error.to_string());
    assert!(check(4, 9).is_ok());
    assert!(check(3, 9).unwrap_err().starts_with("aligner.image_k: from 1 to the 3 patches"));
    assert!(check(4, 8).unwrap_err().starts_with("aligner.eval_text_k"));
    assert!(config(r#"{"kind": "loda", "image_k": 4, "text_k": 5, "image_kk": 1}"#).is_err());
    assert!(config(r#"{"kind": "dense", "image_k": 4}"#).is_err());
    assert!(config(r#"{"kind": "dense"}"#).is_ok());
}

#[test]
fn patches_keep_the_order_of_a_convolution_kernel() {
    // Value = 100·channel + 10·row + column of a 4×4 image, patches of 2.
    let pixels: Vec<f64> = (0..48).map(|i| f64::from(100 * (i / 16) + 10 * (i / 4 % 4) + i % 4)).collect();
    let patches = patchify(&tensor(&pixels, &[1, 3, 4, 4]), 2).unwrap();
    assert_eq!(patches.shape(), [1, 4, 12]);
    let second = host(&patches.slice(1, 1, 1).unwrap());
    assert_eq!(second, [2.0, 3.0, 12.0, 13.0, 102.0, 103.0, 112.0, 113.0, 202.0, 203.0, 212.0, 213.0]);
    assert!(patchify(&tensor(&pixels, &[1, 3, 4, 4]), 3).is_err());
}

#[test]
fn parameters_have_the_names_of_the_released_checkpoint_and_go_there_and_back() {
    let config = ModelConfig { image: IMAGE, text: BERT, projection: 5, temperature: 0.02 };
    let layout = config.layout().unwrap();
    let names: Vec<&str> = layout.names().collect();
    for name in [
        "image_encoder.model.model.cls_token",
        "image_encoder.model.model.patch_embed.proj.bias",
        "image_encoder.model.model.blocks.1.attn.qkv.weight",
        "image_encoder.model.model.norm.bias",
        "text_encoder.model.model.embeddings.token_type_embeddings.weight",
        "text_encoder.model.model.embeddings.LayerNorm.weight",
        "text_encoder.model.model.encoder.layer.1.attention.output.LayerNorm.bias",
        "text_encoder.model.model.encoder.layer.0.output.dense.weight",
        "image_projection.linear.weight",
        "text_projection.linear.weight",
        "loss.temperature",
    ] {
        assert!(names.contains(&name), "{name}");
    }
    // timm: 4 + 2·12 + 2; BERT: 5 + 2·16; projections and temperature: 3.
    assert_eq!(names.len(), 30 + 37 + 3);
    let numbers = layout.with((0..names.len()).collect()).unwrap();
    assert!(numbers.iter().map(|(_, i)| *i).eq(0..names.len()));
    assert!(layout.with((1..names.len()).collect()).is_err());
    assert_eq!(config.side("image_projection.linear.weight"), Some(Side::Image));
    assert_eq!(config.side("text_encoder.model.model.embeddings.LayerNorm.weight"), Some(Side::Text));
    assert_eq!(config.side("loss.temperature"), None);
}

#[test]
fn a_temperature_that_the_loss_would_move_at_once_is_refused() {
    let config = |temperature| ModelConfig { image: IMAGE, text: BERT, projection: 5, temperature };
    let message = |temperature| config(temperature).check().unwrap_err().to_string();
    assert_eq!(message(0.9), "model.temperature: from 0.001 to 0.5, found 0.9");
    assert_eq!(message(-1.0), "model.temperature: from 0.001 to 0.5, found -1");
    assert!(message(f64::NAN).contains("found NaN"));
    assert!(config(0.5).check().is_ok() && config(0.001).check().is_ok());
}
