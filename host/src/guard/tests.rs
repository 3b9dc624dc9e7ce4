//! The guard with the shipped policy and fixed answers; no network except loopback.

use std::{
    net::IpAddr,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use pinfold_addr::{Class, Classifier, Domain, Reason, Stage, Target};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    addresses::{HOLD, merge, refusal, survivors},
    *,
};
use crate::{
    Denial, JudgedAddress, Outcome, Terms,
    event::testing::Seen,
    resolve::{Answers, Broken, Fixed, ResolveError, Resolving},
};

mod chain;
mod report;

/// Counts lookups.
#[derive(Debug, Default)]
struct Counted {
    fixed: Fixed,
    lookups: Arc<AtomicUsize>,
}

impl Resolve for Counted {
    fn resolve<'a>(&'a self, name: &'a Domain) -> Resolving<'a> {
        self.lookups.fetch_add(1, Ordering::Relaxed);
        self.fixed.resolve(name)
    }
}

/// Never answers.
#[derive(Debug)]
struct Silent;

impl Resolve for Silent {
    fn resolve<'a>(&'a self, _: &'a Domain) -> Resolving<'a> {
        Box::pin(std::future::pending())
    }
}

struct Bench {
    guard: Guard,
    seen: Seen,
    lookups: Arc<AtomicUsize>,
}

impl Bench {
    fn with(rules: &[&str], build: impl FnOnce(GuardBuilder) -> GuardBuilder) -> Self {
        let (seen, lookups) = (Seen::default(), Arc::new(AtomicUsize::new(0)));
        let fixed = rules
            .iter()
            .fold(Fixed::default(), |fixed, rule| fixed.rule(rule).unwrap());
        let resolver = Counted {
            fixed,
            lookups: lookups.clone(),
        };
        let builder = Guard::builder().resolver(resolver).observer(seen.clone());
        Self {
            guard: build(builder).build().unwrap(),
            seen,
            lookups,
        }
    }

    fn new(rules: &[&str]) -> Self {
        Self::with(rules, |builder| builder)
    }

    fn settings(rules: &[&str], settings: Value) -> Self {
        Self::with(rules, |builder| builder.settings(settings))
    }

    /// `code@stage`, or the pinned addresses.
    async fn pin(&self, url: &str) -> String {
        outcome(self.guard.pin(get(url)).await)
    }

    fn lookups(&self) -> usize {
        self.lookups.load(Ordering::Relaxed)
    }
}

fn get(url: &str) -> Request {
    Request::new(Target::parse(url).unwrap()).method("GET")
}

fn outcome(pinned: Result<Pinned, Error>) -> String {
    match pinned {
        Ok(pinned) => {
            let addresses: Vec<_> = pinned.addresses().iter().map(ToString::to_string).collect();
            addresses.join(" ")
        }
        Err(error) => format!("{}@{}", error.denial().code(), error.denial().stage()),
    }
}

#[tokio::test]
async fn what_is_pinned_and_what_is_refused() {
    let bench = Bench::new(&[
        "public.example=93.184.216.34",
        "both.example=93.184.216.34,93.184.216.35,2606:4700::1",
        "private.example=10.0.0.1",
        "loop.example=127.0.0.1",
        "mapped.example=::ffff:127.0.0.1",
        "mixed.example=93.184.216.34,10.0.0.1",
        "mixed-floor.example=93.184.216.34,127.0.0.1",
        "zone.example=fe80::1%eth0",
    ]);
    let table = [
        ("public", "https://public.example/", "93.184.216.34:443"),
        (
            "families alternate",
            "http://both.example/",
            "93.184.216.34:80 [2606:4700::1]:80 93.184.216.35:80",
        ),
        (
            "a literal",
            "http://93.184.216.34:8080/",
            "93.184.216.34:8080",
        ),
        (
            "private",
            "http://private.example/",
            "address-not-public@resolve",
        ),
        (
            "private literal",
            "http://10.0.0.1/",
            "address-not-public@address",
        ),
        (
            "loopback literal",
            "http://127.0.0.1/",
            "address-floor@address",
        ),
        ("mixed", "http://mixed.example/", "answers-mixed@resolve"),
        (
            "mixed with the floor",
            "http://mixed-floor.example/",
            "answers-mixed@resolve",
        ),
        ("zone", "http://zone.example/", "address-scoped@resolve"),
        (
            "metadata by name",
            "http://metadata.google.internal/",
            "name-metadata@name",
        ),
        (
            "no such name",
            "http://nobody.example/",
            "resolve-no-answer@resolve",
        ),
    ];
    for (row, url, expected) in table {
        assert_eq!(bench.pin(url).await, expected, "{row}");
    }
    for name in ["loop", "mapped"] {
        let refused = bench.pin(&format!("http://{name}.example/")).await;
        assert!(
            refused.ends_with("@resolve") && refused.starts_with("address-"),
            "{name}: {refused}"
        );
    }
}

#[tokio::test]
async fn one_lookup_for_each_hop_and_none_for_what_is_denied() {
    let bench = Bench::new(&["a.example=93.184.216.34"]);
    bench.pin("http://a.example/").await;
    assert_eq!(bench.lookups(), 1);
    bench.pin("http://metadata.google.internal/").await;
    bench.pin("http://user@a.example/").await;
    bench.pin("http://127.0.0.1/").await;
    bench.pin("http://93.184.216.34/").await;
    assert_eq!(bench.lookups(), 1);
}

#[tokio::test]
async fn filter_pins_the_good_and_records_the_bad() {
    let rules = ["mixed.example=10.0.0.1,93.184.216.34,127.0.0.1"];
    let bench = Bench::settings(&rules, json!({"mixed_answers": "filter"}));
    assert_eq!(bench.pin("http://mixed.example/").await, "93.184.216.34:80");
    let decision = bench.seen.only();
    let refused: Vec<_> = decision
        .addresses
        .iter()
        .map(|judged| judged.denial.is_some())
        .collect();
    assert_eq!(refused, [true, false, true]);
}

#[tokio::test]
async fn a_grant_opens_the_floor_and_a_listener_stays_shut() {
    let rules = ["a.example=127.0.0.2"];
    let bench = Bench::with(&rules, |builder| {
        builder
            .grants(["127.0.0.0/8".parse().unwrap()])
            .listeners(["127.0.0.2:3128".parse().unwrap()])
    });
    assert_eq!(bench.pin("http://a.example:8080/").await, "127.0.0.2:8080");
    assert_eq!(bench.pin("http://127.0.0.2:8080/").await, "127.0.0.2:8080");
    assert_eq!(
        bench.pin("http://127.0.0.2:3128/").await,
        "address-own@address"
    );
    assert!(
        bench
            .pin("http://a.example:3128/")
            .await
            .ends_with("@resolve")
    );
}

#[tokio::test]
async fn resolvers_are_held_to_the_limits() {
    let many = |count: u8| (0..count).map(|last| IpAddr::from([93, 184, 216, last]));
    let name = |text: &str| Domain::parse(text).unwrap();
    let chain = |count: usize| (0..count).map(|n| name(&format!("n{n}.example"))).collect();
    let fixed = Fixed::default()
        .with(name("none.example"), Answers::default())
        .with(name("most.example"), Answers::from_addresses(many(64)))
        .with(name("many.example"), Answers::from_addresses(many(65)))
        .with(
            name("long.example"),
            Answers {
                chain: chain(17),
                ..Answers::from_addresses(many(1))
            },
        );
    let guard = Guard::builder().resolver(fixed).build().unwrap();
    let pin = async |url| outcome(guard.pin(get(url)).await);
    assert_eq!(
        pin("http://none.example/").await,
        "resolve-no-answer@resolve"
    );
    assert_eq!(
        pin("http://many.example/").await,
        "resolve-too-many-answers@resolve"
    );
    assert_eq!(
        pin("http://long.example/").await,
        "resolve-chain-too-long@resolve"
    );
    let pinned = guard.pin(get("http://most.example/")).await.unwrap();
    assert_eq!(pinned.addresses().len(), guard.limits().attempts);
}

#[tokio::test(start_paused = true)]
async fn a_silent_resolver_is_a_timeout() {
    let guard = Guard::builder().resolver(Silent).build().unwrap();
    let start = Instant::now();
    let error = guard.pin(get("http://a.example/")).await.unwrap_err();
    assert!(error.is_timeout() && !error.is_denied());
    assert_eq!(start.elapsed(), guard.limits().resolve);
}

#[tokio::test]
async fn redirects_are_judged_and_terms_only_tighten() {
    let rules = ["a.example=93.184.216.34", "b.example=10.0.0.1"];
    let bench = Bench::settings(&rules, json!({"limits": {"redirects": 1}}));
    let session = bench.guard.session();
    let hop0 = get("https://a.example/");
    let pinned = session.pin(hop0.clone()).await.unwrap();
    assert_eq!(pinned.terms().redirects, Some(1));

    let to_b = hop0.redirected(Target::parse("http://b.example/").unwrap(), "GET");
    assert_eq!(
        outcome(session.pin(to_b).await),
        "address-not-public@resolve"
    );
    let hop1 = hop0.redirected(hop0.target().join("/next").unwrap(), "GET");
    assert_eq!(
        outcome(session.pin(hop1.clone()).await),
        "93.184.216.34:443"
    );
    let hop2 = hop1.redirected(hop1.target().join("/last").unwrap(), "GET");
    assert_eq!(
        outcome(session.pin(hop2).await),
        "redirect-too-many@redirect"
    );
}

#[test]
fn what_earlier_hops_demand() {
    let hop = |url: &str, hop| Request { hop, ..get(url) };
    let terms = |redirects, https_only| Terms {
        redirects,
        https_only,
        ..Terms::default()
    };
    let table = [
        (
            "no terms",
            hop("http://a.example/", 9),
            terms(None, false),
            None,
        ),
        (
            "within the budget",
            hop("http://a.example/", 2),
            terms(Some(2), false),
            None,
        ),
        (
            "beyond it",
            hop("http://a.example/", 3),
            terms(Some(2), false),
            Some("redirect-too-many"),
        ),
        (
            "no redirects at all",
            hop("http://a.example/", 1),
            terms(Some(0), false),
            Some("redirect-too-many"),
        ),
        (
            "the counter ends",
            hop("http://a.example/", 255),
            terms(Some(255), false),
            Some("redirect-too-many"),
        ),
        (
            "plain where TLS is due",
            hop("http://a.example/", 0),
            terms(None, true),
            Some("https-required"),
        ),
        (
            "TLS where it is due",
            hop("wss://a.example/", 0),
            terms(None, true),
            None,
        ),
    ];
    for (row, request, terms, expected) in table {
        let refused = obeys(&request, terms).err();
        assert_eq!(refused.as_ref().map(Denial::code), expected, "{row}");
    }
}

#[tokio::test]
async fn https_stays_required_after_a_hop_that_demanded_it() {
    let bench = Bench::new(&["a.example=93.184.216.34"]);
    let session = bench.guard.session();
    session.tighten(Terms {
        https_only: true,
        ..Terms::default()
    });
    assert_eq!(
        outcome(session.pin(get("http://a.example/")).await),
        "https-required@scheme"
    );
    assert_eq!(
        outcome(session.pin(get("https://a.example/")).await),
        "93.184.216.34:443"
    );
}

#[tokio::test]
async fn a_session_keeps_its_snapshot_over_a_swap() {
    let bench = Bench::new(&["a.example=93.184.216.34"]);
    let before = bench.guard.session();
    let follows = bench.guard.generation();
    let denies = json!({"hosts": {"deny": ["a.example"]}});
    assert_eq!(bench.guard.swap(Source::Shipped, denies).unwrap(), 2);
    assert!(follows.has_changed().unwrap());

    let pinned = before.pin(get("http://a.example/")).await.unwrap();
    assert_eq!((pinned.generation(), before.policy().generation), (1, 1));
    assert_eq!(bench.pin("http://a.example/").await, "host-denied@name");
    assert_eq!(bench.guard.policy().generation, 2);

    assert!(
        bench
            .guard
            .swap(Source::Bytes(b"junk"[..].into()), json!({}))
            .is_err()
    );
    assert_eq!(
        bench.guard.policy().generation,
        2,
        "a bad policy changes nothing"
    );
}

#[tokio::test]
async fn every_hop_leaves_one_record() {
    let bench = Bench::new(&["a.example=93.184.216.34"]);
    let last = |count: usize| {
        let all = bench.seen.all();
        assert_eq!(all.len(), count);
        all[count - 1].clone()
    };

    let checked = bench.guard.check(get("http://a.example/p?q")).await;
    assert_eq!(
        checked.outcome,
        Outcome::Allow {
            dialed: None,
            reused: false
        }
    );
    assert_eq!(checked.target, "http://a.example:80");
    assert_eq!(
        checked.terms.connect_timeout,
        Some(Limits::default().connect)
    );
    assert_eq!(checked.id, last(1).id);

    let denied = bench.guard.check(get("http://10.0.0.1/")).await;
    assert!(matches!(denied.outcome, Outcome::Deny(_)));
    assert_eq!(last(2).addresses.len(), 1);

    drop(bench.guard.pin(get("http://a.example/")).await.unwrap());
    assert_eq!(
        last(3).outcome,
        Outcome::Allow {
            dialed: None,
            reused: false
        }
    );

    drop(
        bench
            .guard
            .session()
            .admit(get("http://a.example/"))
            .unwrap(),
    );
    let abandoned = last(4);
    let denial = abandoned.outcome.denial().unwrap();
    assert_eq!(
        (denial.reason(), denial.stage()),
        (Some(Reason::Abandoned), Stage::Resolve)
    );
}

/// Refused before there is a lookup, and yet the operator sees what the literal is.
#[tokio::test]
async fn a_literal_that_the_floor_refuses_is_in_the_record() {
    let bench = Bench::new(&[]);
    for (url, class, embedded, code) in [
        ("http://127.0.0.1/", Class::Loopback, 0, "address-floor"),
        (
            "http://169.254.169.254/",
            Class::Metadata,
            0,
            "address-metadata",
        ),
        (
            "http://[64:ff9b::7f00:1]/",
            Class::Translated,
            1,
            "address-floor",
        ),
    ] {
        let decision = bench.guard.check(get(url)).await;
        let [literal] = &decision.addresses[..] else {
            panic!("{url}: {:?}", decision.addresses)
        };
        assert_eq!(
            (literal.class, literal.embedded.len()),
            (class, embedded),
            "{url}"
        );
        assert_eq!(literal.denial.as_ref(), decision.outcome.denial(), "{url}");
        assert_eq!(decision.outcome.denial().unwrap().code(), code, "{url}");
    }
    let decision = bench
        .guard
        .check(get("http://metadata.google.internal/"))
        .await;
    assert!(decision.addresses.is_empty());
}

#[tokio::test]
async fn from_a_url_to_bytes_on_loopback() {
    let listener = tokio::net::TcpListener::bind("127.0.0.2:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let bench = Bench::with(&["public.example=127.0.0.2"], |builder| {
        builder.grants(["127.0.0.2".parse().unwrap()])
    });
    let url = format!("http://public.example:{}/", address.port());
    let connection = bench.guard.connect(get(&url)).await.unwrap();
    assert_eq!(connection.peer(), address);
    let (_, client) = listener.accept().await.unwrap();
    assert_eq!(connection.into_stream().local_addr().unwrap(), client);
    assert_eq!(
        bench.seen.only().outcome,
        Outcome::Allow {
            dialed: Some(address),
            reused: false
        }
    );
}

#[test]
fn verdicts_and_floor_are_merged_and_never_lifted() {
    let floor = Floor::new(Vec::new(), Vec::new(), Classifier::default());
    let judged = |texts: &[&str]| -> Vec<JudgedAddress> {
        texts
            .iter()
            .map(|text| floor.judge(text.parse().unwrap(), 80))
            .collect()
    };
    let deny = |reason| Some(Denial::new(reason, ""));
    let codes = |judged: &[JudgedAddress]| -> Vec<String> {
        judged
            .iter()
            .map(|judged| judged.denial.as_ref().map_or("-", Denial::code).to_owned())
            .collect()
    };
    let two = ["93.184.216.34", "127.0.0.1"];

    let naive = merge(&judged(&two), &Ok(vec![None, None]));
    assert_eq!(
        codes(&naive),
        ["-", "address-floor"],
        "a policy that allows everything"
    );
    assert_eq!(survivors(&naive, 80), ["93.184.216.34:80".parse().unwrap()]);

    let policy = merge(&judged(&two), &Ok(vec![deny(Reason::AddressDenied), None]));
    assert_eq!(codes(&policy), ["address-denied", "address-floor"]);
    assert!(survivors(&policy, 80).is_empty());
    assert_eq!(
        refusal(&policy).unwrap().1.code(),
        "address-denied",
        "the first one stands for all"
    );

    let short = merge(&judged(&two), &Ok(vec![None]));
    assert_eq!(codes(&short), ["-", "policy-verdict-count"]);

    let trapped = merge(&judged(&two), &Err(Denial::new(Reason::PolicyTrapped, "")));
    assert_eq!(codes(&trapped), ["policy-trapped", "policy-trapped"]);

    let mixed = merge(
        &judged(&two),
        &Ok(vec![
            deny(Reason::AddressDenied),
            deny(Reason::AnswersMixed),
        ]),
    );
    assert_eq!(
        refusal(&mixed).unwrap().1.code(),
        "answers-mixed",
        "wherever it stands"
    );
}

#[test]
fn builders_refuse_prefixes_that_are_no_nat64() {
    let builder = Guard::builder().nat64(["2001:db8::/33".parse().unwrap()]);
    let error = builder.build().unwrap_err();
    assert!(
        matches!(&error, LoadError::Settings(problems) if problems[0].path == "/nat64"),
        "{error}"
    );
}

#[tokio::test]
async fn a_guard_without_resolver_denies_names_and_judges_literals() {
    let broken = Broken(ResolveError::new(Reason::ResolveFailed, "no configuration"));
    let guard = Guard::builder().resolver(broken).build().unwrap();
    assert_eq!(
        outcome(guard.pin(get("http://a.example/")).await),
        "resolve-failed@resolve"
    );
    assert_eq!(
        outcome(guard.pin(get("http://93.184.216.34/")).await),
        "93.184.216.34:80"
    );
}

#[tokio::test]
async fn operators_nat64_is_unwrapped() {
    let rules = ["a.example=2606:4700::a00:1", "b.example=2606:4700:1::a00:1"];
    let bench = Bench::with(&rules, |builder| {
        builder.nat64(["2606:4700::/96".parse().unwrap()])
    });
    assert_eq!(
        bench.pin("http://b.example/").await,
        "[2606:4700:1::a00:1]:80"
    );
    assert!(bench.pin("http://a.example/").await.ends_with("@resolve"));
    assert_eq!(bench.seen.all()[1].addresses[0].embedded.len(), 1);
}

#[tokio::test]
async fn slow_names_do_not_hold_the_instances_of_the_policy() {
    let mut limits = Limits::default();
    (limits.policy_instances, limits.policy_spares) = (1, 0);
    let guard = Guard::builder()
        .resolver(Silent)
        .limits(limits)
        .build()
        .unwrap();
    let waiting = guard.clone();
    let slow = tokio::spawn(async move { waiting.pin(get("http://slow.example.com/")).await });
    // The only instance there may be is free for others, once that was asked about the name.
    let mut other = String::new();
    for _ in 0..20 {
        tokio::time::sleep(2 * HOLD).await;
        other = outcome(guard.pin(get("http://93.184.216.34/")).await);
        if other != "policy-busy@policy" {
            break;
        }
    }
    assert_eq!(other, "93.184.216.34:80");
    assert!(!slow.is_finished(), "it waits for the answer");
    slow.abort();
}

#[tokio::test]
async fn addresses_of_a_slow_name_are_judged_by_another_instance() {
    #[derive(Debug)]
    struct Slow;
    impl Resolve for Slow {
        fn resolve<'a>(&'a self, _: &'a Domain) -> Resolving<'a> {
            Box::pin(async {
                tokio::time::sleep(2 * HOLD).await;
                Ok(Answers::from_addresses(["10.0.0.1".parse().unwrap()]))
            })
        }
    }
    let guard = Guard::builder().resolver(Slow).build().unwrap();
    assert_eq!(
        outcome(guard.pin(get("http://slow.example.com/")).await),
        "address-not-public@resolve"
    );
}

#[tokio::test]
async fn the_terms_of_a_hop_bind_that_hop() {
    let bench = Bench::settings(
        &["a.example.com=93.184.216.34"],
        json!({"limits": {"redirects": 0}}),
    );
    let first = get("http://b.example.com/");
    let next = Target::parse("http://a.example.com/").unwrap();
    // Nothing was asked of the policy for the first hop: its terms come with the second.
    let redirected = bench
        .guard
        .session()
        .pin(first.redirected(next, "GET"))
        .await;
    assert_eq!(outcome(redirected), "redirect-too-many@redirect");
    assert_eq!(bench.lookups(), 0);
}

#[tokio::test]
async fn what_another_guard_admitted_is_not_resolved() {
    let rules = ["a.example.com=93.184.216.34"];
    let (one, other) = (Bench::new(&rules), Bench::new(&rules));
    let admitted = one.guard.session().admit(get("http://a.example.com/"));
    let resolved = other.guard.session().resolve(admitted.unwrap()).await;
    assert_eq!(outcome(resolved), "proof-foreign@connect");
    assert_eq!((one.lookups(), other.lookups()), (0, 0));
    // Sessions of one guard share floor and resolver.
    let admitted = one.guard.session().admit(get("http://a.example.com/"));
    let resolved = one.guard.clone().session().resolve(admitted.unwrap()).await;
    assert_eq!(outcome(resolved), "93.184.216.34:80");
}
