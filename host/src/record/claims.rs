//! Whether what a line says of a decision follows from its input.

use pinfold_addr::{Domain, Reason, Stage};
use serde::Serialize;
use serde_json::{Value, json};

use super::{Answered, Difference, Entry, Input, Mode, Ruling};
use crate::{Denial, JudgedAddress, PolicyRef, event::origin, policy::is_ours};

impl Entry {
    /// Where the line says of its decision what does not follow from its input: each field with what is written
    /// (`recorded`) and what follows (`now`). None for what a guard wrote, and for a line without input.
    ///
    /// Terms are not compared: hops of one session that ran side by side tighten them for each other.
    pub fn contradictions(&self) -> Vec<Difference> {
        let Some(input) = &self.input else {
            return Vec::new();
        };
        let request = &input.request;
        let aliases: Vec<_> = input.chain.iter().map(Domain::as_str).collect();
        let fields = [
            contradicts("target", &self.target, &origin(&request.target)),
            contradicts("subject", &self.subject, &request.subject),
            contradicts("method", &self.method, &request.method),
            contradicts("hop", &self.hop, &request.hop),
            contradicts("chain", &self.chain, &aliases),
            self.layers_contradict(input),
            self.policy_contradicts(input),
            self.addresses_contradict(input),
            self.report_contradicts(input),
            self.outcome_contradicts(input),
        ];
        fields.into_iter().flatten().collect()
    }

    /// The policies that answered are the first of the chain; all of it, unless one refused.
    fn layers_contradict(&self, input: &Input) -> Option<Difference> {
        let answered: Vec<_> = input
            .answered
            .iter()
            .map(|answered| &answered.policy)
            .collect();
        let stands = match self.layers.len() {
            0 => answered.len() <= 1,
            1 => false,
            all => {
                let in_order = self
                    .layers
                    .iter()
                    .zip(&answered)
                    .all(|(one, other)| one == *other);
                let refused = input.answered.last().is_none_or(Answered::is_refusal);
                in_order && (answered.len() == all || (answered.len() < all && refused))
            }
        };
        (!stands).then(|| difference("layers", json!(self.layers), json!(answered)))
    }

    fn policy_contradicts(&self, input: &Input) -> Option<Difference> {
        let first = || {
            let answered = || Some(&input.answered.first()?.policy);
            self.layers.first().or_else(answered)
        };
        let decider = input.decider(&input.answered).or_else(first);
        // When no policy was asked, the only one there was is known from here alone.
        let decider: Option<&PolicyRef> = decider.or(self.policy.as_ref());
        contradicts("policy", &self.policy, &decider)
    }

    fn addresses_contradict(&self, input: &Input) -> Option<Difference> {
        let written: Vec<_> = self
            .addresses
            .iter()
            .map(|judged| self.readable(judged))
            .collect();
        let judged = judged(input);
        let follow: Vec<_> = judged.iter().map(|judged| self.readable(judged)).collect();
        // A literal is its own answer before it is looked up; given up until then, nothing was said of it.
        match written.is_empty() && self.is_interrupted() && is_lifted(input) {
            true => None,
            false => contradicts("addresses", &written, &follow),
        }
    }

    /// A denial of the policies is told when, and only when, it let the hop pass.
    fn report_contradicts(&self, input: &Input) -> Option<Difference> {
        let (ruling, passed) = (input.ruling(&input.answered), input.passed(&input.answered));
        let told = self.would_deny.as_ref();
        let (stands, follows) = match input.report {
            Mode::Enforce => (told.is_none(), None),
            Mode::Report => (self.is_told(&ruling, &passed), ruling.denial()),
            Mode::ReportNames => {
                let of_target = input.told_of_target();
                (self.is_exactly(of_target), of_target)
            }
        };
        (!stands).then(|| difference("would_deny", json!(told), json!(follows)))
    }

    /// What a session that reports everything tells: the denial, unless that is of the host.
    fn is_told(&self, ruling: &Ruling, passed: &Ruling) -> bool {
        match (&self.would_deny, ruling.denial()) {
            (Some(told), Some(denial)) => self.is_same(told, denial),
            (Some(_), None) => false,
            (None, denial) => denial == passed.denial(),
        }
    }

    fn is_exactly(&self, denial: Option<&Denial>) -> bool {
        match (&self.would_deny, denial) {
            (Some(told), Some(denial)) => self.is_same(told, denial),
            (told, denial) => told.is_none() && denial.is_none(),
        }
    }

    fn outcome_contradicts(&self, input: &Input) -> Option<Difference> {
        let ruling = input.passed(&input.answered);
        let stands = match &ruling {
            _ if self.is_interrupted() => is_interruptible(input, &ruling),
            Ruling::Allow => self.is_allowed() || self.is_later(),
            Ruling::Admit => input.answers.is_empty() && self.is_failed_lookup(),
            Ruling::Deny(denial) => self.tells(denial),
        };
        let written = json!({
            "verdict": self.verdict, "stage": self.stage, "code": self.code, "detail": self.detail,
        });
        (!stands).then(|| difference("verdict", written, json!(ruling)))
    }

    /// Whether this is the denial that the line tells.
    fn tells(&self, denial: &Denial) -> bool {
        let (stage, code) = (self.stage, self.code.as_deref());
        self.verdict == "deny"
            && (stage, code) == (Some(denial.stage()), Some(denial.code()))
            && (self.hides_details() || self.detail.as_deref() == Some(denial.detail()))
    }

    /// Whether both are the same, as far as details are written.
    fn is_same(&self, one: &Denial, other: &Denial) -> bool {
        (one.stage(), one.code()) == (other.stage(), other.code())
            && (self.hides_details() || one.detail() == other.detail())
    }

    /// What ends a hop between the stages, whatever the policies say.
    fn is_interrupted(&self) -> bool {
        match self.reason() {
            Some(Reason::Abandoned) => self.verdict == "failed",
            Some(Reason::ProofForeign | Reason::PolicyBusy) => self.verdict == "deny",
            _ => false,
        }
    }

    /// Nothing was refused, and no reason is told.
    fn is_allowed(&self) -> bool {
        let told = (self.stage.is_some(), &self.code, &self.detail);
        self.verdict == "allow" && told == (false, &None, &None)
    }

    /// What comes after the addresses were judged.
    fn is_later(&self) -> bool {
        let reason = self.reason();
        let is_of_socket = |reason: Reason| {
            reason == Reason::AddressOwn
                || matches!(reason.stage(), Stage::Connect | Stage::Exchange)
        };
        self.is_refused() && reason.is_some_and(is_of_socket)
    }

    /// Whether a resolver may have said so; no policy can.
    fn is_failed_lookup(&self) -> bool {
        let of_host = self.reason().is_some_and(is_ours);
        self.is_refused() && self.stage == Some(Stage::Resolve) && of_host
    }

    fn is_refused(&self) -> bool {
        matches!(self.verdict.as_str(), "deny" | "failed")
    }

    fn reason(&self) -> Option<Reason> {
        Reason::from_code(self.code.as_deref()?)
    }

    /// Details of the line and of its input are withheld apart from each other.
    fn hides_details(&self) -> bool {
        self.redacted.iter().any(|part| part == "detail")
    }

    /// An address as far as both speak of it.
    fn readable(&self, judged: &JudgedAddress) -> Value {
        let mut value = json!(judged);
        let denial = value.get_mut("denial").and_then(Value::as_object_mut);
        if let (true, Some(denial)) = (self.hides_details(), denial) {
            denial.remove("detail");
        }
        value
    }
}

/// Whether a hop with this ruling may end before its time: not one that was refused by what was recorded. A pin that is
/// given up says that it was allowed, or failed to connect.
fn is_interruptible(input: &Input, ruling: &Ruling) -> bool {
    let unasked = !input.was_asked() && input.before_policies().is_ok();
    match ruling {
        Ruling::Deny(_) => unasked || input.depends_on_machine(),
        Ruling::Allow | Ruling::Admit => true,
    }
}

/// Whether a policy denied the target and it was looked up all the same: nobody but the floor speaks of the addresses.
fn is_lifted(input: &Input) -> bool {
    let answered = &input.answered;
    input.report == Mode::Report
        && input.admitted(answered).is_err()
        && input.admitted_by_host(answered).is_ok()
}

/// The addresses as the line lists them: when they were judged, and a literal that the floor refused.
fn judged(input: &Input) -> Vec<JudgedAddress> {
    let refused_by_floor = input.answered.is_empty() && input.floor.iter().any(Option::is_some);
    let denials = match () {
        () if input.admitted_to_policies(&input.answered).is_ok()
            && input.is_judged(&input.answered) =>
        {
            input.judged(&input.answered)
        }
        () if refused_by_floor && crate::guard::obeys(&input.request, input.earlier).is_ok() => {
            input.floor.clone()
        }
        () if is_lifted(input) => input.floor.clone(),
        () => return Vec::new(),
    };
    let judge = |(answer, denial): (&JudgedAddress, Option<Denial>)| JudgedAddress {
        denial,
        ..answer.clone()
    };
    input.answers.iter().zip(denials).map(judge).collect()
}

fn contradicts(
    field: &str,
    written: &impl Serialize,
    follows: &impl Serialize,
) -> Option<Difference> {
    let (written, follows) = (json!(written), json!(follows));
    (written != follows).then(|| difference(field, written, follows))
}

fn difference(field: &str, recorded: Value, now: Value) -> Difference {
    Difference {
        field: field.to_owned(),
        recorded,
        now,
    }
}
