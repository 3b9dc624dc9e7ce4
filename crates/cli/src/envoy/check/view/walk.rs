//! The way through the documents: which values are resources of Envoy, by their type or their shape.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

use super::{Chain, Cluster, Filter, Listener, Manager, Table, View};
use crate::envoy::check::node::Node;

/// The way through the documents.
#[derive(Default)]
pub(super) struct Walk<'a> {
    pub(super) view: View<'a>,
    /// What was seen already, by name and content: a dump says some resources twice.
    seen: HashMap<&'a str, Vec<&'a Map<String, Value>>>,
    /// Where filters were found: one under a condition is met again without it.
    filters: HashSet<String>,
}

impl<'a> Walk<'a> {
    /// Its depth is that of the document, which is bounded.
    pub(super) fn visit(&mut self, node: &Node<'a>, key: &str) {
        for item in node.list() {
            self.visit(&item, key);
        }
        let Some(object) = node.value.as_object() else {
            return;
        };
        if is_resource(node) && self.is_known(node, object) {
            return;
        }
        self.take(node, key);
        for (key, value) in node.entries() {
            if value.value.is_object() || value.value.is_array() {
                self.visit(&value, key);
            }
        }
    }

    fn is_known(&mut self, node: &Node<'a>, object: &'a Map<String, Value>) -> bool {
        let same_name = self.seen.entry(node.name()).or_default();
        let known = same_name.iter().any(|seen| is_same(seen, object));
        // Without an end, many of one name would be compared with one another.
        if !known && same_name.len() < MOST_OF_ONE_NAME {
            same_name.push(object);
        }
        known
    }

    fn take(&mut self, node: &Node<'a>, key: &str) {
        let view = &mut self.view;
        if is_cluster(node) {
            view.clusters.push(Cluster::new(node));
        }
        if is_listener(node) {
            let filters = Filter::all(&node.items("listener_filters"));
            view.chains.extend(chains(node));
            view.listeners.push(Listener {
                node: node.clone(),
                filters,
            });
        }
        if is_table(node) {
            view.tables.push(Table::new(node));
        }
        if is_manager(node) {
            view.managers.push(Manager::new(node));
        }
        let filter = Filter::new(node);
        view.filters
            .extend(filter.filter(|filter| self.filters.insert(filter.node.path.clone())));
        if let Some(settings) = node.get("typed_per_filter_config") {
            let settings = settings.entries();
            let of_scope = settings.iter().map(|(_, one)| Filter::of_scope(one));
            view.settings.extend(of_scope);
            view.scopes.push(node.clone());
        }
        if key == "admin" && node.has("address") {
            view.admins.push(node.clone());
        }
        if key == "dynamic_resources" || key == "dynamicResources" {
            view.dynamic.push(node.clone());
        }
        let service = match key {
            "envoy_grpc" | "envoyGrpc" => node.text("cluster_name"),
            "server_uri" | "serverUri" | "http_uri" | "httpUri" => node.text("cluster"),
            _ => None,
        };
        view.services.extend(service);
    }
}

fn is_resource(node: &Node<'_>) -> bool {
    is_cluster(node) || is_listener(node) || is_table(node)
}

/// But for the type, which one of the two may not have.
fn is_same(one: &Map<String, Value>, other: &Map<String, Value>) -> bool {
    let fields =
        |object: &Map<String, Value>| object.len() - usize::from(object.contains_key(TYPE));
    fields(one) == fields(other)
        && one
            .iter()
            .all(|(key, value)| key == TYPE || other.get(key) == Some(value))
}

fn is_cluster(node: &Node<'_>) -> bool {
    let shaped = || {
        ["original_dst_lb_config", "cluster_type"]
            .iter()
            .any(|key| node.has(key))
            || (node.has("name") && (node.has("connect_timeout") || node.has("load_assignment")))
            || (node.has("name") && DISCOVERY.iter().any(|kind| node.text("type") == Some(kind)))
    };
    match node.has(TYPE) {
        true => node.is_of("envoy.config.cluster.v3.Cluster") && node.kind() == "Cluster",
        false => shaped(),
    }
}

fn is_listener(node: &Node<'_>) -> bool {
    let keys = [
        "filter_chains",
        "default_filter_chain",
        "listener_filters",
        "use_original_dst",
        "api_listener",
    ];
    match node.has(TYPE) {
        true => node.is_of("envoy.config.listener.v3.Listener") && node.kind() == "Listener",
        false => keys.iter().any(|key| node.has(key)),
    }
}

fn is_table(node: &Node<'_>) -> bool {
    let typed = !node.has(TYPE) || node.kind() == "RouteConfiguration";
    typed && node.has("virtual_hosts")
}

fn is_manager(node: &Node<'_>) -> bool {
    match node.has(TYPE) {
        true => node.kind() == "HttpConnectionManager",
        false => node.has("http_filters") && (node.has("route_config") || node.has("rds")),
    }
}

fn chains<'a>(listener: &Node<'a>) -> Vec<Chain<'a>> {
    let default = listener.get("default_filter_chain");
    let all = listener.items("filter_chains").into_iter().chain(default);
    let chain = |chain: Node<'a>| Chain {
        listener: listener.path.clone(),
        filters: Filter::all(&chain.items("filters")),
    };
    all.map(chain).collect()
}

const TYPE: &str = "@type";
const DISCOVERY: &[&str] = &["STATIC", "STRICT_DNS", "LOGICAL_DNS", "EDS", "ORIGINAL_DST"];
/// How many different resources of one name are compared.
const MOST_OF_ONE_NAME: usize = 16;
