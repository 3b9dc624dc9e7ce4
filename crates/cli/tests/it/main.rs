//! Tests of the command line: the real binary, its whole output.
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "the helpers of tests are tests"
)]

mod check;
mod corpus;
mod fetch;
mod inspect;
mod lab;
mod readme;
mod support;
mod verbs;
