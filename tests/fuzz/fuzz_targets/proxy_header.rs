//! See `pinfold_fuzz::proxy_headers`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| pinfold_fuzz::proxy_headers(bytes));
