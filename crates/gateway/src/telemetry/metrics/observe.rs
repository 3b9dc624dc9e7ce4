//! What an event changes.

use std::{
    borrow::Cow,
    net::IpAddr,
    sync::{PoisonError, atomic::Ordering},
    time::Duration,
};

use pinfold::{Decision, Denial, Outcome};
use pinfold_addr::Stage;

use super::{
    Metrics,
    bounded::{Label, printable},
    process::seconds,
};
use crate::{
    client::Client,
    event::{
        Decided, Ended, Event, Exchange, Phase, PolicyChange, PolicyEvent, Reloaded, ShadowDiffers,
        TunnelNotice, Turned,
    },
    live::Closing,
    refusal::Kind,
};

impl Metrics {
    pub(super) fn observe(&self, event: &Event) {
        match event {
            Event::Decided(decided) => self.decided(decided),
            Event::Ended(ended) => self.ended(ended),
            Event::Refused(turned) => self.refused(turned),
            Event::Tunnel(notice) => self.notice(notice),
            Event::Policy(change) => self.policy(change),
            Event::ShadowDiffers(differs) => self.differs(differs),
            Event::Reloaded(reloaded) => self.reloaded(reloaded),
            Event::Trouble { what, .. } => {
                let labels = [("what", Label::Borrowed(what))];
                self.families.troubles.get_or_create(&labels).inc();
            }
            Event::Phase(phase) => {
                let ready = i64::from(*phase == Phase::Ready);
                self.families.ready.set(ready);
            }
        }
    }

    fn decided(&self, decided: &Decided) {
        let (asked, decision) = (&decided.asked, &*decided.decision);
        let verdict = verdict(&decision.outcome);
        let denial = decision.outcome.denial().or(decision.would_deny.as_ref());
        let (stage, code) = self.why(denial);
        self.families
            .decisions
            .get_or_create(&[
                ("verdict", verdict.into()),
                ("stage", stage),
                ("code", code),
                ("report", truth(asked.report)),
                ("listener", listener(&asked.client)),
            ])
            .inc();
        let subject = asked.subject.as_ref().map_or("", |subject| subject.name());
        self.families
            .subject_decisions
            .get_or_create(&[
                ("subject", self.subjects.label(subject)),
                ("verdict", verdict.into()),
            ])
            .inc();
        // A request that is judged again is the same request.
        if decided.before == 0 {
            self.families
                .requests
                .get_or_create(&[
                    ("listener", listener(&asked.client)),
                    ("kind", kind(asked.kind)),
                ])
                .inc();
        }
        self.families
            .decision
            .get_or_create(&[("verdict", verdict.into())])
            .observe(asked.began.elapsed().as_secs_f64());
        if let Outcome::Allow { reused: true, .. } = decision.outcome {
            self.families.reused.inc();
        }
        self.timings(decision);
        self.lookup(decision, denial);
        if let Some(denial) = denial.filter(|denial| denial.stage() == Stage::Policy) {
            let labels = [("code", self.codes.code(denial.code()))];
            self.families.faults.get_or_create(&labels).inc();
        }
    }

    fn timings(&self, decision: &Decision) {
        let timings = &decision.timings;
        for (stage, time) in [
            ("target", timings.target),
            ("resolve", timings.resolve),
            ("addresses", timings.addresses),
            ("connect", timings.connect),
        ] {
            if time > Duration::ZERO {
                self.families
                    .stage
                    .get_or_create(&[("stage", stage.into())])
                    .observe(time.as_secs_f64());
            }
        }
    }

    /// A literal is its own answer, which nobody looked up.
    fn lookup(&self, decision: &Decision, denial: Option<&Denial>) {
        let time = decision.timings.resolve;
        if time == Duration::ZERO || is_literal(&decision.target) {
            return;
        }
        let failed = denial.filter(|_| matches!(decision.outcome, Outcome::Failed(_)));
        let failed = failed.filter(|denial| denial.stage() == Stage::Resolve);
        let outcome = failed.map_or("answered".into(), |denial| self.codes.code(denial.code()));
        self.families
            .lookups
            .get_or_create(&[("outcome", outcome)])
            .inc();
        self.families.lookup.observe(time.as_secs_f64());
    }

    fn ended(&self, ended: &Ended) {
        let (asked, closing) = (&ended.asked, closing(ended.closing));
        let mut bytes = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        for (direction, moved) in [("up", ended.up), ("down", ended.down)] {
            let labels = [direction.into(), listener(&asked.client)];
            *bytes.entry(labels).or_default() += moved;
        }
        drop(bytes);
        let labels = [("kind", kind(asked.kind)), ("closing", closing)];
        self.families.ends.get_or_create(&labels).inc();
        self.families
            .open_time
            .get_or_create(&[("kind", kind(asked.kind))])
            .observe(ended.lasted.as_secs_f64());
    }

    /// What has ended, and what is open. Between the two a connection may be seen as neither: a counter never goes
    /// down, and waits until the sum has come up to it again.
    pub(super) fn stand_bytes(&self, moving: &[(String, u64, u64)]) {
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let mut sums = ended.clone();
        drop(ended);
        for (listener, up, down) in moving {
            for (direction, moved) in [("up", up), ("down", down)] {
                let labels = [direction.into(), Label::Owned(printable(listener))];
                *sums.entry(labels).or_default() += moved;
            }
        }
        for ([direction, listener], sum) in sums {
            let labels = [("direction", direction), ("listener", listener)];
            let bytes = self.families.bytes.get_or_create(&labels);
            bytes.inner().fetch_max(sum, Ordering::Relaxed);
        }
    }

    fn refused(&self, turned: &Turned) {
        // Codes of the gateway are finite, and always have their own; those of policies are owned.
        let code = match &turned.refusal.code {
            Cow::Borrowed(code) => Label::Borrowed(code),
            Cow::Owned(code) => self.codes.code(code),
        };
        self.families
            .refused
            .get_or_create(&[
                ("listener", listener(&turned.client)),
                ("stage", turned.refusal.stage.into()),
                ("code", code.clone()),
            ])
            .inc();
        if turned.refusal.kind == Kind::Unauthenticated || turned.refusal.stage == "identity" {
            let labels = [("listener", listener(&turned.client)), ("code", code)];
            self.families.auth_failures.get_or_create(&labels).inc();
        }
    }

    fn notice(&self, notice: &TunnelNotice) {
        let labels = [
            ("code", notice.code.into()),
            ("enforced", truth(notice.enforced)),
        ];
        self.families.notices.get_or_create(&labels).inc();
    }

    fn policy(&self, event: &PolicyEvent) {
        let (outcome, step) = match &event.what {
            PolicyChange::Active {
                generation,
                policies,
                back,
            } => {
                self.families.active(*generation, policies);
                self.families.last_success.set(seconds(event.at));
                (if *back { "back" } else { "active" }, "")
            }
            PolicyChange::Kept { step, .. } => {
                self.families.last_failure.set(seconds(event.at));
                ("kept", *step)
            }
            PolicyChange::Aside => ("aside", ""),
            PolicyChange::Reviewed {
                kept, closed, took, ..
            } => return self.reviewed(*kept, *closed, *took),
            // Whether one watches is looked at when somebody asks.
            PolicyChange::Shadow { .. } => return,
        };
        self.families
            .changes
            .get_or_create(&[
                ("outcome", outcome.into()),
                ("trigger", event.trigger.into()),
                ("step", step.into()),
            ])
            .inc();
    }

    fn reviewed(&self, kept: usize, closed: usize, took: Duration) {
        self.families.review.observe(took.as_secs_f64());
        for (outcome, n) in [("kept", kept), ("closed", closed)] {
            self.families
                .reviewed
                .get_or_create(&[("outcome", outcome.into())])
                .inc_by(n as u64);
        }
    }

    fn differs(&self, differs: &ShadowDiffers) {
        let says = |denial: &Option<Denial>| match denial {
            Some(_) => Label::Borrowed("deny"),
            None => Label::Borrowed("allow"),
        };
        let labels = [
            ("active", says(&differs.active)),
            ("candidate", says(&differs.candidate)),
        ];
        self.families
            .shadow_differences
            .get_or_create(&labels)
            .inc();
    }

    fn reloaded(&self, reloaded: &Reloaded) {
        let outcome = if reloaded.error.is_some() {
            "kept"
        } else {
            "done"
        };
        let labels = [("what", reloaded.what.into()), ("outcome", outcome.into())];
        self.families.reloads.get_or_create(&labels).inc();
        let labels = [("what", reloaded.what.into())];
        let kept = self.families.reload_kept.get_or_create(&labels);
        kept.set(reloaded.error.is_some().into());
    }

    fn why(&self, denial: Option<&Denial>) -> (Label, Label) {
        denial.map_or((Label::Borrowed(""), Label::Borrowed("")), |denial| {
            let stage = denial.stage().as_str();
            (stage.into(), self.codes.code(denial.code()))
        })
    }
}

fn verdict(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Allow { .. } => "allow",
        Outcome::Deny(_) => "deny",
        // A kind that this build does not know is no connection.
        _ => "failed",
    }
}

fn kind(kind: Exchange) -> Label {
    Label::Borrowed(match kind {
        Exchange::Connect => "connect",
        Exchange::Forward => "forward",
        Exchange::Upgrade => "upgrade",
        Exchange::Socks => "socks",
        Exchange::Sni => "sni",
    })
}

fn listener(client: &Client) -> Label {
    // As many as the configuration has.
    Label::Owned(printable(&client.listener.name))
}

fn truth(is: bool) -> Label {
    Label::Borrowed(if is { "true" } else { "false" })
}

fn closing(closing: Closing) -> Label {
    Label::Borrowed(match closing {
        Closing::Finished => "finished",
        Closing::Client => "client",
        Closing::Server => "server",
        Closing::Idle => "idle",
        Closing::Lifetime => "lifetime",
        Closing::Revoked => "revoked",
        Closing::Mismatch => "mismatch",
        Closing::Operator => "operator",
        Closing::Drained => "drained",
    })
}

/// Whether `scheme://host:port` holds an address and no name.
fn is_literal(target: &str) -> bool {
    let authority = target.split_once("://").map_or(target, |(_, rest)| rest);
    let host = authority
        .rsplit_once(':')
        .map_or(authority, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.parse::<IpAddr>().is_ok()
}
