//! Caption noise, as SimSeg's released code executes it: in training every token is changed with probability `p`, and the words that are left
//! are put together and cut again.
//!
//! Of the changed tokens 50% become `[MASK]`, 10% another token of the vocabulary, and 40% are deleted (a comment there says "keep"). What
//! putting together does to pieces (`##…`) is part of it: a piece joins the token before it, whatever that is now; of a word in more than
//! three pieces the rest is lost, and so is a piece that follows `[MASK]` or stands first.
//! Source: `process_caption` in `simseg/datasets/clip/utils.py` of the released code; `fixtures/pytorch/caption_noise.py` asks it.

use super::Tokenizer;
use crate::{Error, Result};
use simseg_tensor::random::{self, ChaCha8Rng};

/// What becomes of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It stays.
    Keep,
    /// It becomes `[MASK]`.
    Mask,
    /// It becomes the token of this id.
    Replace(u32),
    /// It goes.
    Delete,
}

/// Of the tokens that are changed, the shares up to which they become `[MASK]` and another token; the rest are deleted.
const SHARES: [f64; 2] = [0.5, 0.6];

impl Change {
    /// Draws what becomes of one token; `words` is the size of the vocabulary.
    pub fn draw(rate: f64, words: usize, rng: &mut ChaCha8Rng) -> Self {
        let drawn = random::uniform(rng);
        if drawn >= rate {
            return Self::Keep;
        }
        let share = drawn / rate;
        match SHARES {
            [mask, _] if share < mask => Self::Mask,
            [_, replace] if share < replace => Self::Replace((random::uniform(rng) * words as f64) as u32),
            _ => Self::Delete,
        }
    }
}

/// The text that changed tokens make.
pub fn restored(tokens: &[String], changes: &[Change], word: impl Fn(u32) -> String) -> String {
    let changed = tokens.iter().zip(changes).filter_map(|(token, change)| match change {
        Change::Keep => Some(token.clone()),
        Change::Mask => Some(MASK.to_owned()),
        Change::Replace(id) => Some(word(*id)),
        Change::Delete => None,
    });
    let changed: Vec<String> = changed.collect();
    let piece = |i: usize| changed.get(i).and_then(|token| token.strip_prefix("##"));
    let whole = |(i, token): (usize, &String)| match token.as_str() {
        MASK => Some(token.clone()),
        _ if piece(i).is_some() => None,
        _ => {
            let first = piece(i + 1).unwrap_or_default();
            let second = piece(i + 1).and(piece(i + 2)).unwrap_or_default();
            Some(format!("{token}{first}{second}"))
        }
    };
    changed.iter().enumerate().filter_map(whole).collect::<Vec<_>>().join(" ")
}

const MASK: &str = "[MASK]";

impl Tokenizer {
    /// Whether captions can be changed by noise.
    ///
    /// # Errors
    /// If this is no WordPiece tokenizer with a `[MASK]`.
    pub fn check_noise(&self) -> Result<()> {
        let has = |token: &str| self.id(token).is_some();
        match has(MASK) && has("[CLS]") && has("[SEP]") {
            true => Ok(()),
            false => Err(Error::setting(
                "training.caption_noise",
                "0: the vocabulary is no WordPiece with [MASK], [CLS] and [SEP]",
            )),
        }
    }

    /// The ids of a caption, special tokens included and uncut, as noise of this rate leaves them; cut to `most` then.
    ///
    /// # Errors
    /// If the tokenizer fails on what comes of it.
    pub fn noised(&self, ids: &[u32], rate: f64, most: usize, rng: &mut ChaCha8Rng) -> Result<Vec<u32>> {
        let inner = ids.get(1..ids.len().saturating_sub(1)).unwrap_or_default(); // without [CLS] and [SEP]
        let word = |id: u32| self.token(id).unwrap_or_default();
        let tokens: Vec<String> = inner.iter().map(|id| word(*id)).collect();
        let changes: Vec<Change> = tokens.iter().map(|_| Change::draw(rate, self.vocabulary(), rng)).collect();
        self.encode(&restored(&tokens, &changes, word), most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(tokens: &str, changes: &[Change]) -> String {
        let tokens: Vec<String> = tokens.split(' ').map(str::to_owned).collect();
        restored(&tokens, changes, |id| ["##ly", "tree"][id as usize].to_owned())
    }

    #[test]
    fn pieces_join_what_stands_before_them_now() {
        use Change::{Delete, Keep, Mask, Replace};
        assert_eq!(text("a cat ##s sit", &[Keep; 4]), "a cats sit");
        assert_eq!(text("a cat ##s sit", &[Keep, Delete, Keep, Keep]), "as sit");
        assert_eq!(text("a cat ##s sit", &[Keep, Mask, Keep, Keep]), "a [MASK] sit", "a piece after [MASK] is lost");
        assert_eq!(text("a cat ##s sit", &[Keep, Keep, Mask, Delete]), "a cat [MASK]");
        assert_eq!(text("cat ##s sit", &[Delete, Keep, Keep]), "sit", "a piece that stands first is lost");
        assert_eq!(text("a b ##c ##d ##e", &[Keep; 5]), "a bcd", "and so is a fourth piece");
        assert_eq!(text("a cat sit", &[Keep, Replace(0), Replace(1)]), "aly tree");
        assert_eq!(text("a cat", &[Delete, Delete]), "");
    }

    #[test]
    fn a_fifth_of_the_tokens_change_in_the_shares_of_the_release() {
        let mut rng = random::stream(0, "noise", 0);
        let mut seen = [0usize; 4];
        for _ in 0..100_000 {
            seen[match Change::draw(0.2, 10, &mut rng) {
                Change::Keep => 0,
                Change::Mask => 1,
                Change::Replace(id) => {
                    assert!(id < 10);
                    2
                }
                Change::Delete => 3,
            }] += 1;
        }
        for (found, expected) in seen.into_iter().zip([0.8, 0.1, 0.02, 0.08]) {
            let apart = (found as f64 / 1e5 - expected).abs();
            assert!(apart < 4.0 * (expected * (1.0 - expected) / 1e5f64).sqrt(), "{seen:?}");
        }
    }

    #[test]
    fn a_caption_without_noise_is_itself_and_an_emptied_one_still_ends() {
        let tokenizer = Tokenizer::from_words(["a", "cat", "##s", "sit", "on", "mats"]).unwrap();
        let ids = tokenizer.encode("A cats sit on mats", 0).unwrap();
        let mut rng = random::stream(1, "noise", 0);
        assert_eq!(tokenizer.noised(&ids, 0.0, 0, &mut rng).unwrap(), ids);
        assert_eq!(tokenizer.noised(&ids, 0.0, 4, &mut rng).unwrap(), [ids[0], ids[1], ids[2], ids[ids.len() - 1]]);
        let changed = (0..20).filter(|_| tokenizer.noised(&ids, 0.5, 0, &mut rng).unwrap() != ids).count();
        assert!(changed > 15);
        assert_eq!(tokenizer.noised(&ids[..1], 0.5, 0, &mut rng).unwrap(), [2, 3]);
        assert!(tokenizer.check_noise().is_ok());
    }
}
