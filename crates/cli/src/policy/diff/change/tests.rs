//! Which way a change goes.

use std::time::Duration;

use pinfold_addr::Reason;

use super::*;

const ONE: &str = "192.0.2.1";
const TWO: &str = "192.0.2.2";

fn denial(reason: Reason) -> Denial {
    Denial::new(reason, "said before")
}

fn denied(reason: Reason) -> Answer {
    Answer {
        target: Err(denial(reason)),
        addresses: None,
    }
}

fn terms_of(change: impl FnOnce(&mut Terms)) -> Terms {
    let mut terms = Terms::default();
    change(&mut terms);
    terms
}

fn under(terms: Terms) -> Answer {
    Answer {
        target: Ok(terms),
        addresses: Some(Ok(vec![None, None])),
    }
}

fn judged(verdicts: [Option<Reason>; 2]) -> Answer {
    Answer {
        target: Ok(Terms::default()),
        addresses: Some(Ok(verdicts.map(|reason| reason.map(denial)).into())),
    }
}

fn unresolved() -> Answer {
    Answer {
        target: Ok(Terms::default()),
        addresses: None,
    }
}

fn failed() -> Answer {
    Answer {
        target: Ok(Terms::default()),
        addresses: Some(Err(denial(Reason::PolicyTrapped))),
    }
}

fn found(old: &Answer, new: &Answer) -> Option<(Direction, Vec<Kind>)> {
    let addresses = [ONE, TWO].map(|address| address.parse().unwrap());
    compare(&addresses, old, new).map(|change| (change.direction, change.kinds))
}

const NOT_ALLOWED: Reason = Reason::HostNotAllowed;
const PORT: Reason = Reason::PortDenied;
const PRIVATE: Reason = Reason::AddressNotPublic;

#[test]
fn every_change_has_its_direction() {
    use Direction::{Looser, Other, Tighter};
    use Kind::{Address, Code, Lookup, Verdict};

    let allowed = || judged([None, None]);
    let half = || judged([None, Some(PRIVATE)]);
    let none = || judged([Some(PRIVATE), Some(PRIVATE)]);
    // What is looser one way is tighter the other way.
    for (row, old, new, direction, kinds) in [
        (
            "allowed now",
            denied(PORT),
            allowed(),
            Looser,
            &[Verdict][..],
        ),
        (
            "allowed now, if it resolves",
            denied(PORT),
            unresolved(),
            Looser,
            &[Verdict],
        ),
        ("an address more", half(), allowed(), Looser, &[Address]),
        (
            "the first address",
            none(),
            half(),
            Looser,
            &[Verdict, Address],
        ),
        (
            "it does not fail any more",
            failed(),
            allowed(),
            Looser,
            &[Verdict, Address],
        ),
        (
            "looked up now, and still denied",
            denied(PORT),
            none(),
            Looser,
            &[Lookup, Code],
        ),
        (
            "another code",
            denied(PORT),
            denied(NOT_ALLOWED),
            Other,
            &[Code],
        ),
        (
            "a failure instead of a denial",
            none(),
            failed(),
            Other,
            &[Code],
        ),
    ] {
        let expected = Some((direction, kinds.to_vec()));
        assert_eq!(found(&old, &new), expected, "{row}");
        let back = match direction {
            Looser => Tighter,
            other => other,
        };
        assert_eq!(
            found(&new, &old),
            Some((back, kinds.to_vec())),
            "{row}, back"
        );
        assert_eq!(found(&old, &old), None, "{row}, the same");
        assert_eq!(found(&new, &new), None, "{row}, the same");
    }
}

#[test]
fn one_address_for_another_is_looser() {
    let (old, new) = (judged([None, Some(PRIVATE)]), judged([Some(PRIVATE), None]));
    let expected = Some((Direction::Looser, vec![Kind::Address]));
    assert_eq!(found(&old, &new), expected);
    assert_eq!(found(&new, &old), expected);
}

#[test]
fn another_message_is_a_change_of_its_own() {
    let old = denied(PORT);
    let new = Answer {
        target: Err(Denial::new(PORT, "said otherwise")),
        addresses: None,
    };
    assert_eq!(
        found(&old, &new),
        Some((Direction::Other, vec![Kind::Message]))
    );
}

#[test]
fn terms_are_looser_when_they_bind_less() {
    use Direction::{Looser, Tighter};

    let second = Some(Duration::from_secs(1));
    let bound = |terms: &mut Terms| terms.redirects = Some(2);
    for (row, old, new, direction) in [
        ("a bound is gone", terms_of(bound), Terms::default(), Looser),
        ("a bound is new", Terms::default(), terms_of(bound), Tighter),
        (
            "more redirects",
            terms_of(bound),
            terms_of(|terms| terms.redirects = Some(3)),
            Looser,
        ),
        (
            "none at all",
            terms_of(bound),
            terms_of(|terms| terms.redirects = Some(0)),
            Tighter,
        ),
        (
            "plain text",
            terms_of(|terms| terms.https_only = true),
            Terms::default(),
            Looser,
        ),
        (
            "only TLS",
            Terms::default(),
            terms_of(|terms| terms.https_only = true),
            Tighter,
        ),
        (
            "as much as there is",
            terms_of(|terms| terms.response_bytes = Some(u64::MAX)),
            Terms::default(),
            Looser,
        ),
        (
            "looser here, tighter there",
            terms_of(|terms| terms.total_timeout = second),
            terms_of(|terms| terms.connect_timeout = second),
            Looser,
        ),
    ] {
        let expected = Some((direction, vec![Kind::Terms]));
        assert_eq!(found(&under(old), &under(new)), expected, "{row}");
    }
}

#[test]
fn terms_of_what_is_denied_bind_nothing() {
    let bad = |terms: Terms| Answer {
        target: Ok(terms),
        addresses: Some(Ok(vec![Some(denial(PRIVATE)); 2])),
    };
    let strict = terms_of(|terms| terms.https_only = true);
    assert_eq!(found(&bad(strict), &bad(Terms::default())), None);
}
