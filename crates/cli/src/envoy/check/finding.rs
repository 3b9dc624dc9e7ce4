//! What is found: a code, a place, and the mend.

use std::{
    borrow::Cow,
    collections::{BTreeSet, HashSet},
};

use super::node::Node;
use crate::{
    output::{BAD, LABEL, Output},
    text::Printable,
};

/// How much it weighs.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Severity {
    /// Envoy can be brought to connect to an address that nobody has judged.
    Hole,
    /// One layer less, or something is not as it seems.
    Weakness,
    /// To be known.
    Note,
}

impl Severity {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Hole => "hole",
            Self::Weakness => "weakness",
            Self::Note => "note",
        }
    }
}

macro_rules! codes {
    ($($variant:ident = $code:literal, $severity:ident, $meaning:literal, $mend:literal;)+) => {
        /// The traps that are known.
        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        pub(super) enum Code { $($variant,)+ }

        impl Code {
            #[cfg(test)]
            pub(super) const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// Its name; it never changes.
            pub(super) const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $code,)+ }
            }

            pub(super) const fn severity(self) -> Severity {
                match self { $(Self::$variant => Severity::$severity,)+ }
            }

            /// What it means, in one sentence.
            pub(super) const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning,)+ }
            }

            /// What to write.
            pub(super) const fn mend(self) -> &'static str {
                match self { $(Self::$variant => $mend,)+ }
            }
        }
    };
}

codes! {
    AdminRouted = "admin-routed", Hole,
        "requests are led to the admin interface of this Envoy",
        "remove the route, or put the admin interface on a socket: admin: {address: {pipe: {path: admin.sock}}}";
    AllowMetadataOverridden = "allow-metadata-overridden", Hole,
        "another filter writes where the address of the decision stands",
        "remove it, or let it write to a namespace of its own";
    AuthzDisabled = "authz-disabled", Hole,
        "the filter that asks is switched off for a part of the requests",
        "remove `disabled`, `filter_enabled`, `filter_enabled_metadata` and conditions from `envoy.filters.http.ext_authz`";
    AuthzMissing = "authz-missing", Hole,
        "traffic reaches a cluster that dials what is decided, and nobody is asked before",
        "put `envoy.filters.http.ext_authz` (network: `envoy.filters.network.ext_authz`) before the filter that connects";
    ClusterAddressUnpinned = "cluster-address-unpinned", Hole,
        "the cluster dials the address that the connection was made to, or that a listener filter restores",
        "original_dst_lb_config: {metadata_key: {key: envoy.filters.http.ext_authz, path: [{key: pin}]}}";
    ClusterFromClient = "cluster-from-client", Hole,
        "a header field, which clients can send, names the cluster",
        "route: {cluster: NAME} in place of `cluster_header`";
    ClusterResolves = "cluster-resolves", Hole,
        "Envoy looks up the name that the client gives, and dials what comes back without having it judged",
        "type: ORIGINAL_DST, lb_policy: CLUSTER_PROVIDED, original_dst_lb_config: {metadata_key: {key: envoy.filters.http.ext_authz, path: [{key: pin}]}}";
    FailOpen = "fail-open", Hole,
        "a decision service that does not answer lets everything pass",
        "failure_mode_allow: false, and no `failure_mode_allow_header_add`";
    HeaderMode = "header-mode", Hole,
        "the address to dial is taken from a header field, which clients can send",
        "original_dst_lb_config: {metadata_key: {key: envoy.filters.http.ext_authz, path: [{key: pin}]}}";
    HeaderNotStripped = "header-not-stripped", Hole,
        "the header field that names the address is not taken from clients before the decision",
        "nothing more once `header-mode` is mended; else early_header_mutation_extensions with mutations: [{remove: x-envoy-original-dst-host}]";
    MirrorByHeader = "mirror-by-header", Hole,
        "a header field, which clients can send, says where copies of requests go",
        "remove `request_mirror_policies`, or name the `cluster` in them";
    AdminExposed = "admin-exposed", Weakness,
        "the admin interface listens beyond loopback: who reaches it reads the configuration and can stop Envoy",
        "admin: {address: {socket_address: {address: 127.0.0.1, port_value: 9901}}}";
    AuthzHttpService = "authz-http-service", Weakness,
        "the service is asked by HTTP, which Pinfold does not answer and which cannot decide CONNECT",
        "grpc_service: {envoy_grpc: {cluster_name: pinfold}, timeout: 2s}";
    ClientCertificateUnverified = "client-certificate-unverified", Weakness,
        "any client certificate is accepted, so that the principal is what the client wrote itself",
        "common_tls_context: {validation_context: {trusted_ca: {filename: /etc/envoy/clients.pem}}}";
    ClusterByName = "cluster-by-name", Weakness,
        "Envoy looks up the names of this cluster itself, and dials what comes back without having it judged",
        "type: STATIC with addresses, or an ORIGINAL_DST cluster that dials what was judged";
    HostRewritten = "host-rewritten", Weakness,
        "the server is told another host than the one that was judged",
        "remove `host_rewrite_*` and `auto_host_rewrite` from the route";
    L4ConnectsEarly = "l4-connects-early", Weakness,
        "tcp_proxy chooses or dials the server before the network filter has its answer",
        "upstream_connect_mode: ON_DOWNSTREAM_DATA, max_early_data_bytes: 16384";
    L4SniMissing = "l4-sni-missing", Weakness,
        "the server name is not read or not handed on, so that nothing can be judged",
        "listener_filters with envoy.filters.listener.tls_inspector, and `include_tls_session: true` in ext_authz";
    MetadataKeyDiffers = "metadata-key-differs", Weakness,
        "the cluster looks for the address where the decision does not write it",
        "metadata_key: {key: envoy.filters.http.ext_authz (network: envoy.filters.network.ext_authz), path: [{key: pin}]}";
    PathRewritten = "path-rewritten", Weakness,
        "the server is asked for something else than was judged",
        "remove `prefix_rewrite`, `regex_rewrite` and `path_rewrite*` from the route";
    PoolShared = "pool-shared", Weakness,
        "a connection in clear text to an address serves the requests of several clients and hosts",
        "connection_pool_per_downstream_connection: true";
    RestoredAddress = "restored-address", Weakness,
        "the listener restores an address that the client names; an answer without a pin would have it dialled",
        "remove `proxy_protocol`, `original_dst` and `use_original_dst` from the listener";
    RouteChanges = "route-changes", Weakness,
        "after the decision another route can be chosen than the one with which it was asked for",
        "remove `clear_route_cache` from ext_authz and from the filters after it";
    SchemeNotRouted = "scheme-not-routed", Weakness,
        "`https://` in absolute form goes to a cluster that speaks clear text",
        "before it: match: {prefix: \"/\", headers: [{name: \":scheme\", string_match: {exact: https}}]} to a cluster with TLS, with check_settings: {context_extensions: {pinfold-upstream: tls}} for ext_authz";
    SchemeOverwritten = "scheme-overwritten", Weakness,
        "the scheme that the client wrote is replaced before it is judged",
        "remove `scheme_header_transformation`";
    SecondLayerGap = "second-layer-gap", Weakness,
        "the second layer leaves addresses reachable that are not public",
        "add these ranges; `pinfold envoy config` writes all of them (a range that is meant: `--allow CIDR`)";
    SecondLayerMissing = "second-layer-missing", Weakness,
        "nothing is behind the decision: `upstream_rbac` does not look at the address that is dialled",
        "http_filters of the cluster: envoy.filters.http.upstream_rbac, then envoy.filters.http.upstream_codec, which ends the list; `pinfold envoy config forward --gateway FILE` writes both";
    ServiceInClear = "service-in-clear", Weakness,
        "the decision service is asked in clear text on another machine: who is on the way answers in its place",
        "transport_socket with TLS, a `trusted_ca` and its name, as `pinfold envoy config --service-ca` writes it; or a service on loopback or a Unix socket";
    TimeoutTooLong = "timeout-too-long", Weakness,
        "a decision may take longer than 10 s, for which each client waits",
        "grpc_service: {timeout: 2s}";
    TimeoutUnbounded = "timeout-unbounded", Weakness,
        "a decision may take for ever",
        "grpc_service: {timeout: 2s}";
    TlsUnverified = "tls-unverified", Weakness,
        "TLS is spoken to servers whose certificate or name is not checked",
        "validation_context: {trusted_ca: ...}; upstream_http_protocol_options: {auto_sni: true, auto_san_validation: true}";
    TunnelUnbounded = "tunnel-unbounded", Weakness,
        "a tunnel outlives every change of policy: nothing ends it",
        "route: {max_stream_duration: {max_stream_duration: 3600s}}; tcp_proxy: max_downstream_connection_duration: 3600s";
    UpstreamDiffers = "upstream-differs", Weakness,
        "what the route says of TLS to the server is not what the cluster speaks",
        "typed_per_filter_config: check_settings: {context_extensions: {pinfold-upstream: tls}}, with a cluster of TLS and with no other";
    DynamicModuleOrder = "dynamic-module-order", Note,
        "a dynamic module decides, which cannot be seen here",
        "see that it answers StopAllIteration while it decides: after StopIteration a body releases the headers";
    HeadersLeaked = "headers-leaked", Note,
        "servers are told header fields that Envoy adds",
        "request_headers_to_remove: [x-request-id, x-forwarded-proto]; router: suppress_envoy_headers: true; skip_xff_append: true";
    HealthCheckMissing = "health-check-missing", Note,
        "the decision service has several instances, and one that is gone is still asked",
        "health_checks: [{timeout: 1s, interval: 0.5s, unhealthy_threshold: 1, healthy_threshold: 1, grpc_health_check: {}}]";
    KeepaliveMissing = "keepalive-missing", Note,
        "the decision service has several instances, and what was asked of one that hangs waits for the timeout",
        "explicit_http_config: {http2_protocol_options: {connection_keepalive: {interval: 0.5s, timeout: 1s}}}";
    RequestIdFromClient = "request-id-from-client", Note,
        "the request id can be the client's own",
        "early_header_mutation_extensions with mutations: [{remove: x-request-id}]";
    RetryMissing = "retry-missing", Note,
        "the decision service has several instances, and a question that one of them loses is not asked again",
        "grpc_service: {envoy_grpc: {..}, retry_policy: {retry_on: \"connect-failure,refused-stream,reset,unavailable\", num_retries: 3}}; one inside `envoy_grpc` has no effect";
    SecondLayerOpened = "second-layer-opened", Note,
        "the second layer lets a part of a range pass that is not public",
        "nothing, where it is meant: `--allow CIDR` says so";
    SessionKept = "session-kept", Note,
        "a session of TLS that is taken up again shows no certificate, and one address can be that of many names",
        "max_session_keys: 0";
    StatusOnError = "status-on-error", Note,
        "a decision service that is gone looks like a refusal: clients get 403",
        "status_on_error: {code: ServiceUnavailable}";
    TimeoutDefault = "timeout-default", Note,
        "without `timeout` a decision has 200 ms, in which a slow name cannot be looked up",
        "grpc_service: {timeout: 2s}";
    XffTrusted = "xff-trusted", Note,
        "the address of the client is what `x-forwarded-for` says",
        "early_header_mutation_extensions with mutations: [{remove_on_match: {key_matcher: {prefix: x-forwarded-}}}], and no `original_ip_detection_extensions`";
}

/// One trap in one place.
#[derive(Clone, Debug, serde::Serialize)]
pub(super) struct Finding {
    pub(super) severity: Severity,
    pub(super) code: &'static str,
    /// The path in the file.
    pub(super) at: String,
    /// The name of the resource or filter; empty when it has none.
    pub(super) name: String,
    pub(super) meaning: String,
    pub(super) hint: Cow<'static, str>,
}

impl Finding {
    /// For people: what and where, then what it means and what to do.
    pub(super) fn show(&self, out: &mut Output) -> std::io::Result<()> {
        let style = match self.severity {
            Severity::Hole | Severity::Weakness => BAD,
            Severity::Note => LABEL,
        };
        let (severity, code) = (self.severity.as_str(), self.code);
        let name = match self.name.as_str() {
            "" => String::new(),
            name => format!(" `{name}`"),
        };
        let place = format!("{}{name}", self.at);
        out.line(format_args!(
            "{style}{severity:<9}{style:#}{code}  {}",
            Printable(&place)
        ))?;
        out.line(format_args!("  {}", Printable(&self.meaning)))?;
        out.line(format_args!(
            "  {LABEL}hint{LABEL:#}: {}",
            Printable(&self.hint)
        ))
    }
}

/// Collects what the rules find, and what they could not judge.
#[derive(Debug, Default)]
pub(super) struct Report {
    findings: Vec<Finding>,
    seen: HashSet<(&'static str, String)>,
    unjudged: BTreeSet<String>,
}

impl Report {
    /// At a place that has a name of its own.
    pub(super) fn add(&mut self, code: Code, at: &Node<'_>) {
        self.add_named(code, at, at.name());
    }

    pub(super) fn add_named(&mut self, code: Code, at: &Node<'_>, name: &str) {
        self.add_with(code, at, name, "");
    }

    /// With what exactly it is about.
    pub(super) fn add_with(&mut self, code: Code, at: &Node<'_>, name: &str, detail: &str) {
        let meaning = match detail {
            "" => code.meaning().to_owned(),
            detail => format!("{}: {detail}", code.meaning()),
        };
        if !self.seen.insert((code.as_str(), at.path.clone())) {
            return;
        }
        self.findings.push(Finding {
            severity: code.severity(),
            code: code.as_str(),
            at: at.path.clone(),
            name: name.to_owned(),
            meaning,
            hint: code.mend().into(),
        });
    }

    /// Where another mend than that of the code is the right one.
    pub(super) fn add_mended(
        &mut self,
        code: Code,
        at: &Node<'_>,
        name: &str,
        mend: impl Into<Cow<'static, str>>,
    ) {
        let before = self.findings.len();
        self.add_named(code, at, name);
        if let Some(finding) = self.findings.get_mut(before) {
            finding.hint = mend.into();
        }
    }

    /// What another place decides.
    pub(super) fn unjudged(&mut self, what: String) {
        self.unjudged.insert(what);
    }

    /// The gravest first.
    pub(super) fn sorted(mut self) -> (Vec<Finding>, BTreeSet<String>) {
        self.findings.sort_by_key(|finding| finding.severity);
        (self.findings, self.unjudged)
    }
}
