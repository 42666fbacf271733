//! Many sentences through the text encoder: each distinct one once, those of one length together.
//!
//! ```text
//! prompts of some words → token ids → distinct, by length → batches of one length → tokens [p, m, e] of every word
//! ```
//!
//! A batch of one length has no padding to compute, and its products have many rows. A sentence's features do not depend on what is
//! encoded beside it, and padding is hidden from pooling or takes part in it at the width that the recipe says; so every word gets
//! what encoding its prompts by themselves would give, on the cpu backend to the bit (test `buckets_change_no_bit`).

use crate::Model;
use simseg_model::pool::Padding;
use simseg_model::{TokenBatch, Tokens};
use simseg_tensor::{Error, NoTap, Ops, Result, Tensor};
use std::collections::BTreeMap;

/// Tokens of a batch, at most: enough rows for a product to run at full speed, few enough for its activations to be small (25 MB in an
/// MLP 3,072 wide).
const TOKENS: usize = 2048;

impl<T: Tensor> Model<T> {
    /// Projected tokens `[p, m, e]` of several groups of sentences, with their lengths. `step` hears how many of the sentences are done,
    /// and of how many.
    pub(crate) fn grouped_tokens(
        &self,
        groups: &[Vec<String>],
        step: &mut dyn FnMut(usize, usize) -> Result<()>,
    ) -> Result<Vec<Tokens<T>>> {
        let prompts = &self.recipe().prompts;
        let most = prompts.max_tokens.min(self.network_config().positions());
        let encode = |sentence: &String| {
            self.tokenizer().encode(sentence, most).map_err(|error| Error::setting("prompts", error.to_string()))
        };
        let ids = groups.iter().map(|group| group.iter().map(encode).collect::<Result<Vec<_>>>());
        let ids = ids.collect::<Result<Vec<Vec<Vec<u32>>>>>()?;
        // True lengths: padding is hidden from attention and pooling, so it would only cost time, except where it takes part.
        let padded = if prompts.padding == Padding::Compete { most } else { 0 };
        // By width, then by ids: the distinct sentences in batches of one width.
        let mut encoded: BTreeMap<(usize, &[u32]), Option<T>> = BTreeMap::new();
        for ids in ids.iter().flatten() {
            encoded.insert((ids.len().max(padded), ids), None);
        }
        let (mut done, of) = (0, encoded.len());
        let mut waiting: Vec<_> = encoded.iter_mut().collect();
        while let Some(((width, _), _)) = waiting.first() {
            let (width, rows) = (*width, (TOKENS / width.max(&1)).max(1));
            let alike = waiting.iter().take(rows).take_while(|((other, _), _)| *other == width).count();
            step(done, of)?;
            let batch: Vec<_> = waiting.drain(..alike).collect();
            let sentences: Vec<&[u32]> = batch.iter().map(|((_, ids), _)| *ids).collect();
            let tokens = TokenBatch::new(&sentences, self.tokenizer().pad(), padded)?;
            let values = self.network().encode_text(&tokens, &mut NoTap)?.values; // [s, width, e]
            for (row, (_, own)) in batch.into_iter().enumerate() {
                *own = Some(values.slice(0, row, 1)?);
            }
            done += alike;
        }
        drop(waiting);
        let of_sentence = |ids: &[u32]| {
            let tokens = encoded.get(&(ids.len().max(padded), ids)).cloned().flatten();
            tokens.ok_or_else(|| Error::setting("prompts", "a sentence without tokens"))
        };
        let together = |ids: &Vec<Vec<u32>>| {
            let lengths: Vec<usize> = ids.iter().map(Vec::len).collect();
            let width = lengths.iter().copied().fold(padded, usize::max);
            let rows = ids.iter().map(|ids| filled_up(of_sentence(ids)?, width)).collect::<Result<Vec<T>>>()?;
            Ok(Tokens { values: T::concat(&rows.iter().collect::<Vec<_>>(), 0)?, lengths: Some(lengths) })
        };
        ids.iter().map(together).collect()
    }
}

/// `[1, m, e]` with zeros behind, up to `width` tokens.
fn filled_up<T: Tensor>(tokens: T, width: usize) -> Result<T> {
    let [_, m, e] = tokens.dims()?;
    if m == width {
        return Ok(tokens);
    }
    let rest = T::from_host(&vec![0.0f32; (width - m) * e], &[1, width - m, e], &tokens.device())?;
    T::concat(&[&tokens, &rest], 1)
}

#[cfg(all(test, feature = "fs"))]
mod tests {
    use super::*;
    use crate::Recipe;
    use simseg_model::Side;

    /// Sentences of several lengths, some twice, in groups of several sizes.
    fn groups() -> Vec<Vec<String>> {
        let group = |sentences: &[&str]| sentences.iter().map(|&sentence| sentence.to_owned()).collect();
        vec![
            group(&["fish", "a picture of a fish near the sea", "fish"]),
            group(&["a balloon over the snow at night", "sheep"]),
            group(&["a picture of a fish near the sea"]),
        ]
    }

    #[test]
    fn buckets_change_no_bit() -> crate::Result<()> {
        let model = Model::open(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/tiny"))?;
        for padding in [Padding::PerCaption, Padding::ShortestInBatch, Padding::Compete] {
            let mut recipe = Recipe::plain();
            (recipe.prompts.padding, recipe.prompts.max_tokens) = (padding, 12);
            let model = model.with_recipe(recipe)?;
            let mut seen = vec![];
            let all = model.grouped_tokens(&groups(), &mut |done, of| {
                seen.push((done, of));
                Ok(())
            })?;
            for (together, group) in all.iter().zip(groups()) {
                let pooled = |tokens: &Tokens<_>| model.aligner().pool(Side::Text, tokens)?.to_f32();
                let alone = model.prompt_tokens(&group)?;
                assert_eq!(together.lengths, alone.lengths);
                assert_eq!(together.values.shape(), alone.values.shape());
                assert_eq!(pooled(together)?, pooled(&alone)?, "{padding:?}");
                let (a, b, e) = (together.values.to_f32()?, alone.values.to_f32()?, together.values.width());
                for (i, &length) in alone.lengths.iter().flatten().enumerate() {
                    let from = i * alone.values.shape()[1] * e;
                    let compared = if padding == Padding::Compete { alone.values.shape()[1] } else { length };
                    assert_eq!(a[from..from + compared * e], b[from..from + compared * e], "{padding:?} {i}");
                }
            }
            // Four distinct sentences; one batch for each length that there is.
            let batches = if padding == Padding::Compete { 1 } else { 3 };
            assert_eq!((seen.len(), seen[0]), (batches, (0, 4)), "{padding:?} {seen:?}");
        }
        Ok(())
    }
}
