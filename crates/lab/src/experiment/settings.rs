//! Everything that decides the outcome of one run, besides its seed.
//!
//! Sections: `[model]`, `[aligner]`, `[loss]` (what is trained), `[training]` (on what, and how), `[evaluation]` (on what it is
//! judged), `[segmentation]` (a recipe), and, if wanted, `[probes]` (what is asked meanwhile). Each algorithm is chosen by `kind`.

pub use super::evaluation::{Evaluation, USUAL_METRICS};
pub use super::init::{Init, Towers};
use super::seeds::Seeds;
use super::sources::{NamedSource, Sources};
pub use super::training::Training;
use crate::failure::{Failure, Outcome};
use crate::probes::Probes;
use serde::{Deserialize, Serialize};
use simseg::{Choice, ModelDescription, Recipe, Registry};
use simseg_data::Source;
use simseg_data::transform::Augmentations;
use simseg_model::pool::Dense;
use simseg_model::{Limits, LossConfig, NetworkConfig};
use simseg_segment::Figure;
use simseg_tensor::Tensor;

/// The settings of one variant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The network; of kind `simseg` if it does not say.
    pub model: Choice,
    /// What is contrasted.
    pub aligner: Choice,
    /// How; of kind `info-nce` if it does not say.
    #[serde(default)]
    pub loss: Choice,
    /// How the model learns.
    pub training: Training,
    /// How it is judged.
    pub evaluation: Evaluation,
    /// From features to label maps.
    pub segmentation: Recipe,
    /// Random seeds that do not follow the run's.
    #[serde(default)]
    pub seeds: Seeds,
    /// What a model is asked while it trains.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probes: Option<Probes>,
}

impl Settings {
    /// Checked, and with every default written out.
    ///
    /// # Errors
    /// The first key that is wrong, and what was expected.
    pub fn resolved<T: Tensor>(&self, registry: &Registry<T>) -> Outcome<Self> {
        let resolved = Self {
            model: registry.model.resolve_network(&self.model)?,
            aligner: registry.model.aligners.resolve(&self.aligner)?,
            loss: registry.model.losses.resolve(&self.loss)?,
            training: Training {
                data: self.resolved_pairs(registry)?,
                augment: self.resolved_augment(registry)?,
                ..self.training.clone()
            },
            evaluation: Evaluation { data: self.resolved_datasets(registry)?, ..self.evaluation.clone() },
            segmentation: self
                .segmentation
                .resolved(registry)
                .map_err(Failure::from)
                .map_err(|e| e.within("segmentation."))?,
            seeds: self.seeds,
            probes: None,
        };
        let evaluated = resolved.evaluation.data.list().first().map(|(_, source)| (*source).clone());
        let probes = self.probes.as_ref().map(|probes| probes.resolved(evaluated.as_ref(), &registry.data));
        let validation = self.training.validation.as_ref();
        let validation = validation.map(|asked| asked.resolved(evaluated.as_ref(), &registry.data)).transpose()?;
        let training = Training { validation, ..resolved.training };
        let resolved = Self { probes: probes.transpose()?, training, ..resolved };
        resolved.check(registry)?;
        Ok(resolved)
    }

    /// What its metrics and probes measure, under the names that `results.json` has for them.
    ///
    /// # Errors
    /// If a metric is unknown.
    pub fn figures<T: Tensor>(&self, registry: &Registry<T>) -> Outcome<Vec<(String, &'static Figure)>> {
        let mut figures = self.evaluation.figures(registry)?;
        let probes = self.probes.iter().flat_map(|probes| &probes.what).flat_map(|probe| probe.figures());
        figures.extend(probes.map(|figure| (figure.name.to_owned(), figure)));
        Ok(figures)
    }

    fn check<T: Tensor>(&self, registry: &Registry<T>) -> Outcome {
        let bad = |key: &str, expected: String| Err(Failure::input(key, expected));
        let (network, training) = (self.network(registry)?, &self.training);
        network.check()?;
        let aligner = registry.model.aligners.build(&self.aligner)?;
        aligner.check(Limits::of(&*network))?;
        self.loss(registry)?.check()?;
        self.check_windows(&*network, registry)?;
        self.augmentations(registry)?;
        training.check()?;
        if training.text_dropout > 0.0 && !network.has_text_dropout() {
            return bad("training.text_dropout", "0: the text encoder of this network has no dropout".into());
        }
        if training.parts > 1 && !aligner.pools_suffice() {
            let kind = &self.aligner.kind;
            return bad("training.parts", format!("1: the aligner `{kind}` compares more than pooled vectors"));
        }
        if training.mixup > 0.0 && !aligner.pools_suffice() {
            let kind = &self.aligner.kind;
            return bad("training.mixup", format!("0: the aligner `{kind}` compares more than pooled vectors"));
        }
        if self.evaluation.metrics.is_empty() {
            return bad(
                "evaluation.metrics",
                format!("at least one of {}", registry.segment.metrics.names().join(", ")),
            );
        }
        self.evaluation.figures(registry).map_err(|e| e.within("evaluation."))?;
        Ok(())
    }

    /// What of the recipe depends on the network: found before the training, not after it.
    fn check_windows<T: Tensor>(&self, network: &dyn NetworkConfig<T>, registry: &Registry<T>) -> Outcome {
        let fitted = self.segmentation.clone().fitted(network).and_then(|recipe| {
            // The aligner has no weights yet; whether somebody looks at attention is not its to say.
            let needs = registry.segment.segmenter(&recipe.segmenter)?.needs(&Dense {});
            recipe.check_needs(needs)
        });
        fitted.map_err(|error| Failure::from(error).within("segmentation."))
    }

    fn resolved_pairs<T: Tensor>(&self, registry: &Registry<T>) -> Outcome<Source> {
        let resolved = registry.data.pairs.resolve(&self.training.data);
        resolved.map_err(|error| Failure::from(error).of_data("training"))
    }

    fn resolved_augment<T: Tensor>(&self, registry: &Registry<T>) -> Outcome<Vec<Choice>> {
        let resolved = self.training.augment.iter().map(|choice| registry.data.augmentations.resolve(choice));
        resolved.collect::<Result<_, _>>().map_err(|error| Failure::from(error).within("training."))
    }

    /// The random changes of training images.
    ///
    /// # Errors
    /// If nobody knows a kind, or a setting is wrong.
    pub fn augmentations<T: Tensor>(&self, registry: &Registry<T>) -> Outcome<Augmentations> {
        let built = Augmentations::build(&self.training.augment, &registry.data.augmentations);
        built.map_err(|error| Failure::from(error).within("training."))
    }

    fn resolved_datasets<T: Tensor>(&self, registry: &Registry<T>) -> Outcome<Sources> {
        let resolve = |prefix: &str, source: &Source| {
            let resolved = registry.data.datasets.resolve(source);
            resolved.map_err(|error| Failure::from(error).of_data(format!("evaluation.{prefix}").trim_end_matches('.')))
        };
        Ok(match &self.evaluation.data {
            Sources::One(source) => Sources::One(resolve("", source)?),
            Sources::Named(sources) => {
                let one = |(name, source): (&String, &NamedSource)| {
                    Ok((name.clone(), NamedSource(resolve(&format!("{name}."), &source.0)?)))
                };
                Sources::Named(sources.iter().map(one).collect::<Outcome<_>>()?)
            }
        })
    }

    /// What the model and its aligner are, for its directory.
    pub fn description(&self) -> ModelDescription {
        ModelDescription { model: self.model.clone(), aligner: self.aligner.clone() }
    }

    /// The network.
    ///
    /// # Errors
    /// If nobody knows its kind.
    pub fn network<T: Tensor>(&self, registry: &Registry<T>) -> Outcome<Box<dyn NetworkConfig<T>>> {
        Ok(registry.model.network(&self.model)?)
    }

    /// The loss.
    ///
    /// # Errors
    /// If nobody knows its kind.
    pub fn loss<T: Tensor>(&self, registry: &Registry<T>) -> Outcome<Box<dyn LossConfig<T>>> {
        Ok(registry.model.losses.build(&self.loss)?)
    }

    /// All that training depends on, as text: variants that agree on it have the same weights, however often they keep checkpoints.
    ///
    /// # Errors
    /// If nobody knows the aligner.
    pub fn training_text<T: Tensor>(&self, seed: u64, registry: &Registry<T>) -> Outcome<String> {
        #[derive(Serialize)]
        struct Trained<'a> {
            seeds: [u64; 3],
            model: &'a Choice,
            aligner: Choice,
            loss: &'a Choice,
            training: &'a Training,
            // Left out where there are none: a training without probes is called as it was before there were any.
            #[serde(skip_serializing_if = "Option::is_none")]
            probes: Option<&'a Probes>,
        }
        let aligner = self.aligner.without(registry.model.aligners.build(&self.aligner)?.evaluation_keys());
        let seeds = [self.seeds.weights(seed), self.seeds.data(seed), self.seeds.order(seed)];
        let training = self.training.essential();
        let (model, loss, probes) = (&self.model, &self.loss, self.probes.as_ref());
        let trained = Trained { seeds, model, aligner, loss, training: &training, probes };
        toml::to_string_pretty(&trained).map_err(|error| Failure::input("settings", error))
    }

    /// The settings as a TOML file.
    ///
    /// # Errors
    /// If a setting of an outside algorithm is nothing that TOML can hold.
    pub fn to_toml(&self) -> Outcome<String> {
        toml::to_string_pretty(self).map_err(|error| Failure::input("settings", error))
    }
}
