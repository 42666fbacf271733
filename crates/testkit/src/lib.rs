//! One list of cases, run on every backend; random programs; planted faults, and the diagnosis that names them.
//!
//! Reading order: [`naive`] (a backend in plain loops: the yardstick), [`difference`] and [`tolerance`] (how far apart, and how far
//! is too far), [`step`] (every operation as data), [`hostile`] (inputs in awkward layouts), [`subject`] (any computation as data),
//! [`gradient`] (central differences), [`plain`] (hooks as their formulas), [`sample`] and [`golden`] (operations at awkward sizes, and
//! with PyTorch's answers), [`cases`] (the list), [`diagnose`] (kernel, rule or formula?), [`mistake`], [`fault`] and [`misled`]
//! (mistakes made on purpose), [`program`] and [`choice`] (random programs).

mod wrapper;
pub mod naive;
pub mod difference;
pub mod tolerance;
pub mod step;
pub mod hostile;
pub mod subject;
pub mod gradient;
pub mod plain;
pub mod sample;
pub mod golden;
pub mod cases;
pub mod diagnose;
pub mod mistake;
pub mod fault;
pub mod misled;
pub mod program;
pub mod choice;
#[cfg(feature = "proptest")]
pub mod strategy;

pub use cases::{Case, gradient_cases, trials, value_cases};
pub use difference::Difference;
pub use fault::Faulty;
pub use misled::Misled;
pub use mistake::{MISTAKES, Mistake, plant};
pub use naive::NaiveTensor;
pub use plain::Plain;
pub use program::Program;
pub use subject::Subject;
pub use tolerance::Tolerance;

/// The page's own example, compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/write-a-backend.md")]
struct WriteABackend;
