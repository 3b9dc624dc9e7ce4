//! Who asks, and how that is known.

use std::{collections::BTreeMap, path::PathBuf};

use ipnet::IpNet;

use super::SubjectName;

/// How the subject of a request is found, for one listener.
#[derive(Clone, Debug, Default, serde::Deserialize, serde::Serialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Identity {
    /// The ways that are tried, in this order; the first that names somebody counts, and credentials that are wrong
    /// are refused. All ways share one space of names: whoever signs certificates can give any of them. Default:
    /// none, requests have no subject.
    pub ways: Vec<Way>,
    /// Whether a request without a subject is refused (407 where credentials could have been given, otherwise 403).
    /// Default: no.
    pub required: bool,
    /// The file of credentials for `basic` and `bearer`: TOML, a `[[credential]]` for each, secrets only as hashes,
    /// as `pinfold credential` prints them. Read again on reload. Default: none.
    pub credentials: Option<PathBuf>,
    /// Subjects by source network, for `source`; the longest prefix counts. Default: none.
    #[schemars(with = "BTreeMap<String, SubjectName>")]
    pub networks: BTreeMap<IpNet, SubjectName>,
    /// Subjects by user name or number of the peer of a Unix socket, for `unix`. Who is not named is `uid-N`.
    /// Default: none.
    pub users: BTreeMap<String, SubjectName>,
}

/// A way to find a subject.
#[derive(
    Clone,
    Copy,
    Debug,
    Eq,
    Hash,
    PartialEq,
    serde::Deserialize,
    serde::Serialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Way {
    /// The certificate: its SPIFFE identifier, else its first DNS name, else its common name.
    Mtls,
    /// `Proxy-Authorization: Basic`, or user name and password of SOCKS5.
    Basic,
    /// `Proxy-Authorization: Bearer`.
    Bearer,
    /// The user of the process at the other end of a Unix socket.
    Unix,
    /// The network that the client is in.
    Source,
    /// The certificate that Envoy saw: its URI, else its DNS name, else its subject. On listeners for Envoy only, and
    /// only where Envoy verifies certificates.
    Envoy,
}

/// What a credential is.
#[derive(
    Clone,
    Copy,
    Debug,
    Eq,
    Hash,
    PartialEq,
    serde::Deserialize,
    serde::Serialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum CredentialKind {
    /// A name and a password; kept as Argon2id.
    Basic,
    /// A random token; kept as SHA-256.
    Bearer,
}
