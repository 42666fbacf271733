//! Requests and answers: everything that the page can ask, in one enum.

use crate::exercises::{self, Exercise};
use crate::own::{self, Files, Question};
use crate::rules::{self, Dial};
use crate::small::{self, Aligner, Cpu};
use crate::training::{Training, TrainingRequest};
use crate::world::{self, SceneRequest, Shown};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use simseg::explanation::Explanation;
use simseg::{Error, Model, Recipe, Result, Words};
use simseg_data::World;
use simseg_data::scenes::{contexts, objects};
use simseg_model::Parameters;
use simseg_segment::refine::crf::{CrfParameters, exact};
use simseg_tensor::{NoTap, Ops, Tensor};
use std::collections::BTreeMap;

/// What the page asks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// Names, exercises, how large the model is.
    Facts {},
    /// Takes weights, in base64.
    Load {
        /// Whose.
        aligner: Aligner,
        /// 2 or 4 bytes for each number.
        weights: String,
    },
    /// One scene, seen by all three models.
    Look {
        /// The scene.
        scene: SceneRequest,
        /// What to look for.
        word: String,
        /// A caption to hold against the right one.
        caption: String,
        /// Responses that LoDA pools.
        k: [usize; 2],
    },
    /// One scene, everything about one model.
    Explain(Ask),
    /// What each channel adds to the entry of a patch, in the last explanation.
    Terms {
        /// The class.
        class: usize,
        /// The patch.
        patch: usize,
        /// Held against this class, or the mean of all: −1.
        versus: Option<i64>,
    },
    /// A pixel of the last explanation.
    Pixel {
        /// Its column.
        x: usize,
        /// Its row.
        y: usize,
    },
    /// Rules for which classes are there, side by side.
    Rules {
        /// Of which model on which scene.
        ask: Ask,
        /// The first of them.
        dial: Dial,
    },
    /// A pixel's row of both kernels of the CRF, exactly.
    Kernel {
        /// The scene.
        scene: SceneRequest,
        /// Its column.
        x: usize,
        /// Its row.
        y: usize,
        /// Widths and weights.
        kernels: CrfParameters,
    },
    /// Starts a training.
    Train(TrainingRequest),
    /// Takes some steps of it.
    Step {
        /// How many, at most.
        count: u64,
    },
    /// How well it points by now.
    Judge {},
    /// Its weights in base64.
    Weights {},
    /// Takes a model of one's own.
    Open(Files),
    /// Asks it about a picture of one's own.
    Own(Question),
    /// Marks an answer.
    Exercise {
        /// From 1.
        number: usize,
        /// A number.
        answer: f64,
    },
}

/// Which model, on which scene, looking for what.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ask {
    /// Which model.
    pub aligner: Aligner,
    /// The scene.
    pub scene: SceneRequest,
    /// Words to look for beside the world's.
    #[serde(default)]
    pub words: Vec<String>,
    /// Responses that LoDA pools.
    pub k: [usize; 2],
    /// Parts of the recipe in place of the small world's, such as `{"refine": {"kind": "crf"}}`.
    #[serde(default)]
    pub recipe: BTreeMap<String, Value>,
}

/// What one side of the conversation remembers.
#[derive(Default)]
pub struct Desk {
    weights: BTreeMap<Aligner, Parameters<Cpu>>,
    told: Option<Explanation>,
    training: Option<Training>,
    own: Option<Model>,
}

impl Desk {
    /// Answers a request: JSON to JSON. What can't be done is `{"error": "…"}`.
    pub fn answer(&mut self, request: &str) -> String {
        let read = serde_json::from_str(request).map_err(|error| Error::input("request", error));
        match read.and_then(|request| self.given(request)) {
            Ok(value) => value.to_string(),
            Err(error) => json!({ "error": error.to_string() }).to_string(),
        }
    }

    fn given(&mut self, request: Request) -> Result<Value> {
        match request {
            Request::Facts {} => facts(),
            Request::Load { aligner, weights } => {
                let parameters = small::parameters(aligner.choice([3, 1]), &world::decoded(&weights)?)?;
                self.weights.insert(aligner, parameters);
                Ok(json!({}))
            }
            Request::Look { scene, word, caption, k } => self.look(&scene, &word, &caption, k),
            Request::Explain(ask) => {
                let (model, words, shown) = self.asked(&ask)?;
                let told = model.explain(&shown.picture, &words, shown.truth.as_deref())?;
                let value = written(&told);
                self.told = Some(told);
                value
            }
            Request::Terms { class, patch, versus } => {
                let told = self.told()?;
                let versus = versus.map(|other| match usize::try_from(other) {
                    Ok(other) => told.classes.get(other).map_or(vec![], |class| class.embedding.clone()),
                    Err(_) => told.mean_class(),
                });
                written(&told.terms(patch, class, versus.as_deref()))
            }
            Request::Pixel { x, y } => written(&self.told()?.pixel(x, y)),
            Request::Rules { ask, dial } => {
                let (model, words, shown) = self.asked(&ask)?;
                let features = model.features(std::slice::from_ref(&shown.picture), &mut NoTap)?.remove(0);
                let truth = shown.truth.as_deref();
                written(&rules::side_by_side(&model, &shown.picture, &features, &words, truth, dial)?)
            }
            Request::Kernel { scene, x, y, kernels } => {
                let shown = scene.draw()?;
                let picture = square(&shown);
                if x >= picture.width || y >= picture.height {
                    return Err(Error::input("kernel", format!("no pixel {x}, {y}")));
                }
                let rows = exact::row(&picture.rgb, picture.height, picture.width, y * picture.width + x, &kernels);
                let [position, colour] = rows.map_err(simseg_tensor::Error::from)?;
                Ok(json!({ "side": picture.width, "position": position, "colour": colour }))
            }
            Request::Train(request) => {
                self.training = Some(Training::new(request)?);
                Ok(json!({}))
            }
            Request::Step { count } => {
                let training = self.training()?;
                let mut last = None;
                for _ in 0..count.clamp(1, 100) {
                    last = Some(training.step()?);
                }
                written(&last)
            }
            Request::Judge {} => written(&self.training()?.judge()?),
            Request::Weights {} => Ok(json!({ "weights": world::encoded(&self.training()?.weights()?) })),
            Request::Open(files) => {
                self.own = Some(files.open()?);
                Ok(json!({}))
            }
            Request::Own(question) => {
                let model = self.own.as_ref().ok_or_else(|| Error::input("request", "no model was opened yet"))?;
                let told = question.explained(model)?;
                let value = own::drawn(&told);
                self.told = Some(told);
                Ok(value)
            }
            Request::Exercise { number, answer } => written(&exercises::mark(number, answer)?),
        }
    }

    fn told(&self) -> Result<&Explanation> {
        self.told.as_ref().ok_or_else(|| Error::input("request", "nothing was explained yet"))
    }

    fn training(&mut self) -> Result<&mut Training> {
        self.training.as_mut().ok_or_else(|| Error::input("request", "no training was started"))
    }

    fn model(&self, aligner: Aligner, k: [usize; 2], recipe: Recipe) -> Result<Model> {
        let parameters = self.weights.get(&aligner).cloned();
        let parameters = parameters.ok_or_else(|| Error::input("request", "no weights were loaded yet"))?;
        small::model(aligner.choice(k), parameters, Some(recipe))
    }

    fn asked(&self, ask: &Ask) -> Result<(Model, Words<Cpu>, Shown)> {
        let mut recipe = Recipe::plain();
        recipe.input.size = 64;
        for (part, value) in &ask.recipe {
            recipe.segmenter = recipe.segmenter.with(part, value);
        }
        let model = self.model(ask.aligner, ask.k, recipe)?;
        let own = ask.words.iter().map(|word| word.trim().to_lowercase());
        let own = own.filter(|word| !word.is_empty() && !World::classes().contains(&word.as_str()));
        let words = World::classes().into_iter().map(str::to_owned).chain(own);
        let words = model.words(words)?;
        Ok((model, words, ask.scene.draw()?))
    }

    /// Maps of a word, and scores of two captions, by every model that is there.
    fn look(&self, scene: &SceneRequest, word: &str, caption: &str, k: [usize; 2]) -> Result<Value> {
        let shown = scene.draw()?;
        let right = shown.composition.as_ref().map(right_caption);
        let mut models = serde_json::Map::new();
        for &aligner in self.weights.keys() {
            let model = self.model(aligner, k, Recipe::plain())?;
            let words = model.words([word])?;
            let features = model.features(std::slice::from_ref(&shown.picture), &mut NoTap)?.remove(0);
            let maps = features.patch_scores(&words.bank.embeddings)?.to_f32()?; // [2, n], the background first
            let sentences: Vec<String> = right.iter().cloned().chain([caption.to_owned()]).collect();
            let scores = features.embedding.matmul(&model.embed(&sentences)?.t()?)?.to_f32()?;
            let n = features.grid.area();
            let seen = json!({
                "map": &maps[n..],
                "right": right.as_ref().map(|_| scores[0]),
                "caption": scores.last(),
            });
            models.insert(written(&aligner)?.as_str().unwrap_or_default().to_owned(), seen);
        }
        let picture = square(&shown);
        Ok(json!({
            "side": picture.width,
            "rgb": world::encoded(&picture.rgb),
            "truth": shown.truth,
            "composition": shown.composition,
            "right": right,
            "models": models,
        }))
    }
}

/// The picture as the model sees it.
fn square(shown: &Shown) -> simseg::Picture {
    let picture = &shown.picture;
    simseg_data::transform::resize(picture, 64, 64)
}

/// The caption that says what a scene shows: its first object and its context.
pub fn right_caption(composition: &simseg_data::scenes::Composition) -> String {
    let context = contexts::NAMES[composition.context.min(contexts::NAMES.len() - 1)];
    match composition.objects.first() {
        Some(object) => format!("a {} in the {context}.", objects::NAMES[usize::from(object.class) - 1]),
        None => format!("a picture of the {context}."),
    }
}

fn written(value: &impl Serialize) -> Result<Value> {
    serde_json::to_value(value).map_err(|error| Error::Machine(error.to_string()))
}

fn facts() -> Result<Value> {
    let layout = small::layout(Aligner::Holistic.choice([3, 1]))?;
    let count: usize = layout.values().iter().map(|parameter| parameter.shape.iter().product::<usize>()).sum();
    let exercises: &[Exercise] = &exercises::ALL;
    Ok(json!({
        "objects": objects::NAMES,
        "contexts": contexts::NAMES,
        "words": World::words(),
        "aligners": Aligner::ALL,
        "parameters": count,
        "palette": simseg::explanation::palette::COLOURS,
        "training": TrainingRequest::default(),
        "kernels": CrfParameters::default(),
        "exercises": exercises,
    }))
}

/// Weights of all three models in one row, 2 bytes a number: what the page brings along.
///
/// # Errors
/// If a training fails.
pub fn trained(steps: u64, mut said: impl FnMut(Aligner, f64)) -> Result<Vec<Vec<u8>>> {
    let one = |&aligner: &Aligner| -> Result<Vec<u8>> {
        let mut training =
            Training::new(TrainingRequest { aligner, steps, pictures: 8000, ..TrainingRequest::default() })?;
        for _ in 0..steps {
            training.step()?;
        }
        said(aligner, training.judge()?.point_on_object);
        Ok(small::rounded(&training.weights()?))
    };
    Aligner::ALL.iter().map(one).collect()
}
