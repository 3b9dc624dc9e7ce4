//! One `Decision` record for each hop, handed to an `Observer` exactly once.

use std::{
    net::{IpAddr, SocketAddr},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use pinfold_addr::{Class, Domain, Embedded, Reason, Stage, Target};
use serde::Serializer;
use tokio::time::Instant;

use crate::{
    Denial, Request, Terms,
    error::Ended,
    record::{Input, Judges},
};

/// The record of one hop, for the operator.
///
/// It may name internal addresses, in details and in the list of addresses: never show it to a client.
/// Path, query and credentials of the URL are not in it, unless a policy quotes path or query in the detail of a
/// denial ([`Redaction`](crate::record::Redaction) withholds that).
///
/// As JSON, stable (fields may be added, none is renamed or removed):
///
/// ```json
/// {"id": 7, "subject": "tenant-7", "method": "GET", "target": "http://rebind.example:80", "hop": 0,
///  "verdict": "deny", "stage": "resolve", "code": "address-floor", "detail": "127.0.0.1 is a loopback address",
///  "chain": ["alias.example"],
///  "addresses": [{"address": "127.0.0.1", "class": "loopback", "embedded": [], "granted": false,
///                 "denial": {"stage": "resolve", "code": "address-floor", "detail": "..."}}],
///  "terms": {"connect_timeout_ms": 10000, "https_only": false},
///  "policy": {"name": "egress", "digest": "...", "settings_digest": "...", "generation": 1},
///  "timings": {"target_us": 12, "resolve_us": 830, "addresses_us": 9, "connect_us": 0}}
/// ```
///
/// Where several policies judge, each policy has its `layer`, `layers` lists all of them in order, `policy` is
/// the one that decided, and `denied_by` is its layer, when a policy denied.
///
/// Where a session [reports](crate::Session::reporting), `would_deny` (`{"stage", "code", "detail"}`) is what was let
/// pass, and an address with a `denial` of a policy may have been dialled; not where it reports
/// [names](crate::Session::reporting_names) alone.
///
/// A guard that [records inputs](crate::GuardBuilder::record_inputs) adds `input`, from which the decision can be
/// replayed: see [`record`](crate::record).
///
/// `verdict` is `allow` (with `dialed` and `reused`), `deny` or `failed` (with `stage`, `code`,
/// `detail`); see [`Outcome`]. An address without `denial` was allowed.
#[derive(Clone, Debug, serde::Serialize)]
#[non_exhaustive]
pub struct Decision {
    /// Unique within the process.
    pub id: u64,
    /// Who asked.
    pub subject: Option<String>,
    /// HTTP method.
    pub method: Option<String>,
    /// `scheme://host:port`; path and query are left out.
    pub target: String,
    /// 0 for the first request.
    pub hop: u8,
    /// How it ended.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// Aliases the answer came through.
    pub chain: Vec<String>,
    /// Every address of the answer, refused ones included. A literal is its own, only answer. Empty when
    /// nothing was looked up, or the policy refused the target.
    pub addresses: Vec<JudgedAddress>,
    /// What the exchange must obey: the policy's terms, those of earlier hops and the host's limits.
    pub terms: Terms,
    /// Which policy decided: the one that denied or failed, otherwise the first of the chain.
    pub policy: Arc<PolicyRef>,
    /// The layer whose policy denied or failed. None when it was none of them (the floor, the terms of an
    /// earlier hop, the lookup, the network), when the hop was allowed, and where layers have no names.
    /// Where something [would have been denied](Self::would_deny), the layer of that, unless one then denied the addresses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub denied_by: Option<String>,
    /// What the policies denied, and a session that [reports](crate::Session::reporting) let pass. How the hop ended in
    /// spite of it is the outcome: it may have been allowed, failed, or been refused by the floor, or, where only names are
    /// [reported](crate::Session::reporting_names), by the policies for its addresses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub would_deny: Option<Denial>,
    /// All policies of the chain in order, where there are several; otherwise empty.
    #[serde(skip_serializing_if = "is_empty")]
    pub layers: Arc<[Arc<PolicyRef>]>,
    /// Time spent.
    pub timings: Timings,
    /// What the policies were asked and what they answered, paths and queries included; none unless the guard
    /// [records inputs](crate::GuardBuilder::record_inputs).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<Arc<Input>>,
    /// The policies that were asked, as long as the input is kept: what is withheld from a record is
    /// compared under them.
    #[serde(skip)]
    pub(crate) judges: Judges,
}

/// How a hop ended.
#[derive(Clone, Debug, Eq, PartialEq, serde::Serialize)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Outcome {
    /// Allowed.
    Allow {
        /// The confirmed peer; none when the pin was not dialled.
        dialed: Option<SocketAddr>,
        /// A kept connection was used again.
        reused: bool,
    },
    /// Refused by parser, floor, policy or host.
    Deny(Denial),
    /// Not refused, but there is no connection: the network failed, or the caller gave up.
    Failed(Denial),
}

impl Outcome {
    /// What was refused or failed; none when allowed.
    pub fn denial(&self) -> Option<&Denial> {
        match self {
            Self::Allow { .. } => None,
            Self::Deny(denial) | Self::Failed(denial) => Some(denial),
        }
    }

    pub(crate) fn denial_mut(&mut self) -> Option<&mut Denial> {
        match self {
            Self::Allow { .. } => None,
            Self::Deny(denial) | Self::Failed(denial) => Some(denial),
        }
    }
}

/// One address of the answer and what became of it.
#[derive(Clone, Debug, Eq, PartialEq, serde::Serialize)]
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
#[derive(Clone, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
pub struct PolicyRef {
    /// The layer of the chain that it is. None where there is only the policy of
    /// [`GuardBuilder::policy`](crate::GuardBuilder::policy).
    #[serde(
        default,
        deserialize_with = "crate::record::layer_name",
        skip_serializing_if = "Option::is_none"
    )]
    pub layer: Option<String>,
    /// Its name, as it says.
    pub name: String,
    /// SHA-256 of the component, hex.
    pub digest: String,
    /// SHA-256 of the settings as configured, hex.
    pub settings_digest: String,
    /// Counts swaps of the chain, or of any policy in it; begins at 1.
    pub generation: u64,
    /// Whether it imports WASI, and was given WASI that does nothing
    /// ([`GuardBuilder::inert_wasi`](crate::GuardBuilder::inert_wasi)).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub inert_wasi: bool,
}

/// Time spent in each step; zero for steps that were not reached. Whole microseconds in JSON.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct Timings {
    /// Floor and `check-target`.
    #[serde(rename = "target_us", serialize_with = "micros")]
    pub target: Duration,
    /// Lookup.
    #[serde(rename = "resolve_us", serialize_with = "micros")]
    pub resolve: Duration,
    /// Classification, `check-addresses`, floor.
    #[serde(rename = "addresses_us", serialize_with = "micros")]
    pub addresses: Duration,
    /// Connection attempts.
    #[serde(rename = "connect_us", serialize_with = "micros")]
    pub connect: Duration,
}

/// `scheme://host:port`.
pub(crate) fn origin(target: &Target) -> String {
    let (scheme, host, port) = (target.scheme().as_str(), target.host(), target.port());
    format!("{scheme}://{host}:{port}")
}

fn is_empty(layers: &[Arc<PolicyRef>]) -> bool {
    layers.is_empty()
}

fn micros<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(time.as_micros()).unwrap_or(u64::MAX))
}

/// Takes decision records.
///
/// Called once for each hop, on the task that decided: it must not block. A panic in it is caught and
/// changes nothing for the request.
pub trait Observer: Send + Sync + 'static {
    /// Takes a record.
    fn observe(&self, decision: &Arc<Decision>);
}

impl<O: Observer + ?Sized> Observer for Arc<O> {
    fn observe(&self, decision: &Arc<Decision>) {
        (**self).observe(decision);
    }
}

/// An observer that drops everything.
#[derive(Clone, Copy, Debug, Default)]
pub struct Discard;

impl Observer for Discard {
    fn observe(&self, _: &Arc<Decision>) {}
}

/// A record under way. It reaches the observer exactly once: when the hop ends, or, with the outcome
/// that stands until then, when it is dropped.
pub(crate) struct Record {
    /// Not shared until it is told.
    decision: Arc<Decision>,
    observer: Arc<dyn Observer>,
    dropped: Dropped,
}

/// What it means when the record is dropped now.
#[derive(Clone, Copy)]
enum Dropped {
    /// The caller gave up at this stage.
    Abandoned(Stage),
    /// What the decision says already: it has ended, or a pin was made and not dialled.
    AsItIs,
    /// Nothing: the observer has it.
    Told,
}

impl Record {
    /// Opens the record of a hop. Dropped as it is, it tells of a caller who gave up.
    pub(crate) fn open(
        request: &Request,
        policy: Arc<PolicyRef>,
        observer: Arc<dyn Observer>,
    ) -> Self {
        let decision = Arc::new(Decision {
            id: next_id(),
            subject: request.subject.clone(),
            method: request.method.clone(),
            target: origin(&request.target),
            hop: request.hop,
            // Stands for none yet: `dropped` says what becomes of it.
            outcome: PINNED,
            chain: Vec::new(),
            addresses: Vec::new(),
            terms: Terms::default(),
            policy,
            denied_by: None,
            would_deny: None,
            layers: Arc::default(),
            timings: Timings::default(),
            input: None,
            judges: Judges::default(),
        });
        Self {
            decision,
            observer,
            dropped: Dropped::Abandoned(Stage::Resolve),
        }
    }

    pub(crate) fn id(&self) -> u64 {
        self.decision.id
    }

    pub(crate) fn policy(&self) -> &PolicyRef {
        &self.decision.policy
    }

    /// Names all policies of a chain.
    pub(crate) fn layers(&mut self, layers: &Arc<[Arc<PolicyRef>]>) {
        self.edit(|decision| decision.layers = Arc::clone(layers));
    }

    /// Names the policy that denied, or failed.
    pub(crate) fn denied_by(&mut self, policy: &Arc<PolicyRef>) {
        self.edit(|decision| {
            decision.policy = Arc::clone(policy);
            decision.denied_by.clone_from(&policy.layer);
        });
    }

    /// Tells what was let pass.
    pub(crate) fn would_deny(&mut self, denial: Denial) {
        self.edit(|decision| decision.would_deny = Some(denial));
    }

    pub(crate) fn would_have_denied(&self) -> Option<&Denial> {
        self.decision.would_deny.as_ref()
    }

    pub(crate) fn terms(&mut self, terms: Terms) {
        self.edit(|decision| decision.terms = terms);
    }

    pub(crate) fn chain(&mut self, chain: &[Domain]) {
        self.edit(|decision| {
            decision.chain = chain.iter().map(|name| name.as_str().into()).collect();
        });
    }

    pub(crate) fn addresses(&mut self, addresses: Vec<JudgedAddress>) {
        self.edit(|decision| decision.addresses = addresses);
    }

    /// Keeps what the policies are asked, from here on.
    pub(crate) fn keep(&mut self, input: Input, judges: Judges) {
        self.edit(|decision| {
            decision.input = Some(Arc::new(input));
            decision.judges = judges;
        });
    }

    /// Adds to what is kept, if anything is.
    pub(crate) fn asked(&mut self, change: impl FnOnce(&mut Input)) {
        self.edit(|decision| {
            if let Some(input) = decision.input.as_mut().and_then(Arc::get_mut) {
                change(input);
            }
        });
    }

    /// Adds the time since `start` to one step.
    pub(crate) fn time(&mut self, start: Instant, step: fn(&mut Timings) -> &mut Duration) {
        self.edit(|decision| *step(&mut decision.timings) += start.elapsed());
    }

    /// From here on, dropping the record tells of a pin that was not dialled.
    pub(crate) fn pinned(&mut self) {
        self.edit(|decision| decision.outcome = PINNED);
        self.dropped = Dropped::AsItIs;
    }

    /// From here on, dropping the record tells of a caller who gave up while connecting.
    pub(crate) fn connecting(&mut self) {
        self.dropped = Dropped::Abandoned(Stage::Connect);
    }

    /// Ends the hop with a connection.
    pub(crate) fn allow(self, dialed: Option<SocketAddr>, reused: bool) -> Arc<Decision> {
        self.end(Outcome::Allow { dialed, reused })
    }

    /// Ends the hop with a refusal.
    pub(crate) fn deny(self, denial: Denial) -> Ended {
        let decision = self.end(Outcome::Deny(denial.clone()));
        Ended {
            denial,
            decision,
            network: false,
        }
    }

    /// Ends the hop with a failure of the network.
    pub(crate) fn fail(self, denial: Denial) -> Ended {
        let decision = self.end(Outcome::Failed(denial.clone()));
        Ended {
            denial,
            decision,
            network: true,
        }
    }

    fn edit(&mut self, change: impl FnOnce(&mut Decision)) {
        if let Some(decision) = Arc::get_mut(&mut self.decision) {
            change(decision);
        }
    }

    fn end(mut self, outcome: Outcome) -> Arc<Decision> {
        self.edit(|decision| decision.outcome = outcome);
        self.dropped = Dropped::AsItIs;
        self.tell();
        self.decision.clone()
    }

    fn tell(&mut self) {
        match std::mem::replace(&mut self.dropped, Dropped::Told) {
            Dropped::Told => return,
            Dropped::AsItIs => {}
            Dropped::Abandoned(stage) => {
                self.edit(|decision| decision.outcome = abandoned(stage));
            }
        }
        // The observer is the embedder's code. The hop has ended: nothing of ours can be half done.
        let _ = catch_unwind(AssertUnwindSafe(|| self.observer.observe(&self.decision)));
    }
}

impl std::fmt::Debug for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Record")
            .field("decision", &self.decision)
            .finish_non_exhaustive()
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.tell();
    }
}

/// Allowed, and nobody dialled.
const PINNED: Outcome = Outcome::Allow {
    dialed: None,
    reused: false,
};

fn abandoned(stage: Stage) -> Outcome {
    let detail = "the caller dropped the request before this hop had ended";
    Outcome::Failed(Denial::new(Reason::Abandoned, detail).at(stage))
}

fn next_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

#[cfg(test)]
pub(crate) mod testing {
    //! What the tests of other modules need to open a record and to see it end.

    use std::sync::{Mutex, PoisonError};

    use super::*;

    /// Keeps every record.
    #[derive(Clone, Debug, Default)]
    pub(crate) struct Seen(Arc<Mutex<Vec<Arc<Decision>>>>);

    impl Seen {
        pub(crate) fn all(&self) -> Vec<Arc<Decision>> {
            self.0
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone()
        }

        /// The only record.
        pub(crate) fn only(&self) -> Arc<Decision> {
            let all = self.all();
            assert_eq!(all.len(), 1, "one record expected: {all:#?}");
            all[0].clone()
        }

        pub(crate) fn open(&self, url: &str) -> Record {
            let request = Request::new(Target::parse(url).unwrap());
            Record::open(&request, policy(), Arc::new(self.clone()))
        }
    }

    impl Observer for Seen {
        fn observe(&self, decision: &Arc<Decision>) {
            self.0
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(decision.clone());
        }
    }

    pub(crate) fn policy() -> Arc<PolicyRef> {
        Arc::new(PolicyRef {
            layer: None,
            name: "test".into(),
            digest: "d".into(),
            settings_digest: "s".into(),
            generation: 1,
            inert_wasi: false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{testing::Seen, *};

    #[test]
    fn a_record_is_told_once_whatever_happens() {
        let denial = || Denial::new(Reason::ConnectFailed, "nobody listens");
        type End = fn(Record, Denial);
        let table: [(&str, End, &str); 6] = [
            ("dropped at once", |record, _| drop(record), "failed"),
            ("pin dropped", |mut record, _| record.pinned(), "allow"),
            (
                "dropped while connecting",
                |mut record, _| record.connecting(),
                "failed",
            ),
            (
                "allowed",
                |record, _| drop(record.allow(None, false)),
                "allow",
            ),
            ("denied", |record, denial| drop(record.deny(denial)), "deny"),
            (
                "failed",
                |record, denial| drop(record.fail(denial)),
                "failed",
            ),
        ];
        for (row, end, verdict) in table {
            let seen = Seen::default();
            end(seen.open("http://example.com/"), denial());
            let json = serde_json::to_value(&*seen.only()).unwrap();
            assert_eq!(json["verdict"], verdict, "{row}");
        }
    }

    #[test]
    fn the_json_of_a_decision() {
        let seen = Seen::default();
        let mut record = seen.open("https://user:secret@Example.com/private?token=1");
        record.addresses(vec![JudgedAddress {
            address: "10.0.0.1".parse().unwrap(),
            class: Class::Private,
            embedded: Vec::new(),
            granted: false,
            denial: Some(
                Denial::new(Reason::AddressNotPublic, "10.0.0.1 is private").at(Stage::Resolve),
            ),
        }]);
        record.deny(Denial::new(Reason::AnswersMixed, "one of two"));
        let mut json = serde_json::to_value(&*seen.only()).unwrap();
        json["id"] = 1.into();
        assert_eq!(
            json,
            serde_json::json!({
                "id": 1, "subject": null, "method": null, "target": "https://example.com:443", "hop": 0,
                "verdict": "deny", "stage": "resolve", "code": "answers-mixed", "detail": "one of two",
                "chain": [],
                "addresses": [{
                    "address": "10.0.0.1", "class": "private", "embedded": [], "granted": false,
                    "denial": {
                        "stage": "resolve", "code": "address-not-public", "detail": "10.0.0.1 is private",
                    },
                }],
                "terms": {"https_only": false},
                "policy": {"name": "test", "digest": "d", "settings_digest": "s", "generation": 1},
                "timings": {"target_us": 0, "resolve_us": 0, "addresses_us": 0, "connect_us": 0},
            })
        );
    }

    #[test]
    fn allowed_outcomes_as_json() {
        let outcome = Outcome::Allow {
            dialed: Some("127.0.0.2:80".parse().unwrap()),
            reused: true,
        };
        let json = serde_json::to_string(&outcome).unwrap();
        assert_eq!(
            json,
            r#"{"verdict":"allow","dialed":"127.0.0.2:80","reused":true}"#
        );
    }

    #[test]
    fn a_panicking_observer_breaks_nothing() {
        struct Panics;
        impl Observer for Panics {
            fn observe(&self, _: &Arc<Decision>) {
                panic!("observer");
            }
        }
        let request = Request::new(Target::parse("http://example.com/").unwrap());
        let record = Record::open(&request, testing::policy(), Arc::new(Panics));
        let decision = record.allow(None, false);
        assert_eq!(
            decision.outcome,
            Outcome::Allow {
                dialed: None,
                reused: false
            }
        );
    }
}
