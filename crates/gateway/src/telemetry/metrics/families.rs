//! What there is: each family with its name, help and labels.

use std::{
    sync::{Mutex, PoisonError, atomic::Ordering},
    time::SystemTime,
};

use pinfold::PolicyRef;
use prometheus_client::{
    metrics::{
        counter::Counter,
        family::{Family, MetricConstructor},
        gauge::Gauge,
        histogram::Histogram,
    },
    registry::{Registry, Unit},
};

use super::{
    Kept, Standing,
    bounded::{Label, printable},
    process::{Process, seconds},
};

/// Labels with their values.
pub(super) type Labels<const N: usize> = [(&'static str, Label); N];
type Counters<const N: usize> = Family<Labels<N>, Counter>;
type Gauges<const N: usize> = Family<Labels<N>, Gauge>;
type Histograms<const N: usize> = Family<Labels<N>, Histogram, Buckets>;
type Seconds = Gauge<f64, std::sync::atomic::AtomicU64>;

/// How a histogram is cut.
#[derive(Clone, Copy, Debug)]
pub(super) struct Buckets(&'static [f64]);

macro_rules! families {
    ($($(#[doc = $help:literal])+ $field:ident: $type:ty = $name:literal $(in $unit:ident)? $(, $new:expr)?;)+) => {
        /// Everything that is counted.
        pub(super) struct Families {
            $(pub(super) $field: $type,)+
            /// Only one set of policies is active: changing it takes two steps.
            active: Mutex<()>,
        }

        impl Families {
            /// Registers all of them.
            pub(super) fn register(registry: &mut Registry) -> Self {
                let families = Self {
                    $($field: families!(@new $($new)?),)+
                    active: Mutex::default(),
                };
                $(families!(@register registry, $name, help(concat!($($help),+)), families.$field.clone() $(, $unit)?);)+
                families.begin()
            }

            /// The names, without the ending that each type adds.
            #[cfg(test)]
            pub(super) const NAMES: &[(&str, Option<Unit>)] =
                &[$(($name, families!(@unit $($unit)?)),)+];
        }
    };
    (@new) => { Default::default() };
    (@new $new:expr) => { $new };
    (@register $registry:ident, $name:literal, $help:expr, $metric:expr) => {
        $registry.register($name, $help, $metric);
    };
    (@register $registry:ident, $name:literal, $help:expr, $metric:expr, $unit:ident) => {
        $registry.register_with_unit($name, $help, Unit::$unit, $metric);
    };
    (@unit) => { None };
    (@unit $unit:ident) => { Some(Unit::$unit) };
}

families! {
    /// Judgements, by how they ended; in report mode the code is that of the denial that was let through
    decisions: Counters<5> = "pinfold_decisions";
    /// Judgements of each subject, the first so many; `other` is the rest, empty is without one
    subject_decisions: Counters<2> = "pinfold_subject_decisions";
    /// Requests that came to a judgement, by where and how they came
    requests: Counters<2> = "pinfold_requests";
    /// Time of each step of a judgement; the steps that were reached
    stage: Histograms<1> = "pinfold_stage" in Seconds, Buckets::SHORT.family();
    /// Time from the request to the connection, of an Envoy to the answer, or to the refusal
    decision: Histograms<1> = "pinfold_decision" in Seconds, Buckets::SHORT.family();
    /// Allowed requests that went over a kept connection
    reused: Counter = "pinfold_connections_reused";
    /// Lookups, by outcome: `answered` or the code
    lookups: Counters<1> = "pinfold_dns_lookups";
    /// Time of lookups
    lookup: Histogram = "pinfold_dns_lookup" in Seconds, Buckets::SHORT.new_metric();
    /// Failures of the policy itself; each refused a request
    faults: Counters<1> = "pinfold_policy_faults";
    /// The policies that are active; always 1
    policy_info: Gauges<4> = "pinfold_policy_info";
    /// Counts swaps
    generation: Gauge = "pinfold_policy_generation";
    /// Changes of policies, by outcome (`active`, `back`, `kept`), trigger, and the step that failed
    changes: Counters<3> = "pinfold_policy_changes";
    /// Whether the last change failed and what was active before still is
    kept: Gauge = "pinfold_policy_kept";
    /// When a policy was swapped in last
    last_success: Seconds = "pinfold_policy_last_success_timestamp" in Seconds;
    /// When a change of policies failed last; 0 is never
    last_failure: Seconds = "pinfold_policy_last_failure_timestamp" in Seconds;
    /// Time that reviews of open connections took, after a swap
    review: Histogram = "pinfold_review" in Seconds, Buckets::SHORT.new_metric();
    /// Connections that reviews looked at, by outcome: `kept`, `closed`
    reviewed: Counters<1> = "pinfold_reviewed";
    /// Decisions that the candidate was asked about as well
    shadow_compared: Counter = "pinfold_shadow_compared";
    /// Decisions that the candidate had no time for
    shadow_dropped: Counter = "pinfold_shadow_dropped";
    /// Differences, by what the active policy and the candidate say
    shadow_differences: Counters<2> = "pinfold_shadow_differences";
    /// Whether a candidate watches
    shadow_active: Gauge = "pinfold_shadow_active";
    /// Bytes of what has ended and of what is open: `up` from clients to servers, `down` back
    bytes: Counters<2> = "pinfold" in Bytes;
    /// Tunnels and exchanges that ended, by reason
    ends: Counters<2> = "pinfold_ends";
    /// How long tunnels and exchanges were open
    open_time: Histograms<1> = "pinfold_open" in Seconds, Buckets::LONG.family();
    /// What is open now
    open: Gauges<1> = "pinfold_open";
    /// Connections of clients that were let in
    connections: Counter = "pinfold_connections";
    /// What is in use of each bound
    limit_used: Gauges<1> = "pinfold_limit_used";
    /// The bounds
    limit_max: Gauges<1> = "pinfold_limit_max";
    /// Client addresses with a connection
    sources: Gauge = "pinfold_sources";
    /// Subjects that have something open or asked lately
    subjects: Gauge = "pinfold_subjects";
    /// Requests and connections that came to no judgement
    refused: Counters<3> = "pinfold_refused";
    /// Credentials that were missing or wrong
    auth_failures: Counters<2> = "pinfold_auth_failures";
    /// Tunnels whose server name or protocol is not what was asked for
    notices: Counters<2> = "pinfold_tunnel_notices";
    /// Files that were read again, by outcome: `done`, `kept`
    reloads: Counters<2> = "pinfold_reloads";
    /// Whether the last reload of this kept what there was, all of it or some
    reload_kept: Gauges<1> = "pinfold_reload_kept";
    /// When the certificate of a listener ends
    certificate_expiry: Gauges<1> = "pinfold_certificate_expiry_timestamp" in Seconds;
    /// Connections to servers that are kept for the next request
    pooled: Gauge = "pinfold_pool_connections";
    /// What went wrong and was gone on from
    troubles: Counters<1> = "pinfold_troubles";
    /// Lines of the log
    log_written: Counter = "pinfold_log_written";
    /// Events that are not in the log, because its queue was full
    log_dropped: Counter = "pinfold_log_dropped";
    /// Events that are not in the log, because it could not be written
    log_failed: Counter = "pinfold_log_failed";
    /// Spans, by outcome: `exported`, `dropped`, `failed`
    spans: Counters<1> = "pinfold_spans";
    /// Whether new requests are served
    ready: Gauge = "pinfold_ready";
    /// The version; always 1
    build_info: Gauges<1> = "pinfold_build_info";
    /// When the process began
    start_time: Seconds = "process_start_time" in Seconds;
    /// Memory in use
    resident: Gauge = "process_resident_memory" in Bytes;
    /// Open files, sockets included
    files: Gauge = "process_open_fds";
    /// How many files may be open
    files_most: Gauge = "process_max_fds";
}

impl Families {
    fn begin(self) -> Self {
        self.start_time.set(seconds(SystemTime::now()));
        let version = [("version", Label::Borrowed(env!("CARGO_PKG_VERSION")))];
        self.build_info.get_or_create(&version).set(1);
        self
    }

    /// Takes what is counted elsewhere.
    pub(super) fn stand(&self, standing: &Standing<'_>, kept: Kept) {
        let usage = standing.usage;
        self.limit(
            "connections",
            usage.connections.open,
            usage.connections.limit,
        );
        self.limit("tunnels", usage.tunnels.open, usage.tunnels.limit);
        set(&self.connections, usage.accepted);
        self.sources.set(number(usage.sources));
        self.subjects.set(number(usage.subjects));
        let open = standing.open;
        for (kind, n) in [
            ("connect", open.connect),
            ("forward", open.forward),
            ("upgrade", open.upgrade),
            ("socks", open.socks),
        ] {
            let labels = [("kind", Label::Borrowed(kind))];
            self.open.get_or_create(&labels).set(number(n));
        }
        self.kept.set(standing.policy_kept.into());
        self.pooled.set(number(standing.pooled));
        self.certificate_expiry.clear();
        for (listener, end) in &standing.certificates {
            let labels = [("listener", Label::Owned(printable(listener)))];
            self.certificate_expiry.get_or_create(&labels).set(*end);
        }
        self.stand_records(kept);
        let shadow = standing.shadow;
        self.shadow_active.set(shadow.is_some().into());
        // A new candidate counts from 0 again, which scrapers know as a reset.
        let shadow = shadow.unwrap_or_default();
        set(&self.shadow_compared, shadow.compared);
        set(&self.shadow_dropped, shadow.dropped);
        self.stand_process();
    }

    fn limit(&self, limit: &'static str, open: usize, most: usize) {
        let labels = [("limit", Label::Borrowed(limit))];
        self.limit_used.get_or_create(&labels).set(number(open));
        self.limit_max.get_or_create(&labels).set(number(most));
    }

    fn stand_records(&self, kept: Kept) {
        set(&self.log_written, kept.log_written);
        set(&self.log_dropped, kept.log_dropped);
        set(&self.log_failed, kept.log_failed);
        for (outcome, n) in [
            ("exported", kept.spans_exported),
            ("dropped", kept.spans_dropped),
            ("failed", kept.spans_failed),
        ] {
            let labels = [("outcome", Label::Borrowed(outcome))];
            set(&self.spans.get_or_create(&labels), n);
        }
    }

    fn stand_process(&self) {
        let process = Process::now().unwrap_or_default();
        for (gauge, value) in [
            (&self.resident, process.resident),
            (&self.files, process.files),
            (&self.files_most, process.files_most),
        ] {
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        }
    }

    /// These are active, and no others.
    pub(super) fn active(&self, generation: u64, policies: &[PolicyRef]) {
        let _one = self.active.lock().unwrap_or_else(PoisonError::into_inner);
        self.generation
            .set(i64::try_from(generation).unwrap_or(i64::MAX));
        self.policy_info.clear();
        for policy in policies {
            let labels = [
                (
                    "layer",
                    printable(policy.layer.as_deref().unwrap_or_default()).into(),
                ),
                ("name", printable(&policy.name).into()),
                ("digest", printable(&policy.digest).into()),
                ("settings_digest", printable(&policy.settings_digest).into()),
            ];
            self.policy_info.get_or_create(&labels).set(1);
        }
    }
}

impl Buckets {
    /// For what takes microseconds to seconds.
    const SHORT: Self = Self(&[
        0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
        0.5, 1.0, 2.5, 5.0, 10.0,
    ]);
    /// For what stays open: a tenth of a second to a day.
    const LONG: Self = Self(&[
        0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3_600.0, 14_400.0, 86_400.0,
    ]);

    fn family<const N: usize>(self) -> Histograms<N> {
        Family::new_with_constructor(self)
    }
}

impl MetricConstructor<Histogram> for Buckets {
    fn new_metric(&self) -> Histogram {
        Histogram::new(self.0.iter().copied())
    }
}

/// The help as scrapers get it: one line, from the documentation of the field.
fn help(doc: &str) -> &str {
    doc.trim()
}

fn set(counter: &Counter, value: u64) {
    counter.inner().store(value, Ordering::Relaxed);
}

fn number(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
