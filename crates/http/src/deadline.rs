//! One clock for the whole exchange.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use pinfold_addr::Reason;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::Error;

/// When everything must be over. One timer serves all steps, and then the body.
#[derive(Debug)]
pub(crate) struct Deadline {
    start: Instant,
    sleep: Pin<Box<Sleep>>,
}

impl Deadline {
    /// Starts the clock.
    pub(crate) fn after(total: Duration) -> Self {
        let start = Instant::now();
        Self {
            start,
            sleep: Box::pin(sleep_until(at(start, total))),
        }
    }

    /// Moves the deadline forward to `total` after the start; never back.
    pub(crate) fn tighten(&mut self, total: Duration) {
        let earlier = at(self.start, total);
        if earlier < self.sleep.deadline() {
            self.sleep.as_mut().reset(earlier);
        }
    }

    /// Performs one step, or gives up when the time has come. The step comes pinned: handed over by
    /// value it would take its place in the caller's future twice.
    pub(crate) async fn bound<F>(&mut self, mut step: F) -> Result<F::Output, Error>
    where
        F: Future + Unpin,
    {
        poll_fn(|cx| match Pin::new(&mut step).poll(cx) {
            Poll::Ready(output) => Poll::Ready(Ok(output)),
            // The timer is touched only when the step waits.
            Poll::Pending => self.poll_passed(cx).map(Err),
        })
        .await
    }

    /// Ready once the time has come. The clock is asked first: the timer never is when the step before it
    /// used up what the runtime lets a task do at a time, as a server that always has more makes it.
    pub(crate) fn poll_passed(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        match self.check() {
            Ok(()) => self.sleep.as_mut().poll(cx).map(|()| self.error()),
            Err(error) => Poll::Ready(error),
        }
    }

    /// An error once the time has come. Does not ask to be woken.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if Instant::now() < self.sleep.deadline() {
            Ok(())
        } else {
            Err(self.error())
        }
    }

    fn error(&self) -> Error {
        let total = self.sleep.deadline().duration_since(self.start);
        Error::exchange(
            Reason::DeadlineExceeded,
            format!("not done within {total:?}"),
        )
    }
}

/// `start` and `total`, at most a year.
pub(crate) fn at(start: Instant, total: Duration) -> Instant {
    const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);
    start.checked_add(total.min(YEAR)).unwrap_or(start)
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_deadline_only_moves_forward() {
        let mut deadline = Deadline::after(Duration::from_secs(10));
        deadline.tighten(Duration::from_secs(20));
        deadline.tighten(Duration::from_secs(3));
        let begun = Instant::now();
        let error = deadline.bound(pending::<()>()).await.unwrap_err();
        assert!(error.is_timeout(), "{error}");
        assert_eq!(begun.elapsed().as_secs(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn an_absurd_time_is_bounded() {
        let mut deadline = Deadline::after(Duration::MAX);
        assert_eq!(deadline.bound(ready(7)).await.unwrap(), 7);
    }
}
