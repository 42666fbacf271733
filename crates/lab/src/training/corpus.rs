//! What a run trains on: pictures at the network's size with tokenised captions, and which of them each step sees.

use super::vocabulary;
use crate::failure::{Failure, Outcome};
use rayon::prelude::*;
use simseg_data::transform::{self, Filter, Passes};
use simseg_data::{Pairs, Picture, Tokenizer};
use simseg_model::{Architecture, TokenBatch};
use simseg_tensor::{Normalisation, Tensor, random};

/// Image-caption pairs, ready for the network.
pub struct Corpus {
    pairs: Box<dyn Pairs>,
    /// Bytes `[side, side, 3]` of every picture, if they are few enough to keep.
    kept: Option<Vec<Vec<u8>>>,
    captions: Vec<Vec<u32>>,
    side: usize,
    normalisation: Normalisation,
    /// Captions that were longer than the network's positions and lost their end.
    pub cut: usize,
    /// The words of the captions.
    pub tokenizer: Tokenizer,
}

/// Pictures of a corpus that are kept in memory, in bytes: beyond that, each is read again when its turn comes.
const KEEP: usize = 1 << 30;
/// Pictures read between two reports of progress.
const CHUNK: usize = 256;

impl Corpus {
    /// Reads all captions, and the pictures if they can be kept; `progress` is told how many are there.
    ///
    /// # Errors
    /// If a pair cannot be read, or there are fewer than a batch of them.
    pub fn open(
        pairs: Box<dyn Pairs>,
        tokenizer: Option<Tokenizer>,
        network: &dyn Architecture,
        batch: usize,
        progress: impl Fn(u64),
    ) -> Outcome<Self> {
        let (count, side, normalisation) = (pairs.len(), network.image_size(), network.normalisation());
        if count < batch {
            return Err(Failure::input(
                "training.batch",
                format!("at most the {count} pairs there are, found {batch}"),
            ));
        }
        let keep = count.saturating_mul(3 * side * side) <= KEEP;
        let (mut texts, mut kept) = (Vec::with_capacity(count), Vec::new());
        for start in (0..count).step_by(CHUNK) {
            let chunk = start..(start + CHUNK).min(count);
            let end = chunk.end;
            if keep {
                let read = |index: usize| -> Outcome<(String, Vec<u8>)> {
                    let pair = pairs.pair(index)?;
                    Ok((pair.caption, squashed(pair.picture, side)))
                };
                for (text, rgb) in chunk.into_par_iter().map(read).collect::<Outcome<Vec<_>>>()? {
                    texts.push(text);
                    kept.push(rgb);
                }
            } else {
                let read = |index: usize| -> Outcome<String> { Ok(pairs.caption(index)?) };
                texts.extend(chunk.into_par_iter().map(read).collect::<Outcome<Vec<_>>>()?);
            }
            progress(end as u64);
        }
        let tokenizer = match (tokenizer, pairs.words()) {
            (Some(tokenizer), _) => tokenizer,
            (None, Some(words)) => vocabulary::of_words(words)?,
            (None, None) => vocabulary::of_captions(texts.iter().map(String::as_str))?,
        };
        let most = network.positions();
        let encode = |text: &String| -> Outcome<(Vec<u32>, bool)> {
            let whole = tokenizer.encode(text, 0).map_err(|error| Failure::input(text, error))?;
            if whole.len() <= most {
                return Ok((whole, false));
            }
            Ok((tokenizer.encode(text, most).map_err(|error| Failure::input(text, error))?, true))
        };
        let encoded = texts.par_iter().map(encode).collect::<Outcome<Vec<_>>>()?;
        let cut = encoded.iter().filter(|(_, cut)| *cut).count();
        let captions = encoded.into_iter().map(|(ids, _)| ids).collect();
        Ok(Self { pairs, kept: keep.then_some(kept), captions, side, normalisation, cut, tokenizer })
    }

    /// Number of pairs.
    pub fn len(&self) -> usize {
        self.captions.len()
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.captions.is_empty()
    }

    /// The pairs that step `step` sees: every epoch is a new permutation, a pure function of seed and epoch.
    pub fn order(&self, seed: u64, step: u64, batch: usize) -> Vec<usize> {
        let n = self.len();
        let per_epoch = (n / batch) as u64;
        let (epoch, within) = (step / per_epoch, (step % per_epoch) as usize);
        let mut rng = random::stream(seed, "order", epoch);
        let mut order: Vec<usize> = (0..n).collect();
        // Fisher–Yates from the front, as far as this batch reaches.
        for i in 0..(within + 1) * batch {
            let j = i + (random::uniform(&mut rng) * (n - i) as f64) as usize;
            order.swap(i, j);
        }
        order[within * batch..(within + 1) * batch].to_vec()
    }

    /// Pixels `[b, 3, h, w]` and captions of some pairs.
    ///
    /// # Errors
    /// If a picture cannot be read any more, or the backend fails.
    pub fn batch<T: Tensor>(&self, picks: &[usize], device: &T::Device) -> Outcome<(T, TokenBatch)> {
        let area = self.side * self.side;
        let mut values = vec![0.0f32; picks.len() * 3 * area];
        values.par_chunks_mut(3 * area).zip(picks).try_for_each(|(out, &index)| -> Outcome {
            match &self.kept {
                Some(kept) => transform::normalise_into(&kept[index], &self.normalisation, out),
                None => {
                    let rgb = squashed(self.pairs.pair(index)?.picture, self.side);
                    transform::normalise_into(&rgb, &self.normalisation, out);
                }
            }
            Ok(())
        })?;
        let pixels = T::from_host(&values, &[picks.len(), 3, self.side, self.side], device)?;
        let captions: Vec<&Vec<u32>> = picks.iter().map(|&i| &self.captions[i]).collect();
        Ok((pixels, TokenBatch::new(&captions, self.tokenizer.pad(), 0)?))
    }
}

/// The bytes of a picture squashed to a square; its own if it is one of that size.
fn squashed(picture: Picture, side: usize) -> Vec<u8> {
    if (picture.width, picture.height) == (side, side) {
        return picture.rgb;
    }
    transform::resize_with(&picture, side, side, Filter::Bilinear, Passes::RowsFirst).rgb
}
