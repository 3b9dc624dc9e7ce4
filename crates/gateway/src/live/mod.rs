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

use pinfold::{Decision, Held};
use tokio::{sync::Notify, time::Instant};

pub(crate) use closing::Closing;
use entry::Entry;

use crate::event::{Asked, Bus, Ended, Event, Exchange};

/// Everything that is open. Bounded by the admission of requests: each entry belongs to one that holds a permit.
#[derive(Debug)]
pub(crate) struct Registry {
    bus: Bus,
    listed: Mutex<Listed>,
    /// An entry came in that an older generation had judged: the review looks again.
    late: Notify,
}

#[derive(Debug, Default)]
struct Listed {
    /// By the order of entering.
    entries: BTreeMap<u64, Arc<Entry>>,
    next: u64,
    /// The generation that the review goes by. Under the same lock as the entries: an entry is either among those
    /// that a review finds, or finds here that it came late.
    generation: u64,
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
        }
    }

    fn insert(&self, entry: &Arc<Entry>) -> u64 {
        let mut listed = self.listed();
        let number = listed.next;
        listed.next += 1;
        listed.entries.insert(number, Arc::clone(entry));
        *listed.counts.of(entry.asked.kind) += 1;
        if entry.generation() < listed.generation {
            self.late.notify_one();
        }
        number
    }

    fn leave(&self, number: u64) {
        let mut listed = self.listed();
        let Some(entry) = listed.entries.remove(&number) else {
            return;
        };
        *listed.counts.of(entry.asked.kind) -= 1;
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

    /// What a review under this generation has to judge, and since when; the longest overdue first. What enters from now on with an
    /// older judgement is told to [`late`](Self::late_entry).
    fn due(&self, generation: u64) -> Vec<(Instant, Arc<Entry>)> {
        let all = {
            let mut listed = self.listed();
            listed.generation = generation;
            listed.entries.values().cloned().collect::<Vec<_>>()
        };
        let now = Instant::now();
        let mut due: Vec<_> = all
            .into_iter()
            .filter_map(|entry| entry.overdue(generation, now).map(|since| (since, entry)))
            .collect();
        due.sort_by_key(|(since, _)| *since);
        due
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
            Exchange::Connect => &mut self.connect,
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

    /// Notes that what is spoken is not TLS: a policy that demands it later closes the tunnel.
    pub(crate) fn is_plain(&self) {
        self.entry.is_plain();
    }

    /// Ends it, and says why; without it, dropping says what it was told, or `finished`.
    pub(crate) fn end(mut self, closing: Closing) {
        self.closing = Some(closing);
    }

    pub(crate) fn asked(&self) -> &Arc<Asked> {
        &self.entry.asked
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.registry.leave(self.number);
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
