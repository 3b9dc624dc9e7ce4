//! An event as a line.
//!
//! Every line has `time` and `event`; what a request did has `request_id`, and who asked. Fields may be added, none is
//! renamed or removed.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use pinfold::{
    Denial, Outcome,
    record::{Entry, Mark, Written},
};
use serde::Serialize;
use serde_json::{Value, json};

use super::{flood::Total, mask::Mask};
use crate::{
    client::{Client, Correlation, RequestId},
    config::Way,
    event::{Asked, Decided, Ended, Event, Exchange, Phase, PolicyChange, ShadowDiffers, Turned},
    subject::Subject,
    telemetry::trace::TraceParent,
};

/// Events that are not in the log.
pub(super) struct Lost<'a> {
    pub(super) events: u64,
    pub(super) why: &'a str,
    /// Whose refusals they are, when they are refusals.
    pub(super) refused: &'a [Total],
}

impl<'a> Lost<'a> {
    pub(super) fn new(events: u64, why: &'a str) -> Self {
        Self {
            events,
            why,
            refused: &[],
        }
    }
}

/// One line.
#[derive(Serialize)]
struct Line<'a, T> {
    time: String,
    event: &'static str,
    #[serde(flatten)]
    who: Option<Who<'a>>,
    #[serde(flatten)]
    what: T,
}

/// Who asked, and for what.
#[derive(Serialize)]
struct Who<'a> {
    request_id: RequestId,
    listener: &'a str,
    client: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    way: Option<Way>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<Exchange>,
    #[serde(skip_serializing_if = "Option::is_none")]
    authority: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    report: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    correlation_id: Option<&'a Correlation>,
}

#[derive(Serialize)]
struct Judged {
    decision: Written,
}

#[derive(Serialize)]
struct End {
    closing: crate::live::Closing,
    #[serde(skip_serializing_if = "Option::is_none")]
    denial: Option<Value>,
    lasted_ms: u64,
    silent_ms: u64,
    bytes_up: u64,
    bytes_down: u64,
}

/// The line of an event; none when it is too long.
pub(super) fn of(event: &Event, mask: &Mask) -> Option<String> {
    match event {
        Event::Decided(decided) => decision(decided, mask),
        Event::Ended(ended) => end(ended, mask),
        Event::Refused(turned) => refused(turned, mask),
        Event::Tunnel(notice) => {
            let what =
                json!({"code": notice.code, "seen": notice.seen, "enforced": notice.enforced});
            asked(notice.at, "tunnel", &notice.asked, what, mask)
        }
        Event::Policy(event) => plain(event.at, "policy", policy(event.trigger, &event.what), mask),
        Event::ShadowDiffers(differs) => shadow(differs, mask),
        Event::Reloaded(reloaded) => {
            let what = json!({"what": reloaded.what, "error": reloaded.error});
            plain(reloaded.at, "reload", what, mask)
        }
        Event::Trouble { what, detail } => {
            let what = json!({"what": what, "detail": detail});
            plain(SystemTime::now(), "trouble", what, mask)
        }
        Event::Phase(phase) => plain(
            SystemTime::now(),
            "phase",
            json!({"phase": phase_of(*phase)}),
            mask,
        ),
    }
}

/// What is missing, for the place where it is missing.
pub(super) fn lost(lost: &Lost<'_>) -> String {
    let line = Line {
        time: time(SystemTime::now()),
        event: "lost",
        who: None,
        what: lost.described(),
    };
    serde_json::to_string(&line).unwrap_or_default()
}

impl Lost<'_> {
    fn described(&self) -> Value {
        let mut described = json!({"events": self.events, "why": self.why});
        let refused = self.refused.iter().map(
            |Total { of, lost }| json!({"listener": of.listener, "code": of.code, "events": lost}),
        );
        if !self.refused.is_empty() {
            described["refused"] = refused.collect();
        }
        described
    }
}

/// Whether a decision is of the kind that is sampled: allowed, and nothing to tell of it.
pub(super) fn is_plain(decided: &Decided) -> bool {
    let decision = &decided.decision;
    matches!(decision.outcome, Outcome::Allow { .. }) && decision.would_deny.is_none()
}

fn decision(decided: &Decided, mask: &Mask) -> Option<String> {
    let written = |decision| {
        let what = Judged { decision };
        asked(decided.at, "decision", &decided.asked, what, mask)
    };
    let whole = mask.decision(&decided.decision);
    written(whole).or_else(|| {
        let short = mask.decision(&decided.decision);
        written(short.without_input(Some(Mark::TooLarge)))
    })
}

fn end(ended: &Ended, mask: &Mask) -> Option<String> {
    let what = End {
        closing: ended.closing,
        denial: ended.denial.as_ref().map(|denial| denied(denial, mask)),
        lasted_ms: millis(ended.lasted),
        silent_ms: millis(ended.silent),
        bytes_up: ended.up,
        bytes_down: ended.down,
    };
    asked(ended.at, "end", &ended.asked, what, mask)
}

fn refused(turned: &Turned, mask: &Mask) -> Option<String> {
    let refusal = &turned.refusal;
    let who = Who {
        correlation_id: turned.correlation.as_ref(),
        ..who(turned.id, &turned.client, turned.subject.as_ref(), mask)
    };
    let mut what = json!({
        "kind": refusal.kind, "stage": refusal.stage, "code": refusal.code,
        "detail": mask.quoting(&turned.detail),
        "retry_after_ms": refusal.retry_after.map(millis),
    });
    if let (Value::Object(fields), Some(raise)) = (&mut what, refusal.raise()) {
        fields.insert("hint".into(), raise.into());
    }
    let subject = turned.subject.as_ref().map(Subject::name);
    let line = Line {
        time: time(turned.at),
        event: "refused",
        who: Some(who),
        what,
    };
    finished(&line, subject, mask)
}

fn shadow(differs: &ShadowDiffers, mask: &Mask) -> Option<String> {
    let says = |denial: &Option<Denial>| match denial {
        None => json!("allow"),
        Some(denial) => denied(denial, mask),
    };
    let what = json!({"active": says(&differs.active), "candidate": says(&differs.candidate)});
    asked(differs.at, "shadow", &differs.asked, what, mask)
}

fn policy(trigger: &str, what: &PolicyChange) -> Value {
    let mut line = match what {
        PolicyChange::Active {
            generation,
            policies,
            back,
        } => {
            json!({"change": "active", "generation": generation, "policies": policies, "back": back})
        }
        PolicyChange::Kept { step, error } => {
            json!({"change": "kept", "step": step, "error": error})
        }
        PolicyChange::Aside => json!({"change": "files-not-in-effect"}),
        PolicyChange::Reviewed {
            generation,
            kept,
            closed,
            took,
        } => json!({
            "change": "reviewed", "generation": generation, "kept": kept, "closed": closed,
            "took_ms": millis(*took),
        }),
        PolicyChange::Shadow { candidate } => json!({"change": "shadow", "candidate": candidate}),
    };
    if let Value::Object(fields) = &mut line {
        fields.insert("trigger".into(), trigger.into());
    }
    line
}

/// A detail that nobody held against what is withheld is left out.
fn denied(denial: &Denial, mask: &Mask) -> Value {
    let mut line = json!({"stage": denial.stage(), "code": denial.code()});
    if mask.takes_details()
        && let Value::Object(fields) = &mut line
    {
        fields.insert("detail".into(), denial.detail().into());
    }
    line
}

fn asked<T: Serialize>(
    at: SystemTime,
    event: &'static str,
    asked: &Asked,
    what: T,
    mask: &Mask,
) -> Option<String> {
    let who = Who {
        kind: Some(asked.kind),
        authority: Some(&asked.authority),
        method: asked.method.as_deref(),
        report: asked.report,
        trace_id: trace_id(asked),
        correlation_id: asked.correlation.as_ref(),
        ..who(asked.id, &asked.client, asked.subject.as_ref(), mask)
    };
    let line = Line {
        time: time(at),
        event,
        who: Some(who),
        what,
    };
    finished(&line, asked.subject.as_ref().map(Subject::name), mask)
}

fn plain(at: SystemTime, event: &'static str, what: Value, mask: &Mask) -> Option<String> {
    let line = Line {
        time: time(at),
        event,
        who: None,
        what,
    };
    finished(&line, None, mask)
}

fn who<'a>(id: RequestId, client: &'a Client, subject: Option<&Subject>, mask: &Mask) -> Who<'a> {
    Who {
        request_id: id,
        listener: &client.listener.name,
        client: mask.client(&client.address),
        subject: subject.map(|subject| mask.subject(subject.name())),
        way: subject.map(Subject::way),
        kind: None,
        authority: None,
        method: None,
        report: false,
        trace_id: None,
        correlation_id: None,
    }
}

/// As text; none when it is longer than readers take.
fn finished<T: Serialize>(line: &T, subject: Option<&str>, mask: &Mask) -> Option<String> {
    let text = match mask.is_whole_needed() {
        false => serde_json::to_string(line),
        true => serde_json::to_value(line).and_then(|mut value| {
            mask.whole(&mut value, subject);
            serde_json::to_string(&value)
        }),
    };
    let text = inert(text.ok()?);
    (text.len() < Entry::MAX_LEN).then_some(text)
}

/// JSON in which what a terminal would obey is escaped: people look at logs, and JSON itself asks for that up to
/// U+001F only.
fn inert(json: String) -> String {
    if !json.chars().any(is_harmful) {
        return json;
    }
    let mut escaped = String::with_capacity(json.len() + 16);
    for character in json.chars() {
        match is_harmful(character) {
            true => escaped.push_str(&format!("\\u{:04x}", u32::from(character))),
            false => escaped.push(character),
        }
    }
    escaped
}

/// Controls, and the marks that turn the direction of the text around them.
pub(super) fn is_harmful(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn trace_id(asked: &Asked) -> Option<String> {
    let parent = TraceParent::parse(asked.traceparent.as_deref()?)?;
    Some(parent.trace_id().to_string())
}

/// RFC 3339 with microseconds, in UTC.
fn time(at: SystemTime) -> String {
    let at = Timestamp::try_from(at).unwrap_or(Timestamp::UNIX_EPOCH);
    format!("{at:.6}")
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn phase_of(phase: Phase) -> &'static str {
    match phase {
        Phase::Ready => "ready",
        Phase::Draining => "draining",
        Phase::Stopped => "stopped",
    }
}
