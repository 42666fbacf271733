//! Model directories: `config.json` (what the weights are, and how they were aligned), `model.safetensors`, and `vocab.txt` or
//! `tokenizer.json`.

use crate::{Error, Registry, Result};
use serde::{Deserialize, Serialize};
use simseg_data::Tokenizer;
use simseg_data::checkpoint::Weights;
use simseg_model::{Limits, NetworkConfig, Parameters};
use simseg_registry::{Choice, explain};
use simseg_tensor::{Parameter, Tensor, WeightType};
use std::path::Path;

/// `config.json`: `{"model": {"image": …, "text": …}, "aligner": {"kind": "loda", …}}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelDescription {
    /// The network; of kind `simseg` (a ViT and a BERT) if it does not say.
    pub model: Choice,
    /// What it was trained to contrast.
    pub aligner: Choice,
}

/// A model before it meets a recipe: parameters by name, and words.
#[derive(Clone)]
pub struct Loaded<T> {
    /// What it is.
    pub description: ModelDescription,
    /// All parameters, the network's first, then the aligner's.
    pub parameters: Parameters<T>,
    /// Its words.
    pub tokenizer: Tokenizer,
    /// To which type its weights were rounded when they were read; none if they are as they were stored.
    pub rounded: Option<WeightType>,
}

impl ModelDescription {
    /// Reads the text of a `config.json`; `path` is for messages.
    ///
    /// # Errors
    /// One line that names the file and the key.
    pub fn parse(path: &Path, text: &str) -> Result<Self> {
        serde_json::from_str(text).map_err(|error| Error::file(path, explain(&error.to_string())))
    }

    /// The network, checked.
    ///
    /// # Errors
    /// If nobody knows its kind, or its numbers do not fit each other.
    pub fn network<T: Tensor>(&self, registry: &Registry<T>) -> Result<Box<dyn NetworkConfig<T>>> {
        let network = registry.model.network(&self.model)?;
        network.check()?;
        Ok(network)
    }

    /// Names, shapes and starting values of all parameters: the network's, then the aligner's under `aligner.`.
    ///
    /// # Errors
    /// If a part is unknown or does not fit the others.
    pub fn layout<T: Tensor>(&self, registry: &Registry<T>) -> Result<Parameters<Parameter>> {
        let network = self.network(registry)?;
        let aligner = registry.model.aligners.build(&self.aligner)?;
        aligner.check(Limits::of(&*network))?;
        let own = aligner.parameters(network.projection()).into_iter();
        let own = own.map(|(name, parameter)| (format!("aligner.{name}"), parameter));
        Ok(Parameters::new(network.parameters().into_iter().chain(own).collect())?)
    }
}

impl<T: Tensor> Loaded<T> {
    /// Puts a model together; every tensor of the weights is used, and none is missing.
    ///
    /// # Errors
    /// What is missing, left over or misshapen, by name.
    pub fn assemble(
        description: ModelDescription,
        weights: &Weights,
        tokenizer: Tokenizer,
        registry: &Registry<T>,
        device: &T::Device,
    ) -> Result<Self> {
        Self::assemble_rounded(description, weights, None, tokenizer, registry, device)
    }

    /// The same with weights rounded to a type of fewer bits ([`simseg_data::checkpoint::is_narrowed`] says which), if one is given. The
    /// CPU keeps them so in memory, and may round the inputs of layers as well (see [`simseg_tensor::Narrow::rounding_inputs`]).
    ///
    /// # Errors
    /// As [`Self::assemble`].
    pub fn assemble_rounded(
        description: ModelDescription,
        weights: &Weights,
        rounded: Option<WeightType>,
        tokenizer: Tokenizer,
        registry: &Registry<T>,
        device: &T::Device,
    ) -> Result<Self> {
        let layout = description.layout(registry)?;
        weights.accounted(layout.names())?;
        let value = |name: &str, parameter: &Parameter| -> Result<T> {
            let values = match rounded {
                Some(kind) => weights.get_rounded(name, &parameter.shape, kind)?,
                None => weights.get(name, &parameter.shape)?,
            };
            Ok(T::from_shared(values, &parameter.shape, device)?)
        };
        let parameters = layout.iter().map(|(name, parameter)| value(name, parameter)).collect::<Result<Vec<T>>>()?;
        let parameters = layout.with(parameters)?;
        let (found, most) = (tokenizer.vocabulary(), description.network(registry)?.vocabulary());
        if found > most {
            return Err(Error::input("vocabulary", format!("{found} tokens; the model knows {most}")));
        }
        Ok(Self { description, parameters, tokenizer, rounded })
    }
}

/// Names of the files of a tokenizer, in the order in which they are looked for.
#[cfg(feature = "fs")]
pub const TOKENIZERS: [&str; 2] = ["vocab.txt", "tokenizer.json"];

#[cfg(feature = "fs")]
impl ModelDescription {
    /// Reads `config.json` of a model directory.
    ///
    /// # Errors
    /// One line that names the file and the key.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join("config.json");
        Self::parse(&path, &crate::settings::read_text(&path)?)
    }

    /// Writes `config.json` alone.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let path = folder.join("config.json");
        let text = serde_json::to_string_pretty(self).map_err(|error| Error::file(&path, error))?;
        Ok(simseg_data::atomic::write(&path, (text + "\n").as_bytes())?)
    }
}

#[cfg(feature = "fs")]
impl<T: Tensor> Loaded<T> {
    /// Reads a model directory. Weights stay in the file and are read when they are needed.
    ///
    /// # Errors
    /// One line that names the file and what was expected in it.
    pub fn read(folder: &Path, registry: &Registry<T>, device: &T::Device) -> Result<Self> {
        Self::read_rounded(folder, None, registry, device)
    }

    /// The same with weights rounded to a type of fewer bits, if one is given: see [`Self::assemble_rounded`].
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_rounded(
        folder: &Path,
        rounded: Option<WeightType>,
        registry: &Registry<T>,
        device: &T::Device,
    ) -> Result<Self> {
        let description = ModelDescription::read(folder)?;
        description.layout(registry).map_err(|error| about(&folder.join("config.json"), error))?;
        let tokenizer = TOKENIZERS.map(|name| folder.join(name));
        let Some(path) = tokenizer.iter().find(|path| path.exists()) else {
            return Err(Error::file(folder, format!("expected {} in it", TOKENIZERS.join(" or "))));
        };
        let tokenizer = Tokenizer::load(path)?;
        let weights = Weights::open(&folder.join("model.safetensors"))?;
        let loaded = Self::assemble_rounded(description, &weights, rounded, tokenizer, registry, device);
        loaded.map_err(|error| match error {
            Error::Input(why) if why.starts_with("vocabulary: ") => Error::file(path, &why["vocabulary: ".len()..]),
            other => other,
        })
    }

    /// Writes a model directory.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub fn write(&self, folder: &Path) -> Result<()> {
        simseg_data::atomic::folder(folder)?;
        let tensors = self.parameters.iter().map(|(name, tensor)| -> Result<_> {
            Ok((name.to_owned(), tensor.shape().to_vec(), simseg_tensor::Ops::to_f32(tensor)?))
        });
        let tensors = tensors.collect::<Result<Vec<_>>>()?;
        simseg_data::checkpoint::write(&folder.join("model.safetensors"), &tensors, &[])?;
        crate::fingerprint::note(folder)?;
        self.tokenizer.save(folder)?;
        // Last: a folder without it is no model directory yet.
        self.description.write(folder)
    }
}

/// The same error about a file.
#[cfg(feature = "fs")]
fn about(path: &Path, error: Error) -> Error {
    match error {
        Error::Input(why) => Error::file(path, why),
        other => other,
    }
}
