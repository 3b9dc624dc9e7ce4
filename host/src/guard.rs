//! `Guard`: the way of a request.

mod addresses;
mod builder;
mod rejudge;
mod report;
mod session;

use std::{fmt, sync::Arc};

use crate::{
    Connector, Decision, Error, Limits, Observer, Pinned, PolicyRef, Request,
    policy::{Fallback, Layer, LoadError, Policies, Source, floor::Floor},
    record::Inputs,
    resolve::Resolve,
};

pub use builder::GuardBuilder;
pub use report::Mode;
pub use session::Session;
pub(crate) use session::{Heard, obeys};

/// Judges, resolves once, pins. Cheap to clone; clones share policy, resolver and floor.
///
/// ```
/// use pinfold::{Guard, Request, addr::Target, resolve::Fixed};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let guard = Guard::builder()
///     .resolver(Fixed::default().rule("example.com=93.184.216.34")?)
///     .build()?;
/// let pinned = guard.pin(Request::new(Target::parse("https://example.com/feed")?)).await?;
/// assert_eq!(pinned.addresses(), ["93.184.216.34:443".parse()?]);
/// // `guard.connector().connect(pinned).await` would open the socket, to that address and no other.
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Guard {
    core: Arc<Core>,
}

/// What the clones of a guard share.
struct Core {
    policies: Policies,
    floor: Arc<Floor>,
    resolver: Arc<dyn Resolve>,
    observer: Arc<dyn Observer>,
    inputs: Inputs,
    limits: Limits,
}

impl Guard {
    /// A guard with the shipped policy, its default settings, and the system's DNS servers.
    pub fn new() -> Result<Self, LoadError> {
        Self::builder().build()
    }

    /// Starts a builder.
    pub fn builder() -> GuardBuilder {
        GuardBuilder::default()
    }

    /// Begins a request: one snapshot of the active policy for it and its redirects (step 2).
    pub fn session(&self) -> Session {
        Session::begin(self.core.clone())
    }

    /// Judges and resolves a request without redirects: a [`session`](Self::session) of one hop.
    pub async fn pin(&self, request: Request) -> Result<Pinned, Error> {
        self.session().pin(request).await
    }

    /// Judges, resolves and connects a request without redirects.
    pub async fn connect(&self, request: Request) -> Result<crate::Connection, Error> {
        let pinned = self.pin(request).await?;
        self.connector().connect(pinned).await
    }

    /// Judges a target without connecting: the record of what would happen. The observer takes it too.
    pub async fn check(&self, request: Request) -> Arc<Decision> {
        match self.session().judge(request).await {
            Ok(pinned) => pinned.record.allow(None, false),
            Err(ended) => ended.decision,
        }
    }

    /// Opens sockets to pins.
    pub fn connector(&self) -> Connector {
        Connector::new(self.core.floor.clone(), &self.core.limits)
    }

    /// Replaces the policy, where there is only one. Compiles on the calling thread; the old policy serves until the new one
    /// is ready, and stays when it is bad. Returns the new generation.
    ///
    /// Swaps may run side by side, and a slow one holds no other up. The one that was asked for last
    /// stays: an earlier one that is ready only after it is left, with [`LoadError::Overtaken`].
    ///
    /// # Errors
    ///
    /// When the policy is refused; [`LoadError::SeveralLayers`] when there are several.
    pub fn swap(&self, source: Source, settings: serde_json::Value) -> Result<u64, LoadError> {
        self.core.policies.swap(source, settings)
    }

    /// As [`swap`](Self::swap), for one layer of the chain. The others stay as they are, with their
    /// instances; requests see the chain before or the chain after, never a mixture.
    ///
    /// # Errors
    ///
    /// When the policy is refused; [`LoadError::UnknownLayer`] when no layer has this name.
    pub fn swap_layer(
        &self,
        name: &str,
        source: Source,
        settings: serde_json::Value,
    ) -> Result<u64, LoadError> {
        self.core.policies.swap_layer(name, source, settings)
    }

    /// As [`swap`](Self::swap), for the whole chain: its length, its order, its names. One bad policy keeps
    /// all of it out. A layer that was swapped meanwhile, and later asked for, keeps what that brought.
    ///
    /// # Errors
    ///
    /// As [`GuardBuilder::build`], about the policies.
    pub fn swap_layers(&self, layers: Vec<Layer>) -> Result<u64, LoadError> {
        self.core.policies.swap_layers(layers)
    }

    /// The active policy; of a chain, the first.
    pub fn policy(&self) -> PolicyRef {
        PolicyRef::clone(self.core.policies.current().policy_ref())
    }

    /// The active policies, in the order in which they are asked; one or more.
    pub fn policies(&self) -> Vec<PolicyRef> {
        let active = self.core.policies.current();
        active
            .policy_refs()
            .map(|policy| PolicyRef::clone(policy))
            .collect()
    }

    /// What this machine lacks to run policies at full speed, and what is done instead. Worth a line in a
    /// log at start: none of it is less safe, all of it is slower.
    pub fn fallbacks(&self) -> &[Fallback] {
        self.core.policies.fallbacks()
    }

    /// Whether both are clones of one guard: what one of them opened, the other can judge again.
    ///
    /// ```
    /// let guard = pinfold::Guard::new()?;
    /// assert!(guard.is(&guard.clone()) && !guard.is(&pinfold::Guard::new()?));
    /// # Ok::<(), pinfold::policy::LoadError>(())
    /// ```
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.core, &other.core)
    }

    /// Follows the generation: changes at every successful swap. What keeps connections retires those
    /// of older generations when it changes.
    pub fn generation(&self) -> tokio::sync::watch::Receiver<u64> {
        self.core.policies.generation()
    }

    /// The bounds of this guard.
    pub fn limits(&self) -> &Limits {
        &self.core.limits
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard")
            .field("policies", &self.core.policies)
            .field("floor", &self.core.floor)
            .field("resolver", &self.core.resolver)
            .field("limits", &self.core.limits)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
