//! The second layer: networks that Envoy refuses by itself, from the tables that the gateway judges by.
//!
//! | rule | networks | but |
//! |---|---|---|
//! | `never` | metadata endpoints; IPv6 addresses that carry IPv4, NAT64 of this network included; with `wrapped = "judge"`, of NAT64 what carries a metadata endpoint or what is in `floor` | nothing |
//! | `floor` | loopback, link-local and the like | grants |
//! | `not-public` | everything else that is not public unicast | grants, networks of the policy, `--allow` |
//! | `translated` | with `wrapped = "judge"`: of NAT64 prefixes of 96 bits, what carries a refused IPv4 address | networks of the policy, inside the prefix |
//!
//! What carries IPv4 by a NAT64 prefix of another length is refused even then: the bits of the address do not follow each
//! other there. ISATAP is an interface identifier, in any network, so no list holds it.

use std::ops::RangeInclusive;

use ipnet::{IpNet, Ipv6Net};
use pinfold::policy::floor::is_floor;
use pinfold_addr::{Class, networks, registrations};

use super::template::{fill, quoted};

/// What the second layer depends on.
#[derive(Debug, Default)]
pub(super) struct Basis {
    /// What the gateway may approve beside public addresses.
    pub(super) exceptions: Vec<Exception>,
    pub(super) nat64: Vec<Ipv6Net>,
    /// Whether the policy lets addresses pass that are special, yet global.
    pub(super) special_global: bool,
    /// Whether the policy judges what is inside an address that carries IPv4.
    pub(super) wrapped: bool,
}

/// A network that may be approved.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Exception {
    pub(super) network: IpNet,
    /// None for all.
    pub(super) ports: Option<RangeInclusive<u16>>,
    /// Who says so.
    pub(super) why: String,
    pub(super) by: Who,
}

/// Whose exception it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Who {
    /// Holds for the floor, too, but not for an IPv4 address inside an IPv6 address.
    Operator,
    /// The other way round.
    Policy,
}

struct Rule {
    name: &'static str,
    about: &'static str,
    networks: Vec<IpNet>,
    but: Vec<Exception>,
}

impl Basis {
    /// The filters of a cluster.
    pub(super) fn yaml(&self) -> String {
        let rules = [
            self.never(),
            self.floor(),
            self.not_public(),
            self.translated(),
        ];
        let rules = rules.iter().filter(|rule| !rule.networks.is_empty());
        let rules: String = rules.map(Rule::yaml).collect();
        fill(
            include_str!("pieces/second_layer.yaml"),
            &[("rules", &rules)],
        )
    }

    /// Whether a network is refused whatever is said.
    pub(super) fn is_never(&self, network: IpNet) -> bool {
        self.never()
            .networks
            .iter()
            .any(|never| never.contains(&network))
    }

    /// Whether no policy opens a network.
    pub(super) fn is_floor(&self, network: IpNet) -> bool {
        self.floor()
            .networks
            .iter()
            .any(|floor| floor.contains(&network))
    }

    fn never(&self) -> Rule {
        let carriers = networks(|class| class == Class::Metadata || is_carrier(class));
        let nat64 = self.nat64.iter().copied().map(IpNet::V6);
        let all = aggregated(carriers.into_iter().chain(nat64));
        let judged = self.judged().into_iter().map(IpNet::V6);
        let mut never: Vec<_> = judged.fold(all, |networks, hole| {
            let rest = networks
                .into_iter()
                .flat_map(|network| without(network, hole));
            rest.collect()
        });
        never.extend(self.carried(|class| class == Class::Metadata || is_floor(class)));
        Rule {
            name: "never",
            about: "# Metadata endpoints, and IPv6 addresses that carry IPv4: a range of IPv4 does not hold them. No grant does.",
            networks: never,
            but: Vec::new(),
        }
    }

    fn floor(&self) -> Rule {
        // With the metadata endpoints inside, so that no range has to go around them.
        let networks = networks(|class| is_floor(class) || class == Class::Metadata);
        let networks = networks.into_iter();
        let grants = self.exceptions.iter();
        let grants = grants.filter(|exception| exception.by == Who::Operator);
        Rule {
            name: "floor",
            about: "# What no policy opens, but the operator alone.",
            networks: networks
                .filter(|network| !self.is_never(*network))
                .collect(),
            but: grants.cloned().collect(),
        }
    }

    fn not_public(&self) -> Rule {
        let mut but = self.exceptions.clone();
        but.extend(self.judged().into_iter().map(|prefix| Exception {
            network: IpNet::V6(prefix),
            ports: None,
            why: "judged by what it carries, below".into(),
            by: Who::Operator,
        }));
        Rule {
            name: "not-public",
            about: "# Everything else that is no public address.",
            networks: networks(|class| !self.is_open(class)),
            but,
        }
    }

    fn translated(&self) -> Rule {
        let (mut refused, mut but) = (Vec::new(), Vec::new());
        let inner = networks(|class| !self.is_open(class));
        for prefix in self.judged() {
            refused.extend(inner.iter().filter_map(|network| carried(prefix, *network)));
            let inside = self
                .exceptions
                .iter()
                .filter(|exception| exception.by == Who::Policy);
            but.extend(inside.filter_map(|exception| {
                let network = carried(prefix, exception.network)?;
                Some(Exception {
                    network,
                    ..exception.clone()
                })
            }));
        }
        Rule {
            name: "translated",
            about: "# What the policy refuses inside NAT64 addresses.",
            networks: aggregated(refused),
            but,
        }
    }

    /// IPv4 networks of these classes, inside each prefix whose addresses are judged.
    fn carried(&self, classes: impl Fn(Class) -> bool) -> Vec<IpNet> {
        let inner = networks(classes);
        let judged = self.judged().into_iter();
        let all = judged.flat_map(|prefix| inner.iter().map(move |network| (prefix, *network)));
        aggregated(all.filter_map(|(prefix, network)| carried(prefix, network)))
    }

    fn is_open(&self, class: Class) -> bool {
        class == Class::Public || (class == Class::SpecialGlobal && self.special_global)
    }

    /// The prefixes whose addresses are judged by what they carry.
    fn judged(&self) -> Vec<Ipv6Net> {
        if !self.wrapped {
            return Vec::new();
        }
        let mut prefixes = self.nat64.clone();
        prefixes.extend(WELL_KNOWN.parse::<Ipv6Net>());
        prefixes.retain(|prefix| prefix.prefix_len() == 96);
        prefixes.sort();
        prefixes.dedup();
        prefixes
    }
}

impl Rule {
    fn yaml(&self) -> String {
        let networks = self.networks.iter();
        let networks: String = networks
            .map(|network| matcher(*network, None, &names(*network)))
            .collect();
        let exceptions = self.but.iter();
        let exceptions: String = exceptions
            .map(|but| matcher(but.network, but.ports.clone(), &but.why))
            .collect();
        let but = match exceptions.is_empty() {
            true => String::new(),
            false => fill(
                include_str!("pieces/rule_but.yaml"),
                &[("exceptions", &exceptions)],
            ),
        };
        fill(
            include_str!("pieces/rule.yaml"),
            &[
                ("about", self.about),
                ("name", self.name),
                ("networks", &networks),
                ("but", &but),
            ],
        )
    }
}

fn is_carrier(class: Class) -> bool {
    matches!(class, Class::Translated | Class::Tunnelled)
}

/// A network inside a prefix of 96 bits.
fn carried(prefix: Ipv6Net, network: IpNet) -> Option<IpNet> {
    let IpNet::V4(network) = network else {
        return None;
    };
    let bits = prefix.network().to_bits() | u128::from(network.network().to_bits());
    let net = Ipv6Net::new(bits.into(), prefix.prefix_len() + network.prefix_len());
    net.ok().map(IpNet::V6)
}

fn aggregated(networks: impl IntoIterator<Item = IpNet>) -> Vec<IpNet> {
    let networks: Vec<_> = networks.into_iter().collect();
    let mut networks = IpNet::aggregate(&networks);
    networks.sort();
    networks
}

/// A network without a hole: the halves that the hole is not in, at most one for each bit of an address.
fn without(network: IpNet, hole: IpNet) -> Vec<IpNet> {
    if hole.contains(&network) {
        return Vec::new();
    }
    if !network.contains(&hole) {
        return vec![network];
    }
    let halves = network.subnets(network.prefix_len().saturating_add(1));
    let halves = halves.into_iter().flatten();
    halves.flat_map(|half| without(half, hole)).collect()
}

/// One line: the range first, then what Envoy wants around it.
fn matcher(network: IpNet, ports: Option<RangeInclusive<u16>>, about: &str) -> String {
    let address = quoted(&network.network().to_string());
    let range = format!(
        "upstream_ip: {{address_prefix: {address}, prefix_len: {}}}",
        network.prefix_len()
    );
    // The end of Envoy's ranges is not part of them.
    let ports = ports.map_or(String::new(), |ports| {
        let end = u32::from(*ports.end()) + 1;
        format!(
            ", upstream_port_range: {{start: {}, end: {end}}}",
            ports.start()
        )
    });
    let about = if about.is_empty() {
        String::new()
    } else {
        format!("  # {about}")
    };
    format!(
        "- matcher: {{typed_config: {{{range}{ports}, \"@type\": {MATCHER}}}, name: {NAME}}}{about}\n"
    )
}

/// What registries say of a network, for people: of the rows inside it, else of the one around it.
fn names(network: IpNet) -> String {
    let rows: Vec<_> = registrations()
        .filter(|row| row.class != Class::Public)
        .collect();
    let inside = rows.iter().filter(|row| network.contains(&row.prefix));
    let around = rows.iter().filter(|row| row.prefix.contains(&network));
    let mut named: Vec<_> = inside.collect();
    if named.is_empty() {
        named.extend(around.max_by_key(|row| row.prefix.prefix_len()));
    }
    named.sort_by_key(|row| row.prefix.prefix_len());
    let mut names: Vec<_> = Vec::new();
    for row in named {
        if !names.contains(&row.name) {
            names.push(row.name);
        }
    }
    let more = names.len().saturating_sub(SHOWN_NAMES);
    names.truncate(SHOWN_NAMES);
    match more {
        0 => names.join(", "),
        _ => format!("{}, and {more} more", names.join(", ")),
    }
}

/// Names of one network that are shown at most.
const SHOWN_NAMES: usize = 3;

/// Of NAT64 (RFC 6052).
const WELL_KNOWN: &str = "64:ff9b::/96";

const NAME: &str = "envoy.rbac.matchers.upstream_ip_port";
const MATCHER: &str =
    "type.googleapis.com/envoy.extensions.rbac.matchers.upstream_ip_port.v3.UpstreamIpPortMatcher";
