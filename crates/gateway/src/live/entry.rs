//! One entry of the registry: what was allowed, what moved, what it is told.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use pinfold::{Decision, Denial, Held, Terms, addr::Reason, record::Mode};
use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};

use super::{Closing, Open};
use crate::{event::Asked, subject::Subject};

/// What is known of something open. Shared by whoever moves its bytes, the registry, and the review.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) asked: Arc<Asked>,
    pub(super) decision: Arc<Decision>,
    pub(super) held: Held,
    entered: Instant,
    /// Milliseconds from entering to the last byte.
    moved: AtomicU64,
    up: AtomicU64,
    down: AtomicU64,
    /// Milliseconds from entering to the end of its life; [`FOREVER`] when it has none.
    life: AtomicU64,
    needs_tls: AtomicBool,
    plain: AtomicBool,
    judged: Mutex<Judged>,
    told: OnceLock<Told>,
    /// The life is shorter, or it was told to close.
    changed: Notify,
}

/// What it was told.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub(super) closing: Closing,
    /// The refusal of the new policy.
    pub(super) denial: Option<Denial>,
}

#[derive(Debug)]
struct Judged {
    /// The generation that last allowed it.
    generation: u64,
    /// What it did about a denial.
    mode: Mode,
    /// When it was first seen that a newer generation, or another mode, is active.
    overdue: Option<Instant>,
}

const FOREVER: u64 = u64::MAX;

impl Entry {
    pub(super) fn new(asked: Arc<Asked>, decision: Arc<Decision>, held: Held) -> Self {
        let (terms, generation) = (decision.terms, decision.policy.generation);
        let mode = held.mode();
        let entry = Self {
            asked,
            decision,
            held,
            entered: Instant::now(),
            moved: AtomicU64::new(0),
            up: AtomicU64::new(0),
            down: AtomicU64::new(0),
            life: AtomicU64::new(FOREVER),
            needs_tls: AtomicBool::new(false),
            plain: AtomicBool::new(false),
            judged: Mutex::new(Judged {
                generation,
                mode,
                overdue: None,
            }),
            told: OnceLock::new(),
            changed: Notify::new(),
        };
        entry.tighten(terms);
        entry
    }

    pub(super) fn up(&self, bytes: u64) {
        self.up.fetch_add(bytes, Ordering::Relaxed);
        self.moved.store(self.age_millis(), Ordering::Relaxed);
    }

    pub(super) fn down(&self, bytes: u64) {
        self.down.fetch_add(bytes, Ordering::Relaxed);
        self.moved.store(self.age_millis(), Ordering::Relaxed);
    }

    pub(super) fn sent_down(&self) -> u64 {
        self.down.load(Ordering::Relaxed)
    }

    pub(super) fn needs_tls(&self) -> bool {
        self.needs_tls.load(Ordering::SeqCst)
    }

    /// Whoever learns second that plain is spoken where TLS is demanded closes: the tunnel, or the review.
    pub(super) fn is_plain(&self) {
        self.plain.store(true, Ordering::SeqCst);
    }

    pub(super) fn generation(&self) -> u64 {
        self.judged().generation
    }

    /// Whether a denial is only told.
    pub(super) fn reports(&self) -> bool {
        self.judged().mode.is_report()
    }

    /// The name of its subject.
    pub(super) fn subject(&self) -> Option<&str> {
        self.asked.subject.as_ref().map(Subject::name)
    }

    /// Whether a judgement by this generation, in this mode, is due.
    pub(super) fn is_due(&self, generation: u64, mode: Mode) -> bool {
        self.judged().is_older(generation, mode)
    }

    /// Since when it is; none when it is not.
    pub(super) fn overdue(&self, generation: u64, mode: Mode, now: Instant) -> Option<Instant> {
        if self.told.get().is_some() {
            return None;
        }
        let mut judged = self.judged();
        match judged.is_older(generation, mode) {
            true => Some(*judged.overdue.get_or_insert(now)),
            false => None,
        }
    }

    /// A newer generation, or another mode, allows it, under these terms, which only tighten what holds. False when
    /// what is spoken already breaks them.
    pub(super) fn allowed(&self, generation: u64, mode: Mode, terms: Terms) -> bool {
        *self.judged() = Judged {
            generation,
            mode,
            overdue: None,
        };
        self.tighten(terms);
        let plain = self.plain.load(Ordering::SeqCst);
        let broken = self.needs_tls() && plain && !mode.is_report();
        if broken {
            let denial = Denial::new(Reason::HttpsRequired, "what is spoken is not TLS");
            self.close(Closing::Revoked, Some(denial));
        }
        !broken
    }

    /// Tells it to close. What it was told first stays.
    pub(super) fn close(&self, closing: Closing, denial: Option<Denial>) {
        // Not the first: whoever waits knows already.
        let _ = self.told.set(Told { closing, denial });
        self.changed.notify_waiters();
    }

    pub(super) fn told(&self) -> Option<Told> {
        self.told.get().cloned()
    }

    pub(super) fn shorten(&self, life: Duration) {
        self.life.fetch_min(millis(life), Ordering::SeqCst);
        self.changed.notify_waiters();
    }

    pub(super) async fn told_to_close(&self) -> Closing {
        loop {
            // Made before the look, so that no change between look and wait is missed.
            let changed = self.changed.notified();
            if let Some(told) = self.told.get() {
                return told.closing;
            }
            match self.end_of_life() {
                None => changed.await,
                Some(end) if end <= Instant::now() => return Closing::Lifetime,
                // Late or changed: the next look tells them apart.
                Some(end) => drop(timeout_at(end, changed).await),
            }
        }
    }

    pub(super) fn seen(&self) -> Open {
        let moved = Duration::from_millis(self.moved.load(Ordering::Relaxed));
        let age = self.entered.elapsed();
        Open {
            asked: Arc::clone(&self.asked),
            decision: Arc::clone(&self.decision),
            generation: self.generation(),
            age,
            silent: age.saturating_sub(moved),
            up: self.up.load(Ordering::Relaxed),
            down: self.down.load(Ordering::Relaxed),
            closing: self.told.get().map(|told| told.closing),
        }
    }

    fn tighten(&self, terms: Terms) {
        if terms.https_only {
            self.needs_tls.store(true, Ordering::SeqCst);
        }
        if let Some(life) = terms.total_timeout {
            self.shorten(life);
        }
    }

    fn end_of_life(&self) -> Option<Instant> {
        match self.life.load(Ordering::SeqCst) {
            FOREVER => None,
            life => self.entered.checked_add(Duration::from_millis(life)),
        }
    }

    fn age_millis(&self) -> u64 {
        millis(self.entered.elapsed())
    }

    fn judged(&self) -> MutexGuard<'_, Judged> {
        self.judged.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Judged {
    fn is_older(&self, generation: u64, mode: Mode) -> bool {
        self.generation < generation || self.mode != mode
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(FOREVER)
}
