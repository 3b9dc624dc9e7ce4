//! Live revocation: after each swap, and each reload, everything that is open is judged again, and closed when it is refused.
//!
//! The promise: nothing stays open for longer than `tunnels.revocation` after a swap without having been allowed by
//! that policy or a later one, nor after the end of report mode without having been allowed where denials count. The clock of an entry starts when a newer generation is first seen, and only an
//! allowing judgement stops it: a swap in the middle of a review starts the review again, not the clocks of those
//! that still wait, and these are judged first. Swaps that follow one another quickly starve nobody.
//!
//! An entry can be judged under one generation and listed after the next was swapped in, when the review of it is
//! already done. The registry knows the generation of the review under the lock that lists entries, so such an entry
//! is seen on entering, and is judged again at once.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use futures_util::{StreamExt, stream};
use pinfold::{Denial, Guard, Terms, addr::Reason, record::Mode};
use tokio::{
    sync::watch,
    task::yield_now,
    time::{Instant, sleep, timeout_at},
};

use super::{Closing, Due, Registry, entry::Entry};
use crate::{
    config::Report,
    event::{Event, PolicyChange, PolicyEvent},
};

/// So many are judged at once. A policy that answers slowly holds an instance for each, and new requests need
/// instances too.
const AT_ONCE: usize = 16;

/// When no instance is free, it is asked again after this time, until its time is up.
const BUSY: Duration = Duration::from_millis(20);

/// What a review goes by, beside the policies.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    /// How long a judgement may be overdue.
    pub(crate) bound: Duration,
    /// For whom a denial is only told.
    pub(crate) report: Report,
}

/// Judges again what is open, after each swap and each reload, for as long as it is polled. `rules` is asked at each
/// review, because a reload may change them.
pub(crate) async fn run(registry: Arc<Registry>, guard: Guard, rules: impl Fn() -> Rules) {
    let generations = guard.generation();
    review(&registry, generations, &guard, rules).await;
}

/// Who judges again. A trait for the tests: they need a judge that is slow, or busy.
trait Judge: Sync {
    fn judge(
        &self,
        entry: &Entry,
        mode: Mode,
    ) -> impl Future<Output = Result<Terms, Denial>> + Send;
}

impl Judge for Guard {
    fn judge(
        &self,
        entry: &Entry,
        mode: Mode,
    ) -> impl Future<Output = Result<Terms, Denial>> + Send {
        self.rejudge(&entry.held, mode)
    }
}

async fn review(
    registry: &Registry,
    mut generations: watch::Receiver<u64>,
    judge: &impl Judge,
    rules: impl Fn() -> Rules,
) {
    let mut told = *generations.borrow();
    loop {
        let tally = Tally::default();
        let began = Instant::now();
        let rounds = tally.rounds(registry, &mut generations, judge, &rules);
        let Some(generation) = rounds.await else {
            return;
        };
        tally.tell(registry, (generation != told).then_some(generation), began);
        told = generation;
        tokio::select! {
            changed = generations.changed() => if changed.is_err() { return },
            () = registry.late_entry() => {}
            () = registry.told_to_look_again() => {}
        }
    }
}

/// What came of a review, with the swaps in the middle of it.
#[derive(Default)]
struct Tally {
    kept: AtomicUsize,
    closed: AtomicUsize,
    late: AtomicUsize,
}

impl Tally {
    /// Judges all that are due, again from the start whenever a swap or a reload comes in between; the generation that all were
    /// judged by. None when the guard is gone.
    async fn rounds(
        &self,
        registry: &Registry,
        generations: &mut watch::Receiver<u64>,
        judge: &impl Judge,
        rules: &impl Fn() -> Rules,
    ) -> Option<u64> {
        loop {
            let generation = *generations.borrow_and_update();
            let round = self.round(registry, generation, judge, rules());
            tokio::select! {
                changed = generations.changed() => changed.ok()?,
                () = registry.told_to_look_again() => {}
                () = round => return Some(generation),
            }
        }
    }

    async fn round(&self, registry: &Registry, generation: u64, judge: &impl Judge, rules: Rules) {
        self.kept.store(0, Ordering::Relaxed);
        stream::iter(registry.due(generation, &rules.report))
            .for_each_concurrent(AT_ONCE, async |due| {
                let deadline = due.since.checked_add(rules.bound).unwrap_or(due.since);
                self.count(again(&due, generation, judge, deadline).await);
            })
            .await;
    }

    fn count(&self, outcome: Outcome) {
        let counter = match outcome {
            Outcome::Kept => &self.kept,
            Outcome::Refused => &self.closed,
            Outcome::Late => {
                self.late.fetch_add(1, Ordering::Relaxed);
                &self.closed
            }
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// What is closed is told for each connection by its end; here is told what came of a swap, and what the policy
    /// has not answered in time.
    fn tell(&self, registry: &Registry, generation: Option<u64>, began: Instant) {
        let late = self.late.load(Ordering::Relaxed);
        if late > 0 {
            registry.bus.tell(&Event::Trouble {
                what: "review",
                detail: format!("{late} connections were closed: not judged again in time"),
            });
        }
        if let Some(generation) = generation {
            let what = PolicyChange::Reviewed {
                generation,
                kept: self.kept.load(Ordering::Relaxed),
                closed: self.closed.load(Ordering::Relaxed),
                took: began.elapsed(),
            };
            registry.bus.tell(&Event::Policy(Arc::new(PolicyEvent {
                at: SystemTime::now(),
                trigger: "review",
                what,
            })));
        }
    }
}

enum Outcome {
    Kept,
    Refused,
    Late,
}

/// Judges one again; refused or overdue, it is told to close.
async fn again(due: &Due, generation: u64, judge: &impl Judge, deadline: Instant) -> Outcome {
    let Due { mode, entry, .. } = due;
    // A compiled policy answers without waiting: others on this thread get their turn between two judgements.
    yield_now().await;
    // Asked before, because a judgement that does not wait is done before a timer can say anything.
    let judged = match Instant::now() < deadline {
        true => timeout_at(deadline, patiently(judge, entry, *mode))
            .await
            .ok(),
        false => None,
    };
    match judged {
        Some(Ok(terms)) => match entry.allowed(generation, *mode, terms) {
            true => Outcome::Kept,
            false => Outcome::Refused,
        },
        Some(Err(denial)) => {
            entry.close(Closing::Revoked, Some(denial));
            Outcome::Refused
        }
        None => {
            entry.close(Closing::Revoked, Some(late()));
            Outcome::Late
        }
    }
}

/// That no instance is free says nothing about the connection.
async fn patiently(judge: &impl Judge, entry: &Entry, mode: Mode) -> Result<Terms, Denial> {
    loop {
        match judge.judge(entry, mode).await {
            Err(denial) if denial.reason() == Some(Reason::PolicyBusy) => sleep(BUSY).await,
            judged => return judged,
        }
    }
}

fn late() -> Denial {
    Denial::new(
        Reason::DeadlineExceeded,
        "the policy did not judge it again in time",
    )
}

#[cfg(test)]
mod tests;
