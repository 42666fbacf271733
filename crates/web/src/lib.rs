//! The live page: three alignments learn in the tab, and every score is taken apart.
//!
//! The browser calls one function with a request and gets an answer, both JSON: [`Desk::answer`]. The same function runs natively, in
//! tests and in the program that assembles the page, so what the page shows is what the library computes; nothing is computed in
//! JavaScript.
//!
//! Reading order: [`mod@world`] (scenes that one can edit), [`small`] (the small model), [`training`] (a step at a time), [`desk`] (requests
//! and answers), [`rules`] (thresholds side by side), [`own`] (a model of one's own, on the page of `simseg explain`), [`exercises`], [`mod@abi`] (how bytes get in and out of WebAssembly).

pub mod abi;
pub mod desk;
pub mod exercises;
pub mod own;
pub mod rules;
pub mod small;
pub mod training;
pub mod world;

pub use desk::Desk;
