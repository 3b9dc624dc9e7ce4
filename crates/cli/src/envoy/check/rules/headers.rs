//! What servers learn from header fields that Envoy adds.

use super::{Case, cluster::removes, edge::judging};
use crate::envoy::check::{
    finding::{Code, Report},
    view::{HEADER_MUTATION, Manager, Route, View},
};

pub(super) fn leaked(case: &Case<'_, '_>, report: &mut Report) {
    for manager in judging(case.view) {
        let added = added(manager);
        let routes: Vec<_> = case.view.pinned_routes(manager).collect();
        // Nothing of Envoy is in a tunnel.
        let mut routes = routes
            .into_iter()
            .filter(|route| !route.is_connect())
            .peekable();
        if routes.peek().is_none() {
            continue;
        }
        let routes: Vec<_> = routes.collect();
        let leaks = |header: &&&str| {
            !by_filter(manager, header)
                && routes
                    .iter()
                    .any(|route| !by_route(route, header) && !upstream(case.view, route, header))
        };
        let leaked: Vec<_> = added.iter().filter(leaks).copied().collect();
        if !leaked.is_empty() {
            report.add_mended(
                Code::HeadersLeaked,
                &manager.node,
                manager.name(),
                mend(&leaked),
            );
        }
    }
}

/// Of those that were found alone: nothing is to be written twice.
fn mend(leaked: &[&str]) -> String {
    let mut mends: Vec<String> = Vec::new();
    let by_name = ["x-request-id", "x-forwarded-proto"];
    let removed: Vec<_> = by_name
        .into_iter()
        .filter(|name| leaked.contains(name))
        .collect();
    if !removed.is_empty() {
        mends.push(format!(
            "request_headers_to_remove: [{}]",
            removed.join(", ")
        ));
    }
    if leaked.contains(&"x-envoy-expected-rq-timeout-ms") {
        mends.push("router: suppress_envoy_headers: true".to_owned());
    }
    if leaked.contains(&"x-forwarded-for") {
        mends.push("skip_xff_append: true".to_owned());
    }
    mends.join("; ")
}

/// What this manager adds.
fn added(manager: &Manager<'_>) -> Vec<&'static str> {
    let node = &manager.node;
    let router = manager.filter("filters.http.router.");
    let is_quiet =
        router.is_some_and(|(_, filter)| filter.settings().flag("suppress_envoy_headers"));
    let makes = node.get("generate_request_id").is_none() || node.flag("generate_request_id");
    let appends = node.flag("use_remote_address") && !node.flag("skip_xff_append");
    [
        ("x-forwarded-proto", true),
        ("x-request-id", makes),
        ("x-envoy-expected-rq-timeout-ms", !is_quiet),
        ("x-forwarded-for", appends),
    ]
    .into_iter()
    .filter_map(|(header, is_added)| is_added.then_some(header))
    .collect()
}

fn by_filter(manager: &Manager<'_>, header: &str) -> bool {
    let filters = manager
        .filters
        .iter()
        .filter(|filter| filter.is_of(HEADER_MUTATION) && filter.is_always_on());
    let mutations = filters.filter_map(|filter| filter.settings().get("mutations"));
    let mut all = mutations.flat_map(|mutations| mutations.items("request_mutations"));
    all.any(|mutation| removes(&mutation, header))
}

fn by_route(route: &Route<'_>, header: &str) -> bool {
    let lists = route
        .levels()
        .flat_map(|level| level.items("request_headers_to_remove"));
    let mut names = lists.filter_map(|name| name.value.as_str());
    names.any(|name| name.eq_ignore_ascii_case(header))
}

/// By filters of the cluster.
fn upstream(view: &View<'_>, route: &Route<'_>, header: &str) -> bool {
    let mut clusters = route.targets.iter().filter_map(|name| view.cluster(name));
    clusters.any(|cluster| {
        let filters = cluster
            .options
            .iter()
            .flat_map(|options| options.items("http_filters"));
        let filters = filters.filter(|filter| !filter.flag("disabled"));
        let configs = filters.filter_map(|filter| filter.get("typed_config"));
        let mutations = configs.filter_map(|config| config.message().get("mutations"));
        let mut all = mutations.flat_map(|mutations| mutations.items("request_mutations"));
        all.any(|mutation| removes(&mutation, header))
    })
}
