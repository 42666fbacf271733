//! From patch and class features to a label map and a score.
//!
//! Reading order follows the data: [`prompts`] and [`classes`] (words → class bank), [`features`] (what is known of an image),
//! [`segmenter`] (all of it, behind [`Segmenter`]) with its parts: [`score`] (how much an image speaks for a class), [`threshold`]
//! (which classes are in it), [`affinity`] and [`map`] (where), [`refine`] (sharper edges), [`compose`] (one label per pixel); then [`metrics`]
//! (how good, and why not better), and [`registry`] (all of it by name).

pub mod prompts;
pub mod classes;
pub mod features;
pub mod memo;
pub mod needs;
pub mod segmenter;
pub mod score;
pub mod threshold;
pub mod affinity;
pub mod map;
pub mod refine;
pub mod compose;
pub mod metrics;
pub mod registry;

pub use classes::{ClassBank, ClassList, Encoded, WordTokens};
pub use compose::ClassMask;
pub use features::{ImageFeatures, View, Window};
pub use metrics::{Case, Figure, Metric, Unit};
pub use needs::Needs;
pub use registry::{Parts, SegmentRegistry};
pub use score::ClassScore;
pub use segmenter::{Extent, Segmentation, Segmenter, SimSeg, SimSegConfig};
pub use threshold::Threshold;
