//! Report mode: what the policies deny passes and is told; everything else holds. And judging again.

use super::*;
use crate::{
    Held, Session,
    policy::Layer,
    record::{Entry, Inputs, Mode, Redaction, Written, ask, replay},
};

mod names;

/// A guard that keeps inputs, so that each record can be held against itself.
fn bench(rules: &[&str], build: impl FnOnce(GuardBuilder) -> GuardBuilder) -> Bench {
    Bench::with(rules, |builder| build(builder.record_inputs(Inputs::Keep)))
}

impl Bench {
    /// What a session that reports makes of it, and what it says would have been.
    async fn report(&self, url: &str) -> (String, String) {
        let session = self.guard.session().reporting();
        let pinned = outcome(session.pin(get(url)).await);
        let decision = self.seen.all().pop().unwrap();
        let would = decision.would_deny.as_ref();
        let layer = decision
            .denied_by
            .clone()
            .map(|layer| format!(" by {layer}"));
        let would = would.map_or("-".into(), |denial| {
            format!(
                "{}@{}{}",
                denial.code(),
                denial.stage(),
                layer.unwrap_or_default()
            )
        });
        (pinned, would)
    }

    /// Each record, written and read again, says nothing that does not follow from its input.
    fn assert_consistent(&self) {
        for decision in self.seen.all() {
            let entry = read(&decision);
            assert_eq!(entry.contradictions(), [], "{decision:#?}");
        }
    }
}

fn read(decision: &Decision) -> Entry {
    serde_json::from_str(&serde_json::to_string(decision).unwrap()).unwrap()
}

const RULES: [&str; 8] = [
    "public.example=93.184.216.34",
    "private.example=10.0.0.1",
    "mixed.example=93.184.216.34,10.0.0.1",
    "floor.example=127.0.0.1",
    "some-floor.example=10.0.0.1,127.0.0.1",
    "floor-first.example=127.0.0.1,10.0.0.1",
    "metadata.example=169.254.169.254",
    "bad.example=93.184.216.34",
];

#[tokio::test]
async fn what_a_policy_denies_passes_and_is_told() {
    let settings = json!({"hosts": {"deny": ["bad.example", "gone.example"]}});
    let bench = bench(&RULES, |builder| builder.settings(settings));
    let rows = [
        ("allowed", "http://public.example/", "93.184.216.34:80", "-"),
        (
            "the target",
            "http://bad.example/",
            "93.184.216.34:80",
            "host-denied@name",
        ),
        (
            "all addresses",
            "http://private.example/",
            "10.0.0.1:80",
            "address-not-public@resolve",
        ),
        (
            "a literal",
            "http://10.0.0.1/",
            "10.0.0.1:80",
            "address-not-public@address",
        ),
        (
            "a mixture",
            "http://mixed.example/",
            "93.184.216.34:80 10.0.0.1:80",
            "answers-mixed@resolve",
        ),
        (
            "what the floor leaves",
            "http://some-floor.example/",
            "10.0.0.1:80",
            "address-not-public@resolve",
        ),
        (
            "nothing left",
            "http://floor.example/",
            "address-floor@resolve",
            "address-not-public@resolve",
        ),
        (
            "never metadata",
            "http://metadata.example/",
            "address-metadata@resolve",
            "address-metadata@resolve",
        ),
        (
            "the floor knows the literal",
            "http://127.0.0.1/",
            "address-floor@address",
            "-",
        ),
        (
            "and the name",
            "http://metadata.google.internal/",
            "name-metadata@name",
            "-",
        ),
        (
            "the lookup fails",
            "http://gone.example/",
            "resolve-no-answer@resolve",
            "host-denied@name",
        ),
    ];
    for (row, url, expected, would) in rows {
        let (outcome, told) = bench.report(url).await;
        assert_eq!(
            (outcome.as_str(), told.as_str()),
            (expected, would),
            "{row}"
        );
    }
    assert_eq!(bench.seen.all().len(), rows.len(), "one record each");
    bench.assert_consistent();
}

/// A hop that would have been allowed goes where it would have gone.
#[tokio::test]
async fn what_a_policy_filters_stays_filtered() {
    let settings = json!({"mixed_answers": "filter"});
    let bench = bench(&RULES, |builder| builder.settings(settings));
    let rows = [
        ("http://mixed.example/", "93.184.216.34:80", "-"),
        // Of these two the policy leaves neither, and the floor one.
        (
            "http://floor-first.example/",
            "10.0.0.1:80",
            "address-not-public@resolve",
        ),
    ];
    for (url, expected, would) in rows {
        let (outcome, told) = bench.report(url).await;
        assert_eq!(
            (outcome.as_str(), told.as_str()),
            (expected, would),
            "{url}"
        );
    }
    bench.assert_consistent();
}

#[tokio::test]
async fn terms_hold_whatever_is_let_pass() {
    let layers = [
        Layer::new("organisation", Source::Shipped).settings(json!({
            "hosts": {"deny": ["bad.example"]}, "limits": {"redirects": 3},
        })),
        Layer::new("team", Source::Shipped).settings(json!({"limits": {"total_timeout_ms": 2000}})),
    ];
    let bench = bench(&RULES, |builder| {
        layers.into_iter().fold(builder, GuardBuilder::layer)
    });
    let session = bench.guard.session().reporting();
    let pinned = session.pin(get("http://bad.example/")).await.unwrap();
    assert_eq!(pinned.would_deny().map(Denial::code), Some("host-denied"));
    let terms = *pinned.terms();
    assert_eq!(
        terms.total_timeout,
        Some(Duration::from_secs(2)),
        "the second layer is asked"
    );
    assert_eq!(terms.redirects, None, "the first one allowed nothing");
    drop(pinned);
    let decision = bench.seen.all().pop().unwrap();
    assert_eq!(decision.denied_by.as_deref(), Some("organisation"));
    assert_eq!(decision.policy.layer.as_deref(), Some("organisation"));

    session.tighten(Terms {
        https_only: true,
        ..Terms::default()
    });
    let plain = outcome(session.pin(get("http://bad.example/")).await);
    assert_eq!(plain, "https-required@scheme", "terms are the host's");
    bench.assert_consistent();
}

#[tokio::test]
async fn a_policy_that_fails_is_told() {
    for (fixture, outcome, told) in [
        ("unreachable", "93.184.216.34:80", "policy-trapped@policy"),
        (
            "unreachable-in-check-addresses",
            "93.184.216.34:80",
            "policy-trapped@policy",
        ),
    ] {
        let bench = bench(&RULES, |builder| builder.policy(chain::fixture(fixture)));
        let (pinned, would) = bench.report("http://public.example/").await;
        assert_eq!(
            (pinned.as_str(), would.as_str()),
            (outcome, told),
            "{fixture}"
        );
        assert_eq!(
            bench.report("http://floor.example/").await.0,
            "address-floor@resolve",
            "{fixture}"
        );
        bench.assert_consistent();
    }
}

#[tokio::test]
async fn a_policy_that_cannot_be_asked_is_told() {
    let mut limits = Limits::default();
    (limits.policy_instances, limits.policy_spares) = (1, 0);
    let bench = bench(&RULES, |builder| builder.limits(limits));
    // Holds the only instance there may be.
    let holds = bench.guard.session().admit(get("http://93.184.216.34/"));
    let (outcome, told) = bench.report("http://public.example/").await;
    assert_eq!(
        (outcome.as_str(), told.as_str()),
        ("93.184.216.34:80", "policy-busy@policy")
    );
    drop(holds);
    bench.assert_consistent();
}

#[tokio::test]
async fn what_was_let_pass_is_recorded_and_replays() {
    let settings = json!({"hosts": {"deny": ["bad.example"]}});
    let bench = bench(&RULES, |builder| builder.settings(settings.clone()));
    let policy = crate::policy::Evaluator::load(Source::Shipped, settings, &Limits::default());
    let policy = policy.unwrap();
    for url in [
        "http://bad.example/",
        "http://private.example/",
        "http://public.example/",
    ] {
        bench.report(url).await;
        let entry = read(&bench.seen.all().pop().unwrap());
        assert_eq!(entry.verdict, "allow", "{url}");
        let input = entry.input.clone().unwrap();
        assert!(
            input.report == Mode::Report && !input.answers.is_empty(),
            "{url}"
        );
        let replayed = replay(&policy, &input, 0).unwrap();
        assert_eq!(replayed.differences, [], "{url}");
        // The input says what an enforced hop would have come to.
        let ruling = input.ruling(&input.answered);
        assert_eq!(ruling.denial(), entry.would_deny.as_ref(), "{url}");
    }
}

#[tokio::test]
async fn a_line_that_says_otherwise_contradicts_itself() {
    let settings = json!({"hosts": {"deny": ["bad.example"]}});
    let bench = bench(&RULES, |builder| builder.settings(settings));
    bench.report("http://bad.example/").await;
    bench.report("http://floor.example/").await;
    bench.report("http://public.example/").await;
    let lines: Vec<Value> = bench
        .seen
        .all()
        .iter()
        .map(|decision| serde_json::to_value(&**decision).unwrap())
        .collect();
    let denial = json!({"stage": "name", "code": "host-denied", "detail": "x"});
    let rows: [(&str, usize, &str, Value); 6] = [
        ("nothing was let pass", 0, "/would_deny", Value::Null),
        (
            "something else was",
            0,
            "/would_deny/code",
            json!("port-denied"),
        ),
        ("it was enforced", 0, "/input/report", json!(false)),
        ("the floor let it pass", 1, "/verdict", json!("allow")),
        (
            "another address",
            0,
            "/addresses/0/address",
            json!("1.1.1.1"),
        ),
        ("a denial of nothing", 2, "/would_deny", denial),
    ];
    for (row, line, place, forged) in rows {
        let mut value = lines[line].clone();
        match value.pointer_mut(place) {
            Some(found) => *found = forged,
            None => value["would_deny"] = forged,
        }
        match serde_json::from_value::<Entry>(value) {
            Ok(entry) => assert_ne!(entry.contradictions(), [], "{row}"),
            Err(refused) => assert_eq!(line, 0, "{row}: {refused}"),
        }
    }
}

#[tokio::test]
async fn a_report_that_is_given_up_does_not_contradict_itself() {
    let bench = bench(&RULES, |builder| builder.settings(json!({"ports": [443]})));
    for url in [
        "http://93.184.216.34/",
        "http://public.example/",
        "https://public.example/",
    ] {
        let session = bench.guard.session().reporting();
        drop(session.admit(get(url)).unwrap());
    }
    assert_eq!(bench.seen.all().len(), 3);
    bench.assert_consistent();
}

/// A proof carries how it came about: no other session takes it for an allowed one.
#[tokio::test]
async fn what_a_reporting_session_admitted_stays_told() {
    let bench = bench(&RULES, |builder| builder.settings(json!({"ports": [443]})));
    let admitted = bench
        .guard
        .session()
        .reporting()
        .admit(get("http://public.example/"));
    let admitted = admitted.unwrap();
    assert_eq!(admitted.would_deny().map(Denial::code), Some("port-denied"));
    let pinned = bench.guard.session().resolve(admitted).await.unwrap();
    assert_eq!(pinned.would_deny().map(Denial::code), Some("port-denied"));
    drop(pinned);
    bench.assert_consistent();
}

#[tokio::test]
async fn each_session_tells_its_own_observer() {
    let bench = Bench::new(&RULES);
    let own = Seen::default();
    let session = bench.guard.session().observed_by(own.clone());
    drop(session.pin(get("http://public.example/")).await);
    drop(session.pin(get("http://private.example/")).await);
    assert_eq!((own.all().len(), bench.seen.all().len()), (2, 0));
    bench.pin("http://public.example/").await;
    assert_eq!((own.all().len(), bench.seen.all().len()), (2, 1));
}

/// What a connection to this peer would have been opened for.
async fn held(session: &Session, url: &str, peer: &str) -> Held {
    let pinned = session.pin(get(url)).await.unwrap();
    pinned.held(peer.parse().unwrap())
}

#[tokio::test]
async fn what_is_open_is_judged_under_the_policies_of_now() {
    let rules = ["a.example=93.184.216.34,1.1.1.1", "intern.example=10.0.0.1"];
    let bench = Bench::new(&rules);
    let session = bench.guard.session();
    let open = held(&session, "http://a.example/", "93.184.216.34:80").await;
    let (looked_up, told) = (bench.lookups(), bench.seen.all().len());
    let filter = |denied: &str| json!({"mixed_answers": "filter", "networks": {"deny": [denied]}});
    let rows = [
        ("as before", json!({}), "-"),
        (
            "the name",
            json!({"hosts": {"deny": ["a.example"]}}),
            "host-denied",
        ),
        ("the port", json!({"ports": [443]}), "port-denied"),
        ("its address", filter("93.184.216.0/24"), "address-denied"),
        ("another address", filter("1.1.1.0/24"), "-"),
        (
            "one is enough",
            json!({"networks": {"deny": ["1.1.1.0/24"]}}),
            "answers-mixed",
        ),
        (
            "only TLS",
            json!({"limits": {"https_only": true}}),
            "https-required",
        ),
    ];
    for (row, settings, expected) in rows {
        bench.guard.swap(Source::Shipped, settings).unwrap();
        let again = bench.guard.rejudge(&open, Mode::Enforce).await;
        let code = again.as_ref().err().map_or("-", Denial::code);
        assert_eq!(code, expected, "{row}: {again:?}");
    }
    let tight = json!({"limits": {"total_timeout_ms": 1500}});
    bench.guard.swap(Source::Shipped, tight).unwrap();
    let terms = bench.guard.rejudge(&open, Mode::Enforce).await.unwrap();
    assert_eq!(
        terms.total_timeout,
        Some(Duration::from_millis(1500)),
        "the terms of now"
    );
    assert_eq!(
        terms.connect_timeout,
        Some(Limits::default().connect),
        "and the host's"
    );
    assert_eq!(bench.lookups(), looked_up, "nothing is looked up");
    assert_eq!(bench.seen.all().len(), told, "and nothing told");
}

#[tokio::test]
async fn judging_again_knows_the_floor_the_guard_and_the_peer() {
    let rules = ["a.example=93.184.216.34", "private.example=10.0.0.1"];
    let (bench, other) = (Bench::new(&rules), Bench::new(&rules));
    let session = bench.guard.session();
    let open = held(&session, "http://a.example/", "93.184.216.34:80").await;
    let foreign = other.guard.rejudge(&open, Mode::Enforce).await.unwrap_err();
    assert_eq!(foreign.code(), "proof-foreign");
    let elsewhere = held(&session, "http://a.example/", "1.1.1.1:80").await;
    let elsewhere = bench
        .guard
        .rejudge(&elsewhere, Mode::Enforce)
        .await
        .unwrap_err();
    assert_eq!(elsewhere.code(), "peer-mismatch");

    // What only reported is refused by the floor alone.
    let reporting = bench.guard.session().reporting();
    let reported = held(&reporting, "http://private.example/", "10.0.0.1:80").await;
    assert!(bench.guard.rejudge(&reported, Mode::Report).await.is_ok());
    let denies = json!({"hosts": {"deny": ["private.example"]}});
    bench.guard.swap(Source::Shipped, denies).unwrap();
    // And by the policies, once it is judged as others are.
    assert_eq!(reported.mode(), Mode::Report);
    for (mode, expected) in [
        (Mode::Report, "-"),
        (Mode::ReportNames, "address-not-public"),
        (Mode::Enforce, "host-denied"),
    ] {
        let again = bench.guard.rejudge(&reported, mode).await;
        let code = again.as_ref().err().map_or("-", Denial::code);
        assert_eq!(code, expected, "{mode:?}");
    }
}

#[tokio::test]
async fn a_chain_judges_again_with_all_its_layers() {
    let layers = |denied: &str| {
        let team = json!({"hosts": {"deny": [denied]}});
        vec![
            Layer::new("organisation", Source::Shipped),
            Layer::new("team", Source::Shipped).settings(team),
        ]
    };
    let bench = Bench::with(&["a.example=93.184.216.34"], |builder| {
        layers("x.example")
            .into_iter()
            .fold(builder, GuardBuilder::layer)
    });
    let open = held(
        &bench.guard.session(),
        "http://a.example/",
        "93.184.216.34:80",
    )
    .await;
    assert!(bench.guard.rejudge(&open, Mode::Enforce).await.is_ok());
    bench.guard.swap_layers(layers("a.example")).unwrap();
    assert_eq!(
        bench
            .guard
            .rejudge(&open, Mode::Enforce)
            .await
            .unwrap_err()
            .code(),
        "host-denied"
    );
}

/// A policy that takes long is asked apart, in report mode and when it is asked again.
#[tokio::test]
async fn a_slow_policy_holds_no_other_task_up() {
    let bench = Bench::with(&["a.example=93.184.216.34"], |builder| {
        builder.policy(chain::fixture("slow"))
    });
    let turns = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&turns);
    let other = tokio::spawn(async move {
        loop {
            counted.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
        }
    });
    let reporting = bench.guard.session().reporting();
    let open = held(&reporting, "http://a.example/", "93.184.216.34:80").await;
    let asked = async || drop(held(&reporting, "http://a.example/", "93.184.216.34:80").await);
    assert!(lets_others_run(&turns, asked).await, "asked at first");
    let again = async || assert!(bench.guard.rejudge(&open, Mode::Report).await.is_ok());
    assert!(lets_others_run(&turns, again).await, "and again");
    other.abort();
}

/// Whether another task gets a turn meanwhile. The other thread may be done before this one has looked, on a busy
/// machine: then it is asked again. What does not wait never lets anybody run.
async fn lets_others_run(turns: &AtomicUsize, asking: impl AsyncFn()) -> bool {
    for _ in 0..20 {
        let before = turns.load(Ordering::Relaxed);
        asking().await;
        if turns.load(Ordering::Relaxed) > before {
            return true;
        }
    }
    false
}
