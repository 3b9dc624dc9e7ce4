//! The tests are in `e2e`. Here are the examples of the documents that no crate holds: they must compile.

/// `README.md`.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
