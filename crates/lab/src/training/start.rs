//! Where training starts: drawn values, a model directory, or one for each tower; and which parameters stay there.

use super::frozen::{self, towers};
use crate::experiment::settings::{Init, Settings, Towers};
use crate::failure::{Failure, Outcome};
use simseg::directory::TOKENIZERS;
use simseg::{ModelDescription, Registry};
use simseg_data::Tokenizer;
use simseg_data::checkpoint::Weights;
use simseg_model::{Architecture, NetworkConfig, Parameters, Side};
use simseg_tensor::{Parameter, Tensor};
use std::path::{Path, PathBuf};

/// The model directory whose words captions are read in, if training starts from one.
fn words_of(settings: &Settings) -> Option<&PathBuf> {
    match settings.training.init.as_ref()? {
        Init::Whole(folder) => Some(folder),
        Init::Towers(towers) => towers.text.as_ref(),
    }
}

/// The tokenizer that the settings name, if they do.
///
/// # Errors
/// If it cannot be read.
pub fn tokenizer(settings: &Settings) -> Outcome<Option<Tokenizer>> {
    if let Some(path) = &settings.training.vocabulary {
        return Ok(Some(Tokenizer::load(path)?));
    }
    words_of(settings).map(|folder| tokenizer_of(folder)).transpose()
}

/// The tokenizer of a model directory.
///
/// # Errors
/// If there is none.
pub fn tokenizer_of(folder: &Path) -> Outcome<Tokenizer> {
    let path = TOKENIZERS.iter().map(|name| folder.join(name)).find(|path| path.exists());
    let path = path.ok_or_else(|| Failure::file(folder, format!("expected {} in it", TOKENIZERS.join(" or "))))?;
    Ok(Tokenizer::load(&path)?)
}

/// Names and starting values of all parameters that are trained: the network's, the aligner's, the loss's.
///
/// # Errors
/// If a part is unknown or does not fit the others.
pub fn layout<T: Tensor>(settings: &Settings, registry: &Registry<T>) -> Outcome<Parameters<Parameter>> {
    let model = settings.description().layout(registry)?;
    let loss = settings.loss(registry)?.parameters().into_iter();
    let loss = loss.map(|(name, parameter)| (format!("loss.{name}"), parameter));
    let model = model.iter().map(|(name, parameter)| (name.to_owned(), parameter.clone()));
    Ok(Parameters::new(model.chain(loss).collect())?)
}

/// Sees, before anything is read or drawn, that training can start: vocabulary, model directories, frozen parameters.
///
/// # Errors
/// The first thing that is missing or does not fit.
pub fn check<T: Tensor>(settings: &Settings, registry: &Registry<T>) -> Outcome {
    let mut settings = settings.clone();
    let tokenizer = tokenizer(&settings)?;
    if let Some(tokenizer) = &tokenizer {
        settings.model = simseg_model::with_vocabulary(&settings.model, tokenizer.vocabulary());
    }
    let (layout, network) = (layout(&settings, registry)?, settings.network(registry)?);
    let trained = trained(&settings, &layout, &*network)?;
    let begun = sources(&settings)?;
    let drawn = |side: Side| !begun.iter().any(|source| source.side.is_none_or(|own| own == side));
    if let Some((side, _)) = towers(&settings, &layout, &trained, &*network).into_iter().find(|(side, _)| drawn(*side))
    {
        let side = frozen::name(side);
        let expected = format!("expected training.init for the {side} tower: frozen, it would stay what is drawn");
        return Err(Failure::input("training.freeze", expected));
    }
    if settings.training.frozen_features.is_some() && towers(&settings, &layout, &trained, &*network).is_empty() {
        let expected = "expected a frozen tower, such as training.freeze = [\"text_encoder\"]; there is none";
        return Err(Failure::input("training.frozen_features", expected));
    }
    // Without a tokenizer the captions decide how many words the text encoder has: only the image tower can be held against it.
    let known = |source: &Source| tokenizer.is_some() || source.side == Some(Side::Image);
    begun.iter().filter(|source| known(source)).try_for_each(|source| source.check(&layout, &*network))
}

/// The model directories that training starts from.
fn sources(settings: &Settings) -> Outcome<Vec<Source>> {
    match &settings.training.init {
        None => Ok(vec![]),
        Some(Init::Whole(folder)) => Ok(vec![Source::open(folder, None)?]),
        Some(Init::Towers(Towers { image, text })) => {
            let towers = [(image, Side::Image), (text, Side::Text)];
            let open = |(folder, side): (&Option<PathBuf>, Side)| folder.as_ref().map(|f| Source::open(f, Some(side)));
            towers.into_iter().filter_map(open).collect()
        }
    }
}

/// Starting values: drawn from the seed, or read where `training.init` says so.
///
/// # Errors
/// If a model directory cannot be read, or its parameters do not fit: by name.
pub fn values<T: Tensor>(
    settings: &Settings,
    seed: u64,
    registry: &Registry<T>,
    device: &T::Device,
) -> Outcome<Parameters<T>> {
    let layout = layout(settings, registry)?;
    let network = settings.network(registry)?;
    let sources = sources(settings)?;
    for source in &sources {
        source.check(&layout, &*network)?;
    }
    let one = |(name, parameter): (&str, &Parameter)| -> Outcome<T> {
        for source in &sources {
            if let Some(values) = source.values(name, parameter, &*network)? {
                return Ok(T::from_host(&values, &parameter.shape, device)?);
            }
        }
        Ok(parameter.draw(seed, name, device)?)
    };
    Ok(layout.with(layout.iter().map(one).collect::<Outcome<Vec<T>>>()?)?)
}

/// A model directory that training starts from.
struct Source {
    folder: PathBuf,
    weights: Weights,
    /// The tower that is taken; all if none is named.
    side: Option<Side>,
}

impl Source {
    fn open(folder: &Path, side: Option<Side>) -> Outcome<Self> {
        ModelDescription::read(folder)?; // says what is wrong with a folder that is no model directory
        Ok(Self { folder: folder.to_owned(), weights: Weights::open(&folder.join("model.safetensors"))?, side })
    }

    /// Whether a parameter is taken from here. A projection goes with its tower where it fits; its width is the settings' choice.
    fn offers(&self, name: &str, network: &dyn Architecture) -> bool {
        self.side.is_none_or(|side| network.side(name) == Some(side))
    }

    /// That every parameter of what is taken is there in its shape.
    fn check<T>(&self, layout: &Parameters<Parameter>, network: &dyn NetworkConfig<T>) -> Outcome
    where
        T: Tensor,
    {
        let mut problems = vec![];
        for (name, parameter) in layout.iter().filter(|(name, _)| self.offers(name, network)) {
            match self.weights.shape(name) {
                Some(shape) if shape == parameter.shape => {}
                // The settings' own projection, aligner and loss may be new.
                _ if is_projection(name) || !name.contains("encoder") => {}
                Some(shape) => problems.push(format!("{name} has {shape:?}, [model] asks for {:?}", parameter.shape)),
                None => problems.push(format!("{name} is not in it")),
            }
        }
        let places = ["training.init", "training.init.image", "training.init.text"];
        let place = match self.side {
            None => places[0],
            Some(Side::Image) => places[1],
            Some(Side::Text) => places[2],
        };
        match problems.len() {
            0 => Ok(()),
            n => {
                problems.truncate(4);
                let more = if n > 4 { format!("; and {} more", n - 4) } else { String::new() };
                let text = format!("{}: does not fit [model]: {}{more}", self.folder.display(), problems.join("; "));
                Err(Failure::input(place, text))
            }
        }
    }

    fn values<T: Tensor>(
        &self,
        name: &str,
        parameter: &Parameter,
        network: &dyn NetworkConfig<T>,
    ) -> Outcome<Option<Vec<f32>>> {
        let fits = self.weights.shape(name).is_some_and(|shape| shape == parameter.shape);
        if !fits || !self.offers(name, network) {
            return Ok(None);
        }
        Ok(Some((*self.weights.get(name, &parameter.shape)?).as_ref().to_vec()))
    }
}

fn is_projection(name: &str) -> bool {
    name.contains("projection")
}

/// Which parameters are trained: `true` for those that are not frozen.
///
/// # Errors
/// If an entry of `training.freeze` names nothing, or everything is frozen.
pub fn trained(settings: &Settings, layout: &Parameters<Parameter>, network: &dyn Architecture) -> Outcome<Vec<bool>> {
    let mut trained = vec![true; layout.len()];
    for entry in &settings.training.freeze {
        let frozen = |name: &str| match entry.as_str() {
            "image" => network.side(name) == Some(Side::Image),
            "text" => network.side(name) == Some(Side::Text),
            start => name.starts_with(start),
        };
        let mut some = false;
        for (trained, (name, _)) in trained.iter_mut().zip(layout.iter()) {
            if frozen(name) {
                (*trained, some) = (false, true);
            }
        }
        if !some {
            let expected = format!("image, text or the start of a parameter's name, found `{entry}`");
            return Err(Failure::input("training.freeze", expected));
        }
    }
    if !trained.contains(&true) {
        return Err(Failure::input("training.freeze", "leaves nothing to train"));
    }
    Ok(trained)
}
