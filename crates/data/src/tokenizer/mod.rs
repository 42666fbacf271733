//! Words to token ids, through Hugging Face's `tokenizers`: WordPiece, CLIP's byte pairs, or any `tokenizer.json`.
//!
//! WordPiece as BERT (uncased) uses it: text is cleaned, lower-cased and stripped of accents, cut at spaces and punctuation,
//! CJK characters stand alone, and a word is cut greedily into its longest known pieces (`cats` → `cat ##s`); one that
//! cannot be cut is `[UNK]`. A sentence stands between `[CLS]` and `[SEP]`. Source: Devlin et al. 2019 and the `BertTokenizer`
//! of Hugging Face transformers, which `tests/tokenizer.rs` compares with.

mod clip;

#[cfg(feature = "fs")]
use crate::atomic;
use crate::{Error, Result};
use ahash::AHashMap;
use rayon::prelude::*;
use std::path::Path;
use tokenizers::AddedToken;
use tokenizers::models::wordpiece::WordPiece;
use tokenizers::normalizers::BertNormalizer;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::processors::template::TemplateProcessing;

/// Largest vocabulary file that is read.
#[cfg(feature = "fs")]
const LIMIT: u64 = 64 << 20;
/// BERT's special tokens, as published vocabularies name them.
const SPECIAL: [&str; 5] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];

/// A tokenizer with the ids that models need.
#[derive(Debug, Clone)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    pad: u32,
    /// The line of each word, for `vocab.txt`; empty if it is saved as `tokenizer.json`.
    #[cfg_attr(not(feature = "fs"), allow(dead_code, reason = "only written to files"))]
    words: Vec<String>,
}

/// What a byte-pair tokenizer has learned.
struct Bpe {
    vocabulary: AHashMap<String, u32>,
    merges: Vec<(String, String)>,
}

impl Tokenizer {
    /// An uncased WordPiece tokenizer over words that include `[PAD]`, `[UNK]`, `[CLS]` and `[SEP]`; ids are positions.
    ///
    /// # Errors
    /// If a special token is missing or a word occurs twice.
    pub fn word_piece(words: Vec<String>) -> Result<Self> {
        Self::of_vocabulary(words).map_err(|problem| Error::setting("vocabulary", problem))
    }

    fn of_vocabulary(words: Vec<String>) -> std::result::Result<Self, String> {
        let mut vocabulary = AHashMap::with_capacity(words.len());
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
        let known = SPECIAL.into_iter().filter(|token| vocabulary.contains_key(*token));
        let known: Vec<AddedToken> = known.map(|token| AddedToken::from(token, true)).collect();
        let say = |error: tokenizers::Error| error.to_string();
        let model = WordPiece::builder().vocab(vocabulary).unk_token("[UNK]".into());
        let mut inner = tokenizers::Tokenizer::new(model.build().map_err(say)?);
        inner.with_normalizer(Some(BertNormalizer::new(true, true, None, true))).map_err(say)?;
        inner.with_pre_tokenizer(Some(BertPreTokenizer));
        let template = TemplateProcessing::builder()
            .try_single("[CLS] $A [SEP]")?
            .special_tokens(vec![("[CLS]", cls), ("[SEP]", sep)])
            .build()
            .map_err(|error| error.to_string())?;
        inner.with_post_processor(Some(template));
        // A special token in a text is itself, not three pieces; as all of them are in the vocabulary, no id is new.
        inner.add_special_tokens(known).map_err(say)?;
        Ok(Self { inner, pad, words })
    }

    /// An uncased WordPiece tokenizer of whole words, which follow the special tokens.
    ///
    /// ```
    /// let tokenizer = simseg_data::Tokenizer::from_words(["a", "sheep"])?;
    /// assert_eq!(tokenizer.encode("A sheep", 25)?, [2, 5, 6, 3]); // \[CLS\] a sheep \[SEP\]
    /// # Ok::<(), simseg_data::Error>(())
    /// ```
    ///
    /// # Errors
    /// If a word occurs twice.
    pub fn from_words<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        Self::word_piece(SPECIAL.into_iter().chain(words).map(str::to_owned).collect())
    }

    /// Reads a vocabulary: WordPiece (`vocab.txt`, one token a line), CLIP (`vocab.json` with `merges.txt` beside it, or
    /// the merges alone as OpenAI's `bpe_simple_vocab_16e6.txt`), or any `tokenizer.json`. A folder is searched for these.
    ///
    /// # Errors
    /// If the file cannot be read, is too large or is no vocabulary.
    #[cfg(feature = "fs")]
    pub fn load(path: &Path) -> Result<Self> {
        if path.is_dir() {
            let names = ["vocab.txt", "tokenizer.json", "vocab.json", "merges.txt"].map(|name| path.join(name));
            let missing =
                || Error::content(path, "expected vocab.txt, tokenizer.json or vocab.json with merges.txt in it");
            return Self::load(names.iter().find(|path| path.is_file()).ok_or_else(missing)?);
        }
        let text = read(path)?;
        let problem = |problem: String| Error::content(path, problem);
        if path.extension().is_some_and(|ending| ending == "json") {
            let vocabulary = serde_json::from_str::<std::collections::HashMap<String, u32>>(&text);
            if let Ok(vocabulary) = vocabulary {
                let beside = path.with_file_name("merges.txt");
                let merges = clip::merges(&read(&beside)?).map_err(|problem| Error::content(&beside, problem))?;
                let vocabulary = vocabulary.into_iter().collect();
                return clip::build(Bpe { vocabulary, merges }).map_err(problem);
            }
        }
        Self::of_text(&text).map_err(problem)
    }

    /// A tokenizer from the bytes of `vocab.txt`, of CLIP's merges or of `tokenizer.json`: their content tells which.
    ///
    /// # Errors
    /// If they are none of these.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let problem = |problem: String| Error::content(Path::new("tokenizer"), problem);
        let text = std::str::from_utf8(bytes).map_err(|error| problem(error.to_string()))?;
        Self::of_text(text).map_err(problem)
    }

    fn of_text(text: &str) -> std::result::Result<Self, String> {
        if text.trim_start().starts_with('{') {
            return Self::parse(text);
        }
        if text.starts_with("#version") || text.starts_with("\"bpe_simple_vocab") {
            let merges = clip::merges(text)?;
            return clip::build(Bpe { vocabulary: clip::vocabulary(&merges), merges });
        }
        // Not `lines()`: a vocabulary may hold tokens that are themselves odd line ends, such as U+0085.
        let lines = text.strip_suffix('\n').unwrap_or(text).split('\n');
        let words = lines.map(|line| line.strip_suffix('\r').unwrap_or(line).to_owned()).collect();
        Self::of_vocabulary(words)
    }

    /// A `tokenizer.json`, without the padding and cutting that it may ask for: batches decide those here.
    fn parse(text: &str) -> std::result::Result<Self, String> {
        let mut inner: tokenizers::Tokenizer = text.parse().map_err(|error| format!("not a tokenizer: {error}"))?;
        inner.with_padding(None);
        inner.with_truncation(None).map_err(|error| error.to_string())?;
        let pad = ["[PAD]", "<pad>", "<|endoftext|>"].iter().find_map(|token| inner.token_to_id(token));
        Ok(Self { inner, pad: pad.unwrap_or(0), words: vec![] })
    }

    /// Writes `vocab.txt` (WordPiece) or `tokenizer.json` (all others) into a folder.
    ///
    /// # Errors
    /// If the file cannot be written.
    #[cfg(feature = "fs")]
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

    /// The id of a token.
    pub fn id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// Token ids of a sentence, special tokens included; a long one is cut to `most` ids so that its last special token
    /// stays (`most` = 0: never cut).
    ///
    /// # Errors
    /// If the tokenizer fails on the text.
    pub fn encode(&self, sentence: &str, most: usize) -> Result<Vec<u32>> {
        let failed = |error: tokenizers::Error| Error::setting(format!("`{sentence}`"), error.to_string());
        let encoding = self.inner.encode(sentence, true).map_err(failed)?;
        let mut ids = encoding.get_ids().to_vec();
        if ids.len() > most && most > 0 {
            let last = ids[ids.len() - 1];
            ids.truncate(most);
            ids[most - 1] = last;
        }
        Ok(ids)
    }

    /// [`encode`](Self::encode) of many sentences, in parallel; each at its own length.
    ///
    /// # Errors
    /// The first failure.
    pub fn encode_batch(&self, sentences: &[&str], most: usize) -> Result<Vec<Vec<u32>>> {
        sentences.par_iter().map(|sentence| self.encode(sentence, most)).collect()
    }
}

#[cfg(feature = "fs")]
fn read(path: &Path) -> Result<String> {
    let size = std::fs::metadata(path).map_err(Error::io(path))?.len();
    if size > LIMIT {
        return Err(Error::content(path, format!("{size} bytes; expected a vocabulary of at most {LIMIT}")));
    }
    std::fs::read_to_string(path).map_err(Error::io(path))
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
