//! The small world: drawn scenes with captions, where the paper's claim can be checked on a laptop.
//!
//! A scene is one or two objects ([`objects`]) on a textured context ([`contexts`]). Each object has a favourite context
//! and stands in it with probability `bias`; captions ([`captions`]) nearly always name the context and often leave out
//! an object. So context words and context pixels predict each other best, which is the trap that the paper describes
//! (§3.1), and only a learner that goes by single strong responses finds the objects.
//!
//! A scene is a pure function of `(config, seed, index)`; label maps are exact. What it shows, how that is painted and what the
//! caption says come from random streams of their own: other captions leave the pictures as they are.

pub mod objects;
pub mod contexts;
pub mod captions;
mod brush;
#[cfg(feature = "fs")]
pub mod export;

use crate::pairs::NamedWords;
use crate::{Error, Picture, Result};
use brush::Brush;
use serde::{Deserialize, Serialize};
use simseg_tensor::parallel::prelude::*;
use simseg_tensor::random::{self, ChaCha8Rng};

/// What the world looks like.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SceneConfig {
    /// Side of the square images, in pixels.
    pub image_size: usize,
    /// Probability that the first object stands in its favourite context; otherwise the context is drawn uniformly.
    pub bias: f64,
    /// Probability of a second object.
    pub second_object: f64,
    /// Smallest and largest side of an object, as a share of the image's side.
    pub object_size: [f64; 2],
    /// Probability that a caption names the context only.
    pub context_only: f64,
    /// Probability that an object is left out of a caption that names objects.
    pub left_out: f64,
    /// Probability that a caption that names objects does not name the context.
    pub no_context: f64,
    /// Probability of each place in a caption where a distractor word may stand.
    pub distractors: f64,
}

impl Default for SceneConfig {
    fn default() -> Self {
        Self {
            image_size: 64,
            bias: 0.8,
            second_object: 0.5,
            object_size: [0.42, 0.62],
            context_only: 0.1,
            left_out: 0.15,
            no_context: 0.05,
            distractors: 0.3,
        }
    }
}

impl SceneConfig {
    /// Whether the numbers make sense.
    ///
    /// # Errors
    /// The first key that does not.
    pub fn check(&self) -> Result<()> {
        if !(16..=2048).contains(&self.image_size) {
            let expected = format!("from 16 to 2048 pixels, found {}", self.image_size);
            return Err(Error::setting("image_size", expected));
        }
        let [small, large] = self.object_size;
        if !(0.1..=0.9).contains(&small) || !(small..=0.9).contains(&large) {
            let expected = format!("[smallest, largest] within 0.1 to 0.9, found [{small}, {large}]");
            return Err(Error::setting("object_size", expected));
        }
        let shares = [
            ("bias", self.bias),
            ("second_object", self.second_object),
            ("context_only", self.context_only),
            ("left_out", self.left_out),
            ("no_context", self.no_context),
            ("distractors", self.distractors),
        ];
        match shares.into_iter().find(|(_, share)| !(0.0..=1.0).contains(share)) {
            Some((key, share)) => Err(Error::setting(key.to_owned(), format!("from 0 to 1, found {share}"))),
            None => Ok(()),
        }
    }
}

/// An object in a scene.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Placed {
    /// Class, from 1; 0 is background.
    pub class: u8,
    /// Centre, in shares of the image's side.
    pub centre: [f64; 2],
    /// Half the side of its box, likewise.
    pub half: f64,
    /// Rotation in radians.
    pub turn: f64,
    /// Whether it looks the other way.
    pub mirrored: bool,
}

/// An image with its caption and its truth.
#[derive(Debug, Clone, PartialEq)]
pub struct Scene {
    /// Side of the square image.
    pub size: usize,
    /// `[size, size, 3]`
    pub rgb: Vec<u8>,
    /// `[size, size]`, the class that covers at least half of the pixel, else 0.
    pub labels: Vec<u8>,
    /// Index into [`contexts::NAMES`].
    pub context: usize,
    /// One or two objects.
    pub objects: Vec<Placed>,
    /// What a person might write under it.
    pub caption: String,
}

impl Scene {
    /// Its image.
    pub fn picture(&self) -> Picture {
        Picture { width: self.size, height: self.size, rgb: self.rgb.clone() }
    }
}

/// What a scene shows and says, before it is drawn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Composition {
    /// One or two objects.
    pub objects: Vec<Placed>,
    /// Index into [`contexts::NAMES`].
    pub context: usize,
    /// What a person might write under it.
    pub caption: String,
}

/// All scenes of a seed.
#[derive(Debug, Clone)]
pub struct World {
    config: SceneConfig,
    seed: u64,
    /// What the names of its random streams begin with.
    streams: String,
}

impl World {
    /// The world of a seed.
    ///
    /// # Errors
    /// If a setting makes no sense.
    pub fn new(config: SceneConfig, seed: u64) -> Result<Self> {
        config.check()?;
        Ok(Self { config, seed, streams: String::new() })
    }

    /// Other scenes of the same settings and seed, from random streams of their own: no world is like it, whatever its seed, but one
    /// that was held out, too.
    #[must_use]
    pub fn held_out(self) -> Self {
        Self { streams: format!("held-out {}", self.streams), ..self }
    }

    fn stream(&self, purpose: &str, index: u64) -> ChaCha8Rng {
        random::stream(self.seed, &format!("{}{purpose}", self.streams), index)
    }

    /// Its settings.
    pub fn config(&self) -> &SceneConfig {
        &self.config
    }

    /// Class names, background first.
    pub fn classes() -> Vec<&'static str> {
        std::iter::once("background").chain(objects::NAMES).collect()
    }

    /// Every word that a caption can hold.
    pub fn words() -> Vec<&'static str> {
        captions::words()
    }

    /// Which of them name objects and which contexts.
    pub fn named_words() -> NamedWords {
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        NamedWords { objects: owned(&objects::NAMES), contexts: owned(&contexts::NAMES) }
    }

    /// Scene `index`.
    pub fn scene(&self, index: u64) -> Scene {
        self.draw(self.composition(index), &mut self.stream("paint", index))
    }

    /// A composition of one's own, painted with the random streams of scene `index`: its texture, light and tints. Nothing if it names an
    /// object or a context that there is not.
    pub fn paint(&self, composition: Composition, index: u64) -> Option<Scene> {
        let known = |object: &Placed| (1..=objects::NAMES.len()).contains(&usize::from(object.class));
        let numbers = |object: &Placed| {
            [object.centre[0], object.centre[1], object.half, object.turn].iter().all(|number| number.is_finite())
        };
        let drawable = |object: &Placed| known(object) && numbers(object) && object.half > 0.0;
        let all = composition.objects.iter().all(drawable) && composition.context < contexts::NAMES.len();
        all.then(|| self.draw(composition, &mut self.stream("paint", index)))
    }

    /// What scene `index` shows and says, without drawing it.
    pub fn composition(&self, index: u64) -> Composition {
        let (objects, context) = self.compose(&mut self.stream("scene", index));
        let mut rng = self.stream("caption", index);
        let caption = captions::write(&self.config, &objects, context, &mut rng);
        Composition { objects, context, caption }
    }

    /// Scenes of a range, drawn in parallel.
    pub fn scenes(&self, range: std::ops::Range<u64>) -> Vec<Scene> {
        range.into_par_iter().map(|index| self.scene(index)).collect()
    }

    /// Which objects, where, and on what.
    fn compose(&self, rng: &mut ChaCha8Rng) -> (Vec<Placed>, usize) {
        let first = pick(rng, objects::NAMES.len());
        let at_home = random::uniform(rng) < self.config.bias;
        let anywhere = pick(rng, contexts::NAMES.len());
        let context = if at_home { objects::FAVOURITE[first] } else { anywhere };
        let mut placed = vec![self.place(first, &[], rng)];
        if random::uniform(rng) < self.config.second_object {
            // Anything else, wherever the first one is at home: this is how objects get to strange places, too.
            let second = (first + 1 + pick(rng, objects::NAMES.len() - 1)) % objects::NAMES.len();
            placed.push(self.place(second, &placed, rng));
        }
        (placed, context)
    }

    /// A place inside the image, and clear of what is there already if one is found in a few tries.
    fn place(&self, object: usize, others: &[Placed], rng: &mut ChaCha8Rng) -> Placed {
        let [small, large] = self.config.object_size;
        let mut best: Option<(f64, Placed)> = None;
        for _ in 0..24 {
            let mut between = |low: f64, high: f64| low + (high - low) * random::uniform(rng);
            let half = between(small, large) / 2.0;
            let centre = [between(half, 1.0 - half), between(half, 1.0 - half)];
            let (turn, mirrored) = (between(-0.25, 0.25), between(0.0, 1.0) < 0.5);
            let candidate = Placed { class: object as u8 + 1, centre, half, turn, mirrored };
            let gap = |other: &Placed| {
                let [dx, dy] = [other.centre[0] - centre[0], other.centre[1] - centre[1]];
                dx.hypot(dy) - 0.95 * (other.half + half)
            };
            let room = others.iter().map(gap).fold(f64::INFINITY, f64::min);
            if best.as_ref().is_none_or(|(most, _)| room > *most) {
                best = Some((room, candidate));
            }
            if room >= 0.0 {
                break;
            }
        }
        best.expect("at least one try was made").1
    }

    fn draw(&self, Composition { objects, context, caption }: Composition, rng: &mut ChaCha8Rng) -> Scene {
        let size = self.config.image_size;
        let background = contexts::Painter::new(context, rng);
        let brushes: Vec<Brush> = objects.iter().map(|object| Brush::new(object, objects::tint(rng), size)).collect();
        let mut rgb = Vec::with_capacity(size * size * 3);
        let mut labels = vec![0u8; size * size];
        for y in 0..size {
            for x in 0..size {
                let centre = [(x as f64 + 0.5) / size as f64, (y as f64 + 0.5) / size as f64];
                let mut colour = background.colour(centre, 1.0 / size as f64);
                for brush in &brushes {
                    let Some((painted, covered)) = brush.sample([x, y]) else { continue };
                    for (value, paint) in colour.iter_mut().zip(painted) {
                        *value = *value * (1.0 - covered) + paint * covered;
                    }
                    if covered >= 0.5 {
                        labels[y * size + x] = brush.object.class;
                    }
                }
                rgb.extend(colour.map(|value| (value.clamp(0.0, 1.0) * 255.0 + 0.5) as u8));
            }
        }
        Scene { size, rgb, labels, context, objects, caption }
    }
}

/// A whole number below `n`.
fn pick(rng: &mut ChaCha8Rng, n: usize) -> usize {
    (random::uniform(rng) * n as f64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn world(bias: f64) -> World {
        World::new(SceneConfig { bias, ..SceneConfig::default() }, 7).unwrap()
    }

    #[test]
    fn a_scene_depends_on_its_seed_and_index_alone() {
        let world = world(0.8);
        let alone = world.scene(41);
        for threads in [1, 2, 5] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            assert_eq!(pool.install(|| world.scenes(38..44))[3], alone);
        }
        assert_ne!(world.scene(42), alone);
    }

    #[test]
    fn a_composition_painted_again_is_the_scene_and_unknown_objects_are_refused() {
        let world = world(0.8);
        let own = world.composition(3);
        assert_eq!(world.paint(own.clone(), 3), Some(world.scene(3)));
        let object = own.objects[0];
        for wrong in
            [Placed { class: 0, ..object }, Placed { class: 11, ..object }, Placed { half: f64::NAN, ..object }]
        {
            assert_eq!(world.paint(Composition { objects: vec![wrong], ..own.clone() }, 3), None);
        }
        assert_eq!(world.paint(Composition { context: 8, ..own }, 3), None);
    }

    #[test]
    fn captions_and_pictures_have_streams_of_their_own() {
        let noisy = SceneConfig { context_only: 0.9, distractors: 1.0, ..SceneConfig::default() };
        let (plain, noisy) = (world(0.8), World::new(noisy, 7).unwrap());
        let differing = (0..20).filter(|&index| {
            let (a, b) = (plain.scene(index), noisy.scene(index));
            assert!(a.rgb == b.rgb && a.labels == b.labels, "scene {index}");
            a.caption != b.caption
        });
        assert!(differing.count() > 10);
    }

    #[test]
    fn labels_are_where_objects_are() {
        // Another tint recolours the object and nothing else: pixels that change are the object's, up to its soft edge.
        let world = world(0.8);
        for index in 0..20 {
            let scene = world.scene(index);
            for object in &scene.objects {
                let brush = Brush::new(object, [1.0; 3], scene.size);
                let (mut inside, mut outside) = (0, 0);
                for p in (0..scene.labels.len()).filter(|&p| scene.labels[p] == object.class) {
                    let place = [p % scene.size, p / scene.size];
                    let covered = brush.sample(place).map_or(0.0, |(_, covered)| covered);
                    *(if covered >= 0.5 { &mut inside } else { &mut outside }) += 1;
                }
                assert!(outside == 0 && inside > 60, "scene {index}, class {}: {inside}, {outside}", object.class);
            }
        }
    }

    #[test]
    fn bias_is_the_share_of_objects_at_home() {
        let at_home = |bias: f64| {
            let scenes = world(bias).scenes(0..600);
            let home = |scene: &&Scene| objects::FAVOURITE[usize::from(scene.objects[0].class) - 1] == scene.context;
            scenes.iter().filter(home).count() as f64 / scenes.len() as f64
        };
        let wanted = |bias: f64| bias + (1.0 - bias) / contexts::NAMES.len() as f64;
        for bias in [0.0, 0.8, 1.0] {
            assert!((at_home(bias) - wanted(bias)).abs() < 0.05, "bias {bias}");
        }
    }

    #[test]
    fn settings_out_of_range_name_their_key() {
        for (config, key) in [
            (SceneConfig { bias: 1.5, ..SceneConfig::default() }, "bias"),
            (SceneConfig { image_size: 3, ..SceneConfig::default() }, "image_size"),
            (SceneConfig { object_size: [0.5, 0.2], ..SceneConfig::default() }, "object_size"),
        ] {
            assert!(World::new(config, 0).unwrap_err().to_string().contains(key));
        }
    }
}
