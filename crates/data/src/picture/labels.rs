//! Label maps: a pixel's value *is* its class.
//!
//! Up to 255 classes they are 8-bit indexed PNGs with PASCAL VOC's palette, in which bit `j` of the colours comes from bits `3j`,
//! `3j+1`, `3j+2` of the index; 255 says "ignored". Beyond, they are 16-bit grey PNGs, and 65535 says so.

#[cfg(feature = "fs")]
use crate::atomic;
use crate::{Error, Result};
use std::path::Path;

/// The value in memory of a pixel that is not counted, or that no class claims; on disk 255, or 65535 in maps of 16 bits.
pub const IGNORED: u16 = u16::MAX;

/// A label map in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Labels {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// A class or [`IGNORED`] for each pixel, `[height, width]`.
    pub values: Vec<u16>,
    /// How it is written and coloured.
    pub format: LabelFormat,
}

/// How a label map is written and coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LabelFormat {
    /// Bits per pixel of the file.
    pub depth: Depth,
    /// Whether class 0 is the background: black, where it would otherwise be a class with a colour.
    pub background: bool,
}

/// Bits per pixel of a label map's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Depth {
    /// An indexed PNG of at most 255 classes.
    #[default]
    Eight,
    /// A grey PNG of at most 65,535 classes.
    Sixteen,
}

impl Default for LabelFormat {
    fn default() -> Self {
        Self { depth: Depth::Eight, background: true }
    }
}

impl LabelFormat {
    /// What label maps of a list of classes need.
    pub fn of(classes: usize, background: bool) -> Self {
        Self { depth: if classes > 255 { Depth::Sixteen } else { Depth::Eight }, background }
    }

    /// Whether a label is a class, and not the background or nothing.
    pub fn is_class(self, label: u16) -> bool {
        label != IGNORED && !(self.background && label == 0)
    }

    /// The colour of a label: PASCAL VOC's, from the second on if there is no background; black is no class.
    pub fn colour(self, label: u16) -> [u8; 3] {
        match self.is_class(label) {
            true => colour(label + u16::from(!self.background)),
            false => [0; 3],
        }
    }
}

/// The bytes of an indexed PNG: one colour number per pixel, `[height, width]`, and at most 256 colours. A picture of few colours is a
/// fraction of the size that it has with three bytes a pixel.
///
/// ```
/// let png = simseg_data::picture::indexed_png(2, 1, &[0, 1], &[[0, 0, 0], [255, 255, 255]]);
/// assert_eq!(simseg_data::Picture::from_bytes(&png, Default::default())?.rgb, [0, 0, 0, 255, 255, 255]);
/// # Ok::<(), simseg_data::Error>(())
/// ```
pub fn indexed_png(width: usize, height: usize, colours: &[u8], palette: &[[u8; 3]]) -> Vec<u8> {
    super::encode([width, height], colours, |encoder| {
        encoder.set_color(png::ColorType::Indexed);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.set_palette(palette.concat());
        encoder.set_compression(png::Compression::High);
    })
}

impl Labels {
    /// A map of at most 255 classes, the background among them.
    pub fn new(width: usize, height: usize, values: Vec<u16>) -> Self {
        Self { width, height, values, format: LabelFormat::default() }
    }

    /// The classes that occur, rising; what is ignored is none.
    pub fn classes(&self) -> Vec<usize> {
        let mut seen = vec![false; usize::from(IGNORED)];
        let known = self.values.iter().filter(|&&label| label != IGNORED);
        known.for_each(|&label| seen[usize::from(label)] = true);
        (0..seen.len()).filter(|&label| seen[label]).collect()
    }

    /// The bytes of a PNG: indexed, or grey of 16 bits.
    pub fn png(&self) -> Vec<u8> {
        let size = [self.width, self.height];
        if self.format.depth == Depth::Sixteen {
            let bytes: Vec<u8> = self.values.iter().flat_map(|value| value.to_be_bytes()).collect();
            return super::encode(size, &bytes, |encoder| {
                encoder.set_color(png::ColorType::Grayscale);
                encoder.set_depth(png::BitDepth::Sixteen);
            });
        }
        // What does not fit a byte is what is ignored: 65535 becomes 255.
        let bytes: Vec<u8> = self.values.iter().map(|&value| u8::try_from(value).unwrap_or(u8::MAX)).collect();
        let palette = (0..=255).flat_map(|label| match (self.format.background, label) {
            (false, 255) => [0; 3],
            (false, label) => colour(label + 1),
            (true, label) => colour(label), // 255, too, has its colour in VOC's palette
        });
        super::encode(size, &bytes, |encoder| {
            encoder.set_color(png::ColorType::Indexed);
            encoder.set_depth(png::BitDepth::Eight);
            encoder.set_palette(palette.collect::<Vec<u8>>());
        })
    }

    /// Writes [a PNG](Self::png).
    ///
    /// # Errors
    /// If the file cannot be written.
    #[cfg(feature = "fs")]
    pub fn save(&self, path: &Path) -> Result<()> {
        atomic::write(path, &self.png())
    }

    /// Reads an indexed PNG (of 1, 2, 4 or 8 bits: Pillow packs small palettes) or a grey one of 8 or 16 bits. Values are as
    /// they stand in the file, except 255 of 8 bits, which is [`IGNORED`].
    ///
    /// # Errors
    /// If it cannot be read, or holds colours instead of classes.
    #[cfg(feature = "fs")]
    pub fn load(path: &Path) -> Result<Self> {
        Self::decode(path, &super::read(path)?)
    }

    /// A label map from the bytes of a PNG; see [`Self::load`].
    ///
    /// # Errors
    /// As for a file that holds them.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        Self::decode(Path::new("label map"), bytes)
    }

    fn decode(path: &Path, bytes: &[u8]) -> Result<Self> {
        let problem = |error: png::DecodingError| Error::content(path, format!("not a readable PNG: {error}"));
        let limits = png::Limits { bytes: super::PIXELS as usize * 4 };
        let decoder = png::Decoder::new_with_limits(std::io::Cursor::new(bytes), limits);
        let mut reader = decoder.read_info().map_err(problem)?;
        let (colours, depth) = reader.output_color_type();
        let bits = match (colours, depth) {
            (png::ColorType::Indexed, depth) if depth as usize <= 8 => depth as usize,
            (png::ColorType::Grayscale, png::BitDepth::Eight | png::BitDepth::Sixteen) => depth as usize,
            _ => {
                let expected = "expected an indexed PNG, or a grey one of 8 or 16 bits (a class per pixel)";
                return Err(Error::content(path, format!("{expected}, found {colours:?} {depth:?}")));
            }
        };
        let (width, height) = (reader.info().width as usize, reader.info().height as usize);
        super::check_size(path, width as u64, height as u64)?;
        let line = (width * bits).div_ceil(8); // the first pixel is in a byte's highest bits
        let mut bytes = vec![0; line * height];
        reader.next_frame(&mut bytes).map_err(problem)?;
        let (values, depth): (Vec<u16>, Depth) = match bits {
            16 => {
                let values = bytes.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
                (values.collect(), Depth::Sixteen)
            }
            bits => {
                let value = |row: &[u8], x: usize| {
                    let value = row[x * bits / 8] >> (8 - bits - x * bits % 8) & (u8::MAX >> (8 - bits));
                    if value == u8::MAX { IGNORED } else { value.into() }
                };
                let values = bytes.chunks(line).flat_map(|row| (0..width).map(move |x| value(row, x)));
                (values.collect(), Depth::Eight)
            }
        };
        Ok(Self { width, height, values, format: LabelFormat { depth, background: true } })
    }
}

/// A class's colour in the palette of PASCAL VOC, which goes on beyond its 256.
///
/// ```
/// assert_eq!(simseg_data::picture::colour(1), [128, 0, 0]);
/// assert_eq!(simseg_data::picture::colour(8), [64, 0, 0]);
/// ```
pub fn colour(class: u16) -> [u8; 3] {
    let mut colour = [0u8; 3];
    for bit in 0..8 {
        for (channel, value) in colour.iter_mut().enumerate() {
            let index = 3 * bit + channel;
            if index < 16 && class >> index & 1 == 1 {
                *value |= 128 >> bit;
            }
        }
    }
    colour
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixteen_bits_hold_what_eight_cannot() {
        let format = LabelFormat::of(300, true);
        let labels = Labels { format, ..Labels::new(2, 2, vec![0, 255, 299, IGNORED]) };
        assert_eq!(Labels::from_bytes(&labels.png()).unwrap(), labels);
        assert_eq!(labels.classes(), [0, 255, 299]);
        assert_eq!(LabelFormat::of(255, true).depth, Depth::Eight);
    }

    #[test]
    fn without_a_background_the_first_class_has_a_colour_and_nothing_has_none() {
        let format = LabelFormat::of(3, false);
        assert_eq!([0, 1, IGNORED].map(|label| format.colour(label)), [colour(1), colour(2), [0; 3]]);
        assert_eq!(LabelFormat::of(3, true).colour(0), [0; 3]);
    }

    #[test]
    fn labels_survive_the_disk() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.png");
        let labels = Labels::new(3, 2, vec![0, 1, 2, 20, 254, IGNORED]);
        labels.save(&path).unwrap();
        assert_eq!(Labels::load(&path).unwrap(), labels);
    }

    #[test]
    fn small_palettes_are_packed() {
        // What Pillow writes for a palette of few colours: several pixels a byte, rows padded to whole bytes.
        let dir = tempfile::tempdir().unwrap();
        for (bits, depth, bytes, values) in [
            (1, png::BitDepth::One, vec![0b1010_0000, 0b0110_0000], [1, 0, 1, 0, 1, 1]),
            (2, png::BitDepth::Two, vec![0b1101_1000, 0b0010_0100], [3, 1, 2, 0, 2, 1]),
            (4, png::BitDepth::Four, vec![0xfe, 0x30, 0x12, 0xf0], [15, 14, 3, 1, 2, 15]),
        ] {
            let path = dir.path().join(format!("{bits}.png"));
            let mut encoder = png::Encoder::new(std::fs::File::create(&path).unwrap(), 3, 2);
            encoder.set_color(png::ColorType::Indexed);
            encoder.set_depth(depth);
            encoder.set_palette((0..1 << bits).flat_map(colour).collect::<Vec<u8>>());
            encoder.write_header().unwrap().write_image_data(&bytes).unwrap();
            assert_eq!(Labels::load(&path).unwrap(), Labels::new(3, 2, values.to_vec()));
        }
    }
}
