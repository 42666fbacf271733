//! The pointing game (Zhang et al. 2016): does a class's map peak on the class? Looks at *where* only.

use super::{Case, Figure, Metric, Resampled, Scope, Unit, share, sums};
use crate::map::Size;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use simseg_registry::Kinds;
use simseg_tensor::{Result, Tensor};

/// The metric; an observation is `[hits, objects]`.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pointing {}

const FIGURES: [Figure; 1] = [Figure {
    name: "point_on_object",
    heading: "point on object",
    unit: Unit::Share,
    about: "objects on which the map of their class has its maximum",
}];

/// Whether the largest value of a map (the first, on a tie) lies on a pixel of `class`, in labels of another size.
///
/// ```
/// use simseg_segment::{map::Size, metrics::pointing::points_at};
/// let (map, labels) = (Size { height: 1, width: 4 }, Size { height: 1, width: 2 });
/// assert!(points_at(&[0.1, 0.2, 0.9, 0.3], map, &[0, 2], labels, 2)); // column 2 of 4 is column 1 of 2
/// ```
pub fn points_at(values: &[f32], map: Size, labels: &[u16], size: Size, class: u16) -> bool {
    let peak = (0..values.len()).fold(0, |best, i| if values[i] > values[best] { i } else { best });
    let (row, column) = (peak / map.width.max(1), peak % map.width.max(1));
    // The pixel of the labels that the centre of the map's pixel lies in.
    let place = |at: usize, from: usize, to: usize| (2 * at + 1) * to / (2 * from.max(1));
    let (y, x) = (place(row, map.height, size.height), place(column, map.width, size.width));
    labels.get(y * size.width + x) == Some(&class)
}

impl<T: Tensor> Metric<T> for Pointing {
    fn figures(&self) -> &'static [Figure] {
        &FIGURES
    }

    fn scope(&self) -> Scope {
        Scope::Given
    }

    fn observe(&self, case: &Case<'_, T>) -> Result<Value> {
        let maps = case.segmenter.maps(case.view, case.objects)?;
        let on = |(&class, map): (&usize, &Vec<f32>)| {
            points_at(map, case.view.image.input, case.truth, case.size, class as u16)
        };
        let hits = case.objects.iter().zip(&maps).filter(|pair| on(*pair)).count();
        super::observation(&[hits, case.objects.len()])
    }

    fn finish(&self, observations: &[Value]) -> Result<Vec<Option<f64>>> {
        Metric::<T>::prepare(self, observations)?(&vec![1; observations.len()])
    }

    fn prepare<'a>(&'a self, observations: &'a [Value]) -> Result<Resampled<'a>> {
        let counts = observations.iter().map(super::observed::<[u64; 2]>).collect::<Result<Vec<_>>>()?;
        Ok(Box::new(move |times| {
            let [hits, objects] = sums(&counts, times);
            Ok(vec![share(hits, objects)])
        }))
    }
}

/// Adds it to its family.
pub fn register<T: Tensor>(kinds: &mut Kinds<dyn Metric<T>>) {
    kinds.add("pointing", "the pointing game", |metric: Pointing| Ok(Box::new(metric)));
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn size(height: usize, width: usize) -> Size {
        Size { height, width }
    }

    #[test]
    fn a_map_points_at_its_peak() {
        let row = size(1, 3);
        assert!(points_at(&[0.1, 0.9, 0.3], row, &[0, 2, 2], row, 2));
        assert!(!points_at(&[0.9, 0.9, 0.3], row, &[0, 2, 2], row, 2), "the first of equal peaks counts");
    }

    #[test]
    fn the_peak_is_looked_up_where_it_lies_in_the_label_map() {
        // An input of 96 against labels of 64: the object is the lower right quarter.
        let (input, labels) = (size(96, 96), size(64, 64));
        let truth: Vec<u16> = (0..64 * 64).map(|p| u16::from(p / 64 >= 32 && p % 64 >= 32)).collect();
        let peak = |y: usize, x: usize| {
            let mut map = vec![0.0; 96 * 96];
            map[y * 96 + x] = 1.0;
            points_at(&map, input, &truth, labels, 1)
        };
        assert!(peak(48, 48) && peak(95, 95) && peak(60, 90));
        assert!(!peak(47, 48) && !peak(48, 47) && !peak(0, 0));
    }
}
