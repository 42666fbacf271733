//! Resolution ceiling: the best mIoU that masks made of whole patches could reach. What is above it no choice of classes and no
//! better features can win, only a finer grid.

use super::{Case, Figure, Metric, Resampled, Scope, Unit};
use crate::map::Size;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use simseg_registry::Kinds;
use simseg_tensor::{Error, Result, Tensor};
use std::collections::BTreeSet;

/// The metric.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResolutionCeiling {}

const FIGURES: [Figure; 1] = [Figure {
    name: "resolution_ceiling",
    heading: "resolution ceiling",
    unit: Unit::Share,
    about: "the best mIoU that masks of whole patches could reach",
}];

impl<T: Tensor> Metric<T> for ResolutionCeiling {
    fn figures(&self) -> &'static [Figure] {
        &FIGURES
    }

    fn scope(&self) -> Scope {
        Scope::Grid
    }

    fn observe(&self, case: &Case<'_, T>) -> Result<Value> {
        let mut ceiling = Ceiling::new(case.classes);
        ceiling.add(case.truth, case.size, case.view.image.grid)?;
        super::observation(&ceiling.cells)
    }

    fn finish(&self, observations: &[Value]) -> Result<Vec<Option<f64>>> {
        let mut total = Ceiling::new(0);
        for observed in observations {
            let cells: Vec<Vec<Cell>> = super::observed(observed)?;
            total.cells.resize(total.cells.len().max(cells.len()), vec![]);
            total.cells.iter_mut().zip(cells).for_each(|(all, more)| all.extend(more));
        }
        Ok(vec![(!observations.is_empty()).then(|| total.miou())])
    }

    fn prepare<'a>(&'a self, observations: &'a [Value]) -> Result<Resampled<'a>> {
        // Per class, every kind of patch of an image once: most hold nothing else, or none of it, in every image alike.
        let mut classes: Vec<Vec<(usize, Cell, u64)>> = vec![];
        for (image, observed) in observations.iter().enumerate() {
            let cells: Vec<Vec<Cell>> = super::observed(observed)?;
            classes.resize(classes.len().max(cells.len()), vec![]);
            for (all, mut more) in classes.iter_mut().zip(cells) {
                more.sort_unstable();
                all.extend(more.chunk_by(|a, b| a == b).map(|alike| (image, alike[0], alike.len() as u64)));
            }
        }
        let classes: Vec<Kinded> = classes.into_iter().map(Kinded::of).collect();
        Ok(Box::new(move |times| {
            let counted = times.iter().any(|&times| times > 0);
            let ious = classes.iter().filter_map(|class| {
                let drawn = class.drawn(times);
                (!drawn.is_empty()).then(|| best(drawn.iter().copied()))
            });
            let seen: Vec<f64> = ious.collect();
            Ok(vec![counted.then(|| seen.iter().sum::<f64>() / seen.len().max(1) as f64)])
        }))
    }
}

/// How many pixels of a class a patch holds, and how many others: `[inside, others]`.
type Cell = [u32; 2];

/// The patches of a class, to be counted often: thousands of rounds add to a list of numbers, and look nothing up.
struct Kinded {
    /// Every kind of patch once, rising.
    kinds: Vec<Cell>,
    /// Image, position of the kind, how many.
    patches: Vec<(usize, usize, u64)>,
}

impl Kinded {
    fn of(patches: Vec<(usize, Cell, u64)>) -> Self {
        let kinds: BTreeSet<Cell> = patches.iter().map(|&(_, cell, _)| cell).collect();
        let kinds: Vec<Cell> = kinds.into_iter().collect();
        let place = |cell: Cell| kinds.partition_point(|kind| *kind < cell);
        Self { patches: patches.into_iter().map(|(image, cell, n)| (image, place(cell), n)).collect(), kinds }
    }

    /// The kinds that some drawn image has, with their number.
    fn drawn(&self, times: &[u32]) -> Vec<(Cell, f64)> {
        let mut numbers = vec![0; self.kinds.len()];
        self.patches.iter().for_each(|&(image, kind, n)| numbers[kind] += n * u64::from(times[image]));
        let drawn = self.kinds.iter().zip(numbers).filter(|(_, n)| *n > 0);
        drawn.map(|(&cell, n)| (cell, n as f64)).collect()
    }
}

/// How many pixels of each class each patch holds, over a data set; asked for the best masks at the end.
#[derive(Debug, Clone)]
pub struct Ceiling {
    classes: usize,
    /// Per class, every patch that holds some of it.
    cells: Vec<Vec<Cell>>,
}

impl Ceiling {
    /// Nothing seen yet.
    pub fn new(classes: usize) -> Self {
        Self { classes, cells: vec![vec![]; classes] }
    }

    /// Adds the true labels of one image under a grid of patches.
    ///
    /// # Errors
    /// If sizes do not match or a label is out of range ([`IGNORE`](super::IGNORE) is left out).
    pub fn add(&mut self, labels: &[u16], size: Size, grid: Size) -> Result<()> {
        if labels.len() != size.area() || grid.area() == 0 {
            let (lhs, rhs) = (vec![labels.len()], vec![size.height, size.width, grid.height, grid.width]);
            return Err(Error::Shape { op: "ceiling", lhs, rhs, rule: "labels of this size, and a grid" });
        }
        let mut counts = vec![0u32; grid.area() * self.classes];
        for (p, &label) in labels.iter().enumerate().filter(|&(_, &label)| label != super::IGNORE) {
            let (y, x) = (p / size.width, p % size.width);
            let cell = (y * grid.height / size.height) * grid.width + x * grid.width / size.width;
            let bound = self.classes;
            let count = counts.get_mut(cell * bound + usize::from(label)).filter(|_| usize::from(label) < bound);
            *count.ok_or(Error::Position { op: "ceiling", index: label.into(), bound })? += 1;
        }
        for cell in counts.chunks(self.classes) {
            let total: u32 = cell.iter().sum();
            for (class, &inside) in cell.iter().enumerate().filter(|&(_, &inside)| inside > 0) {
                self.cells[class].push([inside, total - inside]);
            }
        }
        Ok(())
    }

    /// The mean over classes of the best IoU a union of patches can reach, each class on its own.
    ///
    /// Taking a patch with `a` pixels inside and `o` outside turns `I/U` into `(I+a)/(U+o)`, which is larger exactly if
    /// `a/o > I/U`; so the best union takes the patches with `a/o` above its own IoU, found by iterating to the fixed
    /// point (Dinkelbach 1967). Classes may share a patch, so this bounds what one label per patch can reach from above.
    pub fn miou(&self) -> f64 {
        let seen = self.cells.iter().filter(|cells| !cells.is_empty());
        let seen: Vec<f64> = seen.map(|cells| best(cells.iter().map(|&cell| (cell, 1.0)))).collect();
        seen.iter().sum::<f64>() / seen.len().max(1) as f64
    }
}

/// The best IoU that a union of patches reaches; each kind of patch stands with its number.
fn best(cells: impl Iterator<Item = (Cell, f64)> + Clone) -> f64 {
    let truth: f64 = cells.clone().map(|([a, _], n)| n * f64::from(a)).sum();
    let mut iou = 0.0;
    loop {
        let taken = cells.clone().filter(|&([a, o], _)| f64::from(a) > iou * f64::from(o));
        let (inside, outside) =
            taken.fold((0.0, 0.0), |(i, u), ([a, o], n)| (i + n * f64::from(a), u + n * f64::from(o)));
        let better = inside / (truth + outside);
        if better <= iou {
            return iou;
        }
        iou = better;
    }
}

/// Adds it to its family.
pub fn register<T: Tensor>(kinds: &mut Kinds<dyn Metric<T>>) {
    kinds.add("ceiling", "what the patch grid allows", |metric: ResolutionCeiling| Ok(Box::new(metric)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_that_fit_the_grid_have_ceiling_one() {
        let mut ceiling = Ceiling::new(2);
        let (size, grid) = (Size { height: 2, width: 4 }, Size { height: 1, width: 2 });
        ceiling.add(&[1, 1, 0, 0, 1, 1, 0, 0], size, grid).unwrap();
        assert_eq!(ceiling.miou(), 1.0);
    }

    #[test]
    fn the_ceiling_is_the_best_of_all_unions() {
        // One row of 12 pixels, 4 patches of 3; class 1 covers 3, 2, 1 and 0 pixels of them.
        let labels = [1, 1, 1, 1, 1, 0, 1, 0, 0, 0, 0, 0];
        let (size, grid) = (Size { height: 1, width: 12 }, Size { height: 1, width: 4 });
        let mut ceiling = Ceiling::new(2);
        ceiling.add(&labels, size, grid).unwrap();
        let best = |class: u16| {
            (1..16u32)
                .map(|union| {
                    let inside = |p: usize| union >> (p / 3) & 1 == 1;
                    let (mut i, mut u) = (0.0f64, 0.0f64);
                    for (p, &label) in labels.iter().enumerate() {
                        i += f64::from(u8::from(inside(p) && label == class));
                        u += f64::from(u8::from(inside(p) || label == class));
                    }
                    i / u
                })
                .fold(0.0, f64::max)
        };
        assert!((ceiling.miou() - (best(0) + best(1)) / 2.0).abs() < 1e-12);
    }
}
