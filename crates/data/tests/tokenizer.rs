//! Our tokenizers against Hugging Face's on odd strings: accents, CJK, punctuation, long words, special tokens in the text.
//! `golden/tokenizer.py` wrote what they said.

use simseg_data::Tokenizer;

#[derive(serde::Deserialize)]
struct Golden {
    words: Vec<String>,
    merges: Vec<String>,
    cases: Vec<Case>,
}

#[derive(serde::Deserialize)]
struct Case {
    text: String,
    bert: Vec<u32>,
    bert_cut: Vec<u32>,
    clip: Vec<u32>,
    clip_cut: Vec<u32>,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("golden/tokenizer.json")).unwrap()
}

#[test]
fn word_piece_says_what_hugging_face_says() {
    let golden = golden();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("vocab.txt"), golden.words.join("\n") + "\n").unwrap();
    let tokenizer = Tokenizer::load(&dir.path().join("vocab.txt")).unwrap();
    assert_eq!(tokenizer.vocabulary(), golden.words.len());
    for case in &golden.cases {
        assert_eq!(tokenizer.encode(&case.text, 0).unwrap(), case.bert, "{:?}", case.text);
        assert_eq!(tokenizer.encode(&case.text, 6).unwrap(), case.bert_cut, "{:?} cut to 6", case.text);
    }
}

#[test]
fn byte_pairs_say_what_hugging_face_says() {
    let golden = golden();
    let dir = tempfile::tempdir().unwrap();
    // Once from the merges alone, as OpenAI ships them, once saved as tokenizer.json and read back.
    let title = "\"bpe_simple_vocab_16e6.txt#version: 0.2\n";
    let merges = dir.path().join("bpe.txt");
    std::fs::write(&merges, title.to_owned() + &golden.merges.join("\n") + "\n").unwrap();
    let first = Tokenizer::load(&merges).unwrap();
    first.save(dir.path()).unwrap();
    let second = Tokenizer::load(dir.path()).unwrap();
    assert_eq!(first.vocabulary(), 512 + golden.merges.len() + 2);
    for tokenizer in [first, second] {
        for case in &golden.cases {
            assert_eq!(tokenizer.encode(&case.text, 0).unwrap(), case.clip, "{:?}", case.text);
            assert_eq!(tokenizer.encode(&case.text, 6).unwrap(), case.clip_cut, "{:?} cut to 6", case.text);
        }
        assert_eq!(tokenizer.pad(), tokenizer.id("<|endoftext|>").unwrap());
    }
}

#[test]
fn a_batch_is_its_sentences_one_by_one() {
    let tokenizer = Tokenizer::from_words(["a", "cat", "dog"]).unwrap();
    let batch = tokenizer.encode_batch(&["a cat", "dog", ""], 25).unwrap();
    assert_eq!(batch, [vec![2, 5, 6, 3], vec![2, 7, 3], vec![2, 3]]);
}

#[test]
fn what_is_no_vocabulary_is_an_error_that_names_the_file() {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("a.json", "{"),
        ("b.json", "[1]"),
        ("c.json", "{\"a\": 1}"),
        ("d.txt", "#version\na\n"),
        ("e.txt", "a\nb\n"),
        ("f.txt", ""),
    ] {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        let error = Tokenizer::load(&path).unwrap_err().to_string();
        assert!((error.contains(name) || error.contains("merges.txt")) && !error.contains('\n'), "{error}");
    }
    assert!(Tokenizer::load(&dir.path().join("none.txt")).is_err());
    assert!(Tokenizer::load(dir.path()).unwrap_err().to_string().contains("vocab.txt"));
}
