//! How much does an image speak for a class? One score per class, for thresholds to choose by.
//!
//! The paper's answer ([`aligner`]) is what training compared: the pooled image against the pooled class. A rule also says how
//! the prompts of a word become rows of the class bank.

simseg_registry::family! {
    /// Registers every score rule.
    pub fn register<T: Tensor>(scores: &mut Kinds<dyn ClassScore<T>>);
    aligner, pooled, best_patch, best_window, local_softmax,
}

pub use aligner::AlignerScore;
pub use best_patch::BestPatch;
pub use best_window::BestWindow;
pub use local_softmax::LocalSoftmax;
pub use pooled::Pooled;

use crate::features::View;
use crate::needs::Needs;
use simseg_model::Aligner;
use simseg_registry::Kinds;
use simseg_tensor::{Ops, Result, Tensor};

/// A rule that scores classes.
pub trait ClassScore<T: Tensor>: Send + Sync {
    /// What it wants to see.
    fn needs(&self, aligner: &dyn Aligner<T>) -> Needs {
        let _ = aligner;
        Needs::default()
    }

    /// From pooled, normalised embeddings `[p, d]` of a word's prompts to the rows `[r, d]` that stand for it: their mean,
    /// divided by its norm, as CLIP and the released code do.
    ///
    /// # Errors
    /// If the backend fails.
    fn combine(&self, prompts: &T) -> Result<T> {
        prompts.mean(0)?.l2_normalize() // [1, d]
    }

    /// One score per class, the background included.
    ///
    /// # Errors
    /// If shapes do not fit, or something is missing that the rule needs.
    fn scores(&self, view: View<'_, T>) -> Result<Vec<f32>>;
}
