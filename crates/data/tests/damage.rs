//! Files cut short or with flipped bits, a few thousand of them: an error or a picture, never a panic or a huge allocation.

use image::ImageFormat;
use simseg_data::Picture;
use simseg_data::datasets::mask;
use simseg_data::picture::Labels;
use simseg_tensor::random::{self, ChaCha8Rng};
use std::path::Path;

/// A small photograph-like image.
fn pixels() -> image::RgbImage {
    image::RgbImage::from_fn(40, 24, |x, y| image::Rgb([(x * 6) as u8, (y * 10) as u8, (x * y) as u8]))
}

/// The same in a format.
fn encoded(format: ImageFormat) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(vec![]);
    pixels().write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// The same as a JPEG whose blocks come in one scan or in several.
fn jpeg(progressive: bool) -> Vec<u8> {
    use libjpeg_turbo_rs::{PixelFormat, Subsampling, compress, compress_progressive};
    let compress = if progressive { compress_progressive } else { compress };
    compress(&pixels(), 40, 24, PixelFormat::Rgb, 85, Subsampling::S420).unwrap()
}

fn below(n: usize, rng: &mut ChaCha8Rng) -> usize {
    (random::uniform(rng) * n as f64) as usize
}

/// One to four flipped bits, and sometimes an early end.
fn damaged(whole: &[u8], rng: &mut ChaCha8Rng) -> Vec<u8> {
    let mut bytes = whole.to_vec();
    for _ in 0..1 + below(4, rng) {
        let place = below(bytes.len(), rng);
        bytes[place] ^= 1 << below(8, rng);
    }
    if below(3, rng) == 0 {
        bytes.truncate(below(bytes.len(), rng));
    }
    bytes
}

/// A file that ends early is an error, wherever it ends.
fn cut(name: &str, whole: &[u8]) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    for length in (0..whole.len()).step_by(3).chain([whole.len() - 1]) {
        // The last 12 bytes of a PNG only say that it ends; the last one of a WebP fills up its chunk.
        let spare = if name.ends_with("png") { 12 } else { usize::from(name.ends_with("webp")) };
        if length + spare >= whole.len() {
            continue;
        }
        std::fs::write(&path, &whole[..length]).unwrap();
        assert!(Picture::load(&path).is_err(), "{name} cut at {length} of {}", whole.len());
    }
}

/// How many of 1,000 damaged versions of a file still read.
fn survivors<T>(
    name: &str,
    whole: &[u8],
    read: impl Fn(&Path) -> simseg_data::Result<T>,
    fits: impl Fn(&T) -> bool,
) -> usize {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    let read = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        read(&path)
    };
    assert!(fits(&read(whole).unwrap()), "{name} itself reads");
    let mut rng = random::stream(0, name, 0);
    let tried = (0..1000).filter(|_| match read(&damaged(whole, &mut rng)) {
        Ok(value) => {
            assert!(fits(&value), "what is read is whole");
            true
        }
        Err(error) => {
            let message = error.to_string();
            assert!(message.contains(name) && !message.contains('\n'), "{message}");
            false
        }
    });
    tried.count()
}

#[test]
fn damaged_pictures_are_errors_or_pictures() {
    for (name, bytes) in [
        ("a.png", encoded(ImageFormat::Png)),
        ("baseline.jpg", jpeg(false)),
        ("progressive.jpg", jpeg(true)),
        ("a.bmp", encoded(ImageFormat::Bmp)),
        ("a.webp", encoded(ImageFormat::WebP)),
    ] {
        let whole =
            |picture: &Picture| !picture.rgb.is_empty() && picture.rgb.len() == picture.width * picture.height * 3;
        cut(name, &bytes);
        let left = survivors(name, &bytes, Picture::load, whole);
        println!("{name}: {left} of 1000 still read");
        assert!(left < 1000);
    }
}

#[test]
fn damaged_label_maps_are_errors_or_label_maps() {
    let labels = Labels::new(40, 24, (0..960).map(|p| (p / 100) as u16).collect());
    let whole = |labels: &Labels| !labels.values.is_empty() && labels.values.len() == labels.width * labels.height;
    assert!(survivors("labels.png", &labels.png(), Labels::load, whole) < 1000);
}

#[test]
fn damaged_run_lengths_paint_all_or_nothing() {
    let mut rng = random::stream(0, "runs", 0);
    for _ in 0..1000 {
        let text: String = (0..below(40, &mut rng)).map(|_| char::from(40 + below(80, &mut rng) as u8)).collect();
        let mut map = vec![0; 35];
        let painted = mask::runs(&text).and_then(|runs| mask::paint(&runs, &mut map, 7, 5, 1));
        assert!(painted.is_ok() || map.iter().all(|&value| value == 0));
    }
}
