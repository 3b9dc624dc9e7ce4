//! What is believed of clients, and who may command Envoy.

use std::net::IpAddr;

use pinfold_addr::{Class, Classifier};

use super::{Case, cluster::strips};
use crate::envoy::check::{
    finding::{Code, Report},
    node::Node,
    view::{HTTP_AUTHZ, Listener, Manager, TCP_PROXY, View, targets},
};

pub(super) fn restores(case: &Case<'_, '_>, report: &mut Report) {
    for listener in &case.view.listeners {
        if !may_dial(case.view, listener) {
            continue;
        }
        for filter in &listener.filters {
            let kinds = ["proxy_protocol", "original_dst"];
            if kinds
                .iter()
                .any(|kind| filter.is_of(&format!("filters.listener.{kind}.")))
            {
                report.add_named(Code::RestoredAddress, &filter.node, listener.node.name());
            }
        }
        let flag = listener.node.get("use_original_dst");
        if let Some(flag) = flag.filter(|_| listener.node.flag("use_original_dst")) {
            report.add_named(Code::RestoredAddress, &flag, listener.node.name());
        }
    }
}

/// Whether a connection to a listener may end at an address that something else names.
fn may_dial(view: &View<'_>, listener: &Listener<'_>) -> bool {
    let inside = |node: &Node<'_>| {
        let rest = node.path.strip_prefix(&listener.node.path);
        rest.is_some_and(|rest| rest.starts_with(['.', '[']))
    };
    let managers: Vec<_> = view
        .managers
        .iter()
        .filter(|one| inside(&one.node))
        .collect();
    let proxies: Vec<_> = view
        .of_kind(TCP_PROXY)
        .filter(|one| inside(&one.node))
        .collect();
    let alone = managers.is_empty() && proxies.is_empty();
    let connects = || {
        let targets = proxies.iter().flat_map(|proxy| targets(&proxy.settings()));
        targets.into_iter().any(|target| view.may_be_pinned(target))
    };
    alone || managers.iter().any(|manager| view.may_dial(manager)) || connects()
}

pub(super) fn admin(case: &Case<'_, '_>, report: &mut Report) {
    for admin in &case.view.admins {
        let socket = admin.at(["address", "socket_address"]);
        if socket.is_some_and(|socket| !is_loopback(&socket)) {
            report.add(Code::AdminExposed, admin);
        }
    }
}

fn is_loopback(socket: &Node<'_>) -> bool {
    let address = socket.text("address").unwrap_or_default();
    let is_loopback = |ip: IpAddr| Classifier::default().classify(ip).class == Class::Loopback;
    address == "localhost" || address.parse().is_ok_and(is_loopback)
}

pub(super) fn forwarded(case: &Case<'_, '_>, report: &mut Report) {
    for manager in judging(case.view) {
        if !manager.node.flag("use_remote_address") {
            report.add_named(Code::XffTrusted, &manager.node, manager.name());
        }
    }
}

pub(super) fn request_id(case: &Case<'_, '_>, report: &mut Report) {
    for manager in judging(case.view) {
        let node = &manager.node;
        let makes = node.get("generate_request_id").is_none() || node.flag("generate_request_id");
        let is_new =
            makes && node.flag("use_remote_address") && !node.flag("preserve_external_request_id");
        if !is_new && !strips(manager, "x-request-id") {
            report.add_named(Code::RequestIdFromClient, node, manager.name());
        }
    }
}

/// The managers that ask before they connect.
pub(super) fn judging<'v, 'a>(view: &'v View<'a>) -> impl Iterator<Item = &'v Manager<'a>> {
    view.managers
        .iter()
        .filter(|manager| manager.filter(HTTP_AUTHZ).is_some())
}
