//! Networks: from "allow beats deny" to "the longest prefix decides".

use std::net::IpAddr;

use ipnet::IpNet;

use super::super::difference::{Differences, Kind};

/// A network, on one port or on all.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Rule {
    pub(super) network: IpNet,
    pub(super) port: Option<u16>,
}

/// What the four lists and the flag for private networks become.
#[derive(Debug, Default, Eq, PartialEq)]
pub(super) struct Networks {
    pub(super) allow: Vec<Rule>,
    pub(super) deny: Vec<Rule>,
    /// Exceptions to the native floor: what is allowed and lies inside it.
    pub(super) grants: Vec<Rule>,
    /// IPv6 addresses that carry IPv4 are judged by what they carry.
    pub(super) judge_wrapped: bool,
}

/// The lists as they are written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Written<'a> {
    pub(super) allow_ranges: &'a [String],
    pub(super) allow_addresses: &'a [String],
    pub(super) deny_ranges: &'a [String],
    pub(super) deny_addresses: &'a [String],
    pub(super) private: bool,
}

/// Translates the lists; what differs, and what cannot be read, is added.
pub(super) fn translate(written: Written<'_>, differences: &mut Differences) -> Networks {
    let mut allow = read("allow_ranges", written.allow_ranges, range, differences);
    allow.extend(read(
        "allow_addresses",
        written.allow_addresses,
        address,
        differences,
    ));
    let mut deny = read("deny_ranges", written.deny_ranges, range, differences);
    deny.extend(read(
        "deny_addresses",
        written.deny_addresses,
        address,
        differences,
    ));

    let judge_wrapped = take_translation(&mut allow, differences);
    drop_ineffective(&mut deny, &allow, differences);
    let grants = grants(&allow, differences);
    // A grant is enough: no policy can allow more of the floor than the operator grants.
    allow.retain(|rule| !grants.contains(rule));
    if written.private {
        let covered = |rule: &Rule| deny.iter().any(|denied| denied.covers(rule));
        allow.extend(private().filter(|rule| !covered(rule)));
    }
    Networks {
        allow: unique(allow),
        deny: unique(deny),
        grants,
        judge_wrapped,
    }
}

impl Rule {
    /// Whether all that `other` is about is covered by this one.
    pub(super) fn covers(&self, other: &Self) -> bool {
        self.network.contains(&other.network) && (self.port.is_none() || self.port == other.port)
    }

    /// One address on every port.
    pub(super) fn host(address: IpAddr) -> Self {
        Self {
            network: address.into(),
            port: None,
        }
    }
}

impl std::fmt::Display for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.port, self.network) {
            (None, network) => write!(f, "{network}"),
            (Some(port), IpNet::V4(network)) => write!(f, "{network}:{port}"),
            (Some(port), IpNet::V6(network)) => write!(f, "[{network}]:{port}"),
        }
    }
}

fn read(
    key: &str,
    texts: &[String],
    parse: fn(&str) -> Option<Rule>,
    differences: &mut Differences,
) -> Vec<Rule> {
    let mut rules = Vec::with_capacity(texts.len());
    for text in texts {
        match parse(text) {
            Some(rule) => rules.push(rule),
            None => differences
                .add(
                    Kind::Missing,
                    key,
                    format!("`{text}`"),
                    "it cannot be read, and is left out",
                )
                .hint("write it as a network such as `10.1.0.0/16`, and migrate again"),
        }
    }
    rules
}

fn range(text: &str) -> Option<Rule> {
    let network: IpNet = text.trim().parse().ok()?;
    Some(Rule {
        network: network.trunc(),
        port: None,
    })
}

/// `IP`, `IP:PORT`, `[IP]:PORT`.
fn address(text: &str) -> Option<Rule> {
    let text = text.trim();
    if let Ok(address) = text.parse() {
        return Some(Rule::host(address));
    }
    let address: std::net::SocketAddr = text.parse().ok()?;
    Some(Rule {
        network: address.ip().into(),
        port: Some(address.port()),
    })
}

/// The well-known prefix of NAT64 was allowed whole, which allowed every IPv4 address inside it.
fn take_translation(allow: &mut Vec<Rule>, differences: &mut Differences) -> bool {
    const WELL_KNOWN: &str = "64:ff9b::/96";
    let before = allow.len();
    allow.retain(|rule| rule.network.to_string() != WELL_KNOWN);
    let taken = allow.len() < before;
    if taken {
        differences.add(
            Kind::Stricter,
            format_args!("allow_ranges `{WELL_KNOWN}`"),
            "every address behind the translator was allowed, internal ones too",
            "`wrapped = \"judge\"`: the IPv4 address inside is judged like any other",
        );
    }
    taken
}

/// Denials inside of what is allowed had no effect there, and would have one here.
fn drop_ineffective(deny: &mut Vec<Rule>, allow: &[Rule], differences: &mut Differences) {
    deny.retain(|denied| {
        let Some(winner) = allow.iter().find(|allowed| allowed.covers(denied)) else {
            return true;
        };
        differences
            .add(
                Kind::Changed,
                format_args!("denial of `{denied}`"),
                format!("without effect: `{winner}` is allowed, and allow beat deny"),
                "left out, so that the same is allowed",
            )
            .hint(format!(
                "here the longest prefix decides: add `{denied}` to `networks.deny` when it was meant"
            ));
        false
    });
}

/// What is allowed although no policy may allow it, unless the operator grants it.
fn grants(allow: &[Rule], differences: &mut Differences) -> Vec<Rule> {
    let mut grants = Vec::new();
    for rule in allow {
        for (network, what) in floor() {
            if network.contains(&rule.network) {
                grants.push(*rule);
                differences.add(
                    Kind::Changed,
                    format_args!("allowed network `{rule}`"),
                    format!("{what} addresses were allowed by the list alone"),
                    "by a grant in `floor.grants` of the gateway; metadata endpoints stay refused",
                );
            } else if rule.network.contains(&network) {
                differences
                    .add(
                        Kind::Stricter,
                        format_args!("allowed network `{rule}`"),
                        format!("{what} addresses (`{network}`) inside it were allowed"),
                        "they stay refused by the native floor",
                    )
                    .hint(format!(
                        "add the part that is meant to `floor.grants`, at most `{network}`"
                    ));
            }
        }
    }
    unique(grants)
}

/// What the floor refuses whatever a policy says.
fn floor() -> impl Iterator<Item = (IpNet, &'static str)> {
    const FLOOR: [(&str, &str); 8] = [
        ("0.0.0.0/8", "unspecified"),
        ("127.0.0.0/8", "loopback"),
        ("169.254.0.0/16", "link-local"),
        ("224.0.0.0/4", "multicast"),
        ("255.255.255.255/32", "broadcast"),
        ("::1/128", "loopback"),
        ("fe80::/10", "link-local"),
        ("ff00::/8", "multicast"),
    ];
    FLOOR
        .into_iter()
        .filter_map(|(text, what)| Some((text.parse().ok()?, what)))
}

/// What `unsafe_allow_private_ranges` lifted: RFC 1918 and RFC 4193.
fn private() -> impl Iterator<Item = Rule> {
    ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"]
        .into_iter()
        .filter_map(range)
}

fn unique(mut rules: Vec<Rule>) -> Vec<Rule> {
    rules.sort();
    rules.dedup();
    rules
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    fn shown(rules: &[Rule]) -> Vec<String> {
        rules.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_longest_prefix_decides_as_allow_before_deny_did() {
        let mut differences = Differences::default();
        let networks = translate(
            Written {
                allow_ranges: &texts(&["10.1.0.0/16", "127.0.1.0/24"]),
                allow_addresses: &texts(&["10.9.9.9:321"]),
                deny_ranges: &texts(&["10.0.0.0/8", "10.1.2.0/24", "192.0.2.0/24"]),
                deny_addresses: &texts(&["198.51.100.1:321"]),
                private: false,
            },
            &mut differences,
        );
        assert_eq!(shown(&networks.allow), ["10.1.0.0/16", "10.9.9.9/32:321"]);
        assert_eq!(
            shown(&networks.deny),
            ["10.0.0.0/8", "192.0.2.0/24", "198.51.100.1/32:321"],
            "the denial inside of what is allowed had no effect"
        );
        assert_eq!(shown(&networks.grants), ["127.0.1.0/24"]);
        let about: Vec<_> = differences.sorted().into_iter().map(|d| d.about).collect();
        assert_eq!(
            about,
            ["denial of `10.1.2.0/24`", "allowed network `127.0.1.0/24`"]
        );
    }

    #[test]
    fn private_networks_never_beat_a_denial() {
        let networks = translate(
            Written {
                allow_ranges: &[],
                allow_addresses: &[],
                deny_ranges: &texts(&["10.0.0.0/8", "192.168.7.0/24"]),
                deny_addresses: &[],
                private: true,
            },
            &mut Differences::default(),
        );
        assert_eq!(
            shown(&networks.allow),
            ["172.16.0.0/12", "192.168.0.0/16", "fc00::/7"]
        );
    }

    #[test]
    fn what_cannot_be_read_or_granted_is_told() {
        for (name, list, kind, now) in [
            (
                "no network",
                "10.0.0.0/33",
                Kind::Missing,
                "it cannot be read, and is left out",
            ),
            (
                "everything",
                "0.0.0.0/0",
                Kind::Stricter,
                "they stay refused by the native floor",
            ),
            (
                "a translator",
                "64:ff9b::/96",
                Kind::Stricter,
                "`wrapped = \"judge\"`: the IPv4 address inside is judged like any other",
            ),
        ] {
            let mut differences = Differences::default();
            translate(
                Written {
                    allow_ranges: &texts(&[list]),
                    allow_addresses: &[],
                    deny_ranges: &[],
                    deny_addresses: &[],
                    private: false,
                },
                &mut differences,
            );
            let found = differences.sorted();
            assert!(
                found.iter().any(|d| d.kind == kind && d.now == now),
                "{name}: {found:?}"
            );
        }
    }
}
