//! The objects: ten shapes, each with its own colours, drawn from signed distances.
//!
//! A shape lives in the square `[−1, 1]²` (y down). A signed distance is negative inside; the union of two shapes is the
//! minimum of their distances (after Quilez's catalogue of 2-D distance functions). Light falls from the upper left and a
//! darker rim sets an object off against any context.

use simseg_tensor::random::{self, ChaCha8Rng};
use std::f64::consts::{PI, TAU};
use std::sync::LazyLock;

/// Red, green, blue in `[0, 1]`.
pub type Colour = [f64; 3];

/// Class names, in the order of their labels (from 1).
pub const NAMES: [&str; 10] =
    ["cherry", "fish", "star", "cactus", "car", "flower", "balloon", "cup", "mushroom", "sheep"];

/// The context each object likes best: an index into [`super::contexts::NAMES`].
pub const FAVOURITE: [usize; 10] = [5, 0, 3, 2, 6, 1, 7, 4, 5, 1];

/// A small shift of all colours of one object: no two apples are the same red.
pub fn tint(rng: &mut ChaCha8Rng) -> Colour {
    [0; 3].map(|_| 0.07 * (2.0 * random::uniform(rng) - 1.0))
}

type Point = [f64; 2];

/// `√(x² + y²)`; `hypot` guards against overflow that cannot happen here, at ten times the cost.
fn length(x: f64, y: f64) -> f64 {
    (x * x + y * y).sqrt()
}

fn circle([x, y]: Point, [cx, cy]: Point, r: f64) -> f64 {
    length(x - cx, y - cy) - r
}

/// Not an exact distance, but zero on the ellipse and of the right size near it.
fn ellipse([x, y]: Point, [cx, cy]: Point, [a, b]: Point) -> f64 {
    (length((x - cx) / a, (y - cy) / b) - 1.0) * a.min(b)
}

fn rounded([x, y]: Point, [cx, cy]: Point, [a, b]: Point, r: f64) -> f64 {
    let (dx, dy) = ((x - cx).abs() - a + r, (y - cy).abs() - b + r);
    length(dx.max(0.0), dy.max(0.0)) + dx.max(dy).min(0.0) - r
}

fn capsule(p: Point, a: Point, b: Point, r: f64) -> f64 {
    line_squared(p, a, b).sqrt() - r
}

/// The square of the distance to a line from one point to another.
fn line_squared([x, y]: Point, [ax, ay]: Point, [bx, by]: Point) -> f64 {
    let (dx, dy) = (bx - ax, by - ay);
    let t = (((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy)).clamp(0.0, 1.0);
    let (x, y) = (x - ax - t * dx, y - ay - t * dy);
    x * x + y * y
}

/// Distance to a closed polygon: to its nearest edge, negative inside (even-odd rule).
fn polygon(p: Point, corners: &[Point]) -> f64 {
    let (mut nearest, mut inside) = (f64::INFINITY, false);
    for (i, &a) in corners.iter().enumerate() {
        let b = corners[(i + 1) % corners.len()];
        nearest = nearest.min(line_squared(p, a, b));
        if (a[1] > p[1]) != (b[1] > p[1]) && p[0] < (b[0] - a[0]) * (p[1] - a[1]) / (b[1] - a[1]) + a[0] {
            inside = !inside;
        }
    }
    if inside { -nearest.sqrt() } else { nearest.sqrt() }
}

/// A point turned about the origin by an angle whose sine and cosine these are.
fn turned([x, y]: Point, (sin, cos): (f64, f64)) -> Point {
    [x * cos + y * sin, y * cos - x * sin]
}

/// Sine and cosine of each angle.
fn angles<const N: usize>(angle: impl Fn(usize) -> f64) -> [(f64, f64); N] {
    std::array::from_fn(|i| angle(i).sin_cos())
}

/// Sine and cosine of the same angle for every point of every object: computed once.
static TURNS: LazyLock<Turns> = LazyLock::new(|| Turns {
    cherry_leaf: (-0.5f64).sin_cos(),
    flower_leaf: (-0.6f64).sin_cos(),
    star: angles(|i| PI * i as f64 / 5.0),
    petals: angles(|i| i as f64 * TAU / 6.0),
    wool: angles(|i| i as f64 * TAU / 8.0),
});

/// See [`TURNS`].
struct Turns {
    cherry_leaf: (f64, f64),
    flower_leaf: (f64, f64),
    star: [(f64, f64); 10],
    petals: [(f64, f64); 6],
    wool: [(f64, f64); 8],
}

const fn rgb(hex: u32) -> Colour {
    [(hex >> 16 & 255) as f64 / 255.0, (hex >> 8 & 255) as f64 / 255.0, (hex & 255) as f64 / 255.0]
}

/// A part of an object: its distance and colour; later parts cover earlier ones.
type Part = (f64, Colour);

fn cherry(p: Point) -> [Part; 4] {
    let body = circle(p, [-0.32, 0.2], 0.6).min(circle(p, [0.32, 0.2], 0.6)).min(ellipse(p, [0.0, 0.3], [0.7, 0.62]));
    [
        (capsule(p, [0.0, -0.3], [0.1, -0.85], 0.08), rgb(0x6b4226)),
        (body, rgb(0xd8232a)),
        (ellipse(turned([p[0] - 0.38, p[1] + 0.68], TURNS.cherry_leaf), [0.0, 0.0], [0.32, 0.15]), rgb(0x4f9d2f)),
        (ellipse(p, [-0.42, -0.05], [0.13, 0.2]), rgb(0xf58a80)),
    ]
}

fn fish(p: Point) -> [Part; 6] {
    let stripe = (p[0] - 0.1).abs() - 0.09;
    let body = ellipse(p, [0.12, 0.0], [0.8, 0.56]);
    [
        (polygon(p, &[[-0.5, 0.0], [-0.98, -0.6], [-0.8, 0.0], [-0.98, 0.6]]) - 0.03, rgb(0xe8730c)),
        (polygon(p, &[[-0.25, -0.4], [0.05, -0.85], [0.4, -0.42]]) - 0.03, rgb(0xe8730c)),
        (body, rgb(0xff8c1a)),
        (body.max(stripe), rgb(0xfff3e0)),
        (circle(p, [0.58, -0.13], 0.13), rgb(0xffffff)),
        (circle(p, [0.61, -0.13], 0.07), rgb(0x14141e)),
    ]
}

fn star(p: Point) -> [Part; 2] {
    let corner = |i: usize| {
        let ((sin, cos), r) = (TURNS.star[i], if i.is_multiple_of(2) { 0.98 } else { 0.46 });
        [r * sin, 0.06 - r * cos]
    };
    let corners: [Point; 10] = std::array::from_fn(corner);
    [(polygon(p, &corners) - 0.03, rgb(0xffd21f)), (polygon([p[0] * 1.9, p[1] * 1.9], &corners), rgb(0xffe873))]
}

fn cactus(p: Point) -> [Part; 3] {
    let trunk = capsule(p, [0.0, -0.55], [0.0, 0.62], 0.36);
    let left = capsule(p, [-0.3, 0.22], [-0.7, 0.17], 0.2).min(capsule(p, [-0.72, 0.17], [-0.72, -0.3], 0.2));
    let right = capsule(p, [0.3, 0.4], [0.7, 0.35], 0.2).min(capsule(p, [0.72, 0.35], [0.72, -0.1], 0.2));
    let body = trunk.min(left).min(right);
    let rib = (p[0].abs() - 0.13).abs() - 0.025;
    [(body, rgb(0x14884c)), (trunk.max(rib), rgb(0x0c6337)), (circle(p, [0.0, -0.9], 0.15), rgb(0xf25f8e))]
}

fn car(p: Point) -> [Part; 9] {
    let cabin = polygon(p, &[[-0.55, 0.0], [-0.36, -0.5], [0.3, -0.5], [0.58, 0.0]]) - 0.05;
    [
        (cabin, rgb(0x1f4fd6)),
        (polygon(p, &[[-0.42, -0.03], [-0.28, -0.4], [-0.04, -0.4], [-0.04, -0.03]]), rgb(0xcfeaff)),
        (polygon(p, &[[0.07, -0.03], [0.07, -0.4], [0.26, -0.4], [0.44, -0.03]]), rgb(0xcfeaff)),
        (rounded(p, [0.0, 0.22], [0.96, 0.3], 0.18), rgb(0x2a5ff0)),
        (circle(p, [-0.52, 0.5], 0.26), rgb(0x1c1c22)),
        (circle(p, [0.52, 0.5], 0.26), rgb(0x1c1c22)),
        (circle(p, [-0.52, 0.5], 0.11), rgb(0xc8ccd4)),
        (circle(p, [0.52, 0.5], 0.11), rgb(0xc8ccd4)),
        (circle(p, [0.85, 0.15], 0.09), rgb(0xfff2a8)),
    ]
}

fn flower(p: Point) -> [Part; 4] {
    let q = [p[0], p[1] + 0.2];
    let petal = |turn| ellipse(turned(q, turn), [0.0, -0.46], [0.31, 0.38]);
    let petals = TURNS.petals.map(petal).into_iter().fold(f64::INFINITY, f64::min);
    [
        (capsule(p, [0.0, 0.1], [0.05, 0.95], 0.08), rgb(0x2f8f3a)),
        (ellipse(turned([p[0] - 0.3, p[1] - 0.7], TURNS.flower_leaf), [0.0, 0.0], [0.28, 0.13]), rgb(0x2f8f3a)),
        (petals, rgb(0xf03fa8)),
        (circle(q, [0.0, 0.0], 0.28), rgb(0xffcf3a)),
    ]
}

fn balloon(p: Point) -> [Part; 5] {
    let bag =
        ellipse(p, [0.0, -0.28], [0.68, 0.68]).min(polygon(p, &[[-0.55, 0.1], [0.55, 0.1], [0.2, 0.58], [-0.2, 0.58]]));
    let bulge = (1.0 - ((p[1] + 0.28) / 0.9).powi(2)).max(0.0).sqrt();
    let gore = (p[0].abs() - 0.36 * bulge).abs() - 0.06;
    [
        (capsule(p, [-0.17, 0.5], [-0.15, 0.8], 0.03), rgb(0x5a4632)),
        (capsule(p, [0.17, 0.5], [0.15, 0.8], 0.03), rgb(0x5a4632)),
        (bag, rgb(0x7a2fc4)),
        (bag.max(gore), rgb(0xb889ef)),
        (rounded(p, [0.0, 0.86], [0.2, 0.13], 0.04), rgb(0x9a6a35)),
    ]
}

fn cup(p: Point) -> [Part; 4] {
    let ring = (circle(p, [0.55, 0.15], 0.33)).abs() - 0.09;
    let body = polygon(p, &[[-0.7, -0.5], [0.5, -0.5], [0.4, 0.75], [-0.6, 0.75]]) - 0.08;
    [
        (ring, rgb(0x0aa7a0)),
        (body, rgb(0x17c3bb)),
        (body.max((p[1] - 0.2).abs() - 0.13), rgb(0xe9fffd)),
        (ellipse(p, [-0.1, -0.54], [0.62, 0.15]), rgb(0x5b3420)),
    ]
}

fn mushroom(p: Point) -> [Part; 5] {
    let cap = ellipse(p, [0.0, 0.05], [0.95, 0.92]).max(p[1] - 0.12);
    [
        (rounded(p, [0.0, 0.5], [0.28, 0.46], 0.18), rgb(0xf2e3c6)),
        (cap, rgb(0x8a4a1f)),
        (cap.max(circle(p, [-0.4, -0.25], 0.17)), rgb(0xe8cfa0)),
        (cap.max(circle(p, [0.25, -0.45], 0.19)), rgb(0xe8cfa0)),
        (cap.max(circle(p, [0.58, -0.08], 0.14)), rgb(0xe8cfa0)),
    ]
}

fn sheep(p: Point) -> [Part; 4] {
    let puff = |(sin, cos)| circle(p, [-0.12 + 0.48 * cos, -0.08 + 0.3 * sin], 0.32);
    let wool = TURNS.wool.map(puff).into_iter().fold(ellipse(p, [-0.12, -0.08], [0.55, 0.4]), f64::min);
    let legs = [-0.45, -0.15, 0.15].map(|x| capsule(p, [x, 0.3], [x, 0.85], 0.08));
    [
        (legs.into_iter().fold(f64::INFINITY, f64::min), rgb(0x2b2b33)),
        (wool, rgb(0xfbf8f0)),
        (ellipse(p, [0.66, -0.12], [0.27, 0.3]), rgb(0x2b2b33)),
        (circle(p, [0.74, -0.18], 0.065), rgb(0xffffff)),
    ]
}

/// No shape reaches farther than this from the middle of its square, sideways or upwards.
const REACH: f64 = 1.1;

/// The colour of object `class` (from 0) at a point of its square, or `None` beside it.
pub fn paint(class: usize, p: Point, tint: Colour) -> Option<Colour> {
    if p.iter().any(|x| x.abs() > REACH) {
        return None;
    }
    shape(class, p, |parts| shade(parts, p, tint))
}

/// What `f` makes of the parts of object `class`.
fn shape<R>(class: usize, p: Point, f: impl Fn(&[Part]) -> R) -> R {
    match class {
        0 => f(&cherry(p)),
        1 => f(&fish(p)),
        2 => f(&star(p)),
        3 => f(&cactus(p)),
        4 => f(&car(p)),
        5 => f(&flower(p)),
        6 => f(&balloon(p)),
        7 => f(&cup(p)),
        8 => f(&mushroom(p)),
        _ => f(&sheep(p)),
    }
}

/// The colour where these parts are so far away.
fn shade(parts: &[Part], p: Point, tint: Colour) -> Option<Colour> {
    let outline = parts.iter().map(|part| part.0).fold(f64::INFINITY, f64::min);
    let &(_, colour) = parts.iter().rev().find(|part| part.0 < 0.0)?;
    let light = 1.0 - 0.14 * (p[0] + p[1]) / 2.0;
    let rim = if outline > -0.06 { 0.68 } else { 1.0 };
    Some(std::array::from_fn(|i| (colour[i] * light + tint[i]) * rim))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_shape_reaches_beyond_its_square() {
        let steps = || (-200..=200).map(|i| f64::from(i) / 100.0);
        for (class, name) in NAMES.into_iter().enumerate() {
            let covers = |p: Point| shape(class, p, |parts| shade(parts, p, [0.0; 3]).is_some());
            let reached = steps().flat_map(|x| steps().map(move |y| [x, y])).filter(|&p| covers(p));
            let farthest = reached.flatten().map(f64::abs).fold(0.0, f64::max);
            assert!((0.85..REACH).contains(&farthest), "{name}: {farthest}");
        }
    }
}
