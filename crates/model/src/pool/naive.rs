//! What tests of aligners share: a batch with padding, and plain lists of numbers to pool by hand.

use super::Limits;
use crate::{ModelRegistry, Tokens};
use simseg_cpu::{CpuDevice, CpuTensor};
use simseg_registry::Choice;
use simseg_tensor::{Ops, Tensor};

type Cpu = CpuTensor<f32>;

/// Smooth but irregular numbers.
pub(crate) fn waves(count: usize) -> Vec<f32> {
    (0..count).map(|i| 1.3 * (0.7 * (i * i + i) as f32 + 0.4).sin()).collect()
}

/// Two images of a \[CLS\] token and five patches, three captions of 6, 1 and 4 words padded to 6; four channels.
pub(crate) fn batch() -> (Tokens<Cpu>, Tokens<Cpu>) {
    let tensor = |values: &[f32], shape: &[usize]| Cpu::from_host(values, shape, &CpuDevice).unwrap();
    let values = waves(2 * 6 * 4 + 3 * 6 * 4);
    let (image, text) = values.split_at(2 * 6 * 4);
    let image = Tokens { values: tensor(image, &[2, 6, 4]), lengths: None };
    (image, Tokens { values: tensor(text, &[3, 6, 4]), lengths: Some(vec![6, 1, 4]) })
}

/// The tokens of every item as plain lists, padding left out.
pub(crate) fn all_items(tokens: &Tokens<Cpu>) -> Vec<Vec<Vec<f32>>> {
    let [b, n, d] = tokens.values.dims().unwrap();
    let values = row(&tokens.values);
    let lengths = tokens.lengths.clone().unwrap_or(vec![n; b]);
    let item = |(x, l): (&[f32], usize)| x.chunks(d).take(l).map(<[f32]>::to_vec).collect();
    values.chunks(n * d).zip(lengths).map(item).collect()
}

/// The patches of every image, without \[CLS\].
pub(crate) fn image_items(tokens: &Tokens<Cpu>) -> Vec<Vec<Vec<f32>>> {
    all_items(tokens).into_iter().map(|item| item[1..].to_vec()).collect()
}

/// The words of every caption.
pub(crate) fn text_items(tokens: &Tokens<Cpu>) -> Vec<Vec<Vec<f32>>> {
    all_items(tokens)
}

/// All values, row-major.
pub(crate) fn row(x: &Cpu) -> Vec<f32> {
    x.to_f32().unwrap()
}

pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

pub(crate) fn unit(x: &[f32]) -> Vec<f32> {
    let norm = dot(x, x).sqrt();
    x.iter().map(|x| x / norm).collect()
}

/// Asserts that two lists agree to the rounding of f32.
pub(crate) fn near(got: &[f32], want: &[f32]) {
    assert_eq!(got.len(), want.len());
    assert!(got.iter().zip(want).all(|(a, b)| (a - b).abs() < 2e-5), "{got:?} is not {want:?}");
}

/// Why an aligner of these settings cannot be, for images of 4 patches and captions of 6 tokens.
pub(crate) fn refused(kind: &str, settings: &str) -> String {
    let mut choice = Choice::new(kind);
    choice.settings = serde_json::from_str(settings).unwrap();
    match ModelRegistry::<Cpu>::built_in().aligners.build(&choice) {
        Err(error) => error.to_string(),
        Ok(config) => config.check(Limits { patches: 4, words: 6 }).unwrap_err().to_string(),
    }
}
