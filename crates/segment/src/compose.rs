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
pub struct Claim {
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
pub fn compose(claims: &[Claim], pixels: usize, how: Compose) -> Vec<u8> {
    let mut labels = vec![0u8; pixels];
    let mut best = vec![
        match how {
            Compose::Covering => 0.0,
            Compose::PerPixel => f32::NEG_INFINITY,
        };
        pixels
    ];
    let mut order: Vec<&Claim> = claims.iter().collect();
    order.sort_by_key(|claim| claim.class);
    for claim in order {
        for p in (0..pixels).filter(|&p| claim.mask[p] != 0) {
            let value = match how {
                Compose::Covering => claim.score,
                Compose::PerPixel => claim.map[p],
            };
            if value > best[p] {
                best[p] = value;
                labels[p] = claim.class as u8;
            }
        }
    }
    labels
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(class: usize, score: f32, map: &[f32], mask: &[u8]) -> Claim {
        Claim { class, score, map: map.to_vec(), mask: mask.to_vec() }
    }

    #[test]
    fn the_higher_score_covers_and_the_higher_map_wins_per_pixel() {
        let claims = [claim(1, 0.9, &[0.6, 0.6, 0.0], &[1, 1, 0]), claim(2, 0.5, &[0.0, 0.8, 0.0], &[0, 1, 0])];
        assert_eq!(compose(&claims, 3, Compose::Covering), [1, 1, 0]);
        assert_eq!(compose(&claims, 3, Compose::PerPixel), [1, 2, 0]);
    }

    #[test]
    fn ties_go_to_the_lower_index_and_negative_scores_cover_nothing() {
        let claims = [claim(2, 0.5, &[1.0], &[1]), claim(1, 0.5, &[1.0], &[1])];
        assert_eq!(compose(&claims, 1, Compose::Covering), [1]);
        assert_eq!(compose(&[claim(3, -0.1, &[1.0], &[1])], 1, Compose::Covering), [0]);
    }
}
