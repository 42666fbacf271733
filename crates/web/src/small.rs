//! The model that learns in a tab: the two transformers of `experiments/alignment.toml`, a third as wide and one block deep.
//!
//! Its weights travel as a list of numbers in the order of its parameters: 4 bytes each between workers, 2 bytes (bf16) in the page.

use serde::{Deserialize, Serialize};
use simseg::{Error, Loaded, Model, ModelDescription, Recipe, Registry, Result};
use simseg_cpu::{CpuDevice, CpuTensor};
use simseg_data::{Tokenizer, World};
use simseg_model::bert::BertConfig;
use simseg_model::vit::VitConfig;
use simseg_model::{ModelConfig, Parameters};
use simseg_registry::Choice;
use simseg_tensor::{Ops, Parameter, Tensor};
use std::sync::Arc;

/// The only backend that a browser has.
pub type Cpu = CpuTensor<f32>;

/// The three ways to align that the page compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Aligner {
    /// \[CLS\] to \[CLS\].
    Holistic,
    /// Means over all patches and words.
    Dense,
    /// The strongest responses of every channel.
    Loda,
}

impl Aligner {
    /// All of them, as the page lists them.
    pub const ALL: [Self; 3] = [Self::Holistic, Self::Dense, Self::Loda];

    /// The aligner by name; `k` are the responses over patches and words that LoDA pools.
    pub fn choice(self, [image_k, text_k]: [usize; 2]) -> Choice {
        match self {
            Self::Holistic => Choice::new("holistic"),
            Self::Dense => Choice::new("dense"),
            Self::Loda => Choice::new("loda").with("image_k", image_k).with("text_k", text_k),
        }
    }
}

/// The words that it knows.
///
/// # Errors
/// Never: the list is fixed.
pub fn tokenizer() -> Result<Tokenizer> {
    Ok(Tokenizer::from_words(World::words())?)
}

/// What the model is.
///
/// # Errors
/// Never: the list of words is fixed.
pub fn description(aligner: Choice) -> Result<ModelDescription> {
    let image = VitConfig { image_size: 64, patch: 8, width: 32, depth: 1, heads: 2 };
    let (width, vocabulary) = (32, tokenizer()?.vocabulary());
    let text = BertConfig { vocabulary, positions: 25, types: 2, width, intermediate: 4 * width, depth: 1, heads: 2 };
    let model = ModelConfig { image, text, projection: 32, temperature: 0.05 };
    Ok(ModelDescription { model: model.choice(), aligner })
}

/// Names and shapes of its parameters.
///
/// # Errors
/// If the aligner does not fit.
pub fn layout(aligner: Choice) -> Result<Parameters<Parameter>> {
    description(aligner)?.layout(&Registry::<Cpu>::built_in())
}

/// The model with these parameters, used as the recipe says.
///
/// # Errors
/// If the recipe does not fit.
pub fn model(aligner: Choice, parameters: Parameters<Cpu>, recipe: Option<Recipe>) -> Result<Model> {
    let loaded = Loaded { description: description(aligner)?, parameters, tokenizer: tokenizer()?, rounded: None };
    Model::assemble(loaded, recipe, Arc::new(Registry::built_in()), &CpuDevice)
}

/// All numbers, 4 bytes each.
///
/// # Errors
/// If the backend fails.
pub fn bytes<T: Tensor>(parameters: &Parameters<T>) -> Result<Vec<u8>> {
    let mut bytes = vec![];
    for value in parameters.values() {
        bytes.extend(value.to_f32()?.into_iter().flat_map(f32::to_le_bytes));
    }
    Ok(bytes)
}

/// The same rounded to bf16, 2 bytes each: the upper half of a number, the nearest one, the even one on a tie.
pub fn rounded(bytes: &[u8]) -> Vec<u8> {
    let number = |four: &[u8]| u32::from_le_bytes([four[0], four[1], four[2], four[3]]);
    let half = |bits: u32| ((bits + 0x7fff + ((bits >> 16) & 1)) >> 16) as u16;
    bytes.chunks_exact(4).flat_map(|four| half(number(four)).to_le_bytes()).collect()
}

/// Parameters from 2 or 4 bytes for each number.
///
/// # Errors
/// If there are not as many as the model has.
pub fn parameters(aligner: Choice, bytes: &[u8]) -> Result<Parameters<Cpu>> {
    let layout = layout(aligner)?;
    let area = |parameter: &Parameter| parameter.shape.iter().product::<usize>();
    let count: usize = layout.values().iter().map(area).sum();
    let values: Vec<f32> = match bytes.len() {
        found if found == 2 * count => {
            bytes.chunks_exact(2).map(|two| f32::from_le_bytes([0, 0, two[0], two[1]])).collect()
        }
        found if found == 4 * count => {
            bytes.chunks_exact(4).map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]])).collect()
        }
        found => {
            return Err(Error::input("weights", format!("{found} bytes; expected 2 or 4 for each of {count} numbers")));
        }
    };
    let mut rest = &values[..];
    let mut next = |parameter: &Parameter| {
        let (own, others) = rest.split_at(area(parameter));
        rest = others;
        Cpu::from_host(own, &parameter.shape, &CpuDevice)
    };
    let tensors = layout.values().iter().map(&mut next).collect::<simseg_tensor::Result<Vec<Cpu>>>()?;
    Ok(layout.with(tensors)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_travel_whole_or_rounded_and_others_are_refused() {
        let aligner = || Aligner::Loda.choice([3, 1]);
        let drawn: Parameters<Cpu> = layout(aligner()).unwrap().draw(1, &CpuDevice).unwrap();
        let whole = bytes(&drawn).unwrap();
        assert_eq!(bytes(&parameters(aligner(), &whole).unwrap()).unwrap(), whole);
        let half = rounded(&whole);
        let back = bytes(&parameters(aligner(), &half).unwrap()).unwrap();
        for (a, b) in whole.chunks(4).zip(back.chunks(4)) {
            let [a, b] = [a, b].map(|four| f32::from_le_bytes(four.try_into().unwrap()));
            assert!((a - b).abs() <= a.abs() / 256.0, "{a} {b}");
        }
        assert!(parameters(aligner(), &whole[1..]).unwrap_err().to_string().contains("bytes"));
    }
}
