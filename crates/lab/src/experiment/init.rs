//! Where training starts: `init = "model"`, or `{ image = "vit", text = "bert" }`.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Where starting values come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Init {
    /// All of them from one model directory.
    Whole(PathBuf),
    /// One or both towers; the rest is drawn.
    Towers(Towers),
}

/// Model directories of towers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Towers {
    /// Of the image tower.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<PathBuf>,
    /// Of the text tower, with its words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<PathBuf>,
}
