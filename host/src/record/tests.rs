//! Inputs as text: what is written comes back, and what no guard writes does not.

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
            {"address": "64:ff9b::a00:7", "class": "translated", "granted": false,
             "embedded": [{"form": "nat64", "address": "10.0.0.7", "class": "private"}]},
        ],
        "floor": [null, denial],
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
