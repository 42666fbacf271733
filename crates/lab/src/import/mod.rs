//! `simseg import`: checkpoints of others become model directories, and every tensor is accounted for.
//!
//! 1. A [`Dialect`](dialect::Dialect) recognises the names: SimSeg's released ones, OpenAI's CLIP as OpenAI, open_clip or
//!    Hugging Face write it, or timm's ViT beside Hugging Face's BERT.
//! 2. The architecture follows from shapes ([`shapes`]).
//! 3. Every parameter of that architecture gets its source and every tensor its use, or nothing is written ([`plan`]).
//! 4. Values go from the mapped file to the new one, tensor by tensor.

pub mod dialect;
pub mod plan;
pub mod shapes;

use crate::failure::{Failure, Outcome};
use crate::model_dir::{self, Card};
use plan::Plan;
use shapes::Files;
use simseg_data::checkpoint::{self, Checkpoint};
use simseg_data::{Tokenizer, atomic};
use simseg_model::clip::Gelu;
use simseg_model::pool::Padding;
use simseg_model::{AlignerConfig, NetworkConfig};
use std::path::{Path, PathBuf};

/// What the command line says.
#[derive(Debug, Clone)]
pub struct Options {
    /// A `.pth` or `.safetensors` file.
    pub checkpoint: PathBuf,
    /// The text tower, if it lies in a file of its own.
    pub text: Option<PathBuf>,
    /// `vocab.txt`, `tokenizer.json`, CLIP's merges, or a folder with one of them.
    pub vocab: PathBuf,
    /// Where the model directory goes.
    pub out: PathBuf,
    /// Channels that two towers without projections are projected to.
    pub projection: usize,
    /// Of starting values, for what a checkpoint does not hold.
    pub seed: u64,
    /// How features are pooled: `loda`, `dense` or `holistic`; what the model was made for if not given.
    pub aligner: Option<String>,
    /// CLIP's GELU, which weights do not tell.
    pub gelu: Gelu,
}

/// Imports.
///
/// # Errors
/// Exit 2 with one line that says what is missing, left over or misshapen; nothing is written then.
pub fn import(options: &Options) -> Outcome {
    let paths = std::iter::once(&options.checkpoint).chain(&options.text);
    let files = Files::new(paths.map(|path| Checkpoint::open(path)).collect::<Result<_, _>>()?)?;
    let tokenizer = Tokenizer::load(&options.vocab)?;
    let plan = Plan::make(&files, options)?;
    let card = Card { network: plan.network, aligner: aligner(options, &plan.network)? };
    let (words, rows) = (tokenizer.vocabulary(), plan.network.vocabulary());
    if words > rows {
        let text =
            format!("{words} tokens, but the checkpoint embeds {rows}; expected the vocabulary it was trained with");
        return Err(Failure::file(&options.vocab, text));
    }
    plan.check_values(&files)?;

    atomic::folder(&options.out)?;
    let stored: Vec<_> = plan.parameters.iter().map(|parameter| parameter.stored(&files, options.seed)).collect();
    checkpoint::write_stored(&options.out.join("model.safetensors"), &stored, &[])?;
    tokenizer.save(&options.out)?;
    // Last: a folder without it is no model directory yet.
    model_dir::save_card(&options.out, &card)?;
    report(options, &files, &plan, words);
    Ok(())
}

/// How features of the model are pooled. SimSeg as released: 5 patches and 5 words in training, 1 word at evaluation.
fn aligner(options: &Options, network: &NetworkConfig) -> Outcome<AlignerConfig> {
    let image = network.image();
    let (patches, words) = ((image.image_size / image.patch).pow(2), network.positions());
    let usual = match network {
        NetworkConfig::SimSeg(_) => "loda",
        NetworkConfig::Clip(_) => "holistic",
    };
    match options.aligner.as_deref().unwrap_or(usual) {
        "loda" => Ok(AlignerConfig::Loda {
            image_k: 5.min(patches),
            text_k: 5.min(words),
            eval_image_k: None,
            eval_text_k: Some(1),
            padding: Padding::PerCaption,
        }),
        "dense" => Ok(AlignerConfig::Dense {}),
        "holistic" => Ok(AlignerConfig::Holistic {}),
        other => Err(Failure::input("--aligner", format!("expected loda, dense or holistic, found `{other}`"))),
    }
}

/// Says what became of everything.
fn report(options: &Options, files: &Files, plan: &Plan, words: usize) {
    let values: usize = plan.parameters.iter().map(|p| p.shape.iter().product::<usize>()).sum();
    let (count, millions) = (plan.parameters.len(), values as f64 / 1e6);
    println!("{}: {count} parameters, {millions:.1} million values", plan.dialect);
    let image = plan.network.image();
    let grid = image.image_size / image.patch;
    println!(
        "  image  {} channels, {} blocks, {} heads; {grid}×{grid} patches of {}",
        image.width, image.depth, image.heads, image.patch
    );
    let (family, width, depth, heads) = match plan.network {
        NetworkConfig::SimSeg(config) => ("BERT", config.text.width, config.text.depth, config.text.heads),
        NetworkConfig::Clip(config) => ("CLIP", config.text.width, config.text.depth, config.text.heads),
    };
    println!("  text   {family}, {width} channels, {depth} layers, {heads} heads; {words} tokens");
    println!("  both   projected to {} channels", plan.network.projection());
    if plan.network.vocabulary() > words {
        let spare = plan.network.vocabulary() - words;
        println!("  note   the embeddings have {spare} rows more than the vocabulary has tokens");
    }
    let fresh: Vec<&str> = plan.parameters.iter().filter(|p| p.is_fresh()).map(|p| p.name.as_str()).collect();
    if !fresh.is_empty() {
        println!("  fresh  {} (seed {})", fresh.join(", "), options.seed);
    }
    for (name, why) in &plan.unused {
        println!("  unused {name}: {why}");
    }
    for name in files.beside() {
        println!("  unused {name}: beside the state dict");
    }
    println!("→ {}", options.out.display());
}

/// A list of names that stays readable.
pub(crate) fn listed(names: &[String]) -> String {
    const MOST: usize = 20;
    match names.len().checked_sub(MOST) {
        Some(more @ 1..) => format!("{} and {more} more", names[..MOST].join(", ")),
        _ => names.join(", "),
    }
}

/// Where an error belongs.
pub(crate) fn at(path: &Path, why: String) -> Failure {
    Failure::file(path, why)
}
