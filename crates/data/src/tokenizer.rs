//! Words to token ids, through Hugging Face's `tokenizers`: WordPiece from a `vocab.txt`, or any `tokenizer.json`.

use crate::{Error, Result, atomic};
use std::path::Path;
use tokenizers::models::wordpiece::WordPiece;
use tokenizers::normalizers::BertNormalizer;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::processors::template::TemplateProcessing;

/// Largest vocabulary file that is read.
const LIMIT: u64 = 64 << 20;

/// A tokenizer with the ids that models need.
#[derive(Debug, Clone)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    pad: u32,
    /// The line of each word, for `vocab.txt`; empty if it came from a `tokenizer.json`.
    words: Vec<String>,
}

impl Tokenizer {
    /// An uncased WordPiece tokenizer over words that include `[PAD]`, `[UNK]`, `[CLS]` and `[SEP]`; ids are positions.
    ///
    /// # Errors
    /// If a special token is missing or a word occurs twice.
    pub fn word_piece(words: Vec<String>) -> std::result::Result<Self, String> {
        let mut vocabulary = ahash::AHashMap::with_capacity(words.len());
        for (id, word) in words.iter().enumerate() {
            if vocabulary.insert(word.clone(), id as u32).is_some() {
                return Err(format!("line {}: `{word}` occurs twice", id + 1));
            }
        }
        let special = |token: &str| {
            vocabulary
                .get(token)
                .copied()
                .ok_or_else(|| format!("no `{token}`: expected a BERT vocabulary, one token a line"))
        };
        let (pad, _, cls, sep) = (special("[PAD]")?, special("[UNK]")?, special("[CLS]")?, special("[SEP]")?);
        let say = |error: tokenizers::Error| error.to_string();
        let model = WordPiece::builder().vocab(vocabulary).unk_token("[UNK]".into());
        let mut inner = tokenizers::Tokenizer::new(model.build().map_err(say)?);
        inner.with_normalizer(Some(BertNormalizer::new(true, true, None, true))).map_err(say)?;
        inner.with_pre_tokenizer(Some(BertPreTokenizer));
        let template = TemplateProcessing::builder()
            .try_single("[CLS] $A [SEP]")
            .map_err(|error| error.to_string())?
            .special_tokens(vec![("[CLS]", cls), ("[SEP]", sep)])
            .build()
            .map_err(|error| error.to_string())?;
        inner.with_post_processor(Some(template));
        Ok(Self { inner, pad, words })
    }

    /// Reads `vocab.txt` (WordPiece, one token a line) or `tokenizer.json`.
    ///
    /// # Errors
    /// If the file cannot be read, is too large or is no vocabulary.
    pub fn load(path: &Path) -> Result<Self> {
        let size = std::fs::metadata(path).map_err(Error::io(path))?.len();
        if size > LIMIT {
            return Err(Error::content(path, format!("{size} bytes; expected a vocabulary of at most {LIMIT}")));
        }
        let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
        if path.extension().is_some_and(|ending| ending == "json") {
            let inner: tokenizers::Tokenizer =
                text.parse().map_err(|error| Error::content(path, format!("not a tokenizer: {error}")))?;
            let pad = ["[PAD]", "<pad>", "<|endoftext|>"].iter().find_map(|token| inner.token_to_id(token));
            return Ok(Self { inner, pad: pad.unwrap_or(0), words: vec![] });
        }
        let words = text.lines().map(|line| line.trim_end_matches('\r').to_owned()).collect();
        Self::word_piece(words).map_err(|problem| Error::content(path, problem))
    }

    /// Writes `vocab.txt` or `tokenizer.json` into a folder, whichever it came from.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save(&self, folder: &Path) -> Result<()> {
        if self.words.is_empty() {
            let path = folder.join("tokenizer.json");
            let text = self.inner.to_string(true).map_err(|error| Error::content(&path, error.to_string()))?;
            return atomic::write(&path, text.as_bytes());
        }
        atomic::write(&folder.join("vocab.txt"), (self.words.join("\n") + "\n").as_bytes())
    }

    /// Tokens known.
    pub fn vocabulary(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    /// The id that fills up short sentences.
    pub fn pad(&self) -> u32 {
        self.pad
    }

    /// Token ids of a sentence, special tokens included; a long one is cut so that its last special token stays.
    ///
    /// # Errors
    /// If the tokenizer fails on the text.
    pub fn encode(&self, sentence: &str, most: usize) -> std::result::Result<Vec<u32>, String> {
        let encoding = self.inner.encode(sentence, true).map_err(|error| error.to_string())?;
        let mut ids = encoding.get_ids().to_vec();
        if ids.len() > most && most > 0 {
            let last = ids[ids.len() - 1];
            ids.truncate(most);
            ids[most - 1] = last;
        }
        Ok(ids)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small() -> Tokenizer {
        let words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "cat", "##s", ".", "cafe"];
        Tokenizer::word_piece(words.map(str::to_owned).to_vec()).unwrap()
    }

    #[test]
    fn word_piece_by_hand() {
        assert_eq!(small().encode("A cats.", 25).unwrap(), [2, 4, 5, 6, 7, 3]);
        assert_eq!(small().encode("Café dog", 25).unwrap(), [2, 8, 1, 3], "accents go, unknown words are [UNK]");
    }

    #[test]
    fn a_long_sentence_keeps_its_end() {
        assert_eq!(small().encode("a a a a", 4).unwrap(), [2, 4, 4, 3]);
    }

    #[test]
    fn it_survives_the_disk() {
        let dir = tempfile::tempdir().unwrap();
        small().save(dir.path()).unwrap();
        let loaded = Tokenizer::load(&dir.path().join("vocab.txt")).unwrap();
        assert_eq!(loaded.encode("a cat", 9).unwrap(), [2, 4, 5, 3]);
        std::fs::write(dir.path().join("bad.txt"), "a\nb\n").unwrap();
        assert!(Tokenizer::load(&dir.path().join("bad.txt")).unwrap_err().to_string().contains("[PAD]"));
    }
}
