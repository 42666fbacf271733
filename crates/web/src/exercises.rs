//! Nine exercises. The answer to each comes from the function of the library that the exercise is about, when it is asked.

use crate::small::Cpu;
use serde::{Deserialize, Serialize};
use simseg::{Error, Result};
use simseg_cpu::CpuDevice;
use simseg_model::pool::loda::top_k_mean;
use simseg_segment::metrics::Confusion;
use simseg_segment::refine::crf::{CrfParameters, Lattices};
use simseg_segment::threshold::{Scores, Statistics, Std, TopN};
use simseg_tensor::{Ops, Tensor};

/// A question with a number for an answer.
#[derive(Debug, Clone, Serialize)]
pub struct Exercise {
    /// What is asked.
    pub question: &'static str,
    /// A help, if one is stuck.
    pub hint: &'static str,
    /// How near an answer has to be.
    pub within: f64,
    /// Where in the code the answer comes from.
    pub source: &'static str,
    #[serde(skip)]
    answer: fn() -> Result<f64>,
}

/// What is said to an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Marked {
    /// Whether it is right.
    pub right: bool,
    /// In words.
    pub text: String,
}

const LODA: &str = "crates/model/src/pool/loda.rs";
const STATISTICS: &str = "crates/segment/src/threshold/statistics.rs";

/// A channel over patches, as a tensor `[1, n, 1]`.
fn channel(values: &[f32]) -> Result<Cpu> {
    Ok(Cpu::from_host(values, &[1, values.len(), 1], &CpuDevice)?)
}

fn theta(k: f64, background: bool) -> f64 {
    let rule = Statistics { k, top_n: TopN::First(3), std: Std::Unbiased, background };
    rule.threshold(Scores::new(&[0.9, 0.0, 0.2, 0.4, -0.7], true)).into()
}

/// All of them, in the order of the page.
pub const ALL: [Exercise; 9] = [
    Exercise {
        question: "A channel responds 1, 9, 2 and 4 on four patches. What does LoDA with k = 2 pool?",
        hint: "The mean of the two largest.",
        within: 0.01,
        source: LODA,
        answer: || Ok(top_k_mean(&channel(&[1.0, 9.0, 2.0, 4.0])?, 2, None)?.item()?),
    },
    Exercise {
        question: "The same four responses: for which k is LoDA dense alignment?",
        hint: "Dense alignment is the mean over all patches.",
        within: 0.01,
        source: LODA,
        answer: || {
            let x = channel(&[1.0, 9.0, 2.0, 4.0])?;
            let dense = x.mean(1)?.item()?;
            for k in 1..=4 {
                if (top_k_mean(&x, k, None)?.item()? - dense).abs() < 1e-6 {
                    return Ok(k as f64);
                }
            }
            Err(Error::Machine("no k is dense".into()))
        },
    },
    Exercise {
        question: "The pool of an image is (3, 4), the class's embedding (0.6, 0.8). What is the score?",
        hint: "Divide the pool by its length 5, then multiply channel by channel and add.",
        within: 0.005,
        source: "crates/segment/src/score/pooled.rs",
        answer: || {
            let z = Cpu::from_host(&[3.0f32, 4.0], &[1, 2], &CpuDevice)?.l2_normalize_pooled()?;
            Ok(z.matmul(&Cpu::from_host(&[0.6f32, 0.8], &[2, 1], &CpuDevice)?)?.item()?)
        },
    },
    Exercise {
        question: "In that pool the 3 came from patch A alone and the 4 from patch B alone (k = 1). What does A add to the score?",
        hint: "3 · 0.6 / 5.",
        within: 0.005,
        source: "crates/simseg/src/explanation/ledger.rs",
        answer: || {
            let a = Cpu::from_host(&[3.0f32, 0.0], &[1, 2], &CpuDevice)?;
            let all = Cpu::from_host(&[3.0f32, 4.0], &[1, 2], &CpuDevice)?;
            let u = Cpu::from_host(&[0.6f32, 0.8], &[2, 1], &CpuDevice)?;
            Ok(a.matmul(&u)?.item()? / all.matmul(&all.t()?)?.item()?.sqrt())
        },
    },
    Exercise {
        question: "Four pairs, and a model that finds all images and captions equally alike. What is the InfoNCE loss?",
        hint: "It guesses: the negative logarithm of 1/4.",
        within: 0.01,
        source: "crates/model/src/loss/info_nce.rs",
        answer: || {
            let alike = Cpu::from_host(&[0.3f32; 16], &[4, 4], &CpuDevice)?;
            let temperature = Cpu::from_host(&[0.05f32], &[], &CpuDevice)?;
            Ok(simseg_model::nce::info_nce(&alike, &temperature, 0.0)?.item()?)
        },
    },
    Exercise {
        question: "Scores: background 0.9, then 0.0, 0.2, 0.4, −0.7. What is θ = μ + σ over the best three foreground classes (σ divides by n − 1)?",
        hint: "The three are 0.4, 0.2 and 0: mean 0.2, deviation 0.2.",
        within: 0.005,
        source: STATISTICS,
        answer: || Ok(theta(1.0, false)),
    },
    Exercise {
        question: "The same scores, the background among the best three as in the released code. What is θ now?",
        hint: "0.9, 0.4 and 0.2: mean 0.5, deviation 0.36. How many foreground classes are left above it?",
        within: 0.01,
        source: STATISTICS,
        answer: || Ok(theta(1.0, true)),
    },
    Exercise {
        question: "A map says 0.8 at a pixel, and the CRF takes no round of messages. What is the class's probability there?",
        hint: "The unary term alone: log-odds of 0.8, and back.",
        within: 0.005,
        source: "crates/segment/src/refine/crf/mod.rs",
        answer: || {
            let parameters = CrfParameters { iterations: 0, ..CrfParameters::default() };
            let lattices = Lattices::new(&[90, 120, 30], 1, 1, &parameters).map_err(simseg_tensor::Error::from)?;
            let q = lattices.infer(&[&[0.8]]).map_err(simseg_tensor::Error::from)?;
            Ok(q[0][0].into())
        },
    },
    Exercise {
        question: "Truth: two fish pixels, then two of background. Labels: fish, background, background, fish. What is the fish's IoU?",
        hint: "One pixel in both, three in either.",
        within: 0.01,
        source: "crates/segment/src/metrics/confusion.rs",
        answer: || {
            let mut counts = Confusion::new(2);
            counts.add(&[1, 1, 0, 0], &[1, 0, 0, 1])?;
            counts.iou()[1].ok_or_else(|| Error::Machine("no fish".into()))
        },
    },
];

/// Marks an answer to exercise `number`, from 1.
///
/// # Errors
/// If there is no such exercise.
pub fn mark(number: usize, answer: f64) -> Result<Marked> {
    let exercise = number.checked_sub(1).and_then(|index| ALL.get(index));
    let exercise =
        exercise.ok_or_else(|| Error::input("exercise", format!("from 1 to {}, found {number}", ALL.len())))?;
    let right = (exercise.answer)()?;
    Ok(match (answer - right).abs() <= exercise.within {
        true => Marked { right: true, text: format!("Right: {right:.4}, says {}.", exercise.source) },
        false => Marked { right: false, text: format!("Not yet. {}", exercise.hint) },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answers_by_hand_are_right_and_others_are_not() {
        let deviation = ((0.4f64.powi(2) + 0.1f64.powi(2) + 0.3f64.powi(2)) / 2.0).sqrt();
        let by_hand = [6.5, 4.0, 1.0, 0.36, 4f64.ln(), 0.4, 0.5 + deviation, 0.8, 1.0 / 3.0];
        for (index, answer) in by_hand.into_iter().enumerate() {
            let marked = mark(index + 1, answer).unwrap();
            assert!(marked.right, "{}: {}", index + 1, marked.text);
            assert!(!mark(index + 1, answer + 0.1).unwrap().right);
            assert!(!mark(index + 1, f64::NAN).unwrap().right);
        }
        assert!(mark(0, 1.0).is_err() && mark(10, 1.0).is_err());
    }

    #[test]
    fn every_source_is_a_file_of_this_repository() {
        for exercise in ALL {
            let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../").to_owned() + exercise.source;
            assert!(std::path::Path::new(&path).is_file(), "{path}");
        }
    }
}
