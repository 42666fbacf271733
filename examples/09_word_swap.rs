//! Step 9: swap a word. Does a caption's score fall when it names another object, and when it names another context?
//!
//! The paper's figure 3 asks this of a CLIP, whose score fell by .026 for the object and by .147 for the context: it went by context.
//! `fixtures/tiny` was trained with LoDA. And where does a score come from? Its ledger says, patch by patch, exactly
//! (`crates/simseg/src/explanation/ledger.rs`).
//!
//! Expect both drops to be nearly alike, and the object's patches to carry the object's score. `cargo run --release --example 09_word_swap`

use simseg::Model;
use simseg::explanation::Ledger;
use simseg_data::scenes::{contexts, objects};
use simseg_data::{SceneConfig, World};
use simseg_tensor::{NoTap, Ops, Tensor};
use std::path::Path;

pub(crate) fn main() -> simseg::Result<()> {
    let model = Model::open(Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/tiny"))?;
    let words = model.words(World::classes())?;
    let world = World::new(SceneConfig { bias: 0.0, second_object: 0.0, ..SceneConfig::default() }, 2_000_000)?;
    let (mut sums, mut carried, count) = ([0.0; 3], [0.0; 2], 40);
    for scene in world.scenes(0..count) {
        let (object, context) = (usize::from(scene.objects[0].class), scene.context);
        let caption = |o: usize, c: usize| format!("a {} in the {}.", objects::NAMES[o % 10], contexts::NAMES[c % 8]);
        let sentences = [caption(object - 1, context), caption(object + 4, context), caption(object - 1, context + 3)];
        let image = model.features(&[scene.picture()], &mut NoTap)?.remove(0);
        let scores = image.embedding.matmul(&model.embed(&sentences)?.t()?)?.to_f32()?; // [1, 3]
        sums.iter_mut().zip(&scores).for_each(|(sum, &score)| *sum += f64::from(score));

        let told = model.explain_features(&scene.picture(), &image, &words, None)?;
        let Ledger::Split { entries, sums, .. } = &told.ledger else { return Ok(()) };
        assert!((sums[object] - told.scores[object]).abs() < 1e-5, "the ledger is exact");
        for (p, &entry) in entries[object].iter().enumerate() {
            let centre = (p / 8 * 8 + 4) * 64 + p % 8 * 8 + 4;
            carried[usize::from(usize::from(scene.labels[centre]) == object)] += f64::from(entry);
        }
    }
    let [right, other_object, other_context] = sums.map(|sum| sum / count as f64);
    println!("right caption    {right:.3}");
    println!("another object   {other_object:.3}   drop {:.3}", right - other_object);
    println!("another context  {other_context:.3}   drop {:.3}", right - other_context);
    let share = carried[1] / (carried[0] + carried[1]);
    println!("of an object's score {:.0}% come from patches whose centre it covers", 100.0 * share);
    let (object_drop, context_drop) = (right - other_object, right - other_context);
    assert!(object_drop > 0.1 && object_drop > 0.7 * context_drop, "{sums:?}");
    assert!(share > 0.3, "{share}");
    println!("✓ both words count, and the object's score comes from the object");
    Ok(())
}
