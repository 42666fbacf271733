//! What `docs/write-a-backend.md` quotes from the naive backend stands there, word for word; and the backend stays short.

const PAGE: &str = include_str!("../../../docs/write-a-backend.md");
const NAIVE: &str = include_str!("../src/naive.rs");

#[test]
fn every_quotation_is_in_the_file() {
    let quotations: Vec<&str> =
        PAGE.split("```rust,ignore\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(quotations.len() >= 6, "the page quotes nothing");
    for quotation in quotations {
        assert!(NAIVE.contains(quotation), "not in naive.rs:\n{quotation}");
    }
}

#[test]
fn a_whole_backend_is_less_than_300_lines() {
    assert!(NAIVE.lines().count() < 300);
}
