//! Numbers as pictures in a page: indexed PNGs, a tenth of what three bytes a pixel take.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use simseg::Picture;
use simseg::explanation::palette;
use simseg_data::picture::indexed_png;
use simseg_data::transform;
use std::path::Path;

/// The largest file that goes into a page as it is.
const AS_IT_IS: u64 = 500_000;
/// The longer side of the view of a larger one, in pixels.
const VIEW: usize = 360;
/// Shades of a map.
const SHADES: usize = 64;

fn uri(kind: &str, bytes: &[u8]) -> String {
    format!("data:image/{kind};base64,{}", BASE64.encode(bytes))
}

/// A picture as it is.
pub fn picture(picture: &Picture) -> String {
    uri("png", &picture.png())
}

/// The file itself if it is small and a browser shows it, else a smaller view.
pub fn original(path: &Path, read: &Picture) -> String {
    let small = std::fs::metadata(path).is_ok_and(|file| file.len() <= AS_IT_IS);
    let bytes = if small { std::fs::read(path).unwrap_or_default() } else { vec![] };
    match bytes.get(..12) {
        Some([0x89, b'P', b'N', b'G', ..]) => uri("png", &bytes),
        Some([0xff, 0xd8, ..]) => uri("jpeg", &bytes),
        Some([b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P']) => uri("webp", &bytes),
        _ => {
            let longer = read.width.max(read.height);
            let side = |side: usize| (side * VIEW / longer.max(VIEW)).max(1);
            picture(&transform::resize(read, side(read.width), side(read.height)))
        }
    }
}

/// Values from `low` (dark blue) over green to `high` (yellow), ever lighter.
pub fn heat(values: &[f32], width: usize, [low, high]: [f32; 2]) -> String {
    shades(values, width, [low, high], palette::heat)
}

/// Values from `-most` (red) over 0 (white) to `most` (blue).
pub fn signed(values: &[f32], width: usize, most: f32) -> String {
    const STOPS: [[f32; 3]; 3] = [[220.0, 38.0, 38.0], [255.0, 255.0, 255.0], [37.0, 99.0, 235.0]];
    shades(values, width, [-most, most], |share| palette::between(&STOPS, share))
}

fn shades(values: &[f32], width: usize, [low, high]: [f32; 2], colour: impl Fn(f32) -> [u8; 3]) -> String {
    let last = (SHADES - 1) as f32;
    let palette: Vec<[u8; 3]> = (0..SHADES).map(|shade| colour(shade as f32 / last)).collect();
    let span = (high - low).max(f32::MIN_POSITIVE);
    // Casting cuts at 0 and at 255, and makes 0 of NaN.
    let shade = |value: &f32| ((value - low) / span * last).round().min(last) as u8;
    let pixels: Vec<u8> = values.iter().map(shade).collect();
    uri("png", &indexed_png(width, values.len() / width.max(1), &pixels, &palette))
}

/// A mask, white on black.
pub fn mask(bits: &[u8], width: usize) -> String {
    let pixels: Vec<u8> = bits.iter().map(|&bit| u8::from(bit != 0)).collect();
    uri("png", &indexed_png(width, bits.len() / width.max(1), &pixels, &[[24; 3], [255; 3]]))
}

/// Labels in the colours of the page.
pub fn labels(values: &[u16], width: usize, classes: usize, background: bool) -> String {
    // 256 colours are enough: beyond the palette's end they come again.
    let known = classes.min(255);
    let mut colours: Vec<[u8; 3]> = (0..known).map(|class| palette::colour(class, background)).collect();
    colours.push([0; 3]);
    let number = |&label: &u16| match usize::from(label) {
        label if label < classes => (label % known) as u8,
        _ => known as u8,
    };
    let pixels: Vec<u8> = values.iter().map(number).collect();
    uri("png", &indexed_png(width, values.len() / width.max(1), &pixels, &colours))
}

/// A colour as CSS writes it.
pub fn hex(class: usize, background: bool) -> String {
    palette::colour(class, background).iter().map(|value| format!("{value:02x}")).collect()
}
