//! What the gateway tells: decision log, metrics, traces.

mod log;
pub(crate) mod metrics;
#[cfg(test)]
mod testing;
mod trace_parent;

/// Log, metrics and traces of a gateway.
pub(crate) struct Telemetry {}
