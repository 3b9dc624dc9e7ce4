//! Asks the candidate, one decision after the other, on a thread of its own.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::Ordering,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    time::SystemTime,
};

use pinfold::{policy::Evaluator, record::Ruling};

use super::{
    compare::{Compared, compare},
    feed::Watched,
};
use crate::event::{Bus, Decided, Event, ShadowDiffers};

/// A candidate that watches. Without it the thread ends.
pub(super) struct Running {
    queue: SyncSender<Arc<Decided>>,
    pub(super) watched: Arc<Watched>,
}

/// The thread.
pub(super) struct Worker {
    policy: Evaluator,
    watched: Arc<Watched>,
    bus: Bus,
}

impl Running {
    /// Never waits.
    pub(super) fn offer(&self, decided: &Arc<Decided>) {
        if self.queue.try_send(Arc::clone(decided)).is_err() {
            self.watched.drop_one();
        }
    }
}

impl Worker {
    pub(super) fn start(policy: Evaluator, watched: Arc<Watched>, bus: Bus) -> io::Result<Running> {
        let (queue, decisions) = sync_channel(QUEUE);
        let worker = Self {
            policy,
            watched: Arc::clone(&watched),
            bus,
        };
        let thread = std::thread::Builder::new().name("pinfold-shadow".into());
        thread.spawn(move || worker.run(&decisions))?;
        Ok(Running { queue, watched })
    }

    fn run(self, decisions: &Receiver<Arc<Decided>>) {
        while let Ok(decided) = decisions.recv() {
            if self.watched.stopped.load(Ordering::Acquire) {
                return;
            }
            // Who counts must outlive whatever a sink does.
            let _ = catch_unwind(AssertUnwindSafe(|| self.judge(&decided)));
        }
    }

    fn judge(&self, decided: &Decided) {
        let layer = &self.watched.layer.name;
        let compared = compare(&self.policy, layer, &decided.decision);
        let differs = self.watched.count(|tally| tally.add(decided, &compared));
        if let (Compared::Pair(pair), Some(sampled)) = (compared, differs) {
            self.bus.tell(&Event::ShadowDiffers(Arc::new(ShadowDiffers {
                at: SystemTime::now(),
                asked: Arc::clone(&decided.asked),
                active: denial(&pair.active),
                candidate: denial(&pair.candidate),
                sampled,
            })));
        }
    }
}

fn denial(ruling: &Ruling) -> Option<pinfold::Denial> {
    ruling.denial().cloned()
}

/// Decisions that may wait for the candidate.
pub(super) const QUEUE: usize = 1_024;
