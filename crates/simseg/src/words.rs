//! Words to class embeddings: `"cat"` → 80 prompts → tokens → pooled → combined → one row of the class bank.

use crate::watch::{self, Unwatched, Watch};
use crate::{Model, Result};
use simseg_model::{Side, TokenBatch, Tokens};
use simseg_segment::{ClassBank, ClassList, Encoded};
use simseg_tensor::{NoTap, Tensor};

/// Classes that a model looks for: their words, and their embeddings under its recipe.
#[derive(Debug, Clone)]
pub struct Words<T: Tensor> {
    /// The words.
    pub list: ClassList,
    /// The embeddings.
    pub bank: ClassBank<T>,
}

impl<T: Tensor> Model<T> {
    /// Embeds words, one class each; `"cat | kitten"` gives a class several. Class 0 is the background: it is put in front
    /// unless the first word is `background`. For classes without a background see [`Self::classes`].
    ///
    /// # Errors
    /// If there is no word, one is empty, has a line break or occurs twice ([`ClassList::of_words`]).
    pub fn words<W: AsRef<str>>(&self, words: impl IntoIterator<Item = W>) -> Result<Words<T>> {
        self.classes(ClassList::of_words(words)?)
    }

    /// Embeds a class list.
    ///
    /// # Errors
    /// If the model fails.
    pub fn classes(&self, list: ClassList) -> Result<Words<T>> {
        self.classes_watched(list, &mut Unwatched)
    }

    /// The same, telling how many words are done.
    ///
    /// # Errors
    /// If the model fails, or [`crate::Error::Cancelled`].
    pub fn classes_watched(&self, list: ClassList, watch: &mut dyn Watch) -> Result<Words<T>> {
        let templates = self.recipe().prompts.templates.lines()?;
        let needs = self.segmenter().needs(self.aligner());
        let embedded = list.clone().with_background_words(&self.recipe().prompts.background);
        let of = (0..list.len()).map(|class| embedded.words(class).len()).sum();
        let (mut done, mut stopped) = (0, None);
        let bank = ClassBank::build(&embedded, &templates, self.segmenter().score(), needs.prompts, |words| {
            // Words of one batch share buckets: so many of them are done as sentences are.
            let mut step = |sentences: usize, of_sentences: usize| {
                let share = words.len() * sentences / of_sentences.max(1);
                watch::step(watch, done + share, of).map_err(|error| {
                    stopped = Some(error);
                    simseg_tensor::Error::setting("words", "cancelled")
                })
            };
            let tokens = self.grouped_tokens(words, &mut step)?;
            done += words.len();
            let pooled = |tokens: Tokens<T>| Ok(Encoded { pooled: self.aligner().pool(Side::Text, &tokens)?, tokens });
            tokens.into_iter().map(pooled).collect()
        });
        match (stopped, bank) {
            (Some(error), _) => Err(error),
            (None, bank) => Ok(Words { list, bank: bank? }),
        }
    }

    /// Pooled, normalised embeddings `[p, e]` of sentences; the recipe's prompt settings hold for them all.
    ///
    /// # Errors
    /// If the model fails.
    pub fn embed(&self, sentences: &[String]) -> Result<T> {
        Ok(self.aligner().pool(Side::Text, &self.prompt_tokens(sentences)?)?)
    }

    /// Token ids of sentences, each at its own length, cut as the recipe and the model have it.
    ///
    /// # Errors
    /// If the tokenizer fails on one.
    pub fn prompt_ids(&self, sentences: &[String]) -> simseg_tensor::Result<Vec<Vec<u32>>> {
        let encode = |sentence: &String| self.tokenizer().encode(sentence, self.most_tokens());
        let ids = sentences.iter().map(encode).collect::<std::result::Result<_, _>>();
        ids.map_err(|error| simseg_tensor::Error::setting("prompts", error.to_string()))
    }

    /// Tokens of a prompt, at most.
    fn most_tokens(&self) -> usize {
        self.recipe().prompts.max_tokens.min(self.network_config().positions())
    }

    /// Projected tokens `[p, m, e]` of sentences, with their lengths.
    ///
    /// # Errors
    /// If the model fails.
    pub fn prompt_tokens(&self, sentences: &[String]) -> simseg_tensor::Result<Tokens<T>> {
        use simseg_model::pool::Padding;
        let prompts = &self.recipe().prompts;
        let most = self.most_tokens();
        let ids = self.prompt_ids(sentences)?;
        // True lengths: padding is hidden from attention and pooling, so it would only cost time …
        let padded = match prompts.padding {
            Padding::Compete => most, // … except where it takes part.
            _ => 0,
        };
        let batch = TokenBatch::new(&ids, self.tokenizer().pad(), padded)?;
        self.network().encode_text(&batch, &mut NoTap)
    }
}

/// A class file: one class a line, the background first unless `background = false` stands there; `cat | kitten` gives a class several words.
///
/// # Errors
/// One line that names the file and what is wrong in it.
#[cfg(feature = "fs")]
pub fn class_file(path: &std::path::Path) -> Result<ClassList> {
    ClassList::parse(&crate::settings::read_text(path)?).map_err(|error| crate::Error::file(path, error))
}

#[cfg(all(test, feature = "fs"))]
mod tests {
    use crate::{Model, Recipe, Result};
    use simseg_tensor::Ops;

    #[test]
    fn the_background_may_have_words_of_its_own() -> Result<()> {
        let model = Model::open(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/tiny"))?;
        let plain = model.words(["fish", "sky"])?;
        let mut recipe = Recipe::plain();
        recipe.prompts.background = vec!["sea".into(), "sky".into(), "snow".into()];
        let with = model.with_recipe(recipe.clone())?.words(["fish", "sky"])?;
        assert_eq!((with.list.names(), &with.bank.class_of[..]), (plain.list.names(), &[0, 0, 1, 2][..]));
        let row = |words: &super::Words<simseg_cpu::CpuTensor<f32>>, row: usize| {
            let rows = &words.bank.embeddings;
            rows.to_f32().unwrap().chunks(rows.width()).nth(row).unwrap().to_vec()
        };
        assert_eq!(row(&with, 2), row(&plain, 1), "the classes' own rows stay");
        assert_eq!(row(&with, 0), row(&model.words(["sea"])?, 1));
        recipe.prompts.background.push(" ".into());
        assert!(model.with_recipe(recipe).is_err_and(|error| error.to_string().contains("prompts.background")));
        Ok(())
    }
}
