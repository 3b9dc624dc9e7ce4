//! The gateway: a forward proxy whose every connection is judged and pinned, as a library.
//!
//! A service in any language points its proxy setting here. Each request is judged by the policy, its name is looked
//! up once, and a socket is opened only to addresses that were judged. The policy is swapped while it runs, and what
//! is open is then judged again.
//!
//! ```text
//!   client ──► listen ──► identity ──► http | socks ──► egress ──► tunnel | forward ──► server
//!              TLS,       who asks     what is asked     limits, judgement,  bytes, deadlines,
//!              PROXY                                     pin, connect        server name
//!
//!   policy ── loads, tests, swaps, goes back      live ── what is open; judged again after a swap
//!   shadow ── a candidate, never enforced         admin ── operators
//!   event ──► telemetry: log, metrics, traces
//! ```
//!
//! `pinfold serve` is [`Gateway`] with a command line. The guide for who runs one is `docs/gateway.md`.
//!
//! ```
//! use pinfold_gateway::{Config, Gateway};
//! use tokio::{io::{AsyncReadExt, AsyncWriteExt}, net::TcpStream};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let config = "admin.enabled = false
//!     records.log.to = 'off'
//!     listener = [{ bind = '127.0.0.1:0' }]";
//! let gateway = Gateway::start(Config::parse(config, ".".as_ref())?, None).await?;
//!
//! let mut client = TcpStream::connect(gateway.addresses()[0]).await?;
//! client.write_all(b"CONNECT 169.254.169.254:80 HTTP/1.1\r\nHost: 169.254.169.254:80\r\n\r\n").await?;
//! let mut answer = String::new();
//! client.read_to_string(&mut answer).await?;
//! assert!(answer.starts_with("HTTP/1.1 403 "));
//! assert!(answer.contains("pinfold-reason: address-metadata"));
//!
//! gateway.drain().await;
//! # Ok(())
//! # }
//! ```
//!
//! # Reading order
//!
//! 1. [`Config`], and `gateway`: what a gateway is made of, how it starts and ends. `assemble` ties the parts together,
//!    `shared` is what each connection sees of them, `reload` what may change.
//! 2. `listen`, then `http` or `socks`: from an accepted socket to what is asked, and by whom (`identity`).
//! 3. `egress`: the one way out. Everything before it is about the question, everything after it about what was opened.
//! 4. `tunnel` and `http::forward`: bytes; `live` and its review: what happens to them when the policy changes.
//! 5. `policy` and `shadow`: how policies change. `event` and `telemetry`, `admin`: what is told of all of it.
//! 6. `refusal`: what a client is told, and why that is all.
#![forbid(unsafe_code)]

mod admin;
mod assemble;
mod check;
mod client;
pub mod config;
mod descriptors;
mod egress;
pub mod envoy;
mod event;
mod file;
mod gateway;
mod http;
mod identity;
mod lapse;
mod limit;
mod listen;
mod live;
mod news;
pub mod operator;
mod policy;
mod refusal;
mod reload;
mod service;
mod shadow;
mod shared;
mod socks;
mod source;
mod subject;
pub mod suggest;
mod telemetry;
mod tunnel;

pub mod credential {
    //! Entries for the file of credentials.

    pub use crate::identity::{
        CredentialsError, Entry, Unfit, basic_entry, bearer_entry, generated,
    };
}

#[doc(hidden)]
pub mod fuzz {
    //! What reads the bytes of strangers, for fuzzing. No part of the interface.

    pub use crate::{
        envoy::fuzz as envoy,
        http::fuzz as http,
        listen::proxy_header,
        socks::parse as socks,
        tunnel::hello::{Opener, Opening},
    };
}

pub use check::{Checked, check};
pub use config::Config;
pub use descriptors::Descriptors;
pub use gateway::{Drained, Gateway, Listening, StartError};
pub use news::News;
pub use policy::{Candidate, CandidateLayer, SelfTest, Untested, settings};

/// A policy in a line: its layer, its name, the beginning of its digest.
pub(crate) fn shown_policy(policy: &pinfold::PolicyRef) -> String {
    let digest = policy.digest.get(..12).unwrap_or(&policy.digest);
    match &policy.layer {
        Some(layer) => format!("{layer}: {} ({digest})", policy.name),
        None => format!("{} ({digest})", policy.name),
    }
}
