//! Bounds of the gateway, in all and for each subject.

use std::collections::BTreeMap;

use super::{Size, Span, SubjectName};

/// Bounds. What is beyond them is refused at once, with 429 (the subject's) or 503 (everybody's) and `Retry-After`.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Limits {
    /// Connections of clients, on all listeners. Default: 10,000.
    pub connections: usize,
    /// Connections of one client address. Default: 2,000.
    pub connections_per_source: usize,
    /// Open tunnels and exchanges. Default: 8,000.
    pub tunnels: usize,
    /// Requests a second, in all. Default: 0, no limit.
    pub rate: u32,
    /// Requests beyond the rate that may come at once. Default: 0, which stands for twice the rate.
    pub burst: u32,
    /// Bounds of each subject, and of requests without one, which share theirs. Default: a quarter of `tunnels`
    /// for each subject.
    pub subject: SubjectLimits,
    /// Other bounds for named subjects. Default: none.
    pub subjects: BTreeMap<SubjectName, SubjectLimits>,
    /// Bytes of a request head. Default: 64 KiB; at least 8 KiB.
    pub head: Size,
    /// Header fields of a request. Default: 100.
    pub headers: usize,
    /// Time for a request head, a SOCKS greeting, a PROXY header or a TLS handshake. Default: 10 s.
    pub head_time: Span,
    /// Time that a kept connection of a client waits for its next request. Default: 60 s.
    pub keep_alive: Span,
    /// Streams of one HTTP/2 connection. Default: 100.
    pub streams: u32,
    /// Connections that the kernel keeps before they are accepted. Default: 1,024.
    pub backlog: u32,
    /// Live instances of the policy. Default: 1,000.
    pub policy_instances: u32,
}

/// Bounds of one subject. 0 is no limit.
#[derive(Clone, Debug, Default, serde::Deserialize, serde::Serialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct SubjectLimits {
    /// Open tunnels and exchanges. Default: a quarter of `limits.tunnels`, so that no subject takes all places; where
    /// nobody says who asks, all share one account, which has no limit of its own.
    pub tunnels: Option<usize>,
    /// Requests a second. Default: 0.
    pub rate: u32,
    /// Requests beyond the rate that may come at once. Default: 0, which stands for twice the rate.
    pub burst: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            connections_per_source: 2_000,
            tunnels: 8_000,
            rate: 0,
            burst: 0,
            subject: SubjectLimits::default(),
            subjects: BTreeMap::new(),
            head: Size::kib(64),
            headers: 100,
            head_time: Span::seconds(10),
            keep_alive: Span::seconds(60),
            streams: 100,
            backlog: 1_024,
            policy_instances: 1_000,
        }
    }
}
