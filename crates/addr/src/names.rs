//! Names that have no meaning on the public internet, and names of metadata endpoints.
//!
//! Both functions take a canonical name (see [`Domain`](crate::Domain)): ASCII, lower case, no root
//! dot. Their cost does not grow with the name.

use crate::tables;

/// Whether `name` is, or is below, that of a metadata endpoint of a cloud provider.
///
/// ```
/// assert!(pinfold_addr::names::is_metadata("metadata.google.internal"));
/// assert!(!pinfold_addr::names::is_metadata("metadata.google.internal.example.com"));
/// ```
pub fn is_metadata(name: &str) -> bool {
    find(tables::METADATA_NAMES, name).is_some()
}

/// The special-use name that `name` is or is below: reserved by an RFC or by ICANN, found in common hosts
/// files, or in common use inside private networks. Metadata names of single providers count.
///
/// ```
/// use pinfold_addr::names::special_use;
///
/// assert_eq!(special_use("printer.local"), Some("local"));
/// assert_eq!(special_use("local.example.com"), None);
/// ```
pub fn special_use(name: &str) -> Option<&'static str> {
    find(tables::METADATA_NAMES, name).or_else(|| find(tables::SPECIAL_USE_NAMES, name))
}

/// A row of a table of names.
#[derive(Debug)]
pub(crate) struct Name {
    name: &'static str,
    below: bool,
    tail: Tail,
}

/// The last octets of a name. Names are told apart by it in one comparison, nearly always.
type Tail = [u8; 4];

impl Name {
    /// The name alone.
    pub(crate) const fn exact(name: &'static str) -> Self {
        Self {
            name,
            below: false,
            tail: tail(name),
        }
    }

    /// The name and all names below it.
    pub(crate) const fn subtree(name: &'static str) -> Self {
        Self {
            name,
            below: true,
            tail: tail(name),
        }
    }

    /// Whether `name` is this one, or below it where that counts.
    fn covers(&self, name: &str) -> bool {
        name.strip_suffix(self.name)
            .is_some_and(|front| front.is_empty() || self.below && front.ends_with('.'))
    }
}

/// A shorter name is filled up with dots: one stands before it in a name below it, too.
const fn tail(name: &str) -> Tail {
    match name.as_bytes() {
        [.., a, b, c, d] => [*a, *b, *c, *d],
        [b, c, d] => [b'.', *b, *c, *d],
        _ => [b'.'; 4],
    }
}

/// The longest row that covers the name.
fn find(table: &'static [Name], name: &str) -> Option<&'static str> {
    let tail = tail(name);
    let alike = table.iter().filter(|row| row.tail == tail);
    let covering = alike.filter(|row| row.covers(name)).map(|row| row.name);
    covering.max_by_key(|name| name.len())
}

#[cfg(test)]
mod tests {
    use std::{borrow::ToOwned, format};

    use super::*;

    #[test]
    fn metadata_names() {
        let rows = [
            ("metadata.google.internal", true),
            ("x.metadata.google.internal", true),
            ("metadata.goog", true),
            ("metadata", true),
            ("metadata.example.com", false),
            ("a.metadata", false),
            ("xmetadata.google.internal", false),
            ("google.internal", false),
            ("host.docker.internal", false),
            ("", false),
        ];
        for (name, expected) in rows {
            assert_eq!(is_metadata(name), expected, "{name}");
        }
    }

    #[test]
    fn special_use_names() {
        let rows = [
            ("localhost", Some("localhost")),
            ("a.localhost", Some("localhost")),
            ("localhost.localdomain", Some("localdomain")),
            ("ip6-localhost", Some("ip6-localhost")),
            ("a.ip6-localhost", None),
            ("printer.local", Some("local")),
            ("app.default.svc.cluster.local", Some("cluster.local")),
            ("app.default.svc", Some("svc")),
            ("consul.service.consul", Some("consul")),
            ("db.corp.internal", Some("internal")),
            ("metadata", Some("metadata")),
            ("router.home.arpa", Some("home.arpa")),
            ("kubernetes.default", Some("kubernetes.default")),
            ("a.eap.arpa", Some("eap.arpa")),
            ("1.0.0.127.in-addr.arpa", Some("in-addr.arpa")),
            ("1.0.0.0.ip6.arpa", Some("ip6.arpa")),
            ("a.arpa", None),
            ("app.default", None),
            ("use-application-dns.net", None),
            ("example", None),
            ("example.com", None),
            ("local.example.com", None),
            ("notlocal", None),
            ("internal.", None),
        ];
        for (name, expected) in rows {
            assert_eq!(special_use(name), expected, "{name}");
        }
    }

    #[test]
    fn a_name_of_many_labels_is_looked_at_whole() {
        let name = format!("{}localhost", "a.".repeat(1_000));
        assert_eq!(special_use(&name), Some("localhost"));
    }

    /// A name of fewer octets than a tail has would never be found.
    #[test]
    fn every_row_finds_itself() {
        for table in [tables::METADATA_NAMES, tables::SPECIAL_USE_NAMES] {
            for row in table {
                assert_eq!(find(table, row.name), Some(row.name));
                let below = format!("a.{}", row.name);
                assert_eq!(find(table, &below) == Some(row.name), row.below, "{below}");
                assert!(!row.covers(&format!("a{}", row.name)), "{}", row.name);
            }
        }
    }

    /// What the tables mean, suffix by suffix.
    #[test]
    fn a_look_up_finds_what_a_search_finds() {
        let labels = [
            "a",
            "com",
            "goog",
            "metadata",
            "internal",
            "local",
            "svc",
            "cluster",
            "localhost4",
        ];
        let two = labels
            .map(|one| labels.map(|two| format!("{one}.{two}")))
            .concat();
        let three = two
            .iter()
            .flat_map(|two| labels.map(|one| format!("{one}.{two}")));
        let names = three
            .chain(two.iter().cloned())
            .chain(labels.map(str::to_owned));
        for name in names {
            for table in [tables::METADATA_NAMES, tables::SPECIAL_USE_NAMES] {
                let starts =
                    core::iter::once(0).chain(name.match_indices('.').map(|(at, _)| at + 1));
                let expected = starts.filter_map(|start| {
                    let is_row =
                        |row: &&Name| row.name == &name[start..] && (start == 0 || row.below);
                    table.iter().find(is_row)
                });
                let expected = expected.map(|row| row.name).next();
                assert_eq!(find(table, &name), expected, "{name}");
            }
        }
    }
}
