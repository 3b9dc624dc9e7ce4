//! How long a policy takes for its answers, and so on which thread it may be asked.
//!
//! A compiled policy answers within microseconds, and is asked where the request runs. An interpreted one
//! takes milliseconds, in which all other tasks of that thread would stand still: it is asked on a thread
//! that may block. What a policy takes is measured, when it is loaded and at each answer, since only
//! then does one know; it may be quick for one question and slow for another.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use pinfold_addr::{Class, Target};

use super::{limits::INLINE, maker::Maker};
use crate::{JudgedAddress, Request};

/// The moving average of what answers took.
#[derive(Debug)]
pub(super) struct Pace {
    /// In nanoseconds. Threads that write at once lose one of two samples, which changes little.
    average: AtomicU32,
}

impl Pace {
    /// Asks both questions about one request, as requests will, and begins with the dearer.
    pub(super) fn probed(maker: &Maker) -> Self {
        let took = (0..PROBES).filter_map(|_| probe(maker)).min();
        Self::new(took.unwrap_or_default())
    }

    fn new(average: Duration) -> Self {
        Self {
            average: AtomicU32::new(nanos(average)),
        }
    }

    /// Whether the policy must not be asked on a thread that other tasks wait for.
    pub(super) fn is_slow(&self) -> bool {
        self.average.load(Ordering::Relaxed) > nanos(INLINE)
    }

    /// Takes what an answer took into the average. One answer alone changes no more than a share: the
    /// system may have stalled the thread, and that is not the policy's fault.
    pub(super) fn add(&self, took: Duration) {
        let average = self.average.load(Ordering::Relaxed);
        let took = nanos(took).min(CAP * nanos(INLINE));
        let next = average - average / WEIGHT + took / WEIGHT;
        if next != average {
            self.average.store(next, Ordering::Relaxed);
        }
    }
}

/// What the dearer of both questions takes; none when there is no instance.
fn probe(maker: &Maker) -> Option<Duration> {
    let mut instance = maker.make().ok()?;
    let request = Request::new(Target::parse(PROBE).ok()?).method("GET");
    let begun = Instant::now();
    // What it answers does not matter, nor whether it fails: how long it takes does.
    let answer = instance.check_target(&request);
    let first = begun.elapsed();
    if answer.is_err() {
        return Some(first);
    }
    let begun = Instant::now();
    let _ = instance.check_addresses(&request, &[], &[public()]);
    Some(first.max(begun.elapsed()))
}

fn public() -> JudgedAddress {
    JudgedAddress {
        address: IpAddr::V4(Ipv4Addr::new(93, 184, 216, 34)),
        class: Class::Public,
        embedded: Vec::new(),
        granted: false,
        denial: None,
    }
}

fn nanos(time: Duration) -> u32 {
    u32::try_from(time.as_nanos()).unwrap_or(u32::MAX)
}

/// What is asked at load.
const PROBE: &str = "https://example.com/";
/// Instances that are asked at load; the first one finds nothing warm.
const PROBES: usize = 3;
/// The share of one answer in the average is one in so many.
const WEIGHT: u32 = 8;
/// No answer counts for more than so many times what is still quick.
const CAP: u32 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_stall_is_forgiven_and_a_habit_is_not() {
        let pace = Pace::new(INLINE / 10);
        pace.add(Duration::from_secs(1));
        assert!(!pace.is_slow(), "one stall");
        (0..WEIGHT).for_each(|_| pace.add(INLINE * 2));
        assert!(pace.is_slow(), "a habit");
        (0..WEIGHT).for_each(|_| pace.add(Duration::ZERO));
        assert!(!pace.is_slow(), "it was for one kind of question");
        assert!(Pace::new(INLINE * 2).is_slow(), "from the start");
    }
}
