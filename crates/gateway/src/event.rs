//! What happens, told once: whoever logs, counts, traces or shows takes it from here.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use pinfold::{Decision, Denial, PolicyRef};

use crate::{
    client::{Client, Correlation, RequestId},
    live::Closing,
    refusal::Refusal,
    subject::Subject,
};

/// Something that operators want to know.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// A request was judged, and dialled when it was allowed: exactly one for each hop.
    Decided(Arc<Decided>),
    /// A tunnel or an exchange has ended.
    Ended(Arc<Ended>),
    /// A request, or a connection, was refused before it came to a judgement: malformed, not authenticated, limited.
    Refused(Arc<Turned>),
    /// A server name was looked at and is not the host of the request, or a tunnel does not begin with TLS.
    Tunnel(Arc<TunnelNotice>),
    /// The policies changed, or would not change.
    Policy(Arc<PolicyEvent>),
    /// The candidate would have decided otherwise.
    ShadowDiffers(Arc<ShadowDiffers>),
    /// Files were read again (certificates, credentials, configuration), or could not be.
    Reloaded(Arc<Reloaded>),
    /// A listener could not accept, a file not be written: the gateway goes on.
    Trouble { what: &'static str, detail: String },
    /// The gateway is ready, drains, has ended.
    Phase(Phase),
}

/// A judgement, and whose.
#[derive(Clone, Debug)]
pub(crate) struct Decided {
    pub(crate) at: SystemTime,
    pub(crate) asked: Arc<Asked>,
    /// How many were judged before it for the same request: a kept connection may turn out to be closed.
    pub(crate) before: u64,
    /// The record of the guard. In report mode it is `allow` with `would_deny`.
    pub(crate) decision: Arc<Decision>,
}

/// Who asked for what, in the gateway's words.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) id: RequestId,
    pub(crate) client: Arc<Client>,
    pub(crate) subject: Option<Subject>,
    pub(crate) kind: Exchange,
    /// `host:port`, canonical.
    pub(crate) authority: String,
    pub(crate) method: Option<String>,
    /// Whether a denial of the policy is only reported.
    pub(crate) report: bool,
    /// The trace that the client sent along (`traceparent`, W3C), as it came.
    pub(crate) traceparent: Option<String>,
    /// By which name whoever asks knows the request: the request id of an Envoy.
    pub(crate) correlation: Option<Correlation>,
    pub(crate) began: std::time::Instant,
}

/// What a client wants of a connection.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Exchange {
    /// `CONNECT`.
    Connect,
    /// A request in absolute form.
    Forward,
    /// A request in absolute form that became a tunnel (`101`).
    Upgrade,
    /// `CONNECT` of SOCKS5.
    Socks,
    /// TLS that an Envoy passes through, by its server name.
    Sni,
}

/// The end of a tunnel or an exchange.
#[derive(Clone, Debug)]
pub(crate) struct Ended {
    pub(crate) at: SystemTime,
    pub(crate) asked: Arc<Asked>,
    pub(crate) closing: Closing,
    /// Of what was revoked: what the new policy says.
    pub(crate) denial: Option<Denial>,
    pub(crate) lasted: Duration,
    /// Bytes from the client to the server, and back.
    pub(crate) up: u64,
    pub(crate) down: u64,
    /// Time since the last byte.
    pub(crate) silent: Duration,
}

/// A request that came to no judgement.
#[derive(Clone, Debug)]
pub(crate) struct Turned {
    pub(crate) at: SystemTime,
    pub(crate) id: RequestId,
    pub(crate) client: Arc<Client>,
    pub(crate) subject: Option<Subject>,
    pub(crate) correlation: Option<Correlation>,
    pub(crate) refusal: Refusal,
    /// For the operator.
    pub(crate) detail: String,
}

impl Turned {
    /// Of what nobody could read, so that nothing is known but where it came from.
    pub(crate) fn unread(client: Arc<Client>, refusal: Refusal, detail: String) -> Self {
        Self {
            at: SystemTime::now(),
            id: RequestId::next(),
            client,
            subject: None,
            correlation: None,
            refusal,
            detail,
        }
    }
}

/// What was seen at the beginning of a tunnel.
#[derive(Clone, Debug)]
pub(crate) struct TunnelNotice {
    pub(crate) at: SystemTime,
    pub(crate) asked: Arc<Asked>,
    /// `sni-mismatch`, `sni-missing`, `sni-unreadable`, `tunnel-not-tls`; of a forwarded request `host-differs`, and
    /// `max-forwards` when it was answered here.
    pub(crate) code: &'static str,
    /// The name that was seen.
    pub(crate) seen: Option<String>,
    /// Whether the tunnel was closed for it.
    pub(crate) enforced: bool,
}

/// A change of the policies.
#[derive(Clone, Debug)]
pub(crate) struct PolicyEvent {
    pub(crate) at: SystemTime,
    /// `file`, `signal`, `admin`, `start`; of what follows a change, `review`.
    pub(crate) trigger: &'static str,
    pub(crate) what: PolicyChange,
}

#[derive(Clone, Debug)]
pub(crate) enum PolicyChange {
    /// These are active now.
    Active {
        generation: u64,
        policies: Vec<PolicyRef>,
        back: bool,
    },
    /// A change was refused; what was active stays. `step`: `read`, `verify`, `load`, `self-test`.
    Kept { step: &'static str, error: String },
    /// The files were read, and hold what they held before: what an operator swapped in, or went back to, stays.
    Aside,
    /// Open connections were judged again.
    Reviewed {
        generation: u64,
        kept: usize,
        closed: usize,
        took: Duration,
    },
    /// A candidate watches now, or no longer does.
    Shadow { candidate: Option<PolicyRef> },
}

/// One difference between the active policy and the candidate.
#[derive(Clone, Debug)]
pub(crate) struct ShadowDiffers {
    pub(crate) at: SystemTime,
    pub(crate) asked: Arc<Asked>,
    pub(crate) active: Option<Denial>,
    pub(crate) candidate: Option<Denial>,
    /// Whether the log is to hold it: of many that are alike only some.
    pub(crate) sampled: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Reloaded {
    pub(crate) at: SystemTime,
    /// `certificates`, `credentials`, `token`, `configuration`, `log`.
    pub(crate) what: &'static str,
    /// Why it was not, in which case what was read before stays.
    pub(crate) error: Option<String>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Phase {
    Ready,
    Draining,
    Stopped,
}

/// Takes events. It must not block, and sees them in the order in which each task told them.
pub(crate) trait Sink: Send + Sync + 'static {
    fn take(&self, event: &Event);
}

/// Hands every event to every sink.
#[derive(Clone, Default)]
pub(crate) struct Bus {
    sinks: Arc<[Arc<dyn Sink>]>,
}

impl Bus {
    pub(crate) fn new(sinks: Vec<Arc<dyn Sink>>) -> Self {
        Self {
            sinks: sinks.into(),
        }
    }

    pub(crate) fn tell(&self, event: &Event) {
        self.sinks.iter().for_each(|sink| sink.take(event));
    }
}

impl std::fmt::Debug for Bus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bus")
            .field("sinks", &self.sinks.len())
            .finish()
    }
}
