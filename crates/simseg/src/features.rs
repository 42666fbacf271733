//! Images to features: the way that every picture takes, whoever asks.
//!
//! ```text
//! picture → resize (the recipe's input) → normalise → encoder → tokens [b, 1+n, e] → pooled embedding [b, e]
//! ```

use crate::recipe::Fit;
use crate::{Error, Model, Result};
use simseg_data::Picture;
use simseg_data::transform::{self, Filter};
use simseg_model::{Side, Tokens};
use simseg_segment::ImageFeatures;
use simseg_segment::map::Size;
use simseg_tensor::{Ops, Tap, Tensor};

/// Most patches of a network's input: 2,048×2,048 pixels at patches of 16. Attention looks at their square.
const PATCHES: usize = 1 << 14;

impl<T: Tensor> Model<T> {
    /// The size that a picture is resized to.
    pub fn input_size(&self, picture: &Picture) -> Size {
        let (own, patch) = (self.network_config().image_size(), self.network_config().patch());
        let input = self.recipe().input;
        let side = if input.size == 0 { own } else { input.size };
        match input.fit {
            Fit::Squash => Size { height: side, width: side },
            Fit::KeepAspect => {
                let scale = side as f64 / picture.width.min(picture.height) as f64;
                let whole = |length: usize| ((length as f64 * scale / patch as f64).round().max(1.0) as usize) * patch;
                Size { height: whole(picture.height), width: whole(picture.width) }
            }
        }
    }

    /// Features of pictures that share one input size. `tap` sees `image/pixels`, every layer, `image/patches` and
    /// `image/embedding`.
    ///
    /// # Errors
    /// If the input is not a whole number of patches or more than 16,384, or pictures need different input sizes.
    pub fn features(&self, pictures: &[Picture], tap: &mut dyn Tap<T>) -> Result<Vec<ImageFeatures<T>>> {
        let Some(first) = pictures.first() else { return Ok(vec![]) };
        let (input, patch) = (self.input_size(first), self.network_config().patch());
        if input.height % patch != 0 || input.width % patch != 0 {
            let expected = format!("a multiple of the patch ({patch}), found {}", self.recipe().input.size);
            return Err(Error::input("input.size", expected));
        }
        let patches = (input.height / patch).saturating_mul(input.width / patch);
        if patches > PATCHES {
            let Size { height, width } = input;
            let expected = format!(
                "{width}×{height} pixels are {patches} patches; expected at most {PATCHES}: a smaller input.size, or \
                 input.fit = \"squash\" for strips"
            );
            return Err(Error::input("input", expected));
        }
        if pictures.iter().any(|picture| self.input_size(picture) != input) {
            return Err(Error::input("images", "one input size per batch"));
        }
        let resize =
            |p| transform::resize_with(p, input.width, input.height, Filter::Bilinear, self.recipe().input.resize);
        let resized: Vec<Picture> = pictures.iter().map(resize).collect();
        let normalisation = self.network_config().normalisation();
        let mut values = vec![0.0f32; resized.len() * 3 * input.area()];
        for (out, picture) in values.chunks_mut(3 * input.area()).zip(&resized) {
            transform::normalise_into(&picture.rgb, &normalisation, out);
        }
        let pixels = T::from_host(&values, &[resized.len(), 3, input.height, input.width], self.device())?;
        drop(values);
        tap.see("image/pixels", &pixels)?;
        let needs = self.segmenter().needs(self.aligner());
        let mut tap = Asking { inner: tap, wanted: needs.attention, attention: None };
        let tokens = self.network().encode_image_with(&pixels, self.recipe().input.last_layer, &mut tap)?; // [b, 1+n, e]
        let embeddings = self.aligner().pool(Side::Image, &tokens)?; //        [b, e]
        let [_, n, e] = tokens.values.dims()?;
        let patches = tokens.values.slice(1, 1, n - 1)?; //                    [b, n, e]
        tap.see("image/patches", &patches)?;
        tap.see("image/embedding", &embeddings)?;
        let grid = Size { height: input.height / patch, width: input.width / patch };
        let item = |x: &T, i: usize| x.slice(0, i, 1);
        let one = |(i, (picture, resized)): (usize, (&Picture, Picture))| -> Result<ImageFeatures<T>> {
            let tokens = match needs.tokens {
                true => Some(Tokens { values: item(&tokens.values, i)?, lengths: None }),
                false => None,
            };
            Ok(ImageFeatures {
                patches: item(&patches, i)?.reshape(&[n - 1, e])?,
                grid,
                embedding: item(&embeddings, i)?,
                input,
                rgb: match needs.truncated {
                    true => transform::round_trip(&resized.rgb, &normalisation),
                    false => resized.rgb,
                },
                output: Size { height: picture.height, width: picture.width },
                tokens,
                attention: tap.attention.as_ref().map(|all| item(all, i)?.squeeze(0)).transpose()?,
                windows: vec![],
            })
        };
        pictures.iter().zip(resized).enumerate().map(one).collect()
    }
}

/// A tap that also keeps the last layer's attention, if somebody needs it.
struct Asking<'a, T> {
    inner: &'a mut dyn Tap<T>,
    wanted: bool,
    /// `[b, h, 1+n, 1+n]`
    attention: Option<T>,
}

impl<T: Tensor> Tap<T> for Asking<'_, T> {
    fn wants(&self, name: &str) -> bool {
        (self.wanted && name == "image/attention") || self.inner.wants(name)
    }
    fn see(&mut self, name: &str, value: &T) -> simseg_tensor::Result<()> {
        if self.wanted && name == "image/attention" {
            self.attention = Some(value.clone());
        }
        self.inner.see(name, value)
    }
    fn see_host(&mut self, name: &str, shape: &[usize], values: &[f32]) -> simseg_tensor::Result<()> {
        self.inner.see_host(name, shape, values)
    }
    fn see_mask(&mut self, name: &str, shape: &[usize], values: &[u8]) -> simseg_tensor::Result<()> {
        self.inner.see_mask(name, shape, values)
    }
    fn see_labels(&mut self, name: &str, shape: &[usize], values: &[u16]) -> simseg_tensor::Result<()> {
        self.inner.see_labels(name, shape, values)
    }
}
