//! Checkpoints as trainers and hubs write them: metadata beside the weights, wrappers around names, parts, old formats,
//! TorchScript, and what `config.json` says. The files are made here, from the fixtures' weights.

#[path = "common/program.rs"]
mod program;
#[path = "common/torch.rs"]
mod torch;

use program::{ok, refused, simseg, text};
use safetensors::SafeTensors;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Output;
use torch::{Values, pth, script};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/pytorch/import")
}

fn import(checkpoint: &Path, vocab: &str, out: &Path, more: &[&str]) -> Output {
    let vocab = fixtures().join(vocab);
    let arguments = ["import", text(checkpoint), "--vocab", text(&vocab), "--out", text(out)];
    simseg(&[&arguments[..], more].concat())
}

/// The tensors of a fixture.
fn tensors(name: &str) -> BTreeMap<String, Values> {
    let bytes = std::fs::read(fixtures().join(name)).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let all = file.tensors().into_iter().filter(|(_, view)| view.dtype() == safetensors::Dtype::F32);
    all.map(|(name, view)| (name, Values { shape: view.shape().to_vec(), bytes: view.data().to_vec() })).collect()
}

fn save(path: &Path, tensors: &BTreeMap<String, Values>) {
    let view = |x: &Values| {
        safetensors::tensor::TensorView::new(
            safetensors::Dtype::F32,
            x.shape.clone(),
            Box::leak(x.bytes.clone().into_boxed_slice()),
        )
        .unwrap()
    };
    safetensors::serialize_to_file(tensors.iter().map(|(name, x)| (name.clone(), view(x))), None, path).unwrap();
}

fn weights(model: &Path) -> Vec<u8> {
    std::fs::read(model.join("model.safetensors")).unwrap()
}

/// The fixture's CLIP, imported as it is.
fn clip(folder: &Path) -> Vec<u8> {
    let out = folder.join("plain");
    ok(&import(&fixtures().join("openai.safetensors"), "clip", &out, &[]));
    weights(&out)
}

#[test]
fn what_trainers_leave_beside_the_weights_is_named_and_the_weights_are_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let (plain, tensors) = (clip(folder.path()), tensors("openai.safetensors"));
    // Under every usual name, with every usual prefix; beside it what trainers write.
    let beside: [(&str, &[u8]); 7] = [
        ("torch_version", b"ctorch.torch_version\nTorchVersion\nX\x05\x00\x00\x002.1.0\x85\x81"),
        ("args", b"cargparse\nNamespace\n)\x81}X\x02\x00\x00\x00lrG?\x1a6\xe2\xeb\x1cC-sb"),
        ("dtype", b"ctorch\nbfloat16\n"),
        ("seen", b"c__builtin__\nset\n](K\x01K\x02e\x85R"),
        ("best", b"cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\nX\x02\x00\x00\x00f8K\x00K\x01\x87RC\x08\x00\x00\x00\x00\x00\x00\xf0?\x86R"),
        ("out", b"cpathlib\nPosixPath\nX\x01\x00\x00\x00/\x85R"),
        ("counts", b"ccollections\nCounter\n}X\x01\x00\x00\x00aK\x02s\x85R"),
    ];
    for (holder, prefix) in
        [("state_dict", ""), ("model", "module."), ("module", "_orig_mod."), ("net", "model.module."), ("", "module.")]
    {
        let file = folder.path().join("trained.pth");
        let renamed = tensors.iter().map(|(name, values)| (format!("{prefix}{name}"), values.clone())).collect();
        std::fs::write(&file, pth(&renamed, holder, if holder.is_empty() { &[] } else { &beside })).unwrap();
        let out = folder.path().join("out");
        let said = ok(&import(&file, "clip", &out, &[]));
        assert!(weights(&out) == plain, "{holder} {prefix}");
        for (name, _) in beside.iter().filter(|_| !holder.is_empty()) {
            assert!(said.contains(&format!("unused {name}")), "{name}: {said}");
        }
    }
}

#[test]
fn the_format_before_pytorch_1_6_and_torchscript_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let (plain, tensors) = (clip(folder.path()), tensors("openai.safetensors"));
    for (name, bytes) in [("old.pth", torch::legacy(&tensors)), ("ViT.pt", script(&tensors))] {
        let (file, out) = (folder.path().join(name), folder.path().join("out"));
        std::fs::write(&file, &bytes).unwrap();
        ok(&import(&file, "clip", &out, &[]));
        assert!(weights(&out) == plain, "{name}");
        // Cut anywhere, it is an error in one line.
        for end in (0..bytes.len()).step_by(bytes.len() / 40) {
            std::fs::write(&file, &bytes[..end]).unwrap();
            let line = refused(&import(&file, "clip", &folder.path().join("never"), &[]));
            assert!(line.contains(name), "{line}");
        }
    }
}

#[test]
fn a_checkpoint_in_parts_is_read_by_its_index_or_by_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let (plain, tensors) = (clip(folder.path()), tensors("openai.safetensors"));
    let at = |name: &str| folder.path().join(name);
    let half = tensors.len() / 2;
    let parts: [BTreeMap<_, _>; 2] =
        [tensors.clone().into_iter().take(half).collect(), tensors.clone().into_iter().skip(half).collect()];
    let mut map = serde_json::Map::new();
    for (number, part) in parts.iter().enumerate() {
        let name = format!("model-0000{}-of-00002.safetensors", number + 1);
        save(&at(&name), part);
        part.keys().for_each(|tensor| drop(map.insert(tensor.clone(), name.clone().into())));
    }
    let index = at("model.safetensors.index.json");
    let write = |map: &serde_json::Map<String, serde_json::Value>| {
        std::fs::write(&index, serde_json::json!({ "metadata": {}, "weight_map": map }).to_string()).unwrap();
    };
    write(&map);
    for source in [&index, &folder.path().to_path_buf()] {
        ok(&import(source, "clip", &at("out"), &[]));
        assert!(weights(&at("out")) == plain);
    }
    map.insert("stray".into(), "../elsewhere.safetensors".into());
    write(&map);
    assert!(refused(&import(&index, "clip", &at("out"), &[])).contains("../elsewhere.safetensors"));
    std::fs::write(&index, "[1]").unwrap();
    assert!(refused(&import(&index, "clip", &at("out"), &[])).contains("weight_map"));
}

/// The fixture's BERT at a width at which the number of heads is open: zeros, since only shapes matter here.
fn wide_bert() -> BTreeMap<String, Values> {
    let mut tensors = tensors("bert.safetensors");
    let narrow = tensors.iter().find(|(name, _)| name.ends_with("word_embeddings.weight")).unwrap().1.shape[1];
    for (name, values) in &mut tensors {
        let rows = if name.contains("embeddings.weight") { 1 } else { 0 }; // numbers of words and positions stay
        for length in values.shape.iter_mut().skip(rows).filter(|length| **length == narrow) {
            *length = 128;
        }
        values.bytes = vec![0; 4 * values.shape.iter().product::<usize>()];
    }
    tensors
}

#[test]
fn heads_that_shapes_do_not_tell_are_asked_for_or_read_from_the_description() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (vit, bert) = (fixtures().join("vit.safetensors"), at("bert.safetensors"));
    save(&bert, &wide_bert());
    let import = |more: &[&str]| {
        import(&vit, "vocab.txt", &at("out"), &[&["--text", text(&bert), "--projection", "8"], more].concat())
    };
    let heads = || {
        let config: serde_json::Value = serde_json::from_slice(&std::fs::read(at("out/config.json")).unwrap()).unwrap();
        config["model"]["text"]["heads"].as_u64().unwrap()
    };
    let asked = refused(&import(&[]));
    assert!(asked.contains("--heads") && asked.contains("128 channels"), "{asked}");
    assert!(ok(&import(&["--heads", "1,4"])).contains("text heads: 4 of 32 channels (--heads)"));
    assert_eq!(heads(), 4);
    assert!(refused(&import(&["--heads", "1,5"])).contains("5 heads"));

    let describe = |text: &str| std::fs::write(at("config.json"), text).unwrap();
    describe(
        r#"{"model_type": "bert", "hidden_size": 128, "num_attention_heads": 8, "hidden_act": "gelu", "layer_norm_eps": 1e-12}"#,
    );
    let said = ok(&import(&[]));
    assert!(said.contains("8 of 16 channels") && said.contains("config.json"), "{said}");
    assert_eq!(heads(), 8);
    for (description, needle) in [
        (r#"{"model_type": "roberta"}"#, "roberta"),
        (r#"{"model_type": "bert", "hidden_act": "relu", "num_attention_heads": 4}"#, "hidden_act"),
        (r#"{"model_type": "bert", "layer_norm_eps": 1e-5, "num_attention_heads": 4}"#, "layer_norm_eps"),
        (
            r#"{"model_type": "bert", "position_embedding_type": "relative_key", "num_attention_heads": 4}"#,
            "relative_key",
        ),
        (r#"{"model_type": "bert", "hidden_size": 768, "num_attention_heads": 12}"#, "768 channels"),
        ("{", "no JSON"),
    ] {
        describe(description);
        let line = refused(&import(&[]));
        assert!(line.contains(needle) && line.contains("config.json"), "{line}");
    }
}

#[test]
fn roberta_is_known_by_its_token_types() {
    let folder = tempfile::tempdir().unwrap();
    let mut tensors = tensors("bert.safetensors");
    let types = tensors.iter_mut().find(|(name, _)| name.ends_with("token_type_embeddings.weight")).unwrap().1;
    types.shape[0] = 1;
    types.bytes.truncate(4 * types.shape[1]);
    let file = folder.path().join("roberta.safetensors");
    save(&file, &tensors);
    let line = refused(&import(
        &fixtures().join("vit.safetensors"),
        "vocab.txt",
        &folder.path().join("out"),
        &["--text", text(&file)],
    ));
    assert!(line.contains("RoBERTa"), "{line}");
}

#[test]
fn the_gelu_is_the_descriptions_the_users_or_said_to_be_assumed() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::copy(fixtures().join("hf.safetensors"), at("model.safetensors")).unwrap();
    let gelu = |more: &[&str]| {
        let said = ok(&import(&at("model.safetensors"), "clip", &at("out"), more));
        let config = std::fs::read_to_string(at("out/config.json")).unwrap();
        (said, config.contains("\"exact\""))
    };
    let (said, exact) = gelu(&[]);
    assert!(said.contains("GELU: quick (assumed") && !exact, "{said}");
    std::fs::write(
        at("config.json"),
        r#"{"model_type": "clip", "text_config": {"hidden_act": "gelu"}, "vision_config": {"hidden_act": "gelu"}}"#,
    )
    .unwrap();
    let (said, exact) = gelu(&[]);
    assert!(said.contains("GELU: exact (") && said.contains("config.json") && exact, "{said}");
    assert!(!gelu(&["--gelu", "quick"]).1, "the command line counts");
    std::fs::write(at("config.json"), r#"{"model_type": "clip", "text_config": {"hidden_act": "gelu"}, "vision_config": {"hidden_act": "quick_gelu"}}"#).unwrap();
    assert!(refused(&import(&at("model.safetensors"), "clip", &at("out"), &[])).contains("different GELUs"));
    std::fs::remove_file(at("config.json")).unwrap();
    std::fs::write(at("open_clip_config.json"), r#"{"model_cfg": {"quick_gelu": false, "vision_cfg": {"width": 16, "head_width": 8}, "text_cfg": {"width": 16, "heads": 4}}}"#).unwrap();
    let (said, exact) = gelu(&[]);
    assert!(
        exact && said.contains("image heads: 2 of 8 channels") && said.contains("text heads: 4 of 4 channels"),
        "{said}"
    );
}

#[test]
fn an_import_replaces_an_earlier_model_as_a_whole_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let out = at("model");
    let names = || {
        let mut names: Vec<_> =
            std::fs::read_dir(&out).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    ok(&import(&fixtures().join("released.pth"), "vocab.txt", &out, &[]));
    assert_eq!(names(), ["config.json", "model.safetensors", "vocab.txt"]);
    ok(&import(&fixtures().join("openai.safetensors"), "clip", &out, &[]));
    assert_eq!(names(), ["config.json", "model.safetensors", "tokenizer.json"]);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    // What is not ours stays, and so does everything else.
    std::fs::write(out.join("notes.md"), "mine").unwrap();
    let before = weights(&out);
    assert!(refused(&import(&fixtures().join("released.pth"), "vocab.txt", &out, &[])).contains("notes.md"));
    assert!(weights(&out) == before && out.join("tokenizer.json").exists());
    // An input in the folder would be gone with it.
    let own = at("own");
    std::fs::create_dir(&own).unwrap();
    std::fs::copy(fixtures().join("released.pth"), own.join("model.safetensors")).unwrap();
    assert!(refused(&import(&own.join("model.safetensors"), "vocab.txt", &own, &[])).contains("input"));
    assert!(own.join("model.safetensors").exists());
}

#[test]
fn casing_is_that_of_the_vocabulary_or_of_its_description() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let plain = std::fs::read_to_string(fixtures().join("vocab.txt")).unwrap();
    let import = |vocab: &Path, more: &[&str]| {
        let arguments =
            ["import", text(&fixtures().join("released.pth")), "--vocab", text(vocab), "--out", text(&at("out"))]
                .map(str::to_owned);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).chain(more.iter().copied()).collect();
        ok(&simseg(&arguments))
    };
    let same = |a: &str, b: &str| {
        let model = simseg::Model::open(at("out")).unwrap();
        model.tokenizer().encode(a, 0).unwrap() == model.tokenizer().encode(b, 0).unwrap()
    };
    let vocab = at("vocab.txt");
    // A mark at its beginning, Windows' line ends and blank last lines are no words.
    std::fs::write(&vocab, format!("\u{feff}{}\r\n\r\n\n", plain.trim_end().replace('\n', "\r\n"))).unwrap();
    assert!(import(&vocab, &[]).contains("words: uncased"));
    assert!(same("CAT", "cat"));
    assert_eq!(std::fs::read_to_string(at("out/vocab.txt")).unwrap().trim_end(), plain.trim_end());
    // A word in upper case makes a vocabulary cased …
    std::fs::write(&vocab, plain.replace("\ncat\n", "\nCat\n")).unwrap();
    assert!(plain.contains("\ncat\n") && import(&vocab, &[]).contains("words: cased"));
    assert!(!same("Cat", "cat"));
    // … unless its description says otherwise; and the command line counts.
    std::fs::write(at("tokenizer_config.json"), r#"{"do_lower_case": true}"#).unwrap();
    assert!(import(&vocab, &[]).contains("tokenizer_config.json"));
    assert!(same("DOG", "dog"));
    assert!(import(&vocab, &["--cased"]).contains("words: cased (--cased)"));
    assert!(!same("Cat", "cat"));
}

#[test]
fn merges_may_be_packed() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let merges = std::fs::read(fixtures().join("clip/merges.txt")).unwrap();
    let mut packed = flate2::write::GzEncoder::new(vec![], flate2::Compression::fast());
    packed.write_all(&merges).unwrap();
    std::fs::write(at("bpe_simple_vocab_16e6.txt.gz"), packed.finish().unwrap()).unwrap();
    std::fs::write(at("merges.txt"), merges).unwrap();
    let tokens = |name: &str| {
        let tokenizer = simseg_data::Tokenizer::load(&at(name)).unwrap();
        tokenizer.encode("a photo of a cat.", 77).unwrap()
    };
    assert_eq!(tokens("bpe_simple_vocab_16e6.txt.gz"), tokens("merges.txt"));
    std::fs::write(at("broken.txt.gz"), b"\x1f\x8b\x08nothing").unwrap();
    assert!(simseg_data::Tokenizer::load(&at("broken.txt.gz")).unwrap_err().to_string().contains("gzip"));
}
