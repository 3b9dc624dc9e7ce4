//! Bounds: connections, tunnels, rates; in all, for each source, for each subject.

use std::net::IpAddr;

use crate::{config, refusal::Refusal, subject::Subject};

/// Who is let in. Never waits: what is beyond a bound is refused at once.
#[derive(Debug)]
pub(crate) struct Admission {}

/// A place, given back when it is dropped.
#[derive(Debug)]
#[must_use = "a permit counts while it lives"]
pub(crate) struct Permit {}

impl Admission {
    pub(crate) fn new(_limits: &config::Limits) -> Self {
        Self {}
    }

    /// A connection of a client; `source` is none over a Unix socket.
    pub(crate) fn connection(&self, _source: Option<IpAddr>) -> Result<Permit, Refusal> {
        Ok(Permit {})
    }

    /// A request: rate and open tunnels, in all and of its subject.
    pub(crate) fn request(&self, _subject: Option<&Subject>) -> Result<Permit, Refusal> {
        Ok(Permit {})
    }

    /// Takes other bounds; what is open stays counted.
    pub(crate) fn reconfigure(&self, _limits: &config::Limits) {}
}
