//! What pixels are normalised with before a network sees them: `(x/255 − mean) / std` per channel.

/// Mean and standard deviation per channel, of values in `[0, 1]`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Normalisation {
    /// What is subtracted.
    pub mean: [f32; 3],
    /// What is divided by then.
    pub std: [f32; 3],
}

impl Normalisation {
    /// Of ImageNet's training images, as torchvision, timm and SimSeg use it.
    pub const IMAGENET: Self = Self { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };
    /// Of the images that CLIP was trained on (OpenAI's released code).
    pub const CLIP: Self =
        Self { mean: [0.481_454_66, 0.457_827_5, 0.408_210_73], std: [0.268_629_54, 0.261_302_6, 0.275_777_1] };
}
