//! Words to token ids, through Hugging Face's `tokenizers`: WordPiece, CLIP's byte pairs, or any `tokenizer.json`.
//!
//! WordPiece as BERT (uncased) uses it: text is cleaned, lower-cased and stripped of accents, cut at spaces and punctuation,
//! CJK characters stand alone, and a word is cut greedily into its longest known pieces (`cats` → `cat ##s`); one that
//! cannot be cut is `[UNK]`. A sentence stands between `[CLS]` and `[SEP]`. Source: Devlin et al. 2019 and the `BertTokenizer`
//! of Hugging Face transformers, which `tests/tokenizer.rs` compares with.

#[cfg(feature = "tokenizers")]
mod clip;
#[cfg(feature = "tokenizers")]
mod json;
pub mod noise;
#[cfg(any(test, not(feature = "tokenizers")))]
mod plain;

#[cfg(feature = "fs")]
use crate::atomic;
use crate::{Error, Result};
#[cfg(feature = "tokenizers")]
use ahash::AHashMap;
use simseg_tensor::parallel::prelude::*;
use std::collections::HashMap;
use std::path::Path;
#[cfg(feature = "tokenizers")]
use tokenizers::{
    AddedToken, models::wordpiece::WordPiece, normalizers::BertNormalizer, pre_tokenizers::bert::BertPreTokenizer,
    processors::template::TemplateProcessing,
};

/// What cuts words: Hugging Face's library, or the little that a page needs.
#[cfg(feature = "tokenizers")]
type Engine = tokenizers::Tokenizer;
#[cfg(not(feature = "tokenizers"))]
type Engine = plain::WordPiece;

/// Largest vocabulary file that is read.
#[cfg(feature = "fs")]
const LIMIT: u64 = 64 << 20;
/// BERT's special tokens, as published vocabularies name them.
const SPECIAL: [&str; 5] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];

/// A tokenizer with the ids that models need.
#[derive(Debug, Clone)]
pub struct Tokenizer {
    inner: Engine,
    pad: u32,
    /// The line of each word, for `vocab.txt`; empty if it is saved as `tokenizer.json`.
    #[cfg_attr(not(feature = "fs"), allow(dead_code, reason = "only written to files"))]
    words: Vec<String>,
}

/// What BERT's tokenizers do to a text before they cut it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Casing {
    lower: bool,
    /// If nothing is said, accents go where upper case does.
    strip_accents: Option<bool>,
    /// Whether CJK characters stand alone.
    chinese: bool,
}

impl Casing {
    const UNCASED: Self = Self { lower: true, strip_accents: None, chinese: true };
}

/// What counts of `tokenizer_config.json`.
#[cfg(feature = "fs")]
#[derive(serde::Deserialize)]
struct TokenizerConfig {
    do_lower_case: Option<bool>,
    strip_accents: Option<bool>,
    tokenize_chinese_chars: Option<bool>,
}

/// Whether a text is a vocabulary of one token a line, and not JSON or merges.
#[cfg(feature = "fs")]
fn is_vocabulary(text: &str) -> bool {
    let text = text.trim_start_matches('\u{feff}');
    !(text.trim_start().starts_with('{') || text.starts_with("#version") || text.starts_with("\"bpe_simple_vocab"))
}

/// The tokens of a vocabulary; blank lines at its end are none. Not `lines()`: a vocabulary may hold tokens that are themselves
/// odd line ends, such as U+0085.
fn words_of(text: &str) -> impl Iterator<Item = &str> {
    let text = text.trim_start_matches('\u{feff}').trim_end_matches(['\r', '\n']);
    text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line))
}

/// What a byte-pair tokenizer has learned.
#[cfg(feature = "tokenizers")]
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
        Self::of_vocabulary(words, Casing::UNCASED).map_err(|problem| Error::setting("vocabulary", problem))
    }

    fn of_vocabulary(words: Vec<String>, casing: Casing) -> std::result::Result<Self, String> {
        let mut vocabulary = HashMap::with_capacity(words.len());
        for (id, word) in words.iter().enumerate() {
            if vocabulary.insert(word.as_str(), id as u32).is_some() {
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
        let inner = Self::engine(&words, [cls, sep], casing)?;
        // A `vocab.txt` alone means the usual casing; any other is saved as `tokenizer.json`.
        Ok(Self { inner, pad, words: if casing == Casing::UNCASED { words } else { vec![] } })
    }

    #[cfg(not(feature = "tokenizers"))]
    fn engine(words: &[String], _: [u32; 2], casing: Casing) -> std::result::Result<Engine, String> {
        let lower_case = casing == Casing::UNCASED;
        let engine = lower_case.then(|| plain::WordPiece::new(words.to_vec())).flatten();
        engine.ok_or_else(|| {
            "this build reads vocabularies in lower case alone: it lacks the feature `tokenizers`".into()
        })
    }

    /// The library's tokenizer of words that hold every special token that counts.
    #[cfg(feature = "tokenizers")]
    fn engine(words: &[String], [cls, sep]: [u32; 2], casing: Casing) -> std::result::Result<Engine, String> {
        let vocabulary: AHashMap<String, u32> =
            words.iter().enumerate().map(|(id, word)| (word.clone(), id as u32)).collect();
        let known = SPECIAL.into_iter().filter(|token| vocabulary.contains_key(*token));
        let known: Vec<AddedToken> = known.map(|token| AddedToken::from(token, true)).collect();
        let say = |error: tokenizers::Error| error.to_string();
        let model = WordPiece::builder().vocab(vocabulary).unk_token("[UNK]".into());
        let mut inner = tokenizers::Tokenizer::new(model.build().map_err(say)?);
        inner
            .with_normalizer(Some(BertNormalizer::new(true, casing.chinese, casing.strip_accents, casing.lower)))
            .map_err(say)?;
        inner.with_pre_tokenizer(Some(BertPreTokenizer));
        let template = TemplateProcessing::builder()
            .try_single("[CLS] $A [SEP]")?
            .special_tokens(vec![("[CLS]", cls), ("[SEP]", sep)])
            .build()
            .map_err(|error| error.to_string())?;
        inner.with_post_processor(Some(template));
        // A special token in a text is itself, not three pieces; as all of them are in the vocabulary, no id is new.
        inner.add_special_tokens(known).map_err(say)?;
        Ok(inner)
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
            let names = ["tokenizer.json", "vocab.txt", "vocab.json", "merges.txt", "bpe_simple_vocab_16e6.txt.gz"]
                .map(|name| path.join(name));
            let missing =
                || Error::content(path, "expected tokenizer.json, vocab.txt or vocab.json with merges.txt in it");
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
        Self::of_text(&text, Casing::UNCASED).map_err(problem)
    }

    /// The same for files as others publish them, and from what it was inferred whether upper and lower case are told apart:
    /// from `cased`, or from `tokenizer_config.json` beside a `vocab.txt`, or from the vocabulary, which has words in upper case
    /// or has none.
    ///
    /// # Errors
    /// As [`Self::load`], or if `tokenizer_config.json` is not what it should be.
    #[cfg(feature = "fs")]
    pub fn import(path: &Path, cased: Option<bool>) -> Result<(Self, Option<String>)> {
        let vocabulary = path.join("vocab.txt");
        let path = match path.is_dir() && !path.join("tokenizer.json").is_file() && vocabulary.is_file() {
            true => &vocabulary,
            false => path,
        };
        if path.is_dir() || path.extension().is_some_and(|ending| ending == "json") {
            return Ok((Self::load(path)?, None));
        }
        let text = read(path)?;
        if !is_vocabulary(&text) {
            return Ok((Self::load(path)?, None));
        }
        let beside = path.with_file_name("tokenizer_config.json");
        let mut casing = Casing::UNCASED;
        let mut from = None;
        if beside.is_file() {
            let problem = |error: serde_json::Error| Error::content(&beside, error.to_string());
            let config: TokenizerConfig = serde_json::from_str(&read(&beside)?).map_err(problem)?;
            casing.strip_accents = config.strip_accents;
            casing.chinese = config.tokenize_chinese_chars.unwrap_or(true);
            if let Some(lower) = config.do_lower_case {
                casing.lower = lower;
                from = Some(beside.display().to_string());
            }
        }
        if let Some(cased) = cased {
            casing.lower = !cased;
            from = Some("--cased".into());
        }
        let from = from.unwrap_or_else(|| {
            let upper = words_of(&text).any(|word| !word.starts_with('[') && word.chars().any(char::is_uppercase));
            casing.lower = !upper;
            format!("the vocabulary has {} in upper case", if upper { "words" } else { "no word" })
        });
        let tokenizer = Self::of_text(&text, casing).map_err(|problem| Error::content(path, problem))?;
        Ok((tokenizer, Some(format!("{} ({from})", if casing.lower { "uncased" } else { "cased" }))))
    }

    /// A tokenizer from the bytes of `vocab.txt`, of CLIP's merges or of `tokenizer.json`: their content tells which.
    ///
    /// # Errors
    /// If they are none of these.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let problem = |problem: String| Error::content(Path::new("tokenizer"), problem);
        let text = std::str::from_utf8(bytes).map_err(|error| problem(error.to_string()))?;
        Self::of_text(text, Casing::UNCASED).map_err(problem)
    }

    fn of_text(text: &str, casing: Casing) -> std::result::Result<Self, String> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        #[cfg(feature = "tokenizers")]
        if text.trim_start().starts_with('{') {
            return json::parse(text);
        }
        #[cfg(feature = "tokenizers")]
        if text.starts_with("#version") || text.starts_with("\"bpe_simple_vocab") {
            let merges = clip::merges(text)?;
            return clip::build(Bpe { vocabulary: clip::vocabulary(&merges), merges });
        }
        Self::of_vocabulary(words_of(text).map(str::to_owned).collect(), casing)
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

    /// The id that stands for what it does not know, if it has one.
    pub fn unknown(&self) -> Option<u32> {
        ["[UNK]", "<unk>"].iter().find_map(|token| self.inner.token_to_id(token))
    }

    /// The id of a token.
    pub fn id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// The token of an id.
    pub fn token(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }

    /// Token ids of a sentence, special tokens included; a long one is cut to `most` ids so that its last special token
    /// stays (`most` = 0: never cut).
    ///
    /// # Errors
    /// If the tokenizer fails on the text.
    pub fn encode(&self, sentence: &str, most: usize) -> Result<Vec<u32>> {
        let mut ids = self.whole(sentence)?;
        if ids.len() > most && most > 0 {
            let last = ids[ids.len() - 1];
            ids.truncate(most);
            ids[most - 1] = last;
        }
        Ok(ids)
    }

    #[cfg(not(feature = "tokenizers"))]
    fn whole(&self, sentence: &str) -> Result<Vec<u32>> {
        Ok(self.inner.encode(sentence))
    }

    /// All token ids of a sentence.
    #[cfg(feature = "tokenizers")]
    fn whole(&self, sentence: &str) -> Result<Vec<u32>> {
        let failed = |error: tokenizers::Error| Error::setting(format!("`{sentence}`"), error.to_string());
        let encoding = json::caught(|| self.inner.encode(sentence, true))
            .ok_or_else(|| Error::setting(format!("`{sentence}`"), "the tokenizer's own rules contradict each other"))?
            .map_err(failed)?;
        Ok(encoding.get_ids().to_vec())
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
    let mut bytes = crate::bounded::read(path, LIMIT, "a vocabulary")?;
    // As OpenAI publishes its merges.
    if bytes.starts_with(&[0x1f, 0x8b]) {
        use std::io::Read;
        let mut text = vec![];
        let unpacked = flate2::read::GzDecoder::new(&bytes[..]).take(LIMIT + 1).read_to_end(&mut text);
        unpacked.map_err(|error| Error::content(path, format!("not a readable gzip file: {error}")))?;
        if text.len() as u64 > LIMIT {
            return Err(Error::content(path, format!("unpacks to more than {LIMIT} bytes; expected a vocabulary")));
        }
        bytes = text;
    }
    String::from_utf8(bytes).map_err(|error| Error::content(path, format!("not UTF-8: {error}")))
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
