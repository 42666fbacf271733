//! Step 6: words become masks, one line a step, and at the end the library's own function, which has to say the same.
//!
//! A small trained model (`fixtures/tiny`), a scene it never saw, the plain recipe (`simseg recipe plain`). Symbols: n patches, d channels,
//! c classes, h × w pixels. Source: paper §3.3; `crates/segment/src/segmenter/simseg.rs` does this with every switch of a recipe.
//!
//! Expect the same label at every pixel, and the object as the best class. `cargo run --release --example 06_segment`

use simseg::{Model, Picture};
use simseg_data::{SceneConfig, World};
use simseg_segment::map::{self, Upsample};
use simseg_tensor::{NoTap, Ops, Tensor};
use std::path::Path;

pub(crate) fn main() -> simseg::Result<()> {
    let model = Model::open(Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/tiny"))?;
    let words = model.words(World::classes())?; // background, apple, …
    let world = World::new(SceneConfig { bias: 0.0, second_object: 0.0, ..SceneConfig::default() }, 2_000_000)?;
    let scene = world.scene(0);
    let (picture, object): (Picture, usize) = (scene.picture(), scene.objects[0].class.into());
    println!("the scene: “{}”, in truth a {}", scene.caption, words.list.name(object));

    // Features: patches f [n, d] and the pooled image z [1, d] of length 1; classes u [c, d], each of length 1.
    let image = model.features(std::slice::from_ref(&picture), &mut NoTap)?.remove(0);
    let u = &words.bank.embeddings;
    // Which classes are there? A class scores the cosine s = z·u; those that reach θ = μ + σ of the better half of scores are drawn.
    let s = image.embedding.matmul(&u.t()?)?.to_f32()?; //                            [c]
    let mut ranking: Vec<usize> = (1..s.len()).collect(); // without the background
    ranking.sort_by(|&a, &b| s[b].total_cmp(&s[a]));
    let half = &ranking[..ranking.len() / 2];
    let mean = half.iter().map(|&c| s[c]).sum::<f32>() / half.len() as f32;
    let deviation = (half.iter().map(|&c| (s[c] - mean).powi(2)).sum::<f32>() / half.len() as f32).sqrt();
    let theta = mean + deviation;
    for &class in half {
        println!("  {:<10} {:.3}{}", words.list.name(class), s[class], if s[class] >= theta { "  drawn" } else { "" });
    }
    println!("  θ = μ + σ  {mean:.3} + {deviation:.3} = {theta:.3}");
    // Where? Cosines of every patch with the class, spread over the pixels, stretched to 0…1 and cut at one half.
    let cosines = u.matmul(&image.patches.l2_normalize()?.t()?)?.to_f32()?; //        [c, n]
    let mut labels = vec![0u16; picture.width * picture.height];
    for &class in ranking.iter().rev().filter(|&&class| s[class] >= theta) {
        let patches = &cosines[class * image.grid.area()..][..image.grid.area()]; //  [n]
        let mut map = map::resize(patches, image.grid, image.input, Upsample::Bilinear)?; // [h·w]
        map::min_max(&mut map);
        // The class with the higher score is drawn last: it covers.
        labels.iter_mut().zip(&map).filter(|(_, x)| **x > 0.5).for_each(|(label, _)| *label = class as u16);
    }

    // Every fourth row and every second column, as characters are tall: left the truth, right the labels.
    let truth: Vec<u16> = scene.labels.iter().map(|&label| label.into()).collect();
    let mark = |label: u16| match usize::from(label) {
        0 => '·',
        class if class == object => '█',
        _ => '?',
    };
    let line = |labels: &[u16], y: usize| (0..64).step_by(2).map(|x| mark(labels[y * 64 + x])).collect::<String>();
    (0..64).step_by(4).for_each(|y| println!("  {}   {}", line(&truth, y), line(&labels, y)));
    let both = truth.iter().zip(&labels).map(|(&t, &p)| (usize::from(t) == object, usize::from(p) == object));
    let (and, or) = both.fold((0, 0), |(and, or), (t, p)| (and + usize::from(t && p), or + usize::from(t || p)));
    println!("IoU of the {}: {:.2}", words.list.name(object), f64::from(and as u32) / f64::from(or as u32));

    let found = model.segment(&picture, &words)?;
    let same = labels.iter().zip(&found.labels.values).filter(|(a, b)| a == b).count();
    assert!(same == labels.len() && (found.details.threshold - theta).abs() < 1e-5, "{same}");
    assert!(ranking[0] == object && 3 * and > or, "{and} {or}");
    println!("✓ `Model::segment` gives the same label at all {same} pixels");
    Ok(())
}
