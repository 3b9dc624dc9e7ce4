//! One `Decision` record for each hop, handed to an `Observer`.

use std::{net::{IpAddr, SocketAddr}, time::Duration};

use pinfold_addr::{Class, Embedded};

use crate::{Denial, Terms};

/// How a hop ended.
#[derive(Clone, Debug, serde::Serialize)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Outcome {
    /// Allowed. `dialed` is the address of the socket; none when the pin was not used.
    Allow {
        /// The confirmed peer.
        dialed: Option<SocketAddr>,
        /// A kept connection was used again.
        reused: bool,
    },
    /// Refused.
    Deny(Denial),
    /// Allowed, but the network failed.
    Failed(Denial),
}

/// One address of the answer and what became of it.
#[derive(Clone, Debug, serde::Serialize)]
pub struct JudgedAddress {
    /// The address.
    pub address: IpAddr,
    /// Its class.
    pub class: Class,
    /// IPv4 addresses inside it.
    pub embedded: Vec<Embedded>,
    /// Whether an operator's grant covers it.
    pub granted: bool,
    /// Who refused it and why; none when it may be dialled.
    pub denial: Option<Denial>,
}

/// Which policy decided.
#[derive(Clone, Debug, serde::Serialize)]
pub struct PolicyRef {
    /// Its name, as it says.
    pub name: String,
    /// SHA-256 of the component, hex.
    pub digest: String,
    /// SHA-256 of the settings as configured, hex.
    pub settings_digest: String,
    /// Counts swaps; begins at 1.
    pub generation: u64,
}

/// Time spent in each step.
#[derive(Clone, Copy, Debug, Default, serde::Serialize)]
pub struct Timings {
    /// Floor and `check-target`.
    pub target: Duration,
    /// Lookup.
    pub resolve: Duration,
    /// Classification, `check-addresses`, floor.
    pub addresses: Duration,
    /// Connection attempts.
    pub connect: Duration,
}

/// The record of one hop.
#[derive(Clone, Debug, serde::Serialize)]
#[non_exhaustive]
pub struct Decision {
    /// Unique within the process.
    pub id: u64,
    /// Who asked.
    pub subject: Option<String>,
    /// HTTP method.
    pub method: Option<String>,
    /// Scheme, host and port; path and query are left out.
    pub target: String,
    /// 0 for the first request.
    pub hop: u8,
    /// How it ended.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// Aliases the answer came through.
    pub chain: Vec<String>,
    /// Every address of the answer.
    pub addresses: Vec<JudgedAddress>,
    /// What the policy demands of the exchange.
    pub terms: Terms,
    /// Which policy decided.
    pub policy: PolicyRef,
    /// Time spent.
    pub timings: Timings,
}

/// Takes decision records. Called once for each hop, on the task that decided: it must not block.
pub trait Observer: Send + Sync + 'static {
    /// Takes a record.
    fn observe(&self, decision: &std::sync::Arc<Decision>);
}

/// An observer that drops everything.
#[derive(Clone, Copy, Debug, Default)]
pub struct Discard;

impl Observer for Discard {
    fn observe(&self, _: &std::sync::Arc<Decision>) {}
}
