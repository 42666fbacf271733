//! A random part of the picture, resized to the network's square; see [`crop`](mod@crate::transform::crop) for how it is drawn.

use super::{Augmentation, Interpolation};
use crate::picture::Picture;
use crate::transform::{Filter, Passes, random_resized_crop, resize_with};
use serde::{Deserialize, Serialize};
use simseg_registry::{Error, Kinds};
use simseg_tensor::random::ChaCha8Rng;

/// The settings, with torchvision's names and defaults. SimSeg trains with `scale = [0.6, 1.0]`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RandomResizedCrop {
    /// Least and largest share of the picture's area.
    #[serde(default = "scale")]
    pub scale: [f64; 2],
    /// Least and largest width over height.
    #[serde(default = "ratio")]
    pub ratio: [f64; 2],
    /// How pixels are averaged, always antialiased.
    #[serde(default)]
    pub interpolation: Interpolation,
}

fn scale() -> [f64; 2] {
    [0.08, 1.0]
}
fn ratio() -> [f64; 2] {
    [3.0 / 4.0, 4.0 / 3.0]
}

impl RandomResizedCrop {
    fn check(&self) -> Result<(), Error> {
        for (key, [least, most], end) in [("scale", self.scale, 1.0), ("ratio", self.ratio, 1000.0)] {
            if !(least > 0.0 && least <= most && most <= end) {
                let text = format!("[least, most] with 0 < least ≤ most ≤ {end}, found [{least}, {most}]");
                return Err(Error::setting(format!("augment.{key}"), text));
            }
        }
        Ok(())
    }
}

impl Augmentation for RandomResizedCrop {
    fn apply(&self, picture: Picture, side: usize, rng: &mut ChaCha8Rng) -> Picture {
        let crop = random_resized_crop([picture.width, picture.height], self.scale, self.ratio, rng);
        let filter = match self.interpolation {
            Interpolation::Bilinear => Filter::Bilinear,
            Interpolation::Bicubic => Filter::Bicubic,
        };
        resize_with(&crop.of(&picture), side, side, filter, Passes::RowsFirst)
    }

    fn resizes(&self) -> bool {
        true
    }
}

/// Adds it to the augmentations.
pub fn register(kinds: &mut Kinds<dyn Augmentation>) {
    kinds.add("random-resized-crop", "a random part, resized to the network's square", |crop: RandomResizedCrop| {
        crop.check()?;
        Ok(Box::new(crop))
    });
}
