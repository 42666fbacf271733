//! What goes into a text encoder, and what comes out of any encoder.

use simseg_tensor::{Error, PADDING, Result, Tensor};

/// Features of a batch of token sequences.
#[derive(Debug, Clone)]
pub struct Tokens<T> {
    /// `[b, n, d]`
    pub values: T,
    /// How many of the `n` tokens of each item are real, if not all are.
    pub lengths: Option<Vec<usize>>,
}

/// Token ids of a batch of sentences, padded to the longest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenBatch {
    /// `[b, n]`, row-major.
    pub ids: Vec<usize>,
    /// Real tokens per sentence.
    pub lengths: Vec<usize>,
    /// `n`
    pub width: usize,
    /// The id that fills a sentence up.
    pub pad: usize,
}

impl TokenBatch {
    /// Pads sentences to the longest (or to `at_least`, as the released code pads to 25).
    ///
    /// # Errors
    /// If there is no sentence or one is empty.
    pub fn new<S: AsRef<[u32]>>(sentences: &[S], pad: u32, at_least: usize) -> Result<Self> {
        let lengths: Vec<usize> = sentences.iter().map(|sentence| sentence.as_ref().len()).collect();
        if lengths.is_empty() || lengths.contains(&0) {
            return Err(Error::setting("captions", "at least one sentence, each with at least one token"));
        }
        let width = lengths.iter().copied().fold(at_least, usize::max);
        let mut ids = Vec::with_capacity(width * lengths.len());
        for sentence in sentences {
            let end = ids.len() + width;
            ids.extend(sentence.as_ref().iter().map(|&id| id as usize));
            ids.resize(end, pad as usize);
        }
        Ok(Self { ids, lengths, width, pad: pad as usize })
    }

    /// `len` sentences from `start` on, padded as they are here.
    ///
    /// # Errors
    /// If there are not as many, or `len` is 0.
    pub fn slice(&self, start: usize, len: usize) -> Result<Self> {
        match start.checked_add(len).filter(|&end| len > 0 && end <= self.len()) {
            Some(end) => Ok(Self {
                ids: self.ids[start * self.width..end * self.width].to_vec(),
                lengths: self.lengths[start..end].to_vec(),
                width: self.width,
                pad: self.pad,
            }),
            None => {
                let expected = format!("at least one sentence, within the {}, found {len} from {start} on", self.len());
                Err(Error::setting("captions", expected))
            }
        }
    }

    /// Sentences in the batch.
    pub fn len(&self) -> usize {
        self.lengths.len()
    }

    /// Never: a batch has at least one sentence.
    pub fn is_empty(&self) -> bool {
        self.lengths.is_empty()
    }

    /// What attention adds to the score of every key, `[b, n]`: 0 for tokens, [`PADDING`] for padding; `None` if nothing
    /// is padded.
    pub fn key_bias<T: Tensor>(&self, device: &T::Device) -> Result<Option<T>> {
        if self.lengths.iter().all(|&length| length == self.width) {
            return Ok(None);
        }
        let row = |&length: &usize| (0..self.width).map(move |j| if j < length { 0.0 } else { PADDING as f32 });
        let values: Vec<f32> = self.lengths.iter().flat_map(row).collect();
        Ok(Some(T::from_host(&values, &[self.len(), self.width], device)?))
    }
}
