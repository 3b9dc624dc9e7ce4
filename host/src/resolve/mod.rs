//! Names to addresses, once.

use std::{future::Future, net::IpAddr, pin::Pin, time::Duration};

use pinfold_addr::{Domain, Reason};

/// A lookup under way.
pub type Resolving<'a> = Pin<Box<dyn Future<Output = Result<Answers, ResolveError>> + Send + 'a>>;

/// Looks a name up, both families. Called at most once for each hop, after `check-target`.
pub trait Resolve: std::fmt::Debug + Send + Sync + 'static {
    /// Looks `name` up: absolute, no search list, no hosts file.
    fn resolve<'a>(&'a self, name: &'a Domain) -> Resolving<'a>;
}

/// One set of answers.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Answers {
    /// Addresses of both families, in the order of the answer.
    pub addresses: Vec<IpAddr>,
    /// Aliases the answer came through, without the name asked for.
    pub chain: Vec<Domain>,
    /// How long the answer may be kept.
    pub ttl: Duration,
}

/// Why a lookup gave nothing.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{reason}: {detail}")]
pub struct ResolveError {
    /// One of the `resolve-*` reasons, or `address-scoped`.
    pub reason: Reason,
    /// What exactly.
    pub detail: String,
}

/// Fixed answers, for tests and for `--resolve`.
#[derive(Clone, Debug, Default)]
pub struct Fixed {}

impl Fixed {
    /// Adds a name.
    #[must_use]
    pub fn with(self, name: Domain, answers: Answers) -> Self {
        let _ = (name, answers);
        self
    }

    /// Asks `next` for names that are not fixed. Without it they do not exist.
    #[must_use]
    pub fn or(self, next: impl Resolve) -> Self {
        let _ = next;
        self
    }
}

impl Resolve for Fixed {
    fn resolve<'a>(&'a self, _: &'a Domain) -> Resolving<'a> {
        todo!()
    }
}

/// DNS over UDP and TCP, own resolver (hickory), no NSS.
#[derive(Debug)]
pub struct Dns {}

impl Dns {
    /// The servers of the system's configuration.
    pub fn system_servers() -> Result<Self, ResolveError> {
        todo!()
    }

    /// These servers.
    pub fn servers(servers: impl IntoIterator<Item = std::net::SocketAddr>) -> Self {
        let _ = servers.into_iter();
        todo!()
    }
}

impl Resolve for Dns {
    fn resolve<'a>(&'a self, _: &'a Domain) -> Resolving<'a> {
        todo!()
    }
}
