//! An event as spans.
//!
//! Names and attributes follow the semantic conventions of OpenTelemetry where these have a word; the others begin with
//! `pinfold.`. Paths and queries are in no span: a decision does not hold them.

use std::{
    borrow::Cow,
    net::{IpAddr, SocketAddr},
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwap;
use opentelemetry::{
    InstrumentationScope, KeyValue,
    trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState},
};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use pinfold::{Decision, Denial, Outcome};
use sha2::{Digest, Sha256};

use super::TraceParent;
use crate::{
    client::{ClientAddress, RequestId},
    config::Withhold,
    event::{Asked, Decided, Ended, Event, Exchange},
};

/// Makes spans, and says of which requests.
pub(super) struct Scribe {
    /// Of requests that bring no trace one in so many.
    sample: u64,
    withhold: ArcSwap<Vec<Withhold>>,
    scope: InstrumentationScope,
    /// Ids of traces are unique among processes.
    key: [u8; 16],
}

/// The span of a request.
struct Root {
    trace: TraceId,
    span: SpanId,
    parent: Option<TraceParent>,
}

impl Scribe {
    pub(super) fn new(sample: u32, withhold: &[Withhold]) -> Self {
        let mut key = [0; 16];
        // Without randomness two processes may use an id for two traces, which harms nobody but the reader.
        let _ = getrandom::fill(&mut key);
        Self {
            sample: u64::from(sample.max(1)),
            withhold: ArcSwap::from_pointee(withhold.to_vec()),
            scope: InstrumentationScope::builder("pinfold")
                .with_version(env!("CARGO_PKG_VERSION"))
                .build(),
            key,
        }
    }

    pub(super) fn withhold(&self, withhold: &[Withhold]) {
        self.withhold.store(withhold.to_vec().into());
    }

    /// Whether a request is traced; the same for all its events.
    pub(super) fn is_sampled(&self, asked: &Asked) -> bool {
        match parent(asked) {
            Some(parent) => parent.is_sampled(),
            None if self.sample == 1 => true,
            None => self.number(asked.id, 0).is_multiple_of(self.sample),
        }
    }

    /// The event was told this long after the request came.
    pub(super) fn write(&self, event: &Event, took: Duration, spans: &mut Vec<SpanData>) {
        match event {
            Event::Decided(decided) => self.decided(decided, took, spans),
            Event::Ended(ended) => spans.push(self.ended(ended, took)),
            _ => {}
        }
    }

    /// The steps; and the request itself, when it ends with the judgement. Where a kept connection turned out to be
    /// closed and the request was judged again, it ends with the end of what was opened first or second: a request has
    /// one span.
    fn decided(&self, decided: &Decided, took: Duration, spans: &mut Vec<SpanData>) {
        let (asked, decision) = (&decided.asked, &*decided.decision);
        let root = self.root(asked);
        spans.extend(self.steps(decided, &root));
        if !is_connected(decision) && decided.before == 0 {
            let mut span = self.request(asked, &root, decided.at, took);
            span.attributes.extend(verdict(decision));
            span.status = status(decision.outcome.denial());
            spans.push(span);
        }
    }

    fn ended(&self, ended: &Ended, took: Duration) -> SpanData {
        let root = self.root(&ended.asked);
        let mut span = self.request(&ended.asked, &root, ended.at, took);
        let closing = serde_json::to_value(ended.closing).unwrap_or_default();
        let closing = closing.as_str().unwrap_or_default().to_owned();
        span.attributes.extend([
            KeyValue::new("pinfold.verdict", "allow"),
            KeyValue::new("pinfold.closing", closing),
            KeyValue::new("pinfold.bytes.up", integer(ended.up)),
            KeyValue::new("pinfold.bytes.down", integer(ended.down)),
        ]);
        span.status = status(ended.denial.as_ref());
        span
    }

    fn request(&self, asked: &Asked, root: &Root, end: SystemTime, took: Duration) -> SpanData {
        let method = method(asked);
        let mut span = self.span(root, root.span, method.clone().into(), SpanKind::Server);
        if let Some(parent) = &root.parent {
            span.parent_span_id = parent.context().span_id();
            span.parent_span_is_remote = true;
        }
        span.end_time = end;
        span.start_time = before(end, took);
        let (host, port) = split(&asked.authority);
        span.attributes = vec![
            KeyValue::new("http.request.method", method),
            KeyValue::new("server.port", i64::from(port)),
            KeyValue::new("pinfold.request_id", asked.id.to_string()),
            KeyValue::new("pinfold.listener", asked.client.listener.name.clone()),
            KeyValue::new("pinfold.report", asked.report),
        ];
        if let Some(id) = &asked.correlation {
            let id = KeyValue::new("pinfold.correlation_id", id.as_str().to_owned());
            span.attributes.push(id);
        }
        if !self.hides(Withhold::InternalAddresses) || host.parse::<IpAddr>().is_err() {
            let host = KeyValue::new("server.address", host.to_owned());
            span.attributes.push(host);
        }
        span.attributes.extend(self.who(asked));
        span
    }

    fn who(&self, asked: &Asked) -> Vec<KeyValue> {
        let mut who = Vec::new();
        if let Some(subject) = &asked.subject
            && !self.hides(Withhold::Subjects)
        {
            who.push(KeyValue::new("enduser.id", subject.name().to_owned()));
        }
        if let ClientAddress::Tcp(address) = asked.client.address
            && !self.hides(Withhold::Clients)
        {
            who.push(KeyValue::new("client.address", address.ip().to_string()));
            who.push(KeyValue::new("client.port", i64::from(address.port())));
        }
        who
    }

    /// One after the other, the last ends with the judgement.
    fn steps(&self, decided: &Decided, root: &Root) -> Vec<SpanData> {
        let decision = &*decided.decision;
        let timings = &decision.timings;
        let steps = [
            ("connect", timings.connect, SpanKind::Client),
            ("check-addresses", timings.addresses, SpanKind::Internal),
            ("resolve", timings.resolve, SpanKind::Client),
            ("check-target", timings.target, SpanKind::Internal),
        ];
        let mut end = decided.at;
        let mut spans = Vec::new();
        let (host, _) = split(&decided.asked.authority);
        let is_literal = host.parse::<IpAddr>().is_ok();
        for (number, (name, took, kind)) in (1..).zip(steps) {
            // A literal is its own answer, which nobody looked up.
            if took == Duration::ZERO || (is_literal && name == "resolve") {
                continue;
            }
            let id = self.span_id(decided.asked.id, decided.before * STEPS + number);
            let mut span = self.span(root, id, name.into(), kind);
            span.parent_span_id = root.span;
            (span.end_time, span.start_time) = (end, before(end, took));
            end = span.start_time;
            span.attributes = match name {
                "resolve" => vec![KeyValue::new("dns.question.name", host.to_owned())],
                "connect" => self.peer(decision),
                _ => policy(decision),
            };
            // The first is the last that was reached.
            if spans.is_empty() {
                span.status = status(decision.outcome.denial());
            }
            spans.push(span);
        }
        spans
    }

    fn peer(&self, decision: &Decision) -> Vec<KeyValue> {
        match decision.outcome {
            Outcome::Allow {
                dialed: Some(peer), ..
            } if !self.hides(Withhold::InternalAddresses) => attributes_of(peer),
            _ => Vec::new(),
        }
    }

    fn hides(&self, what: Withhold) -> bool {
        self.withhold.load().contains(&what)
    }

    fn root(&self, asked: &Asked) -> Root {
        let parent = parent(asked);
        let own = u128::from(self.number(asked.id, 0)) << 64
            | u128::from(self.number(asked.id, u64::MAX));
        Root {
            trace: parent.map_or(TraceId::from(own.max(1)), |parent| parent.trace_id()),
            span: self.span_id(asked.id, 0),
            parent,
        }
    }

    fn span_id(&self, id: RequestId, number: u64) -> SpanId {
        SpanId::from(self.number(id, number + 1).max(1))
    }

    fn span(&self, root: &Root, id: SpanId, name: Cow<'static, str>, kind: SpanKind) -> SpanData {
        let flags = TraceFlags::SAMPLED;
        SpanData {
            span_context: SpanContext::new(root.trace, id, flags, false, TraceState::NONE),
            parent_span_id: SpanId::INVALID,
            parent_span_is_remote: false,
            span_kind: kind,
            name,
            start_time: SystemTime::UNIX_EPOCH,
            end_time: SystemTime::UNIX_EPOCH,
            attributes: Vec::new(),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: Status::Unset,
            instrumentation_scope: self.scope.clone(),
        }
    }

    /// A number that looks random, the same for the same request.
    fn number(&self, id: RequestId, which: u64) -> u64 {
        let hash = Sha256::new()
            .chain_update(self.key)
            .chain_update(id.to_string())
            .chain_update(which.to_be_bytes())
            .finalize();
        hash.iter()
            .take(8)
            .fold(0, |number, byte| number << 8 | u64::from(*byte))
    }
}

/// Steps of one judgement.
const STEPS: u64 = 4;

/// Whether something was opened, whose end is told later.
fn is_connected(decision: &Decision) -> bool {
    matches!(
        decision.outcome,
        Outcome::Allow {
            dialed: Some(_),
            ..
        }
    )
}

fn verdict(decision: &Decision) -> Vec<KeyValue> {
    let mut attributes = policy(decision);
    let verdict = match decision.outcome {
        Outcome::Allow { .. } => "allow",
        Outcome::Deny(_) => "deny",
        _ => "failed",
    };
    attributes.push(KeyValue::new("pinfold.verdict", verdict));
    if let Some(denial) = decision.outcome.denial() {
        attributes.push(KeyValue::new("pinfold.stage", denial.stage().as_str()));
        attributes.push(KeyValue::new("error.type", denial.code().to_owned()));
    }
    attributes
}

fn policy(decision: &Decision) -> Vec<KeyValue> {
    vec![
        KeyValue::new("pinfold.policy.name", decision.policy.name.clone()),
        KeyValue::new("pinfold.policy.digest", decision.policy.digest.clone()),
        KeyValue::new(
            "pinfold.policy.generation",
            integer(decision.policy.generation),
        ),
    ]
}

fn attributes_of(peer: SocketAddr) -> Vec<KeyValue> {
    vec![
        KeyValue::new("network.peer.address", peer.ip().to_string()),
        KeyValue::new("network.peer.port", i64::from(peer.port())),
    ]
}

/// A code, never a detail: that may hold what is withheld.
fn status(denial: Option<&Denial>) -> Status {
    denial.map_or(Status::Unset, |denial| {
        Status::error(denial.code().to_owned())
    })
}

fn parent(asked: &Asked) -> Option<TraceParent> {
    TraceParent::parse(asked.traceparent.as_deref()?)
}

fn method(asked: &Asked) -> String {
    match (&asked.method, asked.kind) {
        (Some(method), _) => method.clone(),
        (None, Exchange::Socks) => "SOCKS".into(),
        (None, Exchange::Sni) => "SNI".into(),
        (None, _) => "CONNECT".into(),
    }
}

/// Host and port.
fn split(authority: &str) -> (&str, u16) {
    let (host, port) = authority.rsplit_once(':').unwrap_or((authority, ""));
    let host = host.trim_start_matches('[').trim_end_matches(']');
    (host, port.parse().unwrap_or_default())
}

fn before(time: SystemTime, span: Duration) -> SystemTime {
    time.checked_sub(span).unwrap_or(time)
}

fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
