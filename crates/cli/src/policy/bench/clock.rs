//! How long a decision takes.
//!
//! Each decision is made by an instance that was never used, as in service: one that is made on the spot,
//! and then one that was made ahead of time. Times are information: they depend on the machine and on what
//! else it does. What can be held to a bound is fuel.

use std::{
    thread,
    time::{Duration, Instant},
};

use pinfold::{
    Denial,
    policy::{Evaluation, Evaluator},
};

use super::stats::Times;
use crate::{policy::questions::Question, vectors::Asked};

/// How much is measured: whichever comes first.
#[derive(Clone, Copy, Debug)]
pub(super) struct Effort {
    /// Decisions.
    pub(super) samples: usize,
    /// Time for all of them.
    pub(super) time: Duration,
}

impl Effort {
    /// One of so many parts of it; at least one decision.
    pub(super) fn divided(self, parts: usize) -> Self {
        let parts = parts.max(1);
        Self {
            samples: (self.samples / parts).max(1),
            time: self.time / u32::try_from(parts).unwrap_or(u32::MAX),
        }
    }
}

/// Instances that are made ahead of time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stock {
    /// How many.
    pub(super) spares: usize,
    /// What one takes.
    pub(super) making: Duration,
}

impl Stock {
    /// So many are surely there: from the fourth part on, it is filled again.
    fn round(self) -> usize {
        (self.spares * 3 / 4).max(1)
    }

    /// In this time it is full again, with as much to spare for a busy machine.
    fn pause(self) -> Duration {
        let spares = u32::try_from(self.spares).unwrap_or(u32::MAX);
        (self.making.saturating_mul(spares) * 2 + PAUSE).min(MAX_PAUSE)
    }
}

/// What was measured.
#[derive(Clone, Debug, Default)]
pub(super) struct Clocked {
    /// Until an instance is there.
    pub(super) instance: Times,
    /// Stage one.
    pub(super) target: Times,
    /// Stage two, where stage one allowed it and there are addresses.
    pub(super) addresses: Times,
    /// All of it.
    pub(super) decision: Times,
}

impl Clocked {
    /// Instances made on the spot.
    pub(super) fn fresh(
        &mut self,
        policy: &Evaluator,
        questions: &[Question],
        effort: Effort,
        mut done: impl FnMut(usize),
    ) {
        // The first ones page code and data in, which belongs to loading.
        let mut uncounted = Self::default();
        for question in questions.iter().take(WARM_UP) {
            uncounted.decide(question, || policy.fresh());
        }
        let begun = Instant::now();
        for (number, question) in questions.iter().cycle().take(effort.samples).enumerate() {
            self.decide(question, || policy.fresh());
            done(number + 1);
            if begun.elapsed() > effort.time {
                break;
            }
        }
    }

    /// Instances made ahead of time. They are taken in rounds of as many as are surely there; between the
    /// rounds there is time to make them again.
    pub(super) fn spare(
        &mut self,
        policy: &Evaluator,
        questions: &[Question],
        effort: Effort,
        stock: Stock,
        mut done: impl FnMut(usize),
    ) {
        let begun = Instant::now();
        for (number, question) in questions.iter().cycle().take(effort.samples).enumerate() {
            if number % stock.round() == 0 {
                thread::sleep(stock.pause());
            }
            self.decide(question, || policy.start());
            done(number + 1);
            if begun.elapsed() > effort.time {
                break;
            }
        }
    }

    /// What an instance takes to make, roughly.
    pub(super) fn making(&self) -> Duration {
        let spread = self.instance.spread();
        Duration::from_nanos(spread.map_or(0, |spread| spread.median_ns))
    }

    /// Times one decision. A denial is an answer, and takes its time like any other.
    fn decide(&mut self, question: &Question, start: impl FnOnce() -> Result<Evaluation, Denial>) {
        let Asked {
            request,
            chain,
            answers,
        } = &question.asked;
        let begun = Instant::now();
        // The pool is as large as what is taken from it.
        let Ok(mut evaluation) = start() else {
            return;
        };
        let started = Instant::now();
        let is_admitted = evaluation.check_target(request).is_ok();
        let admitted = Instant::now();
        let mut ended = admitted;
        if is_admitted && !answers.is_empty() {
            let _ = evaluation.check_addresses(request, chain, answers);
            ended = Instant::now();
            self.addresses.push(ended - admitted);
        }
        self.instance.push(started - begun);
        self.target.push(admitted - started);
        self.decision.push(ended - begun);
    }
}

/// Decisions that are not counted.
const WARM_UP: usize = 20;
/// Between two rounds, whatever an instance takes to make: the thread that makes them has to wake.
const PAUSE: Duration = Duration::from_millis(1);
/// Between two rounds at most.
const MAX_PAUSE: Duration = Duration::from_millis(500);
