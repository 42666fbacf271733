//! Step 6: words become masks. A small trained model (`fixtures/tiny`) and a scene it never saw.
//!
//! Words become class embeddings; the pooled image scores each class; those above `μ + σ` are drawn; every patch is compared
//! with the class, the map cut, and the higher score covers the lower (`crates/segment/src/simseg.rs`).
//!
//! `cargo run --release --example 06_segment`

use simseg_cpu::{CpuDevice, CpuTensor};
use simseg_data::{SceneConfig, World};
use simseg_lab::pipeline::Pipeline;
use simseg_lab::{Outcome, evaluate, model_dir};
use simseg_segment::{ClassList, Recipe, Segmenter, SimSeg};
use simseg_tensor::NoTap;
use std::path::Path;

pub(crate) fn main() -> Outcome {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/tiny");
    let pipeline = Pipeline::new(model_dir::load::<CpuTensor<f32>>(&folder, &CpuDevice)?, Recipe::plain());
    let classes = ClassList::parse(&World::classes().join("\n"))?;
    let bank = pipeline.class_bank(&classes)?;

    let world = World::new(SceneConfig { bias: 0.0, second_object: 0.0, ..SceneConfig::default() }, 2_000_000)?;
    let scene = world.scene(0);
    let object = usize::from(scene.objects[0].class);
    println!("the scene: “{}”, in truth a {}", scene.caption, classes.name(object));

    let image = pipeline.features(&[evaluate::picture(&scene)], &mut NoTap)?.remove(0);
    let found = SimSeg::new(pipeline.recipe.clone()).segment(&image, &bank, &mut NoTap)?;
    let mut ranking: Vec<usize> = (0..classes.len()).collect();
    ranking.sort_by(|&a, &b| found.scores[b].total_cmp(&found.scores[a]));
    for &class in &ranking[..4] {
        println!("  {:<10} {:.3}", classes.name(class), found.scores[class]);
    }
    println!("  threshold  {:.3}", found.threshold);

    // Every second row, as characters are tall: left the truth, right the prediction.
    let side = scene.size;
    let mark = |label: u8| match usize::from(label) {
        0 => '·',
        class if class == object => '█',
        _ => '?',
    };
    for y in (0..side).step_by(4) {
        let line = |labels: &[u8]| (0..side).step_by(2).map(|x| mark(labels[y * side + x])).collect::<String>();
        println!("  {}   {}", line(&scene.labels), line(&found.labels));
    }
    let count = |both: fn(bool, bool) -> bool| {
        let pairs = scene.labels.iter().zip(&found.labels);
        pairs.filter(|&(&t, &p)| both(usize::from(t) == object, usize::from(p) == object)).count() as f64
    };
    let iou = count(|t, p| t && p) / count(|t, p| t || p);
    assert_eq!(ranking.iter().find(|&&class| class != 0), Some(&object));
    assert!(iou > 0.3, "{iou}");
    println!("✓ the word {} covers it with IoU {iou:.2}, learned from captions alone", classes.name(object));
    Ok(())
}
