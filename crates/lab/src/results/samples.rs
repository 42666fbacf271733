//! Pictures of a run to look at: the image, the truth, the prediction, and where the first object's class responds.
//!
//! `pictures/<i>.image.png`, `.truth.png`, `.labels.png`, `.heat.png` and `pictures.json` with captions; the report shows every
//! variant on the pictures that it was judged on.

use super::save_json;
use crate::failure::{Failure, Outcome};
use crate::judging::{Image, Judge};
use serde::{Deserialize, Serialize};
use simseg::explanation::palette;
use simseg::{Labels, Picture};
use simseg_data::{Dataset, atomic};
use simseg_segment::map::{Upsample, resize};
use simseg_tensor::Tensor;
use std::path::Path;

/// One picture with what became of it.
pub struct Sample {
    picture: Picture,
    truth: Labels,
    labels: Labels,
    heat: Picture,
    said: Said,
}

/// What stands under a picture: a line of `pictures.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// Its name.
    pub stem: String,
    /// Its caption, if it has one.
    pub caption: Option<String>,
    /// The class whose map is shown.
    pub object: String,
}

impl Sample {
    /// What a judged image looks like.
    ///
    /// # Errors
    /// If the map cannot be computed.
    pub fn of<T: Tensor>(dataset: &dyn Dataset, image: &Image<'_, T>, judge: &Judge<'_, T>) -> Outcome<Self> {
        let (item, features) = (image.item, image.features);
        let object = image
            .objects
            .first()
            .copied()
            .unwrap_or(usize::from(dataset.has_background()))
            .min(dataset.classes().len() - 1);
        let map = judge.segmenter.maps(judge.model.view(features, judge.words), &[object])?.remove(0);
        let map = resize(&map, features.input, features.output, Upsample::Bilinear)?;
        let width = item.picture.width;
        Ok(Self {
            heat: heat(&map, width),
            labels: Labels { values: image.prediction.labels.clone(), ..item.labels.clone() },
            truth: item.labels.clone(),
            picture: item.picture.clone(),
            said: Said {
                stem: item.stem.clone(),
                caption: dataset.caption(image.index)?,
                object: dataset.classes()[object].clone(),
            },
        })
    }
}

/// Writes pictures; those of several data sets lie in folders of their own.
///
/// # Errors
/// If the folder cannot be written.
pub fn save(folder: &Path, prefix: &str, samples: &[Sample]) -> Outcome {
    let folder = folder.join(prefix.trim_end_matches('.'));
    atomic::folder(&folder)?;
    for (i, sample) in samples.iter().enumerate() {
        sample.picture.save(&folder.join(format!("{i}.image.png")))?;
        sample.truth.save(&folder.join(format!("{i}.truth.png")))?;
        sample.labels.save(&folder.join(format!("{i}.labels.png")))?;
        sample.heat.save(&folder.join(format!("{i}.heat.png")))?;
    }
    let said: Vec<&Said> = samples.iter().map(|sample| &sample.said).collect();
    save_json(&folder.join("pictures.json"), &said)
}

/// What stands under the pictures of a folder; nothing if it has none.
///
/// # Errors
/// If `pictures.json` is damaged.
pub fn read(folder: &Path, prefix: &str) -> Outcome<Vec<Said>> {
    let path = folder.join(prefix.trim_end_matches('.')).join("pictures.json");
    let Ok(text) = std::fs::read_to_string(&path) else { return Ok(vec![]) };
    serde_json::from_str(&text).map_err(|error| Failure::file(&path, error))
}

/// Values in `[0, 1]` as colours ([`palette::heat`]).
pub fn heat(map: &[f32], width: usize) -> Picture {
    Picture { width, height: map.len() / width, rgb: map.iter().flat_map(|&value| palette::heat(value)).collect() }
}
