//! `simseg retrieve`: which caption belongs to which image?
//!
//! With unit embeddings `f_i` of images and `g_j` of captions, everything is ranked by `f_i · g_j`. `R@k` from image to text is
//! the share of images one of whose captions is among the `k` best; from text to image, the share of captions whose image
//! is. Released code: images squashed to 324, the middle 288 of them cut out.

use super::shared::ExifArg;
use crate::backend::BackendArgs;
use crate::failure::{Failure, Outcome};
use crate::probes::retrieval::{Recall, both_ways};
use crate::progress::Steps;
use clap::Args;
use serde::{Deserialize, Serialize};
use simseg::recipe::{Fit, Input};
use simseg::{Extension, Loaded, Model, Picture, Recipe, Registry};
use simseg_data::pairs::captions::{Columns, captions};
use simseg_data::transform;
use simseg_tensor::{NoTap, Ops, Tensor};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

/// What the command line says.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// A model directory.
    #[arg(long, value_name = "DIR")]
    pub model: PathBuf,
    /// A CSV or TSV file of captions: with the columns `image` and `caption`, or as Flickr8k and Flickr30k are published.
    #[arg(long, value_name = "FILE.csv")]
    pub captions: PathBuf,
    /// Where its images lie.
    #[arg(long, value_name = "DIR")]
    pub images: PathBuf,
    /// Where results go.
    #[arg(long, value_name = "FILE.json")]
    pub out: PathBuf,
    /// Images are squashed to a square of this side …
    #[arg(long, default_value_t = 324)]
    pub resize: usize,
    /// … of which the middle of this side is seen.
    #[arg(long, default_value_t = 288)]
    pub crop: usize,
    /// What becomes of a camera's note how it was held.
    #[arg(long, value_enum, default_value_t)]
    pub exif: ExifArg,
    /// What computes.
    #[command(flatten)]
    pub backend: BackendArgs,
}

/// `FILE.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Share of images one of whose captions is found.
    pub image_to_text: Recall,
    /// Share of captions whose image is found.
    pub text_to_image: Recall,
    /// Images ranked.
    pub images: usize,
    /// Captions ranked.
    pub captions: usize,
    /// Seconds in all.
    pub seconds: f64,
}

/// Ranks all captions and images of a file against each other.
///
/// # Errors
/// Exit 2 for bad input.
pub fn retrieve<T: Tensor>(options: &Options, extension: &impl Extension, device: &T::Device) -> Outcome<Report> {
    const BATCH: usize = 16;
    let began = Instant::now();
    if options.crop == 0 || options.crop > options.resize {
        let text = format!("expected 1 to {} (--resize), found {}", options.resize, options.crop);
        return Err(Failure::input("--crop", text));
    }
    let (mut names, mut texts, mut image_of) = (Vec::<String>::new(), vec![], vec![]);
    let mut number = HashMap::new();
    for line in captions(&options.captions, &Columns::default())? {
        let image = *number.entry(line.image.clone()).or_insert_with(|| {
            names.push(line.image);
            names.len() - 1
        });
        texts.push(line.caption);
        image_of.push(image);
    }
    let recipe =
        Recipe { input: Input { size: options.crop, fit: Fit::Squash, ..Recipe::plain().input }, ..Recipe::plain() };
    let registry = Arc::new(Registry::with(extension));
    let loaded = Loaded::read_rounded(&options.model, options.backend.rounded(), &registry, device)?;
    let model = Model::<T>::assemble(loaded, Some(recipe), registry, device)?;
    if model.aligner().pairwise() {
        let why = "compares images and captions pair by pair; retrieval ranks by one vector for each";
        return Err(Failure::file(&options.model, format!("its aligner `{}` {why}", model.description().aligner.kind)));
    }
    let d = model.network_config().projection();

    let bar = Steps::new("images", 1.0, "images");
    bar.start(names.len() as u64, 0);
    let mut image_rows = Vec::with_capacity(names.len() * d);
    for (batch, files) in names.chunks(BATCH).enumerate() {
        let picture = |name: &String| -> Outcome<Picture> {
            let whole = Picture::load_with(&options.images.join(name), options.exif.into())?;
            let squashed = transform::resize(&whole, options.resize, options.resize);
            Ok(transform::centre_crop(&squashed, options.crop, options.crop))
        };
        let pictures = files.iter().map(picture).collect::<Outcome<Vec<_>>>()?;
        for features in model.features(&pictures, &mut NoTap)? {
            image_rows.extend(features.embedding.to_f32()?);
        }
        bar.to(((batch + 1) * BATCH).min(names.len()) as u64, None);
    }
    bar.finish();
    let bar = Steps::new("captions", 1.0, "captions");
    bar.start(texts.len() as u64, 0);
    let mut text_rows = Vec::with_capacity(texts.len() * d);
    for (batch, lines) in texts.chunks(4 * BATCH).enumerate() {
        text_rows.extend(model.embed(lines)?.to_f32()?);
        bar.to(((batch + 1) * 4 * BATCH).min(texts.len()) as u64, None);
    }
    bar.finish();

    let (image_to_text, text_to_image) = both_ways(&image_rows, &text_rows, &image_of, d);
    let seconds = began.elapsed().as_secs_f64();
    let report = Report { image_to_text, text_to_image, images: names.len(), captions: texts.len(), seconds };
    crate::results::save_json(&options.out, &report)?;
    crate::output::say!("{} images, {} captions      R@1    R@5   R@10", report.images, report.captions);
    for (way, r) in [("image → text", report.image_to_text), ("text → image", report.text_to_image)] {
        crate::output::say!("{way:<28} {:5.1}  {:5.1}  {:5.1}", 100.0 * r.at_1, 100.0 * r.at_5, 100.0 * r.at_10);
    }
    crate::output::say!("→ {}", options.out.display());
    Ok(report)
}
