//! Events as operators read them: one flat JSON object each, with what is withheld from the log withheld here, too.

use std::time::SystemTime;

use pinfold::{Decision, Denial, JudgedAddress, Outcome, PolicyRef, record::Redaction};
use pinfold_addr::{Class, Stage};
use serde_json::{Map, Value, json};

use crate::{
    client::{Client, ClientAddress, Correlation},
    config::Withhold,
    event::{
        Asked, Decided, Ended, Event, Exchange, Phase, PolicyChange, PolicyEvent, Reloaded,
        ShadowDiffers, TunnelNotice, Turned,
    },
    subject::Subject,
    telemetry::Aliases,
};

/// What is left out or stands for something else.
#[derive(Clone, Debug)]
pub(crate) struct Masks {
    /// Details that a policy wrote may quote what is withheld.
    quotes: bool,
    internal: bool,
    subjects: bool,
    clients: bool,
    /// As in the log: what is shown here can be found there.
    aliases: Aliases,
}

impl Masks {
    pub(crate) fn new(withhold: &[Withhold], aliases: Aliases) -> Self {
        let has = |what| withhold.contains(&what);
        Self {
            quotes: has(Withhold::Paths) || has(Withhold::Queries),
            internal: has(Withhold::InternalAddresses),
            subjects: has(Withhold::Subjects),
            clients: has(Withhold::Clients),
            aliases,
        }
    }

    /// Others, under which the same hashes stand for the same.
    pub(super) fn renewed(&self, withhold: &[Withhold]) -> Self {
        Self::new(withhold, self.aliases.clone())
    }

    /// An event as a row. None for what is not shown.
    pub(super) fn row(&self, at: SystemTime, event: &Event) -> Value {
        let (name, mut row) = match event {
            Event::Decided(decided) => ("decision", self.decided(decided)),
            Event::Ended(ended) => ("end", self.ended(ended)),
            Event::Refused(turned) => ("refused", self.refused(turned)),
            Event::Tunnel(notice) => ("tunnel", self.tunnel(notice)),
            Event::Policy(event) => ("policy", policy(event)),
            Event::ShadowDiffers(differs) => ("shadow", self.shadow(differs)),
            Event::Reloaded(reloaded) => ("reload", reload(reloaded)),
            Event::Trouble { what, detail } => {
                ("trouble", fields(json!({"what": what, "detail": detail})))
            }
            Event::Phase(phase) => ("phase", fields(json!({"phase": phase_name(*phase)}))),
        };
        row.insert("event".into(), name.into());
        row.insert("time".into(), time(at).into());
        row.into()
    }

    /// A decision, and whose.
    fn decided(&self, decided: &Decided) -> Map<String, Value> {
        let mut row = self.asked(&decided.asked);
        row.append(&mut self.decision(&decided.decision));
        row
    }

    /// What was decided, flat.
    pub(crate) fn decision(&self, decision: &Decision) -> Map<String, Value> {
        let (verdict, dialed, reused) = match &decision.outcome {
            Outcome::Allow { dialed, reused } => ("allow", *dialed, *reused),
            Outcome::Deny(_) => ("deny", None, false),
            _ => ("failed", None, false),
        };
        let is_shown = |judged: &&JudgedAddress| self.shows(judged);
        let dialed = dialed.filter(|peer| {
            let mut judged = decision.addresses.iter();
            !self.internal || judged.any(|judged| judged.address == peer.ip() && is_shown(&judged))
        });
        let addresses = decision.addresses.iter().filter(is_shown);
        let addresses: Vec<_> = addresses.take(ADDRESSES).map(address).collect();
        let mut row = fields(json!({
            "verdict": verdict,
            "dialed": dialed,
            "reused": reused,
            "addresses": addresses,
            "chain": decision.chain,
            "policy": decision.policy.name,
            "digest": decision.policy.digest,
            "generation": decision.policy.generation,
            "denied_by": decision.denied_by,
            "timings": decision.timings,
        }));
        let quotable = decision.input.as_ref().is_none_or(|input| {
            let target = input.request.target();
            target.path() != "/" || target.query().is_some()
        });
        row.append(&mut self.denial(decision.outcome.denial(), quotable));
        let would = decision.would_deny.as_ref();
        let would = would.map(|denial| self.denial(Some(denial), quotable));
        row.insert("would_deny".into(), would.into());
        row
    }

    /// Who asked for what.
    pub(crate) fn asked(&self, asked: &Asked) -> Map<String, Value> {
        let mut row = self.who(&asked.client, asked.subject.as_ref());
        row.append(&mut fields(json!({
            "request_id": asked.id,
            "kind": asked.kind,
            "authority": asked.authority,
            "method": asked.method,
            "report": asked.report,
        })));
        correlated(&mut row, asked.correlation.as_ref());
        row
    }

    fn who(&self, client: &Client, subject: Option<&Subject>) -> Map<String, Value> {
        fields(json!({
            "listener": client.listener.name,
            "client": self.client(&client.address),
            "subject": subject.map(|subject| self.subject(subject.name())),
            "way": subject.map(Subject::way),
        }))
    }

    fn ended(&self, ended: &Ended) -> Map<String, Value> {
        let mut row = self.asked(&ended.asked);
        row.append(&mut fields(json!({
            "closing": ended.closing,
            "lasted_ms": millis(ended.lasted),
            "silent_ms": millis(ended.silent),
            "up": ended.up,
            "down": ended.down,
        })));
        let kind = ended.asked.kind;
        let quotable = matches!(kind, Exchange::Forward | Exchange::Upgrade);
        row.append(&mut self.denial(ended.denial.as_ref(), quotable));
        row
    }

    fn refused(&self, turned: &Turned) -> Map<String, Value> {
        let mut row = self.who(&turned.client, turned.subject.as_ref());
        row.append(&mut fields(json!({
            "request_id": turned.id,
            "stage": turned.refusal.stage,
            "code": turned.refusal.code,
            "hint": turned.refusal.hint,
            "detail": (!self.quotes).then_some(&turned.detail),
        })));
        correlated(&mut row, turned.correlation.as_ref());
        row
    }

    fn tunnel(&self, notice: &TunnelNotice) -> Map<String, Value> {
        let mut row = self.asked(&notice.asked);
        row.append(&mut fields(json!({
            "code": notice.code,
            "seen": notice.seen,
            "enforced": notice.enforced,
        })));
        row
    }

    fn shadow(&self, differs: &ShadowDiffers) -> Map<String, Value> {
        let mut row = self.asked(&differs.asked);
        // A tunnel has neither path nor query.
        let kind = differs.asked.kind;
        let quotable = matches!(kind, Exchange::Forward | Exchange::Upgrade);
        let ruling = |denial: Option<&Denial>| match denial {
            None => fields(json!({"verdict": "allow"})),
            Some(_) => self.denial(denial, quotable),
        };
        row.insert("active".into(), ruling(differs.active.as_ref()).into());
        row.insert(
            "candidate".into(),
            ruling(differs.candidate.as_ref()).into(),
        );
        row
    }

    /// The name of a subject, or what stands for it.
    pub(super) fn subject(&self, name: &str) -> String {
        match self.subjects {
            true => self.aliases.subject(name),
            false => name.to_owned(),
        }
    }

    fn client(&self, address: &ClientAddress) -> String {
        match self.clients {
            true => self.aliases.client(address),
            false => address.to_string(),
        }
    }

    /// Stage, code, detail, hint. `quotable`: there is a path or a query that the detail may quote.
    fn denial(&self, denial: Option<&Denial>, quotable: bool) -> Map<String, Value> {
        let detail = denial.map(|denial| match self.hides(denial, quotable) {
            true => Redaction::DETAIL,
            false => denial.detail(),
        });
        fields(json!({
            "stage": denial.map(Denial::stage),
            "code": denial.map(Denial::code),
            "detail": detail,
            "hint": denial.and_then(Denial::hint),
        }))
    }

    /// Whether a detail may quote what is withheld: that of a policy a path or a query, that about an address the
    /// address.
    fn hides(&self, denial: &Denial, quotable: bool) -> bool {
        let of_host = denial.reason().is_some_and(|reason| {
            matches!(
                reason.stage(),
                Stage::Connect | Stage::Exchange | Stage::Parse | Stage::Resolve
            )
        });
        let of_address = matches!(
            denial.stage(),
            Stage::Connect | Stage::Resolve | Stage::Address
        );
        (self.quotes && quotable && !of_host) || (self.internal && of_address)
    }

    fn shows(&self, judged: &JudgedAddress) -> bool {
        !self.internal || judged.class == Class::Public
    }
}

/// By which name an Envoy knows the request, where one asked.
fn correlated(row: &mut Map<String, Value>, correlation: Option<&Correlation>) {
    if let Some(id) = correlation {
        row.insert("correlation_id".into(), id.as_str().into());
    }
}

fn address(judged: &JudgedAddress) -> Value {
    json!({
        "address": judged.address,
        "class": judged.class,
        "granted": judged.granted,
        "code": judged.denial.as_ref().map(Denial::code),
    })
}

fn policy(event: &PolicyEvent) -> Map<String, Value> {
    let mut row = match &event.what {
        PolicyChange::Active {
            generation,
            policies,
            back,
        } => json!({
            "change": if *back { "rolled-back" } else { "active" },
            "generation": generation,
            "policies": policies.iter().map(reference).collect::<Vec<_>>(),
        }),
        PolicyChange::Kept { step, error } => {
            json!({"change": "kept", "step": step, "error": error})
        }
        PolicyChange::Aside => {
            json!({"change": "files-not-in-effect", "hint": FILES_BACK})
        }
        PolicyChange::Reviewed {
            generation,
            kept,
            closed,
            took,
        } => json!({
            "change": "reviewed", "generation": generation, "kept": kept, "closed": closed,
            "took_ms": millis(*took),
        }),
        PolicyChange::Shadow { candidate } => {
            json!({"change": "shadow", "candidate": candidate.as_ref().map(reference)})
        }
    };
    row["trigger"] = event.trigger.into();
    fields(row)
}

/// A policy by its name, layer and digests.
pub(crate) fn reference(policy: &PolicyRef) -> Value {
    json!({
        "layer": policy.layer,
        "name": policy.name,
        "digest": policy.digest,
        "settings_digest": policy.settings_digest,
    })
}

fn reload(reloaded: &Reloaded) -> Map<String, Value> {
    fields(json!({"what": reloaded.what, "error": reloaded.error}))
}

fn phase_name(phase: Phase) -> &'static str {
    match phase {
        Phase::Ready => "ready",
        Phase::Draining => "draining",
        Phase::Stopped => "stopped",
    }
}

/// RFC 3339, to the millisecond.
pub(crate) fn time(at: SystemTime) -> String {
    let at = jiff::Timestamp::try_from(at).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    format!("{at:.3}")
}

pub(crate) fn millis(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The fields of an object.
fn fields(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

/// What brings files into effect that an operator's swap or rollback took out of it.
pub(crate) const FILES_BACK: &str = "`pinfold gateway reload` puts the files back";
/// Addresses of one decision that are shown.
const ADDRESSES: usize = 16;
