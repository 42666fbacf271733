//! Images to features: the way that every picture takes, whoever asks.
//!
//! ```text
//! picture → resize (the recipe's input) → normalise → encoder → tokens [b, 1+n, e] → pooled embedding [b, e]
//! ```
//!
//! With `input.windows` the normalised picture goes through the encoder in [`crate::windows`], some at a time.

use crate::recipe::Fit;
use crate::windows::Layout;
use crate::{Error, Model, Result};
use simseg_data::transform::{self, Filter};
use simseg_data::{Image, Picture};
use simseg_model::{Side, Tokens};
use simseg_segment::map::Size;
use simseg_segment::{ImageFeatures, Window};
use simseg_tensor::{NoTap, Ops, Tap, Tensor};

/// Most patches that go through the network as one input: 2,048×2,048 pixels at patches of 16. Attention looks at their square.
const PATCHES: usize = 1 << 14;

/// Most patches of a picture that goes through it in windows: 4,096×4,096 pixels at patches of 16.
const GRID: usize = 1 << 16;

/// Windows go through the network together up to so many patches (20 windows of 224 pixels at patches of 16), or one at a time.
pub(crate) const TOGETHER: usize = 1 << 12;

/// What the encoder says about one picture, in one piece or in windows.
struct Encoded<T> {
    patches: T,
    embedding: T,
    tokens: Option<Tokens<T>>,
    attention: Option<T>,
    windows: Vec<Window<T>>,
}

impl<T: Tensor> Model<T> {
    /// The size that a picture is resized to.
    pub fn input_size<S>(&self, picture: &Image<S>) -> Size {
        self.input_of(Size { height: picture.height, width: picture.width })
    }

    /// The size that a picture of this size is resized to.
    pub(crate) fn input_of(&self, picture: Size) -> Size {
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
    /// `image/embedding`; no layer where there are several windows: a layer then knows no whole picture.
    ///
    /// # Errors
    /// If the input is not a whole number of patches, an input or a window has more than 16,384, a picture in windows more than
    /// 65,536, or pictures need different input sizes.
    pub fn features<S: AsRef<[u8]>>(
        &self,
        pictures: &[Image<S>],
        tap: &mut dyn Tap<T>,
    ) -> Result<Vec<ImageFeatures<T>>> {
        let Some(first) = pictures.first() else { return Ok(vec![]) };
        let (input, patch) = (self.input_size(first), self.network_config().patch());
        if input.height % patch != 0 || input.width % patch != 0 {
            let expected = format!("a multiple of the patch ({patch}), found {}", self.recipe().input.size);
            return Err(Error::input("input.size", expected));
        }
        self.check_size(input, patch)?;
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
        let layout = Layout::new(input, self.recipe().input.windows, patch);
        let encoded = match layout.corners.len() {
            1 => self.at_once(&pixels, input, tap)?,
            _ => self.in_windows(&pixels, &layout, tap)?,
        };
        let truncated = self.segmenter().needs(self.aligner()).truncated;
        let one = |((encoded, picture), resized): ((Encoded<T>, &Image<S>), Picture)| ImageFeatures {
            patches: encoded.patches,
            grid: layout.grid(),
            embedding: encoded.embedding,
            input,
            rgb: match truncated {
                true => transform::round_trip(&resized.rgb, &normalisation),
                false => resized.rgb,
            },
            output: Size { height: picture.height, width: picture.width },
            tokens: encoded.tokens,
            attention: encoded.attention,
            windows: encoded.windows,
        };
        Ok(encoded.into_iter().zip(pictures).zip(resized).map(one).collect())
    }

    /// Whether an input is small enough, before any memory is asked for.
    fn check_size(&self, input: Size, patch: usize) -> Result<()> {
        let patches = |size: Size| (size.height / patch).saturating_mul(size.width / patch);
        let too_many = |size: Size, most: usize, hint: &str| {
            let (Size { height, width }, patches) = (size, patches(size));
            let expected = format!("{width}×{height} pixels are {patches} patches; expected at most {most}: {hint}");
            Err(Error::input("input", expected))
        };
        let Some(windows) = self.recipe().input.windows else {
            let hint = "a smaller input.size, or input.fit = \"squash\" for strips";
            return if patches(input) > PATCHES { too_many(input, PATCHES, hint) } else { Ok(()) };
        };
        let side = windows.crop_size;
        let window = Size { height: input.height.min(side), width: input.width.min(side) };
        if patches(window) > PATCHES {
            return too_many(window, PATCHES, "a smaller input.windows.crop_size");
        }
        if patches(input) > GRID {
            return too_many(input, GRID, "a smaller input.size, or input.fit = \"squash\" for strips");
        }
        Ok(())
    }

    /// Pictures in one piece: pixels `[b, 3, h, w]`.
    fn at_once(&self, pixels: &T, input: Size, tap: &mut dyn Tap<T>) -> Result<Vec<Encoded<T>>> {
        let needs = self.segmenter().needs(self.aligner());
        let mut tap = Asking { inner: tap, wanted: needs.attention, attention: None };
        let tokens = self.network().encode_image_with(pixels, self.recipe().input.last_layer, &mut tap)?; // [b, 1+n, e]
        let embeddings = self.aligner().pool(Side::Image, &tokens)?; //        [b, e]
        let [b, n, e] = tokens.values.dims()?;
        let patches = tokens.values.slice(1, 1, n - 1)?; //                    [b, n, e]
        tap.see("image/patches", &patches)?;
        tap.see("image/embedding", &embeddings)?;
        let item = |x: &T, i: usize| x.slice(0, i, 1);
        let one = |i: usize| -> Result<Encoded<T>> {
            let embedding = item(&embeddings, i)?;
            let own = |_| Window { top: 0, left: 0, size: input, embedding: embedding.clone() };
            let windows = self.recipe().input.windows.iter().map(own).collect();
            let tokens = match needs.tokens {
                true => Some(Tokens { values: item(&tokens.values, i)?, lengths: None }),
                false => None,
            };
            Ok(Encoded {
                patches: item(&patches, i)?.reshape(&[n - 1, e])?,
                embedding,
                tokens,
                attention: tap.attention.as_ref().map(|all| item(all, i)?.squeeze(0)).transpose()?,
                windows,
            })
        };
        (0..b).map(one).collect()
    }

    /// Pictures in several windows: pixels `[b, 3, h, w]`. What is wanted of tokens is their mean over the windows that hold them,
    /// lengths and all, and the mean of the windows' \[CLS\] tokens.
    fn in_windows(&self, pixels: &T, layout: &Layout, tap: &mut dyn Tap<T>) -> Result<Vec<Encoded<T>>> {
        let wants_tokens = self.segmenter().needs(self.aligner()).tokens;
        let (Size { height, width }, m, n) = (layout.window, layout.window_grid().area(), layout.grid().area());
        let ([b, ..], each) = (pixels.dims::<4>()?, layout.corners.len());
        let e = self.network_config().projection();
        let zeros = |rows: usize| T::from_host(&vec![0.0f32; rows * e], &[rows, e], self.device());
        let (mut units, mut means) = (zeros(b * n)?, if wants_tokens { Some(zeros(b * (1 + n))?) } else { None });
        let mut embeddings = vec![];
        let all: Vec<(usize, usize)> = (0..b).flat_map(|i| (0..each).map(move |w| (i, w))).collect();
        for part in all.chunks((TOGETHER / m).max(1)) {
            let crop = |&(i, w): &(usize, usize)| {
                let (top, left) = layout.corners[w];
                pixels.slice(0, i, 1)?.slice(2, top, height)?.slice(3, left, width) // [1, 3, h, w] of a window
            };
            let crops = part.iter().map(crop).collect::<simseg_tensor::Result<Vec<T>>>()?;
            let crops = T::concat(&crops.iter().collect::<Vec<_>>(), 0)?;
            let tokens = self.network().encode_image_with(&crops, self.recipe().input.last_layer, &mut NoTap)?;
            embeddings.push(self.aligner().pool(Side::Image, &tokens)?); // [k, e]
            let patches = tokens.values.slice(1, 1, m)?; //                 [k, m, e]
            let places = part.iter().flat_map(|&(i, w)| layout.patches_of(w).map(move |p| i * n + p));
            let places = T::index_from_host(&places.collect::<Vec<_>>(), &[part.len(), m], self.device())?;
            units = units.rows_add(&places, &patches.l2_normalize()?)?;
            if let Some(sums) = &mut means {
                let row = |&(i, w): &(usize, usize)| {
                    let patches = layout.patches_of(w).map(move |p| i * (1 + n) + 1 + p);
                    std::iter::once(i * (1 + n)).chain(patches)
                };
                let places = part.iter().flat_map(row).collect::<Vec<_>>();
                let places = T::index_from_host(&places, &[part.len(), 1 + m], self.device())?;
                *sums = sums.rows_add(&places, &tokens.values)?;
            }
        }
        let counts: Vec<f32> = layout.counts().into_iter().map(|count| count as f32).collect();
        let over = |sums: &T, counts: &[f32]| {
            let k = counts.len();
            sums.reshape(&[b, k, e])?.div(&T::from_host(counts, &[1, k, 1], self.device())?)
        };
        let patches = over(&units, &counts)?; //                            [b, n, e]
        let with_cls: Vec<f32> = std::iter::once(each as f32).chain(counts).collect();
        let tokens = means.map(|sums| over(&sums, &with_cls)).transpose()?; // [b, 1+n, e]
        let embeddings = T::concat(&embeddings.iter().collect::<Vec<_>>(), 0)?; // [b·windows, e]
        let mean = |i: usize| embeddings.slice(0, i * each, each)?.mean(0)?.l2_normalize(); // [1, e]
        let pooled = (0..b).map(mean).collect::<simseg_tensor::Result<Vec<T>>>()?;
        tap.see("image/patches", &patches)?;
        tap.see("image/embedding", &T::concat(&pooled.iter().collect::<Vec<_>>(), 0)?)?;
        let one = |(i, embedding): (usize, T)| -> Result<Encoded<T>> {
            let window = |(w, &(top, left)): (usize, &(usize, usize))| -> Result<Window<T>> {
                Ok(Window { top, left, size: layout.window, embedding: embeddings.slice(0, i * each + w, 1)? })
            };
            let tokens = tokens.as_ref().map(|all| all.slice(0, i, 1)).transpose()?;
            Ok(Encoded {
                patches: patches.slice(0, i, 1)?.reshape(&[n, e])?,
                embedding,
                tokens: tokens.map(|values| Tokens { values, lengths: None }),
                attention: None,
                windows: layout.corners.iter().enumerate().map(window).collect::<Result<_>>()?,
            })
        };
        pooled.into_iter().enumerate().map(one).collect()
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
