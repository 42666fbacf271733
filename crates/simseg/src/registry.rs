//! Everything that can be chosen by name, and how a crate outside adds to it.
//!
//! ```
//! use serde::{Deserialize, Serialize};
//! use simseg::{Choice, Extension, Registry};
//! use simseg_segment::threshold::{Scores, Selection, Threshold, ranking};
//! use simseg_tensor::Tensor;
//!
//! /// Draws the second best class and nothing else.
//! #[derive(Serialize, Deserialize)]
//! #[serde(deny_unknown_fields)]
//! struct RunnerUp {}
//!
//! impl Threshold for RunnerUp {
//!     fn select(&self, scores: Scores<'_>) -> Selection {
//!         let drawable = ranking(&scores).into_iter().filter(|&class| !scores.is_background(class));
//!         let classes = drawable.skip(1).take(1).collect();
//!         Selection { threshold: f32::NAN, classes }
//!     }
//! }
//!
//! struct Mine;
//! impl Extension for Mine {
//!     fn register<T: Tensor>(&self, registry: &mut Registry<T>) {
//!         registry.segment.parts.thresholds.add("runner-up", "the second best class", |rule: RunnerUp| Ok(Box::new(rule)));
//!     }
//! }
//!
//! type Cpu = simseg_cpu::CpuTensor<f32>;
//! let rule = Registry::<Cpu>::with(&Mine).segment.parts.thresholds.build(&Choice::new("runner-up"))?;
//! assert_eq!(rule.select(Scores::from(&[0.9, 0.1, 0.3, 0.2])).classes, [3]);
//! # Ok::<(), simseg_registry::Error>(())
//! ```

use simseg_data::DataRegistry;
use simseg_model::ModelRegistry;
use simseg_segment::SegmentRegistry;
use simseg_tensor::Tensor;

/// All families of algorithms, for tensors of one backend.
pub struct Registry<T: Tensor> {
    /// Encoders, networks, aligners and losses.
    pub model: ModelRegistry<T>,
    /// Score rules, thresholds, refiners, segmenters and metrics.
    pub segment: SegmentRegistry<T>,
    /// Image-caption pairs and images with label maps.
    pub data: DataRegistry,
}

/// What a crate outside adds: the same algorithms for every backend.
pub trait Extension {
    /// Adds them, one line each.
    fn register<T: Tensor>(&self, registry: &mut Registry<T>);
}

/// Nothing beside the built-in algorithms.
impl Extension for () {
    fn register<T: Tensor>(&self, _: &mut Registry<T>) {}
}

impl<T: Tensor> Registry<T> {
    /// The built-in algorithms.
    pub fn built_in() -> Self {
        Self::with(&())
    }

    /// The built-in algorithms, and what an extension adds.
    pub fn with(extension: &impl Extension) -> Self {
        let (model, segment) = (ModelRegistry::built_in(), SegmentRegistry::built_in());
        let mut registry = Self { model, segment, data: DataRegistry::built_in() };
        extension.register(&mut registry);
        registry
    }
}
