//! The small world from outside: exact labels, no crowding, and the statistics that the experiment rests on.

use simseg_data::scenes::{Placed, contexts, objects};
use simseg_data::{Scene, SceneConfig, World};

fn world(config: SceneConfig) -> World {
    World::new(config, 11).unwrap()
}

/// The share of a pixel that an object covers, on a grid three times finer than the one it was drawn on.
fn coverage(object: &Placed, [x, y]: [usize; 2], size: usize) -> f64 {
    let centre = [(x as f64 + 0.5) / size as f64, (y as f64 + 0.5) / size as f64];
    if (0..2).any(|axis| (centre[axis] - object.centre[axis]).abs() > 1.6 * object.half) {
        return 0.0; // beyond the corners of its box, however it is turned
    }
    let (sin, cos) = object.turn.sin_cos();
    let fine = 9;
    let hits = (0..fine * fine).filter(|i| {
        let at = |i: usize| (i as f64 + 0.5) / fine as f64;
        let px = (x as f64 + at(i % fine)) / size as f64 - object.centre[0];
        let py = (y as f64 + at(i / fine)) / size as f64 - object.centre[1];
        let (u, v) = ((px * cos + py * sin) / object.half, (py * cos - px * sin) / object.half);
        let u = if object.mirrored { -u } else { u };
        objects::paint(usize::from(object.class) - 1, [u, v], [0.0; 3]).is_some()
    });
    hits.count() as f64 / (fine * fine) as f64
}

#[test]
fn a_label_names_the_object_that_covers_half_of_its_pixel() {
    for scene in world(SceneConfig::default()).scenes(0..25) {
        for p in 0..scene.labels.len() {
            let place = [p % scene.size, p / scene.size];
            let covers: Vec<f64> = scene.objects.iter().map(|object| coverage(object, place, scene.size)).collect();
            // The last drawn lies on top. Within a few samples of one half, either answer is right.
            let top = scene.objects.iter().zip(&covers).rev().find(|(_, covered)| **covered >= 0.5);
            let expected = top.map_or(0, |(object, _)| object.class);
            let close = covers.iter().any(|covered| (covered - 0.5).abs() < 0.17);
            assert!(close || scene.labels[p] == expected, "{place:?}: {} for {covers:?}", scene.labels[p]);
        }
    }
}

#[test]
fn objects_leave_one_another_room() {
    let scenes = world(SceneConfig::default()).scenes(0..400);
    let mut hidden: Vec<f64> = scenes.iter().filter(|scene| scene.objects.len() == 2).map(share_hidden).collect();
    hidden.sort_by(f64::total_cmp);
    let (worst, tenth) = (hidden[hidden.len() - 1], hidden[hidden.len() * 9 / 10]);
    println!("hidden share of the first object: 90% {tenth:.3}, worst {worst:.3} of {}", hidden.len());
    // Seen: 0.07 and 0.21. Two large objects cannot always avoid each other.
    assert!(tenth < 0.10 && worst < 0.25, "{tenth} {worst}");
}

/// How much of the first object the second one hides.
fn share_hidden(scene: &Scene) -> f64 {
    let [first, second] = &scene.objects[..] else { return 0.0 };
    let (mut whole, mut lost) = (0usize, 0usize);
    for p in 0..scene.labels.len() {
        let place = [p % scene.size, p / scene.size];
        if coverage(first, place, scene.size) >= 0.5 {
            whole += 1;
            lost += usize::from(coverage(second, place, scene.size) >= 0.5);
        }
    }
    lost as f64 / whole as f64
}

#[test]
fn every_class_and_context_turns_up_and_without_bias_evenly() {
    let scenes = world(SceneConfig { bias: 0.0, image_size: 16, ..SceneConfig::default() }).scenes(0..4000);
    let mut by_context = [0usize; contexts::NAMES.len()];
    let mut by_class = [0usize; objects::NAMES.len()];
    for scene in &scenes {
        by_context[scene.context] += 1;
        by_class[usize::from(scene.objects[0].class) - 1] += 1;
    }
    // Pearson's statistic: mean = degrees of freedom (7 and 9), standard deviation √(2·df); 30 is beyond 4.9 of them.
    let pearson = |counts: &[usize]| {
        let expected = scenes.len() as f64 / counts.len() as f64;
        counts.iter().map(|&n| (n as f64 - expected).powi(2) / expected).sum::<f64>()
    };
    assert!(pearson(&by_context) < 30.0 && pearson(&by_class) < 30.0, "{by_context:?} {by_class:?}");
}

#[test]
fn a_larger_image_shows_the_same_scene() {
    let small = world(SceneConfig::default()).scene(3);
    let large = world(SceneConfig { image_size: 128, ..SceneConfig::default() }).scene(3);
    assert_eq!((&small.objects, &small.caption, small.context), (&large.objects, &large.caption, large.context));
    let share = |scene: &Scene| scene.labels.iter().filter(|&&l| l > 0).count() as f64 / scene.labels.len() as f64;
    assert!((share(&small) - share(&large)).abs() < 0.01);
}
