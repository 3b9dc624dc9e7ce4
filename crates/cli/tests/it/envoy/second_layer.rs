//! The second layer and the judgement of the gateway say the same: every edge of every range, and addresses by chance.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::Path,
};

use ipnet::{IpNet, Ipv6Net};
use pinfold::Grant;
use pinfold_addr::{Class, Classifier, Embedding, networks, registrations};
use serde_json::Value;

use crate::{
    serve::write,
    support::{pinfold, show},
};

/// What an operator has, with the gateway's own judgement as far as it is about addresses.
struct Site {
    grants: &'static [&'static str],
    nat64: &'static [&'static str],
    /// The settings of the shipped policy, and what they allow: a network and its ports.
    settings: &'static str,
    allowed: &'static [(&'static str, &'static [u16])],
    special_global: bool,
    wrapped: bool,
    words: &'static [&'static str],
}

const PLAIN: Site = Site {
    grants: &[],
    nat64: &[],
    settings: "",
    allowed: &[],
    special_global: false,
    wrapped: false,
    words: &[],
};

const SITES: [(&str, Site); 7] = [
    ("nothing", PLAIN),
    (
        "grants",
        Site {
            grants: &[
                "127.0.0.2/32",
                "127.0.0.3:8080",
                "[fd00::/8]:443",
                "::1",
                "10.0.0.0/8",
            ],
            ..PLAIN
        },
    ),
    (
        "wide grants, which never cover everything",
        Site {
            grants: &["0.0.0.0/0", "fc00::/7", "fe80::/10"],
            ..PLAIN
        },
    ),
    (
        "NAT64",
        Site {
            nat64: &["64:ff9b:1:abcd::/96", "fd00:64::/96", "2001:db8:122::/48"],
            ..PLAIN
        },
    ),
    (
        "settings",
        Site {
            settings: "special_global = 'allow'\n[networks]\nallow = ['10.1.0.0/16', { cidr = '192.168.7.0/24', ports = [443, '8000-8080'] }]\n\
                       [[subjects]]\nmatch = ['batch']\nnetworks = { allow = ['fd12::/16'] }",
            allowed: &[
                ("10.1.0.0/16", &[]),
                ("192.168.7.0/24", &[443, 8000, 8080]),
                ("fd12::/16", &[]),
                ("172.16.0.0/12", &[]),
            ],
            special_global: true,
            words: &["--allow", "172.16.0.0/12"],
            ..PLAIN
        },
    ),
    (
        "networks of the policy and words, which never open the floor",
        Site {
            settings: "wrapped = 'judge'\nnetworks = { allow = ['126.0.0.0/7', '169.254.0.0/16', 'fe00::/7', '10.0.0.0/8'] }",
            allowed: &[
                ("126.0.0.0/7", &[]),
                ("169.254.0.0/16", &[]),
                ("fe00::/7", &[]),
                ("10.0.0.0/8", &[]),
                ("224.0.0.0/3", &[]),
                ("168.0.0.0/6", &[]),
            ],
            grants: &["127.0.0.2/32"],
            wrapped: true,
            words: &["--allow", "224.0.0.0/3", "--allow", "168.0.0.0/6"],
            ..PLAIN
        },
    ),
    (
        "what is carried is judged",
        Site {
            nat64: &["64:ff9b:1:abcd::/96", "fd00:64::/96", "2001:db8:122::/48"],
            settings: "wrapped = 'judge'\nnetworks = { allow = ['10.1.0.0/16'] }",
            allowed: &[("10.1.0.0/16", &[])],
            grants: &["127.0.0.2/32", "0.0.0.0/0"],
            wrapped: true,
            ..PLAIN
        },
    ),
];

#[test]
fn both_layers_say_the_same() {
    for (name, site) in SITES {
        let rules = site.rules();
        let classifier = site.classifier();
        let addresses = site.addresses();
        assert!(addresses.len() > 3_000, "{name}: {}", addresses.len());
        let mut refused = 0;
        for address in &addresses {
            let classified = classifier.classify(*address);
            if is_exception(&classified) {
                continue;
            }
            for port in [1, 80, 442, 443, 444, 7999, 8000, 8080, 8081, u16::MAX] {
                let denied = denies(&rules, *address, port);
                let approved = site.approves(&classified, port);
                assert_eq!(denied, !approved, "{name}: {address} port {port}");
                refused += usize::from(denied);
            }
        }
        assert!(refused > 1_000, "{name}");
    }
}

/// What no list of ranges can say: an interface identifier of the ISATAP form makes an address of any network carry IPv4.
fn is_exception(classified: &pinfold_addr::Classified) -> bool {
    let mut forms = classified.embedded.iter().map(|inner| inner.form);
    forms.any(|form| form == Embedding::Isatap)
}

impl Site {
    /// The policies of the filter in what is generated.
    fn rules(&self) -> Value {
        let folder = tempfile::tempdir().unwrap();
        let generated = self.generated(folder.path());
        let config: Value = serde_saphyr::from_str(&generated).unwrap();
        let clusters = config["static_resources"]["clusters"].as_array().unwrap();
        let rules: Vec<_> = clusters.iter().filter_map(second_layer).collect();
        assert_eq!(rules.len(), 2, "of both clusters of servers");
        assert_eq!(rules[0], rules[1]);
        assert_eq!(rules[0]["action"], "DENY");
        rules[0]["policies"].clone()
    }

    fn generated(&self, folder: &Path) -> String {
        write(folder, "egress.toml", &format!("{}\n", self.settings));
        let settings = match self.settings {
            "" => "",
            _ => "settings = 'egress.toml'",
        };
        let (grants, nat64) = (self.grants, self.nat64);
        let gateway = format!(
            "[[listener]]\nbind = '127.0.0.1:4752'\nprotocols = ['envoy']\n[admin]\nenabled = false\n\
             [floor]\ngrants = {grants:?}\nnat64 = {nat64:?}\n[policy]\n{settings}\n"
        );
        let gateway = write(folder, "gateway.toml", &gateway);
        let words = ["envoy", "config", "forward", "--gateway"];
        let mut command = pinfold(words);
        let output = command.arg(gateway).args(self.words).output().unwrap();
        assert!(output.status.success(), "{}", show(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    fn prefixes(&self) -> Vec<Ipv6Net> {
        self.nat64.iter().map(|net| net.parse().unwrap()).collect()
    }

    fn classifier(&self) -> Classifier {
        Classifier::with_nat64(self.prefixes()).unwrap()
    }

    /// What the floor and the shipped policy say.
    fn approves(&self, classified: &pinfold_addr::Classified, port: u16) -> bool {
        let address = classified.address;
        if classified.class == Class::Metadata {
            return false;
        }
        if !classified.embedded.is_empty() {
            // Of what is carried otherwise than by 96 bits of NAT64, the second layer refuses all.
            let nat64 = |prefix: &Ipv6Net| {
                IpNet::V6(*prefix).contains(&address) && prefix.prefix_len() == 96
            };
            let mut prefixes = self.prefixes();
            prefixes.push("64:ff9b::/96".parse().unwrap());
            let inner = classified.embedded.iter();
            return self.wrapped
                && prefixes.iter().any(nat64)
                && inner
                    .map(|inner| (IpAddr::V4(inner.address), inner.class))
                    .all(|(inner, class)| self.allows(inner, class, port));
        }
        let grants = self.grants.iter();
        let granted = grants
            .map(|grant| grant.parse::<Grant>().unwrap())
            .any(|grant| grant.covers(address, port));
        granted || self.allows(address, classified.class, port)
    }

    fn allows(&self, address: IpAddr, class: Class, port: u16) -> bool {
        let ports = |ports: &[u16]| match ports {
            [] => true,
            [one, start, end] => port == *one || (*start..=*end).contains(&port),
            _ => unreachable!("not in the table"),
        };
        let allowed = self
            .allowed
            .iter()
            .any(|(network, of)| network.parse::<IpNet>().unwrap().contains(&address) && ports(of));
        let open = class == Class::Public || (class == Class::SpecialGlobal && self.special_global);
        // What no policy opens, but a grant alone.
        let floor = matches!(
            class,
            Class::Unspecified
                | Class::Loopback
                | Class::LinkLocal
                | Class::Multicast
                | Class::Broadcast
        );
        open || (allowed && !floor && class != Class::Metadata)
    }

    /// The edges of every network that is named anywhere, their neighbours, the same inside NAT64, and some by chance.
    fn addresses(&self) -> BTreeSet<IpAddr> {
        let mut named: Vec<IpNet> = registrations().map(|row| row.prefix).collect();
        named.extend(networks(|class| class != Class::Public));
        named.extend(self.prefixes().into_iter().map(IpNet::V6));
        let grants = self.grants.iter().map(|grant| grant.parse::<Grant>());
        named.extend(grants.map(|grant| grant.unwrap().network()));
        let allowed = self
            .allowed
            .iter()
            .map(|(network, _)| network.parse::<IpNet>());
        named.extend(allowed.map(Result::unwrap));
        let mut addresses: BTreeSet<_> = named.iter().flat_map(edges).collect();
        let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
        addresses.extend((0..1_000).map(|_| IpAddr::V4(Ipv4Addr::from_bits(dice.throw() as u32))));
        let six = |dice: &mut Dice| u128::from(dice.throw()) << 64 | u128::from(dice.throw());
        for network in &named {
            if let IpNet::V6(network) = network {
                let host = network.hostmask().to_bits();
                addresses.extend((0..8).map(|_| {
                    let bits = network.network().to_bits() | (six(&mut dice) & host);
                    IpAddr::V6(Ipv6Addr::from_bits(bits))
                }));
            }
        }
        let carried: Vec<_> = addresses
            .iter()
            .filter_map(|address| inside(self, address))
            .collect();
        addresses.extend(carried.into_iter().flatten());
        addresses
    }
}

/// The IPv4 address in each form that a prefix of 96 bits announces.
fn inside(site: &Site, address: &IpAddr) -> Option<Vec<IpAddr>> {
    let IpAddr::V4(address) = address else {
        return None;
    };
    let forms = ["::ffff:0:0", "::", "64:ff9b::"].map(|form| form.parse::<Ipv6Addr>().unwrap());
    let prefixes = site.prefixes().into_iter().map(|prefix| prefix.network());
    let carried = forms.into_iter().chain(prefixes);
    let address = u128::from(address.to_bits());
    Some(
        carried
            .map(|form| IpAddr::V6(Ipv6Addr::from_bits(form.to_bits() | address)))
            .collect(),
    )
}

fn edges(network: &IpNet) -> [IpAddr; 4] {
    let (first, last) = (network.network(), network.broadcast());
    [moved(first, -1), first, last, moved(last, 1)]
}

fn moved(address: IpAddr, by: i8) -> IpAddr {
    match address {
        IpAddr::V4(ip) => Ipv4Addr::from_bits(ip.to_bits().saturating_add_signed(by.into())).into(),
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits().saturating_add_signed(by.into())).into(),
    }
}

/// Always the same numbers (splitmix64).
struct Dice(u64);

impl Dice {
    fn throw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// The rules of the filter in a cluster.
fn second_layer(cluster: &Value) -> Option<&Value> {
    let options = cluster["typed_extension_protocol_options"].as_object()?;
    let filters = options.values().next()?["http_filters"].as_array()?;
    let rbac = filters
        .iter()
        .find(|filter| filter["name"] == "envoy.filters.http.upstream_rbac");
    Some(&rbac?["typed_config"]["rules"])
}

/// As Envoy reads it: a policy holds when one of its permissions does.
fn denies(policies: &Value, address: IpAddr, port: u16) -> bool {
    let policies = policies.as_object().unwrap().values();
    let mut permissions = policies.flat_map(|policy| {
        assert_eq!(policy["principals"][0]["any"], true);
        policy["permissions"].as_array().unwrap()
    });
    permissions.any(|permission| holds(permission, address, port))
}

fn holds(permission: &Value, address: IpAddr, port: u16) -> bool {
    let (kind, value) = permission.as_object().unwrap().iter().next().unwrap();
    let rules = || value["rules"].as_array().unwrap().iter();
    match kind.as_str() {
        "and_rules" => rules().all(|rule| holds(rule, address, port)),
        "or_rules" => rules().any(|rule| holds(rule, address, port)),
        "not_rule" => !holds(value, address, port),
        "matcher" => matches(&value["typed_config"], address, port),
        other => panic!("{other}"),
    }
}

/// A range of IPv4 holds no IPv6 address, whatever is in it.
fn matches(matcher: &Value, address: IpAddr, port: u16) -> bool {
    let range = &matcher["upstream_ip"];
    let prefix = range["address_prefix"].as_str().unwrap().parse().unwrap();
    let length = u8::try_from(range["prefix_len"].as_u64().unwrap()).unwrap();
    let ports = matcher.get("upstream_port_range").is_none_or(|ports| {
        let edge = |name: &str| ports[name].as_u64().unwrap();
        (edge("start")..edge("end")).contains(&u64::from(port))
    });
    ports && IpNet::new(prefix, length).unwrap().contains(&address)
}
