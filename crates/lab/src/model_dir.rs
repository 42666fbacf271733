//! Model directories: `config.json`, `model.safetensors`, and `vocab.txt` or `tokenizer.json`.

use crate::failure::{Failure, Outcome};
use crate::settings::explain;
use crate::state::named;
use serde::{Deserialize, Serialize};
use simseg_data::checkpoint::{self, Weights};
use simseg_data::{Tokenizer, atomic};
use simseg_model::{AlignerConfig, ClipConfig, ModelConfig, Network, NetworkConfig};
use simseg_tensor::Tensor;
use std::path::Path;

/// `config.json`: what the weights are, and how they were aligned.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct Card {
    /// The architecture.
    pub network: NetworkConfig,
    /// What they were trained to contrast.
    pub aligner: AlignerConfig,
}

/// [`Card`] as it is written: one of two keys names the family.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    model: Option<ModelConfig>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    clip: Option<ClipConfig>,
    aligner: AlignerConfig,
}

impl From<Card> for Written {
    fn from(Card { network, aligner }: Card) -> Self {
        match network {
            NetworkConfig::SimSeg(model) => Self { model: Some(model), clip: None, aligner },
            NetworkConfig::Clip(clip) => Self { model: None, clip: Some(clip), aligner },
        }
    }
}

impl TryFrom<Written> for Card {
    type Error = &'static str;

    fn try_from(Written { model, clip, aligner }: Written) -> Result<Self, &'static str> {
        let network = match (model, clip) {
            (Some(model), None) => NetworkConfig::SimSeg(model),
            (None, Some(clip)) => NetworkConfig::Clip(clip),
            _ => return Err("expected either `model` or `clip`"),
        };
        Ok(Self { network, aligner })
    }
}

/// A model ready to use.
pub struct Loaded<T> {
    /// What it is.
    pub card: Card,
    /// Its parameters.
    pub model: Network<T>,
    /// Its words.
    pub tokenizer: Tokenizer,
}

/// Writes a model directory.
///
/// # Errors
/// If the folder cannot be written.
pub fn save<T: Tensor>(folder: &Path, card: &Card, model: &Network<T>, tokenizer: &Tokenizer) -> Outcome {
    atomic::folder(folder)?;
    let (names, values): (Vec<String>, Vec<T>) = model.parameters().into_iter().unzip();
    checkpoint::write(&folder.join("model.safetensors"), &named("", &names, &values)?, &[])?;
    tokenizer.save(folder)?;
    save_card(folder, card)
}

/// Writes `config.json` alone.
///
/// # Errors
/// If the folder cannot be written.
pub fn save_card(folder: &Path, card: &Card) -> Outcome {
    let config = folder.join("config.json");
    let text = serde_json::to_string_pretty(card).map_err(|error| Failure::file(&config, error))?;
    Ok(atomic::write(&config, (text + "\n").as_bytes())?)
}

/// Reads `config.json` alone.
///
/// # Errors
/// One line that names the file and the key.
pub fn card(folder: &Path) -> Outcome<Card> {
    let path = folder.join("config.json");
    let text = crate::settings::read_text(&path)?;
    let card: Card = serde_json::from_str(&text).map_err(|error| Failure::file(&path, explain(&error.to_string())))?;
    card.network.check().map_err(|error| Failure::file(&path, error))?;
    Ok(card)
}

/// Reads a model directory; every tensor of the file is used, and none is missing.
///
/// # Errors
/// One line that names the file and what was expected in it.
pub fn load<T: Tensor>(folder: &Path, device: &T::Device) -> Outcome<Loaded<T>> {
    let card = card(folder)?;
    let vocabulary = ["vocab.txt", "tokenizer.json"].map(|name| folder.join(name));
    let Some(vocabulary) = vocabulary.iter().find(|path| path.exists()) else {
        return Err(Failure::file(folder, "expected vocab.txt or tokenizer.json in it"));
    };
    let tokenizer = Tokenizer::load(vocabulary)?;
    let weights = Weights::open(&folder.join("model.safetensors"))?;
    let layout = Network::layout(&card.network);
    let names: Vec<String> = layout.parameters().into_iter().map(|(name, _)| name).collect();
    weights.accounted(names.iter().map(String::as_str))?;
    let model = layout.map(&mut |name, parameter| -> Outcome<T> {
        Ok(T::from_shared(weights.get(name, &parameter.shape)?, &parameter.shape, device)?)
    })?;
    let (found, most) = (tokenizer.vocabulary(), card.network.vocabulary());
    if found > most {
        return Err(Failure::file(vocabulary, format!("{found} tokens; the model knows {most}")));
    }
    Ok(Loaded { card, model, tokenizer })
}
