//! The parts of the corpus that this crate decides alone: does the URL parse, and what is the address?
//! Names, answers and redirects are judged end to end elsewhere.
#![cfg(feature = "target")]
#![expect(clippy::unwrap_used, reason = "tests")]

use std::net::IpAddr;

use pinfold_addr::{Class, Classifier, Host, Reason, Scheme, Target, names};
use serde_json::Value;

const CORPUS: &str = include_str!("../../../tests/vectors/corpus.jsonl");

#[test]
fn a_url_is_invalid_exactly_when_the_corpus_says_so() {
    for case in cases("url") {
        let reason = Target::parse(case.text("url"))
            .err()
            .map(|refusal| refusal.reason);
        let invalid = case.text("expect") == "invalid";
        assert_eq!(
            reason == Some(Reason::UrlInvalid),
            invalid,
            "{}: {reason:?}",
            case.text("id")
        );
    }
}

/// What must be allowed parses and carries nothing that the default policy refuses, but where experts
/// disagree.
#[test]
fn what_must_be_allowed_is_unremarkable() {
    for case in cases("url").filter(|case| case.text("expect") == "allow" && !case.is_debatable()) {
        let id = case.text("id");
        let target =
            Target::parse(case.text("url")).unwrap_or_else(|refusal| panic!("{id}: {refusal}"));
        assert_eq!(target.spelling(), pinfold_addr::Spelling::default(), "{id}");
        match target.host() {
            Host::Ip(ip) => assert_eq!(class(*ip), Class::Public, "{id}"),
            Host::Domain(name) => assert_eq!(names::special_use(name.as_str()), None, "{id}"),
        }
    }
}

/// A URL that must be denied and names no answers is denied for what it says itself.
#[test]
fn what_must_be_denied_without_an_answer_is_remarkable() {
    for case in
        cases("url").filter(|case| case.text("expect") == "deny" && case.is_self_contained())
    {
        let Ok(target) = Target::parse(case.text("url")) else {
            continue;
        };
        let spelling = target.spelling();
        let host = match target.host() {
            Host::Ip(ip) => class(*ip) != Class::Public,
            Host::Domain(name) => {
                names::special_use(name.as_str()).is_some() || name.is_single_label()
            }
        };
        let scheme = !matches!(target.scheme(), Scheme::Http | Scheme::Https);
        let remarkable = host || scheme || spelling.userinfo || spelling.non_canonical_literal;
        assert!(remarkable, "{}: {target}", case.text("id"));
    }
}

#[test]
fn addresses_have_the_class_that_decides() {
    for case in cases("ip") {
        let id = case.text("id");
        // Zones are refused before an address is made of the text.
        let Ok(ip) = case.text("ip").parse::<IpAddr>() else {
            assert!(case.text("ip").contains('%'), "{id}");
            continue;
        };
        let is_public = class(ip) == Class::Public;
        let allowed = case.text("expect") == "allow";
        assert!(
            is_public == allowed || case.is_debatable(),
            "{id}: {}",
            class(ip)
        );
    }
}

/// Where the corpus says what WHATWG reads, we read the same, but for the root dot.
#[test]
fn hosts_are_those_of_whatwg() {
    for case in cases("whatwg_host") {
        let Ok(target) = Target::parse(case.text("url")) else {
            continue;
        };
        let whatwg = Target::parse(&format!("http://{}/", case.text("whatwg_host"))).unwrap();
        assert_eq!(target.host(), whatwg.host(), "{}", case.text("id"));
    }
}

/// The corpus expects the answer of the next hop; what is decided here is whether it may be read at all.
#[test]
fn locations_are_judged() {
    for case in cases("redirects_to").filter(|case| case.text("expect") == "allow") {
        let base = Target::parse(case.text("url")).unwrap();
        assert!(
            base.join(case.text("redirects_to")).is_ok(),
            "{}",
            case.text("id")
        );
    }
    let base = Target::parse("http://redirector.example.net/").unwrap();
    assert_eq!(
        base.join("http:127.0.0.1").unwrap_err().reason,
        Reason::UrlAmbiguous
    );
}

fn class(ip: IpAddr) -> Class {
    Classifier::default().classify(ip).class
}

struct Case(Value);

fn cases(field: &'static str) -> impl Iterator<Item = Case> {
    let all: Vec<Case> = CORPUS
        .lines()
        .map(|line| Case(serde_json::from_str(line).unwrap()))
        .collect();
    assert!(all.len() >= 320, "the corpus is whole");
    all.into_iter()
        .filter(move |case| case.0.get(field).is_some())
}

impl Case {
    fn text(&self, field: &str) -> &str {
        self.0[field].as_str().unwrap()
    }

    fn is_debatable(&self) -> bool {
        self.0["debatable"].as_bool().unwrap_or(false)
    }

    fn is_self_contained(&self) -> bool {
        ["resolves_to", "redirects_to"]
            .iter()
            .all(|field| self.0.get(*field).is_none())
    }
}
