//! Classes as words, and as embeddings.
//!
//! A class file has one class a line, the background first, or `background = false` in its place: then a pixel that no class claims
//! has no label. `cat | kitten` gives a class several words. A word's embedding is the
//! mean of its prompts' embeddings, divided by its norm (or what the score rule makes of them); a class with several words has
//! several embeddings and scores as the best of them (as SCLIP treats synonyms).

use crate::prompts::fill;
use crate::score::ClassScore;
use simseg_model::Tokens;
use simseg_tensor::{Error, Result, Tensor};
use std::collections::HashSet;

/// The classes of a class file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassList {
    /// The words of each class; the first is its name.
    words: Vec<Vec<String>>,
    /// Whether class 0 is the background.
    background: bool,
}

/// Words whose prompts are encoded together: their tokens are in memory at once (80 prompts each, 42 MB at 512 channels).
const TOGETHER: usize = 32;

/// Most classes: a label is 16 bits, and 65535 says "no class".
const MOST: usize = u16::MAX as usize;
/// What class 0 is called where it is put in front.
const BACKGROUND: &str = "background";

impl ClassList {
    /// Reads a class file's text.
    ///
    /// ```
    /// let list = simseg_segment::ClassList::parse("background\ncat | kitten\ndog\n")?;
    /// assert_eq!((list.len(), list.name(1), list.has_background()), (3, "cat", true));
    /// let list = simseg_segment::ClassList::parse("background = false\nroad\nsky\n")?;
    /// assert_eq!((list.len(), list.name(0), list.has_background()), (2, "road", false));
    /// # Ok::<(), simseg_tensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// If there are fewer than two classes, the background among them, a line is empty, a word occurs twice, or there are more than
    /// 65,535 classes.
    pub fn parse(text: &str) -> Result<Self> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut lines: Vec<&str> = text.lines().map(str::trim).collect();
        while lines.last().is_some_and(|line| line.is_empty()) {
            lines.pop();
        }
        let fail = |what: String| Err(Error::setting("classes", what));
        let setting =
            lines.first().and_then(|line| line.split_once('=')).map(|(key, value)| (key.trim(), value.trim()));
        let (background, skipped) = match setting {
            Some(("background", "false")) => (false, 1),
            Some(("background", "true")) => (true, 1),
            Some(("background", value)) => return fail(format!("background = {value}; expected true or false")),
            _ => (true, 0),
        };
        lines.drain(..skipped);
        if lines.len() < 2 {
            let expected = match background {
                true => "expected the background on the first line and at least one class after it",
                false => "expected at least two classes after `background = false`",
            };
            return fail(expected.into());
        }
        Self::of(&lines, background, |number| format!("line {}", number + skipped + 1))
    }

    /// Classes of words in a program, one class each; `"cat | kitten"` gives a class several. Class 0 is the background: it is put in front unless
    /// the first word is `background`.
    ///
    /// ```
    /// let list = simseg_segment::ClassList::of_words(["cat | kitten", "dog"])?;
    /// assert_eq!((list.len(), list.name(0), list.name(1)), (3, "background", "cat"));
    /// assert!(simseg_segment::ClassList::of_words(["cat\ndog"]).is_err()); // not two classes
    /// # Ok::<(), simseg_tensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// If there is no word but the background, one is empty, has a line break or occurs twice, or there are more than 65,535.
    pub fn of_words<W: AsRef<str>>(words: impl IntoIterator<Item = W>) -> Result<Self> {
        let words: Vec<W> = words.into_iter().collect();
        let mut lines: Vec<&str> = words.iter().map(|word| word.as_ref().trim()).collect();
        let first = lines.first().and_then(|line| line.split('|').next()).unwrap_or_default();
        let own = first.trim().eq_ignore_ascii_case(BACKGROUND);
        if lines.len() == usize::from(own) {
            return Err(Error::setting("classes", "expected at least one word beside the background".to_owned()));
        }
        if !own {
            lines.insert(0, BACKGROUND);
        }
        let name = |number: usize| format!("word {}", number + usize::from(own));
        // A class file could not hold it, and would make two classes of it.
        if let Some(number) = lines.iter().position(|line| line.contains(['\n', '\r'])) {
            return Err(Error::setting("classes", format!("{}: expected one class, found a line break", name(number))));
        }
        Self::of(&lines, true, name)
    }

    /// A class for each line, which errors call by name.
    fn of(lines: &[&str], background: bool, name: impl Fn(usize) -> String) -> Result<Self> {
        let fail = |what: String| Err(Error::setting("classes", what));
        if lines.len() > MOST {
            return fail(format!("at most {MOST} classes, found {}", lines.len()));
        }
        let mut seen = HashSet::new();
        let mut words = Vec::with_capacity(lines.len());
        for (number, line) in lines.iter().enumerate() {
            let class: Vec<String> = line.split('|').map(|word| word.trim().to_owned()).collect();
            for word in &class {
                if word.is_empty() {
                    return fail(format!("{}: a class name is empty", name(number)));
                }
                if !seen.insert(word.to_lowercase()) {
                    return fail(format!("{}: `{word}` occurs twice", name(number)));
                }
            }
            words.push(class);
        }
        Ok(Self { words, background })
    }

    /// The same words with class 0 as the background, or as a class like others.
    #[must_use]
    pub fn with_background(self, background: bool) -> Self {
        Self { background, ..self }
    }

    /// The same classes, but the background is looked for by these words instead of its own: what pictures show beside the classes
    /// (SCLIP's and NACLIP's list of 26 for VOC). Words that a class has are left out, so that one list serves many class lists;
    /// nothing changes if no word is left, or if there is no background.
    ///
    /// ```
    /// let list = simseg_segment::ClassList::parse("background\ncat\nsky\n")?;
    /// let list = list.with_background_words(&["sea".into(), "sky".into()]);
    /// assert_eq!(list.words(0), ["sea"]);
    /// # Ok::<(), simseg_tensor::Error>(())
    /// ```
    #[must_use]
    pub fn with_background_words(mut self, words: &[String]) -> Self {
        let taken = |word: &String| self.words[1..].iter().flatten().any(|other| other.eq_ignore_ascii_case(word));
        let left: Vec<String> = words.iter().filter(|word| !taken(word)).cloned().collect();
        if self.background && !left.is_empty() {
            self.words[0] = left;
        }
        self
    }

    /// Whether class 0 is the background.
    pub fn has_background(&self) -> bool {
        self.background
    }
    /// Number of classes, background included.
    pub fn len(&self) -> usize {
        self.words.len()
    }
    /// Never: a list has at least two classes.
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }
    /// A class's first word.
    pub fn name(&self, class: usize) -> &str {
        &self.words[class][0]
    }
    /// All words of a class.
    pub fn words(&self, class: usize) -> &[String] {
        &self.words[class]
    }
    /// All first words.
    pub fn names(&self) -> Vec<String> {
        self.words.iter().map(|words| words[0].clone()).collect()
    }
}

/// Class embeddings.
#[derive(Debug, Clone)]
pub struct ClassBank<T> {
    /// Number of classes, background included.
    pub classes: usize,
    /// Whether class 0 is the background.
    pub background: bool,
    /// Unit rows `[r, d]`: one per word, unless the score rule combines prompts otherwise.
    pub embeddings: T,
    /// The class of each row, rising.
    pub class_of: Vec<usize>,
    /// Tokens of the prompts of every word, if [`crate::Needs::prompts`].
    pub prompts: Option<Vec<WordTokens<T>>>,
}

/// The prompts of one word.
#[derive(Debug, Clone)]
pub struct WordTokens<T> {
    /// The class that the word belongs to.
    pub class: usize,
    /// Projected tokens `[p, m, d]` with their lengths.
    pub tokens: Tokens<T>,
}

/// What an encoder makes of the prompts of one word.
pub struct Encoded<T> {
    /// Projected tokens `[p, m, d]`.
    pub tokens: Tokens<T>,
    /// Pooled, normalised embeddings `[p, d]`.
    pub pooled: T,
}

impl<T: Tensor> ClassBank<T> {
    /// Embeds a class list; `score` says how the prompts of a word are combined, and `keep_tokens` whether their tokens are
    /// needed, too. `encode` gets the prompts of several words at a time, and gives for each what its prompts give together: as in the
    /// released code, whose pooling can see its batch.
    ///
    /// # Errors
    /// Whatever `encode` fails with.
    pub fn build(
        list: &ClassList,
        templates: &[String],
        score: &dyn ClassScore<T>,
        keep_tokens: bool,
        mut encode: impl FnMut(&[Vec<String>]) -> Result<Vec<Encoded<T>>>,
    ) -> Result<Self> {
        let (mut rows, mut class_of, mut prompts) = (Vec::new(), Vec::new(), keep_tokens.then(Vec::new));
        let words: Vec<(usize, &String)> =
            (0..list.len()).flat_map(|class| list.words(class).iter().map(move |word| (class, word))).collect();
        for words in words.chunks(TOGETHER) {
            let filled: Vec<Vec<String>> = words.iter().map(|(_, word)| fill(templates, word)).collect();
            for (&(class, _), Encoded { tokens, pooled }) in words.iter().zip(encode(&filled)?) {
                let combined = score.combine(&pooled)?; //          [p, d] → [r, d]
                class_of.extend(std::iter::repeat_n(class, combined.shape()[0]));
                rows.push(combined);
                if let Some(kept) = &mut prompts {
                    kept.push(WordTokens { class, tokens });
                }
            }
        }
        let embeddings = T::concat(&rows.iter().collect::<Vec<_>>(), 0)?;
        Ok(Self { classes: list.len(), background: list.has_background(), embeddings, class_of, prompts })
    }

    /// The label of a pixel that no class claims.
    pub fn unclaimed(&self) -> u16 {
        if self.background { 0 } else { crate::metrics::IGNORE }
    }

    /// The classes that can be drawn: all but the background.
    pub fn foreground(&self) -> std::ops::Range<usize> {
        usize::from(self.background)..self.classes
    }

    /// Rows of a class.
    pub fn rows_of(&self, class: usize) -> std::ops::Range<usize> {
        let start = self.class_of.partition_point(|&c| c < class);
        start..self.class_of.partition_point(|&c| c <= class)
    }

    /// Best value per class out of one value per row.
    pub fn best_per_class(&self, per_row: &[f32]) -> Vec<f32> {
        let mut best = vec![f32::NEG_INFINITY; self.classes];
        for (&class, &value) in self.class_of.iter().zip(per_row) {
            best[class] = best[class].max(value);
        }
        best
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_class_files_say_where_they_are_bad() {
        for (text, needle) in
            [("", "background"), ("background\n", "background"), ("a\n\nb", "line 2"), ("a\nb\nB", "`B` occurs twice")]
        {
            let error = ClassList::parse(text).unwrap_err().to_string();
            assert!(error.contains(needle), "{error}");
        }
        let many = |count: usize| (0..count).map(|i| format!("class{i}")).collect::<Vec<_>>().join("\n");
        assert!(ClassList::parse(&many(MOST + 1)).is_err());
        assert_eq!(ClassList::parse(&many(300)).unwrap().len(), 300);
        let error = |text: &str| ClassList::parse(text).unwrap_err().to_string();
        assert!(error("background = maybe\na\nb").contains("true or false"));
        assert!(error("background = false\na\n").contains("two classes"));
        assert!(error("background = false\na\n\nb").contains("line 3"));
    }
}
