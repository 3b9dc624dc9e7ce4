//! What holds for every input, not just for those that someone thought of.
#![cfg(feature = "target")]
#![expect(clippy::unwrap_used, reason = "tests")]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::Ipv6Net;
use pinfold_addr::{Class, Classifier, Domain, Embedding, PrefixMap, Scheme, Spelling, Target};
use proptest::prelude::*;

/// Text that is likely to come near a URL, and then to go wrong.
fn url_like() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        Just("http"),
        Just("https:"),
        Just("//"),
        Just("/"),
        Just("\\"),
        Just("@"),
        Just(":"),
        Just("?"),
        Just("#"),
        Just("["),
        Just("]"),
        Just("."),
        Just("127.0.0.1"),
        Just("0x7f"),
        Just("::1"),
        Just("example"),
        Just("xn--"),
        Just("%31"),
        Just("%"),
        Just("\u{ad}"),
        Just("。"),
        Just("１"),
        Just("ü"),
        Just("\t"),
        Just(" "),
        Just("\0"),
        Just("80"),
        Just("0"),
        Just("-"),
        Just("_"),
    ];
    prop::collection::vec(part, 0..16).prop_map(|parts| parts.concat())
}

fn host_like() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z0-9_üé]{1,8}(\\.[a-z0-9ü]{1,8}){0,3}\\.?",
        any::<Ipv4Addr>().prop_map(|ip| ip.to_string()),
        any::<u32>().prop_map(|ip| format!("{ip:#x}")),
        any::<Ipv6Addr>().prop_map(|ip| format!("[{ip}]")),
    ]
}

fn url() -> impl Strategy<Value = String> {
    let scheme = prop::sample::select(vec!["http", "https", "ws", "WSS", "ftp"]);
    let port = prop_oneof![
        Just(String::new()),
        any::<u16>().prop_map(|port| format!(":{port}"))
    ];
    (scheme, host_like(), port, "[ -~üé]{0,24}")
        .prop_map(|(scheme, host, port, rest)| format!("{scheme}://{host}{port}/{rest}"))
}

proptest! {
    #[test]
    fn nothing_panics(text in any::<String>(), likely in url_like()) {
        for text in [&text, &likely, &format!("http://{likely}"), &format!("http://{text}/")] {
            let _ = Target::parse(text).map_err(|refusal| refusal.to_string());
            let _ = Domain::parse(text).map_err(|refusal| refusal.to_string());
            let _ = Target::from_authority(Scheme::Http, text);
            let _ = Target::parse("http://example.com/a?b").unwrap().join(text);
        }
    }

    #[test]
    fn what_is_displayed_parses_to_the_same(text in prop_oneof![url(), url_like()]) {
        if let Ok(target) = Target::parse(&text) {
            prop_assert_eq!(&Target::restore(&target.parts()).unwrap(), &target);
            let again = Target::parse(&target.to_string()).unwrap();
            prop_assert_eq!(again.to_string(), target.to_string());
            prop_assert!(again.same_origin(&target));
            prop_assert_eq!(again.path(), target.path());
            prop_assert_eq!(again.query(), target.query());
            prop_assert_eq!(again.spelling(), Spelling::default());
        }
    }

    #[test]
    fn joining_the_displayed_url_leads_to_it(text in url()) {
        let base = Target::parse("https://example.net/a").unwrap();
        if let Ok(target) = Target::parse(&text) {
            prop_assert_eq!(base.join(&text).unwrap(), target);
        }
    }

    #[test]
    fn a_name_is_canonical_once(text in "[a-zA-Z0-9._üÉß-]{0,20}") {
        if let Ok(name) = Domain::parse(&text) {
            prop_assert_eq!(Domain::parse(name.as_str()).unwrap(), name.clone());
            let target = Target::parse(&format!("http://{name}/")).unwrap();
            prop_assert_eq!(target.host().domain(), Some(&name));
        }
    }

    /// Each notation of `inet_aton` names the address, and all but one are told apart from it.
    #[test]
    fn every_notation_of_ipv4_is_read(ip in any::<Ipv4Addr>(), parts in 1_usize..=4, bases in any::<[u8; 4]>()) {
        let host = inet_aton_notation(ip, parts, bases);
        let target = Target::parse(&format!("http://{host}/")).unwrap();
        prop_assert_eq!(target.host().ip(), Some(IpAddr::V4(ip)), "{}", host);
        prop_assert_eq!(target.spelling().non_canonical_literal, host != ip.to_string(), "{}", host);
    }

    #[test]
    fn every_embedding_is_found(inner in any::<Ipv4Addr>(), noise in any::<u128>(), kind in 0_usize..17) {
        let (ip, form, operator) = wrap(inner, noise, kind);
        let classifier = Classifier::with_nat64(operator.into_iter().collect()).unwrap();
        let found = classifier.classify(IpAddr::V6(ip));
        let inner_class = Classifier::default().classify(IpAddr::V4(inner)).class;
        prop_assert!(
            found.embedded.iter().any(|each| (each.form, each.address, each.class) == (form, inner, inner_class)),
            "{ip} holds {inner} as {form}: {found:?}"
        );
        prop_assert!(inner_class != Class::Metadata || found.class == Class::Metadata);
        prop_assert!(inner_class == Class::Public || found.class != Class::Public, "{ip} hides {inner}");
    }

    #[test]
    fn ipv6_is_public_only_inside_global_unicast(bits in any::<u128>()) {
        let found = Classifier::default().classify(IpAddr::V6(Ipv6Addr::from_bits(bits)));
        prop_assert!(found.class != Class::Public || bits >> 125 == 1);
    }

    #[test]
    fn prefix_map_agrees_with_a_search(
        networks in prop::collection::vec((any::<u16>(), 0_u8..=16), 0..40),
        address in any::<u16>(),
    ) {
        // Few bits, so that networks nest: the upper 16 of an IPv4 address.
        let net = |(bits, length): (u16, u8)| {
            ipnet::Ipv4Net::new(Ipv4Addr::from_bits(u32::from(bits) << 16), length).unwrap().trunc()
        };
        let mut networks: Vec<_> = networks.into_iter().map(net).collect();
        networks.sort();
        networks.dedup();
        let address = Ipv4Addr::from_bits(u32::from(address) << 16);
        let mut expected: Vec<_> = networks.iter().copied().filter(|net| net.contains(&address)).collect();
        expected.sort_by_key(|net| std::cmp::Reverse(net.prefix_len()));

        let entries = networks.iter().map(|net| (ipnet::IpNet::V4(*net), *net));
        let map = PrefixMap::new(entries).unwrap();
        let found: Vec<_> = map.matches(address.into()).map(|(_, value)| *value).collect();
        prop_assert_eq!(&found, &expected);
        prop_assert_eq!(map.get(address.into()).map(|(_, value)| *value), expected.first().copied());
    }
}

fn inet_aton_notation(ip: Ipv4Addr, parts: usize, bases: [u8; 4]) -> String {
    let number = |value: u32, base: u8| match base % 3 {
        0 => value.to_string(),
        1 => format!("0{value:o}"),
        _ => format!("{value:#X}").replace("0X", if base > 127 { "0x" } else { "0X" }),
    };
    let leading = ip
        .octets()
        .into_iter()
        .take(parts - 1)
        .zip(bases)
        .map(|(octet, base)| number(octet.into(), base));
    let last = ip.to_bits() & u32::MAX.checked_shr(8 * (parts as u32 - 1)).unwrap();
    leading
        .chain([number(last, bases[3])])
        .collect::<Vec<_>>()
        .join(".")
}

/// Builds an address that carries `inner`, by the RFCs and not by the code under test; `noise` fills the
/// bits that the form leaves free. The third value is the operator's prefix that announces it, if any.
fn wrap(inner: Ipv4Addr, noise: u128, kind: usize) -> (Ipv6Addr, Embedding, Option<Ipv6Net>) {
    let [a, b, c, d] = inner.octets();
    let low = u128::from(inner.to_bits());
    let under = |prefix: &str, rest: u128| {
        Ipv6Addr::from_bits(prefix.parse::<Ipv6Addr>().unwrap().to_bits() | rest)
    };
    let n = noise.to_be_bytes();
    let operator = |octets: [u8; 16], length| {
        let ip = Ipv6Addr::from_octets(octets);
        (
            ip,
            Embedding::Nat64,
            Some(Ipv6Net::new(ip, length).unwrap().trunc()),
        )
    };
    match kind {
        0 => (under("::ffff:0:0", low), Embedding::Mapped, None),
        // 0.0.0.0 and 0.0.0.1 would be `::` and `::1`, which are addresses of their own.
        1 if low > 1 => (under("::", low), Embedding::Compatible, None),
        2 => (under("::ffff:0:0:0", low), Embedding::Siit, None),
        3 => (under("64:ff9b::", low), Embedding::Nat64, None),
        4 => (
            under("2002::", low << 80 | noise >> 48),
            Embedding::SixToFour,
            None,
        ),
        5 => (
            under("2001::", low << 64 | noise >> 64),
            Embedding::TeredoServer,
            None,
        ),
        6 => (
            under(
                "2001::",
                (noise >> 32 << 32 | u128::from(!inner.to_bits())) & (u128::MAX >> 32),
            ),
            Embedding::TeredoClient,
            None,
        ),
        7 => (under("2001:4860::5efe:0:0", low), Embedding::Isatap, None),
        8 => (
            under("2001:4860::200:5efe:0:0", low),
            Embedding::Isatap,
            None,
        ),
        9 => (
            Ipv6Addr::from_bits(noise >> 64 << 64 | 0x5efe << 32 | low),
            Embedding::Isatap,
            None,
        ),
        10 => (
            under("64:ff9b:1::", u128::from(n[0]) << 64 | low),
            Embedding::Nat64,
            None,
        ),
        11 => operator(
            [
                0x20, 1, 0xd, 0xb8, a, b, c, d, 0, n[0], n[1], n[2], n[3], n[4], n[5], n[6],
            ],
            32,
        ),
        12 => operator(
            [
                0x20, 1, 0xd, 0xb8, n[0], a, b, c, 0, d, n[1], n[2], n[3], n[4], n[5], n[6],
            ],
            40,
        ),
        13 => operator(
            [
                0x20, 1, 0xd, 0xb8, n[0], n[1], a, b, 0, c, d, n[2], n[3], n[4], n[5], n[6],
            ],
            48,
        ),
        14 => operator(
            [
                0x20, 1, 0xd, 0xb8, n[0], n[1], n[2], a, 0, b, c, d, n[3], n[4], n[5], n[6],
            ],
            56,
        ),
        15 => operator(
            [
                0x20, 1, 0xd, 0xb8, n[0], n[1], n[2], n[3], 0, a, b, c, d, n[4], n[5], n[6],
            ],
            64,
        ),
        _ => operator(
            [
                0x20, 1, 0xd, 0xb8, n[0], n[1], n[2], n[3], 0, n[4], n[5], n[6], a, b, c, d,
            ],
            96,
        ),
    }
}
