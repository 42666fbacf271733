//! `simseg explain`: one image through every step, on a page that needs nothing but itself.
//!
//! Everything shown is a tensor that the segmenter showed to a tap on its way; nothing is computed twice, except which patches
//! each channel is pooled from (step 2), which pooling does not keep.

use super::shared::{ClassArgs, ExifArg, ModelArgs};
use crate::backend::BackendArgs;
use crate::failure::{Failure, Outcome};
use crate::results::samples::heat;
use askama::Template;
use base64::Engine;
use clap::Args;
use simseg::{ClassList, Extension, Labels, Model, Picture, Recipe};
use simseg_data::atomic;
use simseg_model::{Side, Tokens};
use simseg_segment::threshold::ranking;
use simseg_segment::{ImageFeatures, Segmentation};
use simseg_tensor::{Ops, Tap, Tensor};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// What the command line says.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Which model, and how it is used.
    #[command(flatten)]
    pub model: ModelArgs,
    /// Which classes.
    #[command(flatten)]
    pub classes: ClassArgs,
    /// The image.
    pub image: PathBuf,
    /// Where the page goes.
    #[arg(long, value_name = "FILE.html")]
    pub out: PathBuf,
    /// What becomes of a camera's note how it was held.
    #[arg(long, value_enum, default_value_t)]
    pub exif: ExifArg,
    /// What computes.
    #[command(flatten)]
    pub backend: BackendArgs,
}

/// Masks and maps by name, as they came by.
#[derive(Default)]
struct Seen {
    values: BTreeMap<String, Vec<f32>>,
}

impl<T: Tensor> Tap<T> for Seen {
    fn see_host(&mut self, name: &str, _: &[usize], values: &[f32]) -> simseg_tensor::Result<()> {
        self.values.insert(name.to_owned(), values.to_vec());
        Ok(())
    }
    fn see_mask(&mut self, name: &str, _: &[usize], values: &[u8]) -> simseg_tensor::Result<()> {
        self.values.insert(name.to_owned(), values.iter().map(|&value| f32::from(value)).collect());
        Ok(())
    }
}

#[derive(Template)]
#[template(path = "explain.html")]
struct Page {
    title: String,
    recipe: String,
    recipe_toml: String,
    original: String,
    original_size: String,
    input: String,
    input_size: String,
    grid: String,
    patches: usize,
    pooled: String,
    pooled_text: String,
    templates: usize,
    template: String,
    bars: Vec<Bar>,
    threshold: String,
    threshold_left: Option<String>,
    found: Vec<Found>,
    refined: String,
    labels: String,
    overlay: String,
    legend: Vec<Share>,
}

/// A class of the label map.
struct Share {
    name: String,
    hex: String,
    share: String,
}

/// A class in the ranking.
struct Bar {
    name: String,
    score: String,
    /// Percent of the chart's width.
    width: String,
    drawn: bool,
}

/// A class in the image.
struct Found {
    name: String,
    score: String,
    map: String,
    overlaid: String,
    crf: Option<String>,
    mask: String,
}

/// Explains one image.
///
/// # Errors
/// Exit 2 for bad input.
pub fn explain<T: Tensor>(options: &Options, extension: &impl Extension, device: &T::Device) -> Outcome {
    let classes = options.classes.list()?;
    let picture = Picture::load_with(&options.image, options.exif.into())?;
    let model = options.model.open::<T>("", options.backend.rounded(), extension, device)?;
    let words = options.model.words(&model, classes)?;
    let classes = &words.list;
    let mut seen = Seen::default();
    let features = model.features(std::slice::from_ref(&picture), &mut seen)?.remove(0);
    let simseg::Segmented { labels, details: segmented, .. } =
        model.segment_features(&picture, &features, &words, &mut seen)?;

    let (width, height) = (features.input.width, features.input.height);
    let input = Picture { width, height, rgb: features.rgb.clone() };
    let patch = model.network_config().patch();
    let pooled = pooled_from(&model, &features)?;
    let spread: Vec<f32> = (0..width * height)
        .map(|i| pooled.share[i / width / patch * features.grid.width + i % width / patch])
        .collect();
    let templates = model.recipe().prompts.templates.lines()?;
    let (bars, threshold_left) = bars(classes, &segmented);
    let page = Page {
        title: options.image.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
        recipe: options.model.recipe_name(model.registry())?,
        recipe_toml: model.recipe().to_toml()?,
        original: uri(&picture),
        original_size: format!("{}×{}", picture.width, picture.height),
        input: uri(&gridded(&input, patch)),
        input_size: format!("{width}×{height}"),
        grid: format!("{}×{}", features.grid.height, features.grid.width),
        patches: features.grid.area(),
        pooled: uri(&blend(&input, &heat(&spread, width), 65)),
        pooled_text: pooled.text,
        templates: templates.len(),
        template: templates.first().cloned().unwrap_or_default(),
        bars,
        threshold: if segmented.threshold.is_nan() { String::new() } else { format!("{:.3}", segmented.threshold) },
        threshold_left,
        found: segmented
            .masks
            .iter()
            .map(|found| {
                let bits = |kind: &str| {
                    seen.values.get(&format!("{kind}/{}", found.class)).map(|m| uri(&black_white(m, width)))
                };
                Found {
                    name: classes.name(found.class).to_owned(),
                    score: format!("{:.3}", found.score),
                    map: uri(&heat(&found.map, width)),
                    overlaid: uri(&blend(&input, &heat(&found.map, width), 60)),
                    crf: bits("crf"),
                    mask: bits("mask").unwrap_or_default(),
                }
            })
            .collect(),
        refined: refined(model.recipe()),
        overlay: uri(&picture.overlay(&labels)),
        legend: legend(classes, &labels),
        labels: format!("data:image/png;base64,{}", base64::engine::general_purpose::STANDARD.encode(labels.png())),
    };
    let text = page.render().map_err(|error| Failure::file(&options.out, error))?;
    if let Some(folder) = options.out.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        atomic::folder(folder)?;
    }
    atomic::write(&options.out, text.as_bytes())?;
    crate::output::say!("→ {}", options.out.display());
    Ok(())
}

/// The refinement in words.
fn refined(recipe: &Recipe) -> String {
    let kind: Option<simseg::Choice> = recipe.segmenter.get("refine");
    match kind.as_ref().map_or("", |choice| choice.kind.as_str()) {
        "cut" => "cut: every pixel above a level".into(),
        "crf" => "dense CRF: pixels of similar place and colour agree".into(),
        "pamr" => "PAMR: averaged along colours, then cut".into(),
        "" => format!("by the segmenter {}", recipe.segmenter.kind),
        other => other.into(),
    }
}

/// Which patches the image's vector is pooled from.
struct Pooled {
    /// Per patch, the share of channels that are pooled from it, divided by the largest.
    share: Vec<f32>,
    text: String,
}

/// In how many channels each patch takes part in the pool: the aligner's own shares of the patches `[n, d]`.
fn pooled_from<T: Tensor>(
    model: &Model<T>,
    ImageFeatures { patches, windows, .. }: &ImageFeatures<T>,
) -> Outcome<Pooled> {
    let [n, d] = patches.dims()?;
    if windows.len() > 1 {
        let text = format!("The vector is the mean of those of {} windows, each pooled by itself.", windows.len());
        return Ok(Pooled { share: vec![0.0; n], text });
    }
    // The aligner expects a [CLS] token in front of the patches; a copy of the first patch serves, as it takes no part.
    let tokens = T::concat(&[&patches.slice(0, 0, 1)?, patches], 0)?.unsqueeze(0)?; // [1, 1+n, d]
    let shares = model.aligner().shares(Side::Image, &Tokens { values: tokens, lengths: None })?;
    let Some(shares) = shares else {
        let text =
            format!("The aligner `{}` does not pool patches channel by channel.", model.description().aligner.kind);
        return Ok(Pooled { share: vec![0.0; n], text });
    };
    let shares = shares.to_f32()?; // [1, 1+n, d] or [1, n, d]
    let rows = &shares[shares.len() - n * d..];
    let counts: Vec<usize> = rows.chunks(d).map(|row| row.iter().filter(|&&share| share > 0.0).count()).collect();
    let most = counts.iter().copied().max().unwrap_or(0);
    let none = counts.iter().filter(|&&count| count == 0).count();
    let each = counts.iter().sum::<usize>() as f64 / d as f64;
    let text = format!(
        "Each of the {d} channels is pooled from its {each:.0} strongest responses among {n} patches. The patch that takes \
         part most often does so in {most} channels; {none} patches take part in none."
    );
    Ok(Pooled { share: counts.into_iter().map(|count| count as f32 / most.max(1) as f32).collect(), text })
}

/// The ranking as bars from the lowest score to the highest, and where the threshold lies.
fn bars(classes: &ClassList, segmented: &Segmentation) -> (Vec<Bar>, Option<String>) {
    let scores = &segmented.scores;
    let (low, high) = scores.iter().fold((f32::MAX, f32::MIN), |(low, high), &s| (low.min(s), high.max(s)));
    let high = if segmented.threshold.is_nan() { high } else { high.max(segmented.threshold) };
    let percent = |score: f32| format!("{:.2}", 2.0 + 96.0 * (score - low) / (high - low).max(1e-9));
    let bar = |class: usize| Bar {
        name: classes.name(class).to_owned(),
        score: format!("{:.3}", scores[class]),
        width: percent(scores[class]),
        drawn: segmented.masks.iter().any(|found| found.class == class),
    };
    let left = (!segmented.threshold.is_nan()).then(|| percent(segmented.threshold));
    (ranking(scores).into_iter().take(30).map(bar).collect(), left)
}

/// Classes of a label map with their colours and shares of the pixels.
fn legend(classes: &ClassList, labels: &Labels) -> Vec<Share> {
    let row = |class: usize| {
        let pixels = labels.values.iter().filter(|&&label| usize::from(label) == class).count();
        let hex: String = labels.format.colour(class as u16).iter().map(|value| format!("{value:02x}")).collect();
        let share = format!("{:.0}%", 100.0 * pixels as f64 / labels.values.len() as f64);
        (pixels > 0).then(|| Share { name: classes.name(class).to_owned(), hex, share })
    };
    (0..classes.len()).filter_map(row).collect()
}

fn uri(picture: &Picture) -> String {
    format!("data:image/png;base64,{}", base64::engine::general_purpose::STANDARD.encode(picture.png()))
}

fn black_white(mask: &[f32], width: usize) -> Picture {
    let rgb = mask.iter().flat_map(|&bit| [if bit > 0.0 { 255 } else { 24 }; 3]).collect();
    Picture { width, height: mask.len() / width, rgb }
}

/// `percent` of the second picture over the first one in grey.
fn blend(under: &Picture, over: &Picture, percent: u32) -> Picture {
    let grey = |pixel: &[u8]| (u32::from(pixel[0]) * 3 + u32::from(pixel[1]) * 6 + u32::from(pixel[2])) / 10;
    let mix = |(a, b): (&[u8], &[u8])| {
        let grey = grey(a);
        [0, 1, 2].map(|c| ((grey * (100 - percent) + u32::from(b[c]) * percent) / 100) as u8)
    };
    let rgb = under.rgb.chunks(3).zip(over.rgb.chunks(3)).flat_map(mix).collect();
    Picture { width: under.width, height: under.height, rgb }
}

/// The picture with the borders of its patches drawn in.
fn gridded(picture: &Picture, patch: usize) -> Picture {
    let mut out = picture.clone();
    for (i, pixel) in out.rgb.chunks_mut(3).enumerate() {
        let (x, y) = (i % picture.width, i / picture.width);
        if (x > 0 && x % patch == 0) || (y > 0 && y % patch == 0) {
            pixel.iter_mut().for_each(|value| *value = ((u16::from(*value) + 2 * 255) / 3) as u8);
        }
    }
    out
}
