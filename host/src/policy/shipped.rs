//! The policy that comes with this library, built from `guest/policies/egress` by `build.rs`.

/// The default policy, a component.
pub(super) const EGRESS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/egress.wasm"));
