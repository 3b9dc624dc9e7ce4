//! Whether an Envoy should ask here: the health service of gRPC (`grpc.health.v1`).

use std::fmt;

use tonic_health::{
    ServingStatus,
    pb::health_server::HealthServer,
    server::{HealthReporter, HealthService},
};

use super::wire::SERVICE;

/// The health of the gateway, as a whole (the empty name) and as a decision service.
#[derive(Clone)]
pub(crate) struct Health {
    reporter: HealthReporter,
}

impl Health {
    /// It serves.
    pub(crate) async fn serving() -> Self {
        let health = Self {
            reporter: HealthReporter::new(),
        };
        health.tell(ServingStatus::Serving).await;
        health
    }

    /// It drains: Envoy is to ask another one.
    pub(crate) async fn leave(&self) {
        self.tell(ServingStatus::NotServing).await;
    }

    async fn tell(&self, status: ServingStatus) {
        for name in ["", SERVICE] {
            self.reporter.set_service_status(name, status).await;
        }
    }

    pub(super) fn server(&self) -> HealthServer<HealthService> {
        let health = HealthService::from_health_reporter(self.reporter.clone());
        HealthServer::new(health).max_decoding_message_size(LONGEST)
    }
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Health(..)")
    }
}

/// Bytes of a question about health: the name of a service.
const LONGEST: usize = 1 << 10;
