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

mod abuse;
mod admin;
mod certificates;
mod clients;
mod drain;
mod envoy;
mod fuzz_corpus;
mod http_connect;
mod http_drain;
mod http_forward;
mod http_heads;
mod http_identity;
mod http_revoked;
mod http_two;
mod http_upgrade;
mod lapse;
mod limits;
mod listener_tls;
mod listeners;
mod log;
mod metrics;
mod operator;
mod policies;
mod proxy_header;
mod reload;
mod report;
mod revocation;
mod shadow;
mod smokescreen;
mod socks;
mod status_page;
mod support;
mod trace;
mod tunnel;
