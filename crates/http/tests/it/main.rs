//! The client and the connector against servers on loopback.
//!
//! One binary, because each links the policy runtime.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests"
)]

mod budgets;
mod connector;
mod forward;
mod headers;
mod pool;
mod redirects;
mod requests;
mod support;
mod tls;
