//! The networks, the loss and the optimiser against timm, transformers and torch (`golden/make.py`).
//!
//! Weights come from their names on both sides, so a wrong name is a wrong number. In f64 the formulas must agree to 1e-12,
//! which tells LayerNorm's 1e-6 from 1e-5 and exact GELU from its approximations (see the last test); in f32 to 1e-5.

use serde_json::Value;
use simseg_cpu::{CpuDevice, CpuTensor};
use simseg_model::bert::{Bert, BertConfig};
use simseg_model::clip::{Clip, ClipConfig, ClipTextConfig, Gelu};
use simseg_model::vit::{Vit, VitConfig};
use simseg_model::{AdamW, AdamWConfig, Encoder, Network, TokenBatch, Tokens, nce};
use simseg_tensor::{Autodiff, Differentiable, Error, NoTap, Ops, Parameter, Tap, Tensor};

const VIT: VitConfig = VitConfig { image_size: 12, patch: 4, width: 12, depth: 2, heads: 3 };
const BERT: BertConfig =
    BertConfig { vocabulary: 9, positions: 6, types: 2, width: 12, intermediate: 20, depth: 2, heads: 3 };
const CLIP: ClipConfig = ClipConfig {
    image: VitConfig { image_size: 8, patch: 4, width: 8, depth: 2, heads: 2 },
    text: ClipTextConfig { vocabulary: 9, positions: 6, width: 8, depth: 2, heads: 2 },
    projection: 6,
    gelu: Gelu::Quick,
};

/// `filled` of `golden/make.py`.
fn filled<T: Tensor<Device = CpuDevice>>(name: &str, shape: &[usize]) -> T {
    let seed = name.bytes().fold(2_166_136_261u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(16_777_619));
    let around = if shape.len() == 1 && name.ends_with("weight") { 0.5 } else { -0.5 };
    let value = |i: u32| {
        let mut x = i.wrapping_add(seed).wrapping_mul(0x9E37_79B1);
        x ^= x >> 15;
        x = x.wrapping_mul(0x85EB_CA77);
        x ^= x >> 13;
        f64::from(x) / 4_294_967_296.0 + around
    };
    let values: Vec<f64> = (0..shape.iter().product::<usize>() as u32).map(value).collect();
    T::from_host(&values, shape, &CpuDevice).unwrap()
}

fn fill<T: Tensor<Device = CpuDevice>>(name: &str, parameter: &Parameter) -> Result<T, Error> {
    Ok(filled(name, &parameter.shape))
}

fn golden(key: &str) -> Vec<f64> {
    let all: Value = serde_json::from_str(include_str!("golden/parity.json")).unwrap();
    let list = key.split('/').fold(&all, |value, key| &value[key]);
    list.as_array().expect(key).iter().map(|number| number.as_f64().unwrap()).collect()
}

/// Largest difference, relative to values above 1.
fn worst(got: &[f64], want: &[f64]) -> f64 {
    assert_eq!(got.len(), want.len());
    let differences = got.iter().zip(want).map(|(a, b)| (a - b).abs() / b.abs().max(1.0));
    differences.fold(0.0, |worst, d| if d.is_nan() { f64::NAN } else { worst.max(d) })
}

fn check(key: &str, got: &[f64], tolerance: f64) {
    let worst = worst(got, &golden(key));
    println!("{key}: worst difference {worst:.1e} of {tolerance:.0e}");
    assert!(worst <= tolerance, "{key}: {worst:.1e}"); // NaN fails
}

fn host<T: Tensor>(x: &T) -> Vec<f64> {
    x.to_vec().unwrap()
}

/// The tokens that are not padding, sentence by sentence.
fn real<T: Tensor>(tokens: &Tokens<T>) -> Vec<f64> {
    let [_, m, d] = tokens.values.dims().unwrap();
    let (values, lengths) = (host(&tokens.values), tokens.lengths.as_ref().unwrap());
    lengths.iter().enumerate().flat_map(|(i, l)| values[i * m * d..(i * m + l) * d].to_vec()).collect()
}

fn vit<T: Tensor<Device = CpuDevice>>(shape: &[usize]) -> Vec<f64> {
    let vit: Vit<T> = Vit::layout(VIT).map("image_encoder.model.model", &mut fill).unwrap();
    host(&vit.encode(&filled("pixels", shape), &mut NoTap).unwrap().values)
}

fn bert<T: Tensor<Device = CpuDevice>>() -> Vec<f64> {
    let bert: Bert<T> = Bert::layout(BERT).map("text_encoder.model.model", &mut fill).unwrap();
    let batch = TokenBatch::new(&[vec![1, 5, 6, 3, 2], vec![1, 4, 2]], 0, 0).unwrap();
    real(&bert.encode(&batch, &mut NoTap).unwrap())
}

fn everything<T: Tensor<Device = CpuDevice>>(tolerance: f64) {
    check("vit", &vit::<T>(&[2, 3, 12, 12]), tolerance);
    check("vit_20x28", &vit::<T>(&[1, 3, 20, 28]), tolerance); // a larger grid that is not square
    check("vit_8x8", &vit::<T>(&[1, 3, 8, 8]), tolerance); //     and a smaller one
    check("bert", &bert::<T>(), tolerance);

    let clip: Clip<T> = Clip::layout(&CLIP).map(&mut fill).unwrap();
    let image = clip.encode_image(&filled("pixels", &[2, 3, 8, 8]), &mut NoTap).unwrap();
    let batch = TokenBatch::new(&[vec![7, 5, 6, 3, 8], vec![7, 4, 8]], 0, 0).unwrap();
    let text = clip.encode_text(&batch, &mut NoTap).unwrap();
    let class_token = |tokens: &Tokens<T>| host(&tokens.values.slice(1, 0, 1).unwrap());
    check("clip/image", &class_token(&image), tolerance);
    check("clip/text", &class_token(&text), tolerance);
    // Ours has the [CLS] token first: put it back to the end.
    let mut words = real(&text);
    words[..5 * 6].rotate_left(6);
    words[5 * 6..].rotate_left(6);
    check("clip/words", &words, tolerance);
}

#[test]
fn networks_agree_with_timm_and_transformers_in_f64() {
    everything::<CpuTensor<f64>>(1e-12);
}

#[test]
fn networks_agree_with_timm_and_transformers_in_f32() {
    everything::<CpuTensor<f32>>(1e-5);
}

#[test]
fn the_tolerance_rejects_the_wrong_constant() {
    // LayerNorm's ε of one norm, 1e-6 → 1e-5, is the smallest mistake we know of.
    let mut vit: Vit<CpuTensor<f64>> = Vit::layout(VIT).map("image_encoder.model.model", &mut fill).unwrap();
    vit.blocks[0].norm1.eps = 1e-5;
    let got = host(&vit.encode(&filled("pixels", &[2, 3, 12, 12]), &mut NoTap).unwrap().values);
    let difference = worst(&got, &golden("vit"));
    assert!(difference > 1e-8, "{difference:.1e}");
}

/// Names of everything seen.
#[derive(Default)]
struct Names(Vec<String>);

impl<T: Tensor> Tap<T> for Names {
    fn see(&mut self, name: &str, _: &T) -> Result<(), Error> {
        self.0.push(name.to_owned());
        Ok(())
    }
}

#[test]
fn taps_see_every_layer_once_and_in_order() {
    let clip: Clip<CpuTensor<f32>> = Clip::layout(&CLIP).map(&mut fill).unwrap();
    let vit: Vit<CpuTensor<f32>> = Vit::layout(VIT).map("v", &mut fill).unwrap();
    let want = ["image/embed", "image/block/0", "image/block/1", "image/tokens"];
    let (mut ours, mut theirs) = (Names::default(), Names::default());
    vit.encode(&filled("pixels", &[1, 3, 12, 12]), &mut ours).unwrap();
    clip.encode_image(&filled("pixels", &[1, 3, 8, 8]), &mut theirs).unwrap();
    assert_eq!(ours.0, want);
    assert_eq!(theirs.0, want);
}

#[test]
fn the_loss_and_its_gradients_are_those_of_torch() {
    type D = Autodiff<CpuTensor<f64>>;
    for (key, smoothing) in [("nce", 0.0), ("nce_smooth", 0.1)] {
        let s = filled::<D>("similarity", &[5, 5]).leaf();
        let tau = D::from_host(&[0.07f64], &[], &CpuDevice).unwrap().leaf();
        let loss = nce::info_nce(&s, &tau, smoothing).unwrap();
        let gradients = loss.grad(&[&tau, &s]).unwrap();
        let got: Vec<f64> = [&loss, &gradients[0], &gradients[1]].into_iter().flat_map(host).collect();
        check(key, &got, 1e-10);
    }
}

#[test]
fn five_steps_of_adamw_are_those_of_torch() {
    for (key, clip_norm, weight_decay) in [("adamw", 0.0, 0.1), ("adamw_clipped", 0.5, 0.0)] {
        let mut p: Vec<CpuTensor<f64>> = vec![filled("matrix", &[3, 2]), filled("vector", &[4])];
        let config = AdamWConfig { clip_norm, weight_decay, ..Default::default() };
        let mut optimiser = AdamW::new(config, &p).unwrap();
        for step in 0..5 {
            let gradient = |(i, p): (usize, &CpuTensor<f64>)| {
                filled::<CpuTensor<f64>>(&format!("gradient {step} {i}"), p.shape()).scale(3.0).unwrap()
            };
            let gradients: Vec<_> = p.iter().enumerate().map(gradient).collect();
            p = optimiser.update(&p, &gradients, 0.01 * f64::from(step + 1)).unwrap();
        }
        check(key, &p.iter().flat_map(host).collect::<Vec<_>>(), 1e-12);
    }
}
