//! The tour, in the order of the paper: `cargo run --release --example 01_tensor`, then `02_gradient`, `03_encoder`, `04_loda`,
//! `05_nce`, `06_segment`, `07_train_three`, `08_crf`, `09_word_swap` and `10_write_a_backend`. Each is one idea in at most eighty lines,
//! prints what it computes, and ends with a check that its first lines predict. `taps` and `figures` serve the book.
