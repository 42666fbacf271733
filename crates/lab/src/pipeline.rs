//! Images and words to features: what every command that uses a model does first.

use crate::failure::{Failure, Outcome};
use crate::model_dir::Loaded;
use simseg_data::transform::{Filter, Normalisation, Passes};
use simseg_data::{Picture, Tokenizer, transform};
use simseg_model::pool::Padding;
use simseg_model::{Aligner, AlignerConfig, Network, NetworkConfig, Side, TokenBatch};
use simseg_segment::map::Size;
use simseg_segment::recipe::{Fit, PoolPadding, Resize};
use simseg_segment::{ClassBank, ClassList, ImageFeatures, Recipe};
use simseg_tensor::{NoTap, Ops, Tap, Tensor};

/// A model with a recipe.
pub struct Pipeline<T: Tensor> {
    /// What the model is.
    pub network: NetworkConfig,
    /// Both towers.
    pub model: Network<T>,
    /// Its words.
    pub tokenizer: Tokenizer,
    /// Every switch.
    pub recipe: Recipe,
    images: Box<dyn Aligner<T> + Send + Sync>,
    texts: Box<dyn Aligner<T> + Send + Sync>,
}

/// The aligner for prompts: the recipe may choose its `k` and what padding does.
fn prompt_aligner(aligner: AlignerConfig, recipe: &Recipe) -> AlignerConfig {
    match aligner {
        AlignerConfig::Loda { image_k, text_k, eval_image_k, eval_text_k, .. } => {
            let own = Some(recipe.prompts.text_k).filter(|&k| k > 0);
            let padding = match recipe.prompts.padding {
                PoolPadding::PerPrompt => Padding::PerCaption,
                PoolPadding::ShortestInBatch => Padding::ShortestInBatch,
                PoolPadding::Compete => Padding::Compete,
            };
            AlignerConfig::Loda { image_k, text_k, eval_image_k, eval_text_k: own.or(eval_text_k), padding }
        }
        other => other,
    }
}

impl<T: Tensor> Pipeline<T> {
    /// A loaded model with a recipe.
    pub fn new(loaded: Loaded<T>, recipe: Recipe) -> Self {
        let Loaded { card, model, tokenizer } = loaded;
        let texts = prompt_aligner(card.aligner, &recipe).eval();
        Self { network: card.network, model, tokenizer, recipe, images: card.aligner.eval(), texts }
    }

    /// What its pixels are normalised with.
    pub fn normalisation(&self) -> &'static Normalisation {
        match self.network {
            NetworkConfig::SimSeg(_) => &Normalisation::IMAGENET,
            NetworkConfig::Clip(_) => &Normalisation::CLIP,
        }
    }

    /// Embeds a class list under the recipe's prompts.
    ///
    /// # Errors
    /// If a prompt cannot be tokenised, or the model fails.
    pub fn class_bank(&self, classes: &ClassList) -> Outcome<ClassBank<T>> {
        let templates = self.recipe.prompts.templates.lines()?;
        Ok(ClassBank::build(classes, &templates, |prompts| self.embed(prompts))?)
    }

    /// Pooled, normalised embeddings `[p, e]` of sentences; the recipe's prompt settings hold for them all.
    ///
    /// # Errors
    /// If one cannot be tokenised, or the model fails.
    pub fn embed(&self, sentences: &[String]) -> simseg_tensor::Result<T> {
        let most = self.recipe.prompts.max_tokens.min(self.network.positions());
        let ids: Vec<Vec<u32>> = sentences
            .iter()
            .map(|sentence| self.tokenizer.encode(sentence, most))
            .collect::<Result<_, String>>()
            .map_err(|error| simseg_tensor::Error::setting("prompts", error))?;
        // True lengths: padding is hidden from attention and pooling, so it would only cost time …
        let padded = match self.recipe.prompts.padding {
            PoolPadding::Compete => most, // … except where it takes part.
            _ => 0,
        };
        let batch = TokenBatch::new(&ids, self.tokenizer.pad(), padded)?;
        let tokens = self.model.encode_text(&batch, &mut NoTap)?; // [p, m, e]
        self.texts.pool(Side::Text, &tokens) //                      [p, e]
    }

    /// The size an image is resized to.
    pub fn input_size(&self, picture: &Picture) -> Size {
        let vit = self.network.image();
        let side = if self.recipe.input.size == 0 { vit.image_size } else { self.recipe.input.size };
        match self.recipe.input.fit {
            Fit::Squash => Size { height: side, width: side },
            Fit::KeepAspect => {
                let scale = side as f64 / picture.width.min(picture.height) as f64;
                let whole =
                    |length: usize| ((length as f64 * scale / vit.patch as f64).round().max(1.0) as usize) * vit.patch;
                Size { height: whole(picture.height), width: whole(picture.width) }
            }
        }
    }

    fn resized(&self, picture: &Picture, to: Size) -> Picture {
        let passes = match self.recipe.input.resize {
            Resize::RowsFirst => Passes::RowsFirst,
            Resize::Pillow13 => Passes::Pillow13,
        };
        transform::resize_with(picture, to.width, to.height, Filter::Bilinear, passes)
    }

    /// Features of images of one input size.
    ///
    /// # Errors
    /// If the input is not a whole number of patches, or images need different input sizes.
    pub fn features(&self, pictures: &[Picture], tap: &mut dyn Tap<T>) -> Outcome<Vec<ImageFeatures<T>>> {
        let Some(first) = pictures.first() else { return Ok(vec![]) };
        let (input, patch) = (self.input_size(first), self.network.image().patch);
        if input.height % patch != 0 || input.width % patch != 0 {
            let expected = format!("a multiple of the patch ({patch}), found {}", self.recipe.input.size);
            return Err(Failure::input("input.size", expected));
        }
        if pictures.iter().any(|picture| self.input_size(picture) != input) {
            return Err(Failure::input("images", "one input size per batch"));
        }
        let resized: Vec<Picture> = pictures.iter().map(|p| self.resized(p, input)).collect();
        let mut values = vec![0.0f32; resized.len() * 3 * input.area()];
        for (out, picture) in values.chunks_mut(3 * input.area()).zip(&resized) {
            transform::normalise_into(&picture.rgb, self.normalisation(), out);
        }
        let device = self.model.device();
        let shape = [resized.len(), 3, input.height, input.width];
        let pixels = T::from_host(&values, &shape, &device)?;
        drop(values);
        tap.see("image/pixels", &pixels)?;
        let tokens = self.model.encode_image(&pixels, tap)?; //             [b, 1+n, e]
        let embeddings = self.images.pool(Side::Image, &tokens)?; //        [b, e]
        let [_, n, e] = tokens.values.dims()?;
        let patches = tokens.values.slice(1, 1, n - 1)?; //                 [b, n, e]
        tap.see("image/patches", &patches)?;
        tap.see("image/embedding", &embeddings)?;
        let grid = Size { height: input.height / patch, width: input.width / patch };
        let one = |(i, (picture, resized)): (usize, (&Picture, Picture))| -> Outcome<ImageFeatures<T>> {
            Ok(ImageFeatures {
                patches: patches.slice(0, i, 1)?.reshape(&[n - 1, e])?,
                grid,
                embedding: embeddings.slice(0, i, 1)?,
                input,
                rgb: match self.recipe.truncates() {
                    true => transform::round_trip(&resized.rgb, self.normalisation()),
                    false => resized.rgb,
                },
                output: Size { height: picture.height, width: picture.width },
            })
        };
        pictures.iter().zip(resized).enumerate().map(one).collect()
    }
}
