//! `simseg explain`: one image through every step, on a page that needs nothing but itself.
//!
//! Everything shown is a tensor that [`SimSeg`] showed to a tap on its way; nothing is computed twice, except who listens to
//! which patch (step 2), which pooling does not keep.

use crate::bank::Cache;
use crate::evaluate::heat;
use crate::failure::{Failure, Outcome};
use crate::model_dir;
use crate::pipeline::Pipeline;
use crate::segment::{class_list, recipe_for, recipe_name};
use askama::Template;
use base64::Engine;
use simseg_data::picture::{Labels, colour};
use simseg_data::{Picture, atomic};
use simseg_model::AlignerConfig;
use simseg_segment::recipe::Refine;
use simseg_segment::threshold::ranking;
use simseg_segment::{ClassList, Recipe, Segmentation, Segmenter, SimSeg};
use simseg_tensor::{Ops, Tap, Tensor};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// What the command line says.
#[derive(Debug, Clone)]
pub struct Options {
    /// Model directory.
    pub model: PathBuf,
    /// Class file.
    pub classes: PathBuf,
    /// The image.
    pub image: PathBuf,
    /// The page.
    pub out: PathBuf,
    /// The recipe: a name or a file.
    pub recipe: String,
    /// Changes to it.
    pub set: Vec<String>,
    /// Where class embeddings are kept.
    pub cache: Cache,
}

/// Masks and maps by name, as they came by.
#[derive(Default)]
struct Seen {
    values: BTreeMap<String, Vec<f32>>,
}

impl<T: Tensor> Tap<T> for Seen {
    fn see(&mut self, name: &str, value: &T) -> simseg_tensor::Result<()> {
        if name == "image/patches" {
            self.values.insert(name.to_owned(), value.to_f32()?);
        }
        Ok(())
    }
    fn see_host(&mut self, name: &str, _: &[usize], values: &[f32]) -> simseg_tensor::Result<()> {
        self.values.insert(name.to_owned(), values.to_vec());
        Ok(())
    }
    fn see_labels(&mut self, name: &str, _: &[usize], values: &[u8]) -> simseg_tensor::Result<()> {
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
    listening: String,
    listening_text: String,
    templates: usize,
    template: String,
    bars: Vec<Bar>,
    threshold: String,
    threshold_left: Option<String>,
    found: Vec<Found>,
    refined: &'static str,
    labels: String,
    overlay: String,
    legend: Vec<(String, String, String)>,
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
pub fn explain<T: Tensor>(options: &Options, device: &T::Device) -> Outcome {
    let recipe = recipe_for(&options.model, &options.recipe, "", &options.set)?;
    let classes = class_list(&options.classes)?;
    let picture = Picture::load(&options.image)?;
    let loaded = model_dir::load::<T>(&options.model, device)?;
    let aligner = loaded.card.aligner;
    let pipeline = Pipeline::new(loaded, recipe);
    let bank = options.cache.bank(&pipeline, &options.model, &classes)?;
    let mut seen = Seen::default();
    let features = pipeline.features(std::slice::from_ref(&picture), &mut seen)?.remove(0);
    let segmented = SimSeg::new(pipeline.recipe.clone()).segment(&features, &bank, &mut seen)?;

    let (width, height) = (features.input.width, features.input.height);
    let input = Picture { width, height, rgb: features.rgb.clone() };
    let patch = pipeline.network.image().patch;
    let listening = listening(&seen.values["image/patches"], features.grid.area(), aligner);
    let spread: Vec<f32> =
        (0..width * height).map(|i| listening.0[i / width / patch * features.grid.width + i % width / patch]).collect();
    let labels = Labels { width: picture.width, height: picture.height, values: segmented.labels.clone() };
    let templates = pipeline.recipe.prompts.templates.lines()?;
    let toml = toml::to_string_pretty(&pipeline.recipe).map_err(|error| Failure::input("recipe", error))?;
    let (bars, threshold_left) = bars(&classes, &segmented);
    let page = Page {
        title: options.image.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
        recipe: recipe_name(&options.model, &options.recipe)?,
        recipe_toml: toml,
        original: uri(&picture),
        original_size: format!("{}×{}", picture.width, picture.height),
        input: uri(&gridded(&input, patch)),
        input_size: format!("{width}×{height}"),
        grid: format!("{}×{}", features.grid.height, features.grid.width),
        patches: features.grid.area(),
        listening: uri(&blend(&input, &heat(&spread, width), 65)),
        listening_text: listening.1,
        templates: templates.len(),
        template: templates.first().cloned().unwrap_or_default(),
        bars,
        threshold: if segmented.threshold.is_nan() { String::new() } else { format!("{:.3}", segmented.threshold) },
        threshold_left,
        found: segmented
            .claims
            .iter()
            .map(|claim| {
                let bits = |kind: &str| {
                    seen.values.get(&format!("{kind}/{}", claim.class)).map(|m| uri(&black_white(m, width)))
                };
                Found {
                    name: classes.name(claim.class).to_owned(),
                    score: format!("{:.3}", claim.score),
                    map: uri(&heat(&claim.map, width)),
                    overlaid: uri(&blend(&input, &heat(&claim.map, width), 60)),
                    crf: bits("crf"),
                    mask: bits("mask").unwrap_or_default(),
                }
            })
            .collect(),
        refined: refined(&pipeline.recipe),
        overlay: uri(&picture.overlay(&labels)),
        legend: legend(&classes, &labels),
        labels: format!("data:image/png;base64,{}", base64::engine::general_purpose::STANDARD.encode(labels.png())),
    };
    let text = page.render().map_err(|error| Failure::file(&options.out, error))?;
    if let Some(folder) = options.out.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        atomic::folder(folder)?;
    }
    atomic::write(&options.out, text.as_bytes())?;
    println!("→ {}", options.out.display());
    Ok(())
}

fn refined(recipe: &Recipe) -> &'static str {
    match recipe.refine {
        Refine::Cut { .. } => "cut: every pixel above a level",
        Refine::Crf(_) => "dense CRF: pixels of similar place and colour agree",
        Refine::Pamr { .. } => "PAMR: averaged along colours, then cut",
    }
}

/// How much each patch is listened to, `[n]` in `[0, 1]`, and that in words.
fn listening(patches: &[f32], n: usize, aligner: AlignerConfig) -> (Vec<f32>, String) {
    let d = patches.len() / n;
    let k = match aligner {
        AlignerConfig::Loda { image_k, eval_image_k, .. } => eval_image_k.unwrap_or(image_k).min(n),
        AlignerConfig::Dense { .. } => n,
        AlignerConfig::Holistic { .. } => {
            return (vec![0.0; n], "Holistic alignment looks at the summary token only, not at patches.".into());
        }
    };
    let mut heard = vec![0.0f32; n];
    for channel in 0..d {
        let mut order: Vec<usize> = (0..n).collect();
        order.sort_by(|&a, &b| patches[b * d + channel].total_cmp(&patches[a * d + channel]));
        order[..k].iter().for_each(|&patch| heard[patch] += 1.0);
    }
    let loudest = heard.iter().copied().fold(0.0, f32::max);
    let silent = heard.iter().filter(|&&count| count == 0.0).count();
    let text = format!(
        "Each of the {d} channels listens to its {k} loudest of {n} patches. The brightest patch is heard by {loudest} \
         channels, {silent} patches by none."
    );
    (heard.into_iter().map(|count| count / loudest.max(1.0)).collect(), text)
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
        drawn: segmented.claims.iter().any(|claim| claim.class == class),
    };
    let left = (!segmented.threshold.is_nan()).then(|| percent(segmented.threshold));
    (ranking(scores).into_iter().take(30).map(bar).collect(), left)
}

/// Classes of a label map with their colours and shares of the pixels.
fn legend(classes: &ClassList, labels: &Labels) -> Vec<(String, String, String)> {
    let row = |class: usize| {
        let pixels = labels.values.iter().filter(|&&label| usize::from(label) == class).count();
        let hex: String = colour(class as u8).iter().map(|value| format!("{value:02x}")).collect();
        let share = format!("{:.0}%", 100.0 * pixels as f64 / labels.values.len() as f64);
        (pixels > 0).then(|| (classes.name(class).to_owned(), hex, share))
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
