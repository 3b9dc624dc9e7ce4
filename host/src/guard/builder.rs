//! `GuardBuilder`: everything that an operator may choose, each with a safe default.

use std::{fmt, net::SocketAddr, path::PathBuf, sync::Arc};

use ipnet::Ipv6Net;
use pinfold_addr::{Classifier, InvalidNat64Prefix};

use super::{Core, Guard};
use crate::{
    Discard, Grant, Limits, Observer,
    policy::{Layer, LoadError, LoadOptions, Policies, Problem, Source, floor::Floor},
    record::Inputs,
    resolve::{Broken, Dns, Resolve},
};

/// Builds a guard. Everything has a safe default.
///
/// | what | default |
/// |---|---|
/// | [`policy`](Self::policy), [`settings`](Self::settings) | the shipped policy, `{}` |
/// | [`layer`](Self::layer) | none: there is one policy |
/// | [`resolver`](Self::resolver) | DNS servers of the system's configuration, no hosts file, no search list |
/// | [`grants`](Self::grants) | none |
/// | [`listeners`](Self::listeners) | none |
/// | [`nat64`](Self::nat64) | the well-known and the local prefix only |
/// | [`limits`](Self::limits) | [`Limits::default`] |
/// | [`observer`](Self::observer) | none |
/// | [`record_inputs`](Self::record_inputs) | no: records hold neither path nor query |
/// | [`code_cache`](Self::code_cache) | none: compiled code is kept nowhere |
/// | [`inert_wasi`](Self::inert_wasi) | no: a policy that imports anything is refused |
/// | [`configure_each`](Self::configure_each) | no: instances begin where one that took the settings ended |
#[derive(Default)]
pub struct GuardBuilder {
    policy: Option<Source>,
    settings: Option<serde_json::Value>,
    layers: Vec<Layer>,
    resolver: Option<Arc<dyn Resolve>>,
    grants: Vec<Grant>,
    listeners: Vec<SocketAddr>,
    nat64: Vec<Ipv6Net>,
    limits: Limits,
    observer: Option<Arc<dyn Observer>>,
    inputs: Inputs,
    loading: LoadOptions,
}

impl GuardBuilder {
    /// The policy. Default: the shipped one, unless there are [`layer`](Self::layer)s.
    #[must_use]
    pub fn policy(mut self, source: Source) -> Self {
        self.policy = Some(source);
        self
    }

    /// Settings of the policy. Default: `{}`.
    #[must_use]
    pub fn settings(mut self, settings: serde_json::Value) -> Self {
        self.settings = Some(settings);
        self
    }

    /// One more policy, asked after those that were given before: the organisation's, the team's, the
    /// service's. At most 8, with names of their own.
    ///
    /// What any of them denies is denied; what all allow, they allow under the strictest of their terms.
    /// [`policy`](Self::policy) and [`settings`](Self::settings) are about the layer `policy`, the first one.
    /// When neither of them is called, the layers are all that is asked: **the shipped policy is then none of
    /// them, unless it is given as one**, and what remains beside them is the floor.
    #[must_use]
    pub fn layer(mut self, layer: Layer) -> Self {
        self.layers.push(layer);
        self
    }

    /// Who looks names up. Default: the servers of the system's configuration, read when the guard is
    /// built; when there are none, the guard is built all the same and every lookup is refused.
    #[must_use]
    pub fn resolver(mut self, resolver: impl Resolve) -> Self {
        self.resolver = Some(Arc::new(resolver));
        self
    }

    /// Exceptions to the floor, added to those given before. Default: none.
    #[must_use]
    pub fn grants(mut self, grants: impl IntoIterator<Item = Grant>) -> Self {
        self.grants.extend(grants);
        self
    }

    /// Where the service that holds this guard listens itself, added to those given before: it is not
    /// to be led to fetch from itself. Default: none.
    #[must_use]
    pub fn listeners(mut self, listeners: impl IntoIterator<Item = SocketAddr>) -> Self {
        self.listeners.extend(listeners);
        self
    }

    /// The NAT64 prefixes of the operator's network (RFC 6052), added to those given before, so that the
    /// IPv4 addresses in them are judged. Default: none beside the well-known 64:ff9b::/96 and the local
    /// 64:ff9b:1::/48.
    #[must_use]
    pub fn nat64(mut self, prefixes: impl IntoIterator<Item = Ipv6Net>) -> Self {
        self.nat64.extend(prefixes);
        self
    }

    /// Bounds. Default: [`Limits::default`].
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Who takes the records. Default: nobody.
    #[must_use]
    pub fn observer(mut self, observer: impl Observer) -> Self {
        self.observer = Some(Arc::new(observer));
        self
    }

    /// Whether each decision keeps what its policies were asked, so that it can be replayed
    /// ([`record`](crate::record)). Default: no.
    ///
    /// **What is kept may hold secrets**: paths and queries of URLs, labels, and the addresses of the inner
    /// network. [`record::Log`](crate::record::Log) withholds paths and queries when it is told to; another
    /// observer gets everything.
    #[must_use]
    pub fn record_inputs(mut self, inputs: Inputs) -> Self {
        self.inputs = inputs;
        self
    }

    /// A directory for configured and compiled policies. Default: none, nothing is written.
    ///
    /// Loading a policy that was loaded before with the same settings then takes some milliseconds instead
    /// of some hundred: it is not configured and compiled again. The directory is made when it is not there
    /// (its parent must be), with mode 0700; it takes at most 512 MiB, what was not used for longest is dropped.
    /// Guards and processes of one user can share it. For other settings of the same component half of the
    /// work is known, and settings that are refused compile nothing.
    ///
    /// An entry is machine code. It is believed only when it carries a MAC made with the key in that
    /// directory; the directory must belong to the user of this process, and nobody else may write in it.
    /// **Whoever can read that key and write in the directory runs code in this process:** put neither
    /// into an image or a backup that others handle. Entries hold the settings, in the policy's own form.
    #[must_use]
    pub fn code_cache(mut self, dir: impl Into<PathBuf>) -> Self {
        self.loading = self.loading.code_cache(dir.into());
        self
    }

    /// Lets policies import WASI 0.2, and gives them one that does nothing. Default: no, a policy that imports
    /// anything is refused.
    ///
    /// For components that were built elsewhere, with a toolchain that always adds WASI; one that you can build
    /// yourself needs none (`pinfold policy build`). What is granted reaches nothing: the clocks stand at 0,
    /// random bytes are 0, there is no environment and no directory, input is closed, output is dropped, all
    /// else fails, and `exit` ends the decision as `policy-trapped`. A policy thus stays a pure function of its
    /// inputs. Imports of anything but `wasi:...@0.2.x` are refused all the same, by name.
    ///
    /// It costs time: such a policy has no snapshot, so that each instance takes the settings anew
    /// (within 500 ms; ahead of time while there are spares). Records say `inert_wasi` of it
    /// ([`PolicyRef::inert_wasi`](crate::PolicyRef::inert_wasi)). The policy can tell that it is given nothing:
    /// one that mistrusts constant random numbers may refuse to start.
    #[must_use]
    pub fn inert_wasi(mut self, granted: bool) -> Self {
        self.loading = self.loading.inert_wasi(granted);
        self
    }

    /// Gives each instance the settings, instead of letting it begin where one that took them ended. Default:
    /// no, the policy is configured once, and what comes of it is compiled.
    ///
    /// For interpreted policies whose settings change often: an interpreter takes the compiler many seconds, once
    /// for all settings with this, and once for each without. A verdict is the same; a decision takes the time of
    /// `configure` more (within 500 ms; ahead of time while there are spares).
    #[must_use]
    pub fn configure_each(mut self, each: bool) -> Self {
        self.loading = self.loading.configure_each(each);
        self
    }

    /// Loads the policy and makes the guard. Compiles on the calling thread.
    ///
    /// # Errors
    ///
    /// When a policy is refused; when the chain is too long, or a name of a layer is none or used twice; when
    /// the directory for compiled code is not to be trusted; and, as a problem of the settings at `/nat64`,
    /// when the length of a NAT64 prefix is none of RFC 6052's.
    pub fn build(self) -> Result<Guard, LoadError> {
        let classifier = Classifier::with_nat64(self.nat64).map_err(nat64_problem)?;
        let floor = Arc::new(Floor::new(self.grants, self.listeners, classifier));
        let layers = chain(self.policy, self.settings, self.layers);
        let policies = Policies::chain(&self.limits, self.loading.open()?, layers)?;
        let resolver = self.resolver.unwrap_or_else(system_resolver);
        let observer = self.observer.unwrap_or_else(|| Arc::new(Discard));
        let limits = self.limits;
        Ok(Guard {
            core: Arc::new(Core {
                policies,
                floor,
                resolver,
                observer,
                inputs: self.inputs,
                limits,
            }),
        })
    }
}

/// The layer `policy`, when anything is said of it or nothing of others; and the others.
fn chain(
    policy: Option<Source>,
    settings: Option<serde_json::Value>,
    layers: Vec<Layer>,
) -> Vec<Layer> {
    if policy.is_none() && settings.is_none() && !layers.is_empty() {
        return layers;
    }
    let first = Layer::new(Layer::POLICY, policy.unwrap_or(Source::Shipped));
    let first = match settings {
        Some(settings) => first.settings(settings),
        None => first,
    };
    let mut chain = vec![first];
    chain.extend(layers);
    chain
}

impl fmt::Debug for GuardBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuardBuilder")
            .field("policy", &self.policy)
            .field("resolver", &self.resolver)
            .field("grants", &self.grants)
            .field("listeners", &self.listeners)
            .field("nat64", &self.nat64)
            .field("limits", &self.limits)
            .field("loading", &self.loading)
            .finish_non_exhaustive()
    }
}

/// DNS, or, where the system names no server, a resolver that says so: names are refused, the rest works.
fn system_resolver() -> Arc<dyn Resolve> {
    match Dns::system_servers() {
        Ok(dns) => Arc::new(dns),
        Err(error) => Arc::new(Broken(error)),
    }
}

fn nat64_problem(InvalidNat64Prefix(prefix): InvalidNat64Prefix) -> LoadError {
    let message = format!("`{prefix}` is no NAT64 prefix: its length is 32, 40, 48, 56, 64 or 96");
    LoadError::Settings(vec![Problem {
        path: "/nat64".into(),
        message,
    }])
}
