//! Names that have no meaning on the public internet, and names of metadata endpoints.
//!
//! Both functions take a canonical name (see [`Domain`](crate::Domain)): ASCII, lower case, no root
//! dot. Their cost grows with the number of labels only.

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

/// A row of the table of names, which is sorted by name.
#[derive(Debug)]
pub(crate) struct Name {
    name: &'static str,
    below: bool,
}

impl Name {
    /// The name alone.
    pub(crate) const fn exact(name: &'static str) -> Self {
        Self { name, below: false }
    }

    /// The name and all names below it.
    pub(crate) const fn subtree(name: &'static str) -> Self {
        Self { name, below: true }
    }
}

/// Asks for the name, then for the name without its first label, and so on.
fn find(table: &'static [Name], name: &str) -> Option<&'static str> {
    core::iter::successors(Some(name), |suffix| {
        suffix.split_once('.').map(|(_, parent)| parent)
    })
    .filter_map(|suffix| named(table, suffix))
    .find(|row| row.below || row.name.len() == name.len())
    .map(|row| row.name)
}

fn named(table: &'static [Name], name: &str) -> Option<&'static Name> {
    let at = table.binary_search_by(|row| row.name.cmp(name)).ok()?;
    table.get(at)
}

#[cfg(test)]
mod tests {
    use std::{format, vec::Vec};

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

    /// The search is binary: an unsorted table would hide names.
    #[test]
    fn tables_are_sorted() {
        for table in [tables::METADATA_NAMES, tables::SPECIAL_USE_NAMES] {
            assert!(table.is_sorted_by_key(|row| row.name));
            let mut names = table.iter().map(|row| row.name).collect::<Vec<_>>();
            names.dedup();
            assert_eq!(names.len(), table.len());
        }
    }
}
