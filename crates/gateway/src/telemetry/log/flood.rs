//! How many refusals of one kind a second: who causes them at no cost is not to fill the disk, and not to push aside
//! what is refused elsewhere or for another reason.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// So many a second of each kind, from when the first came.
#[derive(Debug)]
pub(super) struct Flood {
    most: u64,
    /// In the order in which they came first: none is removed.
    kinds: Mutex<Vec<Kind>>,
}

/// Refusals of one listener, for one reason.
#[derive(Debug)]
struct Kind {
    of: Of,
    began: Instant,
    taken: u64,
    lost: u64,
}

/// Whose refusals.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Of {
    pub(super) listener: String,
    pub(super) code: String,
}

/// How many were not taken since the beginning.
#[derive(Clone, Debug)]
pub(super) struct Total {
    pub(super) of: Of,
    pub(super) lost: u64,
}

impl Flood {
    pub(super) fn new(most: u64) -> Self {
        Self {
            most,
            kinds: Mutex::default(),
        }
    }

    /// Whether there is room for one more of this kind.
    pub(super) fn takes(&self, listener: &str, code: &str) -> bool {
        let now = Instant::now();
        let mut kinds = self.kinds();
        let is = |kind: &Kind| kind.of.listener == listener && kind.of.code == code;
        match kinds.iter().position(is) {
            Some(at) => kinds.get_mut(at),
            None => add(&mut kinds, listener, code, now),
        }
        .is_some_and(|kind| kind.takes(self.most, now))
    }

    /// What was not taken, of each kind, in an order that stays.
    pub(super) fn totals(&self) -> Vec<Total> {
        let total = |kind: &Kind| Total {
            of: kind.of.clone(),
            lost: kind.lost,
        };
        self.kinds().iter().map(total).collect()
    }

    fn kinds(&self) -> MutexGuard<'_, Vec<Kind>> {
        self.kinds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A kind that is new. The last place is for all that find none.
fn add<'a>(
    kinds: &'a mut Vec<Kind>,
    listener: &str,
    code: &str,
    now: Instant,
) -> Option<&'a mut Kind> {
    if kinds.len() < KINDS {
        let (listener, code) = match kinds.len() + 1 == KINDS {
            true => ("*", "*"),
            false => (listener, code),
        };
        kinds.push(Kind {
            of: Of {
                listener: listener.into(),
                code: code.into(),
            },
            began: now,
            taken: 0,
            lost: 0,
        });
    }
    kinds.last_mut()
}

impl Kind {
    fn takes(&mut self, most: u64, now: Instant) -> bool {
        if now.duration_since(self.began) >= SECOND {
            (self.began, self.taken) = (now, 0);
        }
        let takes = self.taken < most;
        match takes {
            true => self.taken += 1,
            false => self.lost += 1,
        }
        takes
    }
}

const SECOND: Duration = Duration::from_secs(1);

/// Kinds that are told apart. Codes of refusals are the gateway's own, and listeners those of the configuration, so that
/// this is more than there are.
const KINDS: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn so_many_a_second() {
        let flood = Flood::new(3);
        let taken = || (0..10).filter(|_| flood.takes("a", "b")).count();
        assert_eq!(taken(), 3);
        tokio::time::advance(SECOND / 2).await;
        assert_eq!(taken(), 0);
        tokio::time::advance(SECOND / 2).await;
        assert_eq!(taken(), 3);
        let totals = flood.totals();
        assert_eq!((totals.len(), totals[0].lost), (1, 24));
    }

    #[test]
    fn one_kind_leaves_room_to_another() {
        let flood = Flood::new(3);
        for (listener, code) in [("a", "b"), ("a", "c"), ("c", "b")] {
            let taken = (0..10).filter(|_| flood.takes(listener, code)).count();
            assert_eq!(taken, 3, "{listener} {code}");
        }
    }

    #[test]
    fn kinds_are_bounded() {
        let flood = Flood::new(1);
        for number in 0..KINDS * 2 {
            flood.takes("a", &number.to_string());
        }
        let totals = flood.totals();
        assert_eq!(totals.len(), KINDS);
        let last = totals.last().unwrap();
        assert_eq!((&*last.of.listener, last.lost), ("*", KINDS as u64));
    }
}
