//! What is believed of clients, and who may command Envoy.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use pinfold_addr::{Class, Classifier};

use super::{
    Case,
    cluster::{strips, strips_early},
};
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

/// Whether requests are led to where Envoy is commanded.
pub(super) fn led_to_admin(case: &Case<'_, '_>, report: &mut Report) {
    let view = case.view;
    let clusters = view.clusters.iter();
    for cluster in clusters.filter(|cluster| view.leads_to(cluster.node.name())) {
        for instance in cluster.instances() {
            let address = instance.at(["endpoint", "address"]);
            let mut admins = view.admins.iter().filter_map(|admin| admin.get("address"));
            if address.is_some_and(|address| admins.any(|admin| is_at(&address, &admin))) {
                report.add(Code::AdminRouted, &cluster.node);
            }
        }
    }
}

/// Whether a connection to an address arrives at a listener.
fn is_at(address: &Node<'_>, listener: &Node<'_>) -> bool {
    if let Some(pipe) = listener.get("pipe") {
        let path = address.get("pipe").and_then(|pipe| pipe.text("path"));
        return path.is_some() && path == pipe.text("path");
    }
    let (Some((to, port)), Some((at, listens))) = (socket(address), socket(listener)) else {
        return false;
    };
    let (to_ip, at_ip) = (to.parse::<IpAddr>(), at.parse::<IpAddr>());
    let everywhere = at_ip.as_ref().is_ok_and(is_any);
    // A connection to no address goes to this machine.
    let here = to == "localhost" || to_ip.as_ref().is_ok_and(is_any);
    let same = here || to == at || (to_ip.is_ok() && to_ip == at_ip);
    port == listens && (same || everywhere)
}

fn is_any(ip: &IpAddr) -> bool {
    [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()].contains(ip)
}

fn socket<'a>(address: &Node<'a>) -> Option<(&'a str, f64)> {
    let socket = address.get("socket_address")?;
    Some((socket.text("address")?, socket.number("port_value")?))
}

pub(super) fn is_loopback(socket: &Node<'_>) -> bool {
    let address = socket.text("address").unwrap_or_default();
    let is_loopback = |ip: IpAddr| Classifier::default().classify(ip).class == Class::Loopback;
    address == "localhost" || address.parse().is_ok_and(is_loopback)
}

pub(super) fn forwarded(case: &Case<'_, '_>, report: &mut Report) {
    for manager in judging(case.view) {
        let node = &manager.node;
        let hops = node.number("xff_num_trusted_hops");
        let is_asked = node.flag("use_remote_address") && hops.is_none_or(|hops| hops == 0.0);
        let is_other = !node.items("original_ip_detection_extensions").is_empty();
        if is_other || !(is_asked || strips_early(node, "x-forwarded-for")) {
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
