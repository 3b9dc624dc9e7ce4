//! Tests of the command line: the real binary, its whole output.
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "the helpers of tests are tests"
)]

mod authors;
mod chain;
mod check;
mod corpus;
mod envoy;
mod fetch;
mod gateway_admin;
mod gateway_guide;
mod guest;
mod inspect;
mod lab;
mod migrate;
mod policy_bench;
mod policy_diff;
mod policy_test;
mod readme;
mod replay;
mod serve;
mod serve_drain;
mod serve_end;
mod serve_news;
mod service_manager;
mod support;
mod verbs;
