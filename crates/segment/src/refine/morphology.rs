//! Growing and shrinking masks.
//!
//! ```text
//! dilate(m)[y, x] = max m[y + j, x + i],   erode(m)[y, x] = min m[y + j, x + i],   |i|, |j| ≤ r
//! ```
//!
//! over pixels inside of the image only: those outside never win, which is OpenCV's default border. A square of side
//! `2r + 1` used `t` times is one square of radius `t·r` (true up to the border, because images are convex), and a square
//! is a row followed by a column. Each line is one pass with a running maximum that costs three comparisons per pixel
//! for any radius (van Herk 1992; Gil & Werman 1993).
//!
//! The released code calls `cv2.dilate(m, ones(7, 7), 5)` and `cv2.erode(m, ones(7, 7), 3)`, whose third positional
//! argument is the destination, not the iterations: what runs is [`Closing::AS_EXECUTED`], one 7×7 closing. What was
//! apparently meant is [`Closing::AS_INTENDED`].

use super::{RefineError, area, length};
use serde::{Deserialize, Serialize};
use simseg_tensor::parallel::prelude::*;

/// A dilation followed by an erosion with the same square.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Closing {
    /// Side of the square, odd.
    pub side: usize,
    /// How often to dilate.
    pub dilations: usize,
    /// How often to erode.
    pub erosions: usize,
}

impl Closing {
    /// What the released code computes.
    pub const AS_EXECUTED: Self = Self { side: 7, dilations: 1, erosions: 1 };
    /// What the released code seems to have meant.
    pub const AS_INTENDED: Self = Self { side: 7, dilations: 5, erosions: 3 };

    /// Closes a mask `[h, w]`.
    ///
    /// # Errors
    /// As [`dilate`].
    pub fn apply(&self, mask: &[u8], height: usize, width: usize) -> Result<Vec<u8>, RefineError> {
        let grown = dilate(mask, height, width, self.side, self.dilations)?;
        erode(&grown, height, width, self.side, self.erosions)
    }
}

/// What happens to the masks of a CRF.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Closings {
    /// Nothing.
    Off,
    /// What the released code computes: one 7×7 closing.
    AsExecuted,
    /// What it seems to have meant: 5 dilations and 3 erosions.
    AsIntended,
    /// Your own.
    Own(Closing),
}

impl Closings {
    /// The operation itself.
    pub fn closing(self) -> Option<Closing> {
        match self {
            Self::Off => None,
            Self::AsExecuted => Some(Closing::AS_EXECUTED),
            Self::AsIntended => Some(Closing::AS_INTENDED),
            Self::Own(own) => Some(own),
        }
    }
}

/// The largest value in a square around each pixel of `mask: [h, w]`, `times` over.
///
/// ```
/// let grown = simseg_segment::refine::morphology::dilate(&[0, 0, 1, 0, 0, 0], 1, 6, 3, 1)?;
/// assert_eq!(grown, [0, 1, 1, 1, 0, 0]);
/// # Ok::<(), simseg_segment::refine::RefineError>(())
/// ```
///
/// # Errors
/// If a side of the image is zero, the mask does not fit, or `side` is not odd.
pub fn dilate(mask: &[u8], height: usize, width: usize, side: usize, times: usize) -> Result<Vec<u8>, RefineError> {
    square(mask, height, width, side, times, u8::max)
}

/// The smallest value in a square around each pixel; otherwise as [`dilate`].
///
/// # Errors
/// As [`dilate`].
pub fn erode(mask: &[u8], height: usize, width: usize, side: usize, times: usize) -> Result<Vec<u8>, RefineError> {
    square(mask, height, width, side, times, u8::min)
}

fn square(
    mask: &[u8],
    height: usize,
    width: usize,
    side: usize,
    times: usize,
    winner: impl Fn(u8, u8) -> u8 + Sync,
) -> Result<Vec<u8>, RefineError> {
    let count = area("morphology", height, width)?;
    length("morphology: mask", mask.len(), count)?;
    if side.is_multiple_of(2) {
        return Err(RefineError::Setting { key: "side", got: side as f64, expected: "an odd number" });
    }
    let radius = (side / 2).saturating_mul(times);
    let mut rows = mask.to_vec();
    rows.par_chunks_mut(width).for_each(|line| running(line, radius, &winner));
    let mut columns = transpose(&rows, height, width); // [w, h]
    columns.par_chunks_mut(height).for_each(|line| running(line, radius, &winner));
    Ok(transpose(&columns, width, height))
}

fn transpose(x: &[u8], height: usize, width: usize) -> Vec<u8> {
    (0..width).flat_map(|column| (0..height).map(move |row| x[row * width + column])).collect()
}

/// Replaces each value by the winner of `[i − r, i + r]`, cut at the ends.
///
/// In blocks of `2r + 1`, a window is the end of one block and the beginning of the next: the winner of the first part
/// is a running winner from the right, that of the second one from the left.
fn running(line: &mut [u8], radius: usize, winner: impl Fn(u8, u8) -> u8) {
    let n = line.len();
    let radius = radius.min(n); // larger windows see the whole line, too
    let block = 2 * radius + 1;
    let (mut from_left, mut from_right) = (line.to_vec(), line.to_vec());
    for i in 1..n {
        if i % block != 0 {
            from_left[i] = winner(from_left[i - 1], from_left[i]);
        }
    }
    for i in (1..n).rev() {
        if i % block != 0 {
            from_right[i - 1] = winner(from_right[i - 1], from_right[i]);
        }
    }
    for (i, out) in line.iter_mut().enumerate() {
        let (first, last) = (i.saturating_sub(radius), (i + radius).min(n - 1));
        // A window cut at the left or right end may lie in one block, of which `from_right` (or `from_left`) says too much.
        *out = match (first / block == last / block, first % block == 0) {
            (true, true) => from_left[last],
            (true, false) => from_right[first],
            (false, _) => winner(from_right[first], from_left[last]),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn by_definition(mask: &[u8], height: usize, width: usize, radius: usize, winner: fn(u8, u8) -> u8) -> Vec<u8> {
        let window = |i: usize, n: usize| i.saturating_sub(radius)..(i + radius + 1).min(n);
        let at = |y: usize, x: usize| {
            window(y, height).flat_map(|j| window(x, width).map(move |i| mask[j * width + i])).reduce(winner).unwrap()
        };
        (0..height * width).map(|i| at(i / width, i % width)).collect()
    }

    proptest! {
        #[test]
        fn running_windows_are_windows((h, w, mask) in (1usize..20, 1usize..40).prop_flat_map(|(h, w)| {
            (Just(h), Just(w), proptest::collection::vec(any::<u8>(), h * w))
        }), radius in 0usize..9) {
            let side = 2 * radius + 1;
            prop_assert_eq!(dilate(&mask, h, w, side, 1).unwrap(), by_definition(&mask, h, w, radius, u8::max));
            prop_assert_eq!(erode(&mask, h, w, side, 1).unwrap(), by_definition(&mask, h, w, radius, u8::min));
        }

        #[test]
        fn closing_only_adds_and_twice_is_once((h, w, mask) in (1usize..20, 1usize..40).prop_flat_map(|(h, w)| {
            (Just(h), Just(w), proptest::collection::vec(0u8..2, h * w))
        })) {
            let closed = Closing::AS_EXECUTED.apply(&mask, h, w).unwrap();
            prop_assert!(mask.iter().zip(&closed).all(|(a, b)| a <= b));
            prop_assert_eq!(&Closing::AS_EXECUTED.apply(&closed, h, w).unwrap(), &closed);
            let twice = dilate(&dilate(&mask, h, w, 3, 1).unwrap(), h, w, 3, 1).unwrap();
            prop_assert_eq!(dilate(&mask, h, w, 3, 2).unwrap(), twice);
        }
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        assert!(dilate(&[], 0, 0, 3, 1).is_err());
        assert!(dilate(&[0; 5], 2, 3, 3, 1).is_err());
        assert!(erode(&[0; 6], 2, 3, 4, 1).is_err());
    }
}
