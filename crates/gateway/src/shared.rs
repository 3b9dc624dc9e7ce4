//! What all connections of a gateway share.

use std::sync::Arc;

use arc_swap::ArcSwap;
use pinfold::{Connector, Guard, record::Mode};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    config, envoy,
    event::Bus,
    identity::Identities,
    limit::Admission,
    live::{Registry, review},
    policy::Manager,
    shadow::Shadow,
    subject::Subject,
    telemetry::Telemetry,
};

/// What all connections share.
pub(crate) struct Shared {
    pub(crate) guard: Guard,
    pub(crate) connector: Connector,
    pub(crate) forwarder: pinfold_http::Forwarder,
    pub(crate) bus: Bus,
    /// What Envoys are told of it.
    pub(crate) health: envoy::Health,
    pub(crate) admission: Admission,
    pub(crate) live: Arc<Registry>,
    pub(crate) policies: Manager,
    pub(crate) identities: Identities,
    pub(crate) shadow: Shadow,
    pub(crate) telemetry: Telemetry,
    /// What of the configuration may change while running; the rest was used up at start.
    pub(crate) config: ArcSwap<config::Config>,
    /// Cancelled when the gateway drains: nothing new is begun, and a kept connection ends after its exchange.
    pub(crate) draining: CancellationToken,
    /// Cancelled when the time for that is over: connections are dropped where they stand.
    pub(crate) cut: CancellationToken,
    /// The tasks of connections. What serves a connection beyond its task (a tunnel) is spawned here too.
    pub(crate) connections: TaskTracker,
}

impl Shared {
    /// What the review of what is open goes by.
    pub(crate) fn rules(&self) -> review::Rules {
        let config = self.config.load();
        review::Rules {
            bound: config.tunnels.revocation.get(),
            report: config.report.clone(),
        }
    }

    /// Whether a denial of the policy is enforced for this subject, or only reported.
    pub(crate) fn reports(&self, subject: Option<&Subject>) -> Mode {
        let name = subject.map(Subject::name);
        self.config.load().report.mode(name)
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("guard", &self.guard)
            .finish_non_exhaustive()
    }
}
