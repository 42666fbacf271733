//! Images and label maps on disk, read with limits and written whole.

#[cfg(feature = "fs")]
use crate::atomic;
use crate::{Error, Result};
use image::metadata::Orientation;
use std::path::Path;

mod jpeg;
mod labels;

pub use labels::{Depth, IGNORED, LabelFormat, Labels, colour, indexed_png};

/// An RGB image in memory, whoever holds its bytes: a [`Picture`] owns them, an `Image<&[u8]>` looks at those of somebody else, such as a
/// camera or NumPy, without a copy. What only looks at a picture takes both.
///
/// ```
/// use simseg_data::{Image, Picture, transform};
/// let frame = [10u8, 20, 30, 30, 40, 50]; //  two pixels
/// let seen = Image::from_rgb(2, 1, &frame)?;
/// assert_eq!(transform::resize(&seen, 1, 1), Picture { width: 1, height: 1, rgb: vec![20, 30, 40] });
/// # Ok::<(), simseg_data::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Image<S> {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// `[height, width, 3]`
    pub rgb: S,
}

/// An RGB image that owns its bytes. (A name and not a default of [`Image`]'s parameter: so `Picture { rgb: values.collect(), .. }` says
/// into what.)
pub type Picture = Image<Vec<u8>>;

/// What becomes of a camera's note how it was held (Exif orientation).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Exif {
    /// The picture is turned, as every viewer shows it.
    #[default]
    Apply,
    /// The picture stays as it is stored, as OpenCV's and Pillow's pixels are, and those of the published data sets.
    Ignore,
}

/// Longest side that is read.
const LONGEST: u64 = 20_000;
/// Most pixels that are read: 64 million take 200 MB.
const PIXELS: u64 = 64 << 20;
/// Largest file that is read.
#[cfg(feature = "fs")]
const FILE: u64 = 512 << 20;

impl Picture {
    /// Reads a PNG, JPEG, WebP or BMP, whatever its name ends in.
    ///
    /// A JPEG's pixels are those of libjpeg-turbo, and so of Pillow and OpenCV, to the last bit: decoders are free in how they
    /// round and spread colours, and a resized picture shows it.
    ///
    /// # Errors
    /// If it cannot be read or decoded, is empty, or has more than 64 million pixels.
    #[cfg(feature = "fs")]
    pub fn load(path: &Path) -> Result<Self> {
        Self::decode(path, &read(path)?, Exif::Ignore)
    }

    /// The same, turned as the camera noted it if that is wanted.
    ///
    /// # Errors
    /// As [`Self::load`].
    #[cfg(feature = "fs")]
    pub fn load_with(path: &Path, exif: Exif) -> Result<Self> {
        Self::decode(path, &read(path)?, exif)
    }

    /// Whether a picture of this size would be read.
    ///
    /// # Errors
    /// If it is empty, has a side of more than 20,000 pixels, or more than 64 Mi pixels.
    pub fn check(width: usize, height: usize) -> Result<()> {
        check_size(Path::new("picture"), width as u64, height as u64)
    }

    /// A picture from the bytes of a file; see [`Self::load_with`].
    ///
    /// # Errors
    /// As for a file that holds them.
    pub fn from_bytes(bytes: &[u8], exif: Exif) -> Result<Self> {
        Self::decode(Path::new("picture"), bytes, exif)
    }

    pub(crate) fn decode(path: &Path, bytes: &[u8], exif: Exif) -> Result<Self> {
        let (picture, orientation) = Self::decode_as_stored(path, bytes)?;
        Ok(match exif {
            Exif::Ignore => picture,
            Exif::Apply => picture.turned(orientation),
        })
    }

    /// Turned and mirrored so that it is upright.
    fn turned(self, orientation: Orientation) -> Self {
        if orientation == Orientation::NoTransforms {
            return self;
        }
        let (width, height) = (self.width as u32, self.height as u32);
        let Some(buffer) = image::RgbImage::from_raw(width, height, self.rgb) else {
            unreachable!("three bytes a pixel");
        };
        let mut image = image::DynamicImage::ImageRgb8(buffer);
        image.apply_orientation(orientation);
        Self { width: image.width() as usize, height: image.height() as usize, rgb: image.into_rgb8().into_raw() }
    }

    fn decode_as_stored(path: &Path, bytes: &[u8]) -> Result<(Self, Orientation)> {
        let reader = image::ImageReader::new(std::io::Cursor::new(bytes));
        let reader = reader.with_guessed_format().map_err(Error::io(path))?;
        match reader.format() {
            None => Err(Error::content(path, "not an image: expected PNG, JPEG, WebP or BMP")),
            Some(image::ImageFormat::Jpeg) => Self::jpeg(path, bytes),
            Some(_) => Self::other(path, reader),
        }
    }

    /// Anything but a JPEG.
    fn other(path: &Path, reader: image::ImageReader<std::io::Cursor<&[u8]>>) -> Result<(Self, Orientation)> {
        let mut decoder = reader.into_decoder().map_err(unreadable(path))?;
        let (width, height) = image::ImageDecoder::dimensions(&decoder);
        check_size(path, width.into(), height.into())?;
        let mut limits = image::Limits::default();
        limits.max_alloc = Some(PIXELS * 16);
        image::ImageDecoder::set_limits(&mut decoder, limits).map_err(unreadable(path))?;
        // What is no Exif is no note of a camera's.
        let orientation = image::ImageDecoder::orientation(&mut decoder).unwrap_or(Orientation::NoTransforms);
        let image = image::DynamicImage::from_decoder(decoder).map_err(unreadable(path))?;
        let rgb = match image.color().bytes_per_pixel() / image.color().channel_count() {
            // Of 16 bits Pillow keeps the upper half, where image rounds.
            2 => image.into_rgb16().into_raw().into_iter().map(|value| (value >> 8) as u8).collect(),
            _ => image.into_rgb8().into_raw(),
        };
        Ok((Self { width: width as usize, height: height as usize, rgb }, orientation))
    }

    fn jpeg(path: &Path, bytes: &[u8]) -> Result<(Self, Orientation)> {
        use libjpeg_turbo_rs::{DecodeLimits, Decoder, PixelFormat};
        // The decoder would fill what is missing with grey; Pillow refuses, and so does this.
        let Some(jpeg::Extent { end, exif }) = jpeg::extent(bytes) else {
            return Err(unreadable(path)("cut short, the end of the JPEG is missing"));
        };
        let orientation = exif.and_then(|exif| Orientation::from_exif_chunk(&bytes[exif]));
        // Phones put a video behind it.
        let bytes = &bytes[..end];
        let limits = DecodeLimits { max_pixels: PIXELS, max_memory: Some(PIXELS * 16), ..DecodeLimits::default() };
        let mut decoder = Decoder::new_with_limits(bytes, limits).map_err(unreadable(path))?;
        let (width, height) = (decoder.header().width, decoder.header().height);
        check_size(path, width.into(), height.into())?;
        decoder.set_output_format(PixelFormat::Rgb);
        let image = decoder.decode_image().map_err(unreadable(path))?;
        let picture = Self { width: image.width, height: image.height, rgb: image.data };
        Ok((picture, orientation.unwrap_or(Orientation::NoTransforms)))
    }
}

impl<S: AsRef<[u8]>> Image<S> {
    /// A picture from its pixels, `[height, width, 3]`: red, green, blue.
    ///
    /// # Errors
    /// If it is empty, larger than what is read from files, or there are more or fewer than `3·width·height` bytes.
    pub fn from_rgb(width: usize, height: usize, rgb: S) -> Result<Self> {
        Picture::check(width, height)?;
        let bytes = rgb.as_ref().len();
        if bytes != 3 * width * height {
            let found = format!("{bytes} bytes for {width}×{height} pixels of three");
            return Err(Error::content(Path::new("picture"), found));
        }
        Ok(Self { width, height, rgb })
    }

    /// The same picture, looked at: no byte is copied.
    pub fn view(&self) -> Image<&[u8]> {
        Image { width: self.width, height: self.height, rgb: self.rgb.as_ref() }
    }

    /// The bytes of a PNG.
    pub fn png(&self) -> Vec<u8> {
        encode([self.width, self.height], self.rgb.as_ref(), |encoder| {
            encoder.set_color(png::ColorType::Rgb);
            encoder.set_depth(png::BitDepth::Eight);
        })
    }

    /// Writes a PNG.
    ///
    /// # Errors
    /// If the file cannot be written.
    #[cfg(feature = "fs")]
    pub fn save(&self, path: &Path) -> Result<()> {
        atomic::write(path, &self.png())
    }

    /// The picture with label colours laid over it, and a line where labels change.
    ///
    /// # Panics
    /// If the label map has another size.
    pub fn overlay(&self, labels: &Labels) -> Picture {
        assert_eq!((labels.width, labels.height), (self.width, self.height), "labels of the picture's size");
        let mut out = Picture { width: self.width, height: self.height, rgb: self.rgb.as_ref().to_vec() };
        for (p, pixel) in out.rgb.chunks_mut(3).enumerate() {
            let (x, y, label) = (p % self.width, p / self.width, labels.values[p]);
            let differs = |q: usize| labels.values[q] != label;
            let edge = (x + 1 < self.width && differs(p + 1)) || (y + 1 < self.height && differs(p + self.width));
            for (value, colour) in pixel.iter_mut().zip(labels.format.colour(label)) {
                let mix = |share: u32| ((u32::from(*value) * (100 - share) + u32::from(colour) * share) / 100) as u8;
                *value = match edge {
                    true => 255,
                    false if labels.format.is_class(label) => mix(60),
                    false => mix(35),
                };
            }
        }
        out
    }
}

fn unreadable<E: std::fmt::Display>(path: &Path) -> impl Fn(E) -> Error + '_ {
    move |error| Error::content(path, format!("not a readable image: {error}"))
}

fn check_size(path: &Path, width: u64, height: u64) -> Result<()> {
    if width > 0 && height > 0 && width.max(height) <= LONGEST && width * height <= PIXELS {
        return Ok(());
    }
    let limits = format!("{width}×{height} pixels; expected 1 to {LONGEST} a side and at most {PIXELS} in all");
    Err(Error::content(path, limits))
}

/// The bytes of an image file.
#[cfg(feature = "fs")]
fn read(path: &Path) -> Result<Vec<u8>> {
    crate::bounded::read(path, FILE, "a smaller image")
}

/// The bytes of a PNG: pixels row by row, 16-bit values with the high byte first.
fn encode([width, height]: [usize; 2], bytes: &[u8], set: impl FnOnce(&mut png::Encoder<'_, &mut Vec<u8>>)) -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = png::Encoder::new(&mut out, width as u32, height as u32);
    // Label maps and overlays of twelve photographs: 12% larger than at the usual level, in a third of its time.
    encoder.set_compression(png::Compression::Fast);
    set(&mut encoder);
    // Writing to memory with matching sizes cannot fail; an empty picture would, and is never made.
    let written = encoder.write_header().and_then(|mut writer| writer.write_image_data(bytes));
    written.expect("a picture in memory encodes");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_sixteen_bits_the_upper_eight_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep.png");
        image::ImageBuffer::<image::Rgb<u16>, _>::from_raw(1, 1, vec![0x01ff, 0x80f0, 0xffff])
            .unwrap()
            .save(&path)
            .unwrap();
        assert_eq!(Picture::load(&path).unwrap().rgb, [0x01, 0x80, 0xff]);
    }

    #[test]
    fn bad_images_are_errors_that_name_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let picture = Picture { width: 8, height: 8, rgb: (0..192).collect() };
        let whole = picture.png();
        for (name, bytes) in [("empty", &b""[..]), ("text", b"hello"), ("cut", &whole[..whole.len() / 2])] {
            let path = dir.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            let error = Picture::load(&path).unwrap_err().to_string();
            assert!(error.contains(name) && !error.contains('\n'), "{error}");
        }
        let path = dir.path().join("rgb.png");
        picture.save(&path).unwrap();
        assert_eq!(Picture::load(&path).unwrap(), picture);
        assert!(Labels::load(&path).unwrap_err().to_string().contains("a class per pixel"));
    }

    #[test]
    fn a_huge_header_is_refused_before_memory_is_taken() {
        // A valid header chunk that promises 4 billion pixels a side.
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("huge.png");
        let mut bytes = Picture { width: 1, height: 1, rgb: vec![0; 3] }.png();
        bytes[16..24].copy_from_slice(&[0x7f, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff]);
        let crc = crc32(&bytes[12..29]);
        bytes[29..33].copy_from_slice(&crc.to_be_bytes());
        std::fs::write(&path, bytes).unwrap();
        assert!(Picture::load(&path).is_err());
        assert!(Labels::load(&path).is_err());
    }

    fn crc32(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(!0u32, |crc, &byte| {
            (0..8).fold(crc ^ u32::from(byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 })
        })
    }
}
