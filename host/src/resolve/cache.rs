//! Answers kept for their TTL.
//!
//! Own, small, and on tokio's clock, rather than hickory's: that one keeps each family by itself, so that
//! one lookup could join addresses of different ages. Here an entry is one lookup, whole.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use pinfold_addr::{Domain, Reason};
use tokio::time::Instant;

use super::{Answers, ResolveError};

/// Entries in each of the two halves: at most twice as many are kept.
const HALF: usize = 2048;
/// The longest a positive answer is kept, whatever its TTL says.
pub(super) const MAX_TTL: Duration = Duration::from_secs(3600);
/// The longest "no such name" is kept.
pub(super) const MAX_NEGATIVE_TTL: Duration = Duration::from_secs(30);

/// A bounded cache of lookups.
///
/// Two halves: entries are written to the young one; when it is full it becomes the old one and the
/// former old one is dropped. What is used moves to the young half. So the bound holds, what is popular
/// stays, and no step takes longer than one insertion.
#[derive(Debug, Default)]
pub(super) struct Cache {
    halves: Mutex<Halves>,
}

#[derive(Debug, Default)]
struct Halves {
    young: HashMap<Domain, Entry>,
    old: HashMap<Domain, Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    /// `Err` holds the detail of a name without addresses.
    found: Result<Answers, String>,
    expires: Instant,
}

impl Cache {
    /// What is known of a name, its TTL reduced by its age.
    pub(super) fn get(&self, name: &Domain) -> Option<Result<Answers, ResolveError>> {
        let now = Instant::now();
        let entry = self.lock().get(name, now)?;
        Some(match entry.found {
            Ok(answers) => Ok(Answers {
                ttl: entry.expires.saturating_duration_since(now),
                ..answers
            }),
            Err(detail) => Err(ResolveError::new(Reason::ResolveNoAnswer, detail)),
        })
    }

    /// Keeps an answer for its TTL, at most an hour; not at all when the TTL is zero.
    pub(super) fn keep(&self, name: &Domain, answers: &Answers) {
        self.insert(name, Ok(answers.clone()), answers.ttl.min(MAX_TTL));
    }

    /// Keeps "no address" for `ttl`, at most 30 seconds.
    pub(super) fn keep_negative(&self, name: &Domain, detail: &str, ttl: Duration) {
        self.insert(name, Err(detail.into()), ttl.min(MAX_NEGATIVE_TTL));
    }

    fn insert(&self, name: &Domain, found: Result<Answers, String>, ttl: Duration) {
        if !ttl.is_zero() {
            let expires = Instant::now() + ttl;
            self.lock().insert(name.clone(), Entry { found, expires });
        }
    }

    fn lock(&self) -> MutexGuard<'_, Halves> {
        // Nothing panics while the lock is held, and every state in between is valid.
        self.halves.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Halves {
    fn get(&mut self, name: &Domain, now: Instant) -> Option<Entry> {
        if let Some(entry) = self.young.get(name) {
            return Some(entry.clone()).filter(|entry| now < entry.expires);
        }
        let (name, entry) = self.old.remove_entry(name)?;
        if now >= entry.expires {
            return None;
        }
        self.insert(name, entry.clone());
        Some(entry)
    }

    fn insert(&mut self, name: Domain, entry: Entry) {
        if self.young.len() >= HALF && !self.young.contains_key(&name) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(name, entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Domain {
        Domain::parse(text).unwrap()
    }

    fn answers(ttl: u64) -> Answers {
        let ttl = Duration::from_secs(ttl);
        Answers {
            ttl,
            ..Answers::from_addresses([[192, 0, 2, 1].into()])
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_lives_for_its_ttl_and_no_longer() {
        let (cache, name) = (Cache::default(), name("a.example"));
        cache.keep(&name, &answers(10));
        tokio::time::advance(Duration::from_secs(9)).await;
        assert_eq!(cache.get(&name), Some(Ok(answers(1))));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(cache.get(&name), None);
    }

    #[tokio::test(start_paused = true)]
    async fn ttls_are_bounded() {
        let (cache, name) = (Cache::default(), name("a.example"));
        cache.keep(&name, &answers(0));
        assert_eq!(cache.get(&name), None, "TTL 0 is not kept");
        cache.keep(&name, &answers(u64::from(u32::MAX)));
        tokio::time::advance(MAX_TTL).await;
        assert_eq!(cache.get(&name), None, "an hour at most");
        cache.keep_negative(&name, "gone", MAX_TTL);
        assert!(
            matches!(cache.get(&name), Some(Err(error)) if error.reason == Reason::ResolveNoAnswer)
        );
        tokio::time::advance(MAX_NEGATIVE_TTL).await;
        assert_eq!(cache.get(&name), None, "30 seconds at most");
    }

    #[tokio::test(start_paused = true)]
    async fn the_cache_is_bounded_and_keeps_what_is_used() {
        let (cache, popular) = (Cache::default(), name("popular.example"));
        cache.keep(&popular, &answers(3000));
        for n in 0..HALF * 5 {
            cache.keep(&name(&format!("n{n}.example")), &answers(3000));
            assert!(cache.get(&popular).is_some(), "{n}");
        }
        let halves = cache.lock();
        assert!(halves.young.len() <= HALF && halves.old.len() <= HALF);
    }
}
