//! Step 8: a dense CRF sharpens a coarse map along the image's edges.
//!
//! The image: a dark square on a light ground. The map: right about where, wrong about the edge by three pixels. Every pixel hears from
//! all others, the more the nearer they are in place and colour; three rounds of messages move the mask's edge onto the square's
//! (`crates/segment/src/refine/crf/mod.rs`). The lattice that makes this linear in the pixels is held against the exact sum.
//!
//! Expect 180 wrong pixels (18² − 12²) to become few, and the two to agree on nearly all. `cargo run --release --example 08_crf`

use simseg_segment::refine::crf::{CrfParameters, Lattices, exact};

const SIDE: usize = 32;

fn place(p: usize) -> (usize, usize) {
    (p % SIDE, p / SIDE)
}

pub(crate) fn main() -> Result<(), Box<dyn std::error::Error>> {
    let inside = |p: usize, low: usize, high: usize| {
        let (x, y) = place(p);
        (low..high).contains(&x) && (low..high).contains(&y)
    };
    let square: Vec<bool> = (0..SIDE * SIDE).map(|p| inside(p, 10, 22)).collect();
    let rgb: Vec<u8> = square.iter().flat_map(|&dark| if dark { [60, 50, 40] } else { [200, 210, 220] }).collect();
    // What a map of patches gives: too wide, and not sure of itself.
    let map: Vec<f32> = (0..SIDE * SIDE).map(|p| if inside(p, 7, 25) { 0.6 } else { 0.3 }).collect();

    let wrong = |q: &[f32]| q.iter().zip(&square).filter(|&(&q, &dark)| (q > 0.5) != dark).count();
    let parameters = CrfParameters { bilateral_sxy: 10.0, ..CrfParameters::default() };
    let mut q = map.clone();
    for rounds in 0..=3 {
        let parameters = CrfParameters { iterations: rounds, ..parameters };
        q = Lattices::new(&rgb, SIDE, SIDE, &parameters)?.infer(&[&map])?.remove(0); // [N]
        println!("after {rounds} rounds   {:>3} pixels wrong", wrong(&q));
    }

    // The same literally: energies of rest and class, every pair of pixels.
    let energy = |p: f32| -f64::from(p + 1e-8).ln();
    let energies: Vec<f64> = map.iter().map(|&p| energy(1.0 - p)).chain(map.iter().map(|&p| energy(p))).collect();
    let all = exact::infer(&rgb, SIDE, SIDE, &energies, 2, &CrfParameters { iterations: 3, ..parameters })?;
    let agree = q.iter().zip(&all[SIDE * SIDE..]).filter(|&(&a, &b)| (a > 0.5) == (b > 0.5)).count();
    println!("lattice and exact sum agree on {agree} of {} pixels", SIDE * SIDE);

    // A pixel just outside of the square hears by colour almost nothing from inside.
    let outside = 16 * SIDE + 8;
    let [_, colour] = exact::row(&rgb, SIDE, SIDE, outside, &parameters)?;
    let heard: f64 = (0..SIDE * SIDE).filter(|&p| square[p]).map(|p| colour[p]).sum();
    println!("a pixel outside hears {:.1e} of {:.2} by colour from inside", heard, colour.iter().sum::<f64>());

    assert!(wrong(&map) == 180 && wrong(&q) < 20, "{} {}", wrong(&map), wrong(&q));
    assert!(agree > SIDE * SIDE * 95 / 100 && heard < 1e-6, "{agree} {heard}");
    println!("✓ the mask's edge moved onto the image's");
    Ok(())
}
