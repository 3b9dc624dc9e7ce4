//! `Guard`: the way of a request.

use std::sync::Arc;

use ipnet::Ipv6Net;

use crate::{
    Admitted, Connector, Decision, Error, Grant, Limits, Observer, Pinned, PolicyRef, Request,
    policy::{LoadError, Source},
    resolve::Resolve,
};

/// Judges, resolves once, pins. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Guard {}

/// Builds a guard. Everything has a safe default.
#[derive(Debug, Default)]
pub struct GuardBuilder {}

/// One request with all its redirects, under one snapshot of the policy.
#[derive(Debug)]
pub struct Session {}

impl Guard {
    /// A guard with the shipped policy, its default settings, and the system's DNS servers.
    pub fn new() -> Result<Self, LoadError> {
        Self::builder().build()
    }

    /// Starts a builder.
    pub fn builder() -> GuardBuilder {
        GuardBuilder::default()
    }

    /// Begins a request: one snapshot of the active policy for it and its redirects.
    pub fn session(&self) -> Session {
        todo!()
    }

    /// Judges a target without connecting: the record of what would happen.
    pub async fn check(&self, request: Request) -> Arc<Decision> {
        let _ = request;
        todo!()
    }

    /// Opens sockets to pins.
    pub fn connector(&self) -> Connector {
        todo!()
    }

    /// Replaces the policy. Compiles on the calling thread; the old policy serves until the new one
    /// is ready, and stays when it is bad. Returns the new generation.
    pub fn swap(&self, source: Source, settings: serde_json::Value) -> Result<u64, LoadError> {
        let _ = (source, settings);
        todo!()
    }

    /// The active policy.
    pub fn policy(&self) -> PolicyRef {
        todo!()
    }

    /// Follows the generation: changes at every successful swap. What keeps connections retires those
    /// of older generations when it changes.
    pub fn generation(&self) -> tokio::sync::watch::Receiver<u64> {
        todo!()
    }
}

impl Session {
    /// Steps 3 and 4: floor and `check-target`.
    pub fn admit(&self, request: Request) -> Result<Admitted, Error> {
        let _ = request;
        todo!()
    }

    /// Steps 5 to 8: resolve once, classify, `check-addresses`, floor, pin.
    pub async fn resolve(&self, admitted: Admitted) -> Result<Pinned, Error> {
        let _ = admitted;
        todo!()
    }

    /// `admit` and `resolve`.
    pub async fn pin(&self, request: Request) -> Result<Pinned, Error> {
        let admitted = self.admit(request)?;
        self.resolve(admitted).await
    }

    /// The policy of this session.
    pub fn policy(&self) -> &PolicyRef {
        todo!()
    }
}

impl GuardBuilder {
    /// The policy. Default: the shipped one.
    #[must_use]
    pub fn policy(self, source: Source) -> Self {
        let _ = source;
        self
    }

    /// Settings of the policy. Default: `{}`.
    #[must_use]
    pub fn settings(self, settings: serde_json::Value) -> Self {
        let _ = settings;
        self
    }

    /// Who looks names up. Default: the servers of the system's configuration.
    #[must_use]
    pub fn resolver(self, resolver: impl Resolve) -> Self {
        let _ = resolver;
        self
    }

    /// Exceptions to the floor.
    #[must_use]
    pub fn grants(self, grants: impl IntoIterator<Item = Grant>) -> Self {
        let _ = grants.into_iter();
        self
    }

    /// The operator's NAT64 prefixes. Default: none.
    #[must_use]
    pub fn nat64(self, prefixes: impl IntoIterator<Item = Ipv6Net>) -> Self {
        let _ = prefixes.into_iter();
        self
    }

    /// Bounds.
    #[must_use]
    pub fn limits(self, limits: Limits) -> Self {
        let _ = limits;
        self
    }

    /// Who takes the records.
    #[must_use]
    pub fn observer(self, observer: impl Observer) -> Self {
        let _ = observer;
        self
    }

    /// Loads the policy and makes the guard.
    pub fn build(self) -> Result<Guard, LoadError> {
        todo!()
    }
}
