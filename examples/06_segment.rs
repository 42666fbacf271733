//! Step 6: words become masks. A small trained model (`fixtures/tiny`) and a scene it never saw.
//!
//! Words become class embeddings; the pooled image scores each class; those above `μ + σ` are drawn; every patch is compared
//! with the class, the map cut, and the higher score covers the lower (`crates/segment/src/segmenter/simseg.rs`).
//!
//! `cargo run --release --example 06_segment`

use simseg::{Model, Picture};
use simseg_data::{SceneConfig, World};
use std::path::Path;

pub(crate) fn main() -> simseg::Result<()> {
    let model = Model::open(Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/tiny"))?;
    let words = model.words(World::classes())?;

    let world = World::new(SceneConfig { bias: 0.0, second_object: 0.0, ..SceneConfig::default() }, 2_000_000)?;
    let scene = world.scene(0);
    let object = usize::from(scene.objects[0].class);
    println!("the scene: “{}”, in truth a {}", scene.caption, words.list.name(object));

    let picture = Picture { width: scene.size, height: scene.size, rgb: scene.rgb.clone() };
    let found = model.segment(&picture, &words)?;
    let scores = &found.details.scores;
    let mut ranking: Vec<usize> = (0..words.list.len()).collect();
    ranking.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    for &class in &ranking[..4] {
        println!("  {:<10} {:.3}", words.list.name(class), scores[class]);
    }
    println!("  threshold  {:.3}", found.details.threshold);

    // Every fourth row and every second column, as characters are tall: left the truth, right the prediction.
    let side = scene.size;
    let truth: Vec<u16> = scene.labels.iter().map(|&label| label.into()).collect();
    let mark = |label: u16| match usize::from(label) {
        0 => '·',
        class if class == object => '█',
        _ => '?',
    };
    for y in (0..side).step_by(4) {
        let line = |labels: &[u16]| (0..side).step_by(2).map(|x| mark(labels[y * side + x])).collect::<String>();
        println!("  {}   {}", line(&truth), line(&found.labels.values));
    }
    let count = |both: fn(bool, bool) -> bool| {
        let pairs = truth.iter().zip(&found.labels.values);
        pairs.filter(|&(&t, &p)| both(usize::from(t) == object, usize::from(p) == object)).count() as f64
    };
    let iou = count(|t, p| t && p) / count(|t, p| t || p);
    assert_eq!(ranking.iter().find(|&&class| class != 0), Some(&object));
    assert!(iou > 0.3, "{iou}");
    println!("✓ the word {} covers it with IoU {iou:.2}, learned from captions alone", words.list.name(object));
    Ok(())
}
