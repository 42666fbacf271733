//! A WordPiece vocabulary for captions that come without one.
//!
//! Drawn captions have a closed list of words. Written ones have no end of them: those that occur at least twice are kept, the
//! most frequent first, and beside them single characters, `a` and `##a`, from which WordPiece spells any other word.

use crate::failure::{Failure, Outcome};
use simseg_data::Tokenizer;
use std::collections::{BTreeSet, HashMap};

/// BERT's special tokens, in the order of its published vocabularies.
const SPECIAL: [&str; 5] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];
/// Words that are kept at most.
const MOST: usize = 20_000;
/// How often a word must occur to be kept.
const TWICE: usize = 2;

/// The tokenizer of a closed list of words, after the special tokens.
///
/// # Errors
/// If a word occurs twice.
pub fn of_words(words: Vec<String>) -> Outcome<Tokenizer> {
    let words = SPECIAL.into_iter().map(str::to_owned).chain(words).collect();
    Tokenizer::word_piece(words).map_err(|error| Failure::input("vocabulary", error))
}

/// The tokenizer of the words in these captions. A pure function of them, whatever their order.
///
/// # Errors
/// If the tokenizer fails.
pub fn of_captions<'a>(captions: impl Iterator<Item = &'a str>) -> Outcome<Tokenizer> {
    let mut counts: HashMap<String, usize> = HashMap::new();
    let mut characters: BTreeSet<char> = BTreeSet::new();
    for caption in captions {
        let text = caption.to_lowercase();
        for word in text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
            *counts.entry(word.to_owned()).or_default() += 1;
        }
        characters.extend(text.chars().filter(|c| !c.is_whitespace() && !c.is_control()));
    }
    let mut frequent: Vec<(String, usize)> =
        counts.into_iter().filter(|(word, count)| *count >= TWICE && word.chars().count() > 1).collect();
    frequent.sort_by(|(a, m), (b, n)| n.cmp(m).then_with(|| a.cmp(b)));
    frequent.truncate(MOST);
    let single = characters.iter().map(char::to_string);
    let inner = characters.iter().filter(|c| c.is_alphanumeric()).map(|c| format!("##{c}"));
    of_words(single.chain(inner).chain(frequent.into_iter().map(|(word, _)| word)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frequent_words_are_one_token_and_rare_ones_are_spelled() {
        let tokenizer = of_captions(["A dog runs.", "the dog, a cat"].into_iter()).unwrap();
        let tokens = |text: &str| tokenizer.encode(text, 0).unwrap().len() - 2; // without [CLS] and [SEP]
        assert_eq!((tokens("dog"), tokens("a"), tokens("cat"), tokens("dog.")), (1, 1, 3, 2));
        let again = of_captions(["the dog, a cat", "A dog runs."].into_iter()).unwrap();
        assert_eq!(again.encode("a cat runs", 0).unwrap(), tokenizer.encode("a cat runs", 0).unwrap());
    }
}
