//! Connections that are kept for the next request.
//!
//! A kept connection is used only for the scheme, host and port it was made for, only when its peer is
//! among the addresses that were judged *for this request*, and only under the policy (digest and
//! generation) that judged when it was made. When the generation changes, all of them are closed at
//! once.
//!
//! Whoever sends for several says for whom, and then none of them gets a connection of another one. What was used for
//! an authentication that binds the connection (NTLM, Negotiate) is not kept at all.

use std::{
    collections::HashMap,
    fmt,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
};

use pinfold::Pinned;
use tokio::{
    runtime::Handle,
    sync::watch,
    task::AbortHandle,
    time::{Duration, Instant, sleep_until},
};

use crate::{Limits, deadline::at, link::Link};

/// The kept connections of one client.
#[derive(Clone)]
pub(crate) struct Pool {
    shared: Arc<Shared>,
}

struct Shared {
    idle: Duration,
    per_origin: usize,
    total: usize,
    generation: watch::Receiver<u64>,
    kept: Mutex<Kept>,
    /// A task that closes what is kept too long runs. It ends some time after the last one is gone.
    sweeping: AtomicBool,
    sweeper: Mutex<Option<AbortHandle>>,
}

#[derive(Default)]
struct Kept {
    generation: u64,
    count: usize,
    /// Something was kept since the sweeper last found nothing.
    used: bool,
    /// By peer, because a request comes with a list of judged addresses. The newest is last.
    by_peer: HashMap<SocketAddr, Vec<Idle>>,
}

struct Idle {
    link: Box<Link>,
    since: Instant,
}

impl Pool {
    pub(crate) fn new(limits: &Limits, generation: watch::Receiver<u64>) -> Self {
        let kept = Kept {
            generation: *generation.borrow(),
            ..Kept::default()
        };
        let shared = Shared {
            idle: limits.idle,
            per_origin: limits.idle_per_origin,
            total: limits.idle_total,
            generation,
            kept: Mutex::new(kept),
            sweeping: AtomicBool::new(false),
            sweeper: Mutex::default(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// A connection that may serve this request, ready for it.
    pub(crate) fn take(&self, pinned: &Pinned, partition: Option<&str>) -> Option<Box<Link>> {
        loop {
            let mut link = self.shared.pick(pinned, partition)?;
            // Looked at outside the lock: it reads from the socket.
            if link.is_ready() {
                return Some(link);
            }
        }
    }

    /// How many are kept.
    pub(crate) fn len(&self) -> usize {
        let kept = self.shared.kept.lock();
        kept.unwrap_or_else(PoisonError::into_inner).count
    }

    /// Keeps a connection whose exchange is over, when it may be kept.
    pub(crate) fn put(&self, mut link: Box<Link>) {
        // Without a runtime nobody would close it in time.
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        let refused = match link.is_ready() {
            true => self.shared.keep(link),
            false => Some(link),
        };
        match refused {
            None => self.sweep(&runtime),
            // Closing takes the kernel as long as a small exchange: nobody has to wait for it.
            Some(link) => drop(runtime.spawn(async move { drop(link) })),
        }
    }

    fn sweep(&self, runtime: &Handle) {
        if self.shared.sweeping.swap(true, Ordering::AcqRel) {
            return;
        }
        let task = runtime.spawn(sweep(Sweeping {
            pool: Arc::downgrade(&self.shared),
            done: false,
        }));
        let mut sweeper = self
            .shared
            .sweeper
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *sweeper = Some(task.abort_handle());
    }
}

impl Shared {
    fn pick(&self, pinned: &Pinned, partition: Option<&str>) -> Option<Box<Link>> {
        let (picked, _retired) = {
            let mut kept = self.lock();
            let retired = self.retire(&mut kept);
            let now = Instant::now();
            let picked = pinned.addresses().iter().find_map(|peer| {
                kept.pick(peer, |idle| {
                    let purpose = &idle.link.purpose;
                    purpose.serves(pinned.target(), pinned.policy(), partition)
                        && now.duration_since(idle.since) < self.idle
                })
            });
            (picked, retired)
        };
        picked
    }

    /// Keeps the connection, or hands it back. What it displaces is closed outside the lock.
    fn keep(&self, link: Box<Link>) -> Option<Box<Link>> {
        let _retired;
        let _displaced;
        let mut kept = self.lock();
        _retired = self.retire(&mut kept);
        if link.purpose.generation != kept.generation || self.total == 0 || self.per_origin == 0 {
            return Some(link);
        }
        _displaced = if kept.siblings(&link) >= self.per_origin {
            kept.oldest_of(Some(&link))
        } else if kept.count >= self.total {
            kept.oldest_of(None)
        } else {
            None
        };
        kept.add(Idle {
            link,
            since: Instant::now(),
        });
        kept.used = true;
        drop(kept);
        None
    }

    /// Takes everything out when the policy has changed.
    fn retire(&self, kept: &mut Kept) -> Vec<Idle> {
        let current = *self.generation.borrow();
        if kept.generation == current {
            return Vec::new();
        }
        kept.generation = current;
        kept.count = 0;
        std::mem::take(&mut kept.by_peer)
            .into_values()
            .flatten()
            .collect()
    }

    /// Closes what is too old, and says when to look again; none when nothing was kept for a while. A
    /// connection that comes and goes with each request does not start and end a sweeper each time.
    fn expire(&self) -> Option<Instant> {
        let _retired;
        let _expired;
        let mut kept = self.lock();
        _retired = self.retire(&mut kept);
        let now = Instant::now();
        _expired = kept.older_than(now, self.idle);
        if kept.count == 0 && !std::mem::take(&mut kept.used) {
            // Said under the lock, so that whoever keeps the next one starts a new sweeper.
            self.sweeping.store(false, Ordering::Release);
            return None;
        }
        Some(at(kept.oldest().unwrap_or(now), self.idle))
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        // Nothing that runs under the lock leaves it half done, so a panic elsewhere does no harm.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    /// The newest connection to `peer` that fits.
    fn pick(&mut self, peer: &SocketAddr, fits: impl Fn(&Idle) -> bool) -> Option<Box<Link>> {
        let list = self.by_peer.get_mut(peer)?;
        let position = list.iter().rposition(fits)?;
        let idle = list.remove(position);
        self.count -= 1;
        if list.is_empty() {
            self.by_peer.remove(peer);
        }
        Some(idle.link)
    }

    fn add(&mut self, idle: Idle) {
        self.by_peer
            .entry(idle.link.purpose.peer)
            .or_default()
            .push(idle);
        self.count += 1;
    }

    /// Connections kept for the same origin at the same address.
    fn siblings(&self, link: &Link) -> usize {
        self.by_peer.get(&link.purpose.peer).map_or(0, |list| {
            list.iter()
                .filter(|idle| idle.link.purpose.same_origin(&link.purpose))
                .count()
        })
    }

    /// Takes out the one that waited longest: among those for the same origin and address, or of all.
    fn oldest_of(&mut self, sibling: Option<&Link>) -> Option<Idle> {
        let (peer, position) = self
            .by_peer
            .iter()
            .filter(|(peer, _)| sibling.is_none_or(|link| link.purpose.peer == **peer))
            .flat_map(|(peer, list)| {
                list.iter()
                    .enumerate()
                    .map(move |(n, idle)| (peer, n, idle))
            })
            .filter(|(.., idle)| {
                sibling.is_none_or(|link| idle.link.purpose.same_origin(&link.purpose))
            })
            .min_by_key(|(.., idle)| idle.since)
            .map(|(peer, position, _)| (*peer, position))?;
        let list = self.by_peer.get_mut(&peer)?;
        let idle = list.remove(position);
        self.count -= 1;
        if list.is_empty() {
            self.by_peer.remove(&peer);
        }
        Some(idle)
    }

    /// Takes out what has waited at least this long.
    fn older_than(&mut self, now: Instant, age: Duration) -> Vec<Idle> {
        let mut expired = Vec::new();
        self.by_peer.retain(|_, list| {
            expired.extend(list.extract_if(.., |idle| now.duration_since(idle.since) >= age));
            !list.is_empty()
        });
        self.count -= expired.len();
        expired
    }

    fn oldest(&self) -> Option<Instant> {
        self.by_peer.values().flatten().map(|idle| idle.since).min()
    }
}

/// Closes kept connections when they are too old, and all of them when the policy changes.
async fn sweep(mut pool: Sweeping) {
    let Some(mut generation) = pool.generation() else {
        return;
    };
    while let Some(next) = pool.expire() {
        tokio::select! {
            () = sleep_until(next) => {}
            changed = generation.changed() => {
                // The guard is gone, and with it all that could make a request.
                if changed.is_err() {
                    return;
                }
            }
        }
    }
}

/// The sweeper's hold on the pool. It does not keep the pool alive, and it says so when it ends before
/// its work is done, as with the runtime it runs on.
struct Sweeping {
    pool: Weak<Shared>,
    done: bool,
}

impl Sweeping {
    fn generation(&self) -> Option<watch::Receiver<u64>> {
        self.pool.upgrade().map(|shared| shared.generation.clone())
    }

    fn expire(&mut self) -> Option<Instant> {
        let next = self.pool.upgrade().and_then(|shared| shared.expire());
        self.done = next.is_none();
        next
    }
}

impl Drop for Sweeping {
    fn drop(&mut self) {
        if !self.done
            && let Some(shared) = self.pool.upgrade()
        {
            shared.sweeping.store(false, Ordering::Release);
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let sweeper = self
            .sweeper
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(sweeper) = sweeper.take() {
            sweeper.abort();
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kept = self.shared.lock();
        f.debug_struct("Pool")
            .field("generation", &kept.generation)
            .field("kept", &kept.count)
            .finish_non_exhaustive()
    }
}
