//! Brightness, contrast, saturation and hue changed at random, in a random order (torchvision's `ColorJitter`).

use super::{Augmentation, within};
use crate::picture::Picture;
use crate::transform::colour::{brightness, contrast, hue, saturation};
use crate::transform::crop::between;
use serde::{Deserialize, Serialize};
use simseg_registry::Kinds;
use simseg_tensor::random::{self, ChaCha8Rng};

/// The settings, with torchvision's names; 0 leaves a property as it is.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ColorJitter {
    /// Factor from `1 − b` (at least 0) to `1 + b`.
    pub brightness: f64,
    /// Likewise.
    pub contrast: f64,
    /// Likewise.
    pub saturation: f64,
    /// Turned by a share of the circle from `−h` to `h`.
    pub hue: f64,
}

impl Augmentation for ColorJitter {
    fn apply(&self, picture: Picture, _: usize, rng: &mut ChaCha8Rng) -> Picture {
        let mut order = [0, 1, 2, 3];
        for i in 0..3 {
            order.swap(i, i + (random::uniform(rng) * (4 - i) as f64) as usize);
        }
        let factor = |amount: f64, rng: &mut ChaCha8Rng| between([(1.0 - amount).max(0.0), 1.0 + amount], rng);
        let factors = [self.brightness, self.contrast, self.saturation].map(|amount| factor(amount, rng));
        let turn = between([-self.hue, self.hue], rng);
        order.into_iter().fold(picture, |picture, which| match which {
            0 if self.brightness > 0.0 => brightness(&picture, factors[0]),
            1 if self.contrast > 0.0 => contrast(&picture, factors[1]),
            2 if self.saturation > 0.0 => saturation(&picture, factors[2]),
            3 if self.hue > 0.0 => hue(&picture, turn),
            _ => picture,
        })
    }
}

/// Adds it to the augmentations.
pub fn register(kinds: &mut Kinds<dyn Augmentation>) {
    kinds.add("color-jitter", "brightness, contrast, saturation and hue at random", |jitter: ColorJitter| {
        let ColorJitter { brightness, contrast, saturation, hue } = jitter;
        for (key, value) in [("brightness", brightness), ("contrast", contrast), ("saturation", saturation)] {
            within(key, value, [0.0, 1000.0])?;
        }
        within("hue", hue, [0.0, 0.5])?;
        Ok(Box::new(jitter))
    });
}
