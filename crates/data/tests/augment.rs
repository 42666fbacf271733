//! Augmentations against torchvision's on Pillow's images, byte for byte; `fixtures/pytorch/augment.py` wrote what they gave.

use simseg_data::Picture;
use simseg_data::transform::augment::auto_augment::{AutoAugment, Drawn, Operation, Policy};
use simseg_data::transform::augment::random_horizontal_flip::flipped;
use simseg_data::transform::{Crop, Filter, Passes, colour, random_resized_crop, resize_with};
use simseg_tensor::random;
use std::collections::{BTreeMap, BTreeSet};

#[derive(serde::Deserialize)]
struct Golden {
    sizes: BTreeMap<String, [usize; 2]>,
    ranges: BTreeMap<String, Range>,
    fallbacks: Vec<Fallback>,
    cases: Vec<Case>,
}

#[derive(serde::Deserialize)]
struct Range {
    values: Vec<f64>,
    signed: bool,
}

#[derive(serde::Deserialize)]
struct Fallback {
    from: [usize; 2],
    crop: [usize; 4],
}

#[derive(serde::Deserialize)]
struct Case {
    picture: String,
    size: [usize; 2],
    bytes: Option<String>,
    hash: Option<String>,
    #[serde(flatten)]
    change: Change,
}

#[derive(Debug, serde::Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
enum Change {
    Operation { name: Operation, value: f64 },
    AutoAugment { drawn: Drawn },
    ResizedCrop { crop: [usize; 4], side: usize, filter: String },
    Adjust { name: String, value: f64 },
    Flip,
}

/// Another file may be named for a check by hand: see `augment.py --more`.
fn golden() -> Golden {
    let own = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/pytorch/augment.json");
    let path = std::env::var("SIMSEG_AUGMENT").unwrap_or_else(|_| own.into());
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// The generators of `augment.py`.
fn drawn(name: &str, [width, height]: [usize; 2]) -> Picture {
    let mut state: u32 = name.bytes().map(u32::from).sum();
    let mut rgb = vec![];
    for (y, x, channel) in (0..height).flat_map(|y| (0..width * 3).map(move |at| (y, at / 3, at % 3))) {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let slope = (x * (channel + 1) * 50 / width + y * 120 / height) % 180;
        rgb.push((20 + slope + (state >> 24) as usize * 40 / 256) as u8);
    }
    Picture { width, height, rgb }
}

fn colours() -> Picture {
    let mut rgb = vec![0; 96 * 32 * 3];
    for (at, pixel) in rgb.chunks_exact_mut(3).enumerate() {
        let (x, y) = (at % 96, at / 96);
        let (most, least) = (255 - (x * 7 + y * 3) % 90, (y * 255 / 31) * 2 / 3 % 160);
        // Python's // floors; the difference may be negative.
        let middle = least as i64 + ((most as i64 - least as i64) * (x as i64 % 32)).div_euclid(31);
        pixel[x / 32] = most as u8;
        pixel[(x / 32 + 1) % 3] = middle as u8;
        pixel[(x / 32 + 2) % 3] = least as u8;
    }
    Picture { width: 96, height: 32, rgb }
}

fn fnv(bytes: &[u8]) -> String {
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325u64, |h, &b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    format!("{hash:016x}")
}

const FILL: [u8; 3] = [128; 3];

fn changed(picture: &Picture, change: &Change) -> Picture {
    match change {
        Change::Operation { name, value } => name.apply(picture, *value, FILL),
        Change::AutoAugment { drawn } => {
            AutoAugment { policy: Policy::Imagenet, fill: FILL }.with(picture.clone(), drawn)
        }
        Change::ResizedCrop { crop: [left, top, width, height], side, filter } => {
            let crop = Crop { left: *left, top: *top, width: *width, height: *height };
            let filter = if filter == "bicubic" { Filter::Bicubic } else { Filter::Bilinear };
            resize_with(&crop.of(picture), *side, *side, filter, Passes::RowsFirst)
        }
        Change::Adjust { name, value } => {
            let adjust = match name.as_str() {
                "brightness" => colour::brightness,
                "contrast" => colour::contrast,
                "saturation" => colour::saturation,
                "sharpness" => colour::sharpness,
                "hue" => colour::hue,
                other => panic!("{other}"),
            };
            adjust(picture, *value)
        }
        Change::Flip => flipped(picture),
    }
}

#[test]
fn every_change_gives_the_bytes_of_torchvision_on_pillows_images() {
    let golden = golden();
    let (mut kinds, mut wrong) = (BTreeSet::new(), vec![]);
    for Case { picture: name, size, bytes, hash, change } in &golden.cases {
        let picture = golden.sizes.get(name).map_or_else(colours, |&size| drawn(name, size));
        let result = changed(&picture, change);
        assert_eq!([result.width, result.height], *size, "{name} {change:?}");
        let hex: String = result.rgb.iter().map(|byte| format!("{byte:02x}")).collect();
        let same = match (bytes, hash) {
            (Some(bytes), _) => hex == *bytes,
            (None, Some(hash)) => fnv(&result.rgb) == *hash,
            _ => panic!("{name}: nothing to compare with"),
        };
        if !same {
            wrong.push(format!("{name} {change:?}"));
        }
        kinds.insert(format!("{change:?}").split(' ').take(4).collect::<String>());
    }
    assert!(wrong.is_empty(), "{} of {}: {}", wrong.len(), golden.cases.len(), wrong.join("\n"));
    let policies = golden.cases.iter().filter_map(|case| match &case.change {
        Change::AutoAugment { drawn } => Some(drawn.policy),
        _ => None,
    });
    assert_eq!(policies.collect::<BTreeSet<_>>().len(), 25);
    assert!(golden.cases.len() > 200, "{} cases of {} kinds", golden.cases.len(), kinds.len());
}

#[test]
fn magnitudes_are_those_of_torchvision_to_the_bit() {
    let ranges = golden().ranges;
    assert_eq!(ranges.len(), 14);
    for (name, Range { values, signed }) in ranges {
        let operation: Operation = serde_json::from_value(name.clone().into()).unwrap();
        for (place, value) in values.into_iter().enumerate() {
            // As f32, what they are: serde_json may read the last bit of an f64 otherwise.
            let (own, own_signed) = operation.magnitude(place, [224, 137]);
            assert_eq!((own as f32, own_signed), (value as f32, signed), "{name} {place}");
        }
    }
}

#[test]
fn where_no_crop_fits_it_is_torchvisions_middle() {
    for Fallback { from, crop: [left, top, width, height] } in golden().fallbacks {
        let crop = random_resized_crop(from, [0.9, 1.0], [0.75, 4.0 / 3.0], &mut random::stream(0, "crop", 0));
        assert_eq!(crop, Crop { left, top, width, height }, "{from:?}");
    }
}
