//! The known bypasses that text and addresses alone decide, one test for each class: how a URL that means
//! something internal can be written so that a guard does not see it.
//!
//! The numbers are those of the threats chapter of the manual. What needs names to be resolved, sockets
//! or HTTP is tested end to end.
#![cfg(feature = "target")]
#![expect(clippy::panic, reason = "helpers of tests")]

use std::net::IpAddr;

use pinfold_addr::{Class, Classifier, Embedding, Host, Reason, Target, names};

/// What this crate makes of a URL.
#[derive(Debug, Eq, PartialEq)]
enum Seen {
    /// Refused.
    Not(Reason),
    /// An address literal, canonical.
    Ip(Class),
    /// An address literal in disguise: the default policy refuses it, whatever the class.
    Odd(Class),
    /// Behind userinfo, which the default policy refuses.
    Userinfo(Box<Self>),
    /// A name.
    Name(String),
}

use Seen::{Ip, Name, Not, Odd, Userinfo};

const INVALID: Seen = Not(Reason::UrlInvalid);

fn see(url: &str) -> Seen {
    match Target::parse(url) {
        Err(refusal) => Not(refusal.reason),
        Ok(target) => see_target(&target),
    }
}

fn see_target(target: &Target) -> Seen {
    let host = match target.host() {
        Host::Domain(name) => Name(name.to_string()),
        Host::Ip(ip) if target.spelling().non_canonical_literal => Odd(class(*ip)),
        Host::Ip(ip) => Ip(class(*ip)),
    };
    if target.spelling().userinfo {
        Userinfo(Box::new(host))
    } else {
        host
    }
}

fn class(ip: IpAddr) -> Class {
    Classifier::default().classify(ip).class
}

#[track_caller]
fn hosts_are(hosts: &[&str], expected: &Seen) {
    for host in hosts {
        assert_eq!(&see(&format!("http://{host}/")), expected, "{host}");
    }
}

#[track_caller]
fn addresses_are(addresses: &[&str], expected: Class) {
    for address in addresses {
        let ip = address.parse().unwrap_or_else(|_| panic!("{address}"));
        assert_eq!(class(ip), expected, "{address}");
    }
}

// Address text.

#[test]
fn class_01_one_number() {
    hosts_are(
        &["2130706433", "0x7f000001", "0x7F000001", "017700000001"],
        &Odd(Class::Loopback),
    );
    hosts_are(
        &["2852039166", "0xa9fea9fe", "025177524776"],
        &Odd(Class::Metadata),
    );
    hosts_are(&["134744072"], &Odd(Class::Public));
}

#[test]
fn class_02_other_bases() {
    hosts_are(
        &["0xA9.0xFE.0xA9.0xFE", "0251.00376.000251.0000376"],
        &Odd(Class::Metadata),
    );
    hosts_are(
        &["0x7f.0.00.1", "0177.0.0.1", "127.0.0.01"],
        &Odd(Class::Loopback),
    );
}

#[test]
fn class_03_short_forms() {
    hosts_are(&["127.1", "127.0.1", "0177.1"], &Odd(Class::Loopback));
    hosts_are(&["0", "0x0", "1", "0.0"], &Odd(Class::Unspecified));
    hosts_are(&["0x"], &Not(Reason::UrlAmbiguous));
}

#[test]
fn class_04_overflow() {
    hosts_are(
        &[
            "425.510.425.510",
            "0x1A9FEA9FE",
            "45801712126",
            "256.0.0.1",
            "1.16777216",
        ],
        &INVALID,
    );
}

#[test]
fn class_05_ends_in_a_number() {
    hosts_are(
        &[
            "foo.0x7f",
            "foo.1",
            "1.2.3.4.5",
            "09.2.3.4",
            "foo.0",
            "a.09",
        ],
        &INVALID,
    );
}

#[test]
fn class_06_root_dot_after_an_address() {
    hosts_are(&["127.0.0.1.", "2130706433."], &Odd(Class::Loopback));
    hosts_are(&["127.0.0.1..", "127.0.0.1..."], &Not(Reason::HostInvalid));
}

#[test]
fn class_07_percent_encoded_digits() {
    hosts_are(
        &["%31%32%37%2e%30%2e%30%2e%31", "127%2E0%2E0%2E1"],
        &Odd(Class::Loopback),
    );
    hosts_are(&["%2531%2532%2537.0.0.1", "127.0.0.%2531"], &INVALID);
}

#[test]
fn class_08_digits_and_stops_of_other_scripts() {
    let disguises = [
        "１２７.0.0.1",
        "①②⑦.0.0.1",
        "127.0.0.¹",
        "𝟏𝟐𝟕.0.0.1",
        "127。0．0｡1",
        "127.0.0.\u{ad}1",
    ];
    hosts_are(&disguises, &Odd(Class::Loopback));
    hosts_are(&["127.0.0.1\u{200b}"], &Odd(Class::Loopback));
}

#[test]
fn class_09_other_scripts_in_brackets() {
    hosts_are(&["[::ﬀﬀ:7f00:1]", "[：：1]", "[::①]", "[::１]"], &INVALID);
}

#[test]
fn class_10_nul() {
    hosts_are(
        &[
            "127.0.0.1\0.example",
            "127.0.0.1%00.example",
            "example\0.com",
        ],
        &INVALID,
    );
}

#[test]
fn class_11_this_network() {
    addresses_are(
        &["0.0.0.0", "0.0.0.1", "0.255.255.255", "::"],
        Class::Unspecified,
    );
}

#[test]
fn class_12_whole_prefixes() {
    addresses_are(&["127.0.0.2", "127.255.255.255"], Class::Loopback);
    addresses_are(&["169.254.0.1", "169.254.255.255"], Class::LinkLocal);
}

#[test]
fn class_13_carrier_grade_nat() {
    addresses_are(&["100.64.0.0", "100.127.255.255"], Class::Shared);
    addresses_are(&["100.100.100.200", "100.96.0.96"], Class::Metadata);
}

#[test]
fn class_14_wire_server() {
    addresses_are(
        &["168.63.129.16", "::ffff:a83f:8110", "64:ff9b::a83f:8110"],
        Class::Metadata,
    );
    addresses_are(&["168.63.129.15", "168.63.129.17"], Class::Public);
}

#[test]
fn class_15_protocol_assignments() {
    addresses_are(
        &["192.0.0.0", "192.0.0.191", "192.0.0.255"],
        Class::Protocol,
    );
    addresses_are(&["192.0.0.192"], Class::Metadata);
}

#[test]
fn class_16_not_unicast() {
    addresses_are(&["224.0.0.1", "239.255.255.255"], Class::Multicast);
    addresses_are(&["255.255.255.255"], Class::Broadcast);
    addresses_are(&["240.0.0.0", "255.255.255.254"], Class::Reserved);
    addresses_are(
        &["192.0.2.1", "198.51.100.1", "203.0.113.1"],
        Class::Documentation,
    );
    addresses_are(&["198.18.0.0", "198.19.255.255"], Class::Benchmarking);
    addresses_are(&["192.88.99.1", "192.88.99.2"], Class::Protocol);
}

// IPv6 wrappers.

#[track_caller]
fn carries(address: &str, form: Embedding, inner: &str) {
    let ip = address.parse().unwrap_or_else(|_| panic!("{address}"));
    let found = Classifier::default().classify(ip);
    assert_ne!(found.class, Class::Public, "{address}");
    let carries = found
        .embedded
        .iter()
        .any(|each| (each.form, each.address.to_string()) == (form, inner.into()));
    assert!(carries, "{address}: {found:?}");
}

#[test]
fn class_17_mapped() {
    carries("::ffff:127.0.0.1", Embedding::Mapped, "127.0.0.1");
    carries("::ffff:7f00:1", Embedding::Mapped, "127.0.0.1");
    hosts_are(
        &["[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::FFFF:7F00:1]"],
        &Ip(Class::Translated),
    );
    hosts_are(
        &["[0:0:0:0:0:ffff:7f00:1]", "[::ffff:7f00:0001]"],
        &Odd(Class::Translated),
    );
}

#[test]
fn class_18_compatible() {
    carries("::127.0.0.1", Embedding::Compatible, "127.0.0.1");
}

#[test]
fn class_19_siit() {
    carries("::ffff:0:127.0.0.1", Embedding::Siit, "127.0.0.1");
}

#[test]
fn class_20_nat64() {
    carries("64:ff9b::10.0.0.1", Embedding::Nat64, "10.0.0.1");
}

#[test]
fn class_21_local_nat64() {
    carries(
        "64:ff9b:1:a9fe:a9:fe00::",
        Embedding::Nat64,
        "169.254.169.254",
    );
    carries("64:ff9b:1:ab0a:0:1::", Embedding::Nat64, "10.0.0.1");
    carries("64:ff9b:1:abcd:a:0:100:0", Embedding::Nat64, "10.0.0.1");
    carries("64:ff9b:1:abcd::10.0.0.1", Embedding::Nat64, "10.0.0.1");
}

#[test]
fn class_22_nat64_of_the_operator() {
    let prefixes = ["2606:4700:64::/96"
        .parse()
        .unwrap_or_else(|_| unreachable!("a prefix"))];
    let classifier =
        Classifier::with_nat64(prefixes.into()).unwrap_or_else(|error| panic!("{error}"));
    let found = classifier.classify(IpAddr::from([
        0x2606, 0x4700, 0x64, 0, 0, 0, 0xa9fe, 0xa9fe,
    ]));
    assert_eq!(found.class, Class::Metadata);
    let found = classifier.classify(IpAddr::from([0x2606, 0x4700, 0x64, 0, 0, 0, 0x0a00, 1]));
    assert_eq!(
        (found.class, found.embedded[0].class),
        (Class::Translated, Class::Private)
    );
}

#[test]
fn class_23_6to4() {
    carries("2002:7f00:1::", Embedding::SixToFour, "127.0.0.1");
    carries("2002:7f00:1::1", Embedding::SixToFour, "127.0.0.1");
}

#[test]
fn class_24_teredo() {
    carries(
        "2001:0:7f00:1:8000:63bf:f7f7:f7f7",
        Embedding::TeredoServer,
        "127.0.0.1",
    );
    carries(
        "2001:0:4136:e378:8000:63bf:80ff:fffe",
        Embedding::TeredoClient,
        "127.0.0.1",
    );
}

#[test]
fn class_25_isatap() {
    carries(
        "2001:4860:0:1:0:5efe:10.0.0.1",
        Embedding::Isatap,
        "10.0.0.1",
    );
    carries(
        "2001:4860:0:1:200:5efe:10.0.0.1",
        Embedding::Isatap,
        "10.0.0.1",
    );
    carries("fe80::5efe:10.0.0.1", Embedding::Isatap, "10.0.0.1");
}

#[test]
fn class_26_site_local() {
    addresses_are(&["fec0::1", "feff:ffff::1"], Class::SiteLocal);
}

#[test]
fn class_27_outside_global_unicast() {
    addresses_are(
        &[
            "1::1", "200::1", "400::1", "800::1", "1fff::1", "4000::1", "f000::1", "fe00::1",
        ],
        Class::Reserved,
    );
}

#[test]
fn class_28_new_registrations() {
    addresses_are(&["3fff::1", "3fff:fff::1"], Class::Documentation);
    addresses_are(&["5f00::1", "100:0:0:1::1"], Class::Protocol);
    addresses_are(&["2001:1::3"], Class::SpecialGlobal);
}

#[test]
fn class_29_zones() {
    hosts_are(
        &["[fe80::1%25eth0]", "[fd00:ec2::254%251]", "[::1%eth0]"],
        &INVALID,
    );
}

#[test]
fn class_30_brackets() {
    hosts_are(&["[::1]"], &Ip(Class::Loopback));
    assert_eq!(see_target(&from_authority("[::1]:80")), Ip(Class::Loopback));
}

// Structure of a URL.

#[test]
fn class_31_userinfo() {
    assert_eq!(
        see("http://allowed.example@127.0.0.1/"),
        Userinfo(Box::new(Ip(Class::Loopback)))
    );
    assert_eq!(
        see("http://:p@example.com/"),
        Userinfo(Box::new(Name("example.com".into())))
    );
    assert_eq!(
        see("http://@8.8.8.8/"),
        Userinfo(Box::new(Ip(Class::Public)))
    );
    assert_eq!(see("http://a@b@8.8.8.8/"), Not(Reason::UrlAmbiguous));
}

#[test]
fn class_32_backslash() {
    let urls = [
        r"http://8.8.8.8\@127.0.0.1/",
        r"http:\\8.8.8.8",
        r"http://example.com\.evil.example/",
    ];
    for url in urls {
        assert_eq!(see(url), Not(Reason::UrlBackslash), "{url}");
    }
}

#[test]
fn class_33_delimiters_before_an_at_sign() {
    assert_eq!(see("http://8.8.8.8#@127.0.0.1/"), Ip(Class::Public));
    assert_eq!(see("http://8.8.8.8?@127.0.0.1/"), Ip(Class::Public));
    assert_eq!(see("http://127.0.0.1#@8.8.8.8/"), Ip(Class::Loopback));
    assert_eq!(
        see("http://8.8.8.8;@127.0.0.1/"),
        Userinfo(Box::new(Ip(Class::Loopback)))
    );
    assert_eq!(see("http://8.8.8.8 &@127.0.0.1/"), Not(Reason::UrlControl));
}

#[test]
fn class_34_control_characters() {
    let urls = [
        " http://8.8.8.8/",
        "ht\ttp://8.8.8.8/",
        "http://8.8\r\n.8.8/",
        "\x01http://8.8.8.8/",
        "http://8.8.8.8/ ",
    ];
    for url in urls {
        assert_eq!(see(url), Not(Reason::UrlControl), "{url:?}");
    }
}

#[test]
fn class_35_slashes() {
    for url in [
        "http:8.8.8.8/",
        "http:/8.8.8.8/",
        "http:////8.8.8.8/",
        "https:8.8.8.8",
    ] {
        assert_eq!(see(url), Not(Reason::UrlAmbiguous), "{url}");
    }
}

#[test]
fn class_36_and_37_locations_that_leave_the_host() {
    let base = from_authority("example.com:80");
    let rows = [
        ("//127.0.0.1/", Ip(Class::Loopback)),
        ("http://127.0.0.1/", Ip(Class::Loopback)),
        ("//0x7f.1", Odd(Class::Loopback)),
        ("//a@127.0.0.1", Userinfo(Box::new(Ip(Class::Loopback)))),
        ("/127.0.0.1", Name("example.com".into())),
        ("http:127.0.0.1", Not(Reason::UrlAmbiguous)),
        ("/\t/127.0.0.1", Not(Reason::UrlControl)),
        (r"/\127.0.0.1", Not(Reason::UrlBackslash)),
    ];
    for (location, expected) in rows {
        let seen = base
            .join(location)
            .map_or_else(|refusal| Not(refusal.reason), |target| see_target(&target));
        assert_eq!(seen, expected, "{location}");
    }
}

#[test]
fn class_38_brackets_around_anything_else() {
    hosts_are(
        &["[v1.127.0.0.1]", "[localhost]", "[127.0.0.1]", "[]"],
        &INVALID,
    );
}

#[test]
fn class_39_delimiters_of_other_scripts() {
    hosts_are(
        &[
            "a／b",
            "a＃b",
            "a？b",
            "a＠b",
            "a：80",
            "a\u{2100}b",
            "a\u{2a74}b",
        ],
        &INVALID,
    );
}

#[test]
fn class_40_ports() {
    hosts_are(
        &[
            "8.8.8.8:80:80",
            "8.8.8.8:65536",
            "8.8.8.8:-1",
            "8.8.8.8:+80",
            "8.8.8.8:８０",
        ],
        &INVALID,
    );
    hosts_are(&["8.8.8.8:0", "8.8.8.8:00"], &Not(Reason::PortZero));
    assert_eq!(
        Target::parse("http://8.8.8.8:00080/").map(|target| target.port()),
        Ok(80)
    );
}

#[test]
fn class_41_line_breaks_in_the_path() {
    assert_eq!(see("http://8.8.8.8/a\r\nX: y"), Not(Reason::UrlControl));
    let encoded = Target::parse("http://8.8.8.8/a%0d%0aX:%20y?%0d%0a");
    assert_eq!(
        encoded.map(|target| target.path_and_query()),
        Ok("/a%0d%0aX:%20y?%0d%0a".into())
    );
}

#[test]
fn class_42_schemes() {
    let schemes = [
        "gopher",
        "dict",
        "file",
        "jar",
        "netdoc",
        "ldap",
        "blob",
        "view-source",
        "unix",
        "http+unix",
    ];
    for scheme in schemes {
        assert_eq!(
            see(&format!("{scheme}://8.8.8.8/")),
            Not(Reason::SchemeUnsupported),
            "{scheme}"
        );
    }
}

// Names.

#[test]
fn class_44_localhost() {
    let spelled = [
        "localhost",
        "a.LOCALHOST",
        "localhost.",
        "local\u{ad}host",
        "ⓛocalhost",
        "loc%61lhost",
    ];
    let named = [
        "ip6-localhost",
        "localhost.localdomain",
        "localhost6",
        "ip6-loopback",
    ];
    for host in spelled.iter().chain(&named) {
        assert!(is_special(host), "{host}");
    }
}

#[test]
fn class_45_and_46_spellings_of_denied_names() {
    let spellings = [
        "metadata.google.internal.",
        "METADATA.google.internal",
        "metadata.google.internal%2e",
        "ｍetadata.google.internal",
        "metadata。google。internal",
    ];
    for host in spellings {
        let Name(name) = see(&format!("http://{host}/")) else {
            panic!("{host}")
        };
        assert_eq!(name, "metadata.google.internal", "{host}");
        assert!(names::is_metadata(&name));
    }
    hosts_are(&["metadata.google.internal.."], &Not(Reason::HostInvalid));
}

#[test]
fn class_49_names_that_other_name_services_answer() {
    for host in [
        "printer.local",
        "db.internal",
        "router.home.arpa",
        "x.onion",
        "x.alt",
    ] {
        assert!(is_special(host), "{host}");
    }
}

fn is_special(host: &str) -> bool {
    match see(&format!("http://{host}/")) {
        Name(name) => names::special_use(&name).is_some(),
        _ => false,
    }
}

fn from_authority(text: &str) -> Target {
    Target::from_authority(pinfold_addr::Scheme::Http, text)
        .unwrap_or_else(|refusal| panic!("{refusal}"))
}
