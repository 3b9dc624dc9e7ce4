//! What the parts of one client connection know of each other: the gate that reads it, the service that answers, and
//! the task that decides when it has waited long enough.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::refusal::Refusal;

/// One connection.
#[derive(Debug)]
pub(crate) struct Activity {
    state: Mutex<State>,
    /// Requests that the service has begun.
    served: AtomicU64,
    /// A request has begun to be answered, or turned out to be none.
    settled: Notify,
    /// The connection is to take no more requests.
    ending: Notify,
    /// It was asked to end.
    leaving: CancellationToken,
}

#[derive(Debug)]
struct State {
    /// Exchanges under way, tunnels included.
    busy: usize,
    /// A head has begun and is not complete.
    reading: bool,
    /// When the last of it ended.
    since: Instant,
    /// Whether a request has ever come.
    used: bool,
    /// Heads that the gate let through.
    heads: u64,
    /// A head that it did not, by its number, and why.
    refused: Option<(u64, Refusal)>,
}

/// An exchange under way.
#[derive(Debug)]
pub(crate) struct Busy(Arc<Activity>);

impl Activity {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                busy: 0,
                reading: false,
                since: Instant::now(),
                used: false,
                heads: 0,
                refused: None,
            }),
            served: AtomicU64::new(0),
            settled: Notify::new(),
            ending: Notify::new(),
            leaving: CancellationToken::new(),
        })
    }

    /// The gate sees the first byte of a head.
    pub(crate) fn head_begins(&self) {
        self.state().reading = true;
    }

    /// What began was no head, and the connection waits for one again.
    pub(crate) fn head_was_none(&self) {
        let mut state = self.state();
        state.reading = false;
        state.since = Instant::now();
        drop(state);
        // Nor is a request on its way in any more.
        self.settled.notify_waiters();
    }

    /// The gate lets a head through.
    pub(crate) fn head_passes(&self) {
        let mut state = self.state();
        state.reading = false;
        state.since = Instant::now();
        state.heads += 1;
    }

    /// The gate lets another request through in place of one that it refuses.
    pub(crate) fn head_refused(&self, refusal: Refusal) {
        let mut state = self.state();
        state.reading = false;
        state.heads += 1;
        state.refused = Some((state.heads, refusal));
    }

    /// The service begins the next request; why it is refused, when the gate has refused it.
    pub(crate) fn next(&self) -> Option<Refusal> {
        let number = self.served.fetch_add(1, Ordering::Relaxed) + 1;
        let mut state = self.state();
        let refused = state.refused.take_if(|(of, _)| *of == number);
        refused.map(|(_, refusal)| refusal)
    }

    /// Counts an exchange until what is returned is dropped.
    pub(crate) fn enter(self: &Arc<Self>) -> Busy {
        let mut state = self.state();
        state.busy += 1;
        state.used = true;
        drop(state);
        self.settled.notify_waiters();
        Busy(Arc::clone(self))
    }

    /// The service wants the connection to end, after what goes on there.
    pub(crate) fn end(&self) {
        self.ending.notify_one();
    }

    /// Waits until the service wants that. One waiter.
    pub(crate) async fn ends(&self) {
        self.ending.notified().await;
    }

    /// The connection was asked to end: waits until nothing was under way for `time` since then, however long it had
    /// been idle before. Its client learns of the end meanwhile, and what it still asks is answered.
    pub(crate) async fn farewell(&self, time: Duration) {
        self.state().since = Instant::now();
        self.leaving.cancel();
        self.idle(time, time).await;
    }

    /// Waits until the connection was asked to end: for answers that would not end by themselves.
    pub(crate) fn left(&self) -> WaitForCancellationFutureOwned {
        self.leaving.clone().cancelled_owned()
    }

    /// Waits until nothing was under way for `kept`, or for `first` while no request has come.
    pub(crate) async fn idle(&self, first: Duration, kept: Duration) {
        loop {
            let due = {
                let state = self.state();
                let limit = if state.used { kept } else { first };
                (state.busy == 0 && !state.reading).then(|| state.since + limit)
            };
            match due {
                Some(due) if due <= Instant::now() => return,
                // What begins and ends meanwhile has another limit, which may be over earlier.
                Some(due) => sleep_until(due.min(Instant::now() + first.min(kept))).await,
                None => sleep(first.min(kept)).await,
            }
        }
    }

    /// Waits until no request is on its way in: the first of a connection, or one whose head has begun.
    pub(crate) async fn answered(&self) {
        loop {
            // Made before the look, so that nothing between look and wait is missed.
            let changed = self.settled.notified();
            let settled = {
                let state = self.state();
                state.used && !state.reading
            };
            if settled {
                return;
            }
            changed.await;
        }
    }

    /// Heads that the gate let through, and requests that the service has begun.
    #[cfg(test)]
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.state().heads, self.served.load(Ordering::Relaxed))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.busy -= 1;
        state.since = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refusal::Kind;

    const FIRST: Duration = Duration::from_secs(10);
    const KEPT: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn idle_counts_from_the_end_of_the_last_exchange() {
        let activity = Activity::new();
        let began = Instant::now();
        activity.idle(FIRST, KEPT).await;
        assert_eq!(began.elapsed(), FIRST, "nothing ever came");

        let busy = activity.enter();
        let waiting = tokio::spawn({
            let activity = Arc::clone(&activity);
            async move { activity.idle(FIRST, KEPT).await }
        });
        sleep(KEPT * 3 + FIRST).await;
        assert!(!waiting.is_finished(), "an exchange is under way");
        drop(busy);
        let ended = Instant::now();
        waiting.await.unwrap();
        let took = ended.elapsed();
        assert!(took >= KEPT && took < KEPT + FIRST, "{took:?}");
    }

    #[tokio::test]
    async fn a_refused_head_is_refused_in_its_turn() {
        let activity = Activity::new();
        activity.head_passes();
        activity.head_refused(Refusal::new(Kind::Malformed, "request", "line-ending"));
        assert_eq!(activity.next(), None, "the request before it is served");
        assert_eq!(activity.next().unwrap().code, "line-ending");
        assert_eq!(activity.next(), None);
    }
}
