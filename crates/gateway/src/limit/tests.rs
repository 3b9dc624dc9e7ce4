//! Bounds hold, are given back, and cost no memory that outlives them.

use std::net::IpAddr;

use tokio::time::advance;

use super::*;
use crate::config::{Limits, SubjectLimits, Way};

fn limits(change: impl FnOnce(&mut Limits)) -> Limits {
    let mut limits = Limits::default();
    change(&mut limits);
    limits
}

fn subject(name: &str) -> Subject {
    Subject::new(name, Way::Basic)
}

fn ip(text: &str) -> Option<IpAddr> {
    Some(text.parse().unwrap())
}

fn code(result: Result<Permit, Refusal>) -> (String, Kind) {
    let refusal = result.map(drop).unwrap_err();
    assert!(refusal.retry_after.is_some());
    // What an operator raises is not for clients.
    assert!(refusal.hint.is_some_and(|hint| !hint.contains("`limits.")));
    assert!(refusal.raise().is_some());
    assert_eq!(refusal.stage, "limit");
    (refusal.code.into_owned(), refusal.kind)
}

#[test]
fn each_bound_has_its_own_refusal() {
    type Ask = fn(&Admission) -> Result<Permit, Refusal>;
    let connection: Ask = |admission| admission.connection(ip("192.0.2.1"));
    let local: Ask = |admission| admission.connection(None);
    let anonymous: Ask = |admission| admission.request(None);
    let named: Ask = |admission| admission.request(Some(&subject("a")));
    let table: [(&str, Limits, Ask, &str, Kind); 8] = [
        (
            "connections",
            limits(|l| l.connections = 2),
            connection,
            "limit-connections",
            Kind::Overloaded,
        ),
        (
            "connections over a Unix socket",
            limits(|l| l.connections = 2),
            local,
            "limit-connections",
            Kind::Overloaded,
        ),
        (
            "connections of a source",
            limits(|l| l.connections_per_source = 2),
            connection,
            "limit-source",
            Kind::Limited,
        ),
        (
            "tunnels",
            limits(|l| (l.tunnels, l.subject.tunnels) = (2, Some(0))),
            named,
            "limit-tunnels",
            Kind::Overloaded,
        ),
        (
            "rate",
            limits(|l| (l.rate, l.burst) = (1, 2)),
            named,
            "limit-rate",
            Kind::Overloaded,
        ),
        (
            "tunnels of a subject",
            limits(|l| l.subject.tunnels = Some(2)),
            named,
            "limit-subject-tunnels",
            Kind::Limited,
        ),
        (
            "tunnels without a subject",
            limits(|l| l.subject.tunnels = Some(2)),
            anonymous,
            "limit-subject-tunnels",
            Kind::Limited,
        ),
        (
            "rate of a subject, twice as a burst",
            limits(|l| l.subject.rate = 1),
            named,
            "limit-subject-rate",
            Kind::Limited,
        ),
    ];
    for (row, limits, ask, expected, kind) in table {
        let admission = Admission::new(&limits);
        let held = [ask(&admission).expect(row), ask(&admission).expect(row)];
        assert_eq!(code(ask(&admission)), (expected.to_owned(), kind), "{row}");
        drop(held);
        if !expected.ends_with("rate") {
            assert!(
                ask(&admission).is_ok(),
                "{row}: a place that was given back"
            );
        }
    }
}

#[test]
fn no_subject_takes_all_places_unless_it_is_told_so() {
    for (row, name, told, most) in [
        ("a quarter", Some("a"), None, 3),
        ("without a name, all", None, None, 10),
        ("no limit", Some("a"), Some(0), 10),
        ("another limit", Some("a"), Some(7), 7),
    ] {
        let limits = limits(|l| (l.tunnels, l.subject.tunnels) = (10, told));
        let admission = Admission::new(&limits);
        let asks = name.map(subject);
        let held: Vec<_> = (0..20)
            .filter_map(|_| admission.request(asks.as_ref()).ok())
            .collect();
        assert_eq!(held.len(), most, "{row}");
        let other = admission.request(Some(&subject("b")));
        assert_eq!(other.is_ok(), most < 10, "{row}");
    }
}

#[test]
fn what_is_refused_takes_no_place() {
    let admission = Admission::new(&limits(|l| {
        l.connections_per_source = 1;
        l.subject.tunnels = Some(1);
    }));
    let _held = (
        admission.connection(ip("192.0.2.1")).unwrap(),
        admission.request(Some(&subject("a"))).unwrap(),
    );
    for _ in 0..10 {
        assert!(admission.connection(ip("192.0.2.1")).is_err());
        assert!(admission.request(Some(&subject("a"))).is_err());
    }
    let usage = admission.usage();
    assert_eq!((usage.connections.open, usage.tunnels.open), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_rate_comes_back_with_time_and_says_when() {
    let admission = Admission::new(&limits(|l| (l.rate, l.burst) = (2, 1)));
    drop(admission.request(None).unwrap());
    let refusal = admission.request(None).map(drop).unwrap_err();
    assert_eq!(refusal.retry_after, Some(Duration::from_millis(500)));
    advance(Duration::from_millis(501)).await;
    assert!(admission.request(None).is_ok());
}

#[tokio::test(start_paused = true)]
async fn who_is_over_its_rate_takes_nothing_from_the_others() {
    let admission = Admission::new(&limits(|l| {
        (l.rate, l.burst) = (10, 10);
        (l.subject.rate, l.subject.burst) = (1, 1);
    }));
    let asked = (0..100).filter(|_| admission.request(Some(&subject("greedy"))).is_ok());
    assert_eq!(asked.count(), 1);
    for n in 0..9 {
        let other = subject(&format!("modest-{n}"));
        assert!(admission.request(Some(&other)).is_ok(), "{n}");
    }
}

#[test]
fn subjects_that_are_named_have_bounds_of_their_own() {
    let admission = Admission::new(&limits(|l| {
        l.subject.tunnels = Some(1);
        let more = SubjectLimits {
            tunnels: Some(3),
            ..SubjectLimits::default()
        };
        l.subjects.insert("big".parse().unwrap(), more);
    }));
    let open = |name: &str, n: usize| {
        (0..n)
            .map_while(|_| admission.request(Some(&subject(name))).ok())
            .collect::<Vec<_>>()
    };
    let (small, big) = (open("small", 9), open("big", 9));
    assert_eq!((small.len(), big.len()), (1, 3));
    // The same name, found in another way, is the same subject.
    let other = Subject::new("small", Way::Mtls);
    assert!(admission.request(Some(&other)).is_err());
}

#[tokio::test(start_paused = true)]
async fn made_up_sources_and_subjects_cost_no_memory() {
    let admission = Admission::new(&limits(|l| {
        l.connections = usize::MAX;
        (l.subject.rate, l.subject.tunnels) = (5, Some(1_000));
    }));
    for n in 0..3 * subjects::KNOWN {
        let name = subject(&format!("made-up-{n}"));
        let _ = admission.request(Some(&name)).map(drop);
        let n = u32::try_from(n).unwrap();
        drop(admission.connection(Some(std::net::Ipv4Addr::from_bits(n).into())));
    }
    let usage = admission.usage();
    assert_eq!((usage.sources, usage.subjects), (0, subjects::KNOWN));
    let places = locked(&admission.state).sources.capacity();
    assert!(places <= sources::SPARE, "{places}");

    // Those that find no place share one share.
    let refused = (0..100).filter(|n| {
        let name = subject(&format!("further-{n}"));
        admission.request(Some(&name)).is_err()
    });
    assert!(refused.count() >= 90);

    advance(Duration::from_secs(5)).await;
    assert!(admission.request(Some(&subject("later"))).is_ok());
    assert_eq!(admission.usage().subjects, 1);
}

#[tokio::test(start_paused = true)]
async fn who_has_something_open_is_not_forgotten() {
    let admission = Admission::new(&limits(|l| {
        (l.subject.rate, l.subject.tunnels) = (5, Some(1));
    }));
    let _held = admission.request(Some(&subject("holder"))).unwrap();
    for n in 0..1_000 {
        let name = subject(&format!("made-up-{n}"));
        drop(admission.request(Some(&name)));
        advance(Duration::from_millis(100)).await;
    }
    assert!(admission.usage().subjects < 600);
    assert_eq!(
        code(admission.request(Some(&subject("holder")))).0,
        "limit-subject-tunnels"
    );
}

#[tokio::test(start_paused = true)]
async fn other_bounds_hold_at_once_and_lose_no_count() {
    let admission = Admission::new(&limits(|_| ()));
    let held: Vec<_> = (0..5)
        .map(|_| admission.request(Some(&subject("a"))).unwrap())
        .collect();
    let client = admission.connection(ip("192.0.2.1")).unwrap();

    admission.reconfigure(&limits(|l| {
        (l.connections, l.tunnels) = (1, 5);
        l.subject.tunnels = Some(2);
    }));
    assert_eq!(
        code(admission.connection(ip("192.0.2.2"))).0,
        "limit-connections"
    );
    assert_eq!(
        code(admission.request(Some(&subject("b")))).0,
        "limit-tunnels"
    );
    admission.reconfigure(&limits(|l| l.subject.tunnels = Some(5)));
    assert_eq!(
        code(admission.request(Some(&subject("a")))).0,
        "limit-subject-tunnels"
    );
    drop((held, client));
    let usage = admission.usage();
    assert_eq!(
        (usage.connections.open, usage.tunnels.open, usage.sources),
        (0, 0, 0)
    );
    assert!(admission.connection(ip("192.0.2.2")).is_ok());

    // A rate that does not change keeps what was used of it.
    let rated = limits(|l| (l.rate, l.burst) = (1, 1));
    admission.reconfigure(&rated);
    drop(admission.request(None).unwrap());
    admission.reconfigure(&rated);
    assert_eq!(code(admission.request(None)).0, "limit-rate");
}

#[test]
fn the_usage_names_the_busiest_first() {
    let admission = Admission::new(&limits(|_| ()));
    let _held: Vec<_> = ["a", "b", "b"]
        .iter()
        .map(|name| admission.request(Some(&subject(name))).unwrap())
        .chain([admission.request(None).unwrap()])
        .collect();
    let usage = admission.usage();
    let busiest: Vec<_> = usage
        .busiest_subjects
        .iter()
        .map(|s| (&*s.name, s.open))
        .collect();
    assert_eq!(busiest, [("b", 2), ("a", 1)]);
    assert_eq!((usage.without_subject, usage.tunnels.open), (1, 4));
}

#[test]
fn a_connection_that_turns_out_to_be_somebody_s_is_counted_once() {
    let bounds = limits(|l| (l.connections, l.connections_per_source) = (3, 2));
    let admission = Admission::new(&bounds);
    let behind = |address: &str| {
        let mut permit = admission.connection(None)?;
        permit.belongs_to(address.parse().unwrap())?;
        Ok(permit)
    };
    let held = [behind("192.0.2.1").unwrap(), behind("192.0.2.1").unwrap()];
    assert_eq!(code(behind("192.0.2.1")).0, "limit-source");
    let third = behind("192.0.2.2").unwrap();
    let usage = admission.usage();
    assert_eq!((usage.connections.open, usage.sources), (3, 2));
    assert_eq!(usage.accepted, 4, "each once, also who was sent away then");
    drop((held, third));
    let usage = admission.usage();
    assert_eq!((usage.connections.open, usage.sources), (0, 0));
}
