//! What a run trains on: pictures at the network's size with tokenised captions.

use super::frozen::Frozen;
use super::read::{Host, Pairs32, Read};
use super::vocabulary;
use crate::failure::{Failure, Outcome};
use rayon::prelude::*;
use simseg_data::transform::{self, Augmentations, Draw, Filter, Passes};
use simseg_data::{Pairs, Picture, Tokenizer};
use simseg_model::{Architecture, TokenBatch};
use simseg_tensor::{Normalisation, random};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::ops::Range;

/// Image-caption pairs, ready for the network.
pub struct Corpus {
    pairs: Box<dyn Pairs>,
    /// Every picture, if they are small enough to keep: squashed to `side`, or as it is if it will be augmented.
    kept: Option<Vec<Picture>>,
    captions: Vec<Vec<u32>>,
    /// Pairs of which it is known already that they cannot be read, and why.
    unreadable: BTreeMap<usize, String>,
    changes: Changes,
    side: usize,
    positions: usize,
    normalisation: Normalisation,
    /// Captions that were longer than the network's positions and lost their end.
    pub cut: usize,
    /// The words of the captions.
    pub tokenizer: Tokenizer,
}

/// What is random about a pair, and another at each epoch.
pub struct Changes {
    /// Of its image.
    pub images: Augmentations,
    /// The share of its caption's tokens that noise changes.
    pub caption_noise: f64,
}

impl From<Augmentations> for Changes {
    fn from(images: Augmentations) -> Self {
        Self { images, caption_noise: 0.0 }
    }
}

/// Pictures of a corpus that are kept in memory, in bytes: beyond that, each is read again when its turn comes.
const KEEP: usize = 1 << 30;
/// Pictures read between two reports of progress.
const CHUNK: usize = 256;

impl Corpus {
    /// Reads all captions, and the pictures if they can be kept; `progress` is told how many are there. A pair that cannot be read
    /// is noted: whether training may do without it is asked when its turn comes.
    ///
    /// # Errors
    /// If there are fewer pairs than a batch.
    pub fn open(
        pairs: Box<dyn Pairs>,
        changes: Changes,
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
        // How large pictures are that will be augmented shows when they are read.
        let mut keep = !changes.images.is_empty() || count.saturating_mul(3 * side * side) <= KEEP;
        let (mut texts, mut kept, mut bytes) = (Vec::with_capacity(count), Vec::new(), 0);
        let mut unreadable = BTreeMap::new();
        for start in (0..count).step_by(CHUNK) {
            let chunk = start..(start + CHUNK).min(count);
            let end = chunk.end;
            if keep {
                for (index, read) in chunk.clone().zip(read_all(chunk, |index| pairs.pair(index))) {
                    // The words of a caption count, whether its picture is read now or later.
                    let (text, picture) = match read {
                        Ok(pair) if changes.images.is_empty() => (pair.caption, squashed(pair.picture, side)),
                        Ok(pair) => (pair.caption, pair.picture),
                        Err(problem) => {
                            unreadable.insert(index, problem);
                            (pairs.caption(index).unwrap_or_default(), Picture::default())
                        }
                    };
                    bytes += picture.rgb.len();
                    texts.push(text);
                    kept.push(picture);
                }
                // Judged by those that were read so far: what is dropped later was held for nothing.
                if bytes as f64 / end as f64 * count as f64 > KEEP as f64 {
                    (keep, kept) = (false, vec![]);
                }
            } else {
                for (index, read) in chunk.clone().zip(read_all(chunk, |index| pairs.caption(index))) {
                    texts.push(read.unwrap_or_else(|problem| {
                        unreadable.insert(index, problem);
                        String::new()
                    }));
                }
            }
            progress(end as u64);
        }
        let tokenizer = match (tokenizer, pairs.words()) {
            (Some(tokenizer), _) => tokenizer,
            (None, Some(words)) => vocabulary::of_words(words)?,
            (None, None) => vocabulary::of_captions(texts.iter().map(String::as_str))?,
        };
        let (positions, noisy) = (network.positions(), changes.caption_noise > 0.0);
        if noisy {
            tokenizer.check_noise()?;
        }
        // What noise shortens may fit then: it is cut later.
        let most = if noisy { usize::MAX } else { positions };
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
        let kept = keep.then_some(kept);
        Ok(Self { pairs, kept, captions, unreadable, changes, side, positions, normalisation, cut, tokenizer })
    }

    /// Number of pairs.
    pub fn len(&self) -> usize {
        self.captions.len()
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.captions.is_empty()
    }

    /// Reads some pairs, augmented as it is drawn for this epoch, or the features that frozen towers have of them; in parallel on the threads
    /// that it is called on.
    ///
    /// In the place of a pair that cannot be read stands the next one by index that can be and is not in the batch; all other places
    /// are as they would have been. With more than `most` that cannot be read it stops looking. Of the batch `picks` only the pairs at
    /// the places `own` are read.
    pub fn read(&self, (picks, own): (&[usize], Range<usize>), draw: Draw, most: usize, frozen: &Frozen) -> Read {
        let mut problems = vec![];
        let batch = self.read_with((picks, own), draw, (most, &mut problems), frozen);
        Read { problems, batch }
    }

    fn read_with(
        &self,
        (batch, own): (&[usize], Range<usize>),
        draw: Draw,
        (most, problems): (usize, &mut Vec<(usize, String)>),
        frozen: &Frozen,
    ) -> Outcome<Pairs32> {
        let shape =
            frozen.image.as_ref().map_or([3, self.side * self.side], |features| [features.most(), features.width()]);
        let (one, picks) = (shape[0] * shape[1], &batch[own]);
        let fill = |index: usize, out: &mut [f32]| match &frozen.image {
            None => self.pixels(index, draw, out),
            Some(features) => features.read(index, out).map(drop),
        };
        let (mut values, mut seen) = (vec![0.0f32; picks.len() * one], picks.to_vec());
        let read = values.par_chunks_mut(one).zip(picks).map(|(out, &index)| fill(index, out));
        let read: Vec<Result<(), String>> = read.collect();
        let mut taken: HashSet<usize> = batch.iter().copied().collect();
        // One after the other: which pair stands in must not depend on threads.
        for ((place, problem), out) in read.into_iter().enumerate().zip(values.chunks_mut(one)) {
            let Err(problem) = problem else { continue };
            note(problems, (picks[place], problem), most)?;
            let after = (1..self.len()).map(|step| (picks[place] + step) % self.len());
            let mut free = after.filter(|index| !taken.contains(index));
            seen[place] = loop {
                let Some(index) = free.next() else {
                    let first = problems.first().map_or("", |(_, problem)| problem);
                    let text = format!("fewer than {} pairs can be read; the first that cannot: {first}", picks.len());
                    return Err(Failure::input("training.batch", text));
                };
                match fill(index, out) {
                    Ok(()) => break index,
                    Err(problem) => note(problems, (index, problem), most)?,
                }
            };
            taken.insert(seen[place]);
        }
        let image = match frozen.image {
            None => Host::Raw((values, self.side)),
            Some(_) => Host::Features { values, shape, lengths: None },
        };
        let text = match &frozen.text {
            None => {
                // As wide as the whole batch: what dropout draws for a caption depends on it.
                let all = batch.par_iter().map(|&index| Ok(self.said(index, draw)?.len()));
                let width = all.collect::<Outcome<Vec<usize>>>()?.into_iter().max().unwrap_or(0);
                let captions = seen.par_iter().map(|&index| self.said(index, draw)).collect::<Outcome<Vec<_>>>()?;
                Host::Raw(TokenBatch::new(&captions, self.tokenizer.pad(), width)?)
            }
            Some(features) => {
                features.batch(&seen).map_err(|problem| Failure::input("training.frozen_features", problem))?
            }
        };
        Ok((image, text))
    }

    /// The tokens of a caption as it is said in this epoch.
    fn said(&self, index: usize, draw: Draw) -> Outcome<Cow<'_, [u32]>> {
        let (caption, rate) = (self.caption(index), self.changes.caption_noise);
        if rate == 0.0 {
            return Ok(Cow::Borrowed(caption));
        }
        let mut rng = random::stream(draw.seed, &format!("caption noise epoch {}", draw.epoch), index as u64);
        Ok(Cow::Owned(self.tokenizer.noised(caption, rate, self.positions, &mut rng)?))
    }

    /// The tokens of a caption; all of them, where noise may change some.
    pub fn caption(&self, index: usize) -> &[u32] {
        &self.captions[index]
    }

    /// Side of the square pixels.
    pub fn side(&self) -> usize {
        self.side
    }

    /// The normalised pixels of a pair, or why it cannot be read.
    ///
    /// # Errors
    /// The problem, for the list of corrupt samples.
    pub fn pixels(&self, index: usize, draw: Draw, out: &mut [f32]) -> Result<(), String> {
        if let Some(problem) = self.unreadable.get(&index) {
            return Err(problem.clone());
        }
        let own;
        let picture = match &self.kept {
            Some(kept) => &kept[index],
            None => {
                own = self.pairs.pair(index).map_err(|error| error.to_string())?.picture;
                &own
            }
        };
        let is_ready = self.changes.images.is_empty() && (picture.width, picture.height) == (self.side, self.side);
        let seen = (!is_ready).then(|| self.changes.images.apply(picture, index, self.side, draw));
        transform::normalise_into(&seen.as_ref().unwrap_or(picture).rgb, &self.normalisation, out);
        Ok(())
    }
}

/// Notes a pair that cannot be read.
fn note(problems: &mut Vec<(usize, String)>, (index, problem): (usize, String), most: usize) -> Outcome {
    problems.push((index, problem));
    if problems.len() <= most {
        return Ok(());
    }
    let last = problems.last().map_or("", |(_, problem)| problem);
    let text =
        format!("{} samples of one batch cannot be read, {most} may be skipped; the last is {last}", problems.len());
    Err(Failure::input("training.max_corrupt_samples", text))
}

/// What was read of some pairs, or why it could not be.
fn read_all<V: Send>(
    pairs: Range<usize>,
    read: impl Fn(usize) -> simseg_data::Result<V> + Sync,
) -> Vec<Result<V, String>> {
    pairs.into_par_iter().map(|index| read(index).map_err(|error| error.to_string())).collect()
}

/// A picture squashed to a square; itself if it is one of that size.
fn squashed(picture: Picture, side: usize) -> Picture {
    if (picture.width, picture.height) == (side, side) {
        return picture;
    }
    transform::resize_with(&picture, side, side, Filter::Bilinear, Passes::RowsFirst)
}
