//! Lookups, and exceptions to the native rules.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

use super::Span;

/// Who looks names up.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Dns {
    /// These servers. Default: none, those of the system's configuration.
    #[schemars(with = "Vec<String>")]
    pub servers: Vec<SocketAddr>,
    /// Fixed answers; these names are not looked up. They are judged like any other.
    #[schemars(with = "BTreeMap<String, Vec<String>>")]
    pub fixed: BTreeMap<String, Vec<IpAddr>>,
    /// Time for one lookup. Default: 5 s.
    pub timeout: Span,
}

/// The operator's exceptions to the native rules that no policy can widen.
#[derive(Clone, Debug, Default, serde::Deserialize, serde::Serialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Floor {
    /// Networks, with a port or without, that the policy may allow although the floor would refuse them:
    /// `127.0.0.2/32:8080`. Metadata endpoints cannot be granted.
    pub grants: Vec<String>,
    /// NAT64 prefixes of this network (RFC 6052).
    pub nat64: Vec<String>,
}

impl Default for Dns {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            fixed: BTreeMap::new(),
            timeout: Span::seconds(5),
        }
    }
}
