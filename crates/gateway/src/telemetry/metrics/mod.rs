//! Metrics for Prometheus, as OpenMetrics text. Every family is in `docs/gateway-metrics.md`.
//!
//! Label sets are bounded: what comes from policies and clients (codes, subjects) has series of its own up to a
//! number that the configuration gives, and is `other` beyond it.
//!
//! | file | what it does |
//! |---|---|
//! | `families` | what there is, with names and help |
//! | `observe` | what an event changes |
//! | `bounded` | names that are few enough for labels |
//! | `process` | the process itself, from `/proc` |

mod bounded;
mod families;
mod observe;
mod process;
#[cfg(test)]
mod tests;

use std::{collections::HashMap, sync::Mutex};

use prometheus_client::registry::Registry;

use self::{
    bounded::{Label, Names},
    families::Families,
};
use crate::{
    config,
    event::{Event, Sink},
    limit, live,
};

/// Counts what happens.
pub(crate) struct Metrics {
    registry: Registry,
    families: Families,
    subjects: Names,
    codes: Names,
    /// Bytes of what has ended, by direction and listener.
    ended: Mutex<HashMap<[Label; 2], u64>>,
}

/// What is counted elsewhere, and looked at when somebody asks.
#[derive(Debug)]
pub(crate) struct Standing<'a> {
    pub(crate) usage: &'a limit::Usage,
    /// What is open, by kind.
    pub(crate) open: live::Counts,
    /// What the candidate judged; none without a candidate.
    pub(crate) shadow: Option<Shadowed>,
    /// Whether the last change of policies was refused.
    pub(crate) policy_kept: bool,
    /// When the certificate of each listener ends, in seconds since 1970.
    pub(crate) certificates: Vec<(String, i64)>,
    /// Connections to servers that are kept for the next request.
    pub(crate) pooled: usize,
    /// Bytes of what is open: listener, up, down.
    pub(crate) moving: Vec<(String, u64, u64)>,
}

/// What a candidate did so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Shadowed {
    pub(crate) compared: u64,
    pub(crate) dropped: u64,
}

/// What the other sinks count of themselves.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, serde::Serialize)]
pub(crate) struct Kept {
    /// Lines of the log.
    pub(crate) log_written: u64,
    /// Events that found the queue full.
    pub(crate) log_dropped: u64,
    /// Events that could not be written.
    pub(crate) log_failed: u64,
    pub(crate) spans_exported: u64,
    /// Spans that found the queue full.
    pub(crate) spans_dropped: u64,
    /// Spans that the collector did not take.
    pub(crate) spans_failed: u64,
}

impl Metrics {
    pub(crate) fn new(config: &config::Metrics) -> Self {
        let mut registry = Registry::default();
        let families = Families::register(&mut registry);
        Self {
            registry,
            families,
            subjects: Names::new(config.subjects),
            codes: Names::new(config.codes),
            ended: Mutex::default(),
        }
    }

    /// The text for a scraper; [`Self::CONTENT_TYPE`] says what it is.
    pub(crate) fn text(&self, standing: &Standing<'_>, kept: Kept) -> String {
        self.families.stand(standing, kept);
        self.stand_bytes(&standing.moving);
        let mut text = String::new();
        // Writing to a string does not fail; a half text would be refused by the scraper, which is right.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry);
        text
    }

    /// OpenMetrics 1.0, which Prometheus reads since 2.5.
    pub(crate) const CONTENT_TYPE: &str =
        "application/openmetrics-text; version=1.0.0; charset=utf-8";
}

impl Sink for Metrics {
    fn take(&self, event: &Event) {
        self.observe(event);
    }
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}
