//! The names under which others publish these models, and ours for the same parameters.
//!
//! | dialect | image tower | text tower |
//! |---|---|---|
//! | SimSeg | `image_encoder.model.model.*` | `text_encoder.model.model.*` |
//! | OpenAI CLIP, open_clip | `visual.*` | `transformer.*` |
//! | Hugging Face CLIP | `vision_model.*`, q, k and v apart | `text_model.*` |
//! | timm and BERT, two files | `blocks.*` | `[bert.]encoder.layer.*` |

use super::described::Family;
use super::shapes::Files;
use super::{Found, Options};
use crate::failure::Outcome;
use simseg_model::ModelConfig;
use simseg_model::clip::{ClipConfig, ClipTextConfig};

/// Whose names a checkpoint has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// The released SimSeg checkpoint.
    SimSeg,
    /// OpenAI's CLIP under OpenAI's names, which open_clip kept.
    OpenAi,
    /// OpenAI's CLIP as `transformers` writes it.
    HuggingFaceClip,
    /// A ViT of timm and a BERT of `transformers`, without projections.
    Parts,
}

impl std::fmt::Display for Dialect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::SimSeg => "SimSeg",
            Self::OpenAi => "CLIP (OpenAI's names)",
            Self::HuggingFaceClip => "CLIP (Hugging Face's names)",
            Self::Parts => "ViT (timm) and BERT (Hugging Face)",
        })
    }
}

/// Where a parameter's values come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A tensor as it is, under the first of these names that exists.
    Tensor(Vec<String>),
    /// A matrix, rows and columns swapped.
    Transposed(String),
    /// Tensors one after the other along their first axis.
    Stacked(Vec<String>),
    /// Nowhere: starting values.
    Fresh,
}

const IMAGE: &str = "image_encoder.model.model.";
const TEXT: &str = "text_encoder.model.model.";

impl Dialect {
    /// Whose names these are.
    ///
    /// # Errors
    /// If nobody's.
    pub fn of(files: &Files, two: bool) -> Outcome<Self> {
        let any = |prefix: &str| files.names().any(|name| name.starts_with(prefix));
        let (timm, bert) = (files.has("patch_embed.proj.weight"), any("encoder.layer.") || any("bert.encoder.layer."));
        let found = match () {
            () if any(IMAGE) || any(TEXT) => Some(Self::SimSeg),
            () if files.has("visual.conv1.weight") => Some(Self::OpenAi),
            () if any("vision_model.") || any("text_model.") => Some(Self::HuggingFaceClip),
            () if timm && bert => Some(Self::Parts),
            () => None,
        };
        let problem = |why: &str| Err(files.problem(why.into()));
        match found {
            Some(Self::Parts) => Ok(Self::Parts),
            Some(_) if two => problem("both towers are in this file; leave --text out"),
            Some(dialect) => Ok(dialect),
            None if timm => problem("an image tower alone; expected the text tower's checkpoint in --text"),
            None if bert => problem("a text tower alone; expected it in --text, beside a ViT of timm"),
            None if files.has("visual.patch_embed.weight") || any("visual.trunk.") => {
                problem("a CLIP whose image tower is no plain ViT; expected OpenAI's layout")
            }
            None => {
                let first: Vec<String> = files.names().take(3).map(str::to_owned).collect();
                let expected = "expected the names of SimSeg, of a CLIP, or of timm's ViT (with --text)";
                Err(files.problem(format!("unknown names ({}, …); {expected}", first.join(", "))))
            }
        }
    }

    /// The architecture.
    ///
    /// # Errors
    /// If a tensor that tells it is missing, or shapes contradict each other.
    pub fn network(self, files: &Files, options: &Options) -> Outcome<Found> {
        let temperature = 0.02;
        let network = match self {
            Self::SimSeg => {
                let [projection, _] = files.dims("image_projection.linear.weight")?;
                let name = |rest: &str| format!("{IMAGE}{rest}");
                let usual = Some("as both released models have");
                let names = [name("patch_embed.proj.weight"), name("pos_embed"), name("blocks")];
                let image = files.vit(names.each_ref().map(String::as_str), usual)?;
                Found::SimSeg(ModelConfig { image, text: files.bert(TEXT, usual)?, projection, temperature })
            }
            Self::Parts => {
                let image = files.vit(["patch_embed.proj.weight", "pos_embed", "blocks"], None)?;
                let text = files.bert(bert_prefix(files), None)?;
                Found::SimSeg(ModelConfig { image, text, projection: options.projection, temperature })
            }
            Self::OpenAi => {
                let kernel = "visual.conv1.weight";
                let image = files.vit([kernel, "visual.positional_embedding", "visual.transformer.resblocks"], None)?;
                let [vocabulary, width] = files.dims("token_embedding.weight")?;
                let [positions, _] = files.dims("positional_embedding")?;
                let [_, projection] = files.dims("text_projection")?;
                let depth = files.count("transformer.resblocks");
                let heads = files.described.heads(Family::ClipText, width, depth, None)?;
                let text = ClipTextConfig { vocabulary, positions, width, depth, heads };
                let gelu = files.described.gelu(options.gelu.map(Into::into))?;
                Found::Clip(ClipConfig { image, text, projection, gelu })
            }
            Self::HuggingFaceClip => {
                let kernel = "vision_model.embeddings.patch_embedding.weight";
                let positions = "vision_model.embeddings.position_embedding.weight";
                let image = files.vit([kernel, positions, "vision_model.encoder.layers"], None)?;
                let [vocabulary, width] = files.dims("text_model.embeddings.token_embedding.weight")?;
                let [positions, _] = files.dims("text_model.embeddings.position_embedding.weight")?;
                let [projection, _] = files.dims("text_projection.weight")?;
                let depth = files.count("text_model.encoder.layers");
                let heads = files.described.heads(Family::ClipText, width, depth, None)?;
                let text = ClipTextConfig { vocabulary, positions, width, depth, heads };
                let gelu = files.described.gelu(options.gelu.map(Into::into))?;
                Found::Clip(ClipConfig { image, text, projection, gelu })
            }
        };
        network.architecture().check().map_err(|error| files.problem(error.to_string()))?;
        Ok(network)
    }

    /// Where the parameter that we call `name` comes from.
    pub fn source(self, name: &str, files: &Files) -> Source {
        let same = |name: String| Source::Tensor(vec![name]);
        match self {
            Self::SimSeg | Self::OpenAi => same(name.to_owned()),
            Self::HuggingFaceClip => hugging_face(name),
            Self::Parts => match (name.strip_prefix(IMAGE), name.strip_prefix(TEXT)) {
                (Some(rest), _) => same(rest.to_owned()),
                (_, Some(rest)) => {
                    let name = format!("{}{rest}", bert_prefix(files));
                    // The first BERTs were converted from TensorFlow, whose layer norm has a gamma and a beta.
                    let older = name.replace("LayerNorm.weight", "LayerNorm.gamma");
                    Source::Tensor(vec![name, older.replace("LayerNorm.bias", "LayerNorm.beta")])
                }
                _ => Source::Fresh,
            },
        }
    }

    /// Why a tensor is of no use, if that is known.
    pub fn unused(self, name: &str) -> Option<&'static str> {
        let ends = |ending: &str| name.ends_with(ending);
        match self {
            _ if ends("position_ids") || ends("attn_mask") => Some("a buffer, no parameter"),
            Self::OpenAi if ["input_resolution", "context_length", "vocab_size"].contains(&name) => Some("a number"),
            Self::Parts if name.starts_with("head.") || name.starts_with("pre_logits.") => Some("a classifier's"),
            Self::Parts if name.starts_with("cls.") => Some("of BERT's pretraining"),
            Self::Parts if name.contains("pooler.") => Some("of BERT's pooler, which SimSeg does without"),
            _ => None,
        }
    }
}

/// `bert.` where BERT lies inside of a model for pretraining.
fn bert_prefix(files: &Files) -> &'static str {
    if files.names().any(|name| name.starts_with("bert.")) { "bert." } else { "" }
}

/// CLIP's parameters under the names that `transformers` gives them.
fn hugging_face(name: &str) -> Source {
    let same = |name: String| Source::Tensor(vec![name]);
    let (tower, rest) = match name.strip_prefix("visual.") {
        Some(rest) => ("vision_model", rest),
        None => ("text_model", name),
    };
    if let Some(rest) = rest.strip_prefix("transformer.resblocks.") {
        let (number, rest) = rest.split_once('.').unwrap_or((rest, ""));
        let layer = format!("{tower}.encoder.layers.{number}");
        if let Some(kind) = rest.strip_prefix("attn.in_proj_") {
            return Source::Stacked(["q", "k", "v"].map(|x| format!("{layer}.self_attn.{x}_proj.{kind}")).to_vec());
        }
        let (part, kind) = rest.rsplit_once('.').unwrap_or((rest, ""));
        let part = match part {
            "ln_1" => "layer_norm1",
            "ln_2" => "layer_norm2",
            "attn.out_proj" => "self_attn.out_proj",
            "mlp.c_fc" => "mlp.fc1",
            "mlp.c_proj" => "mlp.fc2",
            other => other,
        };
        return same(format!("{layer}.{part}.{kind}"));
    }
    match name {
        "visual.proj" => Source::Transposed("visual_projection.weight".into()),
        "text_projection" => Source::Transposed("text_projection.weight".into()),
        "logit_scale" => same(name.into()),
        "visual.class_embedding" => same("vision_model.embeddings.class_embedding".into()),
        "visual.positional_embedding" => same("vision_model.embeddings.position_embedding.weight".into()),
        "visual.conv1.weight" => same("vision_model.embeddings.patch_embedding.weight".into()),
        "token_embedding.weight" => same("text_model.embeddings.token_embedding.weight".into()),
        "positional_embedding" => same("text_model.embeddings.position_embedding.weight".into()),
        _ => {
            let (norm, kind) = rest.rsplit_once('.').unwrap_or((rest, ""));
            let norm = match norm {
                // Published with this misspelling.
                "ln_pre" => "pre_layrnorm",
                "ln_post" => "post_layernorm",
                "ln_final" => "final_layer_norm",
                other => other,
            };
            same(format!("{tower}.{norm}.{kind}"))
        }
    }
}
