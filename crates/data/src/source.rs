//! Where data comes from, by name: `{ kind = "captions", file = "captions.csv", images = "photos" }`.

use crate::datasets::Dataset;
use crate::datasets::drawn::Scenes;
#[cfg(feature = "fs")]
use crate::datasets::{coco, context, folder, voc};
use crate::pairs::Pairs;
#[cfg(feature = "fs")]
use crate::pairs::captions::CaptionFile;
use simseg_registry::{Choice, Error, Kinds};

/// A source as a settings file has it: its kind, and the settings of that kind.
pub type Source = Choice;

/// The random seed of the run that asks: drawn sources that name no seed follow it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seed(pub u64);

/// Sources by name.
pub struct DataRegistry {
    /// Images with captions.
    pub pairs: Kinds<dyn Pairs, Seed>,
    /// Images with label maps.
    pub datasets: Kinds<dyn Dataset, Seed>,
}

impl DataRegistry {
    /// What this crate brings.
    #[rustfmt::skip]
    pub fn built_in() -> Self {
        let mut pairs = Kinds::<dyn Pairs, Seed>::new("data");
        pairs.add_composed("scenes", "the small world, drawn", |scenes: Scenes, seed: &Seed| Ok(Box::new(scenes.draw(seed.0).map_err(Error::build)?)));

        let mut datasets = Kinds::<dyn Dataset, Seed>::new("data");
        // Training seeds are small numbers; the complement is far from all of them.
        datasets.add_composed("scenes", "the small world, drawn from the complement of the run's seed", |scenes: Scenes, seed: &Seed| Ok(Box::new(scenes.draw(!seed.0).map_err(Error::build)?)));
        #[cfg(feature = "fs")]
        on_disk(&mut pairs, &mut datasets);
        Self { pairs, datasets }
    }

    /// Opens images with captions.
    ///
    /// # Errors
    /// If nobody knows the kind, a setting is wrong, or there is nothing at that place.
    pub fn open_pairs(&self, source: &Source, seed: u64) -> Result<Box<dyn Pairs>, Error> {
        let pairs = self.pairs.build_in(source, &Seed(seed))?;
        if pairs.is_empty() { Err(Error::setting("data", "no pairs in it")) } else { Ok(pairs) }
    }

    /// Opens images with label maps.
    ///
    /// # Errors
    /// As [`Self::open_pairs`].
    pub fn open_dataset(&self, source: &Source, seed: u64) -> Result<Box<dyn Dataset>, Error> {
        let dataset = self.datasets.build_in(source, &Seed(seed))?;
        if dataset.is_empty() { Err(Error::setting("data", "no images in it")) } else { Ok(dataset) }
    }
}

/// What lies in files.
#[cfg(feature = "fs")]
#[rustfmt::skip]
fn on_disk(pairs: &mut Kinds<dyn Pairs, Seed>, datasets: &mut Kinds<dyn Dataset, Seed>) {
    pairs.add("captions", "a caption file and a folder of images", |file: CaptionFile| Ok(Box::new(file.open().map_err(Error::build)?)));
    datasets.add("voc2012", "PASCAL VOC 2012, validation split", |place: voc::Root| Ok(Box::new(voc::voc2012(&place.root).map_err(Error::build)?)));
    datasets.add("context", "PASCAL Context, 59 classes", |place: voc::Root| Ok(Box::new(context::context(&place.root).map_err(Error::build)?)));
    datasets.add("coco-object", "COCO 2017, 80 things", |place: voc::Root| Ok(Box::new(coco::coco_object(&place.root).map_err(Error::build)?)));
    datasets.add("folder", "images/ and labels/*.png of the same stem", |own: folder::Folder| Ok(Box::new(folder::folder(&own.root, own.classes.as_deref()).map_err(Error::build)?)));
}
