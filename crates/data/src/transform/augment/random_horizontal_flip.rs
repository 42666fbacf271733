//! Left and right exchanged, or not.

use super::{Augmentation, within};
use crate::picture::Picture;
use serde::{Deserialize, Serialize};
use simseg_registry::Kinds;
use simseg_tensor::random::{self, ChaCha8Rng};

/// The settings, with torchvision's name and default. Captions that say "left" are not changed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RandomHorizontalFlip {
    /// How likely.
    #[serde(default = "half")]
    pub p: f64,
}

fn half() -> f64 {
    0.5
}

/// Left and right exchanged.
pub fn flipped(picture: &Picture) -> Picture {
    let (mut rgb, line) = (vec![0; picture.rgb.len()], picture.width * 3);
    for (out, row) in rgb.chunks_exact_mut(line).zip(picture.rgb.chunks_exact(line)) {
        out.chunks_exact_mut(3).zip(row.chunks_exact(3).rev()).for_each(|(out, pixel)| out.copy_from_slice(pixel));
    }
    Picture { rgb, ..*picture }
}

impl Augmentation for RandomHorizontalFlip {
    fn apply(&self, picture: Picture, _: usize, rng: &mut ChaCha8Rng) -> Picture {
        if random::uniform(rng) < self.p { flipped(&picture) } else { picture }
    }
}

/// Adds it to the augmentations.
pub fn register(kinds: &mut Kinds<dyn Augmentation>) {
    kinds.add("random-horizontal-flip", "left and right exchanged at random", |flip: RandomHorizontalFlip| {
        within("p", flip.p, [0.0, 1.0])?;
        Ok(Box::new(flip))
    });
}
