//! The floor: native rules that no policy can widen, and the operator's exceptions to them.
//!
//! | what | refused as | may be granted |
//! |---|---|---|
//! | metadata and platform endpoints, also embedded in IPv6; their names | `address-metadata`, `name-metadata` | never |
//! | the guard's own listeners, also embedded | `address-own` | by a grant of exactly this address and port |
//! | loopback, link-local, unspecified, multicast, broadcast | `address-floor` | by prefix and port |
//! | any other address of this machine, seen when the socket's own address is its peer's | `address-own` | by prefix and port |
//! | an IPv6 address that carries one of these | `address-floor` | never: grant the IPv4 address and use it |
//!
//! Everything else (private networks, reserved space, ...) is the policy's business.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

use ipnet::IpNet;
use pinfold_addr::{Class, Classified, Classifier, Domain, Host, Reason, Stage, Target, names};

use crate::{Denial, JudgedAddress};

/// An operator's exception to the floor: a prefix, and a port or all ports.
///
/// Written `PREFIX[:PORT]`. An IPv6 prefix that is followed by a port stands in brackets.
///
/// ```
/// use pinfold::Grant;
///
/// for text in ["127.0.0.2", "127.0.0.0/8:8080", "[::1]:80", "[fd00::/8]:443", "fd00::/8"] {
///     let grant: Grant = text.parse()?;
///     assert_eq!(grant.to_string(), text);
/// }
/// assert!("169.254.169.254".parse::<Grant>().is_err(), "metadata is never granted");
/// # Ok::<(), pinfold::InvalidGrant>(())
/// ```
///
/// A grant says which addresses the *host* will dial; the policy still has its say. It never covers
/// metadata endpoints, nor IPv6 addresses that carry IPv4, whatever its prefix.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Grant {
    net: IpNet,
    port: Option<u16>,
}

impl Grant {
    /// Whether this address and port lie in the prefix of the grant. The floor asks more: see the type.
    pub fn covers(&self, address: IpAddr, port: u16) -> bool {
        self.net.contains(&address) && self.port.is_none_or(|granted| granted == port)
    }

    /// The prefix.
    pub fn network(&self) -> IpNet {
        self.net
    }

    /// The port; none for all.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// Whether the grant names one address and one port.
    fn names(&self, address: IpAddr, port: u16) -> bool {
        self.net.prefix_len() == self.net.max_prefix_len()
            && self.net.addr() == address
            && self.port == Some(port)
    }
}

impl FromStr for Grant {
    type Err = InvalidGrant;

    fn from_str(text: &str) -> Result<Self, InvalidGrant> {
        let invalid = |problem| InvalidGrant {
            text: text.into(),
            problem,
        };
        let (prefix, port) = split_port(text).map_err(invalid)?;
        let net = parse_net(prefix).map_err(invalid)?;
        grantable(net).map_err(invalid)?;
        Ok(Self { net, port })
    }
}

impl fmt::Display for Grant {
    /// As it is parsed; a prefix of full length is written without its length.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let prefix = if self.net.prefix_len() == self.net.max_prefix_len() {
            self.net.addr().to_string()
        } else {
            self.net.to_string()
        };
        match (self.net, self.port) {
            (_, None) => f.write_str(&prefix),
            (IpNet::V4(_), Some(port)) => write!(f, "{prefix}:{port}"),
            (IpNet::V6(_), Some(port)) => write!(f, "[{prefix}]:{port}"),
        }
    }
}

/// Text that is no grant.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("`{text}` is not a grant: {problem}")]
pub struct InvalidGrant {
    text: String,
    problem: &'static str,
}

/// `127.0.0.0/8:80` and `[::1]:80` into prefix and port.
fn split_port(text: &str) -> Result<(&str, Option<u16>), &'static str> {
    if let Some(rest) = text.strip_prefix('[') {
        let (prefix, port) = rest.split_once(']').ok_or("the bracket is not closed")?;
        return match port.strip_prefix(':') {
            Some(port) => Ok((prefix, Some(parse_port(port)?))),
            None if port.is_empty() => Ok((prefix, None)),
            None => Err("after the bracket comes `:PORT`"),
        };
    }
    match text.split_once(':') {
        Some((prefix, port)) if !port.contains(':') => Ok((prefix, Some(parse_port(port)?))),
        _ => Ok((text, None)),
    }
}

fn parse_port(text: &str) -> Result<u16, &'static str> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(port) if digits && port != 0 => Ok(port),
        _ => Err("a port is a number from 1 to 65535"),
    }
}

fn parse_net(text: &str) -> Result<IpNet, &'static str> {
    let net = match text.contains('/') {
        true => text.parse().map_err(|_| "expected `ADDRESS/LENGTH`")?,
        false => IpNet::from(
            text.parse::<IpAddr>()
                .map_err(|_| "expected an IP address or a prefix")?,
        ),
    };
    match net.addr() == net.network() {
        true => Ok(net),
        false => Err("the address has bits beyond the length of the prefix"),
    }
}

/// Refuses early what [`Floor::judge`] would never honour. Wider prefixes that merely contain such
/// addresses parse, and leave them out.
fn grantable(net: IpNet) -> Result<(), &'static str> {
    let first = Classifier::default().classify(net.network());
    let single = net.prefix_len() == net.max_prefix_len();
    if !first.embedded.is_empty() {
        return Err("addresses that carry IPv4 in IPv6 are never granted");
    }
    match single && first.class == Class::Metadata {
        true => Err("metadata endpoints are never granted"),
        false => Ok(()),
    }
}

/// The floor of one guard.
#[derive(Debug)]
pub(crate) struct Floor {
    grants: Vec<Grant>,
    own: Vec<SocketAddr>,
    classifier: Classifier,
}

impl Floor {
    pub(crate) fn new(grants: Vec<Grant>, own: Vec<SocketAddr>, classifier: Classifier) -> Self {
        Self {
            grants,
            own,
            classifier,
        }
    }

    /// Step 3: what can be told from the target alone.
    pub(crate) fn check_target(&self, target: &Target) -> Result<(), Denial> {
        match target.host() {
            Host::Domain(name) => check_name(name),
            Host::Ip(address) => self
                .judge(*address, target.port())
                .denial
                .map_or(Ok(()), Err),
        }
    }

    /// Steps 6 and 7: what an address is, and whether the floor refuses it.
    pub(crate) fn judge(&self, address: IpAddr, port: u16) -> JudgedAddress {
        let classified = self.classifier.classify(address);
        let granted = self.is_granted(&classified, port);
        let denial = self.refusal(&classified, port, granted);
        let Classified {
            address,
            class,
            embedded,
        } = classified;
        JudgedAddress {
            address,
            class,
            embedded,
            granted: granted && denial.is_none(),
            denial,
        }
    }

    /// Whether an operator's grant covers exactly this address and port.
    fn is_granted(&self, classified: &Classified, port: u16) -> bool {
        classified.class != Class::Metadata
            && classified.embedded.is_empty()
            && self
                .grants
                .iter()
                .any(|grant| grant.covers(classified.address, port))
    }

    fn refusal(&self, classified: &Classified, port: u16, granted: bool) -> Option<Denial> {
        let address = classified.address;
        let (worst, form) = worst(classified);
        if worst == Class::Metadata {
            return Some(Denial::new(
                Reason::AddressMetadata,
                format!("{address} {form} a metadata endpoint"),
            ));
        }
        if self.is_own(classified, port)
            && !self.grants.iter().any(|grant| grant.names(address, port))
        {
            return Some(Denial::new(
                Reason::AddressOwn,
                format!("{address} port {port} {form} a listener of this guard"),
            ));
        }
        (is_floor(worst) && !granted).then(|| {
            Denial::new(
                Reason::AddressFloor,
                format!("{address} {form} {}", name(worst)),
            )
        })
    }

    /// Whether the address, or an IPv4 address inside it, is a listener of this guard. A listener on
    /// the unspecified address answers on loopback and unspecified addresses; its other addresses are
    /// found after connecting, see [`Floor::forbids_self`].
    fn is_own(&self, classified: &Classified, port: u16) -> bool {
        let embedded = classified
            .embedded
            .iter()
            .map(|inner| (IpAddr::V4(inner.address), inner.class));
        std::iter::once((classified.address, classified.class))
            .chain(embedded)
            .any(|(address, class)| {
                self.own.iter().filter(|own| own.port() == port).any(|own| {
                    own.ip() == address || (is_wildcard(own.ip()) && is_this_host(class))
                })
            })
    }

    /// Whether a socket whose own address equals that of its peer (it reached this very machine) must
    /// be closed: yes, unless a grant covers the peer.
    pub(crate) fn forbids_self(&self, local: SocketAddr, peer: SocketAddr) -> bool {
        local.ip() == peer.ip()
            && !self.is_granted(&self.classifier.classify(peer.ip()), peer.port())
    }
}

/// What the floor says of a name.
pub(crate) fn check_name(name: &Domain) -> Result<(), Denial> {
    match names::is_metadata(name.as_str()) {
        true => Err(Denial::new(
            Reason::NameMetadata,
            format!("`{}` is the name of a metadata endpoint", name.as_str()),
        )),
        false => Ok(()),
    }
}

/// The class that decides, and how the address comes to it: what is embedded counts like the address.
fn worst(classified: &Classified) -> (Class, &'static str) {
    let inner = || classified.embedded.iter().map(|embedded| embedded.class);
    if classified.class == Class::Metadata {
        return (Class::Metadata, "is");
    }
    if let Some(metadata) = inner().find(|class| *class == Class::Metadata) {
        return (metadata, "carries");
    }
    if is_floor(classified.class) {
        return (classified.class, "is");
    }
    match inner().find(|class| is_floor(*class)) {
        Some(class) => (class, "carries"),
        None => (classified.class, "is"),
    }
}

/// The classes under the floor, metadata aside: no policy opens them, but a grant of the operator.
///
/// ```
/// use pinfold::{addr::Class, policy::floor::is_floor};
///
/// assert!(is_floor(Class::Loopback));
/// assert!(!is_floor(Class::Private));
/// ```
pub const fn is_floor(class: Class) -> bool {
    matches!(
        class,
        Class::Unspecified
            | Class::Loopback
            | Class::LinkLocal
            | Class::Multicast
            | Class::Broadcast
    )
}

/// The classes that reach the machine itself whatever its interfaces.
const fn is_this_host(class: Class) -> bool {
    matches!(class, Class::Unspecified | Class::Loopback)
}

fn is_wildcard(address: IpAddr) -> bool {
    address == IpAddr::V4(Ipv4Addr::UNSPECIFIED) || address == IpAddr::V6(Ipv6Addr::UNSPECIFIED)
}

const fn name(class: Class) -> &'static str {
    match class {
        Class::Unspecified => "an unspecified address",
        Class::Loopback => "a loopback address",
        Class::LinkLocal => "a link-local address",
        Class::Multicast => "a multicast address",
        Class::Broadcast => "the broadcast address",
        _ => "an address under the floor",
    }
}

impl JudgedAddress {
    /// Moves the refusal of an address that came from a name's answer to the stage of the lookup.
    pub(crate) fn answered(mut self) -> Self {
        self.denial = self.denial.map(|denial| denial.at(Stage::Resolve));
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn floor(grants: &[&str], own: &[&str]) -> Floor {
        let grants = grants.iter().map(|text| text.parse().unwrap()).collect();
        let own = own.iter().map(|text| text.parse().unwrap()).collect();
        Floor::new(grants, own, Classifier::default())
    }

    fn code(floor: &Floor, address: &str, port: u16) -> Option<String> {
        let judged = floor.judge(address.parse().unwrap(), port);
        assert!(
            !(judged.granted && judged.denial.is_some()),
            "granted and refused: {judged:?}"
        );
        judged.denial.map(|denial| denial.code().to_owned())
    }

    #[test]
    fn the_floor_refuses_without_grants() {
        let table = [
            ("loopback", "127.0.0.1", "address-floor"),
            ("loopback beyond .1", "127.8.9.10", "address-floor"),
            ("loopback, IPv6", "::1", "address-floor"),
            ("unspecified", "0.0.0.0", "address-floor"),
            ("unspecified, IPv6", "::", "address-floor"),
            ("link-local", "169.254.1.1", "address-floor"),
            ("link-local, IPv6", "fe80::1", "address-floor"),
            ("multicast", "224.0.0.1", "address-floor"),
            ("multicast, IPv6", "ff02::1", "address-floor"),
            ("broadcast", "255.255.255.255", "address-floor"),
            ("metadata", "169.254.169.254", "address-metadata"),
            (
                "metadata that looks public",
                "168.63.129.16",
                "address-metadata",
            ),
            ("metadata, IPv6", "fd00:ec2::254", "address-metadata"),
            ("mapped loopback", "::ffff:127.0.0.1", "address-floor"),
            (
                "mapped metadata",
                "::ffff:169.254.169.254",
                "address-metadata",
            ),
            ("NAT64 loopback", "64:ff9b::7f00:1", "address-floor"),
            ("6to4 metadata", "2002:a9fe:a9fe::1", "address-metadata"),
        ];
        for (row, address, expected) in table {
            assert_eq!(
                code(&floor(&[], &[]), address, 80).as_deref(),
                Some(expected),
                "{row}"
            );
        }
    }

    #[test]
    fn the_rest_is_left_to_the_policy() {
        for address in [
            "93.184.216.34",
            "10.0.0.1",
            "192.168.1.1",
            "2606:4700::1",
            "fd12::1",
        ] {
            assert_eq!(code(&floor(&[], &[]), address, 80), None, "{address}");
        }
    }

    #[test]
    fn a_grant_covers_its_prefix_and_port_only() {
        let floor = floor(&["127.0.0.2:8080", "[::1]:80"], &[]);
        let table = [
            ("the grant", "127.0.0.2", 8080, None),
            ("another port", "127.0.0.2", 80, Some("address-floor")),
            ("another address", "127.0.0.3", 8080, Some("address-floor")),
            (
                "mapped form of the grant",
                "::ffff:127.0.0.2",
                8080,
                Some("address-floor"),
            ),
            ("IPv6 grant", "::1", 80, None),
        ];
        for (row, address, port, expected) in table {
            assert_eq!(code(&floor, address, port).as_deref(), expected, "{row}");
        }
        assert!(floor.judge("127.0.0.2".parse().unwrap(), 8080).granted);
        assert!(!floor.judge("93.184.216.34".parse().unwrap(), 8080).granted);
    }

    #[test]
    fn metadata_and_wrappers_are_never_granted() {
        let floor = floor(&["0.0.0.0/0", "::/0", "fc00::/7"], &[]);
        for address in [
            "169.254.169.254",
            "168.63.129.16",
            "fd00:ec2::254",
            "::ffff:169.254.169.254",
        ] {
            assert_eq!(
                code(&floor, address, 80).as_deref(),
                Some("address-metadata"),
                "{address}"
            );
        }
        for address in ["::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::"] {
            assert_eq!(
                code(&floor, address, 80).as_deref(),
                Some("address-floor"),
                "{address}"
            );
        }
        assert_eq!(code(&floor, "127.0.0.1", 80), None);
    }

    #[test]
    fn own_listeners_are_refused_unless_named_exactly() {
        let own = ["203.0.113.5:3128", "0.0.0.0:9000"];
        let broad = floor(&["127.0.0.0/8", "203.0.113.0/24"], &own);
        assert_eq!(
            code(&broad, "203.0.113.5", 3128).as_deref(),
            Some("address-own")
        );
        assert_eq!(code(&broad, "203.0.113.5", 80), None);
        assert_eq!(
            code(&broad, "127.0.0.1", 9000).as_deref(),
            Some("address-own")
        );
        assert_eq!(code(&broad, "127.0.0.1", 9001), None);
        assert_eq!(
            code(&broad, "64:ff9b::cb00:7105", 3128).as_deref(),
            Some("address-own"),
            "wrapped"
        );
        let exact = floor(&["127.0.0.1:9000"], &own);
        assert_eq!(code(&exact, "127.0.0.1", 9000), None);
    }

    #[test]
    fn a_socket_to_this_machine_is_closed_unless_granted() {
        let floor = floor(&["127.0.0.1:80"], &[]);
        let forbids = |local: &str, peer: &str| {
            floor.forbids_self(local.parse().unwrap(), peer.parse().unwrap())
        };
        assert!(forbids("203.0.113.5:40000", "203.0.113.5:80"));
        assert!(!forbids("203.0.113.6:40000", "203.0.113.5:80"));
        assert!(!forbids("127.0.0.1:40000", "127.0.0.1:80"));
        assert!(forbids("127.0.0.1:40000", "127.0.0.1:81"));
    }

    #[test]
    fn targets_are_checked_by_name_and_literal() {
        let floor = floor(&[], &[]);
        let check = |url: &str| {
            floor
                .check_target(&Target::parse(url).unwrap())
                .map_err(|denial| denial.code().to_owned())
        };
        assert_eq!(
            check("http://metadata.google.internal/"),
            Err("name-metadata".into())
        );
        assert_eq!(
            check("http://169.254.169.254/"),
            Err("address-metadata".into())
        );
        assert_eq!(check("http://[::1]/"), Err("address-floor".into()));
        assert_eq!(check("http://example.com/"), Ok(()));
        assert_eq!(check("http://10.0.0.1/"), Ok(()));
    }

    #[test]
    fn grants_that_are_refused() {
        let table = [
            ("empty", "", "expected an IP address or a prefix"),
            (
                "a name",
                "localhost:80",
                "expected an IP address or a prefix",
            ),
            (
                "port 0",
                "127.0.0.1:0",
                "a port is a number from 1 to 65535",
            ),
            (
                "signed port",
                "127.0.0.1:+80",
                "a port is a number from 1 to 65535",
            ),
            (
                "port too large",
                "127.0.0.1:65536",
                "a port is a number from 1 to 65535",
            ),
            (
                "length too large",
                "127.0.0.0/33",
                "expected `ADDRESS/LENGTH`",
            ),
            (
                "host bits",
                "127.0.0.1/8",
                "the address has bits beyond the length of the prefix",
            ),
            ("open bracket", "[::1:80", "the bracket is not closed"),
            (
                "text after bracket",
                "[::1]80",
                "after the bracket comes `:PORT`",
            ),
            (
                "metadata",
                "169.254.169.254:80",
                "metadata endpoints are never granted",
            ),
            (
                "mapped",
                "::ffff:127.0.0.1",
                "addresses that carry IPv4 in IPv6 are never granted",
            ),
            (
                "NAT64",
                "64:ff9b::/96",
                "addresses that carry IPv4 in IPv6 are never granted",
            ),
        ];
        for (row, text, problem) in table {
            let error = text.parse::<Grant>().expect_err(row);
            assert_eq!(error.problem, problem, "{row}");
        }
    }
}
