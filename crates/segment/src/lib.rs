//! From patch and class features to a label map and a score.
//!
//! Reading order follows the data: [`recipe`] (every switch, named), [`prompts`] and [`classes`] (words → class bank),
//! [`threshold`] (which classes are in the image), [`map`] (where), [`refine`] (sharper edges), [`compose`]
//! (one label per pixel), [`simseg`] (all of it, behind [`Segmenter`]), [`metrics`] and [`oracle`] (how good, and why not
//! better).

pub mod recipe;
pub mod prompts;
pub mod classes;
pub mod threshold;
pub mod map;
pub mod refine;
pub mod compose;
pub mod simseg;
pub mod metrics;
pub mod oracle;

pub use classes::{ClassBank, ClassList};
pub use recipe::Recipe;
pub use simseg::{ImageFeatures, Segmentation, Segmenter, SimSeg};
