//! Between our types and those of the contract, in `wit/`.
//!
//! On the way in nothing is copied: the policy's memory gets our strings. On the way out everything
//! is checked: what a policy says ends in logs, metrics and limits.

use std::{net::IpAddr, time::Duration};

use pinfold_addr::{Class, Domain, Embedded, Embedding, Host, Reason, Spelling, Stage, Target};

use super::{
    fault::tidy,
    limits::{CODE_BYTES, LABEL_BYTES, LABELS, MESSAGE_BYTES, METHOD_BYTES, SUBJECT_BYTES},
};
use crate::{Denial, JudgedAddress, Request, Terms};

pub(super) use generated::{
    Policy, PolicyPre, exports::pinfold::policy::settings::Description as RawDescription,
    exports::pinfold::policy::settings::Problem as RawProblem, pinfold::policy::types as wit,
};

mod generated {
    wasmtime::component::bindgen!({
        path: "../wit",
        world: "policy",
        ownership: Borrowing { duplicate_if_necessary: false },
    });
}

/// The labels of a request in the shape of the contract.
pub(super) type Labels<'a> = Vec<(&'a str, &'a str)>;

/// Why a policy is not asked about this request, when the embedder added more than one takes.
pub(crate) fn oversized(request: &Request) -> Option<Denial> {
    labels(request).err()
}

/// The labels, when all that the embedder added is within its bounds.
pub(super) fn labels(request: &Request) -> Result<Labels<'_>, Denial> {
    let len = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    let octets: usize = request.labels.iter().map(|(k, v)| k.len() + v.len()).sum();
    let too_large = [
        ("method", len(&request.method), METHOD_BYTES),
        ("subject", len(&request.subject), SUBJECT_BYTES),
        ("number of labels", request.labels.len(), LABELS),
        ("labels", octets, LABEL_BYTES),
    ]
    .into_iter()
    .find(|(_, size, limit)| size > limit);
    match too_large {
        Some((what, size, limit)) => Err(Denial::new(
            Reason::RequestOversized,
            format!("{what}: {size}, at most {limit}"),
        )),
        None => Ok(request
            .labels
            .iter()
            .map(|(k, v)| (k.as_str(), v.as_str()))
            .collect()),
    }
}

/// A request in the shape of the contract.
pub(super) fn request<'a>(request: &'a Request, labels: &'a Labels<'a>) -> wit::Request<'a> {
    wit::Request {
        target: target(&request.target),
        method: request.method.as_deref(),
        subject: request.subject.as_deref(),
        labels,
        hop: request.hop,
        previous: request.previous.as_ref().map(target),
    }
}

fn target(target: &Target) -> wit::Target<'_> {
    wit::Target {
        scheme: target.scheme().as_str(),
        host: match target.host() {
            Host::Domain(name) => wit::TargetHost::Domain(name.as_str()),
            Host::Ip(ip) => wit::TargetHost::Ip(ip_address(*ip)),
        },
        port: target.port(),
        path: target.path(),
        query: target.query(),
        spelling: spelling(target.spelling()),
    }
}

fn spelling(spelling: Spelling) -> wit::Spelling {
    let mut flags = wit::Spelling::empty();
    if spelling.userinfo {
        flags |= wit::Spelling::USERINFO;
    }
    if spelling.non_canonical_literal {
        flags |= wit::Spelling::NON_CANONICAL_LITERAL;
    }
    flags
}

/// Embedded addresses of each answer, in the shape of the contract.
pub(super) fn embedded(answers: &[JudgedAddress]) -> Vec<Vec<wit::Embedded>> {
    let one = |answer: &JudgedAddress| answer.embedded.iter().map(one_embedded).collect();
    answers.iter().map(one).collect()
}

/// The aliases, in the shape of the contract.
pub(super) fn chain(chain: &[Domain]) -> Vec<&str> {
    chain.iter().map(Domain::as_str).collect()
}

/// The answers, in the shape of the contract; `embedded` comes from [`embedded`].
pub(super) fn answers<'a>(
    answers: &[JudgedAddress],
    embedded: &'a [Vec<wit::Embedded>],
) -> Vec<wit::Answer<'a>> {
    answers
        .iter()
        .zip(embedded)
        .map(|(answer, embedded)| wit::Answer {
            address: ip_address(answer.address),
            class: class(answer.class),
            embedded,
            granted: answer.granted,
        })
        .collect()
}

fn one_embedded(embedded: &Embedded) -> wit::Embedded {
    wit::Embedded {
        form: embedding(embedded.form),
        address: embedded.address.octets().into(),
        class: class(embedded.class),
    }
}

fn ip_address(ip: IpAddr) -> wit::IpAddress {
    match ip {
        IpAddr::V4(ip) => wit::IpAddress::Ipv4(ip.octets().into()),
        IpAddr::V6(ip) => wit::IpAddress::Ipv6(ip.segments().into()),
    }
}

fn class(class: Class) -> wit::AddressClass {
    match class {
        Class::Public => wit::AddressClass::Public,
        Class::Unspecified => wit::AddressClass::Unspecified,
        Class::Loopback => wit::AddressClass::Loopback,
        Class::Private => wit::AddressClass::Private,
        Class::Shared => wit::AddressClass::Shared,
        Class::LinkLocal => wit::AddressClass::LinkLocal,
        Class::UniqueLocal => wit::AddressClass::UniqueLocal,
        Class::SiteLocal => wit::AddressClass::SiteLocal,
        Class::Multicast => wit::AddressClass::Multicast,
        Class::Broadcast => wit::AddressClass::Broadcast,
        Class::Documentation => wit::AddressClass::Documentation,
        Class::Benchmarking => wit::AddressClass::Benchmarking,
        Class::Protocol => wit::AddressClass::Protocol,
        Class::SpecialGlobal => wit::AddressClass::SpecialGlobal,
        Class::Translated => wit::AddressClass::Translated,
        Class::Tunnelled => wit::AddressClass::Tunnelled,
        Class::Reserved => wit::AddressClass::Reserved,
        Class::Metadata => wit::AddressClass::Metadata,
    }
}

fn embedding(form: Embedding) -> wit::Embedding {
    match form {
        Embedding::Mapped => wit::Embedding::Mapped,
        Embedding::Compatible => wit::Embedding::Compatible,
        Embedding::Siit => wit::Embedding::Siit,
        Embedding::Nat64 => wit::Embedding::Nat64,
        Embedding::SixToFour => wit::Embedding::SixToFour,
        Embedding::TeredoServer => wit::Embedding::TeredoServer,
        Embedding::TeredoClient => wit::Embedding::TeredoClient,
        Embedding::Isatap => wit::Embedding::Isatap,
    }
}

/// Stage one's answer: the terms, or a refusal. The outer error is a malformed answer.
pub(super) fn decision(
    decision: wit::Decision,
    host: &Host,
) -> Result<Result<Terms, Denial>, Denial> {
    match decision {
        wit::Decision::Allow(raw) => Ok(Ok(terms(raw))),
        wit::Decision::Deny(raw) => {
            let denial = denial(raw, Stage::Name)?;
            match denial
                .reason()
                .is_some_and(|reason| is_of_answers(reason, host))
            {
                true => malformed(format!(
                    "the code `{}` is about addresses that were looked up, and none were",
                    denial.code()
                )),
                false => Ok(Err(denial)),
            }
        }
    }
}

/// Stage two's answer for one address: none when it may be dialled. The outer error is a malformed
/// answer.
pub(super) fn verdict(verdict: wit::Verdict, stage: Stage) -> Result<Option<Denial>, Denial> {
    match verdict {
        wit::Verdict::Allow => Ok(None),
        wit::Verdict::Deny(raw) => denial(raw, stage).map(|denial| Some(denial.at(stage))),
    }
}

fn terms(raw: wit::Terms) -> Terms {
    let millis = |ms: u32| Duration::from_millis(ms.into());
    Terms {
        connect_timeout: raw.connect_timeout_ms.map(millis),
        total_timeout: raw.total_timeout_ms.map(millis),
        response_bytes: raw.response_kib.map(|kib| u64::from(kib) << 10),
        redirects: raw.redirects,
        https_only: raw.https_only,
    }
}

fn denial(raw: wit::Denial, stage: Stage) -> Result<Denial, Denial> {
    if !is_code(&raw.code) {
        return malformed(format!("`{}` is no code", tidy(&raw.code, CODE_BYTES)));
    }
    if raw.message.len() > MESSAGE_BYTES {
        let size = raw.message.len();
        return malformed(format!(
            "a message of {size} octets, at most {MESSAGE_BYTES}"
        ));
    }
    if Reason::from_code(&raw.code).is_some_and(is_ours) {
        return malformed(format!("the code `{}` belongs to the host", raw.code));
    }
    let message = tidy(&raw.message, MESSAGE_BYTES);
    Ok(Denial::from_policy(stage, raw.code, message))
}

fn malformed<T>(what: String) -> Result<T, Denial> {
    Err(Denial::new(Reason::PolicyOutput, what))
}

fn is_code(code: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=CODE_BYTES).contains(&code.len()) && code.bytes().all(plain)
}

/// What only the host can know. A policy that answered one of these would write in the host's name:
/// that it trapped, that DNS failed, or that a peer was not the one that was pinned.
pub(crate) fn is_ours(reason: Reason) -> bool {
    match reason {
        Reason::LiteralNotCanonical
        | Reason::PolicyMissing
        | Reason::AnswersMixed
        | Reason::ChainNameDenied => false,
        Reason::AddressFloor | Reason::AddressOwn | Reason::AddressScoped => true,
        other => matches!(
            other.stage(),
            Stage::Connect
                | Stage::Exchange
                | Stage::Parse
                | Stage::Policy
                | Stage::Redirect
                | Stage::Resolve
        ),
    }
}

/// What can only be said of the answers to a lookup. In stage one it would tell of one that never was; the address
/// of a literal is known.
fn is_of_answers(reason: Reason, host: &Host) -> bool {
    match reason.stage() {
        Stage::Resolve => true,
        Stage::Address => host.ip().is_none(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(code: &str, message: &str) -> wit::Denial {
        wit::Denial {
            code: code.into(),
            message: message.into(),
        }
    }

    #[test]
    fn a_denial_of_a_policy_is_checked() {
        let long = "a".repeat(CODE_BYTES + 1);
        let words = "a".repeat(MESSAGE_BYTES + 1);
        for (name, code, message, ok) in [
            ("of the registry", "host-denied", "listed", true),
            ("its own", "tenant-42-suspended", "", true),
            ("longest code", &long[1..], "m", true),
            ("longest message", "code", &words[1..], true),
            ("empty code", "", "m", false),
            ("long code", &long, "m", false),
            ("upper case", "Host", "m", false),
            ("white space", "host denied", "m", false),
            ("not ASCII", "h\u{f6}st", "m", false),
            ("long message", "code", &words, false),
            ("in the host's name", "policy-trapped", "m", false),
            ("in the socket's name", "peer-mismatch", "m", false),
            ("in the parser's name", "url-ambiguous", "m", false),
            ("in the resolver's name", "resolve-timeout", "m", false),
            ("in the floor's name", "address-floor", "m", false),
            ("spelling", "literal-not-canonical", "m", true),
            ("alias", "chain-name-denied", "m", true),
        ] {
            let denial = denial(raw(code, message), Stage::Name);
            assert_eq!(denial.is_ok(), ok, "{name}");
            if let Err(denial) = denial {
                assert_eq!(denial.reason(), Some(Reason::PolicyOutput), "{name}");
            }
        }
    }

    #[test]
    fn stage_one_says_nothing_of_answers() {
        let name = Host::Domain(Domain::parse("a.example").unwrap());
        let literal = Host::Ip("10.0.0.1".parse().unwrap());
        for (row, code, host, ok) in [
            ("mixed answers of a name", "answers-mixed", &name, false),
            (
                "mixed answers of a literal",
                "answers-mixed",
                &literal,
                false,
            ),
            ("an alias", "chain-name-denied", &name, false),
            ("an address of a name", "address-not-public", &name, false),
            ("a literal", "address-not-public", &literal, true),
            ("the name", "host-denied", &name, true),
            ("its own words", "not-in-business-hours", &name, true),
        ] {
            let denied = wit::Decision::Deny(raw(code, "m"));
            let answer = decision(denied, host);
            assert_eq!(answer.is_ok(), ok, "{row}");
            if let Err(denial) = answer {
                assert_eq!(denial.reason(), Some(Reason::PolicyOutput), "{row}");
            }
        }
    }

    #[test]
    fn an_address_of_a_name_is_refused_at_stage_resolve() {
        let verdict = verdict(
            wit::Verdict::Deny(raw("address-not-public", "m")),
            Stage::Resolve,
        );
        let denial = verdict.unwrap().unwrap();
        assert_eq!(
            (denial.stage(), denial.code()),
            (Stage::Resolve, "address-not-public")
        );
    }

    #[test]
    fn terms_keep_their_units() {
        let raw = wit::Terms {
            connect_timeout_ms: Some(1_500),
            total_timeout_ms: None,
            response_kib: Some(u32::MAX),
            redirects: Some(0),
            https_only: true,
        };
        let terms = terms(raw);
        assert_eq!(terms.connect_timeout, Some(Duration::from_millis(1_500)));
        assert_eq!(terms.total_timeout, None);
        assert_eq!(terms.response_bytes, Some(4_398_046_510_080));
        assert_eq!(terms.redirects, Some(0));
        assert!(terms.https_only);
    }
}
