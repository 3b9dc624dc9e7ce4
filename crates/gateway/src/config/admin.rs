//! The interface for operators.

use std::{net::SocketAddr, path::PathBuf};

use super::{Bind, Mode};

/// Health, status, policies, connections; and, for who may, changes.
///
/// Anybody who reaches it may read. Changes (swap, rollback, shadow, close, drain, reload) need a Unix socket, the
/// token, or a certificate: what shares loopback with the gateway is not the operator.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Admin {
    /// Whether there is one. Default: yes.
    pub enabled: bool,
    /// Where it listens. Default: `127.0.0.1:4751`. An address that is not loopback needs `token_file` or `tls` with
    /// a `client_ca`, and then nothing but health is answered without them.
    pub bind: Bind,
    /// Mode of a Unix socket, octal. Default: `0600`.
    pub unix_mode: Mode,
    /// A file that holds the token, at least 32 characters. Read again on reload. Default: none.
    pub token_file: Option<PathBuf>,
    /// TLS; with a `client_ca` a certificate of it is needed, and enough. Default: none.
    pub tls: Option<AdminTls>,
    /// Names by which operators reach it, besides addresses and `localhost`: a request for another `Host` is
    /// refused, because a page may have let a name of its own lead here. Default: none.
    pub names: Vec<String>,
}

/// TLS of the admin listener.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct AdminTls {
    /// The certificate chain, PEM.
    pub certificate: PathBuf,
    /// The private key, PEM.
    pub key: PathBuf,
    /// Who signs certificates of operators, PEM. Default: none.
    #[serde(default)]
    pub client_ca: Vec<PathBuf>,
}

impl Default for Admin {
    fn default() -> Self {
        Self {
            enabled: true,
            bind: Bind::Tcp(SocketAddr::from(([127, 0, 0, 1], 4751))),
            unix_mode: Mode::new(0o600),
            token_file: None,
            tls: None,
            names: Vec::new(),
        }
    }
}
