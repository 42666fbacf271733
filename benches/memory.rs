//! Memory and time stage by stage, beside what `Model::memory` says: `memory [PHOTOGRAPH]`, a table in Markdown.
//!
//! The tiny model, ViT-S/16 and ViT-B/16 with random weights, in f32, bf16 and int8 (`--precision`), under the recipe of the released code. Bytes
//! are those that the allocator was asked for, the most at a time within a stage; a mapped file is none of them, its copy for products is.

use peak_alloc::PeakAlloc;
use simseg::memory::Size;
use simseg::{Picture, Recipe, WeightType};
use simseg_benches::{Failure, model};
use simseg_model::{ModelConfig, bert::BertConfig, vit::VitConfig};
use simseg_tensor::NoTap;
use std::path::Path;
use std::time::Instant;

#[global_allocator]
static COUNTED: PeakAlloc = PeakAlloc;

/// Classes beside the background.
const CLASSES: usize = 20;

fn main() -> Result<(), Failure> {
    let named = std::env::args().nth(1).unwrap_or_else(|| "fixtures/pytorch/images/coffee.png".into());
    let picture = Picture::load(Path::new(&named))?;
    println!("{named}, {}×{}, {CLASSES} classes; MB, measured / at most", picture.width, picture.height);
    println!("\n| model | weights | encode | segment | peak | encode, segment (s) |\n|---|---|---|---|---|---|");
    for (name, vit, bert) in models() {
        let folder = tempfile::tempdir()?;
        let config = ModelConfig { image: vit, text: bert, projection: vit.width.min(512), temperature: 0.02 };
        model::write(&config, CLASSES, folder.path())?;
        for kind in [None, Some(WeightType::Bf16), Some(WeightType::Int8)] {
            let kind_name = kind.map_or("f32", WeightType::name);
            println!("| {name}, {kind_name} | {}", row(folder.path(), kind, &picture)?);
        }
    }
    Ok(())
}

/// Names and towers.
fn models() -> [(&'static str, VitConfig, BertConfig); 3] {
    let vit = |image_size, patch, width, depth, heads| VitConfig { image_size, patch, width, depth, heads };
    let bert = |vocabulary, width, depth, heads| BertConfig {
        vocabulary,
        positions: 512,
        types: 2,
        width,
        intermediate: 0,
        depth,
        heads,
    };
    [
        ("tiny", vit(64, 8, 96, 3, 3), bert(2000, 96, 2, 3)),
        ("ViT-S/16", vit(224, 16, 384, 12, 6), bert(30_522, 768, 12, 12)),
        ("ViT-B/16", vit(224, 16, 768, 12, 12), bert(30_522, 768, 12, 12)),
    ]
}

/// Bytes asked for at most at once beyond those before, seconds, and what `work` gave.
fn counted<R>(work: impl FnOnce() -> R) -> (usize, f64, R) {
    let before = COUNTED.current_usage();
    COUNTED.reset_peak_usage();
    let began = Instant::now();
    let done = work();
    (COUNTED.peak_usage().saturating_sub(before), began.elapsed().as_secs_f64(), done)
}

/// One model in one type; every stage is measured at the third picture, when weights have their copies.
fn row(folder: &Path, kind: Option<WeightType>, picture: &Picture) -> Result<String, Failure> {
    simseg_cpu::arena::bound(0); // nothing waits to be used again: what is counted is what is needed
    let opened = COUNTED.current_usage();
    let model = model::open(folder, Recipe::official_code(), kind)?;
    let words = model.words(model::names(CLASSES))?;
    let pictures = std::slice::from_ref(picture);
    for _ in 0..2 {
        model.segment(picture, &words)?;
    }
    let kept = COUNTED.current_usage().saturating_sub(opened);
    let (encode, encoding, features) = counted(|| model.features(pictures, &mut NoTap));
    let features = features?.remove(0);
    let (segment, segmenting, found) = counted(|| model.segment_features(picture, &features, &words, &mut NoTap));
    let found = found?;
    let said = model.memory(Size { height: picture.height, width: picture.width }, &words);
    let of = |measured: usize, said: usize| format!("{:.1} / {:.1}", measured as f64 / 1e6, said as f64 / 1e6);
    let peak = kept + encode.max(segment);
    if peak > said.peak() {
        return Err(format!("{} bytes were needed, {} were said at most", peak, said.peak()).into());
    }
    Ok(format!(
        "{} | {} | {} ({} classes) | {} | {encoding:.3}, {segmenting:.3} |",
        of(kept, said.weights),
        of(encode, said.encode.max(said.resize)),
        of(segment, said.segment),
        found.found.len(),
        of(peak, said.peak())
    ))
}
