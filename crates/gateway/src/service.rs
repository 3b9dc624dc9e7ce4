//! What the service manager is told, when one started this process (`sd_notify`); otherwise nothing.
//!
//! It says where to tell it in the environment, which is its only way. Nothing of that decides about a request.

use std::time::Duration;

use sd_notify::NotifyState;

/// Accepts.
pub(crate) fn ready() {
    tell(&[NotifyState::Ready]);
}

/// Reads files again; [`ready`] says that it is done.
pub(crate) fn reloading() {
    // Which of several reloads this is, the service manager tells by the time.
    if let Ok(now) = NotifyState::monotonic_usec_now() {
        tell(&[NotifyState::Reloading, now]);
    }
}

/// Drains, and ends within this time.
pub(crate) fn stopping(within: Duration) {
    let micros = u32::try_from(within.as_micros()).unwrap_or(u32::MAX);
    tell(&[
        NotifyState::Stopping,
        NotifyState::ExtendTimeoutUsec(micros),
    ]);
}

/// Says that it lives, twice in each interval of the service manager's watchdog, for as long as it is polled: from a
/// task, since a runtime that no longer runs tasks serves nobody.
pub(crate) async fn watchdog() {
    let Some(interval) = sd_notify::watchdog_enabled() else {
        return;
    };
    let mut ticks = tokio::time::interval((interval / 2).max(SHORTEST));
    loop {
        ticks.tick().await;
        tell(&[NotifyState::Watchdog]);
    }
}

/// A service manager that does not listen is no reason to serve nobody.
fn tell(states: &[NotifyState<'_>]) {
    let _ = sd_notify::notify(states);
}

const SHORTEST: Duration = Duration::from_millis(10);
