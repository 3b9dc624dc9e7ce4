//! Bounds: connections, tunnels, rates; in all, for each source, for each subject.
//!
//! Everything here answers at once, under one short lock, and costs memory only for what is open or was asked
//! lately: a source is forgotten with its last connection, a subject when nothing of it is open and its rate is
//! whole again.
//!
//! | file | what it does |
//! |---|---|
//! | `subjects` | what each subject has open and how fast it asks, in a bounded table |
//! | `sources` | connections of each client address |
//! | `rate` | requests a second, with a burst |
//! | `usage` | what is in use, for operators |

mod rate;
mod sources;
mod subjects;
#[cfg(test)]
mod tests;
mod usage;

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

pub(crate) use self::usage::Usage;
use self::{
    rate::Rate,
    sources::Sources,
    subjects::{Slot, Subjects},
};
use crate::{
    config,
    refusal::{Kind, Refusal},
    source::Source,
    subject::Subject,
};

/// Who is let in. Never waits: what is beyond a bound is refused at once.
#[derive(Debug)]
pub(crate) struct Admission {
    state: Arc<Mutex<State>>,
}

/// A place, given back when it is dropped.
#[derive(Debug)]
#[must_use = "a permit counts while it lives"]
pub(crate) struct Permit {
    state: Arc<Mutex<State>>,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Connection(Option<Source>),
    Request(Slot),
}

#[derive(Debug)]
struct State {
    bounds: Bounds,
    connections: usize,
    accepted: u64,
    tunnels: usize,
    rate: Option<Rate>,
    sources: Sources,
    subjects: Subjects,
}

/// What may be open, in all.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    connections: usize,
    per_source: usize,
    tunnels: usize,
    rate: u32,
}

impl Admission {
    pub(crate) fn new(limits: &config::Limits) -> Self {
        Self {
            state: Arc::new(Mutex::new(State::new(limits))),
        }
    }

    /// A connection of a client; `source` is none over a Unix socket.
    pub(crate) fn connection(&self, source: Option<IpAddr>) -> Result<Permit, Refusal> {
        let source = source.map(Source::of);
        locked(&self.state).connection(source)?;
        Ok(self.permit(Place::Connection(source)))
    }

    /// A request: rate and open tunnels, in all and of its subject.
    pub(crate) fn request(&self, subject: Option<&Subject>) -> Result<Permit, Refusal> {
        let slot = locked(&self.state).request(subject)?;
        Ok(self.permit(Place::Request(slot)))
    }

    /// Takes other bounds; what is open stays counted, and nothing is closed for it.
    pub(crate) fn reconfigure(&self, limits: &config::Limits) {
        locked(&self.state).reconfigure(limits);
    }

    /// What is in use now.
    pub(crate) fn usage(&self) -> Usage {
        locked(&self.state).usage()
    }

    fn permit(&self, place: Place) -> Permit {
        Permit {
            state: Arc::clone(&self.state),
            place,
        }
    }
}

impl Permit {
    /// A connection that was counted before anybody knew whose it is: from now on it is one of this source.
    pub(crate) fn belongs_to(&mut self, source: IpAddr) -> Result<(), Refusal> {
        if let Place::Connection(owner @ None) = &mut self.place {
            let source = Source::of(source);
            locked(&self.state).enter(source)?;
            *owner = Some(source);
        }
        Ok(())
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        locked(&self.state).leave(&self.place);
    }
}

impl State {
    fn new(limits: &config::Limits) -> Self {
        Self {
            bounds: Bounds::of(limits),
            connections: 0,
            accepted: 0,
            tunnels: 0,
            rate: Rate::new(limits.rate, limits.burst),
            sources: Sources::default(),
            subjects: Subjects::new(limits),
        }
    }

    fn connection(&mut self, source: Option<Source>) -> Result<(), Refusal> {
        if self.connections >= self.bounds.connections {
            return Err(full("limit-connections", HINT_CONNECTIONS));
        }
        if let Some(source) = source {
            self.enter(source)?;
        }
        self.connections += 1;
        self.accepted = self.accepted.saturating_add(1);
        Ok(())
    }

    fn enter(&mut self, source: Source) -> Result<(), Refusal> {
        match self.sources.enter(source, self.bounds.per_source) {
            true => Ok(()),
            false => Err(over("limit-source", HINT_SOURCE, PAUSE)),
        }
    }

    /// The subject's own bounds come first: who is over them takes nothing from the others.
    fn request(&mut self, subject: Option<&Subject>) -> Result<Slot, Refusal> {
        let now = rate::now();
        if self.tunnels >= self.bounds.tunnels {
            return Err(full("limit-tunnels", HINT_TUNNELS));
        }
        let slot = self.subjects.admit(subject, now)?;
        if let Some(Err(wait)) = self.rate.as_ref().map(|rate| rate.take(now)) {
            return Err(full("limit-rate", HINT_RATE).retry_after(wait));
        }
        self.subjects.enter(&slot);
        self.tunnels += 1;
        Ok(slot)
    }

    fn leave(&mut self, place: &Place) {
        match place {
            Place::Connection(source) => {
                self.connections = self.connections.saturating_sub(1);
                source.iter().for_each(|source| self.sources.leave(*source));
            }
            Place::Request(slot) => {
                self.tunnels = self.tunnels.saturating_sub(1);
                self.subjects.leave(slot);
            }
        }
    }

    fn reconfigure(&mut self, limits: &config::Limits) {
        self.bounds = Bounds::of(limits);
        // A limiter that stays the same keeps what it knows of the last second.
        if !Rate::is_same(self.rate.as_ref(), limits.rate, limits.burst) {
            self.rate = Rate::new(limits.rate, limits.burst);
        }
        self.subjects.reconfigure(limits);
    }
}

impl Bounds {
    fn of(limits: &config::Limits) -> Self {
        Self {
            connections: limits.connections,
            per_source: limits.connections_per_source,
            tunnels: limits.tunnels,
            rate: limits.rate,
        }
    }
}

/// The gateway has no more: everybody's, 503.
fn full(code: &'static str, hint: &'static str) -> Refusal {
    Refusal::new(Kind::Overloaded, STAGE, code)
        .hint(hint)
        .retry_after(PAUSE)
}

/// The client has no more: its own, 429.
fn over(code: &'static str, hint: &'static str, wait: Duration) -> Refusal {
    Refusal::new(Kind::Limited, STAGE, code)
        .hint(hint)
        .retry_after(wait)
}

/// Nothing under the lock can be half done: counts are changed by one statement each.
fn locked(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The stage of all refusals of this module.
const STAGE: &str = "limit";
/// When to come back where nobody can know when a place will be free.
const PAUSE: Duration = Duration::from_secs(1);

const HINT_CONNECTIONS: &str =
    "the gateway has as many clients as it takes: come back later; an operator can raise that";
const HINT_SOURCE: &str = "this address has as many connections as one may have: keep connections and use them again; an operator can raise that";
const HINT_TUNNELS: &str =
    "the gateway has as many tunnels open as it takes: come back later; an operator can raise that";
const HINT_RATE: &str =
    "the gateway takes no more requests this second: come back later; an operator can raise that";
