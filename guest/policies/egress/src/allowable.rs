//! Networks that no setting can allow.

use ipnet::IpNet;
use pinfold_policy::{Class, addr::Classifier};

/// Refuses networks that no policy can allow, or that would allow what nobody means.
pub(crate) fn check(network: IpNet) -> Result<IpNet, String> {
    let refusals = [
        every_address,
        metadata,
        inside_floor,
        wrapper,
        floor,
        too_wide,
    ];
    match refusals.iter().find_map(|refusal| refusal(network)) {
        Some(problem) => Err(problem),
        None => Ok(network),
    }
}

/// Networks whose addresses carry IPv4.
const WRAPPERS: &[&str] = &[
    "::ffff:0:0/96",
    "::ffff:0:0:0/96",
    "::/96",
    "64:ff9b::/96",
    "64:ff9b:1::/48",
    "2002::/16",
    "2001::/32",
];

/// Networks that the host never dials of its own accord.
const FLOOR: &[(&str, &str)] = &[
    ("0.0.0.0/8", "unspecified"),
    ("127.0.0.0/8", "loopback"),
    ("169.254.0.0/16", "link-local"),
    ("224.0.0.0/4", "multicast"),
    ("255.255.255.255/32", "broadcast"),
    ("::/128", "unspecified"),
    ("::1/128", "loopback"),
    ("fe80::/10", "link-local"),
    ("ff00::/8", "multicast"),
];

/// The widest networks that a site has for itself: 10.0.0.0/8 (RFC 1918) and fc00::/7 (RFC 4193).
const WIDEST: (u8, u8) = (8, 7);

fn every_address(network: IpNet) -> Option<String> {
    (network.prefix_len() == 0).then(|| {
        format!(
            "`{network}` would allow every address and so the network behind this host; name the networks \
             that are meant"
        )
    })
}

/// Before the floor, whose networks can be granted: no operator can grant an endpoint. A wider network that
/// merely holds one is fine: the endpoint stays refused.
fn metadata(network: IpNet) -> Option<String> {
    let classifier = Classifier::default();
    let ends = [network.network(), network.broadcast()];
    let is_metadata = |end: &_| classifier.classify(*end).class == Class::Metadata;
    ends.iter()
        .all(is_metadata)
        .then(|| format!("`{network}` is a metadata endpoint, which is always refused"))
}

/// Before the wrappers, because `::1` is in ::/96, yet wraps nothing.
fn inside_floor(network: IpNet) -> Option<String> {
    let (outer, what) = FLOOR
        .iter()
        .find(|(floor, _)| parse(floor).is_some_and(|floor| floor.contains(&network)))?;
    Some(needs_grant(network, outer, what))
}

fn wrapper(network: IpNet) -> Option<String> {
    let wrapper = WRAPPERS.iter().find(|other| is_related(network, other))?;
    Some(format!(
        "`{network}` is in or holds {wrapper}, whose addresses wrap IPv4; allow the IPv4 network, and set \
         `wrapped` to `judge` if wrapped addresses are meant to be dialled"
    ))
}

fn floor(network: IpNet) -> Option<String> {
    let (floor, what) = FLOOR.iter().find(|(floor, _)| is_related(network, floor))?;
    Some(needs_grant(network, floor, what))
}

fn needs_grant(network: IpNet, floor: &str, what: &str) -> String {
    format!(
        "`{network}` holds {what} addresses ({floor}), which the host dials only when its operator grants \
         them by prefix and port; no policy can"
    )
}

fn too_wide(network: IpNet) -> Option<String> {
    let widest = match network {
        IpNet::V4(_) => WIDEST.0,
        IpNet::V6(_) => WIDEST.1,
    };
    (network.prefix_len() < widest).then(|| {
        format!("`{network}` is wider than any network of a site (/{widest}); name the networks that are meant")
    })
}

/// Whether one holds the other.
fn is_related(network: IpNet, other: &str) -> bool {
    parse(other).is_some_and(|other| other.contains(&network) || network.contains(&other))
}

fn parse(network: &str) -> Option<IpNet> {
    network.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_are_networks() {
        let floor = FLOOR.iter().map(|(network, _)| network);
        for network in WRAPPERS.iter().chain(floor) {
            assert!(
                parse(network).is_some_and(|parsed| parsed.trunc() == parsed),
                "{network}"
            );
        }
    }

    #[test]
    fn what_holds_a_refused_network_is_refused_with_it() {
        let table = [
            ("0.0.0.0/0", "every address"),
            ("::/0", "every address"),
            ("64:ff9b::/32", "wrap IPv4"),
            ("64:ff9b::/96", "wrap IPv4"),
            ("64::/16", "wrap IPv4"),
            ("2000::/3", "wrap IPv4"),
            ("2001::/16", "wrap IPv4"),
            ("::1/128", "loopback"),
            ("169.254.0.0/16", "grants"),
            ("169.254.169.254/32", "always refused"),
            ("fe80::a9fe:a9fe/128", "always refused"),
            ("126.0.0.0/7", "loopback"),
            ("4000::/3", "wider"),
            ("8.0.0.0/7", "wider"),
            ("fdaa::/16", "metadata"),
        ];
        for (network, part) in table {
            let problem = check(parse(network).unwrap_or_else(|| panic!("{network}")));
            assert!(
                problem.is_err_and(|problem| problem.contains(part)),
                "{network}"
            );
        }
        for network in [
            "10.0.0.0/8",
            "fc00::/7",
            "fd00::/8",
            "2600::/12",
            "240.0.0.0/8",
        ] {
            assert!(check(parse(network).unwrap()).is_ok(), "{network}");
        }
    }
}
