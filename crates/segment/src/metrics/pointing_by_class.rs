//! The pointing game class by class, against chance: a class that fills half of its pictures is hit half of the time by a map that knows
//! nothing, so that hits count for what they are above the area of their class.

use super::pointing::points_at;
use super::{Case, ClassFigure, Figure, Metric, Resampled, Scope, Unit};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use simseg_registry::Kinds;
use simseg_tensor::{Result, Tensor};
use std::collections::BTreeMap;

/// The metric; an observation has `[class, hit, pixels of the class, pixels]` for each object's class.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PointingByClass {}

/// Class, whether its map peaks on it, its pixels, all pixels.
type Try = (usize, u64, u64, u64);

/// A class that fewer images have says little by itself: means over classes leave it out.
pub const LEAST_IMAGES: u64 = 10;

const FIGURES: [Figure; 4] = [
    Figure {
        name: "pointing_of_classes",
        heading: "points on class",
        unit: Unit::Share,
        about: "the pointing game, mean of classes with at least 10 images",
    },
    Figure {
        name: "chance_of_classes",
        heading: "chance of that",
        unit: Unit::Share,
        about: "share of pixels of these classes, mean of the same classes",
    },
    Figure {
        name: "pointing_over_chance",
        heading: "times chance",
        unit: Unit::Number,
        about: "the pointing game of these classes as a multiple of chance",
    },
    Figure {
        name: "chance_of_objects",
        heading: "chance, all objects",
        unit: Unit::Share,
        about: "share of pixels of a class, mean over all objects: what `pointing` is to be read against",
    },
];

/// Sums of one class.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    images: u64,
    hits: u64,
    /// Of the shares of pixels.
    area: f64,
}

impl Sums {
    fn add(&mut self, (_, hit, own, all): Try, times: u32) {
        self.images += u64::from(times);
        self.hits += hit * u64::from(times);
        self.area += own as f64 / all.max(1) as f64 * f64::from(times);
    }

    fn shares(&self) -> [f64; 2] {
        let images = self.images.max(1) as f64;
        [self.hits as f64 / images, self.area / images]
    }
}

/// Each class's sums, over images that count so often.
fn by_class(tries: &[Vec<Try>], times: impl Fn(usize) -> u32) -> BTreeMap<usize, Sums> {
    let mut sums: BTreeMap<usize, Sums> = BTreeMap::new();
    for (image, tries) in tries.iter().enumerate().filter(|(image, _)| times(*image) > 0) {
        tries.iter().for_each(|one| sums.entry(one.0).or_default().add(*one, times(image)));
    }
    sums
}

fn figures(sums: &BTreeMap<usize, Sums>) -> Vec<Option<f64>> {
    let mean = |all: &[f64]| (!all.is_empty()).then(|| all.iter().sum::<f64>() / all.len() as f64);
    let known: Vec<[f64; 2]> = sums.values().filter(|sums| sums.images >= LEAST_IMAGES).map(Sums::shares).collect();
    let [hits, chance] = [0, 1].map(|i| mean(&known.iter().map(|shares| shares[i]).collect::<Vec<_>>()));
    let (images, area) = sums.values().fold((0, 0.0), |(images, area), sums| (images + sums.images, area + sums.area));
    let over = hits.zip(chance).filter(|(_, chance)| *chance > 0.0).map(|(hits, chance)| hits / chance);
    vec![hits, chance, over, (images > 0).then(|| area / images as f64)]
}

fn read(observations: &[Value]) -> Result<Vec<Vec<Try>>> {
    observations.iter().map(super::observed::<Vec<Try>>).collect()
}

impl<T: Tensor> Metric<T> for PointingByClass {
    fn figures(&self) -> &'static [Figure] {
        &FIGURES
    }

    fn scope(&self) -> Scope {
        Scope::Given
    }

    fn observe(&self, case: &Case<'_, T>) -> Result<Value> {
        let mut classes = case.objects.to_vec();
        classes.sort_unstable();
        classes.dedup(); // one map a class, however many objects it has
        let maps = case.segmenter.maps(case.view, &classes)?;
        let one = |(&class, map): (&usize, &Vec<f32>)| -> Try {
            let hit = points_at(map, case.view.image.input, case.truth, case.size, class as u16);
            let own = case.truth.iter().filter(|label| usize::from(**label) == class).count();
            (class, u64::from(hit), own as u64, case.truth.len() as u64)
        };
        super::observation(&classes.iter().zip(&maps).map(one).collect::<Vec<Try>>())
    }

    fn finish(&self, observations: &[Value]) -> Result<Vec<Option<f64>>> {
        Ok(figures(&by_class(&read(observations)?, |_| 1)))
    }

    fn prepare<'a>(&'a self, observations: &'a [Value]) -> Result<Resampled<'a>> {
        let tries = read(observations)?;
        Ok(Box::new(move |times| Ok(figures(&by_class(&tries, |image| times[image])))))
    }

    fn by_class(&self, observations: &[Value], _: usize) -> Result<Vec<ClassFigure>> {
        let sums = by_class(&read(observations)?, |_| 1);
        let each = sums.into_iter().flat_map(|(class, sums)| {
            let named = ["points on ", "chance of pointing on "].into_iter().zip(sums.shares());
            named.map(move |(prefix, value)| ClassFigure { class, prefix, value: Some(value) })
        });
        Ok(each.collect())
    }
}

/// Adds it to its family.
pub fn register<T: Tensor>(kinds: &mut Kinds<dyn Metric<T>>) {
    let about = "the pointing game class by class, against chance";
    kinds.add("pointing-by-class", about, |metric: PointingByClass| Ok(Box::new(metric)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use simseg_cpu::CpuTensor;

    #[test]
    fn means_are_of_classes_that_enough_images_have_and_chance_is_the_area() {
        // Class 1 in 10 images, hit in 6, a quarter of the pixels; class 2 in 20, hit in 4, a tenth; class 3 in one.
        let image = |i: u64| {
            let mut tries = vec![json!([2, u64::from(i < 4), 10, 100])];
            if i < 10 {
                tries.push(json!([1, u64::from(i < 6), 25, 100]));
            }
            if i == 0 {
                tries.push(json!([3, 1, 100, 100]));
            }
            Value::Array(tries)
        };
        let all: Vec<Value> = (0..20).map(image).collect();
        let metric: &dyn Metric<CpuTensor<f32>> = &PointingByClass {};
        let found = metric.finish(&all).unwrap();
        let expected = [0.4, 0.175, 0.4 / 0.175, (10.0 * 0.25 + 20.0 * 0.1 + 1.0) / 31.0];
        for (found, expected) in found.iter().zip(expected) {
            assert!((found.unwrap() - expected).abs() < 1e-12, "{found:?} instead of {expected}");
        }
        let classes = metric.by_class(&all, 4).unwrap();
        let said: Vec<(usize, &str, f64)> = classes.iter().map(|f| (f.class, f.prefix, f.value.unwrap())).collect();
        assert_eq!(said.len(), 6);
        assert_eq!((said[0].1, said[5].0, said[5].2), ("points on ", 3, 1.0));
        assert!((said[0].2 - 0.6).abs() < 1e-12 && (said[3].2 - 0.1).abs() < 1e-12, "{said:?}");
        assert_eq!(metric.finish(&[]).unwrap(), [None; 4]);
    }
}
