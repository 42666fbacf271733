//! A model with a recipe: open it, name what to look for, segment.

use crate::directory::{Loaded, ModelDescription};
use crate::watch::{self, Watch};
use crate::words::Words;
use crate::{Error, Recipe, Registry, Result};
use simseg_cpu::{CpuDevice, CpuTensor};
use simseg_data::checkpoint::Weights;
use simseg_data::picture::{LabelFormat, Labels};
use simseg_data::{Image, Tokenizer};
use simseg_model::{Aligner, Network, NetworkConfig, Parameters, Stage};
use simseg_segment::map::Size;
use simseg_segment::{ClassMask, ImageFeatures, Segmentation, Segmenter, View};
use simseg_tensor::{NoTap, Tap, Tensor, WeightType};
use std::path::Path;
use std::sync::Arc;

/// A model ready to use. Clones share their weights.
///
/// ```
/// # fn main() -> simseg::Result<()> {
/// # let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/tiny");
/// let model = simseg::Model::open(folder)?;
/// let words = model.words(["balloon", "fish", "car"])?;
/// let picture = simseg::Picture { width: 64, height: 64, rgb: vec![128; 3 * 64 * 64] };
/// let found = model.segment(&picture, &words)?;
/// assert_eq!(found.labels.values.len(), 64 * 64); // one class per pixel, 0 is the background
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Model<T: Tensor = CpuTensor<f32>> {
    description: ModelDescription,
    config: Arc<dyn NetworkConfig<T>>,
    network: Arc<dyn Network<T>>,
    aligner: Arc<dyn Aligner<T>>,
    segmenter: Arc<dyn Segmenter<T>>,
    parameters: Parameters<T>,
    tokenizer: Tokenizer,
    recipe: Recipe,
    registry: Arc<Registry<T>>,
    device: T::Device,
    rounded: Option<WeightType>,
    pub(crate) memory_limit: Option<usize>,
}

/// A label map, and how it came about.
#[derive(Debug, Clone, PartialEq)]
pub struct Segmented {
    /// One class per pixel, at the picture's own size.
    pub labels: Labels,
    /// The classes in the picture, by falling score.
    pub found: Vec<Found>,
    /// Scores, threshold, maps and masks.
    pub details: Details,
}

/// How a label map came about.
#[derive(Debug, Clone, PartialEq)]
pub struct Details {
    /// One score per class.
    pub scores: Vec<f32>,
    /// What they were held against; NaN for rules without a threshold.
    pub threshold: f32,
    /// The classes found in the picture, by falling score, with their maps and masks at the input's size.
    pub masks: Vec<ClassMask>,
}

/// A class that was found in a picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// Its number in the list of words.
    pub class: usize,
    /// Its first word.
    pub name: String,
    /// Its score for the whole picture.
    pub score: f32,
    /// Its share of the pixels.
    pub share: f64,
}

#[cfg(feature = "fs")]
impl Model {
    /// Opens a model directory on the CPU, with the recipe that fits it ([`Model::usual_recipe`]).
    ///
    /// # Errors
    /// One line that names the file and what was expected in it.
    #[inline]
    pub fn open(folder: impl AsRef<Path>) -> Result<Self> {
        Self::read(folder.as_ref(), None)
    }

    /// The same with its weights rounded to bf16, f16 or int8, and kept so in memory. On a CPU with instructions for products in bf16
    /// (AVX-512-BF16) or int8 (AVX-512-VNNI) the inputs of layers are rounded as well; else arithmetic stays f32.
    ///
    /// # Errors
    /// As [`Self::open`].
    #[inline]
    pub fn open_rounded(folder: impl AsRef<Path>, to: WeightType) -> Result<Self> {
        Self::read(folder.as_ref(), Some(to))
    }

    #[inline]
    fn read(folder: &Path, rounded: Option<WeightType>) -> Result<Self> {
        let registry = Arc::new(Registry::built_in());
        let loaded = Loaded::read_rounded(folder, rounded, &registry, &CpuDevice)?;
        Self::assemble(loaded, None, registry, &CpuDevice)
    }
}

impl Model {
    /// A model from the bytes of its files: `config.json`, `model.safetensors`, and `vocab.txt` or `tokenizer.json`.
    ///
    /// # Errors
    /// One line that says what is wrong in which of them.
    #[inline]
    pub fn from_bytes(config: &[u8], weights: &[u8], tokenizer: &[u8]) -> Result<Self> {
        let text = std::str::from_utf8(config).map_err(|error| Error::input("config.json", error))?;
        let registry = Arc::new(Registry::built_in());
        let description = ModelDescription::parse(Path::new("config.json"), text)?;
        let weights = Weights::from_bytes(weights.to_vec())?;
        let tokenizer = Tokenizer::from_bytes(tokenizer)?;
        let loaded = Loaded::assemble(description, &weights, tokenizer, &registry, &CpuDevice)?;
        Self::assemble(loaded, None, registry, &CpuDevice)
    }
}

impl<T: Tensor> Model<T> {
    /// A model from its parts, on any backend; the usual recipe if none is given.
    ///
    /// # Errors
    /// If the parts do not fit each other.
    pub fn assemble(
        loaded: Loaded<T>,
        recipe: Option<Recipe>,
        registry: Arc<Registry<T>>,
        device: &T::Device,
    ) -> Result<Self> {
        let Loaded { description, parameters, tokenizer, rounded } = loaded;
        let config: Arc<dyn NetworkConfig<T>> = description.network(&registry)?.into();
        let recipe = recipe.unwrap_or_else(|| usual(config.image_size())).resolved(&registry)?.fitted(&*config)?;
        let network = config.build(&parameters)?.into();
        let (aligner, segmenter) = parts(&description, &recipe, &parameters, &registry)?;
        Ok(Self {
            description,
            config,
            network,
            aligner,
            segmenter,
            parameters,
            tokenizer,
            recipe,
            registry,
            device: device.clone(),
            rounded,
            memory_limit: None,
        })
    }

    /// The same model with another recipe. Class embeddings depend on it: ask for words again.
    ///
    /// # Errors
    /// If the recipe asks for something unknown.
    pub fn with_recipe(&self, recipe: Recipe) -> Result<Self> {
        let recipe = recipe.resolved(&self.registry)?.fitted(&*self.config)?;
        let (aligner, segmenter) = parts(&self.description, &recipe, &self.parameters, &self.registry)?;
        Ok(Self { recipe, aligner, segmenter, ..self.clone() })
    }

    /// The recipe of the released code for networks that see 224 pixels and more, as the released ones do; `plain` for the
    /// small world's.
    pub fn usual_recipe(&self) -> Recipe {
        usual(self.config.image_size())
    }

    /// Segments a picture: a [`Picture`](crate::Picture), or an [`Image`] whose bytes are somebody else's, which are not copied.
    ///
    /// # Errors
    /// If the model fails.
    pub fn segment<S: AsRef<[u8]>>(&self, picture: &Image<S>, words: &Words<T>) -> Result<Segmented> {
        self.segment_tapped(picture, words, &mut NoTap)
    }

    /// The same, showing every intermediate to a tap.
    ///
    /// # Errors
    /// If the model or the tap fails.
    pub fn segment_tapped<S: AsRef<[u8]>>(
        &self,
        picture: &Image<S>,
        words: &Words<T>,
        tap: &mut dyn Tap<T>,
    ) -> Result<Segmented> {
        self.check_memory(Size { height: picture.height, width: picture.width }, words)?;
        let features = self.features(std::slice::from_ref(picture), tap)?.remove(0);
        self.segment_features(picture, &features, words, tap)
    }

    /// The same from features that were computed before.
    ///
    /// # Errors
    /// If the words were embedded by a model with other channels, or the segmenter or the tap fails.
    pub fn segment_features<S>(
        &self,
        picture: &Image<S>,
        features: &ImageFeatures<T>,
        words: &Words<T>,
        tap: &mut dyn Tap<T>,
    ) -> Result<Segmented> {
        let (own, channels) = (self.config.projection(), words.bank.embeddings.shape().last().copied().unwrap_or(0));
        if channels != own {
            let found =
                format!("embedded with {channels} channels by another model; this one has {own}: embed them with it");
            return Err(Error::input("words", found));
        }
        let Segmentation { labels, scores, threshold, masks, .. } =
            self.segmenter.segment(self.view(features, words), tap)?;
        let (width, height) = (picture.width, picture.height);
        let format = LabelFormat::of(words.list.len(), words.list.has_background());
        let labels = Labels { width, height, values: labels, format };
        let pixels = |class: usize| labels.values.iter().filter(|&&label| usize::from(label) == class).count();
        let found = masks.iter().map(|mask| Found {
            class: mask.class,
            name: words.list.name(mask.class).to_owned(),
            score: mask.score,
            share: pixels(mask.class) as f64 / labels.values.len() as f64,
        });
        Ok(Segmented { found: found.collect(), labels, details: Details { scores, threshold, masks } })
    }

    /// Segments many pictures, telling how many are done.
    ///
    /// # Errors
    /// At the first picture that fails, or [`Error::Cancelled`].
    pub fn segment_all<'a, S: AsRef<[u8]> + 'a>(
        &self,
        pictures: impl ExactSizeIterator<Item = &'a Image<S>>,
        words: &Words<T>,
        watch: &mut dyn Watch,
    ) -> Result<Vec<Segmented>> {
        let of = pictures.len();
        let one = |(done, picture)| {
            watch::step(watch, done, of)?;
            self.segment(picture, words)
        };
        pictures.enumerate().map(one).collect()
    }

    /// What a segmenter, a score rule or a metric looks at.
    pub fn view<'a>(&'a self, image: &'a ImageFeatures<T>, words: &'a Words<T>) -> View<'a, T> {
        View { image, bank: &words.bank, aligner: &*self.aligner, memo: None }
    }

    /// What the model is.
    pub fn description(&self) -> &ModelDescription {
        &self.description
    }
    /// Facts of its architecture.
    pub fn network_config(&self) -> &dyn NetworkConfig<T> {
        &*self.config
    }
    /// Both encoders.
    pub fn network(&self) -> &dyn Network<T> {
        &*self.network
    }
    /// How tokens are pooled and compared.
    pub fn aligner(&self) -> &dyn Aligner<T> {
        &*self.aligner
    }
    /// From features to label maps.
    pub fn segmenter(&self) -> &dyn Segmenter<T> {
        &*self.segmenter
    }
    /// All weights by name.
    pub fn parameters(&self) -> &Parameters<T> {
        &self.parameters
    }
    /// Its words.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }
    /// Every switch.
    pub fn recipe(&self) -> &Recipe {
        &self.recipe
    }
    /// What can be chosen by name.
    pub fn registry(&self) -> &Registry<T> {
        &self.registry
    }
    /// To which type its weights were rounded when it was opened; none if they are as they were stored.
    pub fn rounded(&self) -> Option<WeightType> {
        self.rounded
    }
    /// Where it computes.
    pub fn device(&self) -> &T::Device {
        &self.device
    }
}

/// The recipe for a model whose training images had this side.
fn usual(image_size: usize) -> Recipe {
    if image_size >= 224 { Recipe::official_code() } else { Recipe::plain() }
}

type Parts<T> = (Arc<dyn Aligner<T>>, Arc<dyn Segmenter<T>>);

/// What depends on the recipe.
fn parts<T: Tensor>(
    description: &ModelDescription,
    recipe: &Recipe,
    parameters: &Parameters<T>,
    registry: &Registry<T>,
) -> Result<Parts<T>> {
    let aligner = registry.model.aligners.build(&description.aligner)?;
    let aligner = aligner.build(Stage::Evaluation(recipe.prompts.pooling()), parameters)?;
    let segmenter = registry.segment.segmenter(&recipe.segmenter)?;
    recipe.check_needs(segmenter.needs(&*aligner))?;
    Ok((aligner.into(), segmenter.into()))
}
