//! A model, words and a picture of one's own: what `simseg explain --live` puts into its page. The model is opened once, then asked under
//! any recipe.

use crate::small::Cpu;
use crate::world::decoded;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use simseg::explanation::{Explanation, Ledger};
use simseg::{ClassList, Model, Picture, Recipe, Result};

/// The files of a model directory, in base64.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Files {
    /// `config.json`
    pub config: String,
    /// `model.safetensors`
    pub weights: String,
    /// `vocab.txt`
    pub tokenizer: String,
}

/// What to look for in which picture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// Columns of the picture.
    pub width: usize,
    /// Rows of the picture.
    pub height: usize,
    /// Its bytes `[height, width, 3]`, in base64.
    pub rgb: String,
    /// A class file: one class a line.
    pub classes: String,
    /// Every switch of the segmentation; the model's usual ones if there is none.
    #[serde(default)]
    pub recipe: Option<Recipe>,
}

impl Files {
    /// The model.
    ///
    /// # Errors
    /// If a file is not what it should be.
    pub fn open(&self) -> Result<Model<Cpu>> {
        Model::from_bytes(&decoded(&self.config)?, &decoded(&self.weights)?, &decoded(&self.tokenizer)?)
    }
}

impl Question {
    /// Everything about one answer.
    ///
    /// # Errors
    /// If the recipe, the words or the picture do not fit.
    pub fn explained(&self, model: &Model<Cpu>) -> Result<Explanation> {
        let model = model.with_recipe(self.recipe.clone().unwrap_or_else(|| model.usual_recipe()))?;
        let words = model.classes(ClassList::parse(&self.classes)?)?;
        let picture = Picture::from_rgb(self.width, self.height, decoded(&self.rgb)?)?;
        model.explain(&picture, &words, None)
    }
}

/// The part of an explanation that the page draws again.
pub fn drawn(told: &Explanation) -> Value {
    let entries = match &told.ledger {
        Ledger::Split { entries, .. } => Some(entries),
        Ledger::Whole { .. } => None,
    };
    json!({
        "classes": told.classes.iter().map(|class| &class.name).collect::<Vec<_>>(),
        "scores": told.scores,
        "selected": told.selection.selected,
        "threshold": told.selection.threshold,
        "grid": [told.grid.height, told.grid.width],
        "input": [told.input.height, told.input.width],
        "entries": entries,
        "composed": told.composed,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Desk;
    use crate::world::encoded;
    use simseg_data::{SceneConfig, World};

    #[test]
    fn a_model_of_ones_own_answers_as_the_library_does_and_what_does_not_fit_is_said() {
        let read =
            |name: &str| std::fs::read(format!("{}/../../fixtures/tiny/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap();
        let [config, weights, tokenizer] = ["config.json", "model.safetensors", "vocab.txt"].map(read);
        let model = Model::from_bytes(&config, &weights, &tokenizer).unwrap();
        let picture = World::new(SceneConfig::default(), 3).unwrap().scene(0).picture();
        let classes = "background\nfish\ncup\n";
        let words = model.classes(ClassList::parse(classes).unwrap()).unwrap();
        let told = model.explain(&picture, &words, None).unwrap();

        let mut desk = Desk::default();
        let mut ask = |request: Value| serde_json::from_str::<Value>(&desk.answer(&request.to_string())).unwrap();
        let question = json!({ "what": "own", "width": 64, "height": 64, "rgb": encoded(&picture.rgb), "classes": classes, "recipe": model.recipe() });
        assert!(ask(question.clone())["error"].as_str().unwrap().contains("no model"));
        let [config, weights, tokenizer] = [config, weights, tokenizer].map(|bytes| encoded(&bytes));
        assert!(
            ask(json!({ "what": "open", "config": config, "weights": config, "tokenizer": tokenizer }))["error"]
                .is_string()
        );
        assert_eq!(
            ask(json!({ "what": "open", "config": config, "weights": weights, "tokenizer": tokenizer })),
            json!({})
        );
        assert_eq!(ask(question.clone()), serde_json::from_str::<Value>(&drawn(&told).to_string()).unwrap());
        // Without a recipe it is the model's own.
        let mut usual = question.clone();
        usual.as_object_mut().unwrap().remove("recipe");
        assert_eq!(ask(usual), ask(question.clone()));
        let mut small = question;
        small["rgb"] = "AAAA".into();
        assert!(ask(small)["error"].is_string());
    }
}
