//! What the gateway tells: decision log, metrics, traces.

/// Log, metrics and traces of a gateway.
pub(crate) struct Telemetry {}
