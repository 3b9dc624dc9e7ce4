//! See `pinfold_fuzz::chunks`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| pinfold_fuzz::chunks(bytes));
