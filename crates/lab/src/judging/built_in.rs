//! Label maps of the rows that are no variants ([`BuiltIn`]).

use crate::experiment::built_in::BuiltIn;
use crate::failure::Outcome;
use simseg_data::Item;
use simseg_segment::map::Size;
use simseg_segment::metrics::{Confusion, IGNORE};
use simseg_segment::{Segmentation, Segmenter, View};
use simseg_tensor::{NoTap, Tensor};

/// With more true classes than this not all of their subsets are tried (64 of them): classes are then left out one after the other as
/// long as that helps, and the row is no bound for such an image.
const EXHAUSTIVE: usize = 6;

/// The label map of a row for one image; `present` are the foreground classes in it.
///
/// # Errors
/// If the segmenter fails, or a label is none of the classes.
pub(super) fn segment<T: Tensor>(
    row: BuiltIn,
    segmenter: &dyn Segmenter<T>,
    view: View<'_, T>,
    item: &Item,
    present: &[usize],
) -> Outcome<Segmentation> {
    let size = Size { height: item.labels.height, width: item.labels.width };
    let of = |labels: Vec<u16>| Segmentation { labels, size, scores: vec![], threshold: f32::NAN, masks: vec![] };
    Ok(match row {
        BuiltIn::Nothing => of(vec![view.bank.unclaimed(); size.area()]),
        BuiltIn::Ceiling => of(majorities(&item.labels.values, size, view.image.grid, view.bank.unclaimed())),
        BuiltIn::TrueClasses => segmenter.segment_given(view, present, &mut NoTap)?,
        BuiltIn::BestSubset => best_subset(present, |classes| {
            let found = segmenter.segment_given(view, classes, &mut NoTap)?;
            let mut confusion = Confusion::new(view.bank.classes);
            confusion.add(&item.labels.values, &found.labels)?;
            Ok((confusion.miou(), found))
        })?,
    })
}

/// For each patch the label that most of its pixels have, the lower one on a tie; `unclaimed` where no pixel counts.
fn majorities(truth: &[u16], size: Size, grid: Size, unclaimed: u16) -> Vec<u16> {
    let cell = |p: usize| {
        let (y, x) = (p / size.width, p % size.width);
        (y * grid.height / size.height) * grid.width + x * grid.width / size.width
    };
    let mut counts: Vec<Vec<(u16, usize)>> = vec![vec![]; grid.area()];
    for (p, &label) in truth.iter().enumerate().filter(|(_, label)| **label != IGNORE) {
        let counts = &mut counts[cell(p)];
        match counts.iter_mut().find(|(known, _)| *known == label) {
            Some((_, count)) => *count += 1,
            None => counts.push((label, 1)),
        }
    }
    let most = |counts: Vec<(u16, usize)>| {
        counts.into_iter().max_by_key(|&(label, count)| (count, std::cmp::Reverse(label))).map(|(label, _)| label)
    };
    let best: Vec<u16> = counts.into_iter().map(|counts| most(counts).unwrap_or(unclaimed)).collect();
    (0..truth.len()).map(|p| best[cell(p)]).collect()
}

/// What the best subset of some classes gives; the larger one where a smaller is no better.
fn best_subset<V>(classes: &[usize], mut judge: impl FnMut(&[usize]) -> Outcome<(f64, V)>) -> Outcome<V> {
    let mut classes = classes.to_vec();
    classes.sort_unstable();
    classes.dedup();
    let mut best = judge(&classes)?;
    if classes.len() <= EXHAUSTIVE {
        let mut subsets: Vec<u32> = (0..(1u32 << classes.len()).saturating_sub(1)).collect();
        subsets.sort_by_key(|subset| std::cmp::Reverse(subset.count_ones()));
        for subset in subsets {
            let some: Vec<usize> = (0..classes.len()).filter(|i| subset >> i & 1 == 1).map(|i| classes[i]).collect();
            let other = judge(&some)?;
            best = if other.0 > best.0 { other } else { best };
        }
        return Ok(best.1);
    }
    while !classes.is_empty() {
        let mut better = None;
        for left_out in &classes {
            let rest: Vec<usize> = classes.iter().copied().filter(|class| class != left_out).collect();
            let other = judge(&rest)?;
            if other.0 > best.0 {
                (best, better) = (other, Some(rest));
            }
        }
        let Some(rest) = better else { break };
        classes = rest;
    }
    Ok(best.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_has_the_label_of_most_of_its_pixels_that_count() {
        let (size, grid) = (Size { height: 2, width: 6 }, Size { height: 1, width: 3 });
        let truth = [1, 1, 2, 0, IGNORE, IGNORE, 1, 0, 2, 0, IGNORE, IGNORE];
        // Three of four are 1; two and two: the lower; nothing that counts.
        assert_eq!(majorities(&truth, size, grid, 7), [1, 1, 0, 0, 7, 7, 1, 1, 0, 0, 7, 7]);
    }

    #[test]
    fn the_best_subset_is_the_best_of_all_and_the_larger_one_on_a_tie() {
        // Class 2 covers the others: worth 1 alone, and costs them what they are worth.
        let worth = |classes: &[usize]| match classes.contains(&2) {
            true => 0.5,
            false => classes.iter().map(|class| 0.1 * *class as f64).sum::<f64>(),
        };
        let best = |classes: &[usize]| best_subset(classes, |some| Ok((worth(some), some.to_vec()))).unwrap();
        assert_eq!(best(&[5, 2, 4]), [4, 5]);
        assert_eq!(best(&[2, 1]), [1, 2], "no better without");
        assert_eq!(best(&[]), [0; 0]);
        // Too many to try all: one after the other is left out.
        assert_eq!(best(&[2, 3, 4, 5, 6, 7, 8]), [3, 4, 5, 6, 7, 8]);
    }
}
