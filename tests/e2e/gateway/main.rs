//! The gateway as its users meet it: the binary, real clients, real peers.
#![expect(
    clippy::disallowed_methods,
    reason = "the clients and servers of the tests are no part of the gateway"
)]
#![expect(clippy::panic, clippy::unwrap_used, reason = "tests")]

#[path = "../../fixtures/guests/mod.rs"]
#[expect(dead_code, reason = "other tests use the rest of it")]
mod guests;
mod policies;
