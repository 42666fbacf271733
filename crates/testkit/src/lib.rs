//! One list of cases, run on every backend.
//!
//! Reading order: [`naive`] (a backend in plain loops: the yardstick), [`tolerance`], [`step`] (every operation as data),
//! [`hostile`] (inputs in awkward layouts), [`gradient`] (central differences), [`plain`] (hooks as their formulas),
//! [`cases`] (the list), [`program`] (random chains of steps).

pub mod naive;
pub mod tolerance;
pub mod step;
pub mod hostile;
pub mod gradient;
pub mod plain;
pub mod fault;
pub mod inject;
pub mod cases;
pub mod program;

pub use cases::{Case, gradient_cases, trials, value_cases};
pub use fault::{FAULTS, Faulty};
pub use naive::NaiveTensor;
pub use plain::Plain;
pub use tolerance::Tolerance;
