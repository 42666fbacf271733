//! `simseg import`: checkpoints of others become model directories, and every tensor is accounted for.
//!
//! 1. A [`Dialect`](dialect::Dialect) recognises the names: SimSeg's released ones, OpenAI's CLIP as OpenAI, open_clip or
//!    Hugging Face write it, or timm's ViT beside Hugging Face's BERT.
//! 2. The architecture follows from shapes ([`shapes`]) and from what the checkpoint says of itself ([`described`]).
//! 3. Every parameter of that architecture gets its source and every tensor its use, or nothing is written ([`plan`]).
//! 4. Values go from the mapped file to the new one, tensor by tensor.

pub mod described;
pub mod dialect;
pub mod plan;
mod replacement;
pub mod shapes;

use crate::failure::{Failure, Outcome};
use clap::{Args, ValueEnum};
use plan::{Plan, Planned};
use replacement::Replacement;
use shapes::Files;
use simseg::{Choice, ModelDescription, WeightType};
use simseg_data::Tokenizer;
use simseg_data::checkpoint::{self, Checkpoint};
use simseg_model::clip::{ClipConfig, Gelu};
use simseg_model::pool::{LodaConfig, Padding};
use simseg_model::{Architecture, ModelConfig};
use std::path::{Path, PathBuf};

/// What the command line says.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// A .pth or .safetensors file, the index of one in parts (….index.json), or a folder that holds one, as hubs have it.
    /// A config.json or open_clip_config.json beside it is read.
    pub checkpoint: PathBuf,
    /// vocab.txt, tokenizer.json, CLIP's bpe_simple_vocab_16e6.txt, or a folder with vocab.json and merges.txt.
    #[arg(long, value_name = "FILE")]
    pub vocab: PathBuf,
    /// Where the model directory goes.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// The text tower's checkpoint, if it lies in a file of its own.
    #[arg(long, value_name = "FILE")]
    pub text: Option<PathBuf>,
    /// Channels that towers without projections are projected to.
    #[arg(long, value_name = "N", default_value_t = 512)]
    pub projection: usize,
    /// The random seed of starting values, for what the checkpoint does not hold.
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub seed: u64,
    /// How features are pooled: loda, dense or holistic [default: loda; holistic for CLIP].
    #[arg(long)]
    pub aligner: Option<String>,
    /// Attention heads, which weights do not tell: of both towers, or IMAGE,TEXT [default: the config.json's; those of
    /// published sizes].
    #[arg(long, value_name = "N", value_delimiter = ',')]
    pub heads: Vec<usize>,
    /// Upper and lower case are told apart [default: what tokenizer_config.json says, or whether the vocabulary has upper case].
    #[arg(long)]
    pub cased: bool,
    /// CLIP's GELU, which weights do not tell: OpenAI's is quick, most of open_clip's exact [default: the config.json's; else
    /// quick].
    #[arg(long, value_enum)]
    pub gelu: Option<GeluArg>,
    /// How the weights are stored: matrices and tables of words in fewer bits; biases, norms and positions stay f32. The file has
    /// about half (f16, bf16) or a quarter (int8) of the bytes, and every command reads it.
    #[arg(long, value_enum, default_value_t)]
    pub store: StoreArg,
}

/// How weights are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum StoreArg {
    /// Single precision, as they are computed with.
    #[default]
    F32,
    /// Half precision: 11 bits of mantissa, up to 65504.
    F16,
    /// bfloat16: 8 bits of mantissa, as large as f32.
    Bf16,
    /// 8 bits with a scale for each row.
    Int8,
}

impl StoreArg {
    /// The type of fewer bits, if it is one.
    fn weight_type(self) -> Option<WeightType> {
        match self {
            Self::F32 => None,
            Self::F16 => Some(WeightType::F16),
            Self::Bf16 => Some(WeightType::Bf16),
            Self::Int8 => Some(WeightType::Int8),
        }
    }
}

/// CLIP's two GELUs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum GeluArg {
    /// x·sigmoid(1.702 x)
    Quick,
    /// x·Φ(x)
    Exact,
}

impl From<GeluArg> for Gelu {
    fn from(argument: GeluArg) -> Self {
        match argument {
            GeluArg::Quick => Self::Quick,
            GeluArg::Exact => Self::Exact,
        }
    }
}

/// An architecture that shapes have told.
#[derive(Debug, Clone)]
pub enum Found {
    /// ViT in timm's layout and BERT.
    SimSeg(ModelConfig),
    /// CLIP in OpenAI's layout.
    Clip(ClipConfig),
}

impl Found {
    /// Its facts.
    pub fn architecture(&self) -> &dyn Architecture {
        match self {
            Self::SimSeg(config) => config,
            Self::Clip(config) => config,
        }
    }

    /// As `config.json` says it.
    fn choice(&self) -> Choice {
        match self {
            Self::SimSeg(config) => config.choice(),
            Self::Clip(config) => config.choice(),
        }
    }
}

/// Imports.
///
/// # Errors
/// Exit 2 with one line that says what is missing, left over or misshapen, or why the folder cannot be used; nothing is written
/// then.
pub fn import(options: &Options) -> Outcome {
    let given: Vec<&Path> =
        std::iter::once(&options.checkpoint).chain(&options.text).map(std::path::PathBuf::as_path).collect();
    let described = described::Described::beside(&given, &options.heads)?;
    let parts = given.iter().map(|path| checkpoint::parts(path)).collect::<Result<Vec<_>, _>>()?;
    let open = parts.iter().flatten().map(|part| Checkpoint::open(part));
    let files = Files::new(open.collect::<Result<_, _>>()?, described)?;
    let (tokenizer, casing) = Tokenizer::import(&options.vocab, options.cased.then_some(true))?;
    let plan = Plan::make(&files, options)?;
    let description = ModelDescription { model: plan.network.choice(), aligner: aligner(options, &plan.network)? };
    let (words, rows) = (tokenizer.vocabulary(), plan.network.architecture().vocabulary());
    if words > rows {
        let text =
            format!("{words} tokens, but the checkpoint embeds {rows}; expected the vocabulary it was trained with");
        return Err(Failure::file(&options.vocab, text));
    }
    plan.check_values(&files, options.store.weight_type())?;

    let folder = Replacement::of(&options.out, &[&given[..], &[&options.vocab]].concat())?;
    let stored = |parameter| Planned::stored(parameter, &files, options.seed, options.store.weight_type());
    let stored: Vec<_> = plan.parameters.iter().flat_map(stored).collect();
    checkpoint::write_stored(&folder.path().join("model.safetensors"), &stored, &[])?;
    simseg::fingerprint::note(folder.path())?;
    tokenizer.save(folder.path())?;
    description.write(folder.path())?;
    folder.takes_the_name()?;
    report(options, &files, &plan, words, casing.as_deref());
    Ok(())
}

/// How features of the model are pooled. SimSeg as released: 5 patches and 5 words in training, 1 word at evaluation.
fn aligner(options: &Options, network: &Found) -> Outcome<Choice> {
    let facts = network.architecture();
    let (patches, words) = ((facts.image_size() / facts.patch()).pow(2), facts.positions());
    let usual = match network {
        Found::SimSeg(_) => "loda",
        Found::Clip(_) => "holistic",
    };
    match options.aligner.as_deref().unwrap_or(usual) {
        "loda" => Ok(LodaConfig {
            image_k: 5.min(patches),
            text_k: 5.min(words),
            eval_image_k: None,
            eval_text_k: Some(1),
            padding: Padding::PerCaption,
        }
        .choice()),
        kind @ ("dense" | "holistic") => Ok(Choice::new(kind)),
        other => Err(Failure::input("--aligner", format!("expected loda, dense or holistic, found `{other}`"))),
    }
}

/// Says what became of everything.
fn report(options: &Options, files: &Files, plan: &Plan, words: usize, casing: Option<&str>) {
    let values: usize = plan.parameters.iter().map(|p| p.shape.iter().product::<usize>()).sum();
    let (count, millions) = (plan.parameters.len(), values as f64 / 1e6);
    crate::output::say!("{}: {count} parameters, {millions:.1} million values", plan.dialect);
    let (image, text) = match &plan.network {
        Found::SimSeg(ModelConfig { image, text, .. }) => {
            (image, Tower::new("BERT", text.width, text.depth, text.heads))
        }
        Found::Clip(ClipConfig { image, text, .. }) => (image, Tower::new("CLIP", text.width, text.depth, text.heads)),
    };
    let grid = image.image_size / image.patch;
    crate::output::say!(
        "  image  {}; {grid}×{grid} patches of {}",
        Tower::new("ViT", image.width, image.depth, image.heads),
        image.patch
    );
    crate::output::say!("  text   {text}; {words} tokens");
    crate::output::say!("  both   projected to {} channels", plan.network.architecture().projection());
    for note in files.described.notes().into_iter().chain(casing.map(|casing| format!("words: {casing}"))) {
        crate::output::say!("  {note}");
    }
    if plan.network.architecture().vocabulary() > words {
        let spare = plan.network.architecture().vocabulary() - words;
        crate::output::say!("  note   the embeddings have {spare} rows more than the vocabulary has tokens");
    }
    let fresh: Vec<&str> = plan.parameters.iter().filter(|p| p.is_fresh()).map(|p| p.name.as_str()).collect();
    if !fresh.is_empty() {
        crate::output::say!("  fresh  {} (seed {})", fresh.join(", "), options.seed);
    }
    for (name, why) in &plan.unused {
        crate::output::say!("  unused {name}: {why}");
    }
    for name in files.beside() {
        crate::output::say!("  unused {name}: beside the state dict");
    }
    if let Some(kind) = options.store.weight_type() {
        let narrowed = plan.parameters.iter().filter(|p| checkpoint::is_narrowed(&p.name, &p.shape)).count();
        crate::output::say!("  stored {narrowed} of {count} parameters as {kind}, the others as f32");
    }
    crate::output::say!("→ {}", options.out.display());
}

/// A tower in one line.
struct Tower {
    family: &'static str,
    width: usize,
    depth: usize,
    heads: usize,
}

impl Tower {
    fn new(family: &'static str, width: usize, depth: usize, heads: usize) -> Self {
        Self { family, width, depth, heads }
    }
}

impl std::fmt::Display for Tower {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}, {} channels, {} layers, {} heads", self.family, self.width, self.depth, self.heads)
    }
}
