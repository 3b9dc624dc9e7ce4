//! What is answered to an Envoy that asks where it may connect to.

use super::Span;

/// For listeners whose protocol is `envoy`: the decision service of an Envoy (`ext_authz`, gRPC).
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Envoy {
    /// How long a decision may take, lookup included. It must be shorter than the `timeout` of the filter in Envoy; one
    /// that comes with the question (`grpc-timeout`) shortens it. Default: 1.5 s.
    pub deadline: Span,
    /// Addresses that are handed over at most: the first as `pin`, the others as `pin2`, `pin3`, ..., for a
    /// configuration that goes on to the next when one does not answer. Default: 3; at most 8.
    pub pins: usize,
    /// The port that a server name of TLS stands for, where Envoy passes TLS through. Default: 443.
    pub tls_port: u16,
}

impl Envoy {
    /// The most addresses that one answer holds.
    pub const MOST_PINS: usize = 8;
}

impl Default for Envoy {
    fn default() -> Self {
        Self {
            deadline: Span::millis(1_500),
            pins: 3,
            tls_port: 443,
        }
    }
}
