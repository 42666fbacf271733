//! The small world as a source of pairs and of label maps: the first scenes of a seed, drawn when they are asked for.

use super::{Dataset, Item};
use crate::pairs::{NamedWords, Pair, Pairs};
use crate::picture::{Labels, Picture};
use crate::source::{DataRegistry, Seed};
use crate::{Error, Result, SceneConfig, World};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use simseg_registry::Error as BuildError;

/// The settings of `kind = "scenes"`: how many, of which seed, and the fields of [`SceneConfig`] beside them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Map<String, Value>", into = "Map<String, Value>")]
pub struct Scenes {
    /// How many.
    pub count: usize,
    /// Which world; the run's random seed decides if it is not given.
    pub seed: Option<u64>,
    /// What they look like.
    pub world: SceneConfig,
}

impl TryFrom<Map<String, Value>> for Scenes {
    type Error = String;

    fn try_from(mut map: Map<String, Value>) -> std::result::Result<Self, String> {
        let own = ["count", "seed"].map(|key| map.remove(key));
        let [count, seed] = own.map(|value| value.map(|value| value.as_u64().ok_or(value)).transpose());
        let world = SceneConfig::deserialize(Value::Object(map)).map_err(|error| {
            // The two keys that are taken out before are known, too.
            error.to_string().replacen("expected one of ", "expected one of `count`, `seed`, ", 1)
        })?;
        let number = |key: &str, value: Value| format!("{key}: expected a whole number, found {value}");
        let count = count.map_err(|value| number("count", value))?.ok_or("count: expected the number of scenes")?;
        let seed = seed.map_err(|value| number("seed", value))?;
        world.check().map_err(|error| error.to_string())?;
        if count == 0 {
            return Err("count: at least one scene".into());
        }
        Ok(Self { count: count as usize, seed, world })
    }
}

impl From<Scenes> for Map<String, Value> {
    fn from(scenes: Scenes) -> Self {
        let mut map = Self::new();
        map.insert("count".into(), scenes.count.into());
        if let Some(seed) = scenes.seed {
            map.insert("seed".into(), seed.into());
        }
        if let Ok(Value::Object(world)) = serde_json::to_value(&scenes.world) {
            map.extend(world);
        }
        map
    }
}

impl Scenes {
    /// The scenes; of `seed` if the settings name none.
    ///
    /// # Errors
    /// If a setting makes no sense.
    pub fn draw(self, seed: u64) -> Result<Drawn> {
        Ok(Drawn::new(World::new(self.world, self.seed.unwrap_or(seed))?, self.count))
    }
}

/// Scenes `0..count` of a world.
#[derive(Debug, Clone)]
pub struct Drawn {
    world: World,
    count: usize,
    classes: Vec<String>,
}

impl Drawn {
    /// The first `count` scenes.
    pub fn new(world: World, count: usize) -> Self {
        Self { world, count, classes: super::owned(&World::classes()) }
    }

    fn within(&self, index: usize) -> Result<u64> {
        match index < self.count {
            true => Ok(index as u64),
            false => Err(Error::setting("scenes", format!("scene {index} of {}", self.count))),
        }
    }
}

impl Dataset for Drawn {
    fn len(&self) -> usize {
        self.count
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn item(&self, index: usize) -> Result<Item> {
        let scene = self.world.scene(self.within(index)?);
        let (width, height) = (scene.size, scene.size);
        let picture = Picture { width, height, rgb: scene.rgb };
        let labels = Labels::new(width, height, scene.labels.into_iter().map(u16::from).collect());
        Ok(Item { stem: format!("{index:06}"), picture, labels })
    }

    fn objects(&self, index: usize, _: &Item) -> Vec<usize> {
        self.world.composition(index as u64).objects.iter().map(|object| usize::from(object.class)).collect()
    }

    fn caption(&self, index: usize) -> Result<Option<String>> {
        Ok(Some(self.world.composition(self.within(index)?).caption))
    }

    fn named_words(&self) -> Option<NamedWords> {
        Some(World::named_words())
    }
}

impl Pairs for Drawn {
    fn len(&self) -> usize {
        self.count
    }

    fn pair(&self, index: usize) -> Result<Pair> {
        let scene = self.world.scene(self.within(index)?);
        let picture = Picture { width: scene.size, height: scene.size, rgb: scene.rgb };
        Ok(Pair { id: format!("{index:06}"), picture, caption: scene.caption })
    }

    fn caption(&self, index: usize) -> Result<String> {
        Ok(self.world.composition(self.within(index)?).caption)
    }

    fn id(&self, index: usize) -> Result<String> {
        Ok(format!("{:06}", self.within(index)?))
    }

    fn held_out(&self, pictures: usize) -> Result<Box<dyn Pairs>> {
        Ok(Box::new(Self::new(self.world.clone().held_out(), pictures)))
    }

    fn words(&self) -> Option<Vec<String>> {
        Some(super::owned(&World::words()))
    }

    fn named_words(&self) -> Option<NamedWords> {
        Some(World::named_words())
    }
}

type Built<M> = std::result::Result<Box<M>, BuildError>;

/// Adds it to the sources.
pub fn register(registry: &mut DataRegistry) {
    let pairs = |scenes: Scenes, seed: &Seed| -> Built<dyn Pairs> {
        Ok(Box::new(scenes.draw(seed.0).map_err(BuildError::build)?))
    };
    registry.pairs.add_composed("scenes", "the small world, drawn", pairs);
    let held_out = |scenes: Scenes, seed: &Seed| -> Built<dyn Dataset> {
        Ok(Box::new(scenes.draw(seed.0).map_err(BuildError::build)?))
    };
    registry.datasets.add_composed("scenes", "the small world, of the seed of test sets", held_out);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scenes(json: &str) -> std::result::Result<Scenes, serde_json::Error> {
        serde_json::from_str(json)
    }

    #[test]
    fn settings_read_back_and_unknown_keys_are_refused() {
        let read = scenes(r#"{"count": 3, "bias": 0.5}"#).unwrap();
        assert_eq!((read.count, read.seed, read.world.bias), (3, None, 0.5));
        assert_eq!(scenes(&serde_json::to_string(&read).unwrap()).unwrap(), read);
        for (json, needle) in [
            (r#"{"count": 3, "bais": 0.5}"#, "`bais`"),
            (r#"{"bias": 0.5}"#, "count"),
            (r#"{"count": 0}"#, "at least one"),
            (r#"{"count": -1}"#, "whole number"),
            (r#"{"count": 3, "bias": 2}"#, "bias"),
        ] {
            let error = scenes(json).unwrap_err().to_string();
            assert!(error.contains(needle), "{json}: {error}");
        }
    }

    #[test]
    fn a_pair_and_an_item_are_the_same_scene_and_captions_need_no_drawing() {
        let drawn = scenes(r#"{"count": 4}"#).unwrap().draw(7).unwrap();
        for index in 0..4 {
            let (pair, item) = (drawn.pair(index).unwrap(), drawn.item(index).unwrap());
            assert_eq!(pair.picture, item.picture);
            assert_eq!(Pairs::caption(&drawn, index).unwrap(), pair.caption);
            assert_eq!(Dataset::caption(&drawn, index).unwrap(), Some(pair.caption));
            for class in drawn.objects(index, &item) {
                assert!(item.labels.values.contains(&(class as u16)), "scene {index}, class {class}");
            }
        }
        assert!(drawn.pair(4).is_err());
    }

    #[test]
    fn held_out_scenes_are_of_the_same_world_and_none_of_those_of_any_seed() {
        let drawn = scenes(r#"{"count": 8, "image_size": 32, "context_only": 1.0}"#).unwrap().draw(7).unwrap();
        let held_out = drawn.held_out(8).unwrap();
        assert_eq!((Pairs::len(&*held_out), held_out.id(3).unwrap().as_str()), (8, "000003"));
        for index in 0..8 {
            let pair = held_out.pair(index).unwrap();
            assert_eq!(pair, drawn.held_out(20).unwrap().pair(index).unwrap(), "however many there are");
            let objects = World::named_words().objects;
            assert!(objects.iter().all(|object| !pair.caption.contains(object)), "{}", pair.caption);
            assert_eq!(pair.picture.width, 32);
            for other in 0..8 {
                assert_ne!(pair.picture, drawn.pair(other).unwrap().picture);
            }
        }
        let again = held_out.held_out(8).unwrap();
        assert_ne!(again.pair(0).unwrap().picture, held_out.pair(0).unwrap().picture);
    }
}
