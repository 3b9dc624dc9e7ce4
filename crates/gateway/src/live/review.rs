//! Live revocation: after each swap everything that is open is judged again, and closed when it is refused.
//!
//! The promise: nothing stays open for longer than `tunnels.revocation` after a swap without having been allowed by
//! that policy or a later one. The clock of an entry starts when a newer generation is first seen, and only an
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
use pinfold::{Denial, Guard, Terms, addr::Reason};
use tokio::{
    sync::watch,
    task::yield_now,
    time::{Instant, sleep, timeout_at},
};

use super::{Closing, Registry, entry::Entry};
use crate::event::{Event, PolicyChange, PolicyEvent};

/// So many are judged at once. A policy that answers slowly holds an instance for each, and new requests need
/// instances too.
const AT_ONCE: usize = 16;

/// When no instance is free, it is asked again after this time, until its time is up.
const BUSY: Duration = Duration::from_millis(20);

/// Judges again what is open, after each swap, for as long as it is polled. `bound` says how long a judgement may be
/// overdue; it is asked at each review, because a reload may change it.
pub(crate) async fn run(registry: Arc<Registry>, guard: Guard, bound: impl Fn() -> Duration) {
    let generations = guard.generation();
    review(&registry, generations, &guard, bound).await;
}

/// Who judges again. A trait for the tests: they need a judge that is slow, or busy.
trait Judge: Sync {
    fn judge(&self, entry: &Entry) -> impl Future<Output = Result<Terms, Denial>> + Send;
}

impl Judge for Guard {
    fn judge(&self, entry: &Entry) -> impl Future<Output = Result<Terms, Denial>> + Send {
        self.rejudge(&entry.held)
    }
}

async fn review(
    registry: &Registry,
    mut generations: watch::Receiver<u64>,
    judge: &impl Judge,
    bound: impl Fn() -> Duration,
) {
    let mut told = *generations.borrow();
    loop {
        let tally = Tally::default();
        let began = Instant::now();
        let rounds = tally.rounds(registry, &mut generations, judge, &bound);
        let Some(generation) = rounds.await else {
            return;
        };
        tally.tell(registry, (generation != told).then_some(generation), began);
        told = generation;
        tokio::select! {
            changed = generations.changed() => if changed.is_err() { return },
            () = registry.late_entry() => {}
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
    /// Judges all that are due, again from the start whenever a swap comes in between; the generation that all were
    /// judged by. None when the guard is gone.
    async fn rounds(
        &self,
        registry: &Registry,
        generations: &mut watch::Receiver<u64>,
        judge: &impl Judge,
        bound: &impl Fn() -> Duration,
    ) -> Option<u64> {
        loop {
            let generation = *generations.borrow_and_update();
            let round = self.round(registry, generation, judge, bound());
            tokio::select! {
                changed = generations.changed() => changed.ok()?,
                () = round => return Some(generation),
            }
        }
    }

    async fn round(
        &self,
        registry: &Registry,
        generation: u64,
        judge: &impl Judge,
        bound: Duration,
    ) {
        self.kept.store(0, Ordering::Relaxed);
        stream::iter(registry.due(generation))
            .for_each_concurrent(AT_ONCE, async |(since, entry)| {
                let deadline = since.checked_add(bound).unwrap_or(since);
                self.count(again(&entry, generation, judge, deadline).await);
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
async fn again(entry: &Entry, generation: u64, judge: &impl Judge, deadline: Instant) -> Outcome {
    // A compiled policy answers without waiting: others on this thread get their turn between two judgements.
    yield_now().await;
    // Asked before, because a judgement that does not wait is done before a timer can say anything.
    let judged = match Instant::now() < deadline {
        true => timeout_at(deadline, patiently(judge, entry)).await.ok(),
        false => None,
    };
    match judged {
        Some(Ok(terms)) => match entry.allowed(generation, terms) {
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
async fn patiently(judge: &impl Judge, entry: &Entry) -> Result<Terms, Denial> {
    loop {
        match judge.judge(entry).await {
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
