//! Pictures on their way through the encoder, several at a time.

use crate::ahead::ahead;
use crate::failure::Outcome;
use rayon::prelude::*;
use simseg::{Model, Picture};
use simseg_segment::ImageFeatures;
use simseg_tensor::{NoTap, Tensor};
use std::ops::Range;

/// Small pictures that go through the network together, and the largest side that counts as small.
const TOGETHER: usize = 50;
const SMALL: usize = 96;

/// Pictures that went through the network together, with what is known about them.
struct Batch<T: Tensor, I> {
    pictures: Vec<(Picture, I)>,
    features: Vec<ImageFeatures<T>>,
}

/// Encodes the pictures of a range, a batch ahead of whoever looks at them. `read` gives a picture and what is known about it, in any
/// order; `each` gets them in theirs, with their features.
///
/// # Errors
/// If a picture cannot be read or does not fit, or `each` fails; pictures before it have been passed on.
pub fn encoded<T: Tensor, I: Send>(
    model: &Model<T>,
    range: Range<usize>,
    read: &(dyn Fn(usize) -> Outcome<(Picture, I)> + Sync),
    mut each: impl FnMut(usize, Picture, I, &ImageFeatures<T>) -> Outcome,
) -> Outcome {
    let (mut index, mut next, mut failed) = (range.start, range.start, false);
    let batches = std::iter::from_fn(move || {
        if failed || next >= range.end {
            return None;
        }
        let batch = batch(model, next..range.end, read);
        next += batch.as_ref().map_or(0, |batch| batch.pictures.len());
        failed = batch.is_err();
        Some(batch)
    });
    ahead(batches, |batch| {
        let Batch { pictures, features } = batch?;
        for ((picture, known), features) in pictures.into_iter().zip(&features) {
            each(index, picture, known, features)?;
            index += 1;
        }
        Ok(())
    })
}

/// The first picture of a range, with those behind it that go through the network in one batch with it.
fn batch<T: Tensor, I: Send>(
    model: &Model<T>,
    range: Range<usize>,
    read: &(dyn Fn(usize) -> Outcome<(Picture, I)> + Sync),
) -> Outcome<Batch<T, I>> {
    let first = read(range.start)?;
    let size = model.input_size(&first.0);
    let together = if size.height.max(size.width) <= SMALL { TOGETHER } else { 1 };
    let rest = (range.start + 1)..(range.start + together).min(range.end);
    let rest: Vec<_> = rest.into_par_iter().map(read).collect();
    // One batch has one input size; what comes after another size, or cannot be read, waits for the next batch: whatever
    // lies before a damaged image is counted.
    let alike = |(picture, _): &(Picture, I)| model.input_size(picture) == size;
    let (pictures, known): (Vec<Picture>, Vec<I>) =
        std::iter::once(first).chain(rest.into_iter().map_while(Result::ok).take_while(alike)).unzip();
    let features = model.features(&pictures, &mut NoTap)?;
    Ok(Batch { pictures: pictures.into_iter().zip(known).collect(), features })
}
