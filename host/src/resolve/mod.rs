//! Names to addresses, once for each hop.
//!
//! | resolver | asks | when |
//! |---|---|---|
//! | [`Dns`] | DNS servers, over UDP and TCP | the default |
//! | [`System`] | the operating system (NSS: hosts file, mDNS, ...) | where names live outside DNS |
//! | [`Fixed`] | nobody | tests, and `--resolve` of the command line |
//!
//! Whatever a resolver answers is judged address by address; a resolver decides nothing. The guard
//! bounds it: [`Limits::resolve`](crate::Limits::resolve) in time, [`Limits::answers`](crate::Limits::answers)
//! and [`Limits::chain`](crate::Limits::chain) in size. A lookup that fails in any way denies the request.

mod answer;
mod cache;
mod fixed;
mod hickory;
mod system;

use std::{future::Future, net::IpAddr, pin::Pin, sync::Arc, time::Duration};

use pinfold_addr::{Domain, Reason};

pub(crate) use answer::{MAX_ANSWERS, MAX_CHAIN};
pub use fixed::{Fixed, InvalidRule};
pub use hickory::{Dns, Families};
pub use system::System;

/// A lookup under way.
pub type Resolving<'a> = Pin<Box<dyn Future<Output = Result<Answers, ResolveError>> + Send + 'a>>;

/// Looks a name up, both families. Called at most once for each hop, after `check-target`.
///
/// ```
/// use pinfold::{addr::Domain, resolve::{Answers, Resolve, Resolving}};
///
/// #[derive(Debug)]
/// struct Documentation;
///
/// impl Resolve for Documentation {
///     fn resolve<'a>(&'a self, _: &'a Domain) -> Resolving<'a> {
///         Box::pin(async { Ok(Answers::from_addresses([[192, 0, 2, 1].into()])) })
///     }
/// }
/// ```
pub trait Resolve: std::fmt::Debug + Send + Sync + 'static {
    /// Looks `name` up: absolute, no search list. The future may be dropped at any time: the guard
    /// bounds how long it waits.
    fn resolve<'a>(&'a self, name: &'a Domain) -> Resolving<'a>;
}

impl<R: Resolve + ?Sized> Resolve for Arc<R> {
    fn resolve<'a>(&'a self, name: &'a Domain) -> Resolving<'a> {
        (**self).resolve(name)
    }
}

impl<R: Resolve + ?Sized> Resolve for Box<R> {
    fn resolve<'a>(&'a self, name: &'a Domain) -> Resolving<'a> {
        (**self).resolve(name)
    }
}

/// One set of answers.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Answers {
    /// Addresses of both families, in the order of the answer.
    pub addresses: Vec<IpAddr>,
    /// Aliases the answer came through, without the name asked for.
    pub chain: Vec<Domain>,
    /// How long the answer may be kept. A pin's lifetime does not depend on it.
    pub ttl: Duration,
}

impl Answers {
    /// Addresses without aliases, not to be kept.
    pub fn from_addresses(addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        Self {
            addresses: addresses.into_iter().collect(),
            ..Self::default()
        }
    }
}

/// Why a lookup gave nothing.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{reason}: {detail}")]
pub struct ResolveError {
    /// One of the `resolve-*` reasons, or `address-scoped`.
    pub reason: Reason,
    /// What exactly, for the operator.
    pub detail: String,
}

impl ResolveError {
    pub(crate) fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self {
            reason,
            detail: detail.into(),
        }
    }

    /// Whether the network failed, or there was nothing to find; otherwise the answer is refused.
    pub(crate) fn is_network(&self) -> bool {
        matches!(
            self.reason,
            Reason::ResolveFailed | Reason::ResolveNoAnswer | Reason::ResolveTimeout
        )
    }
}

/// A resolver that could not be made: every lookup fails and says why. Address literals still work.
#[derive(Debug)]
pub(crate) struct Broken(pub(crate) ResolveError);

impl Resolve for Broken {
    fn resolve<'a>(&'a self, _: &'a Domain) -> Resolving<'a> {
        Box::pin(std::future::ready(Err(self.0.clone())))
    }
}
