//! Routes that lead to what was decided.

use super::{Case, edge::judging};
use crate::envoy::check::{
    finding::{Code, Report},
    node::Node,
    view::{EXT_PROC, Filter, HTTP_AUTHZ, Manager, Route, TCP_PROXY, View, targets},
};

pub(super) fn scheme(case: &Case<'_, '_>, report: &mut Report) {
    for (manager, route) in case.view.all_routes() {
        if route.is_connect() || !is_plain(case.view, route) {
            continue;
        }
        if let Some(scheme) =
            manager.and_then(|manager| manager.node.get("scheme_header_transformation"))
        {
            let name = manager.map(Manager::name).unwrap_or_default();
            report.add_named(Code::SchemeOverwritten, &scheme, name);
        }
        if !looks_at_scheme(route) && !is_behind_scheme(route) {
            report.add_named(Code::SchemeNotRouted, &route.node, route.name());
        }
    }
}

/// Whether it may lead to a decided address in clear text.
fn is_plain(view: &View<'_>, route: &Route<'_>) -> bool {
    let mut targets = route.targets.iter();
    targets.any(|target| view.is_pinned(target) && !view.speaks_tls(target))
}

fn looks_at_scheme(route: &Route<'_>) -> bool {
    is_for_scheme(&route.node, "http")
}

/// Whether another route of its host takes `https` before.
fn is_behind_scheme(route: &Route<'_>) -> bool {
    let [host, _] = &route.around;
    let routes = host.items("routes");
    let before = routes
        .iter()
        .take_while(|other| other.path != route.node.path);
    before
        .into_iter()
        .any(|other| is_for_scheme(other, "https") && takes_all(other))
}

/// Whether it takes every path.
fn takes_all(route: &Node<'_>) -> bool {
    let matched = route.get("match");
    matched.is_some_and(|matched| {
        matched.text("prefix") == Some("/") && matched.items("headers").len() == 1
    })
}

fn is_for_scheme(route: &Node<'_>, scheme: &str) -> bool {
    let headers = route.get("match").map(|matched| matched.items("headers"));
    headers.unwrap_or_default().iter().any(|header| {
        let string = header.get("string_match");
        let exact = string
            .and_then(|string| string.text("exact"))
            .or_else(|| header.text("exact_match"));
        header.name() == ":scheme" && exact == Some(scheme) && !header.flag("invert_match")
    })
}

pub(super) fn upstream(case: &Case<'_, '_>, report: &mut Report) {
    for (_, route) in case.view.all_routes() {
        let said = said(route);
        if said == Some(REDACTED) {
            let name = route.name();
            report.unjudged(format!(
                "the labels of route `{name}` are left out of this dump"
            ));
            continue;
        }
        let said = said == Some(pinfold_gateway::envoy::TLS);
        let pinned = route
            .targets
            .iter()
            .filter(|target| case.view.is_pinned(target));
        // What speaks both is never as it was said.
        let mut differs = pinned.filter(|target| match said {
            true => !case.view.speaks_tls(target),
            false => !case.view.speaks_clear_text(target),
        });
        if !route.is_connect() && differs.next().is_some() {
            report.add_named(Code::UpstreamDiffers, &route.node, route.name());
        }
    }
}

/// What the decision service is told that Envoy speaks; the closest counts.
fn said<'a>(route: &Route<'a>) -> Option<&'a str> {
    let settings = route
        .levels()
        .filter_map(|level| level.get("typed_per_filter_config"));
    let entries = settings.flat_map(|settings| settings.entries());
    let mut labels = entries.filter_map(|(_, one)| match one.kind() {
        "ExtAuthzPerRoute" => one.message().at(["check_settings", "context_extensions"]),
        _ => None,
    });
    labels.find_map(|labels| labels.text(pinfold_gateway::envoy::UPSTREAM))
}

pub(super) fn rewritten(case: &Case<'_, '_>, report: &mut Report) {
    for (_, route) in case.view.all_routes() {
        let Some(action) = &route.action else {
            continue;
        };
        let mut targets = route.targets.iter();
        if !targets.any(|target| case.view.is_pinned(target)) {
            continue;
        }
        if HOST_REWRITES.iter().any(|key| action.has(key)) || action.flag("auto_host_rewrite") {
            report.add_named(Code::HostRewritten, &route.node, route.name());
        }
        if PATH_REWRITES.iter().any(|key| action.has(key)) {
            report.add_named(Code::PathRewritten, &route.node, route.name());
        }
    }
}

/// What may change in a request that was judged. Filters that mutate header fields leave host and path alone: Envoy
/// refuses to have them otherwise.
pub(super) fn altered(case: &Case<'_, '_>, report: &mut Report) {
    for manager in judging(case.view).filter(|manager| case.view.may_dial(manager)) {
        for filter in asked(manager).iter().skip(1) {
            if SCRIPTS.iter().any(|kind| filter.is_of(kind)) {
                report.unjudged(format!(
                    "`{}` runs after the decision: what it changes cannot be seen",
                    filter.node.name()
                ));
            }
        }
    }
}

/// The filter that asks, and those after it.
fn asked<'m, 'a>(manager: &'m Manager<'a>) -> &'m [Filter<'a>] {
    let at = manager.filter(HTTP_AUTHZ).map(|(at, _)| at);
    at.and_then(|at| manager.filters.get(at..))
        .unwrap_or_default()
}

/// Another route than the one with which it was judged.
pub(super) fn anew(case: &Case<'_, '_>, report: &mut Report) {
    for manager in judging(case.view).filter(|manager| case.view.may_dial(manager)) {
        let asked = asked(manager).iter();
        for filter in asked.filter(|filter| filter.settings().flag("clear_route_cache")) {
            report.add(Code::RouteChanges, &filter.node);
        }
    }
}

/// Copies that go where clients want.
pub(super) fn copied(case: &Case<'_, '_>, report: &mut Report) {
    for mirror in case.view.mirrors() {
        if mirror.has("cluster_header") {
            report.add(Code::MirrorByHeader, &mirror);
        }
    }
}

pub(super) fn endless(case: &Case<'_, '_>, report: &mut Report) {
    for (manager, route) in case.view.all_routes() {
        let pinned = route
            .targets
            .iter()
            .any(|target| case.view.is_pinned(target));
        if pinned && is_tunnel(route) && !ends(manager, route) {
            report.add_named(Code::TunnelUnbounded, &route.node, route.name());
        }
    }
    for proxy in case.view.of_kind(TCP_PROXY) {
        let settings = proxy.settings();
        let pinned = targets(&settings)
            .iter()
            .any(|target| case.view.is_pinned(target));
        if pinned && !is_some(settings.seconds("max_downstream_connection_duration")) {
            report.add(Code::TunnelUnbounded, &proxy.node);
        }
    }
}

fn is_tunnel(route: &Route<'_>) -> bool {
    let upgrades = route
        .action
        .as_ref()
        .map(|action| action.items("upgrade_configs"));
    let upgrades = upgrades.unwrap_or_default();
    route.is_connect() || upgrades.iter().any(|upgrade| upgrade.has("connect_config"))
}

/// Whether a time is set after which it ends, whatever goes through it.
fn ends(manager: Option<&Manager<'_>>, route: &Route<'_>) -> bool {
    let own = route
        .action
        .as_ref()
        .and_then(|action| action.get("max_stream_duration"));
    let common = manager.and_then(|manager| manager.node.get("common_http_protocol_options"));
    match own.filter(|own| own.has("max_stream_duration")) {
        Some(own) => is_some(own.seconds("max_stream_duration")),
        None => is_some(common.and_then(|common| common.seconds("max_stream_duration"))),
    }
}

/// Zero is no bound.
fn is_some(time: Option<f64>) -> bool {
    time.is_some_and(|time| time > 0.0)
}

/// What `/config_dump` shows in place of a label.
const REDACTED: &str = "[redacted]";

const HOST_REWRITES: &[&str] = &[
    "host_rewrite_literal",
    "host_rewrite_header",
    "host_rewrite_path_regex",
    "host_rewrite_path",
    "host_rewrite",
];
const PATH_REWRITES: &[&str] = &[
    "prefix_rewrite",
    "regex_rewrite",
    "path_rewrite_policy",
    "path_rewrite",
];
/// What can do anything to a request.
const SCRIPTS: &[&str] = &[
    "filters.http.lua.",
    "filters.http.wasm.",
    "filters.http.golang.",
    "filters.http.dynamic_modules.",
    EXT_PROC,
];
