//! A data set for training and judging: the left or the right half of a picture is red.

use serde::{Deserialize, Serialize};
use simseg_data::picture::{Labels, Picture};
use simseg_data::{DataRegistry, Dataset, Item, Pair, Pairs, Result};

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Halves {
    count: usize,
    size: usize,
}

struct Drawn(Halves, Vec<String>);

impl Drawn {
    fn new(halves: Halves) -> Self {
        Self(halves, ["background", "left", "right"].map(str::to_owned).into())
    }

    fn labels(&self, index: usize) -> Labels {
        let size = self.0.size;
        let label = |p: usize| if (p % size < size / 2) == (index % 2 == 0) { 1 + (index % 2) as u16 } else { 0 };
        Labels::new(size, size, (0..size * size).map(label).collect())
    }

    fn picture(&self, index: usize) -> Picture {
        let size = self.0.size;
        let pixel = |label: u16| if label > 0 { [200, 30, (index % 50) as u8] } else { [40, 40, 40] };
        let rgb = self.labels(index).values.into_iter().flat_map(pixel).collect();
        Picture { width: size, height: size, rgb }
    }
}

impl Dataset for Drawn {
    fn len(&self) -> usize {
        self.0.count
    }
    fn classes(&self) -> &[String] {
        &self.1
    }
    fn item(&self, index: usize) -> Result<Item> {
        Ok(Item { stem: index.to_string(), picture: self.picture(index), labels: self.labels(index) })
    }
}

impl Pairs for Drawn {
    fn len(&self) -> usize {
        self.0.count
    }
    fn pair(&self, index: usize) -> Result<Pair> {
        let caption = format!("something red on the {}", self.1[1 + index % 2]);
        Ok(Pair { id: index.to_string(), picture: self.picture(index), caption })
    }
}

pub fn register(registry: &mut DataRegistry) {
    registry.pairs.add("halves", "half of a picture is red", |halves: Halves| Ok(Box::new(Drawn::new(halves))));
    registry.datasets.add("halves", "half of a picture is red", |halves: Halves| Ok(Box::new(Drawn::new(halves))));
}
