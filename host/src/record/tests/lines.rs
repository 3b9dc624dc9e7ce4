//! Lines of real guards, and of those who forge them.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Forged, forged};
use crate::{
    Decision, Guard, GuardBuilder, Limits, Request,
    addr::Target,
    policy::{Evaluator, Layer, Source},
    record::{Entry, Inputs, Redaction, entry, redact::Redacted, replay},
    resolve::Fixed,
};

fn fixed() -> Fixed {
    [
        "public.example=93.184.216.34",
        "private.example=10.0.0.7",
        "loopback.example=127.0.0.1",
        "mixed.example=93.184.216.34,10.0.0.7",
        "translated.example=2001:db8:64::5db8:d822",
    ]
    .into_iter()
    .fold(Fixed::default(), |fixed, rule| fixed.rule(rule).unwrap())
}

fn builder() -> GuardBuilder {
    Guard::builder()
        .resolver(fixed())
        .record_inputs(Inputs::Keep)
}

fn layered(guard: GuardBuilder) -> GuardBuilder {
    guard
        .layer(Layer::new("organisation", Source::Shipped))
        .layer(Layer::new("team", Source::Shipped))
}

fn get(url: &str) -> Request {
    Request::new(Target::parse(url).unwrap())
        .method("GET")
        .subject("tenant-7")
}

async fn decided(guard: &Guard, request: Request) -> Arc<Decision> {
    guard.check(request).await
}

fn written(decision: &Decision, redaction: Redaction) -> Value {
    let line = entry::line(Redacted::of(decision, redaction)).unwrap();
    serde_json::from_slice(&line).unwrap()
}

fn read(line: Value) -> Result<Entry, String> {
    serde_json::from_value(line).map_err(|error| error.to_string())
}

#[tokio::test]
async fn what_a_guard_writes_does_not_contradict_itself() {
    let nat64 = ["2001:db8:64::/96".parse().unwrap()];
    let guards = [
        ("alone", builder().build().unwrap()),
        ("a chain", layered(builder()).build().unwrap()),
        (
            "granted",
            builder()
                .grants(["127.0.0.1".parse().unwrap()])
                .build()
                .unwrap(),
        ),
        ("NAT64", builder().nat64(nat64).build().unwrap()),
    ];
    let mut labelled = get("https://public.example/");
    for at in 0..40 {
        labelled = labelled.label("k", at.to_string());
    }
    let first = get("https://public.example/a");
    let second = first.redirected(Target::parse("https://private.example/b?c").unwrap(), "GET");
    let requests = [
        ("allowed", first),
        ("private", get("https://private.example/?q")),
        ("loopback", get("https://loopback.example/")),
        ("mixed", get("https://mixed.example/secret")),
        ("translated", get("https://translated.example/")),
        ("unknown", get("https://unknown.example/")),
        ("single label", get("https://intern/")),
        ("metadata name", get("http://metadata.google.internal/")),
        ("literal", get("http://93.184.216.34/")),
        ("private literal", get("http://10.0.0.1/")),
        ("loopback literal", get("http://127.0.0.1/")),
        ("metadata literal", get("http://169.254.169.254/latest")),
        ("denied port", get("http://public.example:22/")),
        ("too many labels", labelled),
        ("a redirect", second),
    ];
    for (of, guard) in &guards {
        for (row, request) in &requests {
            let decision = decided(guard, request.clone()).await;
            for redaction in [Redaction::NONE, Redaction::ALL] {
                let entry = read(written(&decision, redaction));
                let entry = entry.unwrap_or_else(|error| panic!("{of}, {row}: {error}"));
                assert_eq!(entry.contradictions(), [], "{of}, {row}");
            }
        }
    }
}

#[tokio::test]
async fn a_hop_that_is_given_up_does_not_contradict_itself() {
    let seen = crate::event::testing::Seen::default();
    let guard = builder().observer(Arc::new(seen.clone())).build().unwrap();
    for url in ["https://public.example/", "http://93.184.216.34/"] {
        drop(guard.session().admit(get(url)).unwrap());
        drop(guard.pin(get(url)).await.unwrap());
    }
    for decision in seen.all() {
        let entry = read(written(&decision, Redaction::NONE)).unwrap();
        assert_eq!(entry.contradictions(), [], "{entry:#?}");
    }
}

/// A name, a line, what is forged in it, and the fields in which it then contradicts itself.
type Row<'a> = (&'a str, &'a Value, Vec<Forged<'a>>, &'a [&'a str]);

#[tokio::test]
async fn a_headline_that_is_forged_shows() {
    let guard = layered(builder()).build().unwrap();
    let allowed = written(
        &*decided(&guard, get("https://public.example/")).await,
        Redaction::NONE,
    );
    let denied = written(
        &*decided(&guard, get("https://private.example/")).await,
        Redaction::NONE,
    );
    let floor = written(
        &*decided(&guard, get("http://127.0.0.1/")).await,
        Redaction::NONE,
    );
    let unjudged = [
        ("/input/answered/0/addresses", Value::Null),
        ("/input/answered/1/addresses", Value::Null),
    ];
    let other = allowed["layers"][1].clone();
    let table: Vec<Row<'_>> = vec![
        (
            "target",
            &allowed,
            vec![("/target", json!("https://other.example:443"))],
            &["target"],
        ),
        (
            "subject",
            &allowed,
            vec![("/subject", json!("tenant-8"))],
            &["subject"],
        ),
        (
            "method",
            &allowed,
            vec![("/method", json!("PUT"))],
            &["method"],
        ),
        ("hop", &allowed, vec![("/hop", json!(1))], &["hop"]),
        (
            "chain",
            &allowed,
            vec![("/chain", json!(["alias.example"]))],
            &["chain"],
        ),
        (
            "layers",
            &allowed,
            vec![("/layers", json!([other]))],
            &["layers", "policy"],
        ),
        (
            "no layers",
            &allowed,
            vec![("/layers", json!([]))],
            &["layers"],
        ),
        (
            "policy",
            &denied,
            vec![("/policy", other.clone())],
            &["policy"],
        ),
        (
            "addresses",
            &denied,
            vec![("/addresses/0/denial", Value::Null)],
            &["addresses"],
        ),
        (
            "no addresses",
            &denied,
            vec![("/addresses", json!([]))],
            &["addresses"],
        ),
        (
            "an allow with a code",
            &denied,
            vec![("/verdict", json!("allow"))],
            &["verdict"],
        ),
        (
            "a denial that was an allow",
            &allowed,
            vec![("/verdict", json!("deny"))],
            &["verdict"],
        ),
        (
            "an allow that was a denial",
            &denied,
            vec![("/verdict", json!("allow"))],
            &["verdict"],
        ),
        (
            "an allow that the floor refused",
            &floor,
            vec![("/verdict", json!("allow"))],
            &["verdict"],
        ),
        (
            "code",
            &denied,
            vec![("/code", json!("host-denied"))],
            &["verdict"],
        ),
        (
            "stage",
            &denied,
            vec![("/stage", json!("name"))],
            &["verdict"],
        ),
        (
            "detail",
            &denied,
            vec![("/detail", json!("other"))],
            &["verdict"],
        ),
        (
            "given up after a denial",
            &denied,
            vec![("/verdict", json!("failed")), ("/code", json!("abandoned"))],
            &["verdict"],
        ),
        (
            "addresses left out",
            &allowed,
            unjudged.to_vec(),
            &["addresses", "verdict"],
        ),
        (
            "nobody was asked",
            &allowed,
            vec![
                ("/input/answered", json!([])),
                ("/input/answers", json!([])),
                ("/input/floor", json!([])),
            ],
            &["addresses", "verdict"],
        ),
    ];
    for (row, line, places, fields) in table {
        let entry =
            read(forged(line.clone(), &places)).unwrap_or_else(|error| panic!("{row}: {error}"));
        let found: Vec<_> = entry
            .contradictions()
            .into_iter()
            .map(|found| found.field)
            .collect();
        assert_eq!(found, fields, "{row}");
    }
}

#[tokio::test]
async fn lines_that_nobody_writes_are_refused() {
    let guard = layered(builder()).build().unwrap();
    let line = written(
        &*decided(&guard, get("https://public.example/")).await,
        Redaction::NONE,
    );
    let layer = line["layers"][0].clone();
    for (row, place, value, problem) in [
        (
            "3,000 layers",
            "/layers",
            json!(vec![layer.clone(); 3_000]),
            "`layers` has 3000 entries",
        ),
        (
            "a layer twice",
            "/layers",
            json!([layer, layer]),
            "has a name twice",
        ),
        (
            "a name that clears the screen",
            "/layers/0/layer",
            json!("\u{1b}[2J"),
            "no name of a layer",
        ),
        (
            "a policy that does",
            "/policy/layer",
            json!("a\nb"),
            "no name of a layer",
        ),
    ] {
        let error = read(forged(line.clone(), &[(place, value)])).unwrap_err();
        assert!(error.contains(problem), "{row}: {error}");
    }
}

/// Two layers with one component and the same settings: each is compared with its own answer.
#[tokio::test]
async fn each_layer_is_replayed_for_itself() {
    let guard = layered(builder()).build().unwrap();
    let line = written(
        &*decided(&guard, get("https://public.example/")).await,
        Redaction::NONE,
    );
    let denial = json!({"stage": "resolve", "code": "own", "detail": ""});
    let line = forged(line, &[("/input/answered/1/addresses/0", denial)]);
    let input = read(line).unwrap().input.unwrap();
    let policy = Evaluator::load(Source::Shipped, json!({}), &Limits::default()).unwrap();
    let differences = |place| replay(&policy, &input, place).map(|again| again.differences.len());
    assert_eq!([0, 1, 2].map(differences), [Some(0), Some(1), None]);
}

/// Without an input nobody can tell what a policy quoted.
#[tokio::test]
async fn details_of_policies_are_withheld_where_inputs_are_not_recorded() {
    let guard = Guard::builder().resolver(fixed()).build().unwrap();
    for (row, url, withheld) in [
        ("refused by the policy", "https://intern/token=secret", true),
        (
            "an address that it refused",
            "https://private.example/token=secret",
            true,
        ),
        ("refused by the floor", "http://127.0.0.1/", false),
        ("failed lookup", "https://unknown.example/token", false),
        ("allowed", "https://public.example/token", false),
    ] {
        let decision = decided(&guard, get(url)).await;
        let line = written(&decision, Redaction::ALL);
        assert_eq!(
            line["redacted"] == json!(["detail"]),
            withheld,
            "{row}: {line}"
        );
        assert_eq!(
            line["detail"] == Redaction::DETAIL,
            withheld,
            "{row}: {line}"
        );
        let each = line["addresses"].as_array().unwrap().iter();
        let mut denials = each.filter_map(|judged| judged["denial"]["detail"].as_str());
        assert!(
            denials.all(|detail| (detail == Redaction::DETAIL) == withheld),
            "{row}: {line}"
        );
        let open = written(&decision, Redaction::NONE);
        assert_eq!(open["redacted"], Value::Null, "{row}");
    }
}

/// What was let pass may quote as much as what was denied.
#[tokio::test]
async fn what_was_let_pass_is_withheld_like_a_denial() {
    for keep in [true, false] {
        let guard = match keep {
            true => builder(),
            false => Guard::builder().resolver(fixed()),
        };
        let guard = guard.build().unwrap();
        let url = "https://private.example/token=secret?secret";
        let session = guard.session().reporting();
        let pinned = session.pin(get(url)).await.unwrap();
        let peer = pinned.addresses()[0];
        let reused = pinned.reused(peer).unwrap();
        let line = written(&reused.decision, Redaction::ALL);
        assert_eq!(
            (&line["verdict"], line["would_deny"].is_null()),
            (&json!("allow"), false)
        );
        assert!(!line.to_string().contains("secret"), "{line}");
        let withheld = line["would_deny"]["detail"] == Redaction::DETAIL;
        assert_eq!(
            withheld, !keep,
            "asked again, the policy says the same: {line}"
        );
        assert_eq!(read(line).unwrap().contradictions(), []);
    }
}
