//! Colours of classes that stand side by side: neighbours in a class list differ, which those of PASCAL VOC's palette do not (its colours
//! 1 to 3 are dark red, dark green and olive).
//!
//! Twenty colours that were chosen far apart, the farthest first; further classes take them again.

/// Red, green, blue; the background is not among them.
pub const COLOURS: [[u8; 3]; 20] = [
    [230, 25, 75],
    [60, 180, 75],
    [255, 225, 25],
    [0, 130, 200],
    [245, 130, 48],
    [145, 30, 180],
    [70, 240, 240],
    [240, 50, 230],
    [250, 190, 212],
    [128, 0, 0],
    [255, 215, 180],
    [0, 0, 128],
    [0, 128, 128],
    [170, 255, 195],
    [170, 110, 40],
    [255, 250, 200],
    [220, 190, 255],
    [210, 245, 60],
    [128, 128, 128],
    [128, 128, 0],
];

/// The colour of a class; `background` says whether class 0 is none.
pub fn colour(class: usize, background: bool) -> [u8; 3] {
    match (class, background) {
        (0, true) => [40, 44, 52],
        (class, true) => COLOURS[(class - 1) % COLOURS.len()],
        (class, false) => COLOURS[class % COLOURS.len()],
    }
}

/// The colour of a value in `[0, 1]`, from dark blue over green to yellow: ever lighter, so that grey print works too. Five colours of
/// Matplotlib's viridis, mixed in between.
pub fn heat(value: f32) -> [u8; 3] {
    between(
        &[[68.0, 1.0, 84.0], [59.0, 82.0, 139.0], [33.0, 145.0, 140.0], [94.0, 201.0, 98.0], [253.0, 231.0, 37.0]],
        value,
    )
}

/// The colour of a value in `[0, 1]` on a scale that goes through these colours, two or more, at equal distances.
pub fn between(stops: &[[f32; 3]], value: f32) -> [u8; 3] {
    let at = value.clamp(0.0, 1.0) * (stops.len() - 1) as f32;
    let low = (at as usize).min(stops.len() - 2);
    std::array::from_fn(|i| (stops[low][i] + (stops[low + 1][i] - stops[low][i]) * (at - low as f32)).round() as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A weighted distance of sRGB colours that follows the eye (Riemersma's "redmean"); black to white is 765.
    fn distance(a: [u8; 3], b: [u8; 3]) -> f64 {
        let [r, g, bl] = [0, 1, 2].map(|i| f64::from(a[i]) - f64::from(b[i]));
        let mean = (f64::from(a[0]) + f64::from(b[0])) / 2.0;
        ((2.0 + mean / 256.0) * r * r + 4.0 * g * g + (2.0 + (255.0 - mean) / 256.0) * bl * bl).sqrt()
    }

    #[test]
    fn heat_grows_lighter_from_blue_to_yellow_and_takes_any_value() {
        let light =
            |value: f32| heat(value).iter().zip([0.299, 0.587, 0.114]).map(|(&c, w)| f64::from(c) * w).sum::<f64>();
        assert!((0..20).all(|i| light(i as f32 / 20.0) < light((i + 1) as f32 / 20.0)));
        assert_eq!((heat(0.0), heat(1.0), heat(0.125)), ([68, 1, 84], [253, 231, 37], [64, 42, 112]));
        assert_eq!((heat(-1.0), heat(7.0), heat(f32::NAN)), (heat(0.0), heat(1.0), [0; 3]));
    }

    #[test]
    fn the_first_ten_differ_from_each_other_and_all_from_their_neighbours() {
        for (i, a) in COLOURS.iter().enumerate() {
            for (j, b) in COLOURS.iter().enumerate().skip(i + 1) {
                let least = if j < 10 {
                    130.0
                } else if j == i + 1 {
                    150.0
                } else {
                    40.0
                };
                assert!(distance(*a, *b) > least, "{i} and {j}: {:.0}", distance(*a, *b));
            }
        }
        // What the pictures of the small world could not tell apart.
        let classes =
            ["background", "cherry", "fish", "star", "cactus", "car", "flower", "balloon", "cup", "mushroom", "sheep"];
        let of = |name: &str| colour(classes.iter().position(|class| *class == name).unwrap(), true);
        for (a, b) in [("cup", "background"), ("fish", "sheep"), ("flower", "sheep")] {
            assert!(distance(of(a), of(b)) > 150.0, "{a} and {b}");
        }
        assert_eq!(colour(0, false), COLOURS[0]);
        assert_eq!(colour(21, true), COLOURS[0]);
    }
}
