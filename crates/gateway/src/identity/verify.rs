//! Passwords are slow to verify, on purpose: for strangers, a bounded number at a time.

use std::{
    collections::{HashMap, hash_map::Entry},
    hash::{BuildHasher, Hash, RandomState},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout},
};

use super::{
    STAGE,
    credentials::{Credentials, Vouched},
    wrong,
};
use crate::{
    client::ClientAddress,
    refusal::{Kind, Refusal},
    source::Source,
};

/// Who verifies passwords.
#[derive(Debug)]
pub(super) struct Verifier {
    /// Half of the processors: requests of those who are known already go on meanwhile.
    running: Arc<Semaphore>,
    waiting: Mutex<Waiting>,
}

/// Who waits: in all, from each source, and with each name from there, so that none of them takes every place.
#[derive(Debug, Default)]
struct Waiting {
    all: usize,
    by_source: HashMap<Origin, usize>,
    by_name: HashMap<Claim, usize>,
    /// Of which passwords were wrong lately, and until when that counts.
    failed: HashMap<Claim, Instant>,
    names: RandomState,
}

/// A name that somebody from there claims. Names are as long as a client likes: a hash stands for them.
type Claim = (Origin, u64);

/// Where somebody comes from: an address or its network, a user of this machine.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
enum Origin {
    Source(Source),
    User(u32),
}

/// A place in the queue, given back when it is dropped.
struct Place<'a> {
    waiting: &'a Mutex<Waiting>,
    claim: Claim,
}

impl Default for Verifier {
    fn default() -> Self {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        Self::new((processors / 2).clamp(1, MAX_RUNNING))
    }
}

impl Verifier {
    fn new(running: usize) -> Self {
        Self {
            running: Arc::new(Semaphore::new(running)),
            waiting: Mutex::default(),
        }
    }

    /// Whose password it is. One that was verified before costs nothing and waits for nobody.
    pub(super) async fn password(
        &self,
        credentials: &Arc<Credentials>,
        client: ClientAddress,
        name: String,
        password: Vec<u8>,
    ) -> Result<Vouched, Refusal> {
        if let Some(subject) = credentials.remembered(&name, &password) {
            return Ok(subject);
        }
        let place = Place::take(&self.waiting, Origin::of(client), &name).ok_or_else(busy)?;
        let permit = self.permit().await.ok_or_else(busy)?;
        // A client that sends many requests at once is verified once.
        if let Some(subject) = credentials.remembered(&name, &password) {
            return Ok(subject);
        }
        let credentials = Arc::clone(credentials);
        let verified = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            credentials.verify(&name, &password)
        });
        let verified = verified.await.map_err(|_| busy())?;
        place.came_out(verified.is_some());
        verified.ok_or_else(wrong)
    }

    async fn permit(&self) -> Option<OwnedSemaphorePermit> {
        let permit = Arc::clone(&self.running).acquire_owned();
        timeout(MAX_WAIT, permit).await.ok()?.ok()
    }
}

impl<'a> Place<'a> {
    fn take(waiting: &'a Mutex<Waiting>, source: Origin, name: &str) -> Option<Self> {
        let mut now = waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let claim = (source, now.names.hash_one(name));
        let here = now.by_source.get(&source).copied().unwrap_or(0);
        let alike = now.by_name.get(&claim).copied().unwrap_or(0);
        let most = now.most_of(&claim);
        if now.all >= MAX_WAITING || here >= MAX_WAITING_OF_SOURCE || alike >= most {
            return None;
        }
        now.all += 1;
        now.by_source.insert(source, here + 1);
        now.by_name.insert(claim, alike + 1);
        Some(Self { waiting, claim })
    }

    /// Notes what was found.
    fn came_out(&self, right: bool) {
        let mut now = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        match right {
            true => drop(now.failed.remove(&self.claim)),
            false => now.fail(self.claim),
        }
    }
}

impl Waiting {
    /// Places of one name from one source. Who guesses waits for each guess.
    fn most_of(&self, claim: &Claim) -> usize {
        let lately = self.failed.get(claim);
        match lately.is_some_and(|until| Instant::now() < *until) {
            true => 1,
            false => MAX_WAITING_OF_NAME,
        }
    }

    fn fail(&mut self, claim: Claim) {
        let now = Instant::now();
        if self.failed.len() >= MAX_FAILED {
            self.failed.retain(|_, until| now < *until);
        }
        // Full of names that were made up: they are bounded by the places of their source.
        if self.failed.len() < MAX_FAILED {
            self.failed.insert(claim, now + FAILED);
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut now = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        now.all = now.all.saturating_sub(1);
        leave(&mut now.by_source, self.claim.0);
        leave(&mut now.by_name, self.claim);
    }
}

fn leave<K: Eq + Hash>(counts: &mut HashMap<K, usize>, key: K) {
    if let Entry::Occupied(mut count) = counts.entry(key) {
        match count.get() {
            0 | 1 => drop(count.remove()),
            _ => *count.get_mut() -= 1,
        }
    }
}

impl Origin {
    fn of(client: ClientAddress) -> Self {
        match client {
            ClientAddress::Unix { uid, .. } => Self::User(uid),
            ClientAddress::Tcp(address) => Self::Source(Source::of(address.ip())),
        }
    }
}

fn busy() -> Refusal {
    Refusal::new(Kind::Overloaded, STAGE, "verification-busy")
        .hint("too many passwords are being verified: come back, and keep the connection")
        .retry_after(Duration::from_secs(1))
}

/// Passwords that are verified at a time, at most; each takes 19 MiB.
const MAX_RUNNING: usize = 8;

/// Requests that wait for it, in all and of one source.
const MAX_WAITING: usize = 256;
const MAX_WAITING_OF_SOURCE: usize = 32;

/// Requests of one source that wait with the same name; one, when its password was wrong lately. A source can be many
/// people behind one address, and a guess at one name is not to keep the others out.
const MAX_WAITING_OF_NAME: usize = 4;

/// How long a wrong password counts as lately, and of how many names at a time.
const FAILED: Duration = Duration::from_secs(10);
const MAX_FAILED: usize = 4_096;

/// How long one waits.
const MAX_WAIT: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_and_given_back() {
        let waiting = Mutex::<Waiting>::default();
        let of = |last| Origin::Source(Source::of([127, 0, 0, last].into()));
        let one: Vec<_> = (0..MAX_WAITING_OF_SOURCE)
            .map(|at| Place::take(&waiting, of(1), &at.to_string()).unwrap())
            .collect();
        assert!(Place::take(&waiting, of(1), "new").is_none());
        let others: Vec<_> = (0..MAX_WAITING - MAX_WAITING_OF_SOURCE)
            .map(|at| Place::take(&waiting, of(2 + (at / 32) as u8), &at.to_string()).unwrap())
            .collect();
        assert!(Place::take(&waiting, of(99), "a").is_none());
        drop((one, others));
        let left = waiting.lock().unwrap();
        let left = (left.all, left.by_source.len(), left.by_name.len());
        assert_eq!(left, (0, 0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn who_guesses_at_one_name_leaves_places_to_others() {
        let waiting = Mutex::<Waiting>::default();
        let here = Origin::User(1);
        let take = |name: &str| Place::take(&waiting, here, name);
        let held: Vec<_> = (0..9).filter_map(|_| take("a")).collect();
        assert_eq!(held.len(), MAX_WAITING_OF_NAME);
        assert!(take("b").is_some(), "another name of the same source");
        assert!(Place::take(&waiting, Origin::User(2), "a").is_some());
        held[0].came_out(false);
        drop(held);
        let one = take("a").unwrap();
        assert!(take("a").is_none(), "one at a time");
        tokio::time::advance(FAILED).await;
        assert!(take("a").is_some(), "a while later");
        one.came_out(false);
        one.came_out(true);
        assert!(take("a").is_some(), "the right one counts");
        for name in 0..MAX_FAILED * 2 {
            take(&name.to_string()).unwrap().came_out(false);
        }
        assert_eq!(waiting.lock().unwrap().failed.len(), MAX_FAILED);
    }

    #[test]
    fn a_network_of_ipv6_is_one_source() {
        let of = |text: &str| Origin::of(ClientAddress::Tcp(text.parse().unwrap()));
        assert_eq!(of("[2001:db8::1]:1"), of("[2001:db8::2:0:0:1]:2"));
        assert_ne!(of("[2001:db8::1]:1"), of("[2001:db8:0:1::1]:1"));
        assert_eq!(of("[::ffff:127.0.0.1]:1"), of("127.0.0.1:2"));
        assert_ne!(of("127.0.0.1:1"), of("127.0.0.2:1"));
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_too_long_is_told_to_come_back() {
        let verifier = Verifier::new(0);
        let client = ClientAddress::Unix { uid: 1, pid: None };
        let credentials = Arc::default();
        let password = verifier.password(&credentials, client, "a".into(), b"b".to_vec());
        let refusal = password.await.unwrap_err();
        assert_eq!(refusal.code, "verification-busy");
        assert_eq!(refusal.retry_after, Some(Duration::from_secs(1)));
    }
}
