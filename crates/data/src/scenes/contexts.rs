//! The contexts: eight textured backgrounds, every one with its own colours and grain.
//!
//! Textures are sums of *value noise* (random values on a grid, smoothly interpolated) at doubling frequencies, plus
//! whatever gives a context its face: waves, blades of grass, ripples of sand, stars, flakes, trunks, stones, clouds.

use super::objects::Colour;
use simseg_tensor::random::{self, ChaCha8Rng};

/// Context names, as captions use them.
pub const NAMES: [&str; 8] = ["sea", "meadow", "desert", "night", "snow", "forest", "street", "sky"];

/// Paints one context, with its own random offset and light.
#[derive(Debug, Clone)]
pub struct Painter {
    context: usize,
    seed: u32,
    light: f64,
    shift: f64,
}

impl Painter {
    /// A painter of `context` for one scene.
    pub fn new(context: usize, rng: &mut ChaCha8Rng) -> Self {
        let seed = (random::uniform(rng) * f64::from(u32::MAX)) as u32;
        Self { context, seed, light: 0.9 + 0.2 * random::uniform(rng), shift: random::uniform(rng) }
    }

    /// The colour at a point of `[0, 1]²`; `pixel` is the side of a pixel there.
    pub fn colour(&self, [x, y]: [f64; 2], pixel: f64) -> Colour {
        let noise = |fx: f64, fy: f64, layer: u32| self.noise(x * fx, y * fy, layer);
        let cloud = |fx: f64, fy: f64, layer| 0.6 * noise(fx, fy, layer) + 0.4 * noise(2.3 * fx, 2.3 * fy, layer + 1);
        let colour = match self.context {
            0 => {
                let wave = (38.0 * y + 2.5 * (7.0 * x + 9.0 * self.shift).sin() + 5.0 * noise(4.0, 9.0, 0)).sin();
                let foam = if wave > 0.9 { 0.35 } else { 0.0 };
                let deep = blend([0.16, 0.50, 0.62], [0.03, 0.24, 0.42], y);
                brighten(deep, 0.06 * wave + foam)
            }
            1 => {
                let blades = noise(42.0, 9.0, 0) - 0.5;
                let ground = blend([0.50, 0.70, 0.26], [0.25, 0.50, 0.14], 0.3 + 0.7 * cloud(4.0, 4.0, 1));
                brighten(ground, 0.22 * blades)
            }
            2 => {
                let ripple = (30.0 * (y + 0.18 * noise(3.0, 3.0, 0)) + 6.0 * x).sin();
                brighten(blend([0.90, 0.77, 0.53], [0.78, 0.60, 0.38], cloud(3.0, 5.0, 2)), 0.05 * ripple)
            }
            3 => {
                let sky = brighten(blend([0.04, 0.05, 0.16], [0.14, 0.12, 0.32], y), 0.06 * cloud(3.0, 3.0, 0));
                let cell = 14.0;
                let (cx, cy) = ((x * cell).floor(), (y * cell).floor());
                let at = |layer| 0.25 + 0.5 * self.hash(cx as i64, cy as i64, layer);
                let distance = (x * cell - cx - at(7)).hypot(y * cell - cy - at(8));
                let lit = self.hash(cx as i64, cy as i64, 9) > 0.62 && distance < 0.09_f64.max(0.75 * cell * pixel);
                if lit { [0.88, 0.90, 0.98] } else { sky }
            }
            4 => {
                let drift = blend([0.95, 0.97, 1.0], [0.78, 0.85, 0.94], cloud(3.0, 6.0, 0));
                brighten(drift, 0.07 * (noise(40.0, 40.0, 2) - 0.5))
            }
            5 => {
                let trunks = (26.0 * (x + 0.03 * noise(2.0, 6.0, 0)) + 9.0 * self.shift).sin();
                let leaves = blend([0.05, 0.20, 0.10], [0.12, 0.34, 0.16], cloud(9.0, 9.0, 1));
                if trunks > 0.55 { brighten([0.20, 0.14, 0.09], 0.10 * (noise(60.0, 8.0, 3) - 0.5)) } else { leaves }
            }
            6 => {
                let row = (y * 9.0).floor();
                let (u, v) = (x * 6.0 + 0.5 * (row % 2.0), y * 9.0);
                let (gap_u, gap_v) = ((u - u.floor() - 0.5).abs(), (v - v.floor() - 0.5).abs());
                let stone = 0.42 + 0.16 * self.hash(u.floor() as i64, row as i64, 1);
                let grain = 0.07 * (noise(40.0, 40.0, 2) - 0.5);
                let grey = if gap_u > 0.45 || gap_v > 0.42 { 0.27 } else { stone };
                brighten([grey, grey * 0.98, grey * 0.96], grain)
            }
            _ => {
                let clouds = ((cloud(3.0, 5.0, 0) - 0.5) * 4.0).clamp(0.0, 1.0);
                blend(blend([0.42, 0.70, 0.95], [0.70, 0.86, 0.98], y), [0.97, 0.98, 1.0], clouds)
            }
        };
        colour.map(|value| value * self.light)
    }

    /// Smooth random values in `[0, 1]`, one per unit of `x` and `y`.
    fn noise(&self, x: f64, y: f64, layer: u32) -> f64 {
        let (i, j) = (x.floor(), y.floor());
        let smooth = |t: f64| t * t * (3.0 - 2.0 * t);
        let (u, v) = (smooth(x - i), smooth(y - j));
        let at = |di: i64, dj: i64| self.hash(i as i64 + di, j as i64 + dj, layer);
        let upper = at(0, 0) * (1.0 - u) + at(1, 0) * u;
        let lower = at(0, 1) * (1.0 - u) + at(1, 1) * u;
        upper * (1.0 - v) + lower * v
    }

    /// A random value in `[0, 1]` for a grid point (the finaliser of MurmurHash3 over its coordinates).
    fn hash(&self, i: i64, j: i64, layer: u32) -> f64 {
        let mut h = self.seed ^ (i as u32).wrapping_mul(0x9e37_79b1) ^ (j as u32).wrapping_mul(0x85eb_ca77);
        h = h.wrapping_add(layer.wrapping_mul(0xc2b2_ae3d));
        for factor in [0x85eb_ca6bu32, 0xc2b2_ae35] {
            h = (h ^ (h >> 15)).wrapping_mul(factor);
        }
        f64::from(h ^ (h >> 16)) / f64::from(u32::MAX)
    }
}

fn blend(a: Colour, b: Colour, share: f64) -> Colour {
    std::array::from_fn(|i| a[i] + (b[i] - a[i]) * share.clamp(0.0, 1.0))
}

fn brighten(colour: Colour, by: f64) -> Colour {
    colour.map(|value| value + by)
}
