//! Objects onto pixels: how much of each they cover, and in which colour.

use super::Placed;
use super::objects::{self, Colour};

/// Points per pixel side at which objects are sampled.
const SAMPLES: usize = 3;

/// Paints one object.
pub(super) struct Brush {
    pub(super) object: Placed,
    tint: Colour,
    /// Side of the image in pixels.
    size: f64,
    /// Sine and cosine of the object's rotation.
    turn: (f64, f64),
    /// Farthest from its centre, in shares of the image's side, that the object's square and a pixel reach.
    reach: f64,
}

impl Brush {
    pub(super) fn new(object: &Placed, tint: Colour, size: usize) -> Self {
        let reach = object.half * 1.45 + 1.0 / size as f64;
        Self { object: *object, tint, size: size as f64, turn: object.turn.sin_cos(), reach }
    }

    /// The object's mean colour within a pixel, and the share of the pixel that it covers; `None` beside it.
    pub(super) fn sample(&self, [x, y]: [usize; 2]) -> Option<(Colour, f64)> {
        let Self { object, size, turn: (sin, cos), .. } = *self;
        let centre = [(x as f64 + 0.5) / size, (y as f64 + 0.5) / size];
        if (0..2).any(|axis| (centre[axis] - object.centre[axis]).abs() > self.reach) {
            return None;
        }
        let (mut sum, mut hits) = ([0.0; 3], 0usize);
        for i in 0..SAMPLES * SAMPLES {
            let offset = |i: usize| (i as f64 + 0.5) / SAMPLES as f64;
            let px = (x as f64 + offset(i % SAMPLES)) / size - object.centre[0];
            let py = (y as f64 + offset(i / SAMPLES)) / size - object.centre[1];
            let (u, v) = ((px * cos + py * sin) / object.half, (py * cos - px * sin) / object.half);
            let u = if object.mirrored { -u } else { u };
            if let Some(colour) = objects::paint(usize::from(object.class) - 1, [u, v], self.tint) {
                hits += 1;
                sum.iter_mut().zip(colour).for_each(|(sum, value)| *sum += value);
            }
        }
        (hits > 0).then(|| (sum.map(|value| value / hits as f64), hits as f64 / (SAMPLES * SAMPLES) as f64))
    }
}
