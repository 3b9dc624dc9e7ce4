//! What of a configuration the rules read: listeners, managers, filters, routes and clusters, wherever they stand.
//!
//! Resources are found by `@type`, and by their shape where they have none: in a bootstrap file, in the answers of a
//! control plane, in what `/config_dump` says, in the patches of a mesh.

mod cluster;
mod walk;

use std::collections::{BTreeSet, HashMap, HashSet};

use serde_json::Value;

pub(super) use self::cluster::Cluster;
use self::walk::Walk;
use super::node::Node;

/// Everything that is known of a file, built once.
#[derive(Debug, Default)]
pub(super) struct View<'a> {
    pub(super) clusters: Vec<Cluster<'a>>,
    pub(super) listeners: Vec<Listener<'a>>,
    pub(super) managers: Vec<Manager<'a>>,
    pub(super) chains: Vec<Chain<'a>>,
    /// Whatever has a `typed_config`.
    pub(super) filters: Vec<Filter<'a>>,
    pub(super) tables: Vec<Table<'a>>,
    /// Whatever has settings for single filters: routes, virtual hosts, tables, clusters of a route.
    pub(super) scopes: Vec<Node<'a>>,
    /// Each of those settings, as if it were a filter.
    pub(super) settings: Vec<Filter<'a>>,
    pub(super) admins: Vec<Node<'a>>,
    /// What a control plane is asked for.
    pub(super) dynamic: Vec<Node<'a>>,
    /// Clusters that Envoy itself asks something.
    pub(super) services: HashSet<&'a str>,
    kinds: HashMap<&'a str, bool>,
    routed: HashSet<&'a str>,
}

/// What clients connect to.
#[derive(Clone, Debug)]
pub(super) struct Listener<'a> {
    pub(super) node: Node<'a>,
    pub(super) filters: Vec<Filter<'a>>,
}

/// The network filters of a chain, in their order.
#[derive(Clone, Debug)]
pub(super) struct Chain<'a> {
    /// The path of its listener; empty for one that stands alone.
    pub(super) listener: String,
    pub(super) filters: Vec<Filter<'a>>,
}

/// A filter, or whatever else has a `typed_config`.
#[derive(Clone, Debug)]
pub(super) struct Filter<'a> {
    pub(super) node: Node<'a>,
    pub(super) config: Node<'a>,
    /// Whether it runs under a condition.
    pub(super) conditional: bool,
}

/// An HTTP connection manager.
#[derive(Clone, Debug)]
pub(super) struct Manager<'a> {
    pub(super) node: Node<'a>,
    pub(super) filters: Vec<Filter<'a>>,
    /// By upgrade, the filters that it has in place of those.
    pub(super) upgrades: Vec<Upgrade<'a>>,
    /// The table in it, or the name of one.
    pub(super) table: Routing<'a>,
}

/// What a manager does with an upgrade.
#[derive(Clone, Debug)]
pub(super) struct Upgrade<'a> {
    pub(super) node: Node<'a>,
    pub(super) filters: Vec<Filter<'a>>,
}

/// Where the routes of a manager are.
#[derive(Clone, Debug)]
pub(super) enum Routing<'a> {
    Here(Table<'a>),
    Named(&'a str),
    Unknown,
}

/// A route configuration.
#[derive(Clone, Debug)]
pub(super) struct Table<'a> {
    pub(super) node: Node<'a>,
    pub(super) routes: Vec<Route<'a>>,
}

/// A route, with all that holds it.
#[derive(Clone, Debug)]
pub(super) struct Route<'a> {
    pub(super) node: Node<'a>,
    /// What holds it: its virtual host, then its table.
    pub(super) around: [Node<'a>; 2],
    /// `route`; none where it answers by itself.
    pub(super) action: Option<Node<'a>>,
    /// The clusters that it names.
    pub(super) targets: Vec<&'a str>,
}

impl<'a> View<'a> {
    pub(super) fn of(documents: &'a [Value]) -> Self {
        let mut walk = Walk::default();
        for (at, document) in documents.iter().enumerate() {
            let path = match documents.len() {
                1 => String::new(),
                _ => format!("document[{at}]"),
            };
            walk.visit(&Node::new(document, path), "");
        }
        let mut view = walk.view;
        view.kinds = view.dialling();
        view.routed = view.led_to();
        view
    }

    /// Whether there is nothing of Envoy in it.
    pub(super) fn is_empty(&self) -> bool {
        self.clusters.is_empty()
            && self.listeners.is_empty()
            && self.tables.is_empty()
            && self.filters.is_empty()
            && self.scopes.is_empty()
            && self.admins.is_empty()
    }

    /// By cluster, whether it dials an address that something else names.
    fn dialling(&self) -> HashMap<&'a str, bool> {
        let clusters = self.clusters.iter();
        let mut kinds: HashMap<_, _> = clusters
            .map(|cluster| (cluster.node.name(), cluster.leads_out()))
            .collect();
        for cluster in &self.clusters {
            let is_pinned = |member: &&'a str| kinds.get(member) == Some(&true);
            if cluster.members().iter().any(is_pinned) {
                kinds.insert(cluster.node.name(), true);
            }
        }
        kinds
    }

    /// A cluster of this file that dials an address that something else names.
    pub(super) fn is_pinned(&self, cluster: &str) -> bool {
        self.kinds.get(cluster) == Some(&true)
    }

    /// The same, or one that is not in this file.
    pub(super) fn may_be_pinned(&self, cluster: &str) -> bool {
        self.kinds.get(cluster).copied().unwrap_or(true)
    }

    pub(super) fn cluster(&self, name: &str) -> Option<&Cluster<'a>> {
        self.clusters
            .iter()
            .find(|cluster| cluster.node.name() == name)
    }

    /// The clusters that dial an address that something else names.
    pub(super) fn pinned(&self) -> impl Iterator<Item = &Cluster<'a>> {
        self.clusters.iter().filter(|cluster| cluster.leads_out())
    }

    /// The routes of a manager; none where they are elsewhere.
    pub(super) fn routes<'v>(&'v self, manager: &'v Manager<'a>) -> Option<&'v [Route<'a>]> {
        match &manager.table {
            Routing::Here(table) => Some(&table.routes),
            Routing::Named(name) => {
                let mut tables = self.tables.iter();
                let found = tables.find(|table| table.node.name() == *name);
                found.map(|table| table.routes.as_slice())
            }
            Routing::Unknown => None,
        }
    }

    /// The routes of a manager that dial an address that something else names.
    pub(super) fn pinned_routes<'v>(
        &'v self,
        manager: &'v Manager<'a>,
    ) -> impl Iterator<Item = &'v Route<'a>> {
        let routes = self.routes(manager).unwrap_or_default().iter();
        routes.filter(|route| route.targets.iter().any(|target| self.is_pinned(target)))
    }

    /// Whether a manager may reach a cluster that dials what something else names: also where that is elsewhere.
    pub(super) fn may_dial(&self, manager: &Manager<'a>) -> bool {
        self.routes(manager).is_none_or(|routes| {
            let mut targets = routes.iter().flat_map(|route| &route.targets);
            targets.any(|target| self.may_be_pinned(target))
        })
    }

    /// Each route with its manager, and those of tables that no manager of this file has.
    pub(super) fn all_routes(&self) -> Vec<(Option<&Manager<'a>>, &Route<'a>)> {
        let mut all = Vec::new();
        let mut seen = HashSet::new();
        for manager in &self.managers {
            for route in self.routes(manager).unwrap_or_default() {
                seen.insert(route.node.path.as_str());
                all.push((Some(manager), route));
            }
        }
        let rest = self.tables.iter().flat_map(|table| &table.routes);
        let rest = rest.filter(|route| !seen.contains(route.node.path.as_str()));
        all.extend(rest.map(|route| (None, route)));
        all
    }

    /// Whether a cluster speaks TLS in all that it is composed of.
    pub(super) fn speaks_tls(&self, name: &str) -> bool {
        let parts = self.parts(name);
        !parts.is_empty() && parts.iter().all(|part| !part.is_clear)
    }

    /// Whether a cluster speaks clear text in all that it is composed of.
    pub(super) fn speaks_clear_text(&self, name: &str) -> bool {
        self.parts(name).iter().all(|part| part.tls.is_empty())
    }

    /// A cluster, or those of this file that it is composed of.
    fn parts(&self, name: &str) -> Vec<&Cluster<'a>> {
        let Some(whole) = self.cluster(name) else {
            return Vec::new();
        };
        match whole.members() {
            members if members.is_empty() => vec![whole],
            members => {
                let parts = members.iter();
                parts.filter_map(|part| self.cluster(part)).collect()
            }
        }
    }

    /// Whether a route of a manager leads to a cluster, itself or as a part of another.
    pub(super) fn leads_from(&self, manager: &Manager<'a>, cluster: &str) -> bool {
        let routes = self.routes(manager).unwrap_or_default().iter();
        let mut targets = routes.flat_map(|route| &route.targets);
        targets.any(|target| *target == cluster || self.is_part_of(cluster, target))
    }

    /// Whether a route or a connection leads to a cluster, itself or as a part of another.
    pub(super) fn leads_to(&self, cluster: &str) -> bool {
        self.routed.contains(cluster)
    }

    /// Whether a cluster is a part of another.
    pub(super) fn is_part_of(&self, member: &str, whole: &str) -> bool {
        let members = self.cluster(whole).map(Cluster::members);
        members.is_some_and(|members| members.contains(&member))
    }

    /// The clusters that routes and connections lead to, by name.
    pub(super) fn destinations(&self) -> BTreeSet<&'a str> {
        self.routed.iter().copied().collect()
    }

    /// The clusters that routes and connections lead to.
    fn led_to(&self) -> HashSet<&'a str> {
        let routes = self.tables.iter().flat_map(|table| &table.routes);
        let routed = routes.flat_map(|route| route.targets.iter().copied());
        let proxies = self.of_kind(TCP_PROXY);
        let connected = proxies.flat_map(|proxy| targets(&proxy.settings()));
        let copied = self.mirrors().into_iter();
        let copied = copied.filter_map(|mirror| mirror.text("cluster"));
        let mut all: HashSet<_> = routed.chain(connected).chain(copied).collect();
        for cluster in &self.clusters {
            if all.contains(cluster.node.name()) {
                all.extend(cluster.members());
            }
        }
        all
    }

    /// Where copies of requests go.
    pub(super) fn mirrors(&self) -> Vec<Node<'a>> {
        let policies = |node: &Node<'a>| node.items("request_mirror_policies");
        let mut all = Vec::new();
        for table in &self.tables {
            all.extend(policies(&table.node));
            let hosts = table.node.items("virtual_hosts");
            all.extend(hosts.iter().flat_map(policies));
            let actions = table
                .routes
                .iter()
                .filter_map(|route| route.action.as_ref());
            all.extend(actions.flat_map(policies));
        }
        all
    }

    /// Filters of a kind, wherever they stand.
    pub(super) fn of_kind(&self, package: &'static str) -> impl Iterator<Item = &Filter<'a>> {
        let filters = self.filters.iter();
        filters.filter(move |filter| filter.is_of(package))
    }
}

impl<'a> Filter<'a> {
    fn new(node: &Node<'a>) -> Option<Self> {
        let config = node.get("typed_config")?;
        if config.kind() == "ExtensionWithMatcher" {
            let inner = Self::new(&config.message().get("extension_config")?)?;
            let conditional = true;
            return Some(Self {
                conditional,
                ..inner
            });
        }
        Some(Self {
            node: node.clone(),
            config,
            conditional: false,
        })
    }

    /// The settings of a filter in a scope, without what is wrapped around them.
    fn of_scope(settings: &Node<'a>) -> Self {
        let message = settings.message();
        match message.get("config") {
            Some(inner) if settings.kind() == "FilterConfig" => Self::of_scope(&inner),
            _ => Self {
                node: settings.clone(),
                config: settings.clone(),
                conditional: false,
            },
        }
    }

    fn all(nodes: &[Node<'a>]) -> Vec<Self> {
        nodes.iter().filter_map(Self::new).collect()
    }

    /// By its type: `filters.http.ext_authz.`
    pub(super) fn is_of(&self, package: &str) -> bool {
        self.config.is_of(package)
    }

    /// Its settings.
    pub(super) fn settings(&self) -> Node<'a> {
        self.config.message()
    }

    /// Whether everything runs through it.
    pub(super) fn is_always_on(&self) -> bool {
        !self.conditional && !self.node.flag("disabled")
    }

    /// The states that it sets, of a request or of a connection, at whatever moment.
    pub(super) fn states(&self) -> Vec<Node<'a>> {
        if !self.is_of(".set_filter_state.") {
            return Vec::new();
        }
        let moments = self.settings().entries().into_iter();
        moments.flat_map(|(_, moment)| moment.list()).collect()
    }
}

/// The filter of a kind, and its place in the order.
pub(super) fn placed<'v, 'a>(
    filters: &'v [Filter<'a>],
    package: &str,
) -> Option<(usize, &'v Filter<'a>)> {
    let mut filters = filters.iter().enumerate();
    filters.find(|(_, filter)| filter.is_of(package))
}

impl<'a> Upgrade<'a> {
    /// None where the filters are those of the manager.
    fn new(node: &Node<'a>) -> Option<Self> {
        let filters = Filter::all(&node.items("filters"));
        let node = node.clone();
        (!filters.is_empty()).then_some(Self { node, filters })
    }
}

impl<'a> Manager<'a> {
    fn new(node: &Node<'a>) -> Self {
        let upgrades = node.items("upgrade_configs");
        let inline = node.get("route_config").map(|table| Table::new(&table));
        let named = node
            .at(["rds"])
            .and_then(|rds| rds.text("route_config_name"));
        Self {
            node: node.clone(),
            filters: Filter::all(&node.items("http_filters")),
            upgrades: upgrades.iter().filter_map(Upgrade::new).collect(),
            table: match (inline, named) {
                (Some(table), _) => Routing::Here(table),
                (None, Some(name)) => Routing::Named(name),
                (None, None) => Routing::Unknown,
            },
        }
    }

    /// The filter of a kind, and its place in the order.
    pub(super) fn filter(&self, package: &str) -> Option<(usize, &Filter<'a>)> {
        placed(&self.filters, package)
    }

    /// As operators call it.
    pub(super) fn name(&self) -> &'a str {
        self.node.text("stat_prefix").unwrap_or_default()
    }
}

impl<'a> Table<'a> {
    fn new(node: &Node<'a>) -> Self {
        let mut routes = Vec::new();
        for host in node.items("virtual_hosts") {
            let of_host = host.items("routes").into_iter();
            routes.extend(of_host.map(|route| Route::new(&route, [&host, node])));
        }
        Self {
            node: node.clone(),
            routes,
        }
    }
}

impl<'a> Route<'a> {
    fn new(node: &Node<'a>, around: [&Node<'a>; 2]) -> Self {
        let action = node.get("route");
        Self {
            node: node.clone(),
            around: around.map(Clone::clone),
            targets: action.as_ref().map(targets).unwrap_or_default(),
            action,
        }
    }

    /// Its name, or that of its virtual host.
    pub(super) fn name(&self) -> &'a str {
        match self.node.name() {
            "" => self.around[0].name(),
            name => name,
        }
    }

    /// Itself and what holds it, the closest first.
    pub(super) fn levels(&self) -> impl Iterator<Item = &Node<'a>> {
        std::iter::once(&self.node).chain(&self.around)
    }

    /// Whether it takes CONNECT, and no other method.
    pub(super) fn is_connect(&self) -> bool {
        let matched = self.node.get("match");
        matched.is_some_and(|matched| matched.has("connect_matcher"))
    }
}

/// The clusters that an action names, of a route or of `tcp_proxy`.
pub(super) fn targets<'a>(action: &Node<'a>) -> Vec<&'a str> {
    let weighted = action
        .get("weighted_clusters")
        .map(|all| all.items("clusters"));
    let weighted = weighted.unwrap_or_default();
    let weighted = weighted.iter().map(Node::name);
    action.text("cluster").into_iter().chain(weighted).collect()
}

/// The filters that are looked for, by package.
pub(super) const HTTP_AUTHZ: &str = "filters.http.ext_authz.";
/// See [`HTTP_AUTHZ`].
pub(super) const NETWORK_AUTHZ: &str = "filters.network.ext_authz.";
/// See [`HTTP_AUTHZ`].
pub(super) const TCP_PROXY: &str = "filters.network.tcp_proxy.";
/// See [`HTTP_AUTHZ`].
pub(super) const EXT_PROC: &str = "filters.http.ext_proc.";
/// See [`HTTP_AUTHZ`].
pub(super) const DYNAMIC_MODULE: &str = "filters.http.dynamic_modules.";
/// See [`HTTP_AUTHZ`].
pub(super) const HEADER_MUTATION: &str = "filters.http.header_mutation.";
