//! The rules: each looks for one trap.

mod authz;
mod cluster;
mod decision;
mod edge;
mod elsewhere;
mod headers;
mod l4;
mod layer;
mod route;
mod tls;

use ipnet::IpNet;

use super::{finding::Report, view::View};

/// What a rule is asked about.
pub(super) struct Case<'v, 'a> {
    pub(super) view: &'v View<'a>,
    /// Networks that the second layer lets pass because somebody wants it to.
    pub(super) allow: &'v [IpNet],
}

/// Asks every rule.
pub(super) fn apply(case: &Case<'_, '_>, report: &mut Report) {
    for rule in RULES {
        rule(case, report);
    }
}

type Rule = fn(&Case<'_, '_>, &mut Report);

const RULES: &[Rule] = &[
    authz::fails_open,
    authz::is_disabled,
    authz::is_missing,
    authz::is_overridden,
    authz::is_module,
    cluster::by_header,
    cluster::unpinned,
    cluster::other_key,
    cluster::resolves,
    cluster::by_name,
    cluster::shared,
    cluster::by_client,
    cluster::sessions,
    decision::by_http,
    decision::in_time,
    decision::status,
    decision::instances,
    decision::apart,
    decision::elsewhere,
    edge::restores,
    edge::admin,
    edge::led_to_admin,
    edge::forwarded,
    edge::request_id,
    headers::leaked,
    l4::early,
    l4::nameless,
    layer::second,
    layer::replaced,
    route::scheme,
    route::upstream,
    route::rewritten,
    route::altered,
    route::anew,
    route::copied,
    route::endless,
    tls::servers,
    tls::clients,
    elsewhere::absent,
    elsewhere::asked_for,
];
