//! What a segmenter looks at: the features of an image, and those of the classes.

use crate::classes::ClassBank;
use crate::map::{Size, patch_scores};
use crate::memo::Memo;
use simseg_model::{Aligner, Tokens};
use simseg_tensor::{Error, Ops, Result, Tensor};

/// What the image encoder says about one image.
#[derive(Debug, Clone)]
pub struct ImageFeatures<T> {
    /// Projected patch features, not normalised, `[n, d]`, row by row of the grid. With several [`Self::windows`] each is the mean
    /// of the unit features that a patch has in the windows that hold it, at most 1 long; [`Self::patch_scores`] knows.
    pub patches: T,
    /// The grid of patches; `n` of them.
    pub grid: Size,
    /// Pooled, normalised embedding `[1, d]`; with several windows the mean of theirs, normalised.
    pub embedding: T,
    /// Size of the network's input in pixels.
    pub input: Size,
    /// The input as bytes, `[h, w, 3]`, for refinements that look at the image.
    pub rgb: Vec<u8>,
    /// Size of the label map wanted.
    pub output: Size,
    /// All projected tokens, `[1, 1+n, d]`, the \[CLS\] token first; if [`crate::Needs::tokens`]. With several windows
    /// each is the mean over the windows that hold it.
    pub tokens: Option<Tokens<T>>,
    /// Attention of the last layer, `[h, 1+n, 1+n]`, queries by keys; if [`crate::Needs::attention`], for which a
    /// picture goes through the encoder in one piece.
    pub attention: Option<T>,
    /// The windows that went through the encoder, if the image was cut into some: one if it is no larger than a window, and then
    /// all else is as without windows. Else empty.
    pub windows: Vec<Window<T>>,
}

impl<T: Tensor> ImageFeatures<T> {
    /// Cosines of every patch with some classes, `[c, n]`, for `classes [c, d]` of unit rows; with several windows the means of the
    /// cosines in each: `a_p·û = 1/|W_p| Σ_w f̂_wp·û`, so that [`Self::patches`] are not normalised again.
    ///
    /// # Errors
    /// If the widths differ.
    pub fn patch_scores(&self, classes: &T) -> Result<T> {
        if self.windows.len() > 1 { classes.matmul(&self.patches.t()?) } else { patch_scores(&self.patches, classes) }
    }
}

/// A part of an image that went through the encoder by itself.
#[derive(Debug, Clone)]
pub struct Window<T> {
    /// Its first row in the input, in pixels.
    pub top: usize,
    /// Its first column.
    pub left: usize,
    /// Its size.
    pub size: Size,
    /// Its pooled, normalised embedding `[1, d]`.
    pub embedding: T,
}

/// An image with the classes that are looked for, and how their tokens are compared.
pub struct View<'a, T: Tensor> {
    /// The image.
    pub image: &'a ImageFeatures<T>,
    /// The classes.
    pub bank: &'a ClassBank<T>,
    /// How the model pools and compares.
    pub aligner: &'a dyn Aligner<T>,
    /// Where segmenters that share settings share results; nowhere if there is one segmenter.
    pub memo: Option<&'a Memo>,
}

/// Not derived: copying references never needs `T: Copy`.
impl<T: Tensor> Clone for View<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T: Tensor> Copy for View<'_, T> {}

impl<T: Tensor> View<'_, T> {
    /// Whether shapes fit each other.
    ///
    /// # Errors
    /// The shapes that do not.
    pub fn check(&self) -> Result<()> {
        let (patches, embedding) = (self.image.patches.shape(), self.image.embedding.shape());
        let fits = matches!(*patches, [n, d] if n == self.image.grid.area() && *embedding == [1, d]);
        if fits {
            return Ok(());
        }
        let rule = "one patch per grid cell, embedding [1, d]";
        Err(Error::Shape { op: "segment", lhs: patches.to_vec(), rhs: embedding.to_vec(), rule })
    }
}
