//! Requests a second, with a burst: a bucket by the generic cell rate algorithm.

use std::{num::NonZeroU32, sync::OnceLock, time::Duration};

use governor::{
    Quota, RateLimiter,
    clock::Clock,
    middleware::NoOpMiddleware,
    state::{InMemoryState, NotKeyed},
};
use tokio::time::Instant;

/// A rate.
#[derive(Debug)]
pub(super) struct Rate {
    quota: Quota,
    limiter: RateLimiter<NotKeyed, InMemoryState, Ticks, NoOpMiddleware<Duration>>,
}

/// Time since the process began to count. The clock is tokio's, so that tests can pause it.
#[derive(Clone, Copy, Debug)]
struct Ticks;

impl Rate {
    /// None when there is no limit. A burst of 0 is twice the rate.
    pub(super) fn new(rate: u32, burst: u32) -> Option<Self> {
        let quota = quota(rate, burst)?;
        Some(Self {
            quota,
            limiter: RateLimiter::direct_with_clock(quota, Ticks),
        })
    }

    /// Whether this is what would be made for these numbers.
    pub(super) fn is_same(this: Option<&Self>, rate: u32, burst: u32) -> bool {
        this.map(|rate| rate.quota) == quota(rate, burst)
    }

    /// Takes one request, or says when there will be another.
    pub(super) fn take(&self, now: Duration) -> Result<(), Duration> {
        self.limiter
            .check()
            .map_err(|until| until.wait_time_from(now))
    }

    /// How long it takes until nothing is known of it any more: the whole burst is there again.
    pub(super) fn memory(&self) -> Duration {
        self.quota.burst_size_replenished_in()
    }
}

fn quota(rate: u32, burst: u32) -> Option<Quota> {
    let rate = NonZeroU32::new(rate)?;
    let burst = NonZeroU32::new(burst).unwrap_or_else(|| rate.saturating_mul(TWICE));
    Some(Quota::per_second(rate).allow_burst(burst))
}

/// Now, for [`Rate::take`] and for who is to be forgotten.
pub(super) fn now() -> Duration {
    static BEGAN: OnceLock<Instant> = OnceLock::new();
    let now = Instant::now();
    now.saturating_duration_since(*BEGAN.get_or_init(|| now))
}

impl Clock for Ticks {
    type Instant = Duration;

    fn now(&self) -> Duration {
        now()
    }
}

/// The burst, in seconds of the rate, unless the configuration says otherwise.
const TWICE: NonZeroU32 = NonZeroU32::MIN.saturating_add(1);
