//! The small world as a data set: the first scenes of a seed, drawn when they are asked for.

use super::{Dataset, Item};
use crate::picture::{Labels, Picture};
use crate::{Result, World};

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
}

impl Dataset for Drawn {
    fn len(&self) -> usize {
        self.count
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn item(&self, index: usize) -> Result<Item> {
        let scene = self.world.scene(index as u64);
        let (width, height) = (scene.size, scene.size);
        let picture = Picture { width, height, rgb: scene.rgb };
        let labels = Labels { width, height, values: scene.labels };
        Ok(Item { stem: format!("{index:06}"), picture, labels })
    }
}
