//! How sure is a figure? Intervals and tests as pure functions of numbers.
//!
//! Three things vary, and none stands for another: which images a model is judged on ([`bootstrap`], the models as they are), which
//! seed it was trained with ([`student`]), and both at once ([`bootstrap::hierarchical`]). A p value is given only where an exact
//! test over seeds can reach 5% at all ([`sign`]), and after [`holm`]'s correction if several are asked together.

pub mod bootstrap;
pub mod student;
pub mod sign;
pub mod holm;

/// From, to.
pub type Interval = (f64, f64);

/// The share of an interval: 95 in a hundred.
pub const LEVEL: f64 = 0.95;

/// The mean; none of nothing.
pub fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}
