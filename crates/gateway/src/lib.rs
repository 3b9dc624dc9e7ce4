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
//! `pinfold serve` is [`Gateway`] with a command line.
#![forbid(unsafe_code)]

mod admin;
mod assemble;
mod check;
mod client;
pub mod config;
mod descriptors;
mod egress;
mod event;
mod gateway;
mod http;
mod identity;
mod limit;
mod listen;
mod live;
pub mod operator;
mod policy;
mod refusal;
mod reload;
mod service;
mod shadow;
mod shared;
mod socks;
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
        listen::proxy_header,
        socks::parse as socks,
        tunnel::hello::{Opener, Opening},
    };
}

pub use check::{Checked, check};
pub use config::Config;
pub use descriptors::Descriptors;
pub use gateway::{Drained, Gateway, Listening, StartError};
pub use policy::{Candidate, CandidateLayer, SelfTest, Untested, settings};

/// A policy in a line: its layer, its name, the beginning of its digest.
pub(crate) fn shown_policy(policy: &pinfold::PolicyRef) -> String {
    let digest = policy.digest.get(..12).unwrap_or(&policy.digest);
    match &policy.layer {
        Some(layer) => format!("{layer}: {} ({digest})", policy.name),
        None => format!("{} ({digest})", policy.name),
    }
}
