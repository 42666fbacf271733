//! Words that a model cannot tell apart: named before anything is segmented.

use simseg::{Model, Words};
use simseg_segment::prompts::fill;
use simseg_tensor::{Ops, Tensor};

/// Embeddings nearer than this are the same: other words differ by a thousand times more.
const SAME: f32 = 1e-6;
/// Most words or pairs that a line names.
const MOST: usize = 10;

/// A line for each kind of doubt.
///
/// # Errors
/// If the backend or the tokenizer fails.
pub fn doubts<T: Tensor>(model: &Model<T>, words: &Words<T>) -> simseg::Result<Vec<String>> {
    let (list, tokenizer) = (&words.list, model.tokenizer());
    let most = model.recipe().prompts.max_tokens.min(model.network_config().positions());
    let templates = model.recipe().prompts.templates.lines()?;
    let (mut unknown, mut cut) = (vec![], vec![]);
    for word in (0..list.len()).flat_map(|class| list.words(class)) {
        let ids = tokenizer.encode(word, 0)?;
        if tokenizer.unknown().is_some_and(|id| ids.contains(&id)) {
            unknown.push(word.clone());
        }
        for prompt in fill(&templates, word) {
            if tokenizer.encode(&prompt, 0)?.len() > most {
                cut.push(word.clone());
                break;
            }
        }
    }
    let mut lines = vec![];
    if !unknown.is_empty() {
        lines.push(format!(
            "the vocabulary has no tokens for {}: unknown words ([UNK]) all look the same",
            named(&unknown)
        ));
    }
    if !cut.is_empty() {
        lines.push(format!("with a prompt around them longer than {most} tokens, and cut: {}", named(&cut)));
    }
    let same = same(&words.bank.embeddings.to_f32()?, &words.bank.class_of);
    let same: Vec<String> = same.iter().map(|&(a, b)| format!("{} and {}", list.name(a), list.name(b))).collect();
    if !same.is_empty() {
        lines.push(format!("with the same embedding, so that no picture tells them apart: {}", named(&same)));
    }
    Ok(lines)
}

/// Pairs of classes that share an embedding.
fn same(rows: &[f32], class_of: &[usize]) -> Vec<(usize, usize)> {
    let width = rows.len() / class_of.len().max(1);
    let mut pairs = vec![];
    for (j, later) in rows.chunks(width.max(1)).enumerate() {
        for (i, earlier) in rows.chunks(width.max(1)).take(j).enumerate() {
            let (a, b) = (class_of[i], class_of[j]);
            let near = earlier.iter().zip(later).all(|(x, y)| (x - y).abs() <= SAME);
            if a != b && near && !pairs.contains(&(a, b)) {
                pairs.push((a, b));
            }
        }
    }
    pairs
}

fn named(names: &[String]) -> String {
    match names.len().checked_sub(MOST) {
        Some(more @ 1..) => format!("{} and {more} more", names[..MOST].join(", ")),
        _ => names.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::same;

    #[test]
    fn classes_with_one_embedding_are_paired_and_synonyms_are_not() {
        let rows = [1.0, 0.0, 0.0, 1.0, 0.0, 1.0, 1.0, 1e-7];
        assert_eq!(same(&rows, &[0, 1, 1, 2]), [(0, 2)]);
    }
}
