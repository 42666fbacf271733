//! The whole LoDA + InfoNCE loss: gradients against central differences, and what the alignment promises.

use proptest::prelude::*;
use simseg_cpu::{CpuDevice, CpuTensor};
use simseg_model::bert::BertConfig;
use simseg_model::pool::{Dense, Holistic, Loda, LodaConfig, Padding, loda::top_k_mean};
use simseg_model::vit::VitConfig;
use simseg_model::{
    Aligner, AlignerConfig, Architecture, LossConfig, ModelConfig, ModelRegistry, Network, NetworkConfig, Parameters,
    Side, Stage, TokenBatch, Tokens,
};
use simseg_registry::Choice;
use simseg_tensor::{Autodiff, Differentiable, NoTap, Ops, Parameter, Result, Tensor};
use simseg_testkit::gradient::{differences_with, rules};
use simseg_testkit::hostile::{Domain, values};
use simseg_testkit::tolerance::DIFFERENCES;
use simseg_testkit::{Faulty, Mistake, plant};

type Cpu = CpuTensor<f64>;

const CONFIG: ModelConfig = ModelConfig {
    image: VitConfig { image_size: 8, patch: 4, width: 6, depth: 1, heads: 2 },
    text: BertConfig { vocabulary: 7, positions: 5, types: 2, width: 6, intermediate: 8, depth: 1, heads: 2 },
    projection: 5,
    temperature: 0.3,
};

fn captions() -> TokenBatch {
    TokenBatch::new(&[vec![1, 4, 2], vec![1, 5, 6, 3, 2], vec![1, 3, 5, 2]], 0, 0).unwrap()
}

/// An aligner and a loss by name.
#[derive(Debug, Clone)]
struct Parts {
    aligner: Choice,
    loss: Choice,
}

impl Parts {
    fn new(aligner: Choice) -> Self {
        Self { aligner, loss: Choice::new("info-nce").with("label_smoothing", 0.1) }
    }

    fn built<T: Tensor>(&self) -> (Box<dyn AlignerConfig<T>>, Box<dyn LossConfig<T>>) {
        let registry = ModelRegistry::<T>::built_in();
        (registry.aligners.build(&self.aligner).unwrap(), registry.losses.build(&self.loss).unwrap())
    }

    /// The parameters of the network, then the aligner's and the loss's own.
    fn layout(&self) -> Parameters<Parameter> {
        let (aligner, loss) = self.built::<Cpu>();
        let own = |prefix: &str, list: Vec<(String, Parameter)>| -> Vec<(String, Parameter)> {
            list.into_iter().map(|(name, parameter)| (format!("{prefix}.{name}"), parameter)).collect()
        };
        let (aligner, loss) = (own("aligner", aligner.parameters(CONFIG.projection)), own("loss", loss.parameters()));
        Parameters::new([CONFIG.parameters(), aligner, loss].concat()).unwrap()
    }
}

/// The loss as a function of all parameters and the pixels.
fn loss<T: Tensor<Device = CpuDevice>>(inputs: &[T], parts: &Parts) -> Result<T> {
    let (pixels, parameters) = inputs.split_last().expect("pixels come last");
    let parameters = parts.layout().with(parameters.to_vec())?;
    let (aligner, loss) = parts.built::<T>();
    let (aligner, loss) = (aligner.build(Stage::Training, &parameters)?, loss.build(&parameters)?);
    let model = CONFIG.build(&parameters)?;
    let image = model.encode_image(pixels, &mut NoTap)?;
    let text = model.encode_text(&captions(), &mut NoTap)?;
    let contrast = loss.loss(&aligner.similarity(&image, &text)?, &model.temperature()?)?;
    aligner.extra_loss(&image, &text)?.map_or(Ok(contrast.clone()), |extra| contrast.add(&extra))
}

fn inputs<T: Tensor<Device = CpuDevice>>(parts: &Parts) -> Vec<T> {
    let model: Parameters<T> = parts.layout().draw(3, &CpuDevice).unwrap();
    // Larger weights than a fresh network's: otherwise many gradients are near zero and prove little.
    let larger = |(name, p): (&str, &T)| if name.starts_with("loss.") { p.clone() } else { p.scale(3.0).unwrap() };
    let mut list: Vec<T> = model.iter().map(larger).collect();
    list.push(T::from_host(&values(Domain::Any, 3 * 3 * 64, 1), &[3, 3, 8, 8], &CpuDevice).unwrap());
    list
}

fn worst<D: Differentiable<Device = CpuDevice>>(parts: &Parts) -> std::result::Result<f64, String> {
    let x = inputs::<D>(parts);
    let got = rules(&x, |x| loss(x, parts)).map_err(|error| error.to_string())?;
    let want = differences_with(3e-5, &x, |x| loss(x, parts)).map_err(|error| error.to_string())?;
    let mut worst = 0.0f64;
    for (i, (got, want)) in got.iter().zip(&want).enumerate() {
        // Relative to each parameter's own largest gradient, not to 1.
        let scale = want.iter().fold(1e-2f64, |scale, g| scale.max(g.abs()));
        let [got, want] = [got, want].map(|list| list.iter().map(|g| g / scale).collect::<Vec<_>>());
        worst = worst.max(DIFFERENCES.compare(&format!("parameter {i}"), &got, &want)?);
    }
    Ok(worst)
}

fn loda(padding: Padding) -> Choice {
    LodaConfig { image_k: 2, text_k: 2, eval_image_k: None, eval_text_k: None, padding }.choice()
}

/// Every registered aligner, with settings where it needs some; and every registered loss, with the same aligner.
fn all() -> Vec<Parts> {
    let registry = ModelRegistry::<Cpu>::built_in();
    let aligners = registry.aligners.names().into_iter().flat_map(|name| match name {
        "loda" => [Padding::PerCaption, Padding::ShortestInBatch, Padding::Compete].map(loda).into(),
        "token-top-k" => vec![Choice::new(name).with("image_k", 2).with("text_k", 2)],
        "soft-top-k" => ["softmax", "sparsemax", "entmax15"].map(|rule| Choice::new(name).with("rule", rule)).into(),
        "attention-pool" => vec![Choice::new(name).with("value_projection", true)],
        other => vec![Choice::new(other)],
    });
    let losses = registry.losses.names().into_iter();
    let losses = losses.map(|name| Parts { aligner: loda(Padding::PerCaption), loss: Choice::new(name) });
    aligners.map(Parts::new).chain(losses).collect()
}

#[test]
fn gradients_of_the_whole_loss_agree_with_central_differences() {
    for parts in all() {
        let worst = worst::<Autodiff<Cpu>>(&parts).unwrap_or_else(|error| panic!("{parts:?}: {error}"));
        println!("{}, {}: worst relative difference {worst:.1e}", parts.aligner.kind, parts.loss.kind);
    }
}

#[test]
fn a_wrong_rule_anywhere_in_the_loss_is_caught() {
    let loda = Parts::new(loda(Padding::PerCaption));
    let caught = |mistake| {
        plant(mistake);
        let caught = worst::<Autodiff<Faulty<Cpu>>>(&loda).is_err();
        plant(None);
        caught
    };
    assert!(caught(Some(Mistake::GeluGradWithoutDensity)) && caught(Some(Mistake::LayerNormGradWithoutMean)));
    assert!(caught(Some(Mistake::LinearGradNotTransposed)) && caught(Some(Mistake::AttentionGradWithoutScale)));
    assert!(!caught(None));
}

fn tensor(values: &[f64], shape: &[usize]) -> Cpu {
    Cpu::from_host(values, shape, &CpuDevice).unwrap()
}

fn host(x: &Cpu) -> Vec<f64> {
    x.to_vec().unwrap()
}

fn near(a: &[f64], b: &[f64]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-12)
}

fn tokens() -> impl Strategy<Value = (Vec<f64>, usize, usize)> {
    (2usize..9, 1usize..6).prop_flat_map(|(n, d)| (prop::collection::vec(-3.0f64..3.0, n * d), Just(n), Just(d)))
}

proptest! {
    #[test]
    fn loda_ignores_token_order((x, n, d) in tokens(), k in 1usize..9, turn in 0usize..9) {
        let k = k.min(n);
        let mut turned = x.clone();
        turned.rotate_left(turn % n * d);
        turned[..n / 2 * d].reverse(); // reverses channels too, so put them back
        turned[..n / 2 * d].chunks_mut(d).for_each(<[f64]>::reverse);
        let [a, b] = [&x, &turned].map(|x| host(&top_k_mean(&tensor(x, &[1, n, d]), k, None).unwrap()));
        prop_assert!(near(&a, &b), "{a:?} {b:?}");
    }

    #[test]
    fn loda_with_every_token_is_dense((x, n, d) in tokens()) {
        let image = Tokens { values: tensor(&[&vec![7.0; d][..], &x].concat(), &[1, n + 1, d]), lengths: None };
        let all = Loda { image_k: n, text_k: n, padding: Padding::PerCaption };
        let (a, b) = (all.pool(Side::Image, &image).unwrap(), Dense {}.pool(Side::Image, &image).unwrap());
        prop_assert!(near(&host(&a), &host(&b)));
        let text = Tokens { values: tensor(&x, &[1, n, d]), lengths: Some(vec![n - 1]) };
        let (a, b) = (all.pool(Side::Text, &text).unwrap(), Dense {}.pool(Side::Text, &text).unwrap());
        prop_assert!(near(&host(&a), &host(&b)));
    }

    #[test]
    fn pairwise_mean_is_the_dot_of_the_pools((x, n, d) in tokens(), (y, m, e) in tokens(), i in 1usize..9, j in 1usize..9) {
        let (d, i, j) = (d.min(e), i.min(n), j.min(m));
        let (x, y) = (tensor(&x[..n * d], &[1, n, d]), tensor(&y[..m * d], &[1, m, d]));
        let rows = |x: &Cpu, k: usize| host(&x.gather(1, &x.topk(k, 1).unwrap()).unwrap());
        let (u, v) = (rows(&x, i), rows(&y, j)); // eq. 2 and 3: the first rows after sorting each channel
        let mut eq4 = 0.0;
        for u in u.chunks(d) {
            eq4 += v.chunks(d).map(|v| u.iter().zip(v).map(|(a, b)| a * b).sum::<f64>()).sum::<f64>();
        }
        let pools = [top_k_mean(&x, i, None).unwrap(), top_k_mean(&y, j, None).unwrap()].map(|z| host(&z));
        let dot: f64 = pools[0].iter().zip(&pools[1]).map(|(a, b)| a * b).sum();
        prop_assert!((eq4 / (i * j) as f64 - dot).abs() < 1e-10);
    }

    #[test]
    fn a_caption_does_not_depend_on_its_neighbours(
        mine in prop::collection::vec(1u32..7, 1..5), other in prop::collection::vec(1u32..7, 1..5), k in 1usize..6,
    ) {
        let model: Box<dyn Network<Cpu>> =
            CONFIG.build(&CONFIG.layout().unwrap().draw(1, &CpuDevice).unwrap()).unwrap();
        let loda = Loda { image_k: 1, text_k: k, padding: Padding::PerCaption };
        for aligner in [&loda as &dyn Aligner<Cpu>, &Dense {}, &Holistic {}] {
            let embed = |captions: &[Vec<u32>]| {
                let batch = TokenBatch::new(captions, 0, 0).unwrap();
                let tokens = model.encode_text(&batch, &mut NoTap).unwrap();
                host(&aligner.pool(Side::Text, &tokens).unwrap())
            };
            let (alone, together) = (embed(std::slice::from_ref(&mine)), embed(&[mine.clone(), other.clone()]));
            prop_assert!(near(&alone, &together[..alone.len()]));
        }
    }
}

#[test]
fn the_released_pooling_does_depend_on_its_neighbours() {
    // The quirk that `Padding::ShortestInBatch` reproduces: a short neighbour lowers everyone's k.
    let x = tensor(&[1.0, 5.0, 3.0, 2.0, 9.0, 9.0], &[2, 3, 1]);
    let pool = |lengths: Vec<usize>, padding| {
        let tokens = Tokens { values: x.clone(), lengths: Some(lengths.clone()) };
        let k = match padding {
            Padding::ShortestInBatch => lengths.iter().copied().min().unwrap().min(2),
            _ => 2,
        };
        host(&top_k_mean(&tokens.values, k, tokens.lengths.as_deref()).unwrap())[0]
    };
    assert_eq!(pool(vec![3, 3], Padding::ShortestInBatch), 4.0);
    assert_eq!(pool(vec![3, 1], Padding::ShortestInBatch), 5.0);
    assert_eq!(pool(vec![3, 1], Padding::PerCaption), 4.0);
}
