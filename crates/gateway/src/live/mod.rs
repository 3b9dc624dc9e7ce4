//! What is open: tunnels and exchanges, from the decision to the end. Judged again after a swap.
//!
//! One lock for all of it: it is held for a lookup in a tree when something opens or ends, and while the list is
//! copied for an operator or a review. Bytes and times of an entry are counted without it.

mod closing;
mod entry;
pub(crate) mod review;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use pinfold::{Decision, Held, record::Mode};
use tokio::{sync::Notify, time::Instant};

pub(crate) use closing::Closing;
use entry::Entry;

use crate::{
    config::Report,
    event::{Asked, Bus, Ended, Event, Exchange},
};

/// Everything that is open. Bounded by the admission of requests: each entry belongs to one that holds a permit.
#[derive(Debug)]
pub(crate) struct Registry {
    bus: Bus,
    listed: Mutex<Listed>,
    /// An entry came in that an older generation, or in another mode, had been judged: the review looks again.
    late: Notify,
    /// For whom denials are only reported is not what it was: the review begins again.
    reloaded: Notify,
    /// The last has left.
    emptied: Notify,
}

#[derive(Debug, Default)]
struct Listed {
    /// By the order of entering.
    entries: BTreeMap<u64, Arc<Entry>>,
    next: u64,
    /// The generation that the review goes by. Under the same lock as the entries: an entry is either among those
    /// that a review finds, or finds here that it came late.
    generation: u64,
    /// For whom denials are only reported, as the review goes by it.
    report: Report,
    /// The gateway ends: what enters now is told so.
    ending: bool,
    counts: Counts,
}

/// How many are open, by kind.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, serde::Serialize)]
pub(crate) struct Counts {
    pub(crate) connect: usize,
    pub(crate) forward: usize,
    pub(crate) upgrade: usize,
    pub(crate) socks: usize,
}

/// One open tunnel or exchange. Dropped, it is no longer listed, and its end is told.
#[derive(Debug)]
pub(crate) struct Live {
    registry: Arc<Registry>,
    number: u64,
    entry: Arc<Entry>,
    closing: Option<Closing>,
    /// Another one goes on in its place: its end is none.
    replaced: bool,
}

/// Hears what one is told.
#[derive(Debug)]
pub(crate) struct Ear(Arc<Entry>);

/// What is to be judged again.
struct Due {
    /// When it was first seen that it is.
    since: Instant,
    /// What is done now about a denial.
    mode: Mode,
    entry: Arc<Entry>,
}

/// What an operator sees of an entry.
#[derive(Clone, Debug)]
pub(crate) struct Open {
    pub(crate) asked: Arc<Asked>,
    pub(crate) decision: Arc<Decision>,
    /// The generation that last allowed it.
    pub(crate) generation: u64,
    pub(crate) age: Duration,
    /// Time since the last byte.
    pub(crate) silent: Duration,
    /// Bytes from the client to the server, and back.
    pub(crate) up: u64,
    pub(crate) down: u64,
    /// It was told to close, and is about to.
    pub(crate) closing: Option<Closing>,
}

impl Registry {
    pub(crate) fn new(bus: Bus) -> Self {
        Self {
            bus,
            listed: Mutex::default(),
            late: Notify::new(),
            reloaded: Notify::new(),
            emptied: Notify::new(),
        }
    }

    /// Lists a connection that was allowed. Its life is bounded by the terms of the decision.
    pub(crate) fn enter(
        self: &Arc<Self>,
        asked: Arc<Asked>,
        decision: Arc<Decision>,
        held: Held,
    ) -> Live {
        let entry = Arc::new(Entry::new(asked, decision, held));
        let number = self.insert(&entry);
        Live {
            registry: Arc::clone(self),
            number,
            entry,
            closing: None,
            replaced: false,
        }
    }

    fn insert(&self, entry: &Arc<Entry>) -> u64 {
        let mut listed = self.listed();
        let number = listed.next;
        listed.next += 1;
        listed.entries.insert(number, Arc::clone(entry));
        *listed.counts.of(entry.asked.kind) += 1;
        if entry.is_due(listed.generation, listed.report.mode(entry.subject())) {
            self.late.notify_one();
        }
        if listed.ending {
            entry.close(Closing::Drained, None);
        }
        number
    }

    fn leave(&self, number: u64) {
        let mut listed = self.listed();
        let Some(entry) = listed.entries.remove(&number) else {
            return;
        };
        *listed.counts.of(entry.asked.kind) -= 1;
        if listed.entries.is_empty() {
            self.emptied.notify_waiters();
        }
    }

    /// How many are open.
    pub(crate) fn len(&self) -> usize {
        self.listed().entries.len()
    }

    pub(crate) fn counts(&self) -> Counts {
        self.listed().counts
    }

    /// At most so many, the newest first.
    pub(crate) fn list(&self, limit: usize) -> Vec<Open> {
        let newest: Vec<_> = {
            let listed = self.listed();
            listed.entries.values().rev().take(limit).cloned().collect()
        };
        newest.iter().map(|entry| entry.seen()).collect()
    }

    /// Tells the one with this request id to close; false when there is none.
    pub(crate) fn close(&self, id: &str, closing: Closing) -> bool {
        let found = self.by_id(id);
        if let Some(entry) = &found {
            entry.close(closing, None);
        }
        found.is_some()
    }

    /// Tells all that are open to close; how many.
    pub(crate) fn close_all(&self, closing: Closing) -> usize {
        let all = self.entries();
        all.iter().for_each(|entry| entry.close(closing, None));
        all.len()
    }

    /// Tells those to close of whom this does not hold any more; how many.
    pub(crate) fn revoke_unless(&self, holds: impl Fn(&Asked) -> bool) -> usize {
        let all = self.entries();
        let lapsed = all
            .iter()
            .filter(|entry| entry.told().is_none() && !holds(&entry.asked));
        lapsed
            .map(|entry| entry.close(Closing::Revoked, None))
            .count()
    }

    /// Tells all that are open, and all that come yet, that the gateway ends; how many are open.
    pub(crate) fn end(&self) -> usize {
        self.listed().ending = true;
        self.close_all(Closing::Drained)
    }

    /// Waits until nothing is open.
    pub(crate) async fn emptied(&self) {
        loop {
            // Made before the look, so that no end between look and wait is missed.
            let emptied = self.emptied.notified();
            if self.len() == 0 {
                return;
            }
            emptied.await;
        }
    }

    /// What a review under this generation and these modes has to judge; the longest overdue first. What enters from
    /// now on with another judgement is told to [`late`](Self::late_entry).
    fn due(&self, generation: u64, report: &Report) -> Vec<Due> {
        let all = {
            let mut listed = self.listed();
            listed.generation = generation;
            listed.report = report.clone();
            listed.entries.values().cloned().collect::<Vec<_>>()
        };
        let now = Instant::now();
        let due = |entry: Arc<Entry>| {
            let mode = report.mode(entry.subject());
            let since = entry.overdue(generation, mode, now)?;
            Some(Due { since, mode, entry })
        };
        let mut due: Vec<_> = all.into_iter().filter_map(due).collect();
        due.sort_by_key(|due| due.since);
        due
    }

    /// What decides beside the policies may have changed: everything that is open is looked at again.
    pub(crate) fn look_again(&self) {
        self.reloaded.notify_one();
    }

    /// Waits until somebody says so. One waiter.
    async fn told_to_look_again(&self) {
        self.reloaded.notified().await;
    }

    /// Waits for an entry that came in with an older judgement than the generation of the last review. One waiter.
    async fn late_entry(&self) {
        self.late.notified().await;
    }

    fn by_id(&self, id: &str) -> Option<Arc<Entry>> {
        let mut all = self.entries().into_iter();
        all.find(|entry| entry.asked.id.to_string() == id)
    }

    fn entries(&self) -> Vec<Arc<Entry>> {
        self.listed().entries.values().cloned().collect()
    }

    fn listed(&self) -> MutexGuard<'_, Listed> {
        self.listed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    fn of(&mut self, kind: Exchange) -> &mut usize {
        match kind {
            // What an Envoy opens is not open here.
            Exchange::Connect | Exchange::Sni => &mut self.connect,
            Exchange::Forward => &mut self.forward,
            Exchange::Upgrade => &mut self.upgrade,
            Exchange::Socks => &mut self.socks,
        }
    }
}

impl Live {
    /// Counts bytes from the client to the server.
    pub(crate) fn up(&self, bytes: u64) {
        self.entry.up(bytes);
    }

    /// Counts bytes from the server to the client.
    pub(crate) fn down(&self, bytes: u64) {
        self.entry.down(bytes);
    }

    /// Bytes to the client so far.
    pub(crate) fn sent_down(&self) -> u64 {
        self.entry.sent_down()
    }

    /// Bounds its life, counted from its entering, more tightly than the terms do.
    pub(crate) fn outlive_at_most(&self, life: Duration) {
        self.entry.shorten(life);
    }

    /// Waits until it is to be closed, because its life is over or somebody says so, and says why. Whoever moves the
    /// bytes selects on it.
    pub(crate) async fn told_to_close(&self) -> Closing {
        self.entry.told_to_close().await
    }

    /// Whether the terms, those of later generations included, demand TLS.
    pub(crate) fn needs_tls(&self) -> bool {
        self.entry.needs_tls()
    }

    /// Whether a denial is only told, as it was judged last.
    pub(crate) fn reports(&self) -> bool {
        self.entry.reports()
    }

    /// Notes that what is spoken is not TLS: a policy that demands it later closes the tunnel.
    pub(crate) fn is_plain(&self) {
        self.entry.is_plain();
    }

    /// Ends it, and says why; without it, dropping says what it was told, or `finished`.
    pub(crate) fn end(mut self, closing: Closing) {
        self.closing = Some(closing);
    }

    /// Ends it because whoever this says is gone; that it was told to close before counts for more.
    pub(crate) fn lost(self, closing: Closing) {
        let closing = self.told().unwrap_or(closing);
        self.end(closing);
    }

    /// Ends it untold: another one is listed for the same request, whose end is told.
    pub(crate) fn replaced(mut self) {
        self.replaced = true;
    }

    /// What it was told.
    pub(crate) fn told(&self) -> Option<Closing> {
        self.entry.told().map(|told| told.closing)
    }

    /// For whoever is to hear what it is told, and does not hold it.
    pub(crate) fn ear(&self) -> Ear {
        Ear(Arc::clone(&self.entry))
    }

    pub(crate) fn asked(&self) -> &Arc<Asked> {
        &self.entry.asked
    }
}

impl Ear {
    /// As [`Live::told_to_close`].
    pub(crate) async fn told_to_close(&self) -> Closing {
        self.0.told_to_close().await
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.registry.leave(self.number);
        if self.replaced {
            return;
        }
        let told = self.entry.told();
        let closing = self.closing.or(told.as_ref().map(|told| told.closing));
        let closing = closing.unwrap_or_default();
        let seen = self.entry.seen();
        self.registry.bus.tell(&Event::Ended(Arc::new(Ended {
            at: SystemTime::now(),
            asked: seen.asked,
            closing,
            denial: told
                .filter(|told| told.closing == closing)
                .and_then(|told| told.denial),
            lasted: seen.age,
            up: seen.up,
            down: seen.down,
            silent: seen.silent,
        })));
    }
}
