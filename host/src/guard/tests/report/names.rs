//! Report mode of names alone: a denial of the target passes and is told, what is said of the addresses binds.

use super::*;

impl Bench {
    /// What a session that reports names makes of it, what it says would have been, and the layer that is blamed.
    async fn report_names(&self, url: &str) -> (String, String, String) {
        let session = self.guard.session().reporting_names();
        let pinned = outcome(session.pin(get(url)).await);
        let decision = self.seen.all().pop().unwrap();
        let would = decision.would_deny.as_ref();
        let would = would.map_or("-".into(), |told| {
            format!("{}@{}", told.code(), told.stage())
        });
        let layer = decision.denied_by.clone().unwrap_or("-".into());
        (pinned, would, layer)
    }
}

const NAMES: [&str; 8] = [
    "listed.example=93.184.216.34",
    "listed-private.example=10.0.0.1",
    "public.example=93.184.216.34",
    "rebind.example=10.0.0.1",
    "mixed.example=93.184.216.34,10.0.0.1",
    "floor.example=127.0.0.1",
    "some-floor.example=93.184.216.34,127.0.0.1",
    "metadata.example=169.254.169.254",
];

/// An access list: two names, and nothing else.
fn listed() -> Value {
    json!({"hosts": {"allow": ["listed.example", "listed-private.example"]}})
}

#[tokio::test]
async fn a_name_passes_and_its_addresses_do_not() {
    let bench = bench(&NAMES, |builder| builder.settings(listed()));
    let rows = [
        ("listed", "http://listed.example/", "93.184.216.34:80", "-"),
        (
            "listed, and private",
            "http://listed-private.example/",
            "address-not-public@resolve",
            "-",
        ),
        (
            "not listed",
            "http://public.example/",
            "93.184.216.34:80",
            "host-not-allowed@name",
        ),
        (
            "not listed, and private",
            "http://rebind.example/",
            "address-not-public@resolve",
            "host-not-allowed@name",
        ),
        (
            "one of two is enough",
            "http://mixed.example/",
            "answers-mixed@resolve",
            "host-not-allowed@name",
        ),
        (
            "the floor",
            "http://floor.example/",
            "address-not-public@resolve",
            "host-not-allowed@name",
        ),
        (
            "the metadata endpoint",
            "http://metadata.example/",
            "address-metadata@resolve",
            "host-not-allowed@name",
        ),
        (
            "a literal is an address, and judged as one",
            "http://93.184.216.34/",
            "host-not-allowed@address",
            "-",
        ),
        (
            "a private literal",
            "http://10.0.0.1/",
            "host-not-allowed@address",
            "-",
        ),
        (
            "a literal of the floor",
            "http://127.0.0.1/",
            "address-floor@address",
            "-",
        ),
        (
            "another port, which stage one judges",
            "http://public.example:8080/",
            "93.184.216.34:8080",
            "host-not-allowed@name",
        ),
        (
            "no such name",
            "http://gone.example/",
            "resolve-no-answer@resolve",
            "host-not-allowed@name",
        ),
    ];
    for (row, url, expected, told) in rows {
        let (outcome, would, _) = bench.report_names(url).await;
        assert_eq!(
            (outcome.as_str(), would.as_str()),
            (expected, told),
            "{row}"
        );
    }
    assert_eq!(bench.seen.all().len(), rows.len(), "one record each");
    bench.assert_consistent();
}

#[tokio::test]
async fn what_a_policy_leaves_of_a_lifted_name_is_pinned() {
    let mut settings = listed();
    settings["mixed_answers"] = json!("filter");
    let bench = bench(&NAMES, |builder| builder.settings(settings));
    for (url, expected) in [
        ("http://mixed.example/", "93.184.216.34:80"),
        ("http://some-floor.example/", "93.184.216.34:80"),
        ("http://rebind.example/", "address-not-public@resolve"),
    ] {
        let (outcome, would, _) = bench.report_names(url).await;
        assert_eq!(outcome, expected, "{url}");
        assert_eq!(would, "host-not-allowed@name", "{url}");
    }
    bench.assert_consistent();
}

/// A name that led outside when it was tried out leads inside later.
#[tokio::test]
async fn a_name_that_is_rebound_is_refused() {
    let answers = ["93.184.216.34", "10.0.0.1", "169.254.169.254"];
    let expected = [
        "93.184.216.34:80",
        "address-not-public@resolve",
        "address-metadata@resolve",
    ];
    for (answer, expected) in answers.into_iter().zip(expected) {
        let rule = format!("rebind.example={answer}");
        let bench = bench(&[rule.as_str()], |builder| builder.settings(listed()));
        let (outcome, would, _) = bench.report_names("http://rebind.example/").await;
        assert_eq!(
            (outcome.as_str(), would.as_str()),
            (expected, "host-not-allowed@name")
        );
        bench.assert_consistent();
    }
}

#[tokio::test]
async fn each_layer_is_asked_and_blamed_for_its_own() {
    let layers = [
        Layer::new("names", Source::Shipped).settings(json!({
            "hosts": {"deny": ["bad.example", "inner.example", "here.example"]},
            "networks": {"allow": ["10.0.0.0/8"]},
        })),
        Layer::new("places", Source::Shipped).settings(json!({
            "limits": {"total_timeout_ms": 2000},
        })),
    ];
    let rules = [
        "bad.example=93.184.216.34",
        "inner.example=10.0.0.1",
        "here.example=127.0.0.1",
        "good-inner.example=10.0.0.1",
    ];
    let bench = bench(&rules, |builder| {
        layers.into_iter().fold(builder, GuardBuilder::layer)
    });
    let rows = [
        (
            "the first layer denies the name",
            "http://bad.example/",
            ("93.184.216.34:80", "host-denied@name", "names"),
        ),
        (
            "and the second its address",
            "http://inner.example/",
            ("address-not-public@resolve", "host-denied@name", "places"),
        ),
        (
            "the second alone",
            "http://good-inner.example/",
            ("address-not-public@resolve", "-", "places"),
        ),
        (
            "both refuse the address",
            "http://here.example/",
            ("address-not-public@resolve", "host-denied@name", "names"),
        ),
    ];
    for (row, url, expected) in rows {
        let (outcome, would, layer) = bench.report_names(url).await;
        assert_eq!(
            (outcome.as_str(), would.as_str(), layer.as_str()),
            expected,
            "{row}"
        );
        let decision = bench.seen.all().pop().unwrap();
        let terms = decision.terms.total_timeout;
        assert_eq!(terms, Some(Duration::from_secs(2)), "{row}: terms hold");
    }
    bench.assert_consistent();
}

#[tokio::test]
async fn a_policy_that_fails_passes_no_address() {
    for (fixture, told) in [
        ("unreachable", "policy-trapped@policy"),
        ("unreachable-in-check-addresses", "-"),
        ("verdicts-none", "-"),
    ] {
        let bench = bench(&NAMES, |builder| builder.policy(chain::fixture(fixture)));
        let (outcome, would, _) = bench.report_names("http://public.example/").await;
        let by_target = fixture == "unreachable";
        match by_target {
            // The fixture fails in stage one alone.
            true => assert_eq!(outcome, "93.184.216.34:80"),
            false => assert!(outcome.starts_with("policy-"), "{fixture}: {outcome}"),
        }
        assert_eq!(would, told, "{fixture}");
        bench.assert_consistent();
    }
}

#[tokio::test]
async fn a_policy_that_cannot_be_asked_passes_no_address() {
    let mut limits = Limits::default();
    (limits.policy_instances, limits.policy_spares) = (1, 0);
    let bench = bench(&NAMES, |builder| builder.limits(limits));
    // Holds the only instance there may be.
    let holds = bench.guard.session().admit(get("http://93.184.216.34/"));
    let (outcome, would, _) = bench.report_names("http://public.example/").await;
    assert_eq!(
        (outcome.as_str(), would.as_str()),
        ("policy-busy@policy", "policy-busy@policy")
    );
    drop(holds);
    bench.assert_consistent();
}

/// What was let pass replays, by the policy that judged and by another one.
#[tokio::test]
async fn both_stages_are_recorded_and_replay() {
    let bench = bench(&NAMES, |builder| builder.settings(listed()));
    let policy = |settings| {
        crate::policy::Evaluator::load(Source::Shipped, settings, &Limits::default()).unwrap()
    };
    let (judged, other) = (policy(listed()), policy(json!({})));
    for (url, verdict) in [
        ("http://public.example/", "allow"),
        ("http://rebind.example/", "deny"),
        ("http://listed.example/", "allow"),
    ] {
        bench.report_names(url).await;
        let decision = bench.seen.all().pop().unwrap();
        let written = serde_json::to_value(&*decision).unwrap();
        assert_eq!(written["input"]["report"], "names", "{url}");
        let entry = read(&decision);
        assert_eq!(entry.verdict, verdict, "{url}");
        let input = entry.input.clone().unwrap();
        assert_eq!(input.report, Mode::ReportNames, "{url}");
        assert!(input.answered[0].addresses.is_some(), "{url}");
        let replayed = replay(&judged, &input, 0).unwrap();
        assert_eq!(replayed.differences, [], "{url}");
        // The other policy lists no names, and says the same of addresses.
        let now = ask(&other, &input);
        assert!(now.target.is_ok(), "{url}");
        assert_eq!(now.addresses, input.answered[0].addresses, "{url}");
    }
}

/// What is withheld is asked again in both stages.
#[tokio::test]
async fn what_is_redacted_is_asked_again() {
    let bench = bench(&NAMES, |builder| builder.settings(listed()));
    for url in ["http://public.example/a?b", "http://rebind.example/a?b"] {
        bench.report_names(url).await;
        let decision = bench.seen.all().pop().unwrap();
        let written = Written::of(&decision, Redaction::ALL);
        let line = serde_json::to_string(&written).unwrap();
        let entry = Entry::read(&line).unwrap().unwrap();
        assert_eq!(entry.replay, None, "{url}");
        assert_eq!(entry.contradictions(), [], "{url}");
    }
}

#[tokio::test]
async fn a_line_of_names_that_says_otherwise_contradicts_itself() {
    let bench = bench(&NAMES, |builder| builder.settings(listed()));
    for url in [
        "http://public.example/",
        "http://rebind.example/",
        "http://listed.example/",
    ] {
        bench.report_names(url).await;
    }
    let lines: Vec<Value> = bench
        .seen
        .all()
        .iter()
        .map(|decision| serde_json::to_value(&**decision).unwrap())
        .collect();
    let denial = json!({"stage": "name", "code": "host-not-allowed", "detail": "x"});
    let rows = [
        ("nothing was let pass", 0, "/would_deny", Value::Null),
        (
            "something else was",
            0,
            "/would_deny/code",
            json!("port-denied"),
        ),
        ("it was enforced", 0, "/input/report", json!(false)),
        ("everything was reported", 1, "/input/report", json!(true)),
        ("the address passed", 1, "/verdict", json!("allow")),
        (
            "the address was not refused",
            1,
            "/addresses/0/denial",
            Value::Null,
        ),
        ("a denial of nothing", 2, "/would_deny", denial),
        ("a mode that is none", 0, "/input/report", json!("some")),
    ];
    for (row, line, place, forged) in rows {
        let mut value = lines[line].clone();
        match value.pointer_mut(place) {
            Some(found) => *found = forged,
            None => value["would_deny"] = forged,
        }
        // What no guard can have recorded is not even read.
        if let Ok(entry) = serde_json::from_value::<Entry>(value) {
            assert_ne!(entry.contradictions(), [], "{row}");
        }
    }
}

#[tokio::test]
async fn names_that_are_given_up_do_not_contradict_themselves() {
    let bench = bench(&NAMES, |builder| builder.settings(listed()));
    for url in [
        "http://10.0.0.1/",
        "http://public.example/",
        "http://listed.example/",
    ] {
        let session = bench.guard.session().reporting_names();
        drop(session.admit(get(url)).unwrap());
    }
    assert_eq!(bench.seen.all().len(), 3);
    bench.assert_consistent();
}

/// A proof carries how it came about: in no other session do addresses pass that its own would have refused, nor the
/// other way round.
#[tokio::test]
async fn a_proof_keeps_its_mode() {
    let bench = bench(&NAMES, |builder| builder.settings(listed()));
    let admitted = bench
        .guard
        .session()
        .reporting_names()
        .admit(get("http://rebind.example/"));
    let other = bench.guard.session().reporting();
    let outcome = outcome(other.resolve(admitted.unwrap()).await);
    assert_eq!(outcome, "address-not-public@resolve");
    bench.assert_consistent();
}

#[tokio::test]
async fn what_is_open_is_judged_again_by_its_addresses_alone() {
    let rules = ["a.example=93.184.216.34"];
    let bench = Bench::with(&rules, |builder| builder.settings(listed()));
    let session = bench.guard.session().reporting_names();
    let open = held(&session, "http://a.example/", "93.184.216.34:80").await;
    let rows = [
        ("as before", listed(), "-"),
        ("the name", json!({"hosts": {"deny": ["a.example"]}}), "-"),
        ("the port", json!({"ports": [443]}), "-"),
        (
            "its address",
            json!({"networks": {"deny": ["93.184.216.0/24"]}}),
            "address-denied",
        ),
        (
            "its address, of a name that is denied",
            json!({"hosts": {"deny": ["a.example"]}, "networks": {"deny": ["93.184.216.0/24"]}}),
            "address-denied",
        ),
        (
            "only TLS, which is said of the target",
            json!({"limits": {"https_only": true}}),
            "-",
        ),
    ];
    for (row, settings, expected) in rows {
        bench.guard.swap(Source::Shipped, settings).unwrap();
        let again = bench.guard.rejudge(&open, Mode::ReportNames).await;
        let code = again.as_ref().err().map_or("-", Denial::code);
        assert_eq!(code, expected, "{row}: {again:?}");
    }
}

#[test]
fn a_mode_is_written_as_it_was_when_there_were_two() {
    for (mode, text) in [
        (Mode::Enforce, "false"),
        (Mode::Report, "true"),
        (Mode::ReportNames, "\"names\""),
    ] {
        assert_eq!(serde_json::to_string(&mode).unwrap(), text);
        assert_eq!(serde_json::from_str::<Mode>(text).unwrap(), mode);
    }
    for text in ["null", "1", "\"all\"", "[]"] {
        assert!(serde_json::from_str::<Mode>(text).is_err(), "{text}");
    }
}
