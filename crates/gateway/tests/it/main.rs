//! Tests of the gateway as a library.
//!
//! One binary, because each links the policy runtime.
#![expect(
    clippy::disallowed_methods,
    reason = "the clients and servers of the tests are no part of the gateway"
)]
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests"
)]

mod listeners;
mod support;
