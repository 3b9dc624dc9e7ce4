//! Times, and what they have in common.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What was measured, in nanoseconds, in the order in which it was measured.
#[derive(Clone, Debug, Default)]
pub(super) struct Times(Vec<u64>);

/// The figures that stand for many times.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Spread {
    /// How many times were measured.
    pub(super) samples: usize,
    /// Half of them took no longer than this.
    pub(super) median_ns: u64,
    /// 99 of 100 took no longer than this; of fewer than 100, all.
    pub(super) p99_ns: u64,
    /// The shortest.
    pub(super) least_ns: u64,
    /// The longest.
    pub(super) most_ns: u64,
}

impl Times {
    /// Adds one.
    pub(super) fn push(&mut self, time: Duration) {
        self.0.push(nanoseconds(time));
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        self.0.iter().copied()
    }

    /// What they have in common; none when nothing was measured.
    pub(super) fn spread(&self) -> Option<Spread> {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        Some(Spread {
            samples: sorted.len(),
            median_ns: ranked(&sorted, 50)?,
            p99_ns: ranked(&sorted, 99)?,
            least_ns: *sorted.first()?,
            most_ns: *sorted.last()?,
        })
    }
}

impl FromIterator<Duration> for Times {
    fn from_iter<I: IntoIterator<Item = Duration>>(times: I) -> Self {
        Self(times.into_iter().map(nanoseconds).collect())
    }
}

/// The nearest rank: the smallest of the values that so many of 100 do not exceed. A value that was
/// measured, never one in between.
pub(super) fn ranked(sorted: &[u64], percent: usize) -> Option<u64> {
    let rank = sorted.len().checked_mul(percent)?.div_ceil(100).max(1);
    sorted.get(rank - 1).copied()
}

/// A time as a number.
pub(super) fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_values_that_were_measured() {
        let hundred: Vec<u64> = (1..=100).collect();
        for (row, sorted, percent, expected) in [
            ("nothing", &[][..], 50, None),
            ("one", &[7], 99, Some(7)),
            ("an even number has the lower middle", &[1, 9], 50, Some(1)),
            ("an odd number has the middle", &[1, 5, 9], 50, Some(5)),
            ("99 of 100", &hundred, 99, Some(99)),
            ("of fewer than 100, all", &hundred[..99], 99, Some(99)),
            ("none of a hundred", &hundred, 0, Some(1)),
        ] {
            assert_eq!(ranked(sorted, percent), expected, "{row}");
        }
    }

    #[test]
    fn the_order_of_measuring_does_not_matter() {
        let times: Times = [30, 10, 20].map(Duration::from_nanos).into_iter().collect();
        let expected = Spread {
            samples: 3,
            median_ns: 20,
            p99_ns: 30,
            least_ns: 10,
            most_ns: 30,
        };
        assert_eq!(times.spread(), Some(expected));
        assert_eq!(Times::default().spread(), None);
    }
}
