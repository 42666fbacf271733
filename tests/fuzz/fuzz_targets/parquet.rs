//! See `simseg_fuzz`.
#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| simseg_fuzz::run("parquet", bytes));
