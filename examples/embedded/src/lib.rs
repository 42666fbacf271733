//! A model inside of a program: what a device without a file system needs. `cargo build --profile embedded -p simseg-embedded` makes it small.

use simseg::data::picture::Exif;
use simseg::{Error, Image, Model, Picture, Result, Segmented, Words};

/// The small world's model: 1.1 MB of weights.
const CONFIG: &[u8] = include_bytes!("../../../fixtures/tiny/config.json");
const WEIGHTS: &[u8] = include_bytes!("../../../fixtures/tiny/model.safetensors");
const VOCABULARY: &[u8] = include_bytes!("../../../fixtures/tiny/vocab.txt");

/// A model and the words that it looks for.
pub struct Device {
    model: Model,
    words: Words<simseg::Cpu>,
}

impl Device {
    /// Opens the model and embeds words, one class each; 0 is the background.
    ///
    /// # Errors
    /// If there are no words, or one occurs twice.
    pub fn new(words: &[&str]) -> Result<Self> {
        let model = Model::from_bytes(CONFIG, WEIGHTS, VOCABULARY)?;
        let words = model.words(words)?;
        Ok(Self { model, words })
    }

    /// The names of the classes.
    pub fn classes(&self) -> impl Iterator<Item = &str> {
        (0..self.words.list.len()).map(|class| self.words.list.name(class))
    }

    /// Segments a PNG, JPEG, WebP or BMP.
    ///
    /// # Errors
    /// If it is none, or too large for a device: more than 4 megapixels.
    pub fn segment(&self, file: &[u8]) -> Result<Segmented> {
        let picture = Picture::from_bytes(file, Exif::Apply)?;
        if picture.width * picture.height > 4 << 20 {
            return Err(Error::input("picture", "more than 4 megapixels"));
        }
        self.model.segment(&picture, &self.words)
    }

    /// The score of every class for a frame of RGB pixels, which are read where they are: a device has no memory for a copy.
    ///
    /// # Errors
    /// If it has another size.
    pub fn scores(&self, width: usize, height: usize, rgb: &[u8]) -> Result<Vec<f32>> {
        let picture = Image::from_rgb(width, height, rgb)?;
        Ok(self.model.segment(&picture, &self.words)?.details.scores)
    }
}
