//! See `pinfold_fuzz::envoy_questions`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| pinfold_fuzz::envoy_questions(bytes));
