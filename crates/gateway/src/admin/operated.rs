//! The gateway behind the interface: what it is asked for, out of what all connections share.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Instant, SystemTime},
};

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{
    answer::Problem,
    backend::{Backend, Change, Changing},
    recent::Recent,
    row::{self, Masks},
};
use crate::{
    event::Event,
    listen::Tls,
    live::{Closing, Open},
    policy::{ChangeError, Changed, Trigger},
    shadow::Report,
    shared::Shared,
    telemetry::{Shadowed, Standing},
};

/// A gateway, as its operators see it.
pub(crate) struct Operated {
    shared: Arc<Shared>,
    recent: Arc<Recent>,
    began: Instant,
    at: SystemTime,
    /// Where it listens, as bound.
    listeners: Vec<Value>,
    /// Those that speak TLS, by name; the interface itself is `admin`.
    secured: Vec<(String, Arc<Tls>)>,
    /// Cancelled when an operator asks for a drain: whoever runs the gateway waits for it.
    drain: CancellationToken,
}

impl Operated {
    pub(crate) fn new(
        shared: Arc<Shared>,
        recent: Arc<Recent>,
        listeners: Vec<Value>,
        secured: Vec<(String, Arc<Tls>)>,
        drain: CancellationToken,
    ) -> Self {
        Self {
            shared,
            recent,
            began: Instant::now(),
            at: SystemTime::now(),
            listeners,
            secured,
            drain,
        }
    }

    fn phase(&self) -> &'static str {
        match self.shared.draining.is_cancelled() {
            true => "draining",
            false => "ready",
        }
    }

    fn open(&self, open: &Open) -> Value {
        let masks = self.recent.masks();
        let mut row = masks.asked(&open.asked);
        row.append(&mut masks.decision(&open.decision));
        let mut row = Value::Object(row);
        // The one that judged it last, not the one that let it in.
        row["generation"] = open.generation.into();
        row["age_ms"] = row::millis(open.age).into();
        row["silent_ms"] = row::millis(open.silent).into();
        row["up"] = open.up.into();
        row["down"] = open.down.into();
        row["closing"] = json!(open.closing);
        row
    }

    fn certificates(&self) -> Vec<(String, i64)> {
        let secured = self.secured.iter();
        let ends = secured.filter_map(|(name, tls)| Some((name.clone(), tls.end()?)));
        ends.collect()
    }

    fn limits(&self) -> Value {
        let usage = self.shared.admission.usage();
        json!([
            {"name": "connections", "used": usage.connections.open, "limit": usage.connections.limit},
            {"name": "tunnels", "used": usage.tunnels.open, "limit": usage.tunnels.limit},
        ])
    }

    /// What was lost because somebody was too slow, or not there.
    fn dropped(&self) -> Value {
        let kept = self.shared.telemetry.kept();
        let shadow = self.shared.shadow.report();
        json!({
            "log": kept.log_dropped,
            "log_failed": kept.log_failed,
            "spans": kept.spans_dropped,
            "spans_failed": kept.spans_failed,
            "shadow": shadow.map_or(0, |report| report.dropped),
        })
    }

    /// The policies: what is active, where it is from, what was wrong with the last change.
    fn policy(&self) -> Value {
        let status = self.shared.policies.status();
        let error = status.error.as_ref().map(|told| {
            json!({
                "time": row::time(told.at),
                "trigger": told.trigger,
                "step": told.failure.step,
                "error": told.failure.message,
                "hint": told.failure.hint,
            })
        });
        json!({
            "generation": status.active.generation,
            "since": row::time(status.active.since),
            "trigger": status.active.trigger,
            "source": status.active.source,
            "files_in_effect": status.files_in_effect,
            "policies": status.active.policies.iter().map(row::reference).collect::<Vec<_>>(),
            "under_way": status.under_way,
            "swapped": status.swapped,
            "kept": status.kept,
            "last_error": error,
        })
    }
}

impl Backend for Operated {
    fn is_ready(&self) -> bool {
        !self.shared.draining.is_cancelled()
    }

    fn status(&self) -> Value {
        let config = self.shared.config.load();
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "phase": self.phase(),
            "started": row::time(self.at),
            "uptime_s": self.began.elapsed().as_secs(),
            "listeners": self.listeners,
            "policy": self.policy(),
            "open": self.shared.live.counts(),
            "limits": self.limits(),
            "usage": self.shared.admission.usage(),
            "report": config.report,
            "dropped": self.dropped(),
            "log_problem": self.shared.telemetry.problem(),
        })
    }

    fn metrics(&self) -> String {
        let shared = &self.shared;
        let report = shared.shadow.report();
        let shadow = report
            .filter(|report| report.watching)
            .map(|report| Shadowed {
                compared: report.compared,
                dropped: report.dropped,
            });
        shared.telemetry.metrics_text(&Standing {
            usage: &shared.admission.usage(),
            open: shared.live.counts(),
            shadow,
            policy_kept: shared.policies.status().error.is_some(),
            certificates: self.certificates(),
            pooled: shared.forwarder.kept(),
            moving: moving(&shared.live.list(usize::MAX)),
        })
    }

    fn policies(&self) -> Value {
        let status = self.shared.policies.status();
        let history = status.history.iter();
        let history = history.map(|shown| {
            json!({
                "generation": shown.generation,
                "since": row::time(shown.since),
                "trigger": shown.trigger,
                "source": shown.source,
                "restores": shown.restores,
                "policies": shown.policies.iter().map(row::reference).collect::<Vec<_>>(),
            })
        });
        json!({"active": self.policy(), "history": history.collect::<Vec<_>>()})
    }

    fn connections(&self, most: usize) -> Value {
        let live = &self.shared.live;
        let rows: Vec<_> = live.list(most).iter().map(|open| self.open(open)).collect();
        json!({"open": live.len(), "by_kind": live.counts(), "connections": rows})
    }

    fn shadow(&self) -> Value {
        let report = self.shared.shadow.report();
        let none = || json!({"watching": false});
        report.map_or_else(none, |report| shadowed(&self.recent.masks(), &report))
    }

    fn config(&self) -> Value {
        without_secrets(json!(**self.shared.config.load()))
    }

    fn turned_away(&self, detail: String) {
        let what = "admin";
        self.shared.bus.tell(&Event::Trouble { what, detail });
    }

    fn change(&self, change: Change) -> Changing {
        let shared = Arc::clone(&self.shared);
        let (drain, masks) = (self.drain.clone(), self.recent.masks());
        Box::pin(async move {
            let policies = &shared.policies;
            match change {
                Change::Swap(change) => changed(policies.swap(change).await),
                Change::Rollback(to) => changed(policies.rollback(to).await),
                Change::Reload => changed(policies.reload(Trigger::Admin).await),
                Change::Drain => {
                    drain.cancel();
                    Ok(json!({"phase": "draining"}))
                }
                Change::Close(id) => match shared.live.close(&id, Closing::Operator) {
                    true => Ok(json!({"closed": id})),
                    false => Err(NOT_OPEN.detail(format!("no open request has the id `{id}`"))),
                },
                Change::ShadowStart(change) => {
                    let started = shared.shadow.start(&change, policies).await;
                    let candidate = started.map_err(|error| problem(&error))?;
                    Ok(json!({"watching": true, "candidate": row::reference(&candidate)}))
                }
                Change::ShadowStop => {
                    let report = shared.shadow.stop(Trigger::Admin);
                    let report = report.map_err(|error| problem(&error))?;
                    Ok(shadowed(&masks, &report))
                }
                Change::ShadowPromote => changed(shared.shadow.promote(policies).await),
            }
        })
    }
}

fn changed(result: Result<Changed, ChangeError>) -> Result<Value, Problem> {
    match result {
        Ok(changed) => Ok(json!({
            "generation": changed.generation,
            "swapped": changed.swapped,
            "policies": changed.policies.iter().map(row::reference).collect::<Vec<_>>(),
        })),
        Err(error) => Err(problem(&error)),
    }
}

fn problem(error: &ChangeError) -> Problem {
    let status = match error {
        ChangeError::Kept(_) => 422,
        ChangeError::Request { .. } => 409,
        ChangeError::Busy | ChangeError::Stopped => 503,
        ChangeError::Pending => 504,
    };
    let hint = error.hint().unwrap_or("`/status` says what is active");
    Problem::new(status, error.code(), hint).detail(error.to_string())
}

/// Bytes of what is open, of each listener.
fn moving(open: &[Open]) -> Vec<(String, u64, u64)> {
    let mut sums = BTreeMap::<&str, (u64, u64)>::new();
    for one in open {
        let sum = sums.entry(&one.asked.client.listener.name).or_default();
        *sum = (sum.0.saturating_add(one.up), sum.1.saturating_add(one.down));
    }
    let sums = sums.into_iter();
    sums.map(|(listener, (up, down))| (listener.to_owned(), up, down))
        .collect()
}

/// What a candidate would have decided, with a mark at what it would let through.
fn shadowed(masks: &Masks, report: &Report) -> Value {
    let mut value = json!(report);
    for difference in value["differences"].as_array_mut().into_iter().flatten() {
        let allows = |verdict: &Value| verdict == "allow" || verdict == "allow-target";
        let loosens = allows(&difference["candidate"]) && !allows(&difference["active"]);
        difference["loosens"] = loosens.into();
        for sample in difference["latest"].as_array_mut().into_iter().flatten() {
            if let Some(name) = sample["subject"].as_str() {
                sample["subject"] = masks.subject(name).into();
            }
        }
    }
    value
}

/// Values of headers for the collector of traces are secrets. Files of secrets are named, not shown.
fn without_secrets(mut config: Value) -> Value {
    if let Some(headers) = config.pointer_mut("/records/tracing/headers")
        && let Some(headers) = headers.as_object_mut()
    {
        for value in headers.values_mut() {
            *value = "withheld".into();
        }
    }
    config
}

const NOT_OPEN: Problem = Problem::new(404, "not-open", "`/connections` lists what is open");
