//! Benchmarks live in `benches/*.rs`; the same work in other systems in `peers/`.
