//! The name in a certificate: its SPIFFE identifier, else its first DNS name, else its common name.

use std::borrow::Cow;

use x509_parser::{certificate::X509Certificate, extensions::GeneralName, prelude::FromDer};

use super::STAGE;
use crate::{
    client::Client,
    config::SubjectName,
    refusal::{Kind, Refusal},
};

/// Who the certificate of a client names; none when there is no certificate, or no name in it.
///
/// The certificate was verified in the handshake. Its names are what an authority signed, yet they are read
/// strictly: a name that looks like another one, or one of several, is refused.
pub(super) fn name(client: &Client) -> Result<Option<SubjectName>, Refusal> {
    let Some(der) = &client.certificate else {
        return Ok(None);
    };
    read(der).map_err(Wrong::refusal)
}

/// Whether the certificate is still what it was in the handshake: neither expired nor revoked, of an authority that
/// counts. So is none.
pub(super) fn holds(client: &Client) -> bool {
    client
        .certificate
        .as_ref()
        .is_none_or(|proof| proof.holds())
}

/// What is wrong with a certificate.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Wrong {
    /// It says two things of whose it is.
    Ambiguous,
    /// It, or the name, cannot be read.
    Unusable,
}

impl Wrong {
    fn refusal(self) -> Refusal {
        match self {
            Self::Ambiguous => Refusal::new(Kind::Denied, STAGE, "certificate-ambiguous").hint(
                "give the client a certificate with one SPIFFE identifier, or one common name",
            ),
            Self::Unusable => Refusal::new(Kind::Denied, STAGE, "certificate-unusable")
                .hint("give the client a certificate whose name is printable and well-formed"),
        }
    }
}

fn read(der: &[u8]) -> Result<Option<SubjectName>, Wrong> {
    let (rest, certificate) = X509Certificate::from_der(der).map_err(|_| Wrong::Unusable)?;
    if !rest.is_empty() {
        return Err(Wrong::Unusable);
    }
    let names = alternative_names(&certificate)?;
    let name = match spiffe(&names)? {
        Some(id) => Some(Cow::Borrowed(id)),
        None => match dns(&names)? {
            Some(name) => Some(Cow::Owned(name)),
            None => common_name(&certificate)?.map(Cow::Borrowed),
        },
    };
    let parsed = name.map(|name| name.parse::<SubjectName>());
    parsed.transpose().map_err(|_| Wrong::Unusable)
}

fn alternative_names<'a>(
    certificate: &'a X509Certificate<'_>,
) -> Result<Vec<&'a GeneralName<'a>>, Wrong> {
    // An error when there are two extensions of the kind, or one that cannot be read.
    let found = certificate.subject_alternative_name();
    let Some(names) = found.map_err(|_| Wrong::Unusable)? else {
        return Ok(Vec::new());
    };
    let names: Vec<_> = names.value.general_names.iter().collect();
    let unread = names
        .iter()
        .any(|name| matches!(name, GeneralName::Invalid(..)));
    match unread {
        true => Err(Wrong::Unusable),
        false => Ok(names),
    }
}

/// A SPIFFE certificate has exactly one URI (X509-SVID, section 2).
fn spiffe<'a>(names: &[&'a GeneralName<'a>]) -> Result<Option<&'a str>, Wrong> {
    let uris: Vec<&str> = names.iter().filter_map(uri).collect();
    let is_spiffe = |uri: &&str| {
        let scheme = uri.get(..SPIFFE.len());
        scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case(SPIFFE))
    };
    match (uris.iter().any(is_spiffe), &uris[..]) {
        (false, _) => Ok(None),
        (true, [id]) if is_spiffe_id(id) => Ok(Some(*id)),
        (true, [_]) => Err(Wrong::Unusable),
        (true, _) => Err(Wrong::Ambiguous),
    }
}

fn uri<'a>(name: &&'a GeneralName<'a>) -> Option<&'a str> {
    match name {
        GeneralName::URI(uri) => Some(uri),
        _ => None,
    }
}

/// `spiffe://TRUST-DOMAIN/PATH` (SPIFFE-ID, section 2). Without a path it names a domain, not a workload.
fn is_spiffe_id(text: &str) -> bool {
    let rest = text.strip_prefix(SPIFFE);
    let Some((domain, path)) = rest.and_then(|rest| rest.split_once('/')) else {
        return false;
    };
    let domain_byte = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-._".contains(&b);
    (1..=255).contains(&domain.len())
        && domain.bytes().all(domain_byte)
        && path.split('/').all(is_segment)
}

fn is_segment(segment: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
    !matches!(segment, "" | "." | "..") && segment.bytes().all(fits)
}

/// The first DNS name, in lower case.
fn dns(names: &[&GeneralName<'_>]) -> Result<Option<String>, Wrong> {
    let first = names.iter().find_map(|name| match name {
        GeneralName::DNSName(name) => Some(*name),
        _ => None,
    });
    let Some(name) = first else {
        return Ok(None);
    };
    // A wildcard names nobody in particular.
    let label = |label: &str| {
        let byte = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        (1..=63).contains(&label.len()) && label.bytes().all(byte)
    };
    match name.len() <= 253 && name.split('.').all(label) {
        true => Ok(Some(name.to_ascii_lowercase())),
        false => Err(Wrong::Unusable),
    }
}

fn common_name<'a>(certificate: &'a X509Certificate<'_>) -> Result<Option<&'a str>, Wrong> {
    let mut names = certificate.subject().iter_common_name();
    match (names.next(), names.next()) {
        (None, _) => Ok(None),
        (Some(name), None) => name.as_str().map(Some).map_err(|_| Wrong::Unusable),
        (Some(_), Some(_)) => Err(Wrong::Ambiguous),
    }
}

const SPIFFE: &str = "spiffe://";

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SanType};

    use super::*;

    fn certificate(common: &[&str], alternative: Vec<SanType>) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        // The same attribute under two keys: a certificate may have it twice.
        let again = || DnType::CustomDnType(vec![2, 5, 4, 3]);
        for (name, kind) in common.iter().zip([DnType::CommonName, again()]) {
            params.distinguished_name.push(kind, *name);
        }
        params.subject_alt_names = alternative;
        let key = KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().to_vec()
    }

    fn uri(text: &str) -> SanType {
        SanType::URI(text.try_into().unwrap())
    }

    fn dns(text: &str) -> SanType {
        SanType::DnsName(text.try_into().unwrap())
    }

    #[test]
    fn the_name_is_the_spiffe_id_then_a_dns_name_then_the_common_name() {
        let id = "spiffe://example.org/ns/web/sa/front";
        let long = "a".repeat(SubjectName::MAX);
        let long = format!("spiffe://example.org/{long}");
        for (row, common, alternative, expected) in [
            (
                "all three",
                &["cn"][..],
                vec![dns("a.test"), uri(id)],
                Ok(Some(id)),
            ),
            (
                "dns",
                &["cn"],
                vec![dns("A.test"), dns("b.test")],
                Ok(Some("a.test")),
            ),
            ("common", &["Batch Job 7"], vec![], Ok(Some("Batch Job 7"))),
            (
                "two common names",
                &["a", "b"],
                vec![],
                Err(Wrong::Ambiguous),
            ),
            ("no name", &[], vec![], Ok(None)),
            (
                "another uri",
                &["cn"],
                vec![uri("https://a.test/")],
                Ok(Some("cn")),
            ),
            (
                "two ids",
                &["cn"],
                vec![uri(id), uri("spiffe://example.org/b")],
                Err(Wrong::Ambiguous),
            ),
            (
                "an id and a uri",
                &[],
                vec![uri("urn:a"), uri(id)],
                Err(Wrong::Ambiguous),
            ),
            (
                "no path",
                &["cn"],
                vec![uri("spiffe://example.org")],
                Err(Wrong::Unusable),
            ),
            (
                "empty path",
                &["cn"],
                vec![uri("spiffe://example.org/")],
                Err(Wrong::Unusable),
            ),
            (
                "dots",
                &["cn"],
                vec![uri("spiffe://example.org/a/../b")],
                Err(Wrong::Unusable),
            ),
            (
                "a port",
                &["cn"],
                vec![uri("spiffe://example.org:1/a")],
                Err(Wrong::Unusable),
            ),
            (
                "a user",
                &["cn"],
                vec![uri("spiffe://a@example.org/a")],
                Err(Wrong::Unusable),
            ),
            (
                "a query",
                &["cn"],
                vec![uri("spiffe://example.org/a?b")],
                Err(Wrong::Unusable),
            ),
            (
                "upper case",
                &["cn"],
                vec![uri("SPIFFE://example.org/a")],
                Err(Wrong::Unusable),
            ),
            ("too long", &["cn"], vec![uri(&long)], Err(Wrong::Unusable)),
            (
                "wildcard",
                &["cn"],
                vec![dns("*.test")],
                Err(Wrong::Unusable),
            ),
            (
                "empty label",
                &["cn"],
                vec![dns("a..test")],
                Err(Wrong::Unusable),
            ),
            ("line feed", &["a\nb"], vec![], Err(Wrong::Unusable)),
            ("nul", &["a\0.test"], vec![], Err(Wrong::Unusable)),
            ("space", &[" a"], vec![], Err(Wrong::Unusable)),
            ("direction", &["a\u{202e}b"], vec![], Err(Wrong::Unusable)),
        ] {
            let name = read(&certificate(common, alternative));
            let name = name.as_ref().map(|name| name.as_deref());
            assert_eq!(name, expected.as_ref().copied(), "{row}");
        }
    }

    #[test]
    fn what_is_no_certificate_names_nobody() {
        let mut trailing = certificate(&["a"], vec![]);
        trailing.push(0);
        for der in [&b""[..], b"\x30\x03", &trailing] {
            assert_eq!(read(der), Err(Wrong::Unusable));
        }
    }
}
