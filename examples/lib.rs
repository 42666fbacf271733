//! The tour, in the order of the paper: `cargo run --release --example 01_tensor`, then `02_gradient`, `03_encoder`, `04_loda`,
//! `05_nce` and `06_segment`. Each is one idea in some forty lines, prints what it computes, and ends with a check.
