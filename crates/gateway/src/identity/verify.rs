//! Passwords are slow to verify, on purpose: for strangers, a bounded number at a time.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use super::{STAGE, credentials::Credentials, wrong};
use crate::{
    client::ClientAddress,
    config::SubjectName,
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

/// Who waits: in all, and from each source, so that one of them does not take every place.
#[derive(Debug, Default)]
struct Waiting {
    all: usize,
    by_source: HashMap<Origin, usize>,
}

/// Where somebody comes from: an address or its network, a user of this machine.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
enum Origin {
    Source(Source),
    User(u32),
}

/// A place in the queue, given back when it is dropped.
struct Place<'a> {
    waiting: &'a Mutex<Waiting>,
    source: Origin,
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
    ) -> Result<SubjectName, Refusal> {
        if let Some(subject) = credentials.remembered(&name, &password) {
            return Ok(subject);
        }
        let _place = Place::take(&self.waiting, Origin::of(client)).ok_or_else(busy)?;
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
        verified.await.map_err(|_| busy())?.ok_or_else(wrong)
    }

    async fn permit(&self) -> Option<OwnedSemaphorePermit> {
        let permit = Arc::clone(&self.running).acquire_owned();
        timeout(MAX_WAIT, permit).await.ok()?.ok()
    }
}

impl<'a> Place<'a> {
    fn take(waiting: &'a Mutex<Waiting>, source: Origin) -> Option<Self> {
        let mut now = waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let here = now.by_source.get(&source).copied().unwrap_or(0);
        if now.all >= MAX_WAITING || here >= MAX_WAITING_OF_SOURCE {
            return None;
        }
        now.all += 1;
        now.by_source.insert(source, here + 1);
        Some(Self { waiting, source })
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut now = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        now.all = now.all.saturating_sub(1);
        match now.by_source.get_mut(&self.source) {
            Some(here) if *here > 1 => *here -= 1,
            _ => {
                now.by_source.remove(&self.source);
            }
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

/// How long one waits.
const MAX_WAIT: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_and_given_back() {
        let waiting = Mutex::default();
        let of = |last| Origin::Source(Source::of([127, 0, 0, last].into()));
        let one: Vec<_> = (0..MAX_WAITING_OF_SOURCE)
            .map(|_| Place::take(&waiting, of(1)).unwrap())
            .collect();
        assert!(Place::take(&waiting, of(1)).is_none());
        let others: Vec<_> = (0..MAX_WAITING - MAX_WAITING_OF_SOURCE)
            .map(|at| Place::take(&waiting, of(2 + (at / 32) as u8)).unwrap())
            .collect();
        assert!(Place::take(&waiting, of(99)).is_none());
        drop((one, others));
        let left = waiting.lock().unwrap();
        assert_eq!((left.all, left.by_source.len()), (0, 0));
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
