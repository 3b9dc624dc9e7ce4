//! How many lines of one kind a second: who causes them at no cost is not to fill the disk.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// So many a second, from when the first came.
#[derive(Debug)]
pub(super) struct Flood {
    most: u64,
    window: Mutex<Option<Window>>,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    began: Instant,
    taken: u64,
}

impl Flood {
    pub(super) fn new(most: u64) -> Self {
        Self {
            most,
            window: Mutex::default(),
        }
    }

    /// Whether there is room for one more.
    pub(super) fn takes(&self) -> bool {
        let now = Instant::now();
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        let open = window.filter(|window| now.duration_since(window.began) < SECOND);
        let mut open = open.unwrap_or(Window {
            began: now,
            taken: 0,
        });
        let takes = open.taken < self.most;
        open.taken += u64::from(takes);
        *window = Some(open);
        takes
    }
}

const SECOND: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn so_many_a_second() {
        let flood = Flood::new(3);
        let taken = || (0..10).filter(|_| flood.takes()).count();
        assert_eq!(taken(), 3);
        tokio::time::advance(SECOND / 2).await;
        assert_eq!(taken(), 0);
        tokio::time::advance(SECOND / 2).await;
        assert_eq!(taken(), 3);
    }
}
