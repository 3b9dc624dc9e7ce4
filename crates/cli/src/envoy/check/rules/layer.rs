//! The second layer: what `upstream_rbac` of a cluster leaves reachable of all that is not public.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use pinfold_addr::{Class, Registration, registrations};

use super::{Case, authz::leads_out, cluster::Used};
use crate::envoy::check::{
    finding::{Code, Report},
    node::Node,
    view::{Cluster, View},
};

pub(super) fn second(case: &Case<'_, '_>, report: &mut Report) {
    for cluster in case.view.pinned() {
        let name = cluster.node.name();
        let used = Used::of(case.view, name);
        // Connections that are passed through have no filters at their cluster.
        if used.by_connections && !used.by_requests {
            continue;
        }
        match filter(cluster) {
            Some(filter) => compare(case, &filter, name, report),
            None => report.add(Code::SecondLayerMissing, &cluster.node),
        }
    }
}

/// The filter that looks at the address.
fn filter<'a>(cluster: &Cluster<'a>) -> Option<Node<'a>> {
    let filters = cluster.options.as_ref()?.items("http_filters").into_iter();
    let filters = filters.filter(|filter| !filter.flag("disabled"));
    let mut configs = filters.filter_map(|filter| filter.get("typed_config"));
    configs.find(|config| config.is_of(RBAC) && config.message().has("rules"))
}

/// A route or what holds it can have other rules for the filter of its cluster, or none.
pub(super) fn replaced(case: &Case<'_, '_>, report: &mut Report) {
    for scope in &case.view.scopes {
        let settings = scope.get("typed_per_filter_config");
        for (name, settings) in settings.iter().flat_map(Node::entries) {
            if !is_layer(case.view, name) || !leads_out(case.view, scope) {
                continue;
            }
            match rules(&settings) {
                Replaced::Nothing => {}
                Replaced::By(rules) => compare(case, &rules, scope.name(), report),
                Replaced::Off => {
                    report.add_named(Code::SecondLayerMissing, &settings, scope.name());
                }
            }
        }
    }
}

/// Whether filters of a cluster that look at the address have this name.
fn is_layer(view: &View<'_>, name: &str) -> bool {
    let named = |cluster: &Cluster<'_>| {
        let filters = cluster.options.iter();
        let mut filters = filters.flat_map(|options| options.items("http_filters"));
        filters.any(|filter| {
            let config = filter.get("typed_config");
            filter.name() == name && config.is_some_and(|config| config.is_of(RBAC))
        })
    };
    name == "envoy.filters.http.upstream_rbac" || view.pinned().any(named)
}

/// What the settings of a scope do with the rules.
enum Replaced<'a> {
    Nothing,
    Off,
    By(Node<'a>),
}

fn rules<'a>(settings: &Node<'a>) -> Replaced<'a> {
    let message = settings.message();
    let inner = match settings.kind() {
        "FilterConfig" if message.flag("disabled") => return Replaced::Off,
        "FilterConfig" => {
            return message
                .get("config")
                .map_or(Replaced::Nothing, |it| rules(&it));
        }
        "RBACPerRoute" => message.get("rbac"),
        _ => return Replaced::Nothing,
    };
    let inner = inner.filter(|rbac| rbac.has("rules"));
    inner.map_or(Replaced::Off, Replaced::By)
}

fn compare(case: &Case<'_, '_>, filter: &Node<'_>, name: &str, report: &mut Report) {
    let Some(rules) = filter
        .message()
        .get("rules")
        .filter(|rules| rules.is("action", "DENY", 1))
    else {
        report.unjudged(format!(
            "`upstream_rbac` of `{name}` lists what is allowed: that is not compared"
        ));
        return;
    };
    let mut ranges = Ranges::default();
    for (_, policy) in rules.get("policies").iter().flat_map(Node::entries) {
        // Under a condition a policy may deny nothing.
        let always = !CONDITIONS.iter().any(|key| policy.has(key));
        if always && policy.items("principals").iter().any(|who| who.flag("any")) {
            policy
                .items("permissions")
                .iter()
                .for_each(|one| ranges.read(one));
        }
    }
    if ranges.denied.len() > MOST_RANGES {
        report.unjudged(format!(
            "`upstream_rbac` of `{name}` has more than {MOST_RANGES} ranges"
        ));
        return;
    }
    let gaps = gaps(&ranges, case.allow);
    if !gaps.is_empty() {
        report.add_with(Code::SecondLayerGap, &rules, name, &listed(&gaps));
    }
    let meant = |net: &IpNet| case.allow.iter().any(|allow| allow.contains(net));
    let excepted = ranges.excepted.iter();
    let opened = excepted.filter(|range| !is_public(&range.net) && !meant(&range.net));
    // In their order, each once.
    let opened: Vec<_> = opened
        .collect::<std::collections::BTreeSet<_>>()
        .into_iter()
        .collect();
    if !opened.is_empty() {
        report.add_with(Code::SecondLayerOpened, &rules, name, &listed(&opened));
    }
}

/// What the filter denies, and what it excepts by a rule of its own.
#[derive(Default)]
struct Ranges {
    denied: Vec<IpNet>,
    excepted: Vec<Range>,
}

impl Ranges {
    /// A permission that denies; one that is not understood denies nothing.
    fn read(&mut self, permission: &Node<'_>) {
        if let Some(not) = permission.get("not_rule") {
            self.denied.extend(everything());
            self.excepted.extend(ranges(&not));
        } else if let Some(all) = permission.get("and_rules") {
            let rules = all.items("rules");
            let (not, rest): (Vec<_>, Vec<_>) = rules.iter().partition(|rule| rule.has("not_rule"));
            // Of several conditions none can be taken alone.
            if let [one] = rest.as_slice() {
                self.denied.extend(whole(one));
                let not = not.iter().filter_map(|rule| rule.get("not_rule"));
                self.excepted.extend(not.flat_map(|rule| ranges(&rule)));
            }
        } else {
            self.denied.extend(whole(permission));
        }
    }
}

/// Addresses, with the ports that they are about; none for all of them.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Range {
    net: IpNet,
    /// The first, and the one after the last.
    ports: Option<(u32, u32)>,
}

impl std::fmt::Display for Range {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let net = self.net;
        match self.ports {
            None => write!(f, "{net}"),
            Some((first, end)) if end <= first.saturating_add(1) => write!(f, "{net} port {first}"),
            Some((first, end)) => write!(f, "{net} ports {first}-{}", end.saturating_sub(1)),
        }
    }
}

/// The addresses of a permission that holds for every port.
fn whole(permission: &Node<'_>) -> impl Iterator<Item = IpNet> {
    let ranges = ranges(permission).into_iter();
    ranges.filter_map(|range| range.ports.is_none().then_some(range.net))
}

/// The addresses of a permission.
fn ranges(permission: &Node<'_>) -> Vec<Range> {
    if permission.flag("any") {
        return everything().map(|net| Range { net, ports: None }).to_vec();
    }
    if let Some(or) = permission.get("or_rules") {
        let rules = or.items("rules").into_iter();
        return rules.flat_map(|rule| ranges(&rule)).collect();
    }
    let matcher = permission.at(["matcher", "typed_config"]);
    let matcher = matcher.filter(|it| it.kind() == "UpstreamIpPortMatcher");
    let range = matcher.and_then(|it| {
        let it = it.message();
        let net = net(&it.get("upstream_ip")?)?;
        let ports = it.get("upstream_port_range").map(|ports| span(&ports));
        Some(Range { net, ports })
    });
    range.into_iter().collect()
}

fn span(ports: &Node<'_>) -> (u32, u32) {
    let port = |key: &str| ports.get(key).and_then(|port| port.value.as_u64());
    let port = |key: &str| port(key).and_then(|port| u32::try_from(port).ok());
    (
        port("start").unwrap_or_default(),
        port("end").unwrap_or_default(),
    )
}

/// A length that is not there is 0: every address.
fn net(range: &Node<'_>) -> Option<IpNet> {
    let address = range.text("address_prefix")?.parse().ok()?;
    let length = range
        .get("prefix_len")
        .map_or(Some(0), |length| length.value.as_u64())?;
    let net = IpNet::new(address, u8::try_from(length).ok()?).ok()?;
    Some(net.trunc())
}

fn everything() -> [IpNet; 2] {
    [Ipv4Net::default().into(), Ipv6Net::default().into()]
}

/// The registered ranges that are not public and that, or a part of which, nothing denies.
fn gaps(ranges: &Ranges, allow: &[IpNet]) -> Vec<IpNet> {
    let rows: Vec<Registration> = registrations().collect();
    let mut gaps: Vec<IpNet> = Vec::new();
    for row in rows.iter().filter(|row| !is_open(row.class)) {
        // Each of the rows inside it is looked at by itself.
        let inside = rows.iter().map(|inner| &inner.prefix);
        let inside = inside.filter(|net| **net != row.prefix && row.prefix.contains(*net));
        let covered = ranges
            .denied
            .iter()
            .chain(ranges.excepted.iter().map(|range| &range.net))
            .chain(allow)
            .chain(inside);
        if !is_covered(row.prefix, &covered.copied().collect::<Vec<_>>()) {
            gaps.push(row.prefix);
        }
    }
    without_nested(gaps)
}

/// The forms that carry IPv4 first, because they are what is forgotten; of the others none inside another.
fn without_nested(gaps: Vec<IpNet>) -> Vec<IpNet> {
    let inside = |net: &IpNet| gaps.iter().any(|other| other != net && other.contains(net));
    let (carriers, others): (Vec<_>, Vec<_>) = gaps.iter().copied().partition(is_carrier);
    let others = others.into_iter().filter(|net| !inside(net));
    carriers.into_iter().chain(others).collect()
}

fn is_carrier(net: &IpNet) -> bool {
    let row = pinfold_addr::registration(net.network());
    row.is_some_and(|row| row.prefix == *net && row.class == Class::Translated)
}

/// Whether these hold every address of a network.
fn is_covered(net: IpNet, by: &[IpNet]) -> bool {
    if by.iter().any(|other| other.contains(&net)) {
        return true;
    }
    let inside: Vec<_> = by
        .iter()
        .filter(|other| net.contains(*other))
        .copied()
        .collect();
    let Ok(halves) = net.subnets(net.prefix_len().saturating_add(1)) else {
        return false;
    };
    // At most 128 deep, one step for each bit.
    !inside.is_empty() && halves.into_iter().all(|half| is_covered(half, &inside))
}

const fn is_open(class: Class) -> bool {
    matches!(class, Class::Public | Class::SpecialGlobal)
}

fn is_public(net: &IpNet) -> bool {
    let row = pinfold_addr::registration(net.network());
    row.is_none_or(|row| is_open(row.class))
}

/// The first of them, and how many there are.
fn listed(nets: &[impl ToString]) -> String {
    let shown: Vec<_> = nets
        .iter()
        .take(MOST_SHOWN)
        .map(ToString::to_string)
        .collect();
    match nets.len().saturating_sub(MOST_SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

const RBAC: &str = "filters.http.rbac.";
const CONDITIONS: &[&str] = &["condition", "checked_condition"];
/// How many ranges are compared.
const MOST_RANGES: usize = 4_096;
/// How many are shown.
const MOST_SHOWN: usize = 8;
