//! Algorithms by name: what a settings file chooses from, and what a crate outside adds to.
//!
//! A [`Choice`] is a name with settings as they stand in a file: `{ kind = "loda", image_k = 3 }`. [`Kinds`] is one family of
//! algorithms (all aligners, all thresholds, …). It knows each by name and turns a choice into the algorithm, or into one
//! line that says which key is wrong and what the nearest right one is.
//!
//! ```
//! use serde::{Deserialize, Serialize};
//! use simseg_registry::{Choice, Kinds};
//!
//! trait Shape { fn area(&self) -> f64; }
//! #[derive(Serialize, Deserialize)]
//! #[serde(deny_unknown_fields)]
//! struct Square { side: f64 }
//! impl Shape for Square { fn area(&self) -> f64 { self.side * self.side } }
//!
//! let mut shapes = Kinds::<dyn Shape>::new("shape");
//! shapes.add("square", "four equal sides", |square: Square| Ok(Box::new(square)));
//! assert_eq!(shapes.build(&Choice::new("square").with("side", 3.0))?.area(), 9.0);
//!
//! let Err(error) = shapes.build(&Choice::new("sqare")) else { panic!() };
//! assert_eq!(error.to_string(), "shape.kind: unknown `sqare`; did you mean `square`? (known: square)");
//! # Ok::<(), simseg_registry::Error>(())
//! ```

#[macro_use]
mod family;
pub mod choice;
pub mod kinds;
pub mod nearest;

pub use choice::Choice;
pub use kinds::{Error, Kind, Kinds};
pub use nearest::{explain, nearest};
