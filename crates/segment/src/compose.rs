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

/// Labels of `pixels` pixels; 0 where nobody claims. On a tie the lower class index wins, as with `argmax`.
///
/// A covering class whose score is not positive covers nothing: `0` of an empty class is no less (released code).
pub fn compose(masks: &[ClassMask], pixels: usize, how: Compose) -> Vec<u8> {
    let mut labels = vec![0u8; pixels];
    let mut best = vec![
        match how {
            Compose::Covering => 0.0,
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
                labels[p] = mask.class as u8;
            }
        }
    }
    labels
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
        assert_eq!(compose(&masks, 3, Compose::Covering), [1, 1, 0]);
        assert_eq!(compose(&masks, 3, Compose::PerPixel), [1, 2, 0]);
    }

    #[test]
    fn ties_go_to_the_lower_index_and_negative_scores_cover_nothing() {
        let masks = [mask(2, 0.5, &[1.0], &[1]), mask(1, 0.5, &[1.0], &[1])];
        assert_eq!(compose(&masks, 1, Compose::Covering), [1]);
        assert_eq!(compose(&[mask(3, -0.1, &[1.0], &[1])], 1, Compose::Covering), [0]);
    }
}
