//! Random changes of training images, in the order in which a settings file lists them.
//!
//! What is drawn for a picture depends on (random seed, epoch, index of its pair) alone: not on threads, on the batch, or on what
//! other augmentations draw. Given the same parameters the bytes are those of torchvision on Pillow's images
//! (`tests/augment.rs`); the parameters come from our random numbers, so they are distributed as torchvision's but not the same.

simseg_registry::family! {
    /// Registers every augmentation.
    pub fn register(augmentations: &mut Kinds<dyn Augmentation>);
    random_resized_crop, random_horizontal_flip, color_jitter, auto_augment,
}

use super::{Filter, Passes, resize_with};
use crate::picture::Picture;
use serde::{Deserialize, Serialize};
use simseg_registry::{Choice, Error, Kinds};
use simseg_tensor::random::{self, ChaCha8Rng};

/// A random change of a picture.
pub trait Augmentation: Send + Sync {
    /// The changed picture. All that is random comes from `rng`; `side` is the side of the network's square input.
    fn apply(&self, picture: Picture, side: usize, rng: &mut ChaCha8Rng) -> Picture;

    /// Whether what comes out is `side` × `side`, whatever goes in.
    fn resizes(&self) -> bool {
        false
    }
}

/// What random parameters depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Draw {
    /// Random seed.
    pub seed: u64,
    /// How often all pairs were seen before.
    pub epoch: u64,
}

/// Augmentations one after the other.
pub struct Augmentations {
    /// Each with what its random numbers are for.
    steps: Vec<(String, Box<dyn Augmentation>)>,
}

impl Augmentations {
    /// The augmentations of a list, in its order.
    ///
    /// # Errors
    /// If nobody knows a kind, or a setting is wrong.
    pub fn build(choices: &[Choice], kinds: &Kinds<dyn Augmentation>) -> Result<Self, Error> {
        let mut steps = vec![];
        for (place, choice) in choices.iter().enumerate() {
            // A kind's draws stay the same when others come or go.
            let before = choices[..place].iter().filter(|other| other.kind == choice.kind).count();
            steps.push((format!("augment {} {before}", choice.kind), kinds.build(choice)?));
        }
        Ok(Self { steps })
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Picture `index` as a network of `side` × `side` pixels sees it in this epoch. A picture that the first augmentation does not
    /// resize is squashed to that square before.
    pub fn apply(&self, picture: &Picture, index: usize, side: usize, draw: Draw) -> Picture {
        let resizes = self.steps.first().is_some_and(|(_, first)| first.resizes());
        let start = if resizes { picture.clone() } else { squashed(picture, side) };
        let changed = self.steps.iter().fold(start, |picture, (purpose, step)| {
            let mut rng = random::stream(draw.seed, &format!("{purpose} epoch {}", draw.epoch), index as u64);
            step.apply(picture, side, &mut rng)
        });
        squashed(&changed, side)
    }
}

fn squashed(picture: &Picture, side: usize) -> Picture {
    resize_with(picture, side, side, Filter::Bilinear, Passes::RowsFirst)
}

/// How resized pixels are averaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Interpolation {
    /// See [`Filter::Bilinear`].
    #[default]
    Bilinear,
    /// See [`Filter::Bicubic`].
    Bicubic,
}

/// That a setting is a number within bounds.
fn within(key: &str, value: f64, [least, most]: [f64; 2]) -> Result<(), Error> {
    match (least..=most).contains(&value) {
        true => Ok(()),
        false => Err(Error::setting(format!("augment.{key}"), format!("from {least} to {most}, found {value}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DataRegistry;

    fn build(json: &str) -> Result<Augmentations, String> {
        let choices: Vec<Choice> = serde_json::from_str(json).unwrap();
        Augmentations::build(&choices, &DataRegistry::built_in().augmentations).map_err(|error| error.to_string())
    }

    fn noise(width: usize, height: usize) -> Picture {
        let mut rng = random::stream(0, "noise", 0);
        let rgb = (0..width * height * 3).map(|_| (random::uniform(&mut rng) * 256.0) as u8).collect();
        Picture { width, height, rgb }
    }

    const ALL: &str = r#"[{"kind": "random-resized-crop", "scale": [0.3, 1.0]}, {"kind": "random-horizontal-flip"},
        {"kind": "color-jitter", "brightness": 0.4, "hue": 0.5}, {"kind": "auto-augment"}]"#;

    #[test]
    fn what_is_drawn_depends_on_seed_epoch_and_index_alone() {
        let (augmentations, picture) = (build(ALL).unwrap(), noise(40, 30));
        let of = |seed, epoch, index| augmentations.apply(&picture, index, 16, Draw { seed, epoch });
        let first = of(0, 0, 0);
        assert_eq!((first.width, first.height), (16, 16));
        assert_eq!(first, of(0, 0, 0));
        for other in [of(1, 0, 0), of(0, 1, 0), of(0, 0, 1)] {
            assert_ne!(first, other);
        }
    }

    #[test]
    fn a_kind_draws_the_same_whether_others_are_there_or_not() {
        let flips = |json: &str| {
            let (augmentations, picture) = (build(json).unwrap(), noise(8, 8));
            let of = |index| augmentations.apply(&picture, index, 8, Draw { seed: 3, epoch: 0 }) == picture;
            (0..32).map(of).collect::<Vec<_>>()
        };
        let alone = flips(r#"[{"kind": "random-horizontal-flip"}]"#);
        let beside = r#"[{"kind": "color-jitter", "brightness": 0.0}, {"kind": "random-horizontal-flip"}]"#;
        assert_eq!(alone, flips(beside));
        assert!(alone.contains(&true) && alone.contains(&false));
        let twice = r#"[{"kind": "random-horizontal-flip"}, {"kind": "random-horizontal-flip"}]"#;
        assert!(flips(twice).contains(&false), "two of a kind draw apart");
    }

    #[test]
    fn mistakes_name_the_key() {
        for (json, needle) in [
            (r#"[{"kind": "random-crop"}]"#, "augment.kind"),
            (r#"[{"kind": "random-resized-crop", "scale": [0.0, 1.0]}]"#, "augment.scale"),
            (r#"[{"kind": "random-resized-crop", "ratio": [2.0, 1.0]}]"#, "augment.ratio"),
            (r#"[{"kind": "random-horizontal-flip", "p": 1.5}]"#, "augment.p"),
            (r#"[{"kind": "color-jitter", "hue": 0.6}]"#, "augment.hue"),
            (r#"[{"kind": "color-jitter", "contrast": -1.0}]"#, "augment.contrast"),
            (r#"[{"kind": "auto-augment", "policy": "cifar10"}]"#, "augment.policy"),
            (r#"[{"kind": "auto-augment", "fil": [0, 0, 0]}]"#, "`fill`"),
        ] {
            let error = build(json).err().unwrap();
            assert!(error.contains(needle), "{json}: {error}");
        }
    }
}
