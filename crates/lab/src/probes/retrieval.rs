//! Which caption belongs to which image?
//!
//! Everything is ranked by the similarity that training compared. `R@k` from image to text is the share of images one of whose captions
//! is among the `k` best; from text to image, the share of captions whose image is. Of equal similarities the lower index goes first,
//! so two images with the same caption take each other's place.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use simseg_segment::metrics::{Figure, Unit};

const fn recall_at(name: &'static str, heading: &'static str, about: &'static str) -> Figure {
    Figure { name, heading, unit: Unit::Share, about }
}

/// Its figures.
pub const FIGURES: [Figure; 6] = [
    recall_at("i2t_r1", "image to text R@1", "images whose best caption is their own"),
    recall_at("i2t_r5", "image to text R@5", "images with an own caption among the best five"),
    recall_at("i2t_r10", "image to text R@10", "images with an own caption among the best ten"),
    recall_at("t2i_r1", "text to image R@1", "captions whose best image is their own"),
    recall_at("t2i_r5", "text to image R@5", "captions with their image among the best five"),
    recall_at("t2i_r10", "text to image R@10", "captions with their image among the best ten"),
];

/// Recall at 1, 5 and 10, shares.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Recall {
    /// At the first place.
    #[serde(rename = "r@1")]
    pub at_1: f64,
    /// Among the first five.
    #[serde(rename = "r@5")]
    pub at_5: f64,
    /// Among the first ten.
    #[serde(rename = "r@10")]
    pub at_10: f64,
}

/// Recall out of places in a ranking, the first of which is 0.
fn recall(places: &[usize]) -> Recall {
    let share = |k: usize| places.iter().filter(|&&place| place < k).count() as f64 / places.len().max(1) as f64;
    Recall { at_1: share(1), at_5: share(5), at_10: share(10) }
}

/// Both recalls, image to text first: a similarity for each image and text by `of`, and the image of each text.
fn rank(images: usize, image_of: &[usize], of: impl Fn(usize, usize) -> f64 + Sync) -> (Recall, Recall) {
    let place = |own: usize, scores: &[f64]| {
        let better = |&(i, &score): &(usize, &f64)| score > scores[own] || (score == scores[own] && i < own);
        scores.iter().enumerate().filter(better).count()
    };
    let mut texts_of = vec![vec![]; images];
    image_of.iter().enumerate().for_each(|(text, &image)| texts_of[image].push(text));
    let from_image = |image: usize| {
        let scores: Vec<f64> = (0..image_of.len()).map(|text| of(image, text)).collect();
        texts_of[image].iter().map(|&text| place(text, &scores)).min()
    };
    let from_text = |text: usize| {
        let scores: Vec<f64> = (0..images).map(|image| of(image, text)).collect();
        place(image_of[text], &scores)
    };
    let image_to_text: Vec<usize> = (0..images).into_par_iter().filter_map(from_image).collect();
    let text_to_image: Vec<usize> = (0..image_of.len()).into_par_iter().map(from_text).collect();
    (recall(&image_to_text), recall(&text_to_image))
}

/// Both recalls, image to text first: unit embeddings `images [n·d]` and `texts [m·d]`, and the image of each text.
pub fn both_ways(images: &[f32], texts: &[f32], image_of: &[usize], d: usize) -> (Recall, Recall) {
    let similarity = |image: usize, text: usize| -> f64 {
        let (f, g) = (&images[image * d..][..d], &texts[text * d..][..d]);
        f.iter().zip(g).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    };
    rank(images.len() / d, image_of, similarity)
}

/// The same of similarities: one row per image, one column per text.
pub fn ranked(matrix: &[Vec<f64>], image_of: &[usize]) -> (Recall, Recall) {
    rank(matrix.len(), image_of, |image, text| matrix[image][text])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recall_by_hand() {
        // Two images, three captions; captions 0 and 1 belong to image 0.
        let images = [1.0, 0.0, 0.0, 1.0];
        let texts = [0.0, 1.0, 1.0, 0.0, 0.6, 0.8];
        let (image_to_text, text_to_image) = both_ways(&images, &texts, &[0, 0, 1], 2);
        // Image 0 finds its caption 1 first; image 1 finds caption 0, which is not its own, before its caption 2.
        assert_eq!((image_to_text.at_1, image_to_text.at_5), (0.5, 1.0));
        // Caption 0 looks like image 1; captions 1 and 2 find their own.
        assert_eq!((text_to_image.at_1, text_to_image.at_5), (2.0 / 3.0, 1.0));
        let matrix = [vec![0.0, 1.0, 0.6], vec![1.0, 0.0, 0.8]];
        assert_eq!(ranked(&matrix, &[0, 0, 1]), (image_to_text, text_to_image));
    }
}
