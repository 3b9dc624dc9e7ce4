//! The files of Smokescreen, as they are written: its access list (`version: v1`) and its configuration.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// The access list.
#[derive(Debug, Deserialize)]
pub(super) struct Acl {
    #[serde(default)]
    pub(super) version: Option<String>,
    pub(super) services: Vec<Service>,
    #[serde(default)]
    pub(super) default: Option<Service>,
    #[serde(default)]
    pub(super) global_allow_list: Vec<String>,
    #[serde(default)]
    pub(super) global_deny_list: Vec<String>,
    #[serde(flatten)]
    pub(super) rest: BTreeMap<String, Value>,
}

/// What holds for one role.
#[derive(Debug, Deserialize)]
pub(super) struct Service {
    #[serde(default)]
    pub(super) name: String,
    #[serde(default)]
    pub(super) project: Option<String>,
    pub(super) action: Action,
    #[serde(default)]
    pub(super) allowed_domains: Vec<String>,
    #[serde(default)]
    pub(super) allowed_external_proxies: Vec<String>,
    #[serde(default)]
    pub(super) mitm_domains: Vec<Value>,
    #[serde(flatten)]
    pub(super) rest: BTreeMap<String, Value>,
}

/// What becomes of a host that is in none of its lists.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(super) enum Action {
    Open,
    Report,
    Enforce,
}

/// The configuration; every key may be left out.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Config {
    pub(super) ip: Option<String>,
    pub(super) port: Option<u16>,
    pub(super) connect_timeout: Option<String>,
    pub(super) idle_timeout: Option<String>,
    pub(super) exit_timeout: Option<String>,
    pub(super) dns_timeout: Option<String>,
    pub(super) read_header_timeout: Option<String>,
    pub(super) read_timeout: Option<String>,
    pub(super) write_timeout: Option<String>,
    pub(super) support_proxy_protocol: bool,
    pub(super) deny_ranges: Vec<String>,
    pub(super) allow_ranges: Vec<String>,
    pub(super) deny_addresses: Vec<String>,
    pub(super) allow_addresses: Vec<String>,
    pub(super) unsafe_allow_private_ranges: bool,
    pub(super) resolver_addresses: Vec<String>,
    pub(super) network: Option<String>,
    pub(super) acl_file: Option<String>,
    pub(super) deny_message_extra: Option<String>,
    pub(super) allow_missing_role: bool,
    pub(super) tls: Option<Tls>,
    pub(super) statsd_address: Option<String>,
    pub(super) stats_socket_dir: Option<String>,
    pub(super) stats_socket_file_mode: Option<Value>,
    pub(super) max_concurrent_requests: u32,
    pub(super) max_request_rate: f64,
    pub(super) max_request_burst: i64,
    pub(super) max_concurrent_connect_tunnels: u32,
    pub(super) time_connect: bool,
    pub(super) transport_max_idle_conns: Option<u32>,
    pub(super) transport_max_idle_conns_per_host: Option<u32>,
    pub(super) mitm_ca_cert_file: Option<String>,
    pub(super) mitm_ca_key_file: Option<String>,
    #[serde(flatten)]
    pub(super) rest: BTreeMap<String, Value>,
}

impl Config {
    /// Whether clients prove who they are by certificates.
    pub(super) fn has_certificates(&self) -> bool {
        self.tls
            .as_ref()
            .is_some_and(|tls| !tls.client_ca_files.is_empty())
    }

    /// Whether every client must have a role, and no file says how one is found.
    pub(super) fn asks_nobody(&self) -> bool {
        !self.allow_missing_role && !self.has_certificates()
    }
}

/// TLS towards clients.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Tls {
    pub(super) cert_file: Option<String>,
    pub(super) key_file: Option<String>,
    pub(super) client_ca_files: Vec<String>,
    pub(super) crl_files: Vec<String>,
    #[serde(flatten)]
    pub(super) rest: BTreeMap<String, Value>,
}
