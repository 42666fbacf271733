//! CLIP's byte-pair tokenizer: a word is bytes, and the most learned pair is joined first until none is left.
//!
//! Text is lower-cased, its spaces are folded, and it is cut into contractions, runs of letters, single digits and runs of
//! anything else; every byte becomes one of 256 printable characters; the last one of a word carries `</w>`. The result
//! stands between `<|startoftext|>` and `<|endoftext|>`, which is also the padding.
//!
//! Sources: OpenAI CLIP's `simple_tokenizer.py` (vocabulary order), Hugging Face's `CLIPTokenizer` (the pipeline here). OpenAI
//! also repairs broken Unicode and unescapes HTML first; like Hugging Face, this does not.

use super::{Bpe, Tokenizer};
use ahash::AHashMap;
use tokenizers::models::bpe::BPE;
use tokenizers::normalizers::{Lowercase, NFC, Replace, Sequence};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence as Steps;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::processors::template::TemplateProcessing;
use tokenizers::{AddedToken, SplitDelimiterBehavior};

/// Opens every sentence.
const START: &str = "<|startoftext|>";
/// Closes every sentence, and fills it up.
const END: &str = "<|endoftext|>";
/// Merges of the published vocabulary: 49,152 tokens less 2 × 256 bytes and 2 special ones.
const PUBLISHED: usize = 49_152 - 512 - 2;

/// Contractions, letters, single digits, the rest.
const WORDS: &str = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+";

/// The 256 characters that stand for bytes, in vocabulary order: those that print first, as themselves, then the others,
/// as the characters from 256 on.
fn alphabet() -> Vec<String> {
    let prints = |byte: &u32| matches!(byte, 33..=126 | 161..=172 | 174..=255);
    let others = (0..256u32).filter(|byte| !prints(byte)).count() as u32;
    let letters = (0..256).filter(prints).chain(256..256 + others);
    letters.filter_map(char::from_u32).map(String::from).collect()
}

/// The merges of a text with one pair a line (`merges.txt`, `bpe_simple_vocab_16e6.txt`); a first line that is a title is skipped.
pub(super) fn merges(text: &str) -> Result<Vec<(String, String)>, String> {
    let title = text.starts_with("#version") || text.starts_with("\"bpe_simple_vocab");
    let lines = text.lines().enumerate().skip(usize::from(title)).take(PUBLISHED);
    let pair = |(number, line): (usize, &str)| {
        let mut parts = line.split_ascii_whitespace();
        match (parts.next(), parts.next(), parts.next()) {
            (Some(a), Some(b), None) => Ok((a.to_owned(), b.to_owned())),
            _ => Err(format!("line {}: expected two tokens to merge, found `{line}`", number + 1)),
        }
    };
    lines.filter(|(_, line)| !line.trim().is_empty()).map(pair).collect()
}

/// The vocabulary that follows from the merges: bytes, bytes at the end of a word, merged pairs, the two special tokens.
pub(super) fn vocabulary(merges: &[(String, String)]) -> AHashMap<String, u32> {
    let alphabet = alphabet();
    let tokens = alphabet.iter().cloned().chain(alphabet.iter().map(|letter| format!("{letter}</w>")));
    let tokens = tokens.chain(merges.iter().map(|(a, b)| format!("{a}{b}")));
    tokens.chain([START.to_owned(), END.to_owned()]).enumerate().map(|(id, token)| (token, id as u32)).collect()
}

/// The whole pipeline around a vocabulary and its merges.
pub(super) fn build(Bpe { vocabulary, merges }: Bpe) -> Result<Tokenizer, String> {
    let special =
        |token: &str| vocabulary.get(token).copied().ok_or(format!("no `{token}`: expected a CLIP vocabulary"));
    let (start, end) = (special(START)?, special(END)?);
    let say = |error: tokenizers::Error| error.to_string();
    let model = BPE::builder()
        .vocab_and_merges(vocabulary, merges)
        .unk_token(END.into())
        .end_of_word_suffix("</w>".into())
        .build()
        .map_err(say)?;
    let mut inner = tokenizers::Tokenizer::new(model);
    let spaces =
        Replace::new(tokenizers::normalizers::replace::ReplacePattern::Regex(r"\s+".into()), " ").map_err(say)?;
    let normalise = Sequence::new(vec![NFC.into(), spaces.into(), Lowercase.into()]);
    inner.with_normalizer(Some(normalise)).map_err(say)?;
    let words = Split::new(SplitPattern::Regex(WORDS.into()), SplitDelimiterBehavior::Removed, true).map_err(say)?;
    let bytes = ByteLevel::new(false, true, false);
    inner.with_pre_tokenizer(Some(Steps::new(vec![words.into(), bytes.into()])));
    let template = TemplateProcessing::builder()
        .try_single(format!("{START} $A {END}"))?
        .special_tokens(vec![(START, start), (END, end)])
        .build()
        .map_err(|error| error.to_string())?;
    inner.with_post_processor(Some(template));
    inner.add_special_tokens([START, END].map(|token| AddedToken::from(token, true))).map_err(say)?;
    Ok(Tokenizer { inner, pad: end, words: vec![] })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_alphabet_has_every_byte_once() {
        let alphabet = alphabet();
        assert_eq!((alphabet.len(), &alphabet[0][..], &alphabet[188][..]), (256, "!", "\u{100}"));
        assert_eq!(alphabet.iter().collect::<std::collections::HashSet<_>>().len(), 256);
        assert!(alphabet.iter().all(|c| ByteLevel::alphabet().contains(&c.chars().next().unwrap())));
    }

    #[test]
    fn pairs_merge_in_the_order_they_were_learned() {
        let merges = merges("#version: 0.2\na t</w>\nc at</w>\nc a\n").unwrap();
        let tokenizer = build(Bpe { vocabulary: vocabulary(&merges), merges }).unwrap();
        // 512 bytes, then `at</w>` 512, `cat</w>` 513, `ca` 514, start 515, end 516; `s</w>` is 256 + position of s.
        assert_eq!(tokenizer.encode("CAT at", 77).unwrap(), [515, 513, 512, 516]);
        assert_eq!(tokenizer.encode("ca", 77).unwrap()[1..3], [66, 256 + 64], "c, then a at a word's end");
        assert_eq!(tokenizer.pad(), 516);
    }

    #[test]
    fn a_line_that_is_no_pair_is_named() {
        assert!(merges("a b\nc\n").unwrap_err().contains("line 2"));
    }
}
