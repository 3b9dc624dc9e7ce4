//! Settings with paths, conversions at the border, limits of what leaves a policy.

use std::net::IpAddr;

use pinfold_addr::{Class, Embedding};
use serde::Deserialize;

use crate::{
    Answer, Decision, Denial, Description, Host, Policy, Problem, Request, Resolution, Target,
    Terms, Verdict,
    bindings::{exports::pinfold::policy::settings as wit_settings, pinfold::policy::types as wit},
    configure, glue,
};

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    hosts: Vec<String>,
    limit: u8,
    #[serde(rename = "a/b~c")]
    odd: bool,
}

/// Denies the hosts of its settings; refuses a limit of 0.
struct Listed(Settings);

impl Policy for Listed {
    type Settings = Settings;

    fn describe() -> Description {
        Description {
            name: "listed".into(),
            version: "1.2.3".into(),
            summary: "a list".into(),
            settings_schema: "{}".into(),
        }
    }

    fn configure(settings: Settings) -> Result<Self, Vec<Problem>> {
        match settings.limit {
            0 => Err(vec![Problem::new("/limit", "is 0")]),
            _ => Ok(Self(settings)),
        }
    }

    fn check_target(&self, request: &Request) -> Decision {
        if self.0.hosts.contains(&request.target.host.to_string()) {
            return Decision::Deny(Denial::new("listed", "x".repeat(2 * Denial::MAX_MESSAGE)));
        }
        Decision::Allow(Terms {
            redirects: Some(self.0.limit),
            ..Terms::default()
        })
    }

    fn check_addresses(&self, _: &Request, resolution: &Resolution) -> Vec<Verdict> {
        let public = |class| {
            if class == Class::Public {
                Verdict::Allow
            } else {
                denied()
            }
        };
        resolution
            .answers
            .iter()
            .map(|answer| public(answer.class))
            .collect()
    }
}

fn denied() -> Verdict {
    Verdict::Deny(Denial::new("not-public", "no"))
}

#[test]
fn each_problem_has_its_path() {
    let table = [
        (
            "wrong type",
            r#"{ "limit": "x" }"#,
            "/limit",
            "invalid type",
        ),
        ("out of range", r#"{ "limit": 256 }"#, "/limit", "256"),
        (
            "in a list",
            r#"{ "hosts": ["a", 7], "limit": 1 }"#,
            "/hosts/1",
            "string",
        ),
        (
            "unknown",
            r#"{ "limt": 1 }"#,
            "/limt",
            "did you mean `limit`?",
        ),
        (
            "unknown, like none",
            r#"{ "zebra": 1, "limit": 1 }"#,
            "/zebra",
            "unknown field",
        ),
        (
            "escaped",
            r#"{ "a/b~c": 1, "limit": 1 }"#,
            "/a~1b~0c",
            "boolean",
        ),
        ("of the policy", r#"{ "limit": 0 }"#, "/limit", "is 0"),
        ("not JSON", "{", "", "EOF"),
        ("something after it", r#"{ "limit": 1 } x"#, "", "trailing"),
        (
            "twice",
            r#"{ "limit": 1, "limit": 2 }"#,
            "/limit",
            "duplicate",
        ),
        ("empty", "", "", "EOF"),
    ];
    for (name, json, path, part) in table {
        let problems = problems(json);
        let found = problems
            .iter()
            .any(|one| one.path == path && one.message.contains(part));
        assert!(found, "{name}: {problems:?}");
    }
}

#[test]
fn problems_of_shape_and_of_meaning_come_together() {
    let problems = problems(r#"{ "hosts": 1, "odd": 1, "a/b~c": 2 }"#);
    let mut paths: Vec<_> = problems
        .iter()
        .map(|problem| problem.path.as_str())
        .collect();
    paths.sort_unstable();
    assert_eq!(paths, ["/a~1b~0c", "/hosts", "/limit", "/odd"]);
}

#[test]
fn no_document_is_read_for_ever() {
    let members: Vec<_> = (0..500).map(|n| format!(r#""unknown{n}": 0"#)).collect();
    assert_eq!(
        problems(&format!("{{{}}}", members.join(","))).len(),
        Problem::MAX_COUNT
    );
    let deep = "[".repeat(100_000);
    assert_eq!(problems(&deep).len(), 1);
}

#[test]
fn no_settings_are_the_empty_object() {
    for (json, expected) in [
        ("{}", true),
        ("[]", false),
        ("null", false),
        (r#"{ "a": 1 }"#, false),
    ] {
        assert_eq!(
            serde_json::from_str::<crate::NoSettings>(json).is_ok(),
            expected,
            "{json}"
        );
    }
}

#[test]
fn messages_are_cut_at_a_character() {
    let problem = Problem::new("", "ü".repeat(Problem::MAX_MESSAGE));
    assert_eq!(problem.message.len(), Problem::MAX_MESSAGE);
    let problem = Problem::new("", format!("x{}", "ü".repeat(Problem::MAX_MESSAGE)));
    assert_eq!(problem.message.len(), Problem::MAX_MESSAGE - 1);
}

#[test]
fn an_address_is_judged_by_itself_and_by_what_it_wraps() {
    for (address, granted, public_or_granted, wraps_only_public) in [
        ("93.184.216.34", false, true, true),
        ("10.0.0.7", false, false, true),
        ("10.0.0.7", true, true, true),
        ("64:ff9b::5db8:d822", false, false, true),
        ("64:ff9b::a00:7", false, false, false),
        ("64:ff9b::a00:7", true, true, false),
    ] {
        let mut answer = Answer::classify(address.parse().unwrap());
        answer.granted = granted;
        let found = (answer.is_public_or_granted(), answer.wraps_only_public());
        assert_eq!(
            found,
            (public_or_granted, wraps_only_public),
            "{address} {granted}"
        );
    }
}

#[test]
fn a_label_says_one_thing_or_nothing() {
    for (row, labels, says) in [
        ("nothing", &[][..], false),
        ("it", &[("hours", "open")], true),
        (
            "it among others",
            &[("tenant", "a"), ("hours", "open")],
            true,
        ),
        ("it twice", &[("hours", "open"), ("hours", "open")], true),
        ("both", &[("hours", "open"), ("hours", "closed")], false),
        ("another key", &[("Hours", "open")], false),
        ("another value", &[("hours", "open ")], false),
    ] {
        let request = Request::new(Target::new("https", "example.com", 443));
        let request = labels
            .iter()
            .fold(request, |request, (key, value)| request.label(*key, *value));
        assert_eq!(request.label_is("hours", "open"), says, "{row}");
    }
}

#[test]
fn an_address_is_no_name() {
    assert!(Host::from("example.com").matches("example.com"));
    assert!(!Host::from("192.0.2.7").matches("192.0.2.7"));
}

#[test]
fn a_component_without_settings_denies() {
    let slot = glue::Slot::<Listed>::new();
    let wit::Decision::Deny(denial) = glue::check_target(&slot, wit_request()) else {
        panic!("allowed");
    };
    assert_eq!(denial.code, "policy-missing");
    let verdicts = glue::check_addresses(&slot, wit_request(), wit_resolution());
    assert_eq!(verdicts.len(), 3);
    assert!(
        verdicts
            .iter()
            .all(|verdict| matches!(verdict, wit::Verdict::Deny(_)))
    );
}

#[test]
fn a_component_is_configured_once() {
    let slot = glue::Slot::<Listed>::new();
    let refused = glue::configure(&slot, r#"{ "limit": 0 }"#.into()).unwrap_err();
    assert_eq!(refused[0].path, "/limit");
    assert!(glue::configure(&slot, r#"{ "limit": 7 }"#.into()).is_ok());
    assert!(glue::configure(&slot, r#"{ "limit": 8 }"#.into()).is_err());
    let wit::Decision::Allow(terms) = glue::check_target(&slot, wit_request()) else {
        panic!("denied");
    };
    assert_eq!(terms.redirects, Some(7));
}

#[test]
fn what_crosses_the_border_arrives() {
    let slot = glue::Slot::<Listed>::new();
    glue::configure(
        &slot,
        r#"{ "limit": 1, "hosts": ["[2001:db8::1]"] }"#.into(),
    )
    .unwrap();
    let mut request = wit_request();
    request.target.host =
        wit::TargetHost::Ip(wit::IpAddress::Ipv6((0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)));
    let wit::Decision::Deny(denial) = glue::check_target(&slot, request) else {
        panic!("allowed")
    };
    assert_eq!(
        (denial.code.as_str(), denial.message.len()),
        ("listed", Denial::MAX_MESSAGE)
    );

    let verdicts = glue::check_addresses(&slot, wit_request(), wit_resolution());
    let allowed: Vec<_> = verdicts
        .iter()
        .map(|verdict| matches!(verdict, wit::Verdict::Allow))
        .collect();
    assert_eq!(allowed, [true, false, false]);
}

#[test]
fn a_request_keeps_every_field() {
    let request = Request::from(wit_request());
    assert_eq!(request.target.to_string(), "https://example.com:8443");
    assert_eq!(
        (
            request.target.path.as_str(),
            request.target.query.as_deref()
        ),
        ("/p", Some("q"))
    );
    assert!(request.target.spelling.userinfo && !request.target.spelling.non_canonical_literal);
    assert_eq!(
        (request.method.as_deref(), request.subject.as_deref()),
        (Some("GET"), Some("me"))
    );
    assert_eq!(
        (request.label_value("k"), request.label_value("x")),
        (Some("v"), None)
    );
    assert_eq!(request.hop, 1);
    assert_eq!(request.previous.unwrap().to_string(), "http://[::1]:80");

    let resolution = Resolution::from(wit_resolution());
    assert_eq!(resolution.chain, ["alias.example"]);
    let mapped = &resolution.answers[2];
    assert_eq!(mapped.address, "::ffff:10.0.0.1".parse::<IpAddr>().unwrap());
    assert_eq!((mapped.class, mapped.granted), (Class::Translated, true));
    assert_eq!(mapped.embedded[0].address.octets(), [10, 0, 0, 1]);
    assert_eq!(
        (mapped.embedded[0].form, mapped.embedded[0].class),
        (Embedding::Mapped, Class::Private)
    );
}

#[test]
fn a_description_keeps_every_field() {
    let wit_settings::Description {
        name,
        version,
        summary,
        settings_schema,
    } = glue::describe::<Listed>();
    assert_eq!((name.as_str(), version.as_str()), ("listed", "1.2.3"));
    assert_eq!(
        (summary.as_str(), settings_schema.as_str()),
        ("a list", "{}")
    );
}

fn problems(json: &str) -> Vec<Problem> {
    configure::<Listed>(json).err().unwrap_or_default()
}

fn wit_request() -> wit::Request {
    let target = |scheme: &str, host, port| wit::Target {
        scheme: scheme.into(),
        host,
        port,
        path: "/p".into(),
        query: Some("q".into()),
        spelling: wit::Spelling::USERINFO,
    };
    let loopback = wit::TargetHost::Ip(wit::IpAddress::Ipv6((0, 0, 0, 0, 0, 0, 0, 1)));
    wit::Request {
        target: target("https", wit::TargetHost::Domain("example.com".into()), 8443),
        method: Some("GET".into()),
        subject: Some("me".into()),
        labels: vec![("k".into(), "v".into())],
        hop: 1,
        previous: Some(target("http", loopback, 80)),
    }
}

fn wit_resolution() -> wit::Resolution {
    let answer = |address, class, embedded, granted| wit::Answer {
        address,
        class,
        embedded,
        granted,
    };
    let mapped = wit::Embedded {
        form: wit::Embedding::Mapped,
        address: (10, 0, 0, 1),
        class: wit::AddressClass::Private,
    };
    let v6 = wit::IpAddress::Ipv6((0, 0, 0, 0, 0, 0xffff, 0x0a00, 1));
    wit::Resolution {
        chain: vec!["alias.example".into()],
        answers: vec![
            answer(
                wit::IpAddress::Ipv4((8, 8, 8, 8)),
                wit::AddressClass::Public,
                vec![],
                false,
            ),
            answer(
                wit::IpAddress::Ipv4((10, 0, 0, 1)),
                wit::AddressClass::Private,
                vec![],
                false,
            ),
            answer(v6, wit::AddressClass::Translated, vec![mapped], true),
        ],
    }
}
