//! Inputs as text: what is written comes back, and what no guard writes does not.

mod lines;

use serde_json::{Value, json};

use super::{Answered, Input, Ruling};

/// A second hop to a name with two addresses, one of them by NAT64, judged by two layers.
fn whole() -> Value {
    let policy = |layer: &str| json!({"layer": layer, "name": "egress", "digest": "d", "settings_digest": "s", "generation": 3});
    let target = |path: &str| {
        json!({"scheme": "https", "host": "a.example", "port": 8443, "path": path, "query": "q",
               "spelling": {"userinfo": true, "non_canonical_literal": false}})
    };
    let denial = json!({"stage": "resolve", "code": "address-not-public", "detail": "no"});
    let floor = json!({"stage": "resolve", "code": "address-floor", "detail": "64:ff9b::7f00:1 carries a loopback address"});
    let failed = json!({"stage": "policy", "code": "policy-trapped", "detail": "unreachable"});
    json!({
        "request": {
            "target": target("/a"), "method": "GET", "subject": "tenant-7",
            "labels": [["k", "1"], ["k", "2"]], "hop": 1, "previous": target("/b"),
        },
        "earlier": {"connect_timeout_ms": 10000, "redirects": 3, "https_only": true},
        "chain": ["alias.example"],
        "answers": [
            {"address": "93.184.216.34", "class": "public", "embedded": [], "granted": true},
            {"address": "64:ff9b::7f00:1", "class": "translated", "granted": false,
             "embedded": [{"form": "nat64", "address": "127.0.0.1", "class": "loopback"}]},
        ],
        "floor": [null, floor],
        "answered": [
            {"policy": policy("organisation"),
             "target": {"allow": {"total_timeout_ms": 1500, "response_bytes": 1024, "https_only": false}},
             "addresses": [null, denial]},
            {"policy": policy("team"), "target": {"allow": {"https_only": false}}, "addresses": {"deny": failed}},
        ],
    })
}

fn read(value: Value) -> Result<Input, String> {
    serde_json::from_value(value).map_err(|error| error.to_string())
}

#[test]
fn every_field_comes_back() {
    let input = read(whole()).unwrap();
    assert_eq!(serde_json::to_value(&input).unwrap(), whole());
    assert!(input.request.target.spelling().userinfo);
}

#[test]
fn what_no_guard_records_is_refused() {
    let table: [(&str, &str, Value, &str); 14] = [
        (
            "a host in capitals",
            "/request/target/host",
            json!("A.example"),
            "`target`: url-invalid",
        ),
        (
            "a path that is none",
            "/request/previous/path",
            json!("x"),
            "`previous`: ",
        ),
        (
            "port 0",
            "/request/target/port",
            json!(0),
            "`target`: port-zero",
        ),
        (
            "a first hop after another",
            "/request/hop",
            json!(0),
            "`previous` belongs",
        ),
        (
            "a later hop after none",
            "/request/previous",
            Value::Null,
            "`previous` belongs",
        ),
        (
            "an alias that is no name",
            "/chain/0",
            json!("a..b"),
            "host-invalid",
        ),
        (
            "too many aliases",
            "/chain",
            json!(vec!["a.example"; 17]),
            "`chain` has 17 entries",
        ),
        (
            "a class that is none",
            "/answers/0/class",
            json!("friendly"),
            "unknown variant",
        ),
        (
            "IPv4 that carries IPv4",
            "/answers/0/embedded",
            whole()["answers"][1]["embedded"].clone(),
            "carries no other",
        ),
        (
            "a floor of another length",
            "/floor",
            json!([null]),
            "`floor` has 1 entries for 2",
        ),
        (
            "verdicts of another length",
            "/answered/0/addresses",
            json!([null]),
            "`answered.addresses` has 1",
        ),
        (
            "a code that is none",
            "/floor/1/code",
            json!("\u{1b}[2J"),
            "no code of a denial",
        ),
        (
            "an answer that is none",
            "/answered/0/target",
            json!({"maybe": {}}),
            "unknown variant",
        ),
        (
            "too many layers",
            "/answered",
            json!(vec![whole()["answered"][0].clone(); 9]),
            "`answered` has 9",
        ),
    ];
    for (row, place, forged, problem) in table {
        let mut value = whole();
        *value.pointer_mut(place).unwrap() = forged;
        let error = read(value).unwrap_err();
        assert!(error.contains(problem), "{row}: {error}");
    }
}

/// A place, and what is put there.
type Forged<'a> = (&'a str, Value);

/// Sets each place to another value.
fn forged(mut value: Value, places: &[Forged<'_>]) -> Value {
    for (place, forged) in places {
        *value.pointer_mut(place).unwrap() = forged.clone();
    }
    value
}

#[test]
fn what_contradicts_itself_is_refused() {
    let plain = |address: &str, class: &str, granted: bool| json!({"address": address, "class": class, "embedded": [], "granted": granted});
    let nothing = || {
        vec![
            ("/answers", json!([])),
            ("/floor", json!([])),
            ("/chain", json!([])),
        ]
    };
    let unjudged = || {
        vec![
            ("/answered/0/addresses", Value::Null),
            ("/answered/1/addresses", Value::Null),
        ]
    };
    let denied = || json!({"deny": {"stage": "name", "code": "own", "detail": ""}});
    let long = |size: usize| json!("a".repeat(size));
    let table: Vec<(&str, Vec<Forged<'_>>, &str)> = vec![
        (
            "loopback as public",
            vec![("/answers/0", plain("127.0.0.1", "public", false))],
            "`127.0.0.1` is not what",
        ),
        (
            "private as public",
            vec![("/answers/0", plain("10.0.0.1", "public", false))],
            "`10.0.0.1` is not what",
        ),
        (
            "loopback that the floor let through",
            vec![("/answers/0", plain("127.0.0.1", "loopback", false))],
            "`floor`",
        ),
        (
            "metadata that was granted",
            vec![("/answers/0", plain("169.254.169.254", "metadata", true))],
            "`floor`",
        ),
        (
            "a carrier that was granted",
            vec![
                ("/answers/1/granted", json!(true)),
                ("/floor/1", Value::Null),
            ],
            "`floor`",
        ),
        (
            "a carrier of nothing",
            vec![("/answers/1/embedded", json!([]))],
            "is not what",
        ),
        (
            "IPv6 as translated",
            vec![
                ("/answers/1", plain("2606:4700::1", "translated", false)),
                ("/floor/1", Value::Null),
            ],
            "is not what",
        ),
        (
            "a floor that refuses what it does not",
            vec![("/floor/0", whole()["floor"][1].clone())],
            "`floor`",
        ),
        (
            "another answer of a literal",
            vec![("/request/target/host", json!("10.0.0.1"))],
            "the only answer of a literal is `10.0.0.1`",
        ),
        (
            "an alias of nothing",
            [
                nothing(),
                unjudged(),
                vec![("/chain", json!(["alias.example"]))],
            ]
            .concat(),
            "through no alias",
        ),
        (
            "addresses of a refused target",
            vec![("/answered/1/target", denied())],
            "is not looked up",
        ),
        (
            "verdicts of no addresses",
            [nothing(), vec![("/answered/0/addresses", json!([]))]].concat(),
            "there are none",
        ),
        (
            "a policy after a refusal",
            [
                nothing(),
                unjudged(),
                vec![("/answered/0/target", denied())],
            ]
            .concat(),
            "asked after another had refused",
        ),
        (
            "a policy twice",
            vec![(
                "/answered/1/policy",
                whole()["answered"][0]["policy"].clone(),
            )],
            "answered twice",
        ),
        (
            "addresses after a failure",
            vec![(
                "/answered/0/addresses",
                whole()["answered"][1]["addresses"].clone(),
            )],
            "had failed",
        ),
        (
            "addresses left out by one",
            vec![("/answered/1/addresses", Value::Null)],
            "not judged by all",
        ),
        (
            "addresses left out by the first",
            vec![("/answered/0/addresses", Value::Null)],
            "or had not been asked",
        ),
        (
            "http where it was forbidden",
            vec![("/request/target/scheme", json!("http"))],
            "is not looked up",
        ),
        (
            "a metadata name",
            [
                nothing(),
                unjudged(),
                vec![("/request/target/host", json!("metadata.google.internal"))],
            ]
            .concat(),
            "the host refused",
        ),
        (
            "many labels",
            vec![("/request/labels", json!(vec![["k", "v"]; 20_000]))],
            "number of labels: 20000",
        ),
        (
            "long labels",
            vec![("/request/labels", json!([["k", "v".repeat(4 << 10)]]))],
            "labels: 4097",
        ),
        (
            "a long method",
            vec![("/request/method", long(65))],
            "method: 65",
        ),
        (
            "a long subject",
            vec![("/request/subject", long(1_025))],
            "subject: 1025",
        ),
        (
            "a layer that is no name",
            vec![("/answered/0/policy/layer", json!("\u{1b}[2J"))],
            "no name of a layer",
        ),
    ];
    for (row, places, problem) in table {
        let error = read(forged(whole(), &places)).expect_err(row);
        assert!(error.contains(problem), "{row}: {error}");
    }
}

#[test]
fn what_is_rare_is_not_refused() {
    let nat64 = json!({"address": "2001:db8:64::7f00:1", "class": "translated", "granted": false,
        "embedded": [{"form": "nat64", "address": "127.0.0.1", "class": "loopback"}]});
    let carried = json!({"stage": "resolve", "code": "address-floor", "detail": "2001:db8:64::7f00:1 carries a loopback address"});
    let loopback = |granted: bool| json!({"address": "127.0.0.1", "class": "loopback", "embedded": [], "granted": granted});
    let own = json!({"stage": "resolve", "code": "address-own", "detail": "127.0.0.1 port 8443 is a listener of this guard"});
    let oversized = json!({"deny": {"stage": "policy", "code": "request-oversized", "detail": "number of labels: 33, at most 32"}});
    let one = json!([whole()["answered"][0]]);
    let table: Vec<(&str, Vec<Forged<'_>>)> = vec![
        (
            "a NAT64 prefix of the operator",
            vec![("/answers/1", nat64), ("/floor/1", carried)],
        ),
        (
            "a grant lifts the floor",
            vec![("/answers/0", loopback(true))],
        ),
        (
            "a listener of the guard",
            vec![("/answers/0", loopback(false)), ("/floor/0", own)],
        ),
        (
            "the caller gave up",
            vec![
                ("/answered/0/addresses", Value::Null),
                ("/answered/1/addresses", Value::Null),
            ],
        ),
        (
            "too many labels, and told so",
            vec![
                ("/request/labels", json!(vec![["k", "v"]; 33])),
                ("/answered", one),
                ("/answered/0/addresses", Value::Null),
                ("/answered/0/target", oversized),
                ("/answers", json!([])),
                ("/floor", json!([])),
                ("/chain", json!([])),
            ],
        ),
    ];
    for (row, places) in table {
        let read = read(forged(whole(), &places));
        assert!(read.is_ok(), "{row}: {read:?}");
    }
}

/// Answers of two layers about two addresses, and what follows.
#[test]
fn the_ruling_is_the_strictest_of_all() {
    let denial = |code: &str| json!({"stage": "resolve", "code": code, "detail": ""});
    let allow = || json!({"allow": {"https_only": false}});
    type Row = (&'static str, [Value; 2], [Value; 2], Option<&'static str>);
    let table: [Row; 6] = [
        (
            "one address is left",
            [allow(), allow()],
            [json!([null, null]), json!([null, null])],
            None,
        ),
        (
            "the floor holds the other",
            [allow(), allow()],
            [json!([denial("own"), null]), json!([null, null])],
            Some("own"),
        ),
        (
            "the second layer refuses",
            [allow(), allow()],
            [json!([null, null]), json!([denial("b"), null])],
            Some("b"),
        ),
        (
            "the first one is told",
            [allow(), allow()],
            [json!([denial("a"), null]), json!([denial("b"), null])],
            Some("a"),
        ),
        (
            "mixed comes first",
            [allow(), allow()],
            [
                json!([denial("a"), null]),
                json!([null, denial("answers-mixed")]),
            ],
            Some("answers-mixed"),
        ),
        (
            "a failure denies all",
            [allow(), allow()],
            [json!([null, null]), json!({"deny": denial("policy-stack")})],
            Some("policy-stack"),
        ),
    ];
    for (row, targets, addresses, code) in table {
        let mut value = whole();
        for (at, (target, addresses)) in targets.into_iter().zip(addresses).enumerate() {
            value["answered"][at]["target"] = target;
            value["answered"][at]["addresses"] = addresses;
        }
        let input = read(value).unwrap();
        let ruling = input.ruling(&input.answered);
        assert_eq!(ruling.denial().map(crate::Denial::code), code, "{row}");
    }
}

#[test]
fn terms_of_earlier_hops_bind_whatever_is_answered() {
    let mut value = whole();
    value["request"]["target"]["scheme"] = "http".into();
    for list in ["chain", "answers", "floor", "answered"] {
        value[list] = json!([]);
    }
    let input = read(value).unwrap();
    let Ruling::Deny(denial) = input.ruling(&input.answered) else {
        panic!("allowed");
    };
    assert_eq!(denial.code(), "https-required");
}

#[test]
fn a_difference_names_its_field() {
    let answered = |target: Value, addresses: Value| -> Answered {
        let policy = whole()["answered"][0]["policy"].clone();
        serde_json::from_value(json!({"policy": policy, "target": target, "addresses": addresses}))
            .unwrap()
    };
    let denial = |detail: &str| json!({"stage": "resolve", "code": "a", "detail": detail});
    let allow = json!({"allow": {"https_only": false}});
    let then = answered(allow.clone(), json!([null, denial("x")]));
    let table = [
        (
            "the same",
            answered(allow.clone(), json!([null, denial("x")])),
            vec![],
        ),
        (
            "a word",
            answered(allow.clone(), json!([null, denial("y")])),
            vec!["addresses[1].detail"],
        ),
        (
            "an address",
            answered(allow.clone(), json!([null, null])),
            vec!["addresses[1]"],
        ),
        (
            "a term",
            answered(
                json!({"allow": {"redirects": 1, "https_only": true}}),
                json!([null, denial("x")]),
            ),
            vec!["target.allow.https_only", "target.allow.redirects"],
        ),
        (
            "a failure",
            answered(allow, json!({"deny": denial("x")})),
            vec!["addresses"],
        ),
    ];
    for (row, now, fields) in table {
        let found: Vec<_> = then
            .differences(&now)
            .into_iter()
            .map(|found| found.field)
            .collect();
        assert_eq!(found, fields, "{row}");
    }
}
