//! See `pinfold_fuzz::opening`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| pinfold_fuzz::opening(bytes));
