//! `simseg parity` as a user meets it: it agrees, finds what is made wrong, and says where and what.

use std::path::Path;
use std::process::{Command, Output};

fn simseg(arguments: &[&str]) -> Output {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    Command::new(env!("CARGO_BIN_EXE_simseg")).args(arguments).current_dir(root).output().unwrap()
}

fn parity(arguments: &[&str]) -> Output {
    simseg(&[&["parity"], arguments].concat())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Backends of this build; one operation that is made wrong costs a comparison each.
const AGAINST: &[&str] = if cfg!(feature = "tch") { &["naive", "tch"] } else { &["naive"] };

#[test]
fn backends_agree_on_a_fresh_model() {
    for against in AGAINST {
        let output = parity(&["--against", against]);
        let table = text(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{table}{}", text(&output.stderr));
        assert!(table.contains("0 diverging"), "{table}");
        for row in
            ["operation  softmax", "derivative softmax", "layer      image/block/0", "loss       loss", "optimiser"]
        {
            assert!(table.contains(row), "{against}: no `{row}` in\n{table}");
        }
        assert!(table.contains("losses of 20 steps") && table.contains("loss.temperature"), "{table}");
        for row in [
            "bf16 exact image/projected",
            "bf16       text/projected",
            "int8 exact similarity",
            "int8       similarity",
            "bf16 dots  image/projected",
            "int8 dots  similarity",
        ] {
            assert!(table.contains(row), "{against}: no `{row}` in\n{table}");
        }
    }
}

#[test]
fn a_model_of_any_size_is_shown_scenes_of_its_own_size() {
    // 224 pixels, a vocabulary that has none of the small world's words; and one that the small world trained.
    for model in ["fixtures/pytorch/model", "fixtures/tiny"] {
        let output = parity(&["--against", AGAINST[AGAINST.len() - 1], "--model", model]);
        assert_eq!(output.status.code(), Some(0), "{model}: {}{}", text(&output.stdout), text(&output.stderr));
    }
}

#[test]
fn imported_models_of_both_families_are_compared() {
    let folder = tempfile::tempdir().unwrap();
    for (checkpoint, vocabulary, last) in
        [("released.pth", "vocab.txt", "losses of"), ("openai.safetensors", "clip", "parameters after one step")]
    {
        let out = folder.path().join(checkpoint);
        let [checkpoint, vocabulary] = [checkpoint, vocabulary].map(|name| format!("fixtures/pytorch/import/{name}"));
        let import = ["import", &checkpoint, "--vocab", &vocabulary, "--out", out.to_str().unwrap()];
        assert!(simseg(&import).status.success(), "{import:?}");
        let output = parity(&["--against", AGAINST[AGAINST.len() - 1], "--model", out.to_str().unwrap()]);
        let table = text(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{checkpoint}: {table}{}", text(&output.stderr));
        assert!(table.contains("text/layer/1") && table.contains(last), "{table}");
    }
}

#[test]
fn an_operation_made_wrong_is_found_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("parity.json");
    for against in AGAINST {
        for (operation, layer) in [("layer_norm", "image/block/0"), ("rows", "text/embed")] {
            let output = parity(&["--against", against, "--inject", operation, "--json", file.to_str().unwrap()]);
            assert_eq!(output.status.code(), Some(1), "{against} {operation}: {}", text(&output.stderr));
            let first = text(&output.stderr);
            assert!(first.starts_with(&format!("simseg: first divergence: operation {operation}")), "{first}");
            let report: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
            let diagnosis = report["diagnosis"].as_str().unwrap();
            assert!(
                diagnosis.starts_with(&format!("the other backend's kernel of `{operation}` is wrong: [")),
                "{diagnosis}"
            );
            let first = report["first_layer"].as_str().unwrap();
            assert!(first.starts_with(&format!("layer {layer} at [")) && first.contains(" against "), "{first}");
            let rows = report["rows"].as_array().unwrap();
            let row = rows.iter().find(|row| row["agrees"] == false).unwrap();
            assert!(row["name"].as_str().unwrap().starts_with(operation) && row["section"] == "operation", "{row}");
            assert!(row["max_rel"].as_f64() > row["limit"].as_f64() && row["margin"].as_f64() < Some(1.0), "{row}");
        }
    }
}

#[test]
fn what_is_not_there_is_said_in_one_line() {
    for (arguments, needle) in [
        (&["--against", "numpy"][..], "expected naive or tch"),
        (&["--inject", "sofmax"], "expected one of affine"),
        (&["--device", "cuda:0"], "the naive backend runs on `cpu`"),
        (&["--model", "nowhere"], "nowhere"),
    ] {
        let output = parity(arguments);
        let errors = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {errors}");
        assert!(errors.contains(needle) && errors.lines().count() == 1, "{arguments:?}: {errors}");
    }
}
