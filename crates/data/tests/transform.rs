//! Our resize, crops and normalisation against Pillow's and torchvision's; `golden/resize.py` wrote what they gave.

use simseg_data::Picture;
use simseg_data::transform::{Filter, Normalisation, Passes, centre_crop, normalise, resize_with, shorter_side};

#[derive(serde::Deserialize)]
struct Golden {
    cases: Vec<Case>,
    normalised: Vec<u32>,
    shorter_side: Vec<[usize; 5]>,
    centre_crop: Vec<Middle>,
}

#[derive(serde::Deserialize)]
struct Case {
    from: [usize; 2],
    to: [usize; 2],
    filter: String,
    seed: u32,
    rows_first: String,
    pillow_13: String,
    head: Vec<u8>,
}

#[derive(serde::Deserialize)]
struct Middle {
    from: [usize; 2],
    to: usize,
    hash: String,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("golden/resize.json")).unwrap()
}

/// The generator of `golden/resize.py`.
fn noise(width: usize, height: usize, seed: u32) -> Picture {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        match state >> 24 {
            0..64 => 0,
            value @ 64..192 => value as u8,
            _ => 255,
        }
    };
    Picture { width, height, rgb: (0..width * height * 3).map(|_| next()).collect() }
}

fn fnv(bytes: &[u8]) -> String {
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325u64, |h, &b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    format!("{hash:016x}")
}

#[test]
fn resize_gives_the_bytes_of_pillow() {
    for Case { from: [width, height], to: [w, h], filter, seed, rows_first, pillow_13, head } in golden().cases {
        let kernel = if filter == "bicubic" { Filter::Bicubic } else { Filter::Bilinear };
        let picture = noise(width, height, seed);
        let small = resize_with(&picture, w, h, kernel, Passes::RowsFirst);
        let name = format!("{filter} {width}×{height} → {w}×{h}");
        assert_eq!(small.rgb.len(), w * h * 3, "{name}");
        assert_eq!(&small.rgb[..head.len()], head, "{name}");
        assert_eq!(fnv(&small.rgb), rows_first, "{name}");
        assert_eq!(fnv(&resize_with(&picture, w, h, kernel, Passes::Pillow13).rgb), pillow_13, "{name}, Pillow 13");
    }
}

#[test]
fn normalise_gives_the_bits_of_torchvision() {
    let ramp = Picture { width: 256, height: 1, rgb: (0..=255).flat_map(|v| [v; 3]).collect() };
    let bits: Vec<u32> = normalise(&ramp, &Normalisation::IMAGENET).into_iter().map(f32::to_bits).collect();
    assert_eq!(bits, golden().normalised);
}

#[test]
fn sizes_and_middles_are_those_of_torchvision() {
    let golden = golden();
    for [width, height, side, w, h] in golden.shorter_side {
        assert_eq!(shorter_side(width, height, side), (w, h), "{width}×{height}, shorter side {side}");
    }
    for Middle { from: [width, height], to, hash } in golden.centre_crop {
        let middle = centre_crop(&noise(width, height, 7), to, to);
        assert_eq!(fnv(&middle.rgb), hash, "{width}×{height}, middle {to}");
    }
}

#[test]
fn pixels_of_a_jpeg_are_those_that_pillow_reads() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/jpeg");
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "jpg") {
            assert_eq!(Picture::load(&path).unwrap(), Picture::load(&path.with_extension("png")).unwrap(), "{path:?}");
            seen += 1;
        }
    }
    assert_eq!(seen, 7);
}

#[test]
fn a_picture_that_is_looked_at_gives_the_same_bytes() {
    let picture = Picture { width: 5, height: 3, rgb: (0..45).collect() };
    for (width, height) in [(5, 3), (5, 2), (2, 3), (3, 7), (4, 1)] {
        for passes in [Passes::RowsFirst, Passes::Pillow13] {
            let of_view = resize_with(&picture.view(), width, height, Filter::Bicubic, passes);
            assert_eq!(of_view, resize_with(&picture, width, height, Filter::Bicubic, passes));
            assert_eq!((of_view.width, of_view.height, of_view.rgb.len()), (width, height, 3 * width * height));
        }
    }
}
