//! The last of what happened, for people: bounded lists, counts, and whoever watches.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use arc_swap::ArcSwap;
use pinfold::{Decision, Outcome};
use serde_json::{Value, json};

use super::{
    row::{self, Masks},
    stream::{Reader, Readers},
};
use crate::{
    config::Withhold,
    event::{Event, PolicyChange, Sink},
    telemetry::Aliases,
};

/// Takes all events, and keeps the last of each kind.
pub(crate) struct Recent {
    masks: ArcSwap<Masks>,
    state: Mutex<State>,
}

/// An event and its place among all.
#[derive(Clone)]
struct Entry {
    number: u64,
    at: SystemTime,
    event: Event,
}

struct State {
    number: u64,
    since: SystemTime,
    decisions: Ring<Entry>,
    denials: Ring<Entry>,
    changes: Ring<Entry>,
    /// Apart: who makes trouble is not to push out what operators changed.
    troubles: Ring<Entry>,
    /// Why something could not be read again, of each that could not since it last could.
    reloads: BTreeMap<&'static str, (SystemTime, String)>,
    timings: Ring<[u64; 4]>,
    counts: Counts,
    reasons: BTreeMap<(&'static str, String), u64>,
    readers: Readers,
}

/// How many requests came to what, since the start.
#[derive(Clone, Copy, Debug, Default, serde::Serialize)]
struct Counts {
    allowed: u64,
    denied: u64,
    failed: u64,
    refused: u64,
    would_deny: u64,
}

impl Recent {
    /// Lists that are empty; what is withheld from the log is withheld here.
    pub(crate) fn new(withhold: &[Withhold], aliases: Aliases) -> Arc<Self> {
        Arc::new(Self {
            masks: ArcSwap::from_pointee(Masks::new(withhold, aliases)),
            state: Mutex::new(State {
                number: 0,
                since: SystemTime::now(),
                decisions: Ring::new(DECISIONS),
                denials: Ring::new(DENIALS),
                changes: Ring::new(CHANGES),
                troubles: Ring::new(TROUBLES),
                reloads: BTreeMap::new(),
                timings: Ring::new(TIMINGS),
                counts: Counts::default(),
                reasons: BTreeMap::new(),
                readers: Readers::default(),
            }),
        })
    }

    /// What stands for what in all that is shown.
    pub(super) fn masks(&self) -> Arc<Masks> {
        self.masks.load_full()
    }

    /// Withholds other things from now on.
    pub(super) fn reload(&self, withhold: &[Withhold]) {
        self.masks.store(self.masks().renewed(withhold).into());
    }

    /// The last denials and refusals, newest first, and how often each reason came.
    pub(super) fn denials(&self, most: usize) -> Value {
        let state = self.state();
        let entries: Vec<_> = state.denials.newest(most);
        let (since, counts) = (row::time(state.since), state.counts);
        let reasons = by_reason(&state.reasons);
        drop(state);
        json!({
            "since": since, "counts": counts, "by_reason": reasons, "denials": self.rows(&entries),
        })
    }

    /// The last decisions, newest first.
    pub(super) fn decisions(&self, most: usize) -> Value {
        let entries = self.state().decisions.newest(most);
        json!({"decisions": self.rows(&entries)})
    }

    /// The last changes of policies, files and phase, and the last troubles, newest first.
    pub(super) fn changes(&self) -> Value {
        let state = self.state();
        let mut entries = state.changes.newest(CHANGES);
        entries.extend(state.troubles.newest(TROUBLES));
        drop(state);
        entries.sort_unstable_by_key(|entry| std::cmp::Reverse(entry.number));
        self.rows(&entries)
    }

    /// What the last reload did not do, by what it was about.
    pub(super) fn reload_errors(&self) -> Value {
        let reloads = self.state().reloads.clone();
        let rows = reloads.into_iter().map(|(what, (at, error))| {
            let told = json!({"time": row::time(at), "error": error});
            (what.to_owned(), told)
        });
        Value::Object(rows.collect())
    }

    /// Counts since the start, and how long the last decisions took.
    pub(crate) fn summary(&self) -> Value {
        let state = self.state();
        let (since, counts) = (row::time(state.since), state.counts);
        let readers = state.readers.len();
        let timings = state.timings.newest(TIMINGS);
        drop(state);
        json!({
            "since": since, "counts": counts, "latency": latency(&timings), "streams": readers,
        })
    }

    /// Watches from now on, after what came since `last`; none when too many do.
    pub(super) fn watch(self: &Arc<Self>, last: Option<u64>) -> Option<Reader> {
        let mut state = self.state();
        let decisions = state.decisions.newest(REPLAYED);
        let denials = state.denials.newest(REPLAYED);
        let changes = state.changes.newest(REPLAYED);
        let troubles = state.troubles.newest(REPLAYED);
        let mut missed: Vec<_> = [decisions, denials, changes, troubles].concat();
        missed.sort_unstable_by_key(|entry| entry.number);
        missed.dedup_by_key(|entry| entry.number);
        missed.retain(|entry| entry.number > last.unwrap_or(0));
        let missed: Vec<_> = missed
            .iter()
            .rev()
            .take(REPLAYED)
            .rev()
            .map(|entry| (entry.number, self.shown(entry)))
            .collect();
        let number = state.readers.enter(&missed)?;
        let (id, receiver) = number;
        drop(state);
        Some(Reader::new(Arc::clone(self), id, receiver))
    }

    /// Ends all streams, and begins no others.
    pub(super) fn end(&self) {
        self.state().readers.end();
    }

    /// Forgets a watcher.
    pub(super) fn leave(&self, id: u64) {
        self.state().readers.leave(id);
    }

    fn rows(&self, entries: &[Entry]) -> Value {
        entries.iter().map(|entry| self.shown(entry)).collect()
    }

    fn shown(&self, entry: &Entry) -> Value {
        let mut row = self.masks.load().row(entry.at, &entry.event);
        row["seq"] = entry.number.into();
        row
    }

    /// Nothing panics under the lock; and if something did, a list of the past is no reason to stop.
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink for Recent {
    fn take(&self, event: &Event) {
        let mut state = self.state();
        state.number += 1;
        let entry = Entry {
            number: state.number,
            at: SystemTime::now(),
            event: event.clone(),
        };
        state.count(event);
        if state.readers.want(is_plain(event)) {
            let row = self.shown(&entry);
            state.readers.send(entry.number, &row);
        }
        state.keep(entry);
    }
}

impl State {
    fn count(&mut self, event: &Event) {
        match event {
            Event::Decided(decided) => {
                let decision = &decided.decision;
                self.timings.push(micros(decision));
                self.outcome(decision);
            }
            Event::Refused(turned) => {
                self.counts.refused += 1;
                let refusal = &turned.refusal;
                self.reason(refusal.stage, &refusal.code);
            }
            Event::Reloaded(reloaded) => match &reloaded.error {
                Some(error) => {
                    let told = (reloaded.at, error.clone());
                    self.reloads.insert(reloaded.what, told);
                }
                None => drop(self.reloads.remove(reloaded.what)),
            },
            _ => {}
        }
    }

    fn outcome(&mut self, decision: &Decision) {
        match &decision.outcome {
            Outcome::Allow { .. } => self.counts.allowed += 1,
            Outcome::Deny(denial) => {
                self.counts.denied += 1;
                self.reason(denial.stage().as_str(), denial.code());
            }
            _ => self.counts.failed += 1,
        }
        if decision.would_deny.is_some() {
            self.counts.would_deny += 1;
        }
    }

    /// A policy may invent codes: beyond so many they are one.
    fn reason(&mut self, stage: &'static str, code: &str) {
        if let Some(count) = self.reasons.get_mut(&(stage, code.to_owned())) {
            *count += 1;
            return;
        }
        let code = if self.reasons.len() < REASONS {
            code
        } else {
            "other"
        };
        *self.reasons.entry((stage, code.to_owned())).or_default() += 1;
    }

    fn keep(&mut self, entry: Entry) {
        match &entry.event {
            Event::Decided(decided) => {
                let denied = matches!(decided.decision.outcome, Outcome::Deny(_));
                if denied || decided.decision.would_deny.is_some() {
                    self.denials.push(entry.clone());
                }
                self.decisions.push(entry);
            }
            Event::Refused(_) => self.denials.push(entry),
            Event::Policy(_) | Event::Reloaded(_) | Event::Phase(_) => self.changes.push(entry),
            Event::Trouble { .. } => self.troubles.push(entry),
            Event::Ended(_) | Event::Tunnel(_) | Event::ShadowDiffers(_) => {}
        }
    }
}

/// What comes with every request that is in order: of those a watcher sees some, when there are many.
fn is_plain(event: &Event) -> bool {
    match event {
        Event::Decided(decided) => decided.decision.outcome.denial().is_none(),
        Event::Ended(_) => true,
        Event::Policy(event) => matches!(event.what, PolicyChange::Reviewed { .. }),
        _ => false,
    }
}

fn micros(decision: &Decision) -> [u64; 4] {
    let timings = &decision.timings;
    [
        timings.target,
        timings.resolve,
        timings.addresses,
        timings.connect,
    ]
    .map(|time| u64::try_from(time.as_micros()).unwrap_or(u64::MAX))
}

/// Quantiles of each step, in microseconds, over the last decisions that reached it.
fn latency(timings: &[[u64; 4]]) -> Value {
    let steps = ["target", "resolve", "addresses", "connect"];
    let steps = steps.iter().enumerate().map(|(step, name)| {
        let reached = timings.iter().filter_map(|timing| timing.get(step));
        let mut reached: Vec<_> = reached.copied().filter(|time| *time > 0).collect();
        reached.sort_unstable();
        let at = |hundredths: usize| {
            let rank = (reached.len() * hundredths).div_ceil(100).saturating_sub(1);
            reached.get(rank).copied()
        };
        let quantiles = json!({
            "count": reached.len(), "p50_us": at(50), "p90_us": at(90), "p99_us": at(99), "max_us": at(100),
        });
        ((*name).to_owned(), quantiles)
    });
    Value::Object(steps.collect())
}

fn by_reason(reasons: &BTreeMap<(&'static str, String), u64>) -> Value {
    let mut reasons: Vec<_> = reasons.iter().collect();
    reasons.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let rows = reasons.into_iter();
    rows.map(|((stage, code), count)| json!({"stage": stage, "code": code, "count": count}))
        .collect()
}

/// A list that forgets its oldest.
struct Ring<T> {
    items: VecDeque<T>,
    most: usize,
}

impl<T: Clone> Ring<T> {
    fn new(most: usize) -> Self {
        Self {
            items: VecDeque::new(),
            most,
        }
    }

    fn push(&mut self, item: T) {
        if self.items.len() == self.most {
            self.items.pop_front();
        }
        self.items.push_back(item);
    }

    fn newest(&self, most: usize) -> Vec<T> {
        self.items.iter().rev().take(most).cloned().collect()
    }
}

/// Decisions that are kept.
pub(super) const DECISIONS: usize = 256;
/// Denials and refusals that are kept.
pub(super) const DENIALS: usize = 512;
/// Changes that are kept.
const CHANGES: usize = 128;
/// Troubles that are kept.
const TROUBLES: usize = 32;
/// Decisions whose times are kept.
const TIMINGS: usize = 1_024;
/// Reasons that are counted apart.
const REASONS: usize = 200;
/// What a new watcher sees of the past.
const REPLAYED: usize = 100;
