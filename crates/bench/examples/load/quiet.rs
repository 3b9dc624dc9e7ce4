//! Whether the machine has anything else to do: what others do during a measurement is in it.

use std::{fs, io, time::Duration};

use tokio::time;

/// Waits until little else runs, but not for ever. Which share of the processors others used at last; nothing of
/// this run may be busy meanwhile.
pub(crate) async fn wait(longest: Duration) -> io::Result<f64> {
    let begun = time::Instant::now();
    loop {
        let before = Times::read()?;
        time::sleep(LOOK).await;
        let busy = Times::read()?.busy_since(&before);
        if busy <= LITTLE || begun.elapsed() >= longest {
            return Ok(busy);
        }
    }
}

/// Ticks of all processors since the start of the machine.
struct Times {
    idle: u64,
    all: u64,
}

impl Times {
    fn read() -> io::Result<Self> {
        let text = fs::read_to_string("/proc/stat")?;
        let line = text.lines().next().unwrap_or_default();
        // user, nice, system, idle, iowait, irq, softirq, steal; what follows is in user and nice already.
        let ticks: Vec<u64> = line
            .split_whitespace()
            .skip(1)
            .take(8)
            .flat_map(str::parse)
            .collect();
        let &[_, _, _, idle, waiting, ..] = ticks.as_slice() else {
            return Err(io::Error::other("/proc/stat is not as it was"));
        };
        Ok(Self {
            idle: idle + waiting,
            all: ticks.iter().sum(),
        })
    }

    fn busy_since(&self, before: &Self) -> f64 {
        let all = self.all.saturating_sub(before.all).max(1);
        let idle = self.idle.saturating_sub(before.idle);
        1.0 - idle as f64 / all as f64
    }
}

const LOOK: Duration = Duration::from_millis(500);
/// A share of all processors.
const LITTLE: f64 = 0.1;
