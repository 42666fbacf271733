//! A scene that one can edit: drawn by number, then with another context, with objects added or taken away; or a picture of one's own.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use simseg::{Error, Picture, Result};
use simseg_data::scenes::{Composition, Placed};
use simseg_data::{Scene, SceneConfig, World};

/// The seed of scenes that are looked at; training draws from others.
const SHOWN: u64 = 2_023;

/// Which scene.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SceneRequest {
    /// Its number.
    pub index: u64,
    /// Another context, an index into the contexts.
    pub context: Option<usize>,
    /// Other objects.
    pub objects: Option<Vec<Placed>>,
    /// A picture in its place: its side and its bytes `[side, side, 3]` in base64.
    pub picture: Option<Own>,
}

/// A picture of one's own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Own {
    /// Rows and columns.
    pub side: usize,
    /// `[side, side, 3]` in base64.
    pub rgb: String,
}

/// A picture with what is known about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Shown {
    /// The picture.
    pub picture: Picture,
    /// A class for each pixel, where they are known.
    pub truth: Option<Vec<u16>>,
    /// What was drawn, if it was.
    pub composition: Option<Composition>,
}

/// The world whose scenes are shown: contexts say nothing about objects.
///
/// # Errors
/// Never with these settings.
pub fn shown_world() -> Result<World> {
    Ok(World::new(SceneConfig { bias: 0.0, ..SceneConfig::default() }, SHOWN)?)
}

impl SceneRequest {
    /// Draws it.
    ///
    /// # Errors
    /// If it names what there is not, or a picture is not what it says.
    pub fn draw(&self) -> Result<Shown> {
        if let Some(own) = &self.picture {
            return own.picture().map(|picture| Shown { picture, truth: None, composition: None });
        }
        let world = shown_world()?;
        let mut composition = world.composition(self.index);
        composition.context = self.context.unwrap_or(composition.context);
        if let Some(objects) = &self.objects {
            if objects.len() > 6 {
                return Err(Error::input("scene.objects", format!("at most 6, found {}", objects.len())));
            }
            composition.objects.clone_from(objects);
        }
        let scene = world.paint(composition.clone(), self.index);
        let Scene { size, rgb, labels, .. } =
            scene.ok_or_else(|| Error::input("scene", "an object or context that there is not"))?;
        let truth = labels.into_iter().map(u16::from).collect();
        Ok(Shown {
            picture: Picture { width: size, height: size, rgb },
            truth: Some(truth),
            composition: Some(composition),
        })
    }
}

impl Own {
    fn picture(&self) -> Result<Picture> {
        let rgb = BASE64.decode(&self.rgb).map_err(|error| Error::input("scene.picture.rgb", error))?;
        let side = self.side;
        match (8..=512).contains(&side) && rgb.len() == 3 * side * side {
            true => Ok(Picture { width: side, height: side, rgb }),
            false => Err(Error::input(
                "scene.picture",
                format!("a side from 8 to 512 and 3·side² bytes, found {side} and {}", rgb.len()),
            )),
        }
    }
}

/// Bytes as base64.
pub fn encoded(bytes: &[u8]) -> String {
    BASE64.encode(bytes)
}

/// Base64 as bytes.
///
/// # Errors
/// If it is none.
pub fn decoded(text: &str) -> Result<Vec<u8>> {
    BASE64.decode(text).map_err(|error| Error::input("base64", error))
}
