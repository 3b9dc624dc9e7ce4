//! What all connections of a gateway share.

use std::sync::Arc;

use arc_swap::ArcSwap;
use pinfold::{Connector, Guard};

use crate::{
    config, event::Bus, identity::Identities, limit::Admission, live::Registry, policy::Manager,
    subject::Subject, telemetry::Telemetry,
};

/// What all connections share.
pub(crate) struct Shared {
    pub(crate) guard: Guard,
    pub(crate) connector: Connector,
    pub(crate) forwarder: pinfold_http::Forwarder,
    pub(crate) bus: Bus,
    pub(crate) admission: Admission,
    pub(crate) live: Arc<Registry>,
    pub(crate) policies: Manager,
    pub(crate) identities: Identities,
    pub(crate) telemetry: Telemetry,
    /// What of the configuration may change while running; the rest was used up at start.
    pub(crate) config: ArcSwap<config::Config>,
    /// Cancelled when the gateway drains: kept connections of clients take no further request.
    pub(crate) draining: tokio_util::sync::CancellationToken,
}

impl Shared {
    /// Whether a denial of the policy is only reported for this subject.
    pub(crate) fn reports(&self, _subject: Option<&Subject>) -> bool {
        todo!("report mode")
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("guard", &self.guard)
            .finish_non_exhaustive()
    }
}
