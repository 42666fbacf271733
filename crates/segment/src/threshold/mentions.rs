//! Which classes does a caption mention? Whole words, in any case; a name of several words is a phrase.
//!
//! A word is a longest run of letters and digits: `cat` is mentioned by "a cat's toys" and "cat-like", not by "caterpillar" or "cats" (the
//! plural is a word of its own: `cat | cats` in the class file). The longest name counts where several begin at one word, and its
//! words are used up: "a hot dog" mentions `hot dog`, not `dog`.

use crate::classes::ClassList;

/// The words of a class list, as they are looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mentions {
    /// Phrases with their classes, the longest first.
    phrases: Vec<(Vec<String>, usize)>,
}

impl Mentions {
    /// Looks for all classes of a list but the background.
    pub fn of(list: &ClassList) -> Self {
        let classes = usize::from(list.has_background())..list.len();
        let all = classes.flat_map(|class| list.words(class).iter().map(move |word| (words(word), class)));
        // A name without a letter or digit, such as `?`, is nothing that a caption could be searched for.
        let mut phrases: Vec<(Vec<String>, usize)> = all.filter(|(phrase, _)| !phrase.is_empty()).collect();
        phrases.sort_by_key(|(phrase, _)| std::cmp::Reverse(phrase.len()));
        Self { phrases }
    }

    /// The classes that a caption mentions, rising, each once.
    ///
    /// ```
    /// use simseg_segment::{ClassList, threshold::Mentions};
    /// let mentions = Mentions::of(&ClassList::parse("background\ncat | kitten\nfire engine")?);
    /// assert_eq!(mentions.classes("A Kitten sleeps on the fire-engine."), [1, 2]);
    /// assert_eq!(mentions.classes("a caterpillar by the fire"), [0usize; 0]);
    /// # Ok::<(), simseg_tensor::Error>(())
    /// ```
    pub fn classes(&self, caption: &str) -> Vec<usize> {
        let caption = words(caption);
        let (mut found, mut at) = (vec![], 0);
        while at < caption.len() {
            let here = |(phrase, _): &&(Vec<String>, usize)| caption[at..].starts_with(phrase);
            let longest = self.phrases.iter().find(here).map_or(1, |(phrase, _)| phrase.len());
            let begins = self.phrases.iter().filter(here).filter(|(phrase, _)| phrase.len() == longest);
            found.extend(begins.map(|(_, class)| *class));
            at += longest;
        }
        found.sort_unstable();
        found.dedup();
        found
    }
}

/// Runs of letters and digits, in small letters.
fn words(text: &str) -> Vec<String> {
    let runs = text.split(|c: char| !c.is_alphanumeric()).filter(|run| !run.is_empty());
    runs.map(str::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mentioned(list: &str, caption: &str) -> Vec<usize> {
        Mentions::of(&ClassList::parse(list).unwrap()).classes(caption)
    }

    #[test]
    fn only_whole_words_count_in_any_case() {
        let list = "background\ncat | kitten\ndog\ncar";
        for (caption, classes) in [
            ("a cat and a dog in the snow.", &[1, 2][..]),
            ("A CAT, two Kittens and a kitten; the cat's ball", &[1]),
            ("a caterpillar, a scat, cats, a cat2 and dog_s", &[2]),
            ("caretakers carry scarves", &[]),
            ("", &[]),
            ("the background", &[]),
        ] {
            assert_eq!(mentioned(list, caption), classes, "{caption}");
        }
        assert_eq!(mentioned("background = false\nsky\nÉléphant", "un ÉLÉPHANT, the sky"), [0, 1]);
    }

    #[test]
    fn names_of_several_words_are_phrases_and_the_longest_counts() {
        let list = "background\ndog\nhot dog\ntv monitor\n?";
        for (caption, classes) in [
            ("a hot dog", &[2][..]),
            ("a hot dog for a dog", &[1, 2]),
            ("a dog on a hot day", &[1]),
            ("the TV-monitor", &[3]),
            ("a monitor beside the tv, a tv with a monitor?", &[]),
            ("hot hot dog", &[2]),
        ] {
            assert_eq!(mentioned(list, caption), classes, "{caption}");
        }
        assert_eq!(mentioned("background\nt-shirt\nt shirt", "a T-shirt"), [1, 2], "two classes by one name");
    }
}
