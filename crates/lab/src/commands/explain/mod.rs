//! `simseg explain`: one image through every step, on a page that needs nothing but itself.
//!
//! What is shown is the library's [`Explanation`]: it comes from taps of the segmentation itself. `--json` writes it down, the page
//! (`side` in `images` and words, `said`) draws it, of one model or of two side by side. With `--live` the page can also compute (`live`).

mod images;
mod live;
mod said;
mod side;

use super::shared::{ClassArgs, ExifArg, ModelArgs};
use crate::backend::BackendArgs;
use crate::failure::{Failure, Outcome};
use askama::Template;
use clap::Args;
use live::Live;
use side::Side;
use simseg::{Explanation, Extension, Labels, Picture};
use simseg_data::atomic;
use simseg_tensor::Tensor;
use std::path::{Path, PathBuf};

/// What the command line says.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Which model, and how it is used.
    #[command(flatten)]
    pub model: ModelArgs,
    /// A second model directory, shown beside the first.
    #[arg(long, value_name = "DIR")]
    pub against: Option<PathBuf>,
    /// Which classes.
    #[command(flatten)]
    pub classes: ClassArgs,
    /// The image.
    pub image: PathBuf,
    /// The true label map of the image, an indexed PNG: the page then says how right the labels are.
    #[arg(long, value_name = "FILE.png")]
    pub truth: Option<PathBuf>,
    /// Where the page goes.
    #[arg(long, value_name = "FILE.html")]
    pub out: PathBuf,
    /// Where everything that the page shows goes as numbers; of two models as a list.
    #[arg(long, value_name = "FILE.json")]
    pub json: Option<PathBuf>,
    /// The module of the live page (target/web/simseg.wasm, which `cargo xtask web` leaves): the page then holds it and the first model,
    /// and words, threshold and refinement can be changed in the browser.
    #[arg(long, value_name = "FILE.wasm")]
    pub live: Option<PathBuf>,
    /// What becomes of a camera's note how it was held.
    #[arg(long, value_enum, default_value_t)]
    pub exif: ExifArg,
    /// What computes.
    #[command(flatten)]
    pub backend: BackendArgs,
}

#[derive(Template)]
#[template(path = "explain.html")]
struct Page {
    title: String,
    original: String,
    original_size: String,
    sides: Vec<Side>,
    live: Option<Live>,
}

/// Explains one image.
///
/// # Errors
/// Exit 2 for bad input.
pub fn explain<T: Tensor>(options: &Options, extension: &impl Extension, device: &T::Device) -> Outcome {
    let picture = Picture::load_with(&options.image, options.exif.into())?;
    let truth = options.truth.as_deref().map(|path| truth(path, &picture)).transpose()?;
    let mut models = vec![options.model.clone()];
    models.extend(options.against.iter().map(|folder| ModelArgs { folder: folder.clone(), ..options.model.clone() }));
    let live = |module: &PathBuf| {
        let args = &options.model;
        let model = args.open::<T>("", options.backend.rounded(), extension, device)?;
        Live::read(module, args, &model, &options.classes.list()?)
    };
    let live = options.live.as_ref().map(live).transpose()?;
    let (mut told, mut sides) = (vec![], vec![]);
    for model in &models {
        let (explanation, side) = one::<T>(options, model, (&picture, truth.as_ref()), extension, device)?;
        told.push(explanation);
        sides.push(side);
    }
    let page = Page {
        title: options.image.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
        original: images::original(&options.image, &picture),
        original_size: format!("{}×{}", picture.width, picture.height),
        sides,
        live,
    };
    let text = page.render().map_err(|error| Failure::file(&options.out, error))?;
    write(&options.out, &text)?;
    if let Some(path) = &options.json {
        let all = told.iter().map(Explanation::to_json).collect::<simseg::Result<Vec<_>>>()?;
        write(path, &if all.len() == 1 { all.concat() } else { format!("[{}]", all.join(",")) })?;
    }
    Ok(())
}

/// One model's explanation, and its side of the page.
fn one<T: Tensor>(
    options: &Options,
    args: &ModelArgs,
    (picture, truth): (&Picture, Option<&Labels>),
    extension: &impl Extension,
    device: &T::Device,
) -> Outcome<(Explanation, Side)> {
    let model = args.open::<T>("", options.backend.rounded(), extension, device)?;
    let words = args.words(&model, options.classes.list()?)?;
    let features = model.features(std::slice::from_ref(picture), &mut simseg_tensor::NoTap)?.remove(0);
    let truth = truth.map(|labels| labels.values.as_slice());
    let told = model.explain_features(picture, &features, &words, truth)?;
    let input = Picture { width: features.input.width, height: features.input.height, rgb: features.rgb };
    let side = Side::new(args.folder.display().to_string(), args.recipe_name(model.registry())?, &input, &told);
    Ok((told, side))
}

fn truth(path: &Path, picture: &Picture) -> Outcome<Labels> {
    let labels = Labels::load(path)?;
    match (labels.width, labels.height) == (picture.width, picture.height) {
        true => Ok(labels),
        false => {
            let Labels { width, height, .. } = labels;
            Err(Failure::file(
                path,
                format!("{width}×{height}; expected {}×{}, as the image", picture.width, picture.height),
            ))
        }
    }
}

fn write(path: &Path, text: &str) -> Outcome {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        atomic::folder(folder)?;
    }
    atomic::write(path, text.as_bytes())?;
    crate::output::say!("→ {}", path.display());
    Ok(())
}
