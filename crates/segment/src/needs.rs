//! What segmenters, score rules and refiners ask for beside patches and pooled vectors: it is computed and kept only then.

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Needs {
    /// All tokens of an image, \[CLS\] included.
    pub tokens: bool,
    /// The attention of the image encoder's last layer.
    pub attention: bool,
    /// The tokens of every prompt of a class, with their lengths.
    pub prompts: bool,
    /// The image as it comes back from normalised pixels, cut to bytes, instead of its own bytes.
    pub truncated: bool,
}

impl Needs {
    /// What either asks for.
    pub fn and(self, other: Self) -> Self {
        Self {
            tokens: self.tokens || other.tokens,
            attention: self.attention || other.attention,
            prompts: self.prompts || other.prompts,
            truncated: self.truncated || other.truncated,
        }
    }
}
