//! A candidate beside a guard, with a bus in between.

use std::{
    collections::BTreeMap,
    sync::{Mutex, mpsc},
};

use pinfold::{
    Decision, Guard, Observer, Outcome, Request, addr::Target, policy::settings_digest,
    record::Inputs, resolve::Fixed,
};
use serde_json::{Value, json};

use super::*;
use crate::{
    client::{Client, ClientAddress, RequestId},
    config::{LayerConfig, PolicyConfig},
    event::{Asked, Decided, Exchange, Sink},
    policy::{
        Prepared, SelfTest, Untested,
        tests::{Seen, limits},
    },
    subject::{Subject, Way},
};

struct Bench {
    _dir: tempfile::TempDir,
    guard: Guard,
    policies: Manager,
    shadow: Shadow,
    bus: Bus,
    seen: Arc<Seen>,
}

impl Bench {
    fn new(active: &Value, test: Option<SelfTest>) -> Self {
        Self::of(&[("policy", active)], test, Vec::new())
    }

    fn of(layers: &[(&str, &Value)], test: Option<SelfTest>, more: Vec<Arc<dyn Sink>>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let layer = |(name, settings): &(&str, &Value)| {
            let file = dir.path().join(format!("{name}.json"));
            std::fs::write(&file, settings.to_string()).unwrap();
            LayerConfig {
                name: (*name).to_owned(),
                file: None,
                settings: Some(file),
            }
        };
        let config = PolicyConfig {
            layer: layers.iter().map(layer).collect(),
            cache: Some(dir.path().join("cache")),
            watch: false,
            ..PolicyConfig::default()
        };
        let prepared = Prepared::read(&config, &limits(), test).unwrap();
        let guard = prepared.build(builder()).unwrap();
        let (seen, feed) = (Arc::new(Seen::default()), Arc::new(Feed::default()));
        let mut sinks = vec![Arc::clone(&feed) as Arc<dyn Sink>, Arc::clone(&seen) as _];
        sinks.extend(more);
        let bus = Bus::new(sinks);
        let policies = prepared.manage(guard.clone(), bus.clone()).unwrap();
        let shadow = Shadow::new(feed, bus.clone(), guard.limits());
        Self {
            _dir: dir,
            guard,
            policies,
            shadow,
            bus,
            seen,
        }
    }

    /// Judges a request as the gateway does, and tells of it.
    async fn ask(&self, url: &str) -> Arc<Decision> {
        self.ask_in(url, |session| session).await
    }

    async fn ask_in(
        &self,
        url: &str,
        mode: impl FnOnce(pinfold::Session) -> pinfold::Session,
    ) -> Arc<Decision> {
        let request = Request::new(Target::parse(url).unwrap()).method("GET");
        let telling = Telling {
            bus: self.bus.clone(),
            asked: asked(&request),
            told: Arc::default(),
        };
        let told = Arc::clone(&telling.told);
        let session = mode(self.guard.session().observed_by(telling));
        let _ = session.pin(request).await;
        told.lock().unwrap().take().unwrap()
    }

    /// The report, once it holds so many decisions.
    async fn report(&self, of: u64) -> Arc<Report> {
        for _ in 0..1_000 {
            let report = self.shadow.report().unwrap();
            let all = [
                report.compared,
                report.not_asked,
                report.unclear,
                report.elsewhere,
            ];
            if all.iter().sum::<u64>() + report.dropped == of {
                return report;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{:#?}", self.shadow.report());
    }
}

struct Telling {
    bus: Bus,
    asked: Arc<Asked>,
    told: Arc<Mutex<Option<Arc<Decision>>>>,
}

impl Observer for Telling {
    fn observe(&self, decision: &Arc<Decision>) {
        *self.told.lock().unwrap() = Some(Arc::clone(decision));
        self.bus.tell(&Event::Decided(Arc::new(Decided {
            at: SystemTime::now(),
            asked: Arc::clone(&self.asked),
            before: 0,
            decision: Arc::clone(decision),
        })));
    }
}

fn asked(request: &Request) -> Arc<Asked> {
    let target = request.target();
    let client = Client {
        listener: Arc::new(config::Listener::default()),
        address: ClientAddress::Unix {
            uid: 1000,
            pid: None,
        },
        certificate: None,
    };
    Arc::new(Asked {
        id: RequestId::next(),
        client: Arc::new(client),
        subject: Some(Subject::new("tenant-7", Way::Unix)),
        kind: Exchange::Forward,
        authority: format!("{}:{}", target.host(), target.port()),
        method: Some("GET".into()),
        report: false,
        traceparent: None,
        correlation: None,
        began: std::time::Instant::now(),
    })
}

/// `a.example` and so on are public, `intern.example` is not; nobody knows other names.
fn builder() -> pinfold::GuardBuilder {
    let mut fixed = Fixed::default().rule("intern.example=10.0.0.7").unwrap();
    for name in ["a", "b", "c"] {
        fixed = fixed
            .rule(&format!("{name}.example=93.184.216.34"))
            .unwrap();
    }
    Guard::builder()
        .limits(limits())
        .resolver(fixed)
        .record_inputs(Inputs::Keep)
}

fn change(settings: &Value) -> Change {
    Change {
        settings: Some(settings.clone()),
        ..Change::default()
    }
}

/// Some hundred URLs: hosts with every port, both schemes, literals, names that nobody knows.
fn urls() -> Vec<String> {
    let hosts = [
        "a.example",
        "b.example",
        "c.example",
        "intern.example",
        "none.example",
        "10.0.0.7",
        "93.184.216.34",
    ];
    let mut urls = Vec::new();
    for host in hosts {
        for port in [80, 443, 8080, 8443, 9000] {
            for scheme in ["http", "https"] {
                urls.push(format!("{scheme}://{host}:{port}/path"));
            }
        }
    }
    urls.extend(["http://127.0.0.1/".into(), "http://localhost/".into()]);
    urls.iter().cycle().take(urls.len() * 3).cloned().collect()
}

/// What a guard decided, in the words of a report.
fn said(decision: &Decision) -> String {
    match &decision.outcome {
        Outcome::Allow { .. } => "allow".into(),
        Outcome::Deny(denial) => denial.code().into(),
        _ => "allow-target".into(),
    }
}

#[tokio::test]
async fn differences_are_those_of_a_guard_that_enforces_the_candidate() {
    let active = json!({"ports": [80, 443, 9000], "hosts": {"deny": ["c.example"]}});
    let candidate =
        json!({"ports": [443, 8080, 9000], "hosts": {"deny": ["b.example"]}, "schemes": ["https"]});
    let bench = Bench::new(&active, None);
    bench
        .shadow
        .start(&change(&candidate), &bench.policies)
        .await
        .unwrap();
    let enforcing = builder().settings(candidate).build().unwrap();

    let mut expected = BTreeMap::<(String, String), u64>::new();
    let (mut compared, mut not_asked) = (0, 0);
    let urls = urls();
    for url in &urls {
        let decision = bench.ask(url).await;
        let input = decision.input.as_ref().unwrap();
        if !input.was_asked() {
            not_asked += 1;
            continue;
        }
        let other = enforcing
            .check(Request::new(Target::parse(url).unwrap()).method("GET"))
            .await;
        let looked_up = !input.answers.is_empty();
        let other_input = other.input.as_ref().unwrap();
        let passes_target = !other_input.answered[0].is_refusal();
        let candidate = match looked_up {
            false if passes_target => "allow-target".to_owned(),
            _ => said(&other),
        };
        // Nobody knows the name: that is no word of the policy.
        let active = match input.answered[0].is_refusal() || looked_up {
            true => said(&decision),
            false => "allow-target".to_owned(),
        };
        compared += 1;
        if active != candidate {
            *expected.entry((active, candidate)).or_default() += 1;
        }
    }

    let report = bench.report(urls.len() as u64).await;
    assert_eq!(
        (report.compared, report.not_asked, report.dropped),
        (compared, not_asked, 0)
    );
    let found = report.differences.iter();
    let found = found.map(|one| ((one.active.clone(), one.candidate.clone()), one.count));
    assert_eq!(found.collect::<BTreeMap<_, _>>(), expected);
    assert!(expected.len() > 5, "{expected:?}");
    let different: u64 = expected.values().sum();
    assert_eq!(report.compared - report.agreed, different);
    assert_eq!(
        report.loosened + report.tightened + report.other_reason,
        different
    );
    let loosened = expected.iter().filter(|((active, candidate), _)| {
        !active.starts_with("allow") && candidate.starts_with("allow")
    });
    assert_eq!(
        report.loosened,
        loosened.map(|(_, count)| count).sum::<u64>()
    );
    assert!(report.loosened > 0 && report.tightened > 0 && report.other_reason > 0);
    let first = &report.differences[0].latest[0];
    assert_eq!(first.subject.as_deref(), Some("tenant-7"));
    assert!(report.differences.iter().all(|one| one.latest.len() <= 5));
    assert!(report.latency.count > 0 && report.latency.p50_us <= report.latency.max_us);
}

#[tokio::test]
async fn in_a_chain_the_candidate_replaces_one_layer() {
    let (first, second) = (json!({"ports": [443, 80]}), json!({"ports": [443]}));
    let bench = Bench::of(
        &[("organisation", &first), ("team", &second)],
        None,
        Vec::new(),
    );
    for (row, layer, settings, expected) in [
        // 8080 is refused by the organisation before the team is asked, 80 by the team.
        (
            "the later one opens",
            "team",
            json!({}),
            vec![("port-denied", "allow-target", 1)],
        ),
        (
            "the later one closes",
            "team",
            json!({"ports": [1]}),
            vec![("allow", "port-denied", 1)],
        ),
        // The team was not asked about 8080: it may well refuse.
        (
            "the earlier one opens",
            "organisation",
            json!({}),
            vec![("port-denied", "allow-target", 1)],
        ),
        (
            "the earlier one closes",
            "organisation",
            json!({"ports": [80]}),
            vec![("allow", "port-denied", 1)],
        ),
        ("as it is", "organisation", first.clone(), vec![]),
    ] {
        let change = Change {
            layer: Some(layer.into()),
            ..change(&settings)
        };
        bench.shadow.start(&change, &bench.policies).await.unwrap();
        for url in [
            "https://a.example/",
            "http://a.example:80/",
            "http://93.184.216.34:8080/",
        ] {
            bench.ask(url).await;
        }
        let report = bench.report(3).await;
        let found = report.differences.iter();
        let found: Vec<_> = found
            .map(|one| (one.active.as_str(), one.candidate.as_str(), one.count))
            .collect();
        assert_eq!(found, expected, "{row}");
        assert_eq!(report.layer, layer, "{row}");
    }
}

#[tokio::test]
async fn what_is_only_reported_is_compared_as_if_it_were_enforced() {
    let bench = Bench::new(&json!({"ports": [443]}), None);
    let candidate = change(&json!({"ports": [443, 80]}));
    let started = bench.shadow.start(&candidate, &bench.policies);
    started.await.unwrap();
    let url = "http://a.example/";
    let decision = bench.ask_in(url, pinfold::Session::reporting).await;
    assert!(decision.would_deny.is_some() && decision.outcome.denial().is_none());
    let report = bench.report(1).await;
    assert_eq!((report.loosened, report.agreed), (1, 0));
    // It passed, and so was looked up: what the candidate says of the addresses is known.
    assert_eq!(report.verdicts[0].candidate, "allow");
}

#[tokio::test]
async fn what_is_promoted_is_what_watched() {
    let refuses: SelfTest = Arc::new(|candidate| match candidate.layers()[0].settings {
        ref settings if *settings == json!({"ports": [666]}) => Err(Untested::Failed("no".into())),
        _ => Ok(()),
    });
    let bench = Bench::new(&json!({}), Some(refuses));
    let error = bench.shadow.promote(&bench.policies).await.unwrap_err();
    assert_eq!(error.code(), "shadow-none");
    bench
        .shadow
        .start(&change(&json!({"ports": [666]})), &bench.policies)
        .await
        .unwrap();
    let error = bench.shadow.promote(&bench.policies).await.unwrap_err();
    assert_eq!(error.step(), Some(Step::SelfTest));
    assert!(
        bench.shadow.report().unwrap().watching,
        "it goes on watching"
    );
    let wanted = json!({"ports": [8080]});
    let watching = bench
        .shadow
        .start(&change(&wanted), &bench.policies)
        .await
        .unwrap();
    // What the operator swaps in meanwhile does not change what is promoted.
    bench
        .policies
        .swap(change(&json!({"ports": [80]})))
        .await
        .unwrap();
    let changed = bench.shadow.promote(&bench.policies).await.unwrap();
    assert_eq!((changed.generation, changed.swapped), (3, true));
    let active = bench.guard.policy();
    assert_eq!(active.digest, watching.digest);
    assert_eq!(active.settings_digest, settings_digest(&wanted));
    assert!(!bench.shadow.report().unwrap().watching);
    let seen = bench.seen.take();
    let expected = [
        "start active 1",
        "admin shadow true",
        "admin kept self-test",
        "admin shadow false",
        "admin shadow true",
        "admin active 2",
        "admin active 3",
        "admin shadow false",
    ];
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn a_candidate_that_does_not_load_stops_nothing() {
    let bench = Bench::new(&json!({}), None);
    bench
        .shadow
        .start(&change(&json!({"ports": [80]})), &bench.policies)
        .await
        .unwrap();
    let error = bench
        .shadow
        .start(&change(&json!({"ports": "x"})), &bench.policies)
        .await
        .unwrap_err();
    assert_eq!(error.step(), Some(Step::Load));
    let file = config::Shadow {
        file: Some("/nowhere/policy.wasm".into()),
        ..config::Shadow::default()
    };
    bench
        .shadow
        .follow(Some(&file), &bench.policies, Trigger::Start)
        .await;
    let said = bench.seen.take().pop().unwrap();
    assert!(
        said.starts_with("shadow: no candidate watches: cannot read"),
        "{said}"
    );
    bench.ask("https://a.example/").await;
    assert_eq!(bench.report(1).await.compared, 1);
    let last = bench.shadow.stop(Trigger::Admin).unwrap();
    assert_eq!((last.watching, last.compared), (false, 1));
    assert!(bench.shadow.stop(Trigger::Admin).is_err());
    assert_eq!(
        bench.shadow.report().unwrap().compared,
        1,
        "what came of it can still be read"
    );
}

#[tokio::test]
async fn a_candidate_of_the_configuration_is_not_begun_anew_when_it_is_the_same() {
    let bench = Bench::new(&json!({"ports": [80]}), None);
    let file = config::Shadow::default();
    bench
        .shadow
        .follow(Some(&file), &bench.policies, Trigger::Start)
        .await;
    bench.ask("https://a.example/").await;
    bench.report(1).await;
    bench
        .shadow
        .follow(Some(&file), &bench.policies, Trigger::Signal)
        .await;
    let report = bench.report(1).await;
    assert_eq!((report.tightened, report.loosened), (0, 1));
    bench
        .shadow
        .follow(None, &bench.policies, Trigger::Signal)
        .await;
    assert!(!bench.shadow.report().unwrap().watching, "it is gone");
    let started = change(&json!({"ports": [1]}));
    bench.shadow.start(&started, &bench.policies).await.unwrap();
    bench
        .shadow
        .follow(None, &bench.policies, Trigger::Signal)
        .await;
    let report = bench.shadow.report().unwrap();
    assert!(report.watching, "an operator's");
}

/// A sink that stands still when a difference is told.
struct Gate(Mutex<(mpsc::Sender<()>, mpsc::Receiver<()>)>);

impl Sink for Gate {
    fn take(&self, event: &Event) {
        if let Event::ShadowDiffers(_) = event {
            let gate = self.0.lock().unwrap();
            gate.0.send(()).unwrap();
            let _ = gate.1.recv_timeout(Duration::from_secs(30));
        }
    }
}

#[tokio::test]
async fn what_the_candidate_cannot_keep_up_with_is_dropped_and_counted() {
    let (stands, standing) = mpsc::channel();
    let (go_on, goes_on) = mpsc::channel();
    let gate = Arc::new(Gate(Mutex::new((stands, goes_on))));
    let bench = Bench::of(&[("policy", &json!({}))], None, vec![gate]);
    bench
        .shadow
        .start(&change(&json!({"ports": [80]})), &bench.policies)
        .await
        .unwrap();
    let decision = bench.ask("https://a.example/").await;
    standing.recv_timeout(Duration::from_secs(10)).unwrap();
    let request = Request::new(Target::parse("https://a.example/").unwrap());
    let event = Event::Decided(Arc::new(Decided {
        at: SystemTime::now(),
        asked: asked(&request),
        before: 0,
        decision,
    }));
    (0..worker::QUEUE + 49).for_each(|_| bench.bus.tell(&event));
    assert_eq!(bench.shadow.report().unwrap().dropped, 49);
    drop(go_on);
    let report = bench.report(1 + worker::QUEUE as u64 + 49).await;
    assert_eq!(
        (report.dropped, report.tightened),
        (49, 1 + worker::QUEUE as u64)
    );
}

/// The clock runs ahead while nothing else does: whoever waits a bounded time has given up long before.
#[tokio::test(start_paused = true)]
async fn a_promotion_that_takes_long_ends_the_watching_when_it_is_done() {
    let slow: SelfTest = Arc::new(|candidate| {
        if candidate.layers()[0].settings == json!({"ports": [8080]}) {
            std::thread::sleep(Duration::from_millis(300));
        }
        Ok(())
    });
    let bench = Bench::new(&json!({}), Some(slow));
    let wanted = change(&json!({"ports": [8080]}));
    let watching = bench.shadow.start(&wanted, &bench.policies);
    watching.await.unwrap();
    let changed = bench.shadow.promote(&bench.policies).await.unwrap();
    assert!(changed.swapped);
    assert!(!bench.shadow.report().unwrap().watching);
}
