//! Where clients connect.

use std::{net::SocketAddr, path::PathBuf};

use ipnet::IpNet;

use super::{Identity, Mode, text::written_as_text};

/// One door.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Listener {
    /// Its name in logs and metrics. Default: `proxy`. Each has its own.
    pub name: String,
    /// Where it listens. Default: `127.0.0.1:4750`.
    pub bind: Bind,
    /// Mode of a Unix socket, octal. Default: `0660`.
    pub unix_mode: Mode,
    /// What is spoken, told apart by the first byte. Default: `http` and `socks5`.
    pub protocols: Vec<Protocol>,
    /// Whether several processes may listen on the address (`SO_REUSEPORT`), for a restart without a gap.
    /// Default: no.
    pub reuse_port: bool,
    /// TLS towards the client. Default: none.
    pub tls: Option<ListenerTls>,
    /// Whether connections begin with a PROXY header (v1 or v2). Default: never.
    pub proxy_protocol: Option<ProxyProtocol>,
    /// Who asks. Default: nobody is asked for a name.
    pub identity: Identity,
}

/// An address or a path.
///
/// As text: `127.0.0.1:4750`, `[::1]:4750`, `unix:/run/pinfold/proxy.sock`, or `systemd:NAME` for a socket that the
/// service manager opened under that name.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Bind {
    /// TCP.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
    /// A socket of the service manager, by its name (`FileDescriptorName=`).
    Inherited(String),
}

/// What a client may speak.
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
pub enum Protocol {
    /// HTTP/1.1 and HTTP/2: `CONNECT`, and over HTTP/1.1 requests in absolute form.
    Http,
    /// SOCKS5 (RFC 1928), `CONNECT` only.
    Socks5,
    /// The decision service of an Envoy: `ext_authz` and health, gRPC. On a listener of its own.
    Envoy,
}

/// TLS towards the client. Files are read again on reload.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ListenerTls {
    /// The certificate chain, PEM.
    pub certificate: PathBuf,
    /// The private key, PEM.
    pub key: PathBuf,
    /// Who signs certificates of clients, PEM. Default: none, no certificate is asked for.
    #[serde(default)]
    pub client_ca: Vec<PathBuf>,
    /// Revocation lists of those, PEM. Default: none. With a list, certificates of issuers without one are refused too,
    /// and all of them when a list is out of date.
    #[serde(default)]
    pub client_crl: Vec<PathBuf>,
    /// Whether a client must have a certificate, where there is a `client_ca`. Default: `required`.
    #[serde(default)]
    pub client_auth: ClientAuth,
}

/// Whether a certificate is demanded.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    Eq,
    PartialEq,
    serde::Deserialize,
    serde::Serialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ClientAuth {
    /// A handshake without one fails.
    #[default]
    Required,
    /// One that is given must be good.
    Optional,
}

/// A PROXY header (v1 or v2) before anything else.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ProxyProtocol {
    /// Who may send one. A connection from elsewhere that begins with one is refused; from here, one without is.
    #[schemars(with = "Vec<String>")]
    pub from: Vec<IpNet>,
}

written_as_text!(
    Bind,
    "`127.0.0.1:4750`, `unix:/run/pinfold/proxy.sock` or `systemd:NAME`",
    [
        "127.0.0.1:4750",
        "unix:/run/pinfold/proxy.sock",
        "systemd:proxy"
    ]
);

impl Listener {
    /// Whether whoever connects has proved by a certificate who it is.
    pub(super) fn proves(&self) -> bool {
        let proves = |tls: &ListenerTls| {
            !tls.client_ca.is_empty() && tls.client_auth == ClientAuth::Required
        };
        self.tls.as_ref().is_some_and(proves)
    }
}

impl Default for Listener {
    fn default() -> Self {
        Self {
            name: "proxy".into(),
            bind: Bind::Tcp(SocketAddr::from(([127, 0, 0, 1], 4750))),
            unix_mode: Mode::new(0o660),
            protocols: vec![Protocol::Http, Protocol::Socks5],
            reuse_port: false,
            tls: None,
            proxy_protocol: None,
            identity: Identity::default(),
        }
    }
}

impl std::str::FromStr for Bind {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORM: &str =
            "write `127.0.0.1:4750`, `unix:/run/pinfold/proxy.sock` or `systemd:NAME`";
        if let Some(path) = text.strip_prefix("unix:") {
            return match path.is_empty() || path.contains('\0') {
                true => Err("after `unix:` comes the path of a socket"),
                false => Ok(Self::Unix(path.into())),
            };
        }
        if let Some(name) = text.strip_prefix("systemd:") {
            return match is_descriptor_name(name) {
                true => Ok(Self::Inherited(name.into())),
                false => Err("after `systemd:` comes the name of a socket (`FileDescriptorName=`)"),
            };
        }
        text.parse().map(Self::Tcp).map_err(|_| FORM)
    }
}

/// As systemd takes them: printable ASCII without a colon, at most 255.
fn is_descriptor_name(name: &str) -> bool {
    (1..=255).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_graphic() && b != b':')
}

impl std::fmt::Display for Bind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Inherited(name) => write!(f, "systemd:{name}"),
        }
    }
}
