//! The table that the compiler reads against the data that people review. Reads the data on its own, so
//! that a mistake in the generator shows.
#![expect(clippy::panic, clippy::unwrap_used, reason = "tests")]

use std::net::{IpAddr, Ipv6Addr};

use ipnet::IpNet;
use pinfold_addr::{Class, Classifier, names, registration};

const ADDRESS_SPACE: &str = include_str!("../data/ipv6-address-space.csv");
const IPV4: &str = include_str!("../data/ipv4-special-purpose.csv");
const IPV6: &str = include_str!("../data/ipv6-special-purpose.csv");
const ADDITIONS: &str = include_str!("../data/additions.csv");
const METADATA: &str = include_str!("../data/metadata-addresses.csv");
const NAMES: &str = include_str!("../data/names.csv");

struct Row {
    prefix: IpNet,
    class: Class,
    name: String,
    source: String,
}

/// The most specific row decides, metadata before all; of equal prefixes the later file.
#[test]
fn every_boundary_has_the_class_that_the_data_says() {
    let (registered, metadata) = (registered(), metadata());
    let rows = registered.iter().chain(&metadata);
    let boundaries: Vec<IpAddr> = rows.flat_map(|row| around(row.prefix)).collect();
    assert!(boundaries.len() > 300);
    for address in boundaries {
        let expected =
            most_specific(&metadata, address).or_else(|| most_specific(&registered, address));
        let found = registration(address);
        assert_eq!(
            found.map(|row| (row.prefix, row.class, row.name.into(), row.source.into())),
            expected.map(|row| (row.prefix, row.class, row.name.clone(), row.source.clone())),
            "{address}"
        );
    }
}

/// Whatever is not in the IPv4 data is public; all of IPv6 is in the data.
#[test]
fn what_no_row_holds() {
    let space: u128 = rows(ADDRESS_SPACE, None)
        .iter()
        .map(|row| 1 << (128 - 1 - row.prefix.prefix_len()))
        .sum();
    assert_eq!(
        space,
        1 << 127,
        "the rows of the address space are the whole of IPv6, each half counted"
    );
    let public: Vec<_> = rows(ADDRESS_SPACE, None)
        .into_iter()
        .filter(|row| row.class == Class::Public)
        .collect();
    assert_eq!(
        public
            .iter()
            .map(|row| row.prefix.to_string())
            .collect::<Vec<_>>(),
        ["2000::/3"]
    );
    assert_eq!(registration("8.8.8.8".parse().unwrap()), None);
}

/// No row whose prefix the registry calls not globally reachable may be dialled as if it were.
#[test]
fn what_is_not_globally_reachable_is_not_public() {
    for line in IPV4
        .lines()
        .chain(IPV6.lines())
        .filter(|line| !line.starts_with('#'))
        .skip(1)
    {
        let fields: Vec<_> = line.split(',').collect();
        if fields[2] == "true" || fields[0] == "prefix" {
            continue;
        }
        let prefix: IpNet = fields[0].parse().unwrap();
        for address in [prefix.network(), prefix.broadcast()] {
            let class = Classifier::default().classify(address).class;
            let exempt = registration(address).unwrap().prefix.prefix_len() > prefix.prefix_len();
            assert!(
                exempt || !matches!(class, Class::Public | Class::SpecialGlobal),
                "{address}"
            );
        }
    }
}

#[test]
fn every_metadata_endpoint_is_metadata_in_every_wrapper() {
    let classify = |address: IpAddr| Classifier::default().classify(address).class;
    for row in metadata() {
        for address in [row.prefix.network(), row.prefix.broadcast()] {
            assert_eq!(classify(address), Class::Metadata, "{address}");
            let IpAddr::V4(ip) = address else { continue };
            let low = u128::from(ip.to_bits());
            for wrapper in [
                "::ffff:0:0",
                "::",
                "::ffff:0:0:0",
                "64:ff9b::",
                "64:ff9b:1::",
                "2606:4700::5efe:0:0",
            ] {
                let wrapped = wrapper.parse::<Ipv6Addr>().unwrap().to_bits() | low;
                assert_eq!(
                    classify(Ipv6Addr::from_bits(wrapped).into()),
                    Class::Metadata,
                    "{wrapper} {ip}"
                );
            }
        }
    }
}

#[test]
fn every_name_is_found_and_no_name_like_it() {
    let lines: Vec<Vec<_>> = data_lines(NAMES)
        .map(|line| line.split(',').collect())
        .collect();
    assert!(lines.len() > 40);
    for fields in lines {
        let [name, kind, extent, _source] = fields[..] else {
            panic!("{fields:?}")
        };
        let is_metadata = kind == "metadata";
        assert_eq!(names::is_metadata(name), is_metadata, "{name}");
        assert_eq!(names::special_use(name), Some(name));
        let below = format!("a.b.{name}");
        assert_eq!(
            names::is_metadata(&below),
            is_metadata && extent == "subtree",
            "{below}"
        );
        assert_eq!(
            names::special_use(&below).is_some(),
            extent == "subtree",
            "{below}"
        );
        let public = format!("{name}.example.com");
        assert_eq!(names::special_use(&public), None, "{public}");
    }
}

/// The date and the source stand in each file.
#[test]
fn every_file_says_where_it_is_from() {
    for text in [ADDRESS_SPACE, IPV4, IPV6, ADDITIONS, METADATA, NAMES] {
        let header: String = text
            .lines()
            .take_while(|line| line.starts_with('#'))
            .collect();
        assert!(header.contains("2026-08-22"), "{header}");
    }
}

fn registered() -> Vec<Row> {
    [ADDRESS_SPACE, IPV4, IPV6, ADDITIONS]
        .iter()
        .flat_map(|text| rows(text, None))
        .collect()
}

fn metadata() -> Vec<Row> {
    rows(METADATA, Some(Class::Metadata))
}

fn rows(text: &str, class: Option<Class>) -> Vec<Row> {
    data_lines(text).map(|line| row(line, class)).collect()
}

fn data_lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.starts_with('#')).skip(1)
}

/// First the prefix, last name and source; between them the class, but for metadata.
fn row(line: &str, class: Option<Class>) -> Row {
    let fields: Vec<_> = line.split(',').collect();
    let [.., name, source] = fields[..] else {
        panic!("{line}")
    };
    let named = |name: &str| {
        Class::ALL
            .iter()
            .copied()
            .find(|class| class.as_str() == name)
            .unwrap()
    };
    Row {
        prefix: fields[0].parse().unwrap(),
        class: class.unwrap_or_else(|| named(fields[1])),
        name: name.into(),
        source: source.into(),
    }
}

fn most_specific(rows: &[Row], address: IpAddr) -> Option<&Row> {
    // `max_by_key` takes the last of equals: the later file.
    rows.iter()
        .filter(|row| row.prefix.contains(&address))
        .max_by_key(|row| row.prefix.prefix_len())
}

/// First and last address, and the neighbours outside.
fn around(prefix: IpNet) -> Vec<IpAddr> {
    let step = |address: IpAddr, up: bool| match address {
        IpAddr::V4(ip) => {
            let bits = if up {
                ip.to_bits().checked_add(1)
            } else {
                ip.to_bits().checked_sub(1)
            };
            bits.map(|bits| IpAddr::V4(bits.into()))
        }
        IpAddr::V6(ip) => {
            let bits = if up {
                ip.to_bits().checked_add(1)
            } else {
                ip.to_bits().checked_sub(1)
            };
            bits.map(|bits| IpAddr::V6(bits.into()))
        }
    };
    let (first, last) = (prefix.network(), prefix.broadcast());
    [
        Some(first),
        Some(last),
        step(first, false),
        step(last, true),
    ]
    .into_iter()
    .flatten()
    .collect()
}
