//! The live part of the page: the module of `cargo xtask web` and the model's own files, so that words and recipe can be changed in the
//! browser. What is computed there is the same library; nothing is asked of anybody.

use super::super::shared::ModelArgs;
use crate::failure::{Failure, Outcome};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use simseg::explanation::palette;
use simseg::{ClassList, Model};
use simseg_data::bounded;
use simseg_tensor::Tensor;
use std::path::Path;

/// Most bytes of a model that a page can hold: browsers give a tab a few times as much.
const MODEL: u64 = 256 << 20;
const MODULE: u64 = 64 << 20;

/// What the template puts in.
pub struct Live {
    /// The module, and `config.json`, `model.safetensors` and `vocab.txt`, in base64.
    pub module: String,
    pub config: String,
    pub weights: String,
    pub vocabulary: String,
    /// A class file.
    pub classes: String,
    /// The recipe and the colours of labels, as JSON.
    pub recipe: String,
    pub colours: String,
    pub worker: &'static str,
    pub script: &'static str,
}

impl Live {
    /// Reads all of it.
    ///
    /// # Errors
    /// If a file is missing or too large for a page.
    pub fn read<T: Tensor>(module: &Path, args: &ModelArgs, model: &Model<T>, classes: &ClassList) -> Outcome<Self> {
        let read =
            |path: &Path, most, what| -> Outcome<String> { Ok(STANDARD.encode(bounded::read(path, most, what)?)) };
        let wasm = bounded::read(module, MODULE, "a module")?;
        if !wasm.starts_with(b"\0asm") {
            return Err(Failure::file(
                module,
                "expected a WebAssembly module: `cargo xtask web` leaves target/web/simseg.wasm",
            ));
        }
        let vocabulary = args.folder.join("vocab.txt");
        if !vocabulary.is_file() {
            return Err(Failure::file(&vocabulary, "not there; --live expected a model with a WordPiece vocabulary"));
        }
        let json = |value: serde_json::Result<String>| value.map_err(|error| Failure::Machine(error.to_string()));
        let background = classes.has_background();
        let mut lines: Vec<String> = if background { vec![] } else { vec!["background = false".into()] };
        lines.extend((0..classes.len()).map(|class| classes.words(class).join(" | ")));
        let colours: Vec<[u8; 3]> = (0..classes.len()).map(|class| palette::colour(class, background)).collect();
        Ok(Self {
            module: STANDARD.encode(wasm),
            config: read(&args.folder.join("config.json"), 1 << 20, "a description")?,
            weights: read(&args.folder.join("model.safetensors"), MODEL, "a model in a page")?,
            vocabulary: read(&vocabulary, 64 << 20, "a vocabulary")?,
            classes: lines.join("\n"),
            recipe: json(serde_json::to_string(model.recipe()))?.replace('<', "\\u003c"),
            colours: json(serde_json::to_string(&colours))?,
            worker: include_str!("../../../templates/worker.js"),
            script: include_str!("../../../templates/live.js"),
        })
    }
}
