//! A `tokenizer.json` of somebody else's: the library that reads it takes rules for granted that a file need not keep, and panics
//! where they do not hold. What is known to be such a file is refused by name; the rest is caught.

use super::Tokenizer;

/// A `tokenizer.json`, without the padding and cutting that it may ask for: batches decide those here.
pub(super) fn parse(text: &str) -> Result<Tokenizer, String> {
    let not = |error: &dyn std::fmt::Display| format!("not a tokenizer: {error}");
    let mut json: serde_json::Value = serde_json::from_str(text).map_err(|error| not(&error))?;
    if json.get("normalizer").is_some_and(|normalizer| normalizer.to_string().contains("Precompiled")) {
        return Err("a SentencePiece tokenizer; expected that of a BERT or a CLIP".into());
    }
    if let Some(piece) = json.get("post_processor").and_then(undefined_piece) {
        return Err(format!("not a tokenizer: its template uses `{piece}`, which it does not define"));
    }
    // Nothing here is ever decoded, and the library that reads the rest panics at a decoder that it does not know.
    if let Some(decoder) = json.get_mut("decoder") {
        *decoder = serde_json::Value::Null;
    }
    let mut inner: tokenizers::Tokenizer = caught(|| serde_json::from_value(json))
        .ok_or_else(|| not(&"its rules contradict each other"))?
        .map_err(|error| not(&error))?;
    inner.with_padding(None);
    inner.with_truncation(None).map_err(|error| error.to_string())?;
    let pad = ["[PAD]", "<pad>", "<|endoftext|>"].iter().find_map(|token| inner.token_to_id(token));
    Ok(Tokenizer { inner, pad: pad.unwrap_or(0), words: vec![] })
}

/// The first special token of a template that its table lacks, or a second sentence in a template of one: the library takes for
/// granted that there is neither.
fn undefined_piece(processor: &serde_json::Value) -> Option<String> {
    if let Some(inner) = processor.get("processors").and_then(serde_json::Value::as_array) {
        return inner.iter().find_map(undefined_piece);
    }
    let table = processor.get("special_tokens");
    let templates = ["single", "pair"].iter().filter_map(|name| processor.get(name)?.as_array());
    let ids = templates.flatten().filter_map(|piece| piece.get("SpecialToken")?.get("id")?.as_str());
    let single = processor.get("single").and_then(serde_json::Value::as_array).into_iter().flatten();
    let mut sentences = single.filter_map(|piece| piece.get("Sequence")?.get("id")?.as_str());
    if sentences.any(|id| id != "A") {
        return Some("B".into());
    }
    ids.filter(|id| table.and_then(|table| table.get(id)).is_none()).map(str::to_owned).next()
}

/// What comes of a call into `tokenizers`, which takes some rules of a `tokenizer.json` for granted and panics where they do not
/// hold (an index beyond a text that a rule has made shorter, say); none if it does.
pub(super) fn caught<T>(call: impl FnOnce() -> T) -> Option<T> {
    // What the call was given is not used again after a panic, or only read: a tokenizer does not change when it encodes.
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(call)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tokenizer_whose_rules_contradict_each_other_is_refused_or_fails_with_an_error() {
        let of = |template: &str, table: &str| {
            let template = format!(
                r#"{{"type":"TemplateProcessing","single":[{template}],"pair":[],"special_tokens":{{{table}}}}}"#
            );
            Tokenizer::from_bytes(
                format!(
                    r###"{{"version":"1.0","added_tokens":[],"normalizer":null,"pre_tokenizer":null,"post_processor":{template},
                    "decoder":{{"type":"NobodyKnows"}},"model":{{"type":"WordPiece","unk_token":"[UNK]","continuing_subword_prefix":"##",
                    "max_input_chars_per_word":100,"vocab":{{"[UNK]":0,"[CLS]":1}}}}}}"###
                )
                .as_bytes(),
            )
        };
        let (cls, a, b) = (
            r#"{"SpecialToken":{"id":"[CLS]","type_id":0}}"#,
            r#"{"Sequence":{"id":"A","type_id":0}}"#,
            r#"{"Sequence":{"id":"B","type_id":0}}"#,
        );
        let table = r#""[CLS]":{"id":"[CLS]","ids":[1],"tokens":["[CLS]"]}"#;
        assert_eq!(of(&format!("{cls},{a}"), table).unwrap().encode("x", 0).unwrap(), [1, 0]);
        assert!(of(&format!("{cls},{a}"), "").unwrap_err().to_string().contains("`[CLS]`"));
        assert!(of(&format!("{a},{b}"), table).unwrap_err().to_string().contains("`B`"));
        let piece = br#"{"normalizer":{"type":"Precompiled"},"model":{}}"#;
        assert!(Tokenizer::from_bytes(piece).unwrap_err().to_string().contains("SentencePiece"));
        assert!(caught(|| [0][std::hint::black_box(1)]).is_none());
    }
}
