//! The figures of the README and of the book, as SVG: `cargo run --release --example figures -- DIR [MODELS]`.
//!
//! Three small models are trained (step 7) and asked about scenes whose contexts say nothing of their objects. With a second folder they
//! stay there, as model directories, for `crates/python/notebook.ipynb`.

#[path = "07_train_three.rs"]
#[allow(dead_code, reason = "its main is that of the example")]
mod train_three;

use base64::Engine;
use simseg::explanation::Ledger;
use simseg::explanation::palette::{self, heat};
use simseg::{Loaded, Model};
use simseg_data::picture::indexed_png;
use simseg_data::{Picture, Scene, SceneConfig, World};
use simseg_registry::Choice;
use simseg_segment::refine::crf::{CrfParameters, Lattices};
use simseg_tensor::NoTap;
use std::error::Error;
use std::path::Path;

/// Side of a panel, and what is between two.
const SIDE: usize = 128;
const GAP: usize = 8;
const NAMES: [&str; 3] = ["holistic", "dense", "LoDA"];

/// Rows of panels below a row of headings.
struct Figure {
    columns: usize,
    rows: usize,
    body: String,
}

impl Figure {
    fn new(headings: &[&str], rows: usize) -> Self {
        let mut figure = Self { columns: headings.len(), rows, body: String::new() };
        for (column, heading) in headings.iter().enumerate() {
            let (x, _) = figure.corner(0, column);
            figure.body += &format!("<text x=\"{}\" y=\"14\">{heading}</text>\n", x + SIDE / 2);
        }
        figure
    }

    fn corner(&self, row: usize, column: usize) -> (usize, usize) {
        (column * (SIDE + GAP), 22 + row * (SIDE + GAP))
    }

    /// A picture of few or many colours.
    fn image(&mut self, row: usize, column: usize, png: &[u8]) {
        let (x, y) = self.corner(row, column);
        let data = base64::engine::general_purpose::STANDARD.encode(png);
        self.body += &format!(
            "<image x=\"{x}\" y=\"{y}\" width=\"{SIDE}\" height=\"{SIDE}\" style=\"image-rendering:pixelated\" href=\"data:image/png;base64,{data}\"/>\n"
        );
    }

    /// One colour a patch, and a ring around the centre of one.
    fn patches(&mut self, row: usize, column: usize, colours: &[[u8; 3]], ring: Option<usize>) {
        let side = colours.len().isqrt();
        let rgb = colours.concat();
        self.image(row, column, &Picture { width: side, height: side, rgb }.png());
        let ((x, y), cell) = (self.corner(row, column), SIDE / side);
        if let Some(p) = ring {
            let (x, y) = (x + p % side * cell + cell / 2, y + p / side * cell + cell / 2);
            self.body += &format!("<circle cx=\"{x}\" cy=\"{y}\" r=\"{}\"/>\n", cell * 3 / 5);
        }
    }

    fn written(&self, path: &Path, about: &str) -> std::io::Result<()> {
        let (width, height) = (self.columns * (SIDE + GAP) - GAP, 22 + self.rows * (SIDE + GAP) - GAP);
        let style = "text{font:13px system-ui,sans-serif;text-anchor:middle;fill:#59636e}circle{fill:none;stroke:#fff;stroke-width:2.5}";
        let svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" role=\"img\"><title>{about}</title>\n\
             <style>{style}</style>\n{}</svg>\n",
            self.body
        );
        std::fs::write(path, svg)
    }
}

/// White at 0, blue above, red below; `top` is full colour.
fn signed(value: f32, top: f32) -> [u8; 3] {
    let strength = (value.abs() / top).clamp(0.0, 1.0);
    let end = if value < 0.0 { [214.0, 69.0, 65.0] } else { [31.0, 111.0, 205.0] };
    std::array::from_fn(|i| (255.0 + (end[i] - 255.0) * strength).round() as u8)
}

/// Stretched from the lowest to the highest value, and where the highest is.
fn stretched(values: &[f32]) -> (Vec<[u8; 3]>, usize) {
    let (low, high) = values.iter().fold((f32::MAX, f32::MIN), |(low, high), &x| (low.min(x), high.max(x)));
    let top = (0..values.len()).fold(0, |best, p| if values[p] > values[best] { p } else { best });
    (values.iter().map(|x| heat((x - low) / (high - low).max(1e-9))).collect(), top)
}

/// Labels, each class in its colour.
fn labels_png(values: impl Iterator<Item = u16>) -> Vec<u8> {
    let labels: Vec<u8> = values.map(|label| label as u8).collect();
    let palette: Vec<[u8; 3]> = (0..World::classes().len()).map(|class| palette::colour(class, true)).collect();
    indexed_png(64, 64, &labels, &palette)
}

/// Scene, what each aligner's model finds like the object's word, LoDA's labels, truth.
fn first(models: &[Model], scenes: &[Scene]) -> Result<Figure, Box<dyn Error>> {
    let headings = ["scene", NAMES[0], NAMES[1], NAMES[2], "LoDA: labels", "truth"];
    let mut figure = Figure::new(&headings, scenes.len());
    for (row, scene) in scenes.iter().enumerate() {
        let class = usize::from(scene.objects[0].class);
        figure.image(row, 0, &scene.picture().png());
        for (column, model) in models.iter().enumerate() {
            let words = model.words(World::classes())?;
            let image = model.features(&[scene.picture()], &mut NoTap)?.remove(0);
            let cosines = image.patch_scores(&words.bank.embeddings)?;
            let cosines = simseg_tensor::Ops::to_f32(&cosines)?; // [c, n]
            let (colours, top) = stretched(&cosines[class * 64..][..64]);
            figure.patches(row, 1 + column, &colours, Some(top));
            if column == 2 {
                let found = model.segment(&scene.picture(), &words)?;
                figure.image(row, 4, &labels_png(found.labels.values.iter().copied()));
            }
        }
        figure.image(row, 5, &labels_png(scene.labels.iter().map(|&label| label.into())));
    }
    Ok(figure)
}

/// What each patch adds to the score of the object's word, dense and LoDA, on one scale.
fn ledger(models: &[Model], scenes: &[Scene]) -> Result<Figure, Box<dyn Error>> {
    let mut figure = Figure::new(&["scene", NAMES[1], NAMES[2]], scenes.len());
    for (row, scene) in scenes.iter().enumerate() {
        let class = usize::from(scene.objects[0].class);
        figure.image(row, 0, &scene.picture().png());
        for (column, model) in models[1..].iter().enumerate() {
            let words = model.words(World::classes())?;
            if let Ledger::Split { entries, .. } = model.explain(&scene.picture(), &words, None)?.ledger {
                let colours: Vec<[u8; 3]> = entries[class].iter().map(|&entry| signed(entry, 0.15)).collect();
                figure.patches(row, 1 + column, &colours, None);
            }
        }
    }
    Ok(figure)
}

/// A mask that is too wide, round by round.
fn crf() -> Result<Figure, Box<dyn Error>> {
    let inside = |p: usize, low: usize, high: usize| (low..high).contains(&(p % 32)) && (low..high).contains(&(p / 32));
    let rgb: Vec<u8> = (0..1024).flat_map(|p| if inside(p, 10, 22) { [60, 50, 40] } else { [200, 210, 220] }).collect();
    let map: Vec<f32> = (0..1024).map(|p| if inside(p, 7, 25) { 0.6 } else { 0.3 }).collect();
    let mut figure = Figure::new(&["image", "map", "after 1 round", "after 2", "after 3"], 1);
    figure.image(0, 0, &Picture { width: 32, height: 32, rgb: rgb.clone() }.png());
    for rounds in 0..=3 {
        let parameters = CrfParameters { bilateral_sxy: 10.0, iterations: rounds, ..CrfParameters::default() };
        let q = Lattices::new(&rgb, 32, 32, &parameters)?.infer(&[&map])?.remove(0);
        let colours: Vec<[u8; 3]> = q.iter().map(|&q| heat(q)).collect();
        figure.patches(0, 1 + rounds, &colours, None);
    }
    Ok(figure)
}

/// Scenes with their captions, as they are trained on.
fn world() -> Result<(Figure, String), Box<dyn Error>> {
    let scenes = World::new(SceneConfig::default(), 0)?.scenes(0..12);
    let mut figure = Figure::new(&[""; 6], 2);
    for (index, scene) in scenes.iter().enumerate() {
        figure.image(index / 6, index % 6, &scene.picture().png());
    }
    let captions: Vec<&str> = scenes.iter().map(|scene| scene.caption.as_str()).collect();
    Ok((figure, captions.join(" · ")))
}

fn main() -> Result<(), Box<dyn Error>> {
    let out = std::env::args().nth(1).ok_or("expected a folder")?;
    let out = Path::new(&out);
    std::fs::create_dir_all(out)?;
    let loda = Choice::new("loda").with("image_k", 3).with("text_k", 1);
    let aligners = [Choice::new("holistic"), Choice::new("dense"), loda];
    let learn = |aligner| train_three::learned(aligner, 240);
    let models = aligners.iter().map(learn).collect::<Result<Vec<Model>, _>>()?;
    if let Some(folder) = std::env::args().nth(2) {
        for (model, aligner) in models.iter().zip(&aligners) {
            let (description, parameters) = (model.description().clone(), model.parameters().clone());
            let loaded = Loaded { description, parameters, tokenizer: model.tokenizer().clone(), rounded: None };
            loaded.write(&Path::new(&folder).join(&aligner.kind))?;
        }
    }
    let unbiased = World::new(SceneConfig { bias: 0.0, second_object: 0.0, ..SceneConfig::default() }, 1)?;
    let scenes = unbiased.scenes(0..3);
    let about = "Three scenes; where the models trained with holistic, dense and LoDA alignment find the object's word; LoDA's labels; the truth";
    first(&models, &scenes)?.written(&out.join("first.svg"), about)?;
    ledger(&models, &scenes)?
        .written(&out.join("ledger.svg"), "What each patch adds to the score of the object's word, dense and LoDA")?;
    crf()?.written(&out.join("crf.svg"), "A mask that is too wide moves onto the edge of the image in three rounds")?;
    let (figure, captions) = world()?;
    figure.written(&out.join("world.svg"), &captions)?;
    Ok(())
}
