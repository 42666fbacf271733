//! Threads, or none: rayon with the feature `threads`, else the same names on one thread.
//!
//! Where a crate below the command line works in parallel it says so with rayon's own words, from here. Nothing computed depends on which it
//! is: work is cut up by shapes alone, and what is added up is added in a fixed order.

#[cfg(not(feature = "threads"))]
mod alone;
#[cfg(not(feature = "threads"))]
pub use alone::{current_num_threads, join, prelude};
#[cfg(feature = "threads")]
pub use rayon::{current_num_threads, join, prelude};
