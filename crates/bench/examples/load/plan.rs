//! How long and how much: every loop of the comparison is bounded in time and in count.

use std::time::Duration;

use crate::closed::Bounds;

/// The bounds of one run.
#[derive(Debug)]
pub(crate) struct Plan {
    /// How often each contender has its turn.
    pub(crate) rounds: usize,
    /// How long each turn waits for a machine that does nothing else.
    pub(crate) patience: Duration,
    /// Clients at the same time, each with one request under way.
    pub(crate) clients: usize,
    /// Before each measurement, not counted.
    pub(crate) warm: Duration,
    /// Requests, and set-ups.
    pub(crate) closed: Duration,
    /// The same while policies are swapped.
    pub(crate) swapped: Duration,
    /// Between two new settings.
    pub(crate) between_swaps: Duration,
    /// Each measurement of throughput.
    pub(crate) stream: Duration,
    /// Tunnels that are opened and left alone.
    pub(crate) idle: usize,
    /// How long they are left alone before memory is read.
    pub(crate) settle: Duration,
    /// The most requests of one measurement.
    pub(crate) most_requests: u64,
    /// The most set-ups of one measurement: each leaves ports behind that wait.
    pub(crate) most_setups: u64,
}

impl Plan {
    /// What `docs/load.md` is made from: about five minutes.
    pub(crate) const fn full() -> Self {
        Self {
            rounds: 3,
            patience: Duration::from_secs(5),
            clients: 64,
            warm: Duration::from_millis(500),
            closed: Duration::from_millis(2_500),
            swapped: Duration::from_secs(4),
            between_swaps: Duration::from_secs(1),
            stream: Duration::from_secs(1),
            idle: 5_000,
            settle: Duration::from_secs(1),
            most_requests: 1_000_000,
            most_setups: 60_000,
        }
    }

    /// What `docs/envoy-cost.md` is made from: about as long.
    pub(crate) const fn envoy() -> Self {
        Self {
            rounds: 5,
            closed: Duration::from_secs(2),
            ..Self::full()
        }
    }

    /// Every step once, in some seconds.
    pub(crate) const fn tiny() -> Self {
        Self {
            rounds: 1,
            patience: Duration::ZERO,
            clients: 8,
            warm: Duration::from_millis(50),
            closed: Duration::from_millis(300),
            swapped: Duration::from_millis(1_500),
            between_swaps: Duration::from_millis(500),
            stream: Duration::from_millis(200),
            idle: 100,
            settle: Duration::from_millis(100),
            most_requests: 2_000,
            most_setups: 5_000,
        }
    }

    /// One measurement of requests.
    pub(crate) const fn requests(&self, time: Duration) -> Bounds {
        self.bounds(time, self.most_requests)
    }

    /// One measurement of set-ups.
    pub(crate) const fn setups(&self, time: Duration) -> Bounds {
        self.bounds(time, self.most_setups)
    }

    const fn bounds(&self, time: Duration, most: u64) -> Bounds {
        Bounds {
            clients: self.clients,
            time,
            most,
        }
    }
}
