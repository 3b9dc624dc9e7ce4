//! Several policies in a chain.

use std::{
    sync::atomic::{AtomicBool, AtomicU64},
    thread,
};

use super::*;
use crate::policy::{Layer, tests::guests};

pub(super) fn fixture(name: &str) -> Source {
    Source::Bytes(guests::component(name).into())
}

/// The shipped policy.
fn shipped(name: &str, settings: Value) -> Layer {
    Layer::new(name, Source::Shipped).settings(settings)
}

fn chain(rules: &[&str], layers: impl IntoIterator<Item = Layer>) -> Bench {
    Bench::with(rules, |builder| {
        let limits = Limits {
            policy_instances: 64,
            ..Limits::default()
        };
        layers
            .into_iter()
            .fold(builder.limits(limits), GuardBuilder::layer)
    })
}

impl Bench {
    /// The outcome, and the layer that is blamed for it.
    async fn blamed(&self, url: &str) -> (String, Option<String>) {
        let outcome = self.pin(url).await;
        let decision = self.seen.all().pop().unwrap();
        (outcome, decision.denied_by.clone())
    }
}

#[tokio::test]
async fn the_first_denial_in_order_wins_and_names_its_layer() {
    let bench = chain(
        &[
            "a.example.com=93.184.216.34",
            "private.example.com=10.0.0.1",
        ],
        [
            shipped("organisation", json!({"ports": [443]})),
            shipped("team", json!({"hosts": {"deny": ["bad.example.com"]}})),
        ],
    );
    let table = [
        (
            "allowed",
            "https://a.example.com/",
            "93.184.216.34:443",
            None,
        ),
        (
            "by the first",
            "http://a.example.com/",
            "port-denied@scheme",
            Some("organisation"),
        ),
        (
            "by the second",
            "https://bad.example.com/",
            "host-denied@name",
            Some("team"),
        ),
        (
            "by both",
            "http://bad.example.com/",
            "port-denied@scheme",
            Some("organisation"),
        ),
        (
            "at stage two",
            "https://private.example.com/",
            "address-not-public@resolve",
            Some("organisation"),
        ),
        (
            "by the floor",
            "https://127.0.0.1/",
            "address-floor@address",
            None,
        ),
        (
            "by the lookup",
            "https://nobody.example.com/",
            "resolve-no-answer@resolve",
            None,
        ),
    ];
    for (row, url, outcome, layer) in table {
        let expected = (outcome.to_owned(), layer.map(str::to_owned));
        assert_eq!(bench.blamed(url).await, expected, "{row}");
    }
    // What a policy denies is not looked up, whichever policy it is.
    assert_eq!(bench.lookups(), 3);
    for decision in bench.seen.all() {
        let names: Vec<_> = decision
            .layers
            .iter()
            .map(|policy| policy.layer.as_deref())
            .collect();
        assert_eq!(names, [Some("organisation"), Some("team")]);
        let first = decision.denied_by.clone().or(Some("organisation".into()));
        assert_eq!(decision.policy.layer, first);
    }
}

#[tokio::test]
async fn an_address_that_any_layer_refuses_is_refused() {
    let layer = |name, denied: &str| {
        let networks = json!({"mixed_answers": "filter", "networks": {"deny": [denied]}});
        shipped(name, networks)
    };
    let rules = [
        "some.example.com=8.8.8.8,93.184.216.34,1.1.1.1",
        "first.example.com=8.8.8.8,1.1.1.1",
        "second.example.com=1.1.1.1,8.8.8.8",
    ];
    let bench = chain(
        &rules,
        [
            layer("organisation", "8.8.8.0/24"),
            layer("team", "1.1.1.0/24"),
        ],
    );
    let table = [
        ("some", "93.184.216.34:80", None),
        ("first", "address-denied@resolve", Some("organisation")),
        ("second", "address-denied@resolve", Some("team")),
    ];
    for (name, outcome, layer) in table {
        let url = format!("http://{name}.example.com/");
        let expected = (outcome.to_owned(), layer.map(str::to_owned));
        assert_eq!(bench.blamed(&url).await, expected, "{name}");
    }
}

#[tokio::test]
async fn terms_combine_to_the_strictest() {
    let limits = |name, limits: Value| shipped(name, json!({ "limits": limits }));
    let bench = chain(
        &["a.example.com=93.184.216.34"],
        [
            limits("organisation", json!({"redirects": 3, "response_kib": 9})),
            limits("team", json!({"redirects": 5, "total_timeout_ms": 2000})),
            limits(
                "service",
                json!({"response_kib": 1, "total_timeout_ms": 4000}),
            ),
        ],
    );
    let pinned = bench
        .guard
        .pin(get("https://a.example.com/"))
        .await
        .unwrap();
    let terms = pinned.terms();
    assert_eq!(terms.redirects, Some(3));
    assert_eq!(terms.response_bytes, Some(1 << 10));
    assert_eq!(terms.total_timeout, Some(Duration::from_secs(2)));
}

#[tokio::test]
async fn a_layer_that_fails_denies_all_and_is_named() {
    for (name, outcome) in [
        ("unreachable", "policy-trapped@policy"),
        ("unreachable-in-check-addresses", "policy-trapped@policy"),
        ("verdicts-none", "policy-verdict-count@policy"),
    ] {
        let layers = ["good", name, "good"].into_iter().zip(["a", "faulty", "c"]);
        let layers = layers.map(|(policy, layer)| Layer::new(layer, fixture(policy)));
        let bench = chain(&["a.example.com=93.184.216.34"], layers);
        let expected = (outcome.to_owned(), Some("faulty".to_owned()));
        assert_eq!(
            bench.blamed("https://a.example.com/").await,
            expected,
            "{name}"
        );
    }
}

#[tokio::test]
async fn a_hop_holds_one_instance_however_long_the_chain() {
    let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let limits = Limits {
        policy_instances: 1,
        ..Limits::default()
    };
    let bench = Bench::with(&["a.example.com=93.184.216.34"], |builder| {
        let layers = names.map(|name| Layer::new(name, fixture("good")));
        layers
            .into_iter()
            .fold(builder.limits(limits), GuardBuilder::layer)
    });
    assert_eq!(bench.pin("http://a.example.com/").await, "93.184.216.34:80");
    // Someone else has the only one.
    let active = bench.guard.core.policies.current();
    let _other = active.judge().unwrap();
    assert_eq!(
        bench.pin("http://a.example.com/").await,
        "policy-busy@policy"
    );
}

#[test]
fn a_judge_keeps_what_each_layer_was_asked_and_answered() {
    let layers = [("a", "good"), ("b", "good"), ("c", "deny"), ("d", "good")];
    let bench = chain(
        &[],
        layers.map(|(layer, policy)| Layer::new(layer, fixture(policy))),
    );
    let mut judge = bench
        .guard
        .core
        .policies
        .current()
        .judge()
        .unwrap()
        .recording();
    assert!(judge.check_target(&get("http://a.example.com/")).is_err());
    let answered = judge.answered();
    let told: Vec<_> = answered
        .iter()
        .map(|one| {
            (
                one.policy.layer.as_deref().unwrap(),
                one.target.as_ref().unwrap().is_ok(),
            )
        })
        .collect();
    assert_eq!(told, [("a", true), ("b", true), ("c", false)]);
    assert!(answered.iter().all(|one| one.addresses.is_none()));
    assert!(judge.answered().is_empty());

    let bench = chain(
        &[],
        ["a", "b"].map(|layer| Layer::new(layer, fixture("good"))),
    );
    let mut judge = bench
        .guard
        .core
        .policies
        .current()
        .judge()
        .unwrap()
        .recording();
    let request = get("http://a.example.com/");
    judge.check_target(&request).unwrap();
    judge.check_addresses(&request, &[], &[]).unwrap();
    for one in judge.answered() {
        assert_eq!(one.addresses, Some(Ok(vec![])), "{:?}", one.policy.layer);
    }
    let mut silent = bench.guard.core.policies.current().judge().unwrap();
    silent.check_target(&request).unwrap();
    assert!(silent.answered().is_empty());
}

#[tokio::test]
async fn a_bad_layer_keeps_the_last_good_chain() {
    let layers = || ["a", "b"].map(|name| Layer::new(name, fixture("good")));
    let bench = chain(&["a.example.com=93.184.216.34"], layers());
    let guard = &bench.guard;
    let before = guard.policies();
    let bad = || Source::Bytes(b"junk"[..].into());
    let nine = (0..9).map(|n| Layer::new(format!("l{n}"), fixture("good")));
    let table = [
        ("junk in one", guard.swap_layer("b", bad(), json!({}))),
        (
            "junk in a chain",
            guard.swap_layers(
                layers()
                    .into_iter()
                    .chain([Layer::new("c", bad())])
                    .collect(),
            ),
        ),
        ("unknown", guard.swap_layer("c", fixture("deny"), json!({}))),
        ("unnamed", guard.swap(fixture("deny"), json!({}))),
        ("none", guard.swap_layers(Vec::new())),
        ("many", guard.swap_layers(nine.collect())),
        (
            "twice",
            guard.swap_layers(layers().into_iter().chain(layers()).collect()),
        ),
        (
            "name",
            guard.swap_layers(vec![Layer::new("A", fixture("deny"))]),
        ),
    ];
    let mut said = std::collections::BTreeSet::new();
    for (row, swapped) in table {
        let error = swapped.expect_err(row);
        assert!(!error.hint().is_empty(), "{row}");
        assert!(said.insert(error.to_string()), "{row}: {error}");
        assert_eq!(guard.policies(), before, "{row}");
    }
    assert!(
        said.iter()
            .any(|text| text.starts_with("layer `b`: not a component")),
        "{said:?}"
    );
    assert_eq!(bench.pin("http://a.example.com/").await, "93.184.216.34:80");
}

#[tokio::test]
async fn one_layer_is_replaced_and_the_whole_chain_counts_on() {
    let bench = chain(
        &["a.example.com=93.184.216.34"],
        ["a", "b"].map(|name| Layer::new(name, fixture("good"))),
    );
    let guard = &bench.guard;
    let before = guard.session();
    assert_eq!(guard.swap_layer("b", fixture("deny"), json!({})), Ok(2));
    let generations: Vec<_> = guard.policies().iter().map(|p| p.generation).collect();
    assert_eq!(generations, [2, 2]);
    let denied = ("fixture@name".to_owned(), Some("b".to_owned()));
    assert_eq!(bench.blamed("http://a.example.com/").await, denied);
    // Who began before ends under what it began with.
    assert!(before.pin(get("http://a.example.com/")).await.is_ok());
    assert_eq!(
        guard.swap_layers(vec![Layer::new("c", fixture("good"))]),
        Ok(3)
    );
    assert_eq!(guard.policies()[0].layer.as_deref(), Some("c"));
    assert_eq!(guard.swap(fixture("good"), json!({"again": 1})), Ok(4));
    assert_eq!(bench.pin("http://a.example.com/").await, "93.184.216.34:80");
}

#[test]
fn a_chain_is_swapped_as_one_while_requests_run() {
    let chain_of = |n: u64| {
        ["a", "b", "c"].map(|name| Layer::new(name, fixture("good")).settings(json!({ "n": n })))
    };
    let bench = chain(&[], chain_of(0));
    let (stop, seen) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(0)),
    );
    let worker = thread::spawn({
        let (guard, stop, seen) = (bench.guard.clone(), stop.clone(), seen.clone());
        move || {
            while !stop.load(Ordering::Relaxed) {
                let session = guard.session();
                let first = session.policy().clone();
                // All layers of a chain have the same settings: one of another chain would differ.
                let same = |p: &PolicyRef| {
                    (&p.settings_digest, p.generation) == (&first.settings_digest, first.generation)
                };
                assert!(session.policies().all(same));
                assert!(session.admit(get("http://a.example.com/")).is_ok());
                seen.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    for n in 1..20 {
        let swapped = bench.guard.swap_layers(chain_of(n).into());
        assert_eq!(swapped, Ok(n + 1));
    }
    stop.store(true, Ordering::Relaxed);
    worker.join().unwrap();
    assert!(seen.load(Ordering::Relaxed) > 20);
}

#[test]
fn which_layers_a_builder_makes() {
    let names = |builder: GuardBuilder| {
        let guard = builder.resolver(Fixed::default()).build().unwrap();
        let layers = guard.policies().into_iter().map(|policy| policy.layer);
        layers.collect::<Vec<_>>()
    };
    let team = || Layer::new("team", fixture("good"));
    let builder = Guard::builder;
    let named = |name: &str| Some(name.to_owned());
    assert_eq!(names(builder()), [None]);
    assert_eq!(names(builder().policy(fixture("good"))), [None]);
    assert_eq!(names(builder().layer(team())), [named("team")]);
    for builder in [
        builder().policy(fixture("good")).layer(team()),
        builder().layer(team()).settings(json!({})),
    ] {
        assert_eq!(names(builder), [named("policy"), named("team")]);
    }
}
