//! One label per pixel out of one mask per class.
//!
//! *Covering* (paper and released code): `label[p] = argmax_c mask_c[p]·score_c`, so a class with a higher score covers
//! a lower one where both claim a pixel; unclaimed pixels are background. *Per-pixel* (most later work): the class with
//! the highest map value at this very pixel wins among those that claim it.

use serde::{Deserialize, Serialize};

/// Who gets a pixel that several classes claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Compose {
    /// The class with the higher score for the whole image.
    Covering,
    /// The class with the higher map value at this pixel.
    PerPixel,
}

/// A class that was selected, with its mask.
#[derive(Debug, Clone, PartialEq)]
pub struct ClassMask {
    /// Index in the class list; not 0.
    pub class: usize,
    /// Score for the whole image.
    pub score: f32,
    /// Map in `[0, 1]`, one value per pixel.
    pub map: Vec<f32>,
    /// 1 where the class claims a pixel.
    pub mask: Vec<u8>,
}

/// What becomes of a pixel that no class claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unclaimed {
    /// It is background, or without label where classes have no background.
    #[default]
    Unlabelled,
    /// It goes to the class with the highest map value at this pixel among those that were selected, and to the class with the
    /// highest score if none was: every pixel has a class.
    BestClass,
}

/// Labels of `pixels` pixels; `unclaimed` where nobody claims. On a tie the lower class index wins, as with `argmax`.
///
/// A covering class whose score is not positive covers nothing: `0` of an empty class is no less (released code).
pub fn compose(masks: &[ClassMask], pixels: usize, how: Compose, unclaimed: u16) -> Vec<u16> {
    compose_above(0.0, masks, pixels, how, unclaimed)
}

/// The same, of classes that are known to be in the image: one covers whatever its score is.
pub fn compose_given(masks: &[ClassMask], pixels: usize, how: Compose, unclaimed: u16) -> Vec<u16> {
    compose_above(f32::NEG_INFINITY, masks, pixels, how, unclaimed)
}

/// A covering class covers where its score is above `floor`.
fn compose_above(floor: f32, masks: &[ClassMask], pixels: usize, how: Compose, unclaimed: u16) -> Vec<u16> {
    let mut labels = vec![unclaimed; pixels];
    let mut best = vec![
        match how {
            Compose::Covering => floor,
            Compose::PerPixel => f32::NEG_INFINITY,
        };
        pixels
    ];
    let mut order: Vec<&ClassMask> = masks.iter().collect();
    order.sort_by_key(|mask| mask.class);
    for mask in order {
        for p in (0..pixels).filter(|&p| mask.mask[p] != 0) {
            let value = match how {
                Compose::Covering => mask.score,
                Compose::PerPixel => mask.map[p],
            };
            if value > best[p] {
                best[p] = value;
                labels[p] = mask.class as u16;
            }
        }
    }
    labels
}

/// Why a pixel has its label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// Nobody claims it: background, or no label.
    Unclaimed,
    /// Nobody claims it; it went to the selected class with the highest map value here, or to the class with the highest score.
    GivenToBest,
    /// One class claims it.
    OnlyClaim,
    /// Of those that claim it the winner has the highest score for the whole image.
    HigherScore,
    /// Of those that claim it the winner has the highest map value at this pixel.
    HigherMap,
    /// It is claimed, but by classes whose scores are not positive: they cover nothing.
    ScoreNotPositive,
}

/// The classes that claim pixel `p`, in the order of `masks`.
pub fn claims(masks: &[ClassMask], p: usize) -> impl Iterator<Item = &ClassMask> {
    masks.iter().filter(move |mask| mask.mask.get(p).is_some_and(|&bit| bit != 0))
}

/// Why pixel `p` has the label that [`compose()`] and [`give_to_best`] gave it.
///
/// ```
/// use simseg_segment::compose::{ClassMask, Compose, Why, why};
/// let mask = |class, score, bits: [u8; 2]| ClassMask { class, score, map: vec![0.5; 2], mask: bits.to_vec() };
/// let masks = [mask(1, 0.9, [1, 0]), mask(2, 0.5, [1, 1])];
/// assert_eq!(why(&masks, 0, Compose::Covering, 1, 0), Why::HigherScore);
/// assert_eq!(why(&masks, 1, Compose::Covering, 2, 0), Why::OnlyClaim);
/// ```
pub fn why(masks: &[ClassMask], p: usize, how: Compose, label: u16, unclaimed: u16) -> Why {
    let winner_claims = claims(masks, p).any(|mask| mask.class == usize::from(label));
    match (claims(masks, p).count(), label == unclaimed) {
        (0, true) => Why::Unclaimed,
        (_, true) => Why::ScoreNotPositive,
        (_, false) if !winner_claims => Why::GivenToBest,
        (..=1, false) => Why::OnlyClaim,
        (_, false) if how == Compose::Covering => Why::HigherScore,
        (_, false) => Why::HigherMap,
    }
}

/// Gives every pixel labelled `unclaimed` to a class ([`Unclaimed::BestClass`]); `highest` is the class with the highest score.
pub fn give_to_best(labels: &mut [u16], masks: &[ClassMask], unclaimed: u16, highest: usize) {
    for (p, label) in labels.iter_mut().enumerate().filter(|(_, label)| **label == unclaimed) {
        let best = masks.iter().reduce(|best, mask| if mask.map[p] > best.map[p] { mask } else { best });
        *label = best.map_or(highest, |mask| mask.class) as u16;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask(class: usize, score: f32, map: &[f32], mask: &[u8]) -> ClassMask {
        ClassMask { class, score, map: map.to_vec(), mask: mask.to_vec() }
    }

    #[test]
    fn the_higher_score_covers_and_the_higher_map_wins_per_pixel() {
        let masks = [mask(1, 0.9, &[0.6, 0.6, 0.0], &[1, 1, 0]), mask(2, 0.5, &[0.0, 0.8, 0.0], &[0, 1, 0])];
        assert_eq!(compose(&masks, 3, Compose::Covering, 0), [1, 1, 0]);
        assert_eq!(compose(&masks, 3, Compose::PerPixel, 65535), [1, 2, 65535]);
    }

    #[test]
    fn unclaimed_pixels_can_go_to_the_best_class() {
        let masks = [mask(1, 0.9, &[0.2, 0.1, 0.9], &[0, 0, 1]), mask(2, 0.5, &[0.1, 0.4, 0.0], &[0, 0, 0])];
        let mut labels = compose(&masks, 3, Compose::Covering, 65535);
        assert_eq!(labels, [65535, 65535, 1]);
        give_to_best(&mut labels, &masks, 65535, 7);
        assert_eq!(labels, [1, 2, 1]);
        let mut none = vec![65535; 2];
        give_to_best(&mut none, &[], 65535, 7);
        assert_eq!(none, [7, 7]);
    }

    #[test]
    fn ties_go_to_the_lower_index_and_negative_scores_cover_nothing() {
        let masks = [mask(2, 0.5, &[1.0], &[1]), mask(1, 0.5, &[1.0], &[1])];
        assert_eq!(compose(&masks, 1, Compose::Covering, 0), [1]);
        assert_eq!(compose(&[mask(3, -0.1, &[1.0], &[1])], 1, Compose::Covering, 0), [0]);
    }

    #[test]
    fn classes_that_are_given_cover_by_rank_whatever_they_score() {
        let masks = [mask(3, -0.1, &[1.0; 3], &[1, 1, 0]), mask(4, -0.2, &[1.0; 3], &[0, 1, 1])];
        assert_eq!(compose_given(&masks, 3, Compose::Covering, 0), [3, 3, 4]);
        assert_eq!(compose_given(&masks, 3, Compose::PerPixel, 0), compose(&masks, 3, Compose::PerPixel, 0));
    }
}
