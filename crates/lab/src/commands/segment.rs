//! `simseg segment`: label maps for your own images and words.

use super::shared::{ClassArgs, ExifArg, ModelArgs};
use crate::ahead::ahead;
use crate::backend::BackendArgs;
use crate::failure::{Failure, Outcome};
use crate::output;
use clap::Args;
use simseg::{Extension, Model, Picture, Words};
use simseg_data::{atomic, checkpoint};
use simseg_segment::ImageFeatures;
use simseg_segment::map::Size;
use simseg_tensor::{NoTap, Ops, Tap, Tensor};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// What the command line says.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Which model, and how it is used.
    #[command(flatten)]
    pub model: ModelArgs,
    /// Which classes.
    #[command(flatten)]
    pub classes: ClassArgs,
    /// Images (PNG, JPEG, WebP or BMP), or folders of them.
    #[arg(required = true)]
    pub images: Vec<PathBuf>,
    /// Also the folders in these folders.
    #[arg(long)]
    pub recursive: bool,
    /// What becomes of a camera's note how it was held: label maps are those of the turned picture, or of the stored one.
    #[arg(long, value_enum, default_value_t)]
    pub exif: ExifArg,
    /// Where label maps go.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Write every intermediate tensor.
    #[arg(long, value_name = "FILE.safetensors")]
    pub trace: Option<PathBuf>,
    /// Write the seconds per stage. With this or a trace a picture is done before the next one begins; without, the next goes through
    /// the encoder while this one is refined and saved.
    #[arg(long, value_name = "FILE.json")]
    pub timings: Option<PathBuf>,
    /// The most memory that a picture may need, weights included, such as 64MB or 1GiB; one that may need more is refused, with what it would
    /// need. Pictures and the words' embeddings are not counted. Pictures are done one after the other then.
    #[arg(long, value_name = "BYTES", value_parser = bytes, allow_negative_numbers = true)]
    pub memory_limit: Option<usize>,
    /// What computes.
    #[command(flatten)]
    pub backend: BackendArgs,
}

/// A number of bytes: `64MB`, `1.5GiB`, `65536`; units in any case, `64M` as `64MB`. More than there can be is no limit.
fn bytes(text: &str) -> Result<usize, String> {
    let split = text.find(|c: char| !c.is_ascii_digit() && !"+.".contains(c)).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let factor: Option<f64> = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => Some(1.0),
        "k" | "kb" => Some(1e3),
        "m" | "mb" => Some(1e6),
        "g" | "gb" => Some(1e9),
        "t" | "tb" => Some(1e12),
        "kib" => Some(1024.0),
        "mib" => Some(1024f64.powi(2)),
        "gib" => Some(1024f64.powi(3)),
        "tib" => Some(1024f64.powi(4)),
        _ => None,
    };
    match number.parse::<f64>().ok().zip(factor).map(|(number, factor)| number * factor) {
        Some(bytes) if bytes >= 1.0 => Ok(bytes as usize), // saturates
        _ => Err("expected a number of bytes, such as 64MB, 1.5GiB or 65536".into()),
    }
}

/// Segments every image.
///
/// # Errors
/// Exit 2 for anything that is wrong with the input, exit 1 if some of several images cannot be read: the others are done.
pub fn segment<T: Tensor>(options: &Options, extension: &impl Extension, device: &T::Device) -> Outcome {
    let (mut clock, began) = (Clock::default(), Instant::now());
    let list = options.classes.list()?;
    let images = &expanded(options)?;
    let outputs = images.iter().flat_map(|image| outputs_of(&options.out, image));
    let outputs: Vec<PathBuf> = outputs.chain(options.trace.clone()).chain(options.timings.clone()).collect();
    let inputs = images.iter().chain([&options.classes.file, &options.model.folder]);
    output::guard(&inputs.map(PathBuf::as_path).collect::<Vec<_>>(), &outputs)?;
    let mut model = clock.time("load", || options.model.open::<T>("", options.backend.rounded(), extension, device))?;
    if let Some(limit) = options.memory_limit {
        model = model.with_memory_limit(limit).map_err(|error| Failure::from(error).within("--memory-limit: "))?;
    }
    atomic::folder(&options.out)?;
    let words = clock.time("text", || options.model.words(&model, list))?;
    let many = words.list.len() > 255;
    let mut trace = Trace { many, on: options.trace.is_some(), prefix: String::new(), tensors: vec![] };
    if trace.on {
        trace.see("text/classes", &words.bank.embeddings)?;
    }
    let mut last =
        LastStages { options, count: images.len(), model: &model, words: &words, clock, trace, failed: vec![] };
    if options.trace.is_some() || options.timings.is_some() || options.memory_limit.is_some() {
        for image in images {
            let encoded = last.encoded(image);
            last.finish(image, encoded)?;
        }
    } else {
        let encoded = images.iter().map(|image| (image, encoded(image, options, &model, &words, &mut NoTap)));
        ahead(encoded, |(image, encoded)| last.finish(image, encoded))?;
    }
    let LastStages { mut clock, trace, failed, .. } = last;
    crate::output::say!("→ {}", options.out.display());
    if let Some(path) = &options.trace {
        checkpoint::write_stored(path, &trace.tensors, &[])?;
    }
    if let Some(path) = &options.timings {
        clock.seconds.insert("total", began.elapsed().as_secs_f64());
        crate::results::save_json(path, &clock.seconds)?;
    }
    match failed.len() {
        0 => Ok(()),
        count if count == images.len() => Err(Failure::input("images", "none of them could be read")),
        count => {
            let names: Vec<String> = failed.iter().map(|image| image.display().to_string()).collect();
            let (all, listed) = (images.len(), crate::failure::listed(&names));
            Err(Failure::Check(format!("{count} of {all} images failed: {listed}")))
        }
    }
}

/// An image and its features.
fn encoded<T: Tensor>(
    image: &Path,
    options: &Options,
    model: &Model<T>,
    words: &Words<T>,
    tap: &mut dyn Tap<T>,
) -> Outcome<(Picture, ImageFeatures<T>)> {
    let picture = Picture::load_with(image, options.exif.into())?;
    let fits = model.check_memory(Size { height: picture.height, width: picture.width }, words);
    let features = fits.and_then(|()| model.features(std::slice::from_ref(&picture), tap));
    let features = features.map_err(|error| Failure::from(error).within(format!("{}: ", image.display())))?;
    Ok((picture, features.into_iter().next().ok_or_else(|| Failure::file(image, "no features"))?))
}

/// What happens to a picture after the encoder.
struct LastStages<'a, T: Tensor> {
    options: &'a Options,
    count: usize,
    model: &'a Model<T>,
    words: &'a Words<T>,
    clock: Clock,
    trace: Trace,
    failed: Vec<&'a PathBuf>,
}

impl<'a, T: Tensor> LastStages<'a, T> {
    /// The stages before, traced and timed.
    fn encoded(&mut self, image: &Path) -> Outcome<(Picture, ImageFeatures<T>)> {
        let Self { options, count, model, words, clock, trace, .. } = self;
        trace.prefix = if *count > 1 { format!("{}/", stem(image)) } else { String::new() };
        clock.time("image", || encoded(image, options, model, words, trace))
    }

    /// Refines and saves; a picture that could not be read is noted if there are others.
    fn finish(&mut self, image: &'a PathBuf, encoded: Outcome<(Picture, ImageFeatures<T>)>) -> Outcome {
        let Self { options, count, model, words, clock, trace, failed } = self;
        let (picture, features) = match encoded {
            Ok(encoded) => encoded,
            // One bad image does not end a batch.
            Err(Failure::Input(why)) if *count > 1 => {
                output::note!("simseg: {why}");
                failed.push(image);
                return Ok(());
            }
            Err(failure) => return Err(failure),
        };
        let found = clock.time("refine", || model.segment_features(&picture, &features, words, trace))?;
        clock.time("save", || -> Outcome {
            let [labels, overlay] = outputs_of(&options.out, image);
            found.labels.save(&labels)?;
            Ok(picture.overlay(&found.labels).save(&overlay)?)
        })?;
        let said = found.found.iter().map(|class| {
            format!("{} (score {:.3}, {:.0}% of the pixels)", class.name, class.score, 100.0 * class.share)
        });
        let said: Vec<String> = said.collect();
        let said = if said.is_empty() {
            (if words.list.has_background() { "background only" } else { "none of the classes" }).to_owned()
        } else {
            said.join(", ")
        };
        crate::output::say!("{}: {said}", image.display());
        Ok(())
    }
}

/// The images that are named, and those of the folders that are.
fn expanded(options: &Options) -> Outcome<Vec<PathBuf>> {
    let mut images = vec![];
    for path in &options.images {
        if !path.is_dir() {
            images.push(path.clone());
            continue;
        }
        let inside = simseg_data::datasets::pictures(path, options.recursive)?;
        if inside.is_empty() {
            let hint = if options.recursive { "" } else { " (--recursive looks into its folders, too)" };
            return Err(Failure::file(path, format!("no images in it{hint}")));
        }
        images.extend(inside);
    }
    Ok(images)
}

/// The label map and the overlay of an image.
fn outputs_of(out: &Path, image: &Path) -> [PathBuf; 2] {
    let stem = stem(image);
    [out.join(format!("{stem}.png")), out.join(format!("{stem}.overlay.png"))]
}

fn stem(path: &Path) -> String {
    path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Seconds per stage.
#[derive(Default)]
struct Clock {
    seconds: BTreeMap<&'static str, f64>,
}

impl Clock {
    fn time<R>(&mut self, stage: &'static str, work: impl FnOnce() -> R) -> R {
        let start = Instant::now();
        let result = work();
        *self.seconds.entry(stage).or_default() += start.elapsed().as_secs_f64();
        result
    }
}

/// A tap that keeps everything for a safetensors file: real values as f32, masks as u8, labels as u8 or, beyond 255 classes, as u16.
struct Trace {
    on: bool,
    /// Whether there are more classes than a byte can tell.
    many: bool,
    prefix: String,
    tensors: Vec<checkpoint::Stored<'static>>,
}

impl<T: Tensor> Tap<T> for Trace {
    fn see(&mut self, name: &str, value: &T) -> simseg_tensor::Result<()> {
        // Layer outputs are for parity reports; a trace holds the stages of the contract.
        let inner = ["image/embed", "image/tokens", "image/attention", "image/block/", "text/embed", "text/layer/"];
        let layer =
            inner.iter().any(|prefix| if prefix.ends_with('/') { name.starts_with(prefix) } else { name == *prefix });
        if self.on && !layer {
            let (shape, values) = (value.shape().to_vec(), value.to_f32()?);
            self.tensors.push(checkpoint::Stored::f32(format!("{}{name}", self.prefix), shape, values));
        }
        Ok(())
    }
    fn see_host(&mut self, name: &str, shape: &[usize], values: &[f32]) -> simseg_tensor::Result<()> {
        if self.on {
            let name = format!("{}{name}", self.prefix);
            self.tensors.push(checkpoint::Stored::f32(name, shape.to_vec(), values.to_vec()));
        }
        Ok(())
    }
    fn see_mask(&mut self, name: &str, shape: &[usize], values: &[u8]) -> simseg_tensor::Result<()> {
        if self.on {
            let name = format!("{}{name}", self.prefix);
            self.tensors.push(checkpoint::Stored::u8(name, shape.to_vec(), values.to_vec()));
        }
        Ok(())
    }
    fn see_labels(&mut self, name: &str, shape: &[usize], values: &[u16]) -> simseg_tensor::Result<()> {
        if self.on {
            let (name, shape) = (format!("{}{name}", self.prefix), shape.to_vec());
            let byte = |&label: &u16| u8::try_from(label).unwrap_or(u8::MAX); // 65535, no class, becomes 255
            self.tensors.push(match self.many {
                false => checkpoint::Stored::u8(name, shape, values.iter().map(byte).collect()),
                true => checkpoint::Stored::u16(name, shape, values),
            });
        }
        Ok(())
    }
}
