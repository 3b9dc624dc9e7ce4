//! A cluster: what it dials, and what it speaks.

use crate::envoy::check::node::Node;

/// A group of servers.
#[derive(Clone, Debug)]
pub(in crate::envoy::check) struct Cluster<'a> {
    pub(in crate::envoy::check) node: Node<'a>,
    /// `HttpProtocolOptions`.
    pub(in crate::envoy::check) options: Option<Node<'a>>,
    /// `UpstreamTlsContext`, of any of its sockets.
    pub(in crate::envoy::check) tls: Vec<Node<'a>>,
    /// Whether any of its sockets speaks clear text.
    pub(super) is_clear: bool,
}

impl<'a> Cluster<'a> {
    pub(super) fn new(node: &Node<'a>) -> Self {
        let options = node.get("typed_extension_protocol_options");
        let options = options.and_then(|all| all.get(HTTP_OPTIONS));
        let contexts: Vec<_> = sockets(node).iter().map(context).collect();
        Self {
            node: node.clone(),
            options,
            is_clear: contexts.iter().any(Option::is_none),
            tls: contexts.into_iter().flatten().collect(),
        }
    }

    pub(in crate::envoy::check) fn is_original_dst(&self) -> bool {
        let by_type = self.node.is("type", "ORIGINAL_DST", 4);
        by_type || self.node.has("original_dst_lb_config") || self.has_type("original_dst")
    }

    /// Whether it dials what something else names: an address, or a name that it looks up.
    pub(in crate::envoy::check) fn leads_out(&self) -> bool {
        self.is_original_dst() || self.has_type("dynamic_forward_proxy")
    }

    /// Whether it is of an extension.
    pub(in crate::envoy::check) fn has_type(&self, package: &str) -> bool {
        let config = self.node.at(["cluster_type", "typed_config"]);
        let by_name = self.node.at(["cluster_type"]);
        config.is_some_and(|config| config.is_of(&format!("clusters.{package}.")))
            || by_name.is_some_and(|by| by.name() == format!("envoy.clusters.{package}"))
    }

    /// The clusters that it is composed of.
    pub(super) fn members(&self) -> Vec<&'a str> {
        let config = self.node.at(["cluster_type", "typed_config"]);
        let config = config.map(|config| config.message());
        let members = config.map(|config| config.items("clusters"));
        let members = members.unwrap_or_default().into_iter();
        // An aggregate has their names alone.
        members
            .map(|one| one.value.as_str().unwrap_or_else(|| one.name()))
            .collect()
    }

    /// Its endpoints, as far as the file has them.
    pub(in crate::envoy::check) fn instances(&self) -> Vec<Node<'a>> {
        let all = self.node.get("load_assignment");
        let groups = all.map(|all| all.items("endpoints")).unwrap_or_default();
        let instances = groups.iter().map(|group| group.items("lb_endpoints"));
        instances.flatten().collect()
    }
}

/// The sockets that a cluster may use; one that is not there is one of clear text.
fn sockets<'a>(cluster: &Node<'a>) -> Vec<Option<Node<'a>>> {
    let mut sockets = Vec::new();
    for choice in cluster.items("transport_socket_matches") {
        sockets.push(choice.get("transport_socket"));
        let takes_all = choice.get("match").is_none_or(|it| it.entries().is_empty());
        // None after it is used.
        if takes_all && !cluster.has("transport_socket_matcher") {
            return sockets;
        }
    }
    sockets.push(cluster.get("transport_socket"));
    sockets
}

/// The context of a socket that speaks TLS to servers.
fn context<'a>(socket: &Option<Node<'a>>) -> Option<Node<'a>> {
    let config = socket.as_ref()?.get("typed_config")?;
    match config.kind() {
        "UpstreamTlsContext" => Some(config.message()),
        // Sockets around another.
        _ => context(&config.message().get("transport_socket")),
    }
}

const HTTP_OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
