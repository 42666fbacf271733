//! What the training side promises: gradients of a big batch in small parts, steps that resume exactly, a temperature
//! that comes back, decay where it belongs.

use simseg_cpu::{CpuDevice, CpuTensor};
use simseg_model::accumulate::accumulate;
use simseg_model::bert::BertConfig;
use simseg_model::clip::{ClipConfig, ClipTextConfig, Gelu};
use simseg_model::pool::{Loda, Padding};
use simseg_model::vit::VitConfig;
use simseg_model::{
    AdamW, AdamWConfig, Aligner, Architecture, ModelConfig, Network, NetworkConfig, Parameters, Schedule, Side,
    TokenBatch, adamw, nce,
};
use simseg_tensor::{Autodiff, Differentiable, Error, NoTap, Ops, Result, Tensor};

type Cpu = CpuTensor<f64>;
type D = Autodiff<Cpu>;

const CONFIG: ModelConfig = ModelConfig {
    image: VitConfig { image_size: 8, patch: 4, width: 6, depth: 1, heads: 2 },
    text: BertConfig { vocabulary: 7, positions: 5, types: 2, width: 6, intermediate: 8, depth: 1, heads: 2 },
    projection: 5,
    temperature: 0.3,
};

fn tensor<T: Tensor<Device = CpuDevice>>(values: &[f64], shape: &[usize]) -> T {
    T::from_host(values, shape, &CpuDevice).unwrap()
}

fn host<T: Tensor>(x: &T) -> Vec<f64> {
    x.to_vec().unwrap()
}

/// Smooth but irregular numbers.
fn waves(count: usize) -> Vec<f64> {
    (0..count).map(|i| (0.7 * (i * i) as f64).sin()).collect()
}

/// Starting values of the model.
fn drawn() -> Parameters<D> {
    CONFIG.layout().unwrap().draw(5, &CpuDevice).unwrap()
}

/// Pooled embeddings of pairs `start .. end` of five.
fn embed(parameters: &[D], start: usize, end: usize) -> Result<[D; 2]> {
    let captions = [vec![1, 4, 2], vec![1, 5, 6, 3, 2], vec![1, 3, 5, 2], vec![1, 2], vec![1, 6, 6, 2]];
    let pixels = tensor::<D>(&waves(5 * 3 * 64), &[5, 3, 8, 8]).slice(0, start, end - start)?;
    let model = CONFIG.build(&CONFIG.layout()?.with(parameters.to_vec())?)?;
    let aligner: &dyn Aligner<D> = &Loda { image_k: 2, text_k: 2, padding: Padding::PerCaption };
    let image = aligner.pool(Side::Image, &model.encode_image(&pixels, &mut NoTap)?)?;
    let batch = TokenBatch::new(&captions[start..end], 0, 0)?;
    Ok([image, aligner.pool(Side::Text, &model.encode_text(&batch, &mut NoTap)?)?])
}

fn contrast(parameters: &[D], images: &D, captions: &D) -> Result<D> {
    let temperature = parameters.last().expect("the temperature comes last");
    nce::info_nce(&images.matmul(&captions.t()?)?, temperature, 0.1)
}

#[test]
fn a_batch_in_parts_has_the_gradients_of_the_whole() {
    let model = drawn();
    let parameters: Vec<D> = model.values().iter().map(|p| p.scale(1.5).unwrap()).collect();
    let leaves: Vec<D> = parameters.iter().map(Differentiable::leaf).collect();
    let [images, captions] = embed(&leaves, 0, 5).unwrap();
    let whole = contrast(&leaves, &images, &captions).unwrap();
    let want = whole.grad(&leaves.iter().collect::<Vec<_>>()).unwrap();

    let cuts = [0, 2, 3, 5]; // parts of 2, 1 and 2 pairs
    let (loss, got) = accumulate(&parameters, 3, |p, s| embed(p, cuts[s], cuts[s + 1]), contrast).unwrap();
    assert!((host(&loss)[0] - host(&whole)[0]).abs() < 1e-12);
    let mut largest = 0.0f64;
    for (name, (got, want)) in model.names().zip(got.iter().zip(&want)) {
        for (a, b) in host(got).iter().zip(host(want)) {
            assert!((a - b).abs() < 1e-12, "{name}: {a} is not {b}");
            largest = largest.max(b.abs());
        }
    }
    assert!(largest > 1e-2, "gradients of zero would prove nothing");
}

#[test]
fn parts_contrasted_alone_would_be_another_loss() {
    // What accumulating losses of sub-batches would compute instead: fewer wrong pairs, another gradient.
    let parameters: Vec<D> = drawn().values().to_vec();
    let loss = |start, end| {
        let [images, captions] = embed(&parameters, start, end).unwrap();
        contrast(&parameters, &images, &captions).unwrap().item().unwrap()
    };
    assert!((loss(0, 4) - 0.5 * (loss(0, 2) + loss(2, 4))).abs() > 0.1);
}

#[test]
fn steps_after_a_restored_state_are_the_same_to_the_bit() {
    let gradients = |step: usize| vec![tensor::<Cpu>(&waves(6 + step)[step..], &[2, 3])];
    let run = |stop: Option<usize>| {
        let mut p = vec![tensor::<Cpu>(&waves(6), &[2, 3])];
        let mut optimiser = AdamW::new(AdamWConfig::default(), &p).unwrap();
        for step in 0..8 {
            if stop == Some(step) {
                let again = |list: &[Cpu]| list.iter().map(|x| tensor(&host(x), x.shape())).collect::<Vec<Cpu>>();
                (p, optimiser) =
                    (again(&p), AdamW { m: again(&optimiser.m), v: again(&optimiser.v), ..optimiser.clone() });
            }
            p = optimiser.update(&p, &gradients(step), 0.01).unwrap();
        }
        host(&p[0])
    };
    assert_eq!(run(None), run(Some(4)));
}

#[test]
fn decay_spares_vectors_and_the_temperature_unless_told_otherwise() {
    let p: Vec<Cpu> = vec![tensor(&[2.0; 4], &[2, 2]), tensor(&[2.0; 2], &[2]), tensor(&[2.0], &[])];
    let zeros: Vec<Cpu> = p.iter().map(|p| p.zeros_like().unwrap()).collect();
    for (decay_all, want) in [(false, [1.9, 2.0, 2.0]), (true, [1.9, 1.9, 1.9])] {
        let config = AdamWConfig { weight_decay: 0.5, decay_all, ..Default::default() };
        let after = AdamW::new(config, &p).unwrap().update(&p, &zeros, 0.1).unwrap();
        assert_eq!([0, 1, 2].map(|i| host(&after[i])[0]), want);
    }
}

#[test]
fn a_gradient_list_of_another_length_is_an_error() {
    let p: Vec<Cpu> = vec![tensor(&[2.0], &[1]), tensor(&[2.0], &[1])];
    let mut optimiser = AdamW::new(AdamWConfig::default(), &p).unwrap();
    assert!(optimiser.update(&p, &p[..1], 0.1).is_err());
    assert_eq!(optimiser.step, 0);
    assert!((adamw::norm(&p).unwrap() - 8f64.sqrt()).abs() < 1e-15);
}

#[test]
fn an_optimiser_that_lost_means_to_an_error_takes_no_further_step() {
    let p: Vec<Cpu> = vec![tensor(&[2.0], &[1]), tensor(&[2.0], &[1])];
    let mut optimiser = AdamW::new(AdamWConfig::default(), &p).unwrap();
    let misshapen = [p[0].clone(), tensor(&[1.0; 2], &[2])];
    assert!(optimiser.update(&p, &misshapen, 0.1).is_err());
    assert!(matches!(optimiser.update(&p, &p, 0.1), Err(Error::Shape { op: "AdamW", .. })));
}

#[test]
fn a_temperature_past_its_bound_only_comes_back_when_held() {
    let slope = |tau: f64| {
        let tau = tensor::<D>(&[tau], &[]).leaf();
        let s = tensor::<D>(&[0.9, 0.1, 0.2, 0.8], &[2, 2]);
        host(&nce::info_nce(&s, &tau, 0.0).unwrap().grad(&[&tau]).unwrap()[0])[0]
    };
    assert_eq!(slope(0.6), 0.0); // beyond: nothing pulls it back
    let held = nce::bounded(&tensor::<Cpu>(&[0.6], &[])).unwrap().item().unwrap();
    assert_eq!(held, 0.5);
    assert!(slope(held) > 0.1); // on the bound: it can leave
}

#[test]
fn clips_scale_is_held_where_the_loss_can_move_it() {
    let text = ClipTextConfig { vocabulary: 7, positions: 5, width: 6, depth: 1, heads: 2 };
    let config = ClipConfig { image: CONFIG.image, text, projection: 5, gelu: Gelu::Quick };
    let network: Box<dyn Network<Cpu>> = config.build(&config.layout().unwrap().draw(0, &CpuDevice).unwrap()).unwrap();
    let held = |scale: f64| network.bounded("logit_scale", &tensor(&[scale], &[])).unwrap().unwrap().item().unwrap();
    assert_eq!(held(2.0), 2.0);
    for scale in [-3.0, 9.0] {
        let divisor = (-held(scale)).exp();
        assert!((0.01 - 1e-9..=0.5 + 1e-9).contains(&divisor), "{scale}: {divisor}");
    }
    assert!(network.bounded("visual.proj", &tensor(&[1.0], &[])).unwrap().is_none());
}

#[test]
fn the_loss_wants_one_caption_per_image() {
    let (s, tau) = (tensor::<Cpu>(&[0.0; 6], &[2, 3]), tensor::<Cpu>(&[0.1], &[]));
    assert!(matches!(nce::info_nce(&s, &tau, 0.0), Err(Error::Shape { op: "info_nce", .. })));
    assert!(nce::info_nce(&s.t().unwrap(), &tau, 0.0).is_err());
}

#[test]
fn the_rate_rises_then_falls_and_stays_on_its_floor() {
    let schedule = Schedule { rate: 2.0, warmup: 10, floor: 0.1 };
    let rates: Vec<f64> = (0..=150).map(|step| schedule.rate_at(step, 100)).collect();
    assert_eq!((rates[0], rates[10]), (0.0, 2.0));
    assert!(rates[..=10].windows(2).all(|pair| pair[0] < pair[1]));
    assert!(rates[10..=100].windows(2).all(|pair| pair[0] > pair[1]));
    assert!(rates[100..].iter().all(|rate| (rate - 0.2).abs() < 1e-12));
    let all_warm = Schedule { rate: 1.0, warmup: 100, floor: 0.5 };
    assert!((0..=200).all(|step| all_warm.rate_at(step, 100).is_finite()));
}
