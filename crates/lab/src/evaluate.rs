//! Judging a trained model on held-out scenes: mIoU, the oracles that split its error, and pictures to look at.

use crate::failure::Outcome;
use crate::pipeline::Pipeline;
use simseg_data::picture::Labels;
use simseg_data::{Picture, Scene, World};
use simseg_segment::map::Size;
use simseg_segment::metrics::Confusion;
use simseg_segment::oracle::{Ceiling, points_at};
use simseg_segment::threshold::Rule;
use simseg_segment::{ClassList, Segmenter, SimSeg};
use simseg_tensor::{NoTap, Tensor};
use std::collections::BTreeMap;

/// Figures by name; all are shares from 0 to 1.
pub type Metrics = BTreeMap<String, f64>;

/// A prediction to look at.
pub struct Sample {
    /// The label map.
    pub labels: Labels,
    /// The map of the first object's class, as a heat picture.
    pub heat: Picture,
}

/// Scenes that go through the network together.
const BATCH: usize = 50;

/// Judges a model on scenes; the first `pictures` of them are also returned to look at.
///
/// # Errors
/// If the model does not fit the scenes.
pub fn evaluate<T: Tensor>(
    pipeline: &Pipeline<T>,
    scenes: &[Scene],
    pictures: usize,
) -> Outcome<(Metrics, Vec<Sample>)> {
    let classes = ClassList::parse(&World::classes().join("\n"))?;
    let bank = pipeline.class_bank(&classes)?;
    let simseg = SimSeg::new(pipeline.recipe.clone());
    let (mut plain, mut given) = (Confusion::new(classes.len()), Confusion::new(classes.len()));
    let mut ceiling = Ceiling::new(classes.len());
    let (mut hits, mut objects) = (0usize, 0usize);
    let mut samples = Vec::new();
    for batch in scenes.chunks(BATCH) {
        let images: Vec<Picture> = batch.iter().map(picture).collect();
        for (image, scene) in pipeline.features(&images, &mut NoTap)?.iter().zip(batch) {
            let size = Size { height: scene.size, width: scene.size };
            let segmented = simseg.segment(image, &bank, &mut NoTap)?;
            plain.add(&scene.labels, &segmented.labels)?;
            let truth: Vec<usize> = scene.objects.iter().map(|object| usize::from(object.class)).collect();
            let oracle = simseg.with_rule(Rule::Oracle { classes: truth.clone() });
            given.add(&scene.labels, &oracle.segment(image, &bank, &mut NoTap)?.labels)?;
            ceiling.add(&scene.labels, size, image.grid)?;
            let maps = simseg.maps(image, &bank, &truth)?;
            for (&class, map) in truth.iter().zip(&maps) {
                hits += usize::from(points_at(map, &scene.labels, class as u8));
                objects += 1;
            }
            if samples.len() < pictures {
                let labels = Labels { width: scene.size, height: scene.size, values: segmented.labels };
                samples.push(Sample { labels, heat: heat(&maps[0], scene.size) });
            }
        }
    }
    let metrics = [
        ("miou", plain.miou()),
        ("miou_true_classes", given.miou()),
        ("point_on_object", hits as f64 / objects.max(1) as f64),
        ("pixel_accuracy", plain.pixel_accuracy()),
        ("resolution_ceiling", ceiling.miou()),
    ];
    Ok((metrics.map(|(name, value)| (name.to_owned(), value)).into(), samples))
}

/// A scene as a picture.
pub fn picture(scene: &Scene) -> Picture {
    Picture { width: scene.size, height: scene.size, rgb: scene.rgb.clone() }
}

/// Values in `[0, 1]` as colours from dark blue over green to yellow, ever lighter (so that grey print works too).
pub fn heat(map: &[f32], width: usize) -> Picture {
    const STOPS: [[f32; 3]; 5] =
        [[68.0, 1.0, 84.0], [59.0, 82.0, 139.0], [33.0, 145.0, 140.0], [94.0, 201.0, 98.0], [253.0, 231.0, 37.0]];
    let colour = |value: f32| {
        let position = value.clamp(0.0, 1.0) * (STOPS.len() - 1) as f32;
        let low = (position as usize).min(STOPS.len() - 2);
        let share = position - low as f32;
        std::array::from_fn::<u8, 3, _>(|i| (STOPS[low][i] * (1.0 - share) + STOPS[low + 1][i] * share) as u8)
    };
    Picture { width, height: map.len() / width, rgb: map.iter().flat_map(|&value| colour(value)).collect() }
}
