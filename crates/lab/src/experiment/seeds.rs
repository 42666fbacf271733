//! Random seeds apart: what a run draws, and from which seed.

use serde::{Deserialize, Serialize};

/// Random seeds, each of one thing: what is not given follows the run's (`--seeds`), except the test set, which is one for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seeds {
    /// Of starting values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<u64>,
    /// Of drawn training data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<u64>,
    /// Of the order of training pairs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<u64>,
    /// Of drawn images that models are judged on; `simseg evaluate` has the same.
    #[serde(default = "test_seed")]
    pub test: u64,
}

/// The seed of drawn test sets.
pub const TEST_SEED: u64 = 1_000_000;

fn test_seed() -> u64 {
    TEST_SEED
}

impl Default for Seeds {
    fn default() -> Self {
        Self { weights: None, data: None, order: None, test: TEST_SEED }
    }
}

impl Seeds {
    /// Of starting values, in the run of this seed.
    pub fn weights(&self, run: u64) -> u64 {
        self.weights.unwrap_or(run)
    }
    /// Of drawn training data.
    pub fn data(&self, run: u64) -> u64 {
        self.data.unwrap_or(run)
    }
    /// Of the order of pairs.
    pub fn order(&self, run: u64) -> u64 {
        self.order.unwrap_or(run)
    }
}
