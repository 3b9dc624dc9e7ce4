//! Whether everything is asked about, and only the answer counts.

use super::Case;
use crate::envoy::check::{
    finding::{Code, Report},
    node::Node,
    view::{
        Cluster, DYNAMIC_MODULE, EXT_PROC, Filter, HTTP_AUTHZ, Manager, NETWORK_AUTHZ, TCP_PROXY,
        View, placed, targets,
    },
};

/// The filters that ask, of requests and of connections.
pub(super) fn askers<'v, 'a>(view: &'v View<'a>) -> impl Iterator<Item = &'v Filter<'a>> {
    view.of_kind(HTTP_AUTHZ).chain(view.of_kind(NETWORK_AUTHZ))
}

pub(super) fn fails_open(case: &Case<'_, '_>, report: &mut Report) {
    for filter in askers(case.view) {
        let settings = filter.settings();
        let keys = ["failure_mode_allow", "failure_mode_allow_header_add"];
        if keys.iter().any(|key| settings.flag(key)) {
            report.add(Code::FailOpen, &filter.node);
        }
    }
}

pub(super) fn is_disabled(case: &Case<'_, '_>, report: &mut Report) {
    for filter in case
        .view
        .of_kind(HTTP_AUTHZ)
        .filter(|filter| is_partial(filter))
    {
        report.add(Code::AuthzDisabled, &filter.node);
    }
    for scope in &case.view.scopes {
        let Some(settings) = scope.get("typed_per_filter_config") else {
            continue;
        };
        for (name, settings) in settings.entries() {
            if switches_off(case.view, name, &settings) && leads_out(case.view, scope) {
                report.add_named(Code::AuthzDisabled, &settings, scope.name());
            }
        }
    }
}

/// Whether the filter leaves out some requests.
fn is_partial(filter: &Filter<'_>) -> bool {
    let settings = filter.settings();
    let share = settings.at(["filter_enabled", "default_value"]);
    let some = share.is_some_and(|share| percent(&share) < 100.0);
    let by_condition = filter.conditional || settings.has("filter_enabled_metadata");
    // The share can be changed at run time.
    let by_runtime = settings
        .get("filter_enabled")
        .is_some_and(|share| share.has("runtime_key"));
    filter.node.flag("disabled") || some || by_condition || by_runtime
}

fn percent(share: &Node<'_>) -> f64 {
    let numerator = share.number("numerator").unwrap_or_default();
    match share {
        _ if share.is("denominator", "TEN_THOUSAND", 1) => numerator / 100.0,
        _ if share.is("denominator", "MILLION", 2) => numerator / 10_000.0,
        _ => numerator,
    }
}

/// Whether the settings of a route or of what holds it switch off the filter that asks.
fn switches_off(view: &View<'_>, name: &str, settings: &Node<'_>) -> bool {
    let message = settings.message();
    match settings.kind() {
        "ExtAuthzPerRoute" => message.flag("disabled"),
        "FilterConfig" => {
            let inner = message.get("config");
            let inner = inner.is_some_and(|inner| switches_off(view, name, &inner));
            inner || (message.flag("disabled") && is_asker(view, name))
        }
        _ => false,
    }
}

fn is_asker(view: &View<'_>, name: &str) -> bool {
    let mut askers = view.of_kind(HTTP_AUTHZ);
    name == "envoy.filters.http.ext_authz" || askers.any(|filter| filter.node.name() == name)
}

/// Whether something in a scope may reach an address that is decided. A part of a route that stands alone may.
pub(super) fn leads_out(view: &View<'_>, scope: &Node<'_>) -> bool {
    if scope.has("direct_response") || scope.has("redirect") {
        return false;
    }
    let names = match scope.get("route") {
        Some(action) => targets(&action),
        None if scope.has("weight") => vec![scope.name()],
        None => return inner(scope).is_none_or(|inner| inner.iter().any(|s| leads_out(view, s))),
    };
    names.is_empty() || names.iter().any(|name| view.may_be_pinned(name))
}

fn inner<'a>(scope: &Node<'a>) -> Option<Vec<Node<'a>>> {
    let key = ["virtual_hosts", "routes"]
        .into_iter()
        .find(|key| scope.has(key))?;
    Some(scope.items(key))
}

pub(super) fn is_missing(case: &Case<'_, '_>, report: &mut Report) {
    let leads = |manager: &&Manager<'_>| case.view.pinned_routes(manager).next().is_some();
    for manager in case.view.managers.iter().filter(leads) {
        let upgrades = manager.upgrades.iter();
        let upgrades = upgrades.map(|upgrade| (&upgrade.node, &upgrade.filters));
        for (node, filters) in upgrades.chain([(&manager.node, &manager.filters)]) {
            if !asks(filters) {
                report.add_named(Code::AuthzMissing, node, manager.name());
            }
        }
    }
    for chain in &case.view.chains {
        let mut asked = false;
        for filter in &chain.filters {
            asked |=
                filter.is_of(NETWORK_AUTHZ) || filter.is_of("filters.network.dynamic_modules.");
            let settings = filter.settings();
            let pinned = |name: &&str| case.view.is_pinned(name);
            if filter.is_of(TCP_PROXY) && !asked && targets(&settings).iter().any(pinned) {
                report.add(Code::AuthzMissing, &filter.node);
            }
        }
    }
}

/// Whether something decides before the router takes the request.
fn asks(filters: &[Filter<'_>]) -> bool {
    let router = placed(filters, "filters.http.router.").map(|(at, _)| at);
    [HTTP_AUTHZ, DYNAMIC_MODULE, EXT_PROC].iter().any(|kind| {
        let asker = placed(filters, kind);
        asker.is_some_and(|(at, _)| router.is_none_or(|router| at < router))
    })
}

pub(super) fn is_module(case: &Case<'_, '_>, report: &mut Report) {
    for manager in &case.view.managers {
        if manager.filter(HTTP_AUTHZ).is_some() || !case.view.may_dial(manager) {
            continue;
        }
        if let Some((_, module)) = manager.filter(DYNAMIC_MODULE) {
            report.add(Code::DynamicModuleOrder, &module.node);
        }
        if let Some((_, processor)) = manager.filter(EXT_PROC) {
            report.unjudged(format!(
                "`{}` decides in place of ext_authz: whether it does cannot be seen",
                processor.node.name()
            ));
        }
    }
}

pub(super) fn is_overridden(case: &Case<'_, '_>, report: &mut Report) {
    for filter in case.view.filters.iter().chain(&case.view.settings) {
        if writes_metadata(filter) || writes_address(filter) {
            report.add(Code::AllowMetadataOverridden, &filter.node);
        }
    }
}

/// Whether it writes where the answers of a decision stand.
fn writes_metadata(filter: &Filter<'_>) -> bool {
    let settings = filter.settings();
    let named = |node: &Node<'_>, key: &str| node.text(key).is_some_and(is_namespace);
    match filter.config.kind() {
        "Config" if filter.is_of("filters.http.set_metadata.") => {
            let mut all = settings.items("metadata").into_iter();
            named(&settings, "metadata_namespace")
                || all.any(|one| named(&one, "metadata_namespace"))
        }
        "Config" if filter.is_of("filters.http.header_to_metadata.") => {
            let rules = settings.items("request_rules").into_iter();
            let keys = ["on_header_present", "on_header_missing"];
            let mut places = rules
                .flat_map(|rule| keys.map(|key| rule.get(key)))
                .flatten();
            places.any(|place| named(&place, "metadata_namespace"))
        }
        "JsonToMetadata" | "PayloadToMetadata" | "ExternalProcessor" | "Lua" | "LuaPerRoute" => {
            mentions(settings.value)
        }
        _ => false,
    }
}

fn is_namespace(name: &str) -> bool {
    NAMESPACES.contains(&name)
}

/// Whether the name of a namespace or of the address stands anywhere in it. A script that writes there names it.
fn mentions(value: &serde_json::Value) -> bool {
    match value {
        serde_json::Value::String(text) => {
            let mut names = NAMESPACES.iter().chain([&ADDRESS]);
            names.any(|name| text.contains(name))
        }
        serde_json::Value::Array(all) => all.iter().any(mentions),
        serde_json::Value::Object(all) => all.values().any(mentions),
        _ => false,
    }
}

/// Whether it names the address to dial, which comes before the metadata, by anything but the decision.
fn writes_address(filter: &Filter<'_>) -> bool {
    filter
        .states()
        .iter()
        .any(|state| is_state(state, ADDRESS) && !source(state).is_some_and(is_decided))
}

/// Whether what was decided is set as a state, for all requests that lead to a cluster.
pub(super) fn hands_on(
    view: &View<'_>,
    cluster: &Cluster<'_>,
    key: &str,
    is_decided: fn(&Node<'_>) -> bool,
) -> bool {
    let sets = |filter: &Filter<'_>| {
        let states = filter.states();
        let mut states = states.iter().filter(|state| is_state(state, key));
        filter.is_always_on() && states.any(is_decided)
    };
    let name = cluster.node.name();
    let leads = |manager: &&Manager<'_>| view.leads_from(manager, name);
    let leading: Vec<_> = view.managers.iter().filter(leads).collect();
    match leading.as_slice() {
        [] => view.filters.iter().any(sets),
        all => all.iter().all(|manager| {
            // What is set before the decision is there is nothing.
            let asked = manager.filter(HTTP_AUTHZ).map_or(0, |(at, _)| at);
            manager.filters.iter().skip(asked).any(sets)
        }),
    }
}

/// Whether a state has this name.
pub(super) fn is_state(state: &Node<'_>, name: &str) -> bool {
    let key = state.text("object_key");
    key.or_else(|| state.text("factory_key")) == Some(name)
}

/// The format by which a state is written; none where it is not in the file.
pub(super) fn source<'a>(state: &Node<'a>) -> Option<&'a str> {
    let from = state.at(["format_string", "text_format_source"])?;
    from.text("inline_string")
}

/// Whether a format is the address of the decision and nothing else.
pub(super) fn is_decided(format: &str) -> bool {
    decided(format).is_some_and(is_pin)
}

/// Of what the decision wrote, the key that a format hands on.
pub(super) fn decided(format: &str) -> Option<&str> {
    let inner = format.strip_prefix("%DYNAMIC_METADATA(")?;
    let (namespace, key) = inner.strip_suffix(")%")?.split_once(':')?;
    is_namespace(namespace).then_some(key)
}

/// `pin`, `pin2`, ...
pub(super) fn is_pin(key: &str) -> bool {
    key.strip_prefix("pin")
        .is_some_and(|rest| rest.chars().all(|c| c.is_ascii_digit()))
}

/// The filter state that holds an address to dial.
pub(super) const ADDRESS: &str = "envoy.network.transport_socket.original_dst_address";

const NAMESPACES: &[&str] = &[
    pinfold_gateway::envoy::HTTP_NAMESPACE,
    pinfold_gateway::envoy::NETWORK_NAMESPACE,
];
