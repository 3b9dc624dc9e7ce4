//! The decision service of an Envoy: it asks where it may connect to, and connects to nothing else.
//!
//! ```text
//!   Envoy ──► listen ──► HTTP/2 ──► service ──► question ──► identity ──► egress ──► answer
//!   ext_authz            gRPC                   what is      principal    limits,    pins as metadata,
//!                                               asked                     judgement  or a refusal
//! ```
//!
//! | file | what |
//! |---|---|
//! | `wire.rs` | the messages, as far as they are read or written |
//! | `question.rs` | what is asked, read strictly; pure |
//! | `service.rs` | from a question to its answer, within the deadline |
//! | `answer.rs` | what Envoy is told; pure |
//! | `deadline.rs` | how long Envoy waits |
//! | `health.rs` | whether it should ask here |
//!
//! Envoy takes the address from the metadata of an answer ([`PIN`], in the namespace of the filter that asked). An answer
//! that allows has one: without, a listener filter that knows of another address would be believed.

mod answer;
mod deadline;
#[doc(hidden)]
pub mod fuzz;
mod health;
mod question;
mod service;
#[doc(hidden)]
pub mod wire;

pub(crate) use health::Health;

use std::sync::Arc;

use crate::{
    event::{Event, Turned},
    http,
    listen::Accepted,
    refusal::{Kind, Refusal},
    shared::Shared,
};

/// The key of the address to connect to, `a.b.c.d:port` or `[v6]:port`. Further ones, for when it does not answer, are
/// `pin2`, `pin3`, ...
pub const PIN: &str = "pin";
/// The key of the name that TLS is to be spoken with: for SNI and the certificate. An address literal has none.
pub const SNI: &str = "sni";
/// The key of the correlation id, as in the decision log.
pub const REQUEST_ID: &str = "request_id";
/// The key of the generation of the policies that decided, or refused. Each gateway counts for itself.
pub const GENERATION: &str = "generation";
/// The key of the digest of that policy; of a chain, of the first.
pub const POLICY: &str = "policy";
/// The key of the digest of its settings: with [`POLICY`], what tells whether two gateways decide alike.
pub const SETTINGS: &str = "settings";
/// The key of the code of a refusal.
pub const REASON: &str = "reason";

/// The context extension of a route that says what Envoy speaks to the server: [`TLS`], or nothing for clear text.
pub const UPSTREAM: &str = "pinfold-upstream";
/// See [`UPSTREAM`].
pub const TLS: &str = "tls";

/// Where the filters of Envoy put what is answered.
pub const HTTP_NAMESPACE: &str = "envoy.filters.http.ext_authz";
/// See [`HTTP_NAMESPACE`]; of the filter for connections.
pub const NETWORK_NAMESPACE: &str = "envoy.filters.network.ext_authz";

/// The key of an address, counted from 0.
pub fn pin_key(at: usize) -> String {
    match at {
        0 => PIN.to_owned(),
        _ => format!("{PIN}{}", at.saturating_add(1)),
    }
}

/// Serves an Envoy until it or the gateway is done.
pub(crate) async fn serve(shared: Arc<Shared>, accepted: Accepted) {
    let (of, client) = (Arc::clone(&shared), Arc::clone(&accepted.client));
    let decisions = |activity| service::Decisions::new(of, Arc::clone(&client), activity);
    let served = http::serve_http2(Arc::clone(&shared), accepted, decisions).await;
    if let Err(http::NotHttp2) = served {
        let turned = Turned::unread(client, not_served(), "no HTTP/2".into());
        shared.bus.tell(&Event::Refused(Arc::new(turned)));
    }
}

fn not_served() -> Refusal {
    Refusal::new(Kind::Malformed, "connection", "protocol-not-served")
        .hint("this listener is for the decisions of an Envoy: gRPC over HTTP/2")
}
