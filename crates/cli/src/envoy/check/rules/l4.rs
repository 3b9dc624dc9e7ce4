//! Connections that are passed through.

use super::Case;
use crate::envoy::check::{
    finding::{Code, Report},
    view::{Chain, Filter, NETWORK_AUTHZ, TCP_PROXY, View},
};

pub(super) fn early(case: &Case<'_, '_>, report: &mut Report) {
    for chain in &case.view.chains {
        let asked = chain
            .filters
            .iter()
            .any(|filter| filter.is_of(NETWORK_AUTHZ));
        let proxies = chain
            .filters
            .iter()
            .filter(|filter| filter.is_of(TCP_PROXY));
        for proxy in proxies.filter(|proxy| asked && !waits(proxy)) {
            report.add(Code::L4ConnectsEarly, &proxy.node);
        }
    }
}

/// Whether it connects only once the filters before it let bytes through.
fn waits(proxy: &Filter<'_>) -> bool {
    let settings = proxy.settings();
    let keeps = settings
        .number("max_early_data_bytes")
        .is_some_and(|bytes| bytes > 0.0);
    keeps && settings.is("upstream_connect_mode", "ON_DOWNSTREAM_DATA", 1)
}

pub(super) fn nameless(case: &Case<'_, '_>, report: &mut Report) {
    for chain in &case.view.chains {
        for filter in chain
            .filters
            .iter()
            .filter(|filter| filter.is_of(NETWORK_AUTHZ))
        {
            let told = filter.settings().flag("include_tls_session");
            if !told || !inspects(case.view, chain) {
                report.add(Code::L4SniMissing, &filter.node);
            }
        }
    }
}

/// Whether the server name is read before.
fn inspects(view: &View<'_>, chain: &Chain<'_>) -> bool {
    let mut listeners = view.listeners.iter();
    let listener = listeners.find(|listener| listener.node.path == chain.listener);
    listener.is_some_and(|listener| {
        let mut filters = listener.filters.iter();
        filters.any(|filter| filter.is_of("filters.listener.tls_inspector."))
    })
}
