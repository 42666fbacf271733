//! Caption noise against the released code, given the same draws; `fixtures/pytorch/caption_noise.py` wrote what it gave.

use serde::Deserialize;
use simseg_data::tokenizer::noise::{Change, restored};

#[derive(Deserialize)]
struct Case {
    tokens: Vec<String>,
    changes: Vec<Named>,
    text: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Named {
    Keep,
    Mask,
    Delete,
    Replace(String),
}

#[test]
fn the_same_draws_make_the_same_text() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/pytorch/caption_noise.json");
    let cases: Vec<Case> = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert!(cases.len() >= 100);
    let mut seen = [0; 4];
    for Case { tokens, changes, text } in cases {
        let mut words = vec![];
        let changes: Vec<Change> = changes
            .into_iter()
            .map(|change| match change {
                Named::Keep => (0, Change::Keep),
                Named::Mask => (1, Change::Mask),
                Named::Delete => (2, Change::Delete),
                Named::Replace(word) => {
                    words.push(word);
                    (3, Change::Replace(words.len() as u32 - 1))
                }
            })
            .map(|(kind, change)| {
                seen[kind] += 1;
                change
            })
            .collect();
        assert_eq!(restored(&tokens, &changes, |id| words[id as usize].clone()), text, "{tokens:?} {changes:?}");
    }
    assert!(seen.iter().all(|count| *count > 50), "{seen:?}");
}
