//! Every switch of a segmentation, named: a recipe is a complete configuration, never a set of hidden defaults.
//!
//! Paper and released code differ in details that the paper does not mention; each is a switch here, so that each can be an
//! ablation (`--set map.upsample=bilinear`). `simseg recipe official-code` prints all of it.
//!
//! `input` and `prompts` say how images and words reach the network; everything after the features belongs to the segmenter,
//! which is chosen by name like all algorithms (`kind = "simseg"` if nothing is said).

use crate::settings::{self, explain, nearest};
use crate::windows::Windows;
use crate::{Error, Registry, Result};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};
use simseg_data::transform::Passes;
use simseg_model::pool::Padding;
use simseg_model::{Architecture, LastLayer, PromptPooling};
use simseg_registry::Choice;
use simseg_segment::prompts::Templates;
use simseg_segment::{Needs, SimSegConfig};
use simseg_tensor::Tensor;
use std::path::Path;

/// The complete configuration of one segmentation.
#[derive(Debug, Clone, PartialEq)]
pub struct Recipe {
    /// How the image reaches the network.
    pub input: Input,
    /// How words become class embeddings.
    pub prompts: Prompts,
    /// From features to a label map; in a file its settings stand beside `input` and `prompts`.
    pub segmenter: Choice,
}

/// How the image reaches the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Side of the square (`squash`), or of the shorter side (`keep-aspect`, rounded to whole patches), in pixels;
    /// 0 is the size the model was trained at. What is no multiple of the model's patch becomes the nearest one.
    pub size: usize,
    /// What happens to images that are not square.
    pub fit: Fit,
    /// Which Pillow resizes them, to the byte.
    #[serde(default)]
    pub resize: Passes,
    /// What the last layer of the image encoder does.
    #[serde(default, skip_serializing_if = "LastLayer::is_trained")]
    pub last_layer: LastLayer,
    /// The windows in which the resized picture goes through the network; without them it goes through at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub windows: Option<Windows>,
}

impl Input {
    /// A square of this side, at once, through the network as it was trained.
    fn squashed(size: usize) -> Self {
        let (resize, last_layer) = (Passes::RowsFirst, LastLayer::AsTrained);
        Self { size, fit: Fit::Squash, resize, last_layer, windows: None }
    }
}

/// What happens to images that are not square.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fit {
    /// They are squashed into a square (released code).
    Squash,
    /// They keep their aspect ratio.
    KeepAspect,
}

/// How words become class embeddings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prompts {
    /// The templates.
    pub templates: Templates,
    /// Prompts beyond this many tokens are cut; 0 is the length the model was trained with (25 as released, 77 for CLIP).
    pub max_tokens: usize,
    /// The top-k responses per channel that a prompt is pooled from; 0 is what the model says (paper: 1 at evaluation).
    pub text_k: usize,
    /// What padding does to that pooling. All prompts of a word are one batch (released code).
    pub padding: Padding,
    /// Words for the background, instead of the one in the class list; those that a class has are left out. They take part where
    /// classes compete for a pixel.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub background: Vec<String>,
}

impl Prompts {
    /// What the recipe says about pooling.
    pub fn pooling(&self) -> PromptPooling {
        PromptPooling { k: Some(self.text_k).filter(|&k| k > 0), padding: Some(self.padding) }
    }
}

/// The recipes that have names.
pub const NAMES: [&str; 3] = ["plain", "official-code", "paper"];

impl Recipe {
    /// A recipe by name.
    pub fn by_name(name: &str) -> Option<Self> {
        match name {
            "plain" => Some(Self::plain()),
            "official-code" => Some(Self::official_code()),
            "paper" => Some(Self::paper()),
            _ => None,
        }
    }

    /// What the small world uses: bilinear maps, cut at one half, μ + σ over the better half of the classes.
    pub fn plain() -> Self {
        Self {
            input: Input::squashed(0),
            prompts: Prompts {
                templates: Templates::Single,
                max_tokens: 0,
                text_k: 0,
                padding: Padding::PerCaption,
                background: vec![],
            },
            segmenter: SimSegConfig::plain().choice(),
        }
    }

    /// Step by step what the released evaluation script does (`docs/paper.md`, "Segmentation, step by step"). It sees 30 classes
    /// instead of 10 on Pascal Context: [`Self::for_dataset`].
    pub fn official_code() -> Self {
        Self {
            input: Input::squashed(288),
            prompts: Prompts {
                templates: Templates::Imagenet80,
                max_tokens: 0,
                text_k: 0,
                padding: Padding::ShortestInBatch,
                background: vec![],
            },
            segmenter: SimSegConfig::official_code().choice(),
        }
    }

    /// What the paper says (§3.3, §4.1), without what only the code does: no squashing, no cap on classes, no closing,
    /// smooth upsampling, the upper half of the classes, each prompt pooled by itself. Where the paper is silent the code
    /// decides: the input's size, background in the statistics, and min-max, without which a cosine is no probability.
    pub fn paper() -> Self {
        let code = Self::official_code();
        Self {
            input: Input { fit: Fit::KeepAspect, ..code.input },
            prompts: Prompts { padding: Padding::PerCaption, ..code.prompts },
            segmenter: SimSegConfig::paper().choice(),
        }
    }

    /// The same for a data set: the released code looks at the best 30 classes instead of 10 for Pascal Context.
    pub fn for_dataset(name: &str, dataset: &str) -> Option<Self> {
        let mut recipe = Self::by_name(name)?;
        if let ("official-code", "context", Some(threshold)) =
            (name, dataset, recipe.segmenter.settings.get_mut("threshold").and_then(Value::as_object_mut))
        {
            threshold.insert("top_n".to_owned(), Value::from(30));
        }
        Some(recipe)
    }

    /// The same recipe with another rule for which classes are in the image.
    pub fn with_threshold(mut self, threshold: &Choice) -> Self {
        self.segmenter = self.segmenter.with("threshold", threshold);
        self
    }

    /// Checked against what is registered, with every setting written out.
    ///
    /// # Errors
    /// The first key that is wrong, and what was expected.
    pub fn resolved<T: Tensor>(&self, registry: &Registry<T>) -> Result<Self> {
        self.prompts.templates.lines()?;
        self.input.windows.map_or(Ok(()), Windows::check)?;
        if self.prompts.background.iter().any(|word| word.trim().is_empty()) {
            return Err(Error::input("prompts.background", "an empty word; expected words for the background"));
        }
        if (1..3).contains(&self.prompts.max_tokens) {
            let found = self.prompts.max_tokens;
            let expected = format!("0, or at least 3: a word between two special tokens, found {found}");
            return Err(Error::input("prompts.max_tokens", expected));
        }
        Ok(Self { segmenter: registry.segment.resolve_segmenter(&self.segmenter)?, ..self.clone() })
    }

    /// The recipe as it is for a model: an input of whole patches, windows of a known size, and a number of tokens.
    ///
    /// # Errors
    /// If windows are not laid in whole patches of the model.
    pub fn fitted(mut self, model: &dyn Architecture) -> Result<Self> {
        let patch = model.patch();
        if self.input.size > 0 {
            self.input.size = ((self.input.size + patch / 2) / patch).max(1) * patch;
        }
        if self.prompts.max_tokens == 0 {
            self.prompts.max_tokens = model.context_length();
        }
        self.input.windows = self.input.windows.map(|windows| windows.fitted(model)).transpose()?;
        Ok(self)
    }

    /// Whether what a segmenter wants to see comes of this input.
    ///
    /// # Errors
    /// If it is the attention of the whole picture, and the picture goes through the network in windows.
    pub fn check_needs(&self, needs: Needs) -> Result<()> {
        if needs.attention && self.input.windows.is_some() {
            let why = "expected none: the score rule or the refiner looks at the last layer's attention, which no window \
                       has for the whole picture";
            return Err(Error::input("input.windows", why));
        }
        Ok(())
    }

    /// A recipe by name (as it is for a data set; empty for none), or from a TOML file, with changes such as
    /// `map.upsample=nearest`; complete and checked.
    ///
    /// # Errors
    /// If there is no such recipe, a file does not hold a complete one, or a change does not fit.
    pub fn load<T: Tensor>(name: &str, dataset: &str, changes: &[String], registry: &Registry<T>) -> Result<Self> {
        let (mut table, from_file) = base(name, dataset, registry)?;
        changes.iter().try_for_each(|assignment| settings::set(&mut table, assignment))?;
        let path = Path::new(if from_file { name } else { "--set" });
        let recipe: Self = settings::settings(path, "", table)?;
        recipe.resolved(registry).map_err(|error| match error {
            Error::Input(why) => Error::file(path, why),
            other => other,
        })
    }

    /// The recipe as a TOML file.
    ///
    /// # Errors
    /// If a setting of an outside algorithm is nothing that TOML can hold.
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string_pretty(self).map_err(|error| Error::input("recipe", error))
    }
}

/// The recipe that changes start from, and whether it came from a file.
fn base<T: Tensor>(name: &str, dataset: &str, registry: &Registry<T>) -> Result<(toml::Table, bool)> {
    #[cfg(feature = "fs")]
    if Path::new(name).extension().is_some_and(|ending| ending == "toml") {
        let file = Path::new(name);
        let table = settings::parse(file, &settings::read_text(file)?)?;
        // What is wrong in the file is not the fault of a change.
        let recipe = settings::settings::<Recipe>(file, "", table.clone())?;
        recipe.resolved(registry).map_err(|error| Error::file(file, error))?;
        return Ok((table, true));
    }
    let _ = registry;
    if let Some(base) = Recipe::for_dataset(name, dataset) {
        return Ok((toml::Table::try_from(&base).map_err(|error| Error::input("recipe", error))?, false));
    }
    let hint = nearest(name, NAMES).map(|near| format!("; did you mean `{near}`?"));
    let text = format!("no recipe `{name}`{} (known: {}, or a .toml file)", hint.unwrap_or_default(), NAMES.join(", "));
    Err(Error::input("--recipe", text))
}

impl Serialize for Recipe {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        use serde::ser::Error as _;
        let mut map = Map::new();
        let value = |value: std::result::Result<Value, serde_json::Error>| value.map_err(S::Error::custom);
        let segmenter = value(serde_json::to_value(&self.segmenter))?;
        map.insert("input".into(), value(serde_json::to_value(self.input))?);
        map.insert("prompts".into(), value(serde_json::to_value(&self.prompts))?);
        map.extend(segmenter.as_object().cloned().unwrap_or_default());
        // Plain values before tables: TOML cannot have them the other way round.
        let (tables, plain): (Vec<_>, Vec<_>) = map.into_iter().partition(|(_, value)| value.is_object());
        plain.into_iter().chain(tables).collect::<Map<_, _>>().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Recipe {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let mut map = Map::deserialize(deserializer)?;
        let input = section(&mut map, "input").map_err(D::Error::custom)?;
        let prompts = section(&mut map, "prompts").map_err(D::Error::custom)?;
        let segmenter = Choice::deserialize(Value::Object(map)).map_err(D::Error::custom)?;
        Ok(Self { input, prompts, segmenter })
    }
}

/// A section as its type; errors name the key.
fn section<S: DeserializeOwned>(map: &mut Map<String, Value>, name: &str) -> std::result::Result<S, String> {
    let value = map.remove(name).ok_or_else(|| format!("missing section `{name}`"))?;
    serde_path_to_error::deserialize(value).map_err(|error| {
        let (path, problem) = (error.path().to_string(), explain(&error.inner().to_string()));
        if path == "." { format!("{name}: {problem}") } else { format!("{name}.{path}: {problem}") }
    })
}
