//! AutoAugment with the policy that was learned on ImageNet: one of 25 pairs of operations, each with a probability and a magnitude.
//!
//! A magnitude is a place from 0 to 9 in an operation's range; those that have a direction take either. Source: Cubuk et al. 2019,
//! table 9; which operation, probability and place each of the 25 has, and the ranges in f32, are those of torchvision 0.26
//! (`AutoAugmentPolicy.IMAGENET`), nearest pixels included.

use super::Augmentation;
use crate::picture::Picture;
use crate::transform::{affine, colour, tone};
use serde::{Deserialize, Serialize};
use simseg_registry::Kinds;
use simseg_tensor::random::{self, ChaCha8Rng};

/// The settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AutoAugment {
    /// Which policy.
    #[serde(default)]
    pub policy: Policy,
    /// Colour of what comes in from outside when a picture is turned, sheared or moved; SimSeg's is grey.
    #[serde(default = "grey")]
    pub fill: [u8; 3],
}

/// Learned policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Policy {
    /// On ImageNet.
    #[default]
    Imagenet,
}

fn grey() -> [u8; 3] {
    [128; 3]
}

/// What an operation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operation {
    /// See [`affine::shear_x`].
    ShearX,
    /// See [`affine::shear_y`].
    ShearY,
    /// To the right, in pixels, cut to a whole number.
    TranslateX,
    /// Down, likewise.
    TranslateY,
    /// In degrees, counter-clockwise.
    Rotate,
    /// Factor less one.
    Brightness,
    /// Factor less one, of the saturation.
    Color,
    /// Factor less one.
    Contrast,
    /// Factor less one.
    Sharpness,
    /// Bits that are kept.
    Posterize,
    /// From which value on values are turned around.
    Solarize,
    /// No magnitude.
    AutoContrast,
    /// No magnitude.
    Equalize,
    /// No magnitude.
    Invert,
}
use Operation::{AutoContrast, Color, Contrast, Equalize, Invert, Posterize, Rotate, Sharpness, ShearX, Solarize};

/// Operation, probability, place in its range (0 where there is no magnitude).
type Step = (Operation, f64, usize);

#[rustfmt::skip]
const IMAGENET: [[Step; 2]; 25] = [
    [(Posterize, 0.4, 8), (Rotate, 0.6, 9)],       [(Solarize, 0.6, 5), (AutoContrast, 0.6, 0)],
    [(Equalize, 0.8, 0), (Equalize, 0.6, 0)],      [(Posterize, 0.6, 7), (Posterize, 0.6, 6)],
    [(Equalize, 0.4, 0), (Solarize, 0.2, 4)],      [(Equalize, 0.4, 0), (Rotate, 0.8, 8)],
    [(Solarize, 0.6, 3), (Equalize, 0.6, 0)],      [(Posterize, 0.8, 5), (Equalize, 1.0, 0)],
    [(Rotate, 0.2, 3), (Solarize, 0.6, 8)],        [(Equalize, 0.6, 0), (Posterize, 0.4, 6)],
    [(Rotate, 0.8, 8), (Color, 0.4, 0)],           [(Rotate, 0.4, 9), (Equalize, 0.6, 0)],
    [(Equalize, 0.0, 0), (Equalize, 0.8, 0)],      [(Invert, 0.6, 0), (Equalize, 1.0, 0)],
    [(Color, 0.6, 4), (Contrast, 1.0, 8)],         [(Rotate, 0.8, 8), (Color, 1.0, 2)],
    [(Color, 0.8, 8), (Solarize, 0.8, 7)],         [(Sharpness, 0.4, 7), (Invert, 0.6, 0)],
    [(ShearX, 0.6, 5), (Equalize, 1.0, 0)],        [(Color, 0.4, 0), (Equalize, 0.6, 0)],
    [(Equalize, 0.4, 0), (Solarize, 0.2, 4)],      [(Solarize, 0.6, 5), (AutoContrast, 0.6, 0)],
    [(Invert, 0.6, 0), (Equalize, 1.0, 0)],        [(Color, 0.6, 4), (Contrast, 1.0, 8)],
    [(Equalize, 0.8, 0), (Equalize, 0.6, 0)],
];

/// Places in a range.
const PLACES: usize = 10;

impl Operation {
    /// The magnitude at a place from 0 to 9 of the operation's range, for a picture of this size; and whether it has a direction.
    ///
    /// # Panics
    /// If the place is beyond 9.
    pub fn magnitude(self, place: usize, [width, height]: [usize; 2]) -> (f64, bool) {
        assert!(place < PLACES, "a place from 0 to 9");
        // torch.linspace in f32, from the nearer end, as compiled for CPUs with fused multiply-add; without, or with another width of
        // vectors, its last bit is another for some places.
        let along = |first: f64, last: f64| {
            let (first, last) = (first as f32, last as f32);
            let step = (last - first) / (PLACES - 1) as f32;
            f64::from(match place < PLACES / 2 {
                true => step.mul_add(place as f32, first),
                false => (-step).mul_add((PLACES - 1 - place) as f32, last),
            })
        };
        match self {
            Self::ShearX | Self::ShearY => (along(0.0, 0.3), true),
            Self::TranslateX => (along(0.0, 150.0 / 331.0 * width as f64), true),
            Self::TranslateY => (along(0.0, 150.0 / 331.0 * height as f64), true),
            Self::Rotate => (along(0.0, 30.0), true),
            Self::Brightness | Self::Color | Self::Contrast | Self::Sharpness => (along(0.0, 0.9), true),
            Self::Posterize => (8.0 - (place as f64 / 2.25).round_ties_even(), false),
            Self::Solarize => (along(255.0, 0.0), false),
            Self::AutoContrast | Self::Equalize | Self::Invert => (0.0, false),
        }
    }

    /// The picture after it; `fill` is the colour of what comes in from outside.
    pub fn apply(self, picture: &Picture, magnitude: f64, fill: [u8; 3]) -> Picture {
        match self {
            Self::ShearX => affine::shear_x(picture, magnitude, fill),
            Self::ShearY => affine::shear_y(picture, magnitude, fill),
            Self::TranslateX => affine::translate(picture, magnitude as i64, 0, fill),
            Self::TranslateY => affine::translate(picture, 0, magnitude as i64, fill),
            Self::Rotate => affine::rotate(picture, magnitude, fill),
            Self::Brightness => colour::brightness(picture, 1.0 + magnitude),
            Self::Color => colour::saturation(picture, 1.0 + magnitude),
            Self::Contrast => colour::contrast(picture, 1.0 + magnitude),
            Self::Sharpness => colour::sharpness(picture, 1.0 + magnitude),
            Self::Posterize => tone::posterize(picture, magnitude as u32),
            Self::Solarize => tone::solarize(picture, magnitude),
            Self::AutoContrast => tone::autocontrast(picture),
            Self::Equalize => tone::equalize(picture),
            Self::Invert => tone::invert(picture),
        }
    }
}

/// What is drawn for a picture.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Drawn {
    /// Which of the 25.
    pub policy: usize,
    /// An operation is applied if this is at most its probability.
    pub chances: [f64; 2],
    /// Whether a magnitude with a direction is negative.
    pub negative: [bool; 2],
}

impl AutoAugment {
    /// The picture under parameters that are given.
    ///
    /// # Panics
    /// If there is no such policy.
    pub fn with(&self, picture: Picture, drawn: &Drawn) -> Picture {
        let steps = IMAGENET[drawn.policy].into_iter().zip(drawn.chances).zip(drawn.negative);
        steps.fold(picture, |picture, (((operation, likely, place), chance), negative)| {
            if chance > likely {
                return picture;
            }
            let (magnitude, directed) = operation.magnitude(place, [picture.width, picture.height]);
            operation.apply(&picture, if directed && negative { -magnitude } else { magnitude }, self.fill)
        })
    }
}

impl Augmentation for AutoAugment {
    fn apply(&self, picture: Picture, _: usize, rng: &mut ChaCha8Rng) -> Picture {
        let mut uniform = || random::uniform(rng);
        let policy = (uniform() * IMAGENET.len() as f64) as usize;
        let drawn = Drawn { policy, chances: [uniform(), uniform()], negative: [uniform() < 0.5, uniform() < 0.5] };
        self.with(picture, &drawn)
    }
}

/// Adds it to the augmentations.
pub fn register(kinds: &mut Kinds<dyn Augmentation>) {
    kinds.add("auto-augment", "AutoAugment's policy for ImageNet", |augment: AutoAugment| Ok(Box::new(augment)));
}
