//! How long the candidate takes, in buckets that double.

use std::time::Duration;

/// Buckets of whole microseconds: below 1, 2, 4, ... The last one holds all that is longer, some half hour.
const BUCKETS: usize = 32;

#[derive(Clone, Debug, Default)]
pub(super) struct Latency {
    buckets: [u64; BUCKETS],
    count: u64,
    total: Duration,
    longest: Duration,
}

/// What is shown, in microseconds. A quantile is the upper bound of its bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub(crate) struct Quantiles {
    pub(crate) count: u64,
    pub(crate) mean_us: u64,
    pub(crate) p50_us: u64,
    pub(crate) p99_us: u64,
    pub(crate) max_us: u64,
}

impl Latency {
    pub(super) fn add(&mut self, took: Duration) {
        let bits = u64::BITS - micros(took).leading_zeros();
        if let Some(bucket) = self.buckets.get_mut((bits as usize).min(BUCKETS - 1)) {
            *bucket += 1;
        }
        self.count += 1;
        self.total = self.total.saturating_add(took);
        self.longest = self.longest.max(took);
    }

    pub(super) fn quantiles(&self) -> Quantiles {
        Quantiles {
            count: self.count,
            mean_us: micros(self.total) / self.count.max(1),
            p50_us: self.quantile(50),
            p99_us: self.quantile(99),
            max_us: micros(self.longest),
        }
    }

    fn quantile(&self, percent: u64) -> u64 {
        let wanted = (self.count * percent).div_ceil(100);
        let mut seen = 0;
        let reaches = |count: &u64| {
            seen += count;
            seen >= wanted
        };
        let bucket = self.buckets.iter().position(reaches).unwrap_or_default();
        (1 << bucket.min(BUCKETS)).min(micros(self.longest))
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_the_bounds_of_buckets() {
        let mut latency = Latency::default();
        assert_eq!(latency.quantiles(), Quantiles::default());
        (0..98).for_each(|_| latency.add(Duration::from_micros(100)));
        (0..2).for_each(|_| latency.add(Duration::from_millis(3)));
        let expected = Quantiles {
            count: 100,
            mean_us: 158,
            p50_us: 128,
            p99_us: 3_000,
            max_us: 3_000,
        };
        assert_eq!(latency.quantiles(), expected);
        latency.add(Duration::MAX);
        assert_eq!(latency.quantiles().max_us, u64::MAX);
    }
}
