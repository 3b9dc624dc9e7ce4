//! What each subject has open and how fast it asks, in a bounded table.
//!
//! A subject is remembered while something of it is open, or while its rate is not whole again. When more subjects
//! than the table holds are busy at the same time, the further ones share one entry: whoever makes names up gets no
//! memory by it, and no more than one subject's share. Subjects that the configuration names always have their own.

use std::{collections::HashMap, sync::Arc, time::Duration};

use super::{over, rate::Rate};
use crate::{
    config::{self, SubjectLimits},
    refusal::Refusal,
    subject::Subject,
};

/// All subjects that have something open, or asked lately.
#[derive(Debug)]
pub(super) struct Subjects {
    default: SubjectLimits,
    named: HashMap<Arc<str>, SubjectLimits>,
    /// How many tunnels are open at most where nothing else is said.
    share: usize,
    known: HashMap<Arc<str>, Entry>,
    /// Requests without a subject.
    nobody: Entry,
    /// Subjects that found no place in the table.
    rest: Entry,
    /// The table is looked through for who can be forgotten when it has grown to this.
    sweep_at: usize,
    swept: Option<Duration>,
}

/// Where a request is counted.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Slot {
    Nobody,
    Named(Arc<str>),
    Rest,
}

#[derive(Debug, Default)]
struct Entry {
    open: usize,
    rate: Option<Rate>,
    /// The rate may be short of its burst until then.
    busy_until: Duration,
}

impl Subjects {
    pub(super) fn new(limits: &config::Limits) -> Self {
        let mut subjects = Self {
            default: SubjectLimits::default(),
            named: HashMap::new(),
            share: 0,
            known: HashMap::new(),
            nobody: Entry::default(),
            rest: Entry::default(),
            sweep_at: SWEEP,
            swept: None,
        };
        subjects.reconfigure(limits);
        subjects
    }

    /// Takes other bounds. Limiters are made anew when their subject asks next, and only where they differ.
    pub(super) fn reconfigure(&mut self, limits: &config::Limits) {
        self.default = limits.subject.clone();
        self.share = limits.tunnels.div_ceil(SHARES);
        self.named = limits
            .subjects
            .iter()
            .map(|(name, limits)| (name.shared(), limits.clone()))
            .collect();
    }

    /// Whether the subject may ask for one more. It takes a request of the rate, and no place yet.
    pub(super) fn admit(
        &mut self,
        subject: Option<&Subject>,
        now: Duration,
    ) -> Result<Slot, Refusal> {
        let slot = self.slot(subject, now);
        let mut bounds = self.bounds(&slot).clone();
        bounds.tunnels = bounds.tunnels.or(self.share_of(&slot));
        if let Some(entry) = self.entry(&slot) {
            entry.admit(&bounds, now)?;
        }
        Ok(slot)
    }

    /// Counts what was admitted.
    pub(super) fn enter(&mut self, slot: &Slot) {
        if let Some(entry) = self.entry(slot) {
            entry.open += 1;
        }
    }

    pub(super) fn leave(&mut self, slot: &Slot) {
        let Some(entry) = self.entry(slot) else {
            return;
        };
        entry.open = entry.open.saturating_sub(1);
        // The usual case, no rate: nothing is left to remember.
        if let Slot::Named(name) = slot
            && entry.open == 0
            && entry.rate.is_none()
        {
            self.known.remove(name);
        }
    }

    /// Where the subject is counted; makes its entry.
    fn slot(&mut self, subject: Option<&Subject>, now: Duration) -> Slot {
        let Some(subject) = subject else {
            return Slot::Nobody;
        };
        if let Some((name, _)) = self.known.get_key_value(subject.name()) {
            return Slot::Named(Arc::clone(name));
        }
        let named = self.named.get_key_value(subject.name());
        let named = named.map(|(name, _)| Arc::clone(name));
        self.sweep(now);
        if named.is_none() && self.known.len() >= KNOWN {
            return Slot::Rest;
        }
        let name = named.unwrap_or_else(|| Arc::from(subject.name()));
        self.known.insert(Arc::clone(&name), Entry::default());
        Slot::Named(name)
    }

    fn bounds(&self, slot: &Slot) -> &SubjectLimits {
        match slot {
            Slot::Named(name) => self.named.get(name).unwrap_or(&self.default),
            Slot::Nobody | Slot::Rest => &self.default,
        }
    }

    /// Those whom nobody knows are everybody, and bounded by the whole; so are those of whom there are too many.
    fn share_of(&self, slot: &Slot) -> Option<usize> {
        match slot {
            Slot::Named(_) => Some(self.share),
            Slot::Nobody | Slot::Rest => None,
        }
    }

    fn entry(&mut self, slot: &Slot) -> Option<&mut Entry> {
        match slot {
            Slot::Nobody => Some(&mut self.nobody),
            Slot::Rest => Some(&mut self.rest),
            Slot::Named(name) => self.known.get_mut(name),
        }
    }

    /// Forgets who is idle, when the table has doubled since it was done last, or is full. At most once in
    /// [`PAUSE`]: a flood of new names does not make every request look through the table.
    fn sweep(&mut self, now: Duration) {
        let lately = self.swept.is_some_and(|at| now < at.saturating_add(PAUSE));
        if lately || self.known.len() < self.sweep_at {
            return;
        }
        self.known.retain(|_, entry| !entry.is_idle(now));
        self.swept = Some(now);
        self.sweep_at = (self.known.len() * 2).clamp(SWEEP, KNOWN);
        if self.known.capacity() > self.sweep_at * 2 {
            self.known.shrink_to(self.sweep_at);
        }
    }

    /// The subjects with most open, and how many of them are remembered.
    pub(super) fn busiest(&self, most: usize) -> Vec<(String, usize)> {
        let mut all: Vec<_> = self.known.iter().map(|(n, e)| (&**n, e.open)).collect();
        all.retain(|(_, open)| *open > 0);
        all.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(b.0)));
        all.truncate(most);
        all.into_iter()
            .map(|(name, open)| (name.to_owned(), open))
            .collect()
    }

    pub(super) fn known(&self) -> usize {
        self.known.len()
    }

    /// What requests without a subject have open.
    pub(super) fn of_nobody(&self) -> usize {
        self.nobody.open
    }

    /// What subjects without a place of their own have open.
    pub(super) fn of_rest(&self) -> usize {
        self.rest.open
    }
}

impl Entry {
    fn admit(&mut self, bounds: &SubjectLimits, now: Duration) -> Result<(), Refusal> {
        let most = bounds.tunnels.filter(|most| *most > 0);
        if most.is_some_and(|most| self.open >= most) {
            return Err(over("limit-subject-tunnels", HINT_TUNNELS, super::PAUSE));
        }
        if !Rate::is_same(self.rate.as_ref(), bounds.rate, bounds.burst) {
            self.rate = Rate::new(bounds.rate, bounds.burst);
        }
        let Some(rate) = &self.rate else {
            return Ok(());
        };
        self.busy_until = now.saturating_add(rate.memory());
        rate.take(now)
            .map_err(|wait| over("limit-subject-rate", HINT_RATE, wait))
    }

    fn is_idle(&self, now: Duration) -> bool {
        self.open == 0 && self.busy_until <= now
    }
}

/// One subject gets one of so many shares of all tunnels, unless the configuration says otherwise.
const SHARES: usize = 4;
/// Subjects that are remembered at the same time.
pub(super) const KNOWN: usize = 10_000;
/// A table smaller than this is not looked through.
const SWEEP: usize = 256;
/// Between two looks.
const PAUSE: Duration = Duration::from_secs(1);

const HINT_TUNNELS: &str =
    "you have as many tunnels open as you may: close some; an operator can raise that";
const HINT_RATE: &str = "you ask more often than you may: slow down; an operator can raise that";
