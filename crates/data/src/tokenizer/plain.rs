//! WordPiece without a library: what a build without the feature `tokenizers` reads words with, such as the live page in a browser,
//! where regular expressions and Unicode tables would be most of the download.
//!
//! As `BertTokenizer` (uncased) does: lower case, accents off, cut at spaces and punctuation, each word greedily into its longest known
//! pieces, `[UNK]` if there are none. Accents are those of Latin-1, and CJK characters are not set apart: that takes tables.

use std::collections::HashMap;

/// Words longer than this are unknown, as in BERT.
const LONGEST: usize = 100;

/// A vocabulary that cuts words.
#[derive(Debug, Clone)]
pub(super) struct WordPiece {
    words: Vec<String>,
    ids: HashMap<String, u32>,
    unknown: u32,
    cls: u32,
    sep: u32,
}

#[cfg_attr(feature = "tokenizers", allow(dead_code, reason = "held against the library by a test, used without it"))]
impl WordPiece {
    /// The special tokens must be among the words.
    pub(super) fn new(words: Vec<String>) -> Option<Self> {
        let ids: HashMap<String, u32> = words.iter().enumerate().map(|(id, word)| (word.clone(), id as u32)).collect();
        let id = |token: &str| ids.get(token).copied();
        let (unknown, cls, sep) = (id("[UNK]")?, id("[CLS]")?, id("[SEP]")?);
        Some(Self { words, ids, unknown, cls, sep })
    }

    /// Tokens known.
    pub(super) fn get_vocab_size(&self, _: bool) -> usize {
        self.words.len()
    }
    /// The id of a token.
    pub(super) fn token_to_id(&self, token: &str) -> Option<u32> {
        self.ids.get(token).copied()
    }
    /// The token of an id.
    pub(super) fn id_to_token(&self, id: u32) -> Option<String> {
        self.words.get(id as usize).cloned()
    }

    /// `[CLS] … [SEP]`
    pub(super) fn encode(&self, sentence: &str) -> Vec<u32> {
        let mut ids = vec![self.cls];
        for part in sentence.split_whitespace() {
            // A special token in a text is itself.
            match self.ids.get(part).filter(|_| super::SPECIAL.contains(&part)) {
                Some(&id) => ids.push(id),
                None => pieces_of(part).iter().for_each(|word| self.cut(word, &mut ids)),
            }
        }
        ids.push(self.sep);
        ids
    }

    /// A word's longest known pieces, from its front.
    fn cut(&self, word: &str, ids: &mut Vec<u32>) {
        let (first, mut rest, mut started) = (ids.len(), word, false);
        if word.chars().count() > LONGEST {
            return ids.push(self.unknown);
        }
        while !rest.is_empty() {
            let ends = rest.char_indices().map(|(start, c)| start + c.len_utf8()).rev();
            let known = |end: &usize| {
                let piece = if started { format!("##{}", &rest[..*end]) } else { rest[..*end].to_owned() };
                self.ids.get(&piece).map(|&id| (id, *end))
            };
            let Some((id, end)) = ends.filter_map(|end| known(&end)).next() else {
                ids.truncate(first);
                return ids.push(self.unknown);
            };
            ids.push(id);
            (rest, started) = (&rest[end..], true);
        }
    }
}

/// Lower case without accents; each mark of punctuation by itself.
fn pieces_of(part: &str) -> Vec<String> {
    let mut pieces = vec![String::new()];
    for c in part.chars().flat_map(char::to_lowercase).map(plain) {
        if is_punctuation(c) {
            pieces.extend([c.to_string(), String::new()]);
        } else if !c.is_control() {
            pieces.last_mut().into_iter().for_each(|piece| piece.push(c));
        }
    }
    pieces.retain(|piece| !piece.is_empty());
    pieces
}

/// ASCII's punctuation, Latin-1's, and that of the block U+2010.
fn is_punctuation(c: char) -> bool {
    let beyond =
        matches!(c, '¡' | '§' | '«' | '¶' | '·' | '»' | '¿' | '\u{2010}'..='\u{2027}' | '\u{2030}'..='\u{205e}');
    c.is_ascii_punctuation() || beyond
}

/// A letter of Latin-1 without its accent.
fn plain(c: char) -> char {
    match c {
        'à'..='å' => 'a',
        'ç' => 'c',
        'è'..='ë' => 'e',
        'ì'..='ï' => 'i',
        'ñ' => 'n',
        'ò'..='ö' => 'o',
        'ù'..='ü' => 'u',
        'ý' | 'ÿ' => 'y',
        other => other,
    }
}

#[cfg(all(test, feature = "tokenizers"))]
mod tests {
    use super::*;

    #[test]
    fn it_cuts_as_the_library_does() {
        let words = [
            "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "cat", "##s", "##er", ".", "-", "cafe", "über", "uber",
            "s",
        ];
        let words: Vec<String> = words.map(str::to_owned).to_vec();
        let plain = WordPiece::new(words.clone()).unwrap();
        let library = super::super::Tokenizer::word_piece(words).unwrap();
        let long = "a".repeat(101);
        let sentences = [
            "",
            "A cats.",
            "Café Über",
            "cat-cats…",
            "a [MASK] catser dog",
            "  a\tcat\n",
            "'s",
            "[UNK]",
            "ca t",
            "cat's a.s",
            &long,
            "catcat",
            "\u{7f}a\u{1}cat",
            "[CLS]",
            "A. CAT-S",
        ];
        for sentence in sentences {
            assert_eq!(plain.encode(sentence), library.encode(sentence, 0).unwrap(), "{sentence:?}");
        }
        assert!(WordPiece::new(vec!["[CLS]".into()]).is_none());
    }
}
