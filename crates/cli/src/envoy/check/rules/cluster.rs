//! Where a cluster takes the address from, and who shares its connections.

use super::{
    Case,
    authz::{ADDRESS, hands_on, is_decided, is_pin, source},
};
use crate::envoy::check::{
    finding::{Code, Report},
    node::Node,
    view::{
        Cluster, DYNAMIC_MODULE, EXT_PROC, Filter, HEADER_MUTATION, HTTP_AUTHZ, Manager, TCP_PROXY,
        View, targets,
    },
};

pub(super) fn by_header(case: &Case<'_, '_>, report: &mut Report) {
    for cluster in case.view.pinned() {
        let Some(settings) = lookup(cluster).filter(|it| it.flag("use_http_header")) else {
            continue;
        };
        report.add_named(Code::HeaderMode, &settings, cluster.node.name());
        let header = settings.text("http_header_name").unwrap_or(HEADER);
        for manager in &case.view.managers {
            if case.view.may_dial(manager) && !strips(manager, header) {
                let mend = Code::HeaderNotStripped.mend().replace(HEADER, header);
                report.add_mended(Code::HeaderNotStripped, &manager.node, manager.name(), mend);
            }
        }
    }
}

fn lookup<'a>(cluster: &Cluster<'a>) -> Option<Node<'a>> {
    cluster.node.get("original_dst_lb_config")
}

/// Whether a header field of clients is gone before anybody is asked.
pub(super) fn strips(manager: &Manager<'_>, header: &str) -> bool {
    let asked = manager.filter(HTTP_AUTHZ).map_or(usize::MAX, |(at, _)| at);
    let filters = manager.filters.iter().take(asked);
    let filters = filters.filter(|filter| filter.is_of(HEADER_MUTATION) && filter.is_always_on());
    let late = filters.filter_map(|filter| filter.settings().get("mutations"));
    let late = late.flat_map(|mutations| mutations.items("request_mutations"));
    let mut late = late.into_iter();
    strips_early(&manager.node, header) || late.any(|mutation| removes(&mutation, header))
}

/// Whether it is gone before the manager itself reads it.
pub(super) fn strips_early(manager: &Node<'_>, header: &str) -> bool {
    let early = manager.items("early_header_mutation_extensions");
    let early = early.iter().filter_map(|one| one.get("typed_config"));
    let mut early = early.flat_map(|config| config.message().items("mutations"));
    early.any(|mutation| removes(&mutation, header))
}

/// Whether a mutation takes a header field away.
pub(super) fn removes(mutation: &Node<'_>, header: &str) -> bool {
    let by_name = mutation
        .text("remove")
        .is_some_and(|name| name.eq_ignore_ascii_case(header));
    let matcher = mutation.at(["remove_on_match", "key_matcher"]);
    by_name
        || matcher.is_some_and(|matcher| {
            matcher.text("exact") == Some(header)
                || matcher
                    .text("prefix")
                    .is_some_and(|start| header.starts_with(start))
        })
}

pub(super) fn unpinned(case: &Case<'_, '_>, report: &mut Report) {
    let pinned = case.view.pinned();
    for cluster in pinned.filter(|cluster| cluster.is_original_dst()) {
        let settings = lookup(cluster);
        let names = settings.is_some_and(|it| it.has("metadata_key") || it.flag("use_http_header"));
        if !names && !hands_on(case.view, cluster, ADDRESS, is_pinned) {
            report.add(Code::ClusterAddressUnpinned, &cluster.node);
        }
    }
}

/// The decided address as the state of a request, which is the other way that there is.
fn is_pinned(state: &Node<'_>) -> bool {
    source(state).is_some_and(is_decided)
}

pub(super) fn other_key(case: &Case<'_, '_>, report: &mut Report) {
    for cluster in case.view.pinned() {
        let Some(key) = lookup(cluster).and_then(|it| it.get("metadata_key")) else {
            continue;
        };
        let name = cluster.node.name();
        let path: Vec<_> = key.items("path");
        let is_path = matches!(path.as_slice(), [one] if one.text("key").is_some_and(is_pin));
        let used = Used::of(case.view, name);
        let is_namespace = match key.text("key") {
            Some(pinfold_gateway::envoy::HTTP_NAMESPACE) => {
                used.by_requests || !used.by_connections
            }
            Some(pinfold_gateway::envoy::NETWORK_NAMESPACE) => {
                used.by_connections || !used.by_requests
            }
            _ => false,
        };
        let fits = is_path && is_namespace;
        if !fits && !decides_otherwise(case.view) {
            report.add_named(Code::MetadataKeyDiffers, &key, name);
        }
    }
}

/// By what a cluster is reached.
pub(super) struct Used {
    pub(super) by_requests: bool,
    pub(super) by_connections: bool,
}

impl Used {
    pub(super) fn of(view: &View<'_>, name: &str) -> Self {
        let leads = |target: &&str| *target == name || view.is_part_of(name, target);
        let routes = view.tables.iter().flat_map(|table| &table.routes);
        let mut proxies = view.of_kind(TCP_PROXY).map(Filter::settings);
        Self {
            by_requests: routes.flat_map(|route| &route.targets).any(leads),
            by_connections: proxies.any(|settings| targets(&settings).iter().any(leads)),
        }
    }
}

/// Whether something else than ext_authz decides, which may write where it wants.
fn decides_otherwise(view: &View<'_>) -> bool {
    let none = view.of_kind(HTTP_AUTHZ).next().is_none();
    none && [DYNAMIC_MODULE, EXT_PROC]
        .iter()
        .any(|kind| view.of_kind(kind).next().is_some())
}

pub(super) fn resolves(case: &Case<'_, '_>, report: &mut Report) {
    for cluster in &case.view.clusters {
        if cluster.has_type("dynamic_forward_proxy") {
            report.add(Code::ClusterResolves, &cluster.node);
        }
    }
    let kinds = [
        "filters.http.dynamic_forward_proxy.",
        "filters.network.sni_dynamic_forward_proxy.",
        "filters.udp.udp_proxy.session.dynamic_forward_proxy.",
    ];
    for filter in kinds.into_iter().flat_map(|kind| case.view.of_kind(kind)) {
        let mend =
            "remove this filter: the cluster dials what was judged, and nothing is looked up";
        report.add_mended(
            Code::ClusterResolves,
            &filter.node,
            filter.node.name(),
            mend,
        );
    }
}

pub(super) fn by_name(case: &Case<'_, '_>, report: &mut Report) {
    let view = case.view;
    let alone = view.tables.is_empty() && view.managers.is_empty() && view.chains.is_empty();
    for cluster in view.clusters.iter().filter(|cluster| looks_up(cluster)) {
        let name = cluster.node.name();
        if view.leads_to(name) || (alone && !view.services.contains(name)) {
            report.add(Code::ClusterByName, &cluster.node);
        }
    }
}

pub(super) fn looks_up(cluster: &Cluster<'_>) -> bool {
    let node = &cluster.node;
    let by_type = node.is("type", "STRICT_DNS", 1) || node.is("type", "LOGICAL_DNS", 2);
    by_type
        || ["dns", "strict_dns", "logical_dns"]
            .iter()
            .any(|kind| cluster.has_type(kind))
}

pub(super) fn shared(case: &Case<'_, '_>, report: &mut Report) {
    for cluster in case.view.pinned().filter(|cluster| cluster.tls.is_empty()) {
        let used = Used::of(case.view, cluster.node.name());
        // A tunnel of tcp_proxy has a connection of its own.
        if used.by_connections && !used.by_requests {
            continue;
        }
        let common = cluster
            .options
            .as_ref()
            .and_then(|all| all.get("common_http_protocol_options"));
        let once = [common.as_ref(), Some(&cluster.node)].into_iter().flatten();
        let once = once.filter_map(|it| it.number("max_requests_per_connection"));
        let is_once = once.into_iter().any(|most| most == 1.0);
        if !cluster
            .node
            .flag("connection_pool_per_downstream_connection")
            && !is_once
        {
            report.add(Code::PoolShared, &cluster.node);
        }
    }
}

/// Who names the cluster chooses who connects, and by what rules.
pub(super) fn by_client(case: &Case<'_, '_>, report: &mut Report) {
    for (manager, route) in case.view.all_routes() {
        let Some(action) = &route.action else {
            continue;
        };
        let weighted = action.get("weighted_clusters");
        let weighted = weighted
            .map(|all| all.items("clusters"))
            .unwrap_or_default();
        let names = weighted.iter().chain([action]);
        let mut names = names.filter_map(|one| one.text("cluster_header"));
        let believes = |name| manager.is_none_or(|manager| !strips(manager, name));
        if names.any(believes) {
            report.add_named(Code::ClusterFromClient, &route.node, route.name());
        }
    }
}

/// Certificates are looked at when a session begins.
pub(super) fn sessions(case: &Case<'_, '_>, report: &mut Report) {
    for cluster in case.view.pinned() {
        for tls in &cluster.tls {
            if tls.number("max_session_keys") != Some(0.0) {
                report.add_named(Code::SessionKept, tls, cluster.node.name());
            }
        }
    }
}

/// The header field that names an address, where a cluster takes it from one.
pub(super) const HEADER: &str = "x-envoy-original-dst-host";
