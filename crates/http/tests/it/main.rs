//! The client and the connector against servers on loopback.
//!
//! One binary, because each links the policy runtime.

mod budgets;
mod connector;
mod headers;
mod pool;
mod redirects;
mod requests;
mod support;
mod tls;
