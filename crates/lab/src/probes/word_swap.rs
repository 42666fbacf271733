//! Word swap: does a caption's score drop if it names another object, or another context (paper, fig. 3)?
//!
//! ```text
//! right    s(image, "a fish in the sea")
//! object   s(image, "a car in the sea")         mean over other objects, for each object named
//! context  s(image, "a fish in the desert")     mean over other contexts, for each context named
//! drop     right − object, right − context      ratio = mean drop(object) / mean drop(context)
//! ```
//!
//! A model that goes by context hardly notices the first (paper: .457 → .431) and does the second (.457 → .310). Images count whose
//! caption names both an object and a context, so that all means are over the same ones; where a list of words is empty, its half is left
//! out. No word takes another's place that the image's captions or label map name, or that the model's vocabulary lacks.

use super::{Seen, examples::Examples};
use crate::failure::{Failure, Outcome};
use simseg_data::{NamedWords, Tokenizer};
use simseg_segment::metrics::{Figure, Unit};
use simseg_tensor::{Tensor, random};
use std::ops::Range;

const fn number(name: &'static str, heading: &'static str, about: &'static str) -> Figure {
    Figure { name, heading, unit: Unit::Number, about }
}
const fn share(name: &'static str, heading: &'static str, about: &'static str) -> Figure {
    Figure { name, heading, unit: Unit::Share, about }
}

/// Its figures.
pub const FIGURES: [Figure; 8] = [
    number("swap_right", "score of the right caption", "mean score of an image with its own caption"),
    number("swap_object", "score, object swapped", "the same with another object's word"),
    number("swap_context", "score, context swapped", "the same with another context's word"),
    number("swap_object_drop", "drop, object swapped", "how much lower the score is with another object's word"),
    number("swap_context_drop", "drop, context swapped", "how much lower the score is with another context's word"),
    number(
        "swap_drop_ratio",
        "drop ratio, object / context",
        "drop(object) / drop(context), where the latter is above 0",
    ),
    share("swap_object_unmoved", "unmoved by object", "images whose score does not drop with another object's word"),
    share("swap_context_unmoved", "unmoved by context", "images whose score does not drop with another context's word"),
];

/// Where words stand in a caption: `(word, places)`, words by their place in the list. Upper and lower case are the same; of two words
/// that share letters (`light`, `traffic light`) the longer one counts, and no word is part of another.
pub fn named(caption: &str, words: &[String]) -> Vec<(usize, Vec<Range<usize>>)> {
    let mut order: Vec<usize> = (0..words.len()).collect();
    order.sort_by_key(|&word| std::cmp::Reverse(words[word].len()));
    let (mut taken, mut found) = (Vec::<Range<usize>>::new(), vec![]);
    for word in order {
        let length = words[word].len();
        let fits = |start: usize| {
            let end = start + length;
            let same = caption.get(start..end).is_some_and(|part| part.eq_ignore_ascii_case(&words[word]));
            let alone = |letter: Option<char>| !letter.is_some_and(char::is_alphanumeric);
            let free = taken.iter().all(|range| range.end <= start || end <= range.start);
            let edges = || alone(caption[..start].chars().next_back()) && alone(caption[end..].chars().next());
            length > 0 && same && free && edges()
        };
        let places: Vec<_> = (0..caption.len()).filter(|&start| fits(start)).map(|at| at..at + length).collect();
        if !places.is_empty() {
            taken.extend(places.iter().cloned());
            found.push((word, places));
        }
    }
    found.sort_by_key(|(_, places)| places[0].start);
    found
}

/// The caption with another word at these places, which rise.
fn replaced(caption: &str, places: &[Range<usize>], word: &str) -> String {
    let mut text = caption.to_owned();
    for place in places.iter().rev() {
        text.replace_range(place.clone(), word);
    }
    text
}

/// A caption with what may stand for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Swaps {
    /// The image.
    pub image: usize,
    /// Its caption.
    pub right: String,
    /// The caption with another object.
    pub objects: Vec<String>,
    /// The caption with another context.
    pub contexts: Vec<String>,
}

/// The captions that name what is swapped, each with at most `swaps` others for every word that it names.
///
/// # Errors
/// If no caption does, or the tokenizer fails.
pub fn swaps(examples: &Examples, tokenizer: &Tokenizer, swaps: usize, seed: u64) -> Outcome<Vec<Swaps>> {
    let known = |words: &[String]| -> Outcome<Vec<String>> {
        let unknown = tokenizer.unknown();
        let mut known = vec![];
        for word in words {
            if !unknown.is_some_and(|id| tokenizer.encode(word, 0).is_ok_and(|ids| ids.contains(&id))) {
                known.push(word.clone());
            }
        }
        Ok(known)
    };
    let NamedWords { objects, contexts } = &examples.words;
    let (objects, contexts) = (known(objects)?, known(contexts)?);
    // Whatever one of an image's captions names does not stand for anything in another of them.
    let mut there: Vec<Vec<String>> = examples.images.iter().map(|image| image.present.clone()).collect();
    for caption in &examples.captions {
        for words in [&objects, &contexts] {
            there[caption.image].extend(named(&caption.text, words).into_iter().map(|(word, _)| words[word].clone()));
        }
    }
    let mut all = vec![];
    for (index, caption) in examples.captions.iter().enumerate() {
        let mut rng = random::stream(seed, "word swap", index as u64);
        let mut others = |words: &[String]| {
            let mut sentences = vec![];
            for (_, places) in named(&caption.text, words) {
                let absent = |word: &&String| !there[caption.image].iter().any(|own| own.eq_ignore_ascii_case(word));
                let mut pool: Vec<&String> = words.iter().filter(absent).collect();
                for _ in 0..swaps.min(pool.len()) {
                    let word = pool.remove((random::uniform(&mut rng) * pool.len() as f64) as usize);
                    sentences.push(replaced(&caption.text, &places, word));
                }
            }
            sentences
        };
        let (own_objects, own_contexts) = (others(&objects), others(&contexts));
        let complete = |words: &[String], sentences: &[String]| words.is_empty() || !sentences.is_empty();
        if complete(&objects, &own_objects) && complete(&contexts, &own_contexts) {
            let (right, image) = (caption.text.clone(), caption.image);
            all.push(Swaps { image, right, objects: own_objects, contexts: own_contexts });
        }
    }
    if all.iter().all(|swaps| swaps.objects.is_empty() && swaps.contexts.is_empty()) {
        let (found, images) = (examples.captions.len(), examples.images.len());
        let text = format!(
            "expected captions that name an object and a context that the model knows; none of {found} ({images} images) does"
        );
        return Err(Failure::input("word-swap", text));
    }
    Ok(all)
}

/// Scores of an image: with its caption, and the means over captions with other words.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Swapped {
    /// Of its own caption.
    pub right: f64,
    /// Of captions with other objects.
    pub object: Option<f64>,
    /// Of captions with other contexts.
    pub context: Option<f64>,
}

/// Scores all swaps.
///
/// # Errors
/// As [`swaps`], or if the model fails.
pub fn measure<T: Tensor>(seen: &Seen<'_, T>, most: usize, seed: u64) -> Outcome<Vec<Swapped>> {
    let all = swaps(seen.examples, seen.model.tokenizer(), most, seed)?;
    scored(seen, &all)
}

/// The scores of swaps, one each.
///
/// # Errors
/// If the model fails.
pub fn scored<T: Tensor>(seen: &Seen<'_, T>, all: &[Swaps]) -> Outcome<Vec<Swapped>> {
    let sentences = |swaps: &Swaps| {
        let sentences = [std::slice::from_ref(&swaps.right), &swaps.objects, &swaps.contexts].concat();
        let image = swaps.image;
        sentences.into_iter().map(move |sentence| (image, sentence)).collect::<Vec<_>>()
    };
    let scores = seen.scores(&all.iter().flat_map(sentences).collect::<Vec<_>>())?;
    let mut scores = scores.into_iter();
    let mut mean = |count: usize| {
        let sum: f64 = scores.by_ref().take(count).sum();
        (count > 0).then(|| sum / count as f64)
    };
    let one = |swaps: &Swaps| Swapped {
        right: mean(1).unwrap_or(f64::NAN),
        object: mean(swaps.objects.len()),
        context: mean(swaps.contexts.len()),
    };
    Ok(all.iter().map(one).collect())
}

/// One value per figure; none for those that these scores do not have.
pub fn figures(all: &[Swapped]) -> [Option<f64>; 8] {
    let mean = |values: Vec<f64>| (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64);
    let half = |of: fn(&Swapped) -> Option<f64>| {
        let pairs: Vec<(f64, f64)> = all.iter().filter_map(|swapped| Some((swapped.right, of(swapped)?))).collect();
        let score = mean(pairs.iter().map(|(_, other)| *other).collect());
        let drop = mean(pairs.iter().map(|(right, other)| right - other).collect());
        let unmoved = mean(pairs.iter().map(|(right, other)| f64::from(u8::from(other >= right))).collect());
        [score, drop, unmoved]
    };
    let ([object, object_drop, by_object], [context, context_drop, by_context]) =
        (half(|swapped| swapped.object), half(|swapped| swapped.context));
    let ratio = object_drop.zip(context_drop).filter(|(_, context)| *context > 0.0).map(|(a, b)| a / b);
    let right = mean(all.iter().map(|swapped| swapped.right).collect());
    [right, object, context, object_drop, context_drop, ratio, by_object, by_context]
}

#[cfg(test)]
mod tests {
    use super::super::examples::{Caption, Example};
    use super::*;
    use simseg_data::Picture;

    fn owned(words: &[&str]) -> Vec<String> {
        words.iter().map(|&word| word.to_owned()).collect()
    }

    #[test]
    fn whole_words_are_found_and_the_longer_one_counts() {
        let words = owned(&["light", "traffic light", "car"]);
        let found = named("A Traffic Light, a car and a CAR by the carpet. Ein Licht für light", &words);
        let texts: Vec<(usize, usize)> = found.iter().map(|(word, places)| (*word, places.len())).collect();
        assert_eq!(texts, [(1, 1), (2, 2), (0, 1)]);
        assert_eq!(replaced("a car and a CAR.", &named("a car and a CAR.", &words)[0].1, "bus"), "a bus and a bus.");
        assert!(named("nothing", &words).is_empty() && named("", &words).is_empty());
    }

    fn examples(captions: &[(usize, &str)], present: &[&[&str]], words: NamedWords) -> Examples {
        let picture = Picture { width: 1, height: 1, rgb: vec![0; 3] };
        let image = |present: &&[&str]| Example {
            name: String::new(),
            picture: picture.clone(),
            labels: None,
            objects: vec![],
            present: owned(present),
        };
        let caption = |&(image, text): &(usize, &str)| Caption { image, text: text.to_owned() };
        Examples {
            images: present.iter().map(image).collect(),
            captions: captions.iter().map(caption).collect(),
            class_lines: vec![],
            words,
        }
    }

    #[test]
    fn no_word_is_swapped_for_one_that_is_there_or_unknown() {
        let words =
            NamedWords { objects: owned(&["cat", "dog", "fish", "cow", "zebra"]), contexts: owned(&["sea", "sky"]) };
        let tokenizer =
            Tokenizer::from_words(["a", "cat", "dog", "fish", "cow", "sea", "sky", "in", "the", "and"]).unwrap();
        let captions = [(0, "a cat in the sea"), (0, "a dog"), (1, "a cat and a cow in the sky"), (2, "a cow")];
        let examples = examples(&captions, &[&["fish"], &[], &[]], words);
        let all = swaps(&examples, &tokenizer, 9, 0).unwrap();
        // The second and the last caption name no context. In image 0 there are cat, dog and fish; nobody knows a zebra.
        assert_eq!(all.len(), 2);
        assert_eq!(all[0].objects, ["a cow in the sea"]);
        assert_eq!(all[0].contexts, ["a cat in the sky"]);
        let mut objects = all[1].objects.clone();
        objects.sort();
        let both = ["a cat and a dog", "a cat and a fish", "a dog and a cow", "a fish and a cow"];
        assert_eq!(objects, both.map(|start| format!("{start} in the sky")));
        let fewer = swaps(&examples, &tokenizer, 1, 0).unwrap();
        assert_eq!((fewer[1].objects.len(), fewer[1].contexts.len()), (2, 1));
        let objects_alone =
            Examples { words: NamedWords { contexts: vec![], ..examples.words.clone() }, ..examples.clone() };
        assert_eq!(swaps(&objects_alone, &tokenizer, 1, 0).unwrap().len(), 4);
        let strange = NamedWords { objects: owned(&["tree", "house"]), contexts: owned(&["city", "lake"]) };
        let error = swaps(&Examples { words: strange, ..examples }, &tokenizer, 1, 0).unwrap_err();
        assert!(error.to_string().contains("none of 4 (3 images)"), "{error}");
    }

    #[test]
    fn figures_by_hand() {
        let swapped = |right, object, context| Swapped { right, object: Some(object), context: Some(context) };
        // Drops of .25 and −.25 (object), .5 and .5 (context).
        let [right, object, context, a, b, ratio, by_object, by_context] =
            figures(&[swapped(0.75, 0.5, 0.25), swapped(0.25, 0.5, -0.25)]);
        assert_eq!((right, object, context), (Some(0.5), Some(0.5), Some(0.0)));
        assert_eq!((a, b, ratio), (Some(0.0), Some(0.5), Some(0.0)));
        assert_eq!((by_object, by_context), (Some(0.5), Some(0.0)));
        // An equal score did not drop; a ratio to no drop is no number.
        let [.., ratio, by_object, by_context] = figures(&[swapped(0.5, 0.25, 0.5)]);
        assert_eq!((ratio, by_object, by_context), (None, Some(0.0), Some(1.0)));
        let halves = figures(&[swapped(1.0, 0.75, 0.5), Swapped { context: None, ..swapped(1.0, 0.5, 0.0) }]);
        assert_eq!((halves[3], halves[4], halves[5]), (Some(0.375), Some(0.5), Some(0.75)));
        assert_eq!(figures(&[]), [None; 8]);
    }
}
