//! The one configuration file: TOML, strict, every key with its default and its reason.
//!
//! What is written here is read once and becomes [`Config`]; nothing downstream reads text again. Every key can
//! be left out: `Config::default()` is a proxy on loopback with the shipped policy.

mod admin;
mod check;
mod envoy;
mod faults;
mod files;
mod identity;
mod limits;
mod listener;
mod manual;
mod names;
mod policy;
mod problem;
mod read;
mod records;
mod risk;
mod schema;
mod subject_name;
mod text;
mod tunnels;
mod units;

pub use admin::{Admin, AdminTls};
pub use envoy::Envoy;
pub use identity::{CredentialKind, Identity, Way};
pub use limits::{Limits, SubjectLimits};
pub use listener::{Bind, ClientAuth, Listener, ListenerTls, Protocol, ProxyProtocol};
pub use manual::{defaults, reference};
pub use names::{Dns, Floor, dns_server, grant, nat64};
pub use policy::{LayerConfig, PolicyConfig, Report, ReportAddresses, Shadow, SubjectPattern};
pub use problem::{ConfigError, Problem};
pub use records::{DecisionLog, LogTo, Metrics, Records, Tracing, Withhold};
#[cfg(test)]
pub(crate) use schema::keys;
pub use schema::schema;
pub use subject_name::{InvalidSubject, SubjectName};
pub use tunnels::{NonTls, Sni, Tunnels};
pub use units::{Mode, Size, Span};

/// The whole configuration.
///
/// ```
/// let config = pinfold_gateway::Config::default();
/// assert_eq!(config.listener.len(), 1);
/// ```
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Config {
    /// Where clients connect. Default: one listener on `127.0.0.1:4750`, HTTP and SOCKS5, no authentication.
    pub listener: Vec<Listener>,
    /// Which policy judges. Default: the shipped one with its default settings.
    pub policy: PolicyConfig,
    /// A candidate that judges the same traffic beside the active policy, never enforced. Default: none.
    pub shadow: Option<Shadow>,
    /// For whom the policy only reports. Default: for nobody.
    pub report: Report,
    /// Who looks names up. Default: the servers of the system's configuration.
    pub dns: Dns,
    /// The operator's exceptions to the native rules that no policy can widen. Default: none.
    pub floor: Floor,
    /// What holds for tunnels and forwarded exchanges.
    pub tunnels: Tunnels,
    /// What is answered to an Envoy that asks, on listeners whose protocol is `envoy`.
    pub envoy: Envoy,
    /// Bounds, of the gateway and for each subject.
    pub limits: Limits,
    /// The interface for operators. Default: `127.0.0.1:4751`, read only.
    pub admin: Admin,
    /// Decision log, metrics, traces.
    pub records: Records,
    /// How long a drain may take: after `SIGTERM` no connection is accepted, idle ones are closed, and what is
    /// still open after this time is cut. Default: 30 s.
    pub drain: Span,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listener: vec![Listener::default()],
            policy: PolicyConfig::default(),
            shadow: None,
            report: Report::default(),
            dns: Dns::default(),
            floor: Floor::default(),
            tunnels: Tunnels::default(),
            envoy: Envoy::default(),
            limits: Limits::default(),
            admin: Admin::default(),
            records: Records::default(),
            drain: Span::seconds(30),
        }
    }
}

/// Whether an address is this machine's alone.
pub(crate) fn is_loopback(address: std::net::IpAddr) -> bool {
    let class = pinfold_addr::Classifier::default().classify(address).class;
    class == pinfold_addr::Class::Loopback
}
