//! A manager with a guard and files of its own.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, mpsc},
    time::Duration,
};

use pinfold::{
    Guard, Limits, Outcome, Request,
    addr::Target,
    policy::{Source, settings_digest},
    resolve::Fixed,
};
use serde_json::{Value, json};

use super::*;
use crate::{
    config::{LayerConfig, PolicyConfig, Span},
    event::{Bus, Event, PolicyChange, Sink},
};

/// Keeps what is told of policies, in words.
#[derive(Default)]
pub(crate) struct Seen(Mutex<Vec<String>>);

impl Seen {
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Sink for Seen {
    fn take(&self, event: &Event) {
        let said = match event {
            Event::Policy(event) => match &event.what {
                PolicyChange::Active {
                    generation, back, ..
                } => format!(
                    "{} active {generation}{}",
                    event.trigger,
                    if *back { " back" } else { "" }
                ),
                PolicyChange::Kept { step, .. } => format!("{} kept {step}", event.trigger),
                PolicyChange::Aside => format!("{} aside", event.trigger),
                PolicyChange::Shadow { candidate } => {
                    format!("{} shadow {}", event.trigger, candidate.is_some())
                }
                PolicyChange::Reviewed { .. } => return,
            },
            Event::Trouble { what, detail } => format!("{what}: {detail}"),
            _ => return,
        };
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(said);
    }
}

struct Bench {
    dir: tempfile::TempDir,
    guard: Guard,
    policies: Manager,
    seen: Arc<Seen>,
}

pub(crate) fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.policy_instances = 32;
    limits.component_bytes = 1 << 20;
    limits
}

impl Bench {
    /// One policy under `settings.toml`.
    fn new(watch: bool, test: Option<SelfTest>) -> Self {
        let of = |dir: &std::path::Path| PolicyConfig {
            settings: Some(dir.join("settings.toml")),
            watch,
            interval: Span::millis(20),
            ..PolicyConfig::default()
        };
        Self::of(of, test)
    }

    fn of(config: impl Fn(&std::path::Path) -> PolicyConfig, test: Option<SelfTest>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("settings.toml"), "ports = [443]").unwrap();
        // A policy that was compiled once is not compiled again: that is not what is tested here.
        let config = PolicyConfig {
            cache: Some(dir.path().join("cache")),
            ..config(dir.path())
        };
        let prepared = Prepared::read(&config, &limits(), test).unwrap();
        let resolver = Fixed::default().rule("a.example=93.184.216.34").unwrap();
        let builder = Guard::builder().limits(limits()).resolver(resolver);
        let guard = prepared.build(builder).unwrap();
        let seen = Arc::new(Seen::default());
        let bus = Bus::new(vec![Arc::clone(&seen) as Arc<dyn Sink>]);
        let policies = prepared.manage(guard.clone(), bus).unwrap();
        Self {
            dir,
            guard,
            policies,
            seen,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, text: &str) {
        let (new, file) = (self.path("new"), self.path("settings.toml"));
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, file).unwrap();
    }

    /// Whether the active policy has these settings.
    fn has(&self, settings: &Value) -> bool {
        self.guard.policy().settings_digest == settings_digest(settings)
    }

    async fn until(&self, what: &str, reached: impl Fn(&Status) -> bool) {
        for _ in 0..1_000 {
            if reached(&self.policies.status()) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{what}: {:#?}", self.policies.status());
    }
}

fn settings(ports: &[u16]) -> Change {
    Change {
        settings: Some(json!({ "ports": ports })),
        ..Change::default()
    }
}

fn component(bytes: &[u8]) -> Change {
    Change {
        component: Some(Source::Bytes(bytes.into())),
        ..Change::default()
    }
}

#[tokio::test]
async fn a_reload_takes_what_the_files_hold() {
    let bench = Bench::new(false, None);
    bench.write("ports = [80]");
    let changed = bench.policies.reload(Trigger::Signal).await.unwrap();
    assert_eq!((changed.generation, changed.swapped), (2, true));
    assert!(bench.has(&json!({"ports": [80]})));
    let again = bench.policies.reload(Trigger::Signal).await.unwrap();
    assert_eq!(
        (again.generation, again.swapped),
        (2, false),
        "nothing had changed"
    );
    assert_eq!(bench.seen.take(), ["start active 1", "signal active 2"]);
    let status = bench.policies.status();
    assert_eq!((status.active.generation, status.history.len()), (2, 1));
    assert!(status.files_in_effect && status.error.is_none());
}

#[tokio::test]
async fn files_that_change_are_taken_up_and_bad_ones_keep_what_is_active() {
    let bench = Bench::new(true, None);
    bench.write("ports = [80]");
    bench
        .until("a good one", |status| status.active.generation == 2)
        .await;
    let mut generation = 2;
    type Spoil = fn(&Bench);
    let table: [(&str, Spoil, Step, &str); 6] = [
        (
            "half written",
            |b| b.write("ports = [80, "),
            Step::Read,
            "no valid TOML",
        ),
        (
            "refused",
            |b| b.write("ports = ['x']"),
            Step::Load,
            "/ports/0",
        ),
        (
            "gone",
            |b| std::fs::remove_file(b.path("settings.toml")).unwrap(),
            Step::Read,
            "cannot read",
        ),
        (
            "a folder",
            |b| {
                std::fs::remove_file(b.path("settings.toml")).unwrap();
                std::fs::create_dir(b.path("settings.toml")).unwrap();
            },
            Step::Read,
            "is not a regular file",
        ),
        (
            "huge",
            |b| b.write(&" ".repeat(17 << 20)),
            Step::Read,
            "is longer than",
        ),
        (
            "garbage",
            |b| std::fs::write(b.path("settings.toml"), [0xff, 0xfe]).unwrap(),
            Step::Read,
            "not UTF-8",
        ),
    ];
    for (row, spoil, step, said) in table {
        let active = bench.guard.policy();
        spoil(&bench);
        bench.until(row, |status| status.error.is_some()).await;
        let told = bench.policies.status().error.clone().unwrap();
        assert_eq!(
            (told.failure.step, told.trigger),
            (step, Trigger::File),
            "{row}"
        );
        assert!(
            told.failure.message.contains(said),
            "{row}: {}",
            told.failure.message
        );
        assert_eq!(bench.guard.policy(), active, "{row}");
        if bench.path("settings.toml").is_dir() {
            std::fs::remove_dir(bench.path("settings.toml")).unwrap();
        }
        generation += 1;
        bench.write(&format!("ports = [{generation}]"));
        bench
            .until("mended", |status| status.active.generation == generation)
            .await;
        assert!(bench.policies.status().error.is_none(), "{row}");
    }
    let kept = bench
        .seen
        .take()
        .iter()
        .filter(|said| said.starts_with("file kept"))
        .count();
    assert_eq!(kept, 6, "each is told once, however often it is looked at");
}

#[tokio::test]
async fn each_step_keeps_what_is_active() {
    let test: SelfTest = Arc::new(
        |candidate| match candidate.layers()[0].settings["ports"][0] {
            Value::Number(ref port) if port.as_u64() == Some(666) => {
                Err(Untested::Failed("1 of 1 vectors failed".into()))
            }
            _ => Ok(()),
        },
    );
    let bench = Bench::new(false, Some(test));
    let wat = |text: &str| component(&wat::parse_str(text).unwrap());
    let table = [
        (
            "no component",
            component(b"GIF89a"),
            Some(Step::Verify),
            "not a component",
        ),
        (
            "a core module",
            wat("(module)"),
            Some(Step::Verify),
            "not a component",
        ),
        (
            "no policy",
            wat("(component)"),
            Some(Step::Verify),
            "does not fulfil",
        ),
        (
            "imports",
            wat("(component (import \"x\" (func)))"),
            Some(Step::Verify),
            "imports `x`",
        ),
        (
            "too large",
            component(&[0; (1 << 20) + 1]),
            Some(Step::Read),
            "the limit is",
        ),
        (
            "settings of the wrong type",
            Change {
                settings: Some(json!({"ports": "all"})),
                ..Change::default()
            },
            Some(Step::Load),
            "/ports",
        ),
        (
            "its own vectors",
            settings(&[666]),
            Some(Step::SelfTest),
            "1 of 1 vectors failed",
        ),
        (
            "nothing",
            Change::default(),
            None,
            "neither a component nor settings",
        ),
        (
            "another layer",
            Change {
                layer: Some("team".into()),
                ..settings(&[80])
            },
            None,
            "there is no layer of this name, there is `policy`",
        ),
    ];
    bench.policies.reload(Trigger::Signal).await.unwrap();
    bench.seen.take();
    for (row, change, step, said) in table {
        let error = bench.policies.swap(change).await.unwrap_err();
        assert_eq!(error.step(), step, "{row}: {error}");
        assert!(error.to_string().contains(said), "{row}: {error}");
        assert!(bench.has(&json!({"ports": [443]})), "{row}");
        let told = bench.policies.status().error.clone();
        assert_eq!(told.as_ref().map(|told| told.failure.step), step, "{row}");
        let expected: Vec<_> = step
            .iter()
            .map(|step| format!("admin kept {}", step.as_str()))
            .collect();
        assert_eq!(
            bench.seen.take(),
            expected,
            "{row}: who asked for nonsense is told, nobody else"
        );
        bench.policies.swap(settings(&[80])).await.unwrap();
        assert!(bench.policies.status().error.is_none(), "{row}");
        bench.policies.rollback(None).await.unwrap();
        bench.seen.take();
    }
}

#[tokio::test]
async fn a_rollback_leads_back_and_the_files_are_not_in_effect_until_they_change() {
    let bench = Bench::new(true, None);
    for port in [80, 8080] {
        bench.policies.swap(settings(&[port])).await.unwrap();
    }
    assert!(!bench.policies.status().files_in_effect);
    let back = bench.policies.rollback(None).await.unwrap();
    assert_eq!(back.generation, 4);
    assert!(bench.has(&json!({"ports": [80]})));
    let status = serde_json::to_value(&*bench.policies.status()).unwrap();
    assert_eq!(
        (
            &status["source"],
            &status["restores"],
            &status["files_in_effect"]
        ),
        (&json!("rollback"), &json!(2), &json!(false))
    );
    bench.policies.rollback(Some(3)).await.unwrap();
    assert!(bench.has(&json!({"ports": [8080]})));
    bench.policies.rollback(None).await.unwrap();
    bench.policies.rollback(None).await.unwrap();
    assert!(
        bench.has(&json!({"ports": [443]})),
        "before 8080 was 80, before that the files"
    );
    let error = bench.policies.rollback(None).await.unwrap_err();
    assert_eq!(error.code(), "revision-unknown");
    bench.policies.swap(settings(&[80])).await.unwrap();
    bench.write("ports = [8443]");
    bench
        .until("the files again", |status| status.files_in_effect)
        .await;
    assert!(bench.has(&json!({"ports": [8443]})));
}

#[tokio::test]
async fn a_signal_does_not_undo_what_an_operator_did() {
    let bench = Bench::new(true, None);
    let config = PolicyConfig {
        settings: Some(bench.path("settings.toml")),
        interval: Span::millis(20),
        ..PolicyConfig::default()
    };
    let follow = || bench.policies.follow(config.clone(), Trigger::Signal);
    bench.policies.swap(settings(&[80])).await.unwrap();
    assert!(!follow().await.unwrap().swapped);
    assert!(bench.has(&json!({"ports": [80]})));
    assert!(!bench.policies.status().files_in_effect);
    bench.seen.take();
    bench.write("ports = [443]");
    until_told(&bench, "file aside").await;
    assert!(bench.has(&json!({"ports": [80]})), "written anew, the same");
    bench.write("ports = [443");
    bench
        .until("a fault", |status| status.error.is_some())
        .await;
    bench.write("ports = [443]");
    bench.until("mended", |status| status.error.is_none()).await;
    assert!(bench.has(&json!({"ports": [80]})));
    bench.write("ports = [8443]");
    follow().await.unwrap();
    assert!(bench.has(&json!({"ports": [8443]})), "something else");
    bench.policies.rollback(None).await.unwrap();
    follow().await.unwrap();
    assert!(bench.has(&json!({"ports": [80]})), "what was gone back to");
    bench.policies.reload(Trigger::Admin).await.unwrap();
    assert!(bench.has(&json!({"ports": [8443]})), "it was asked for");
    assert!(bench.policies.status().files_in_effect);
}

async fn until_told(bench: &Bench, said: &str) {
    for _ in 0..1_000 {
        if bench.seen.take().iter().any(|told| told == said) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("nobody told `{said}`");
}

#[tokio::test]
async fn files_that_were_refused_are_not_in_effect_until_they_are_mended() {
    let bench = Bench::new(false, None);
    bench.write("ports = [");
    bench.policies.reload(Trigger::Signal).await.unwrap_err();
    assert!(!bench.policies.status().files_in_effect);
    let refused = bench.policies.swap(settings(&[80])).await;
    assert!(refused.is_ok() && !bench.policies.status().files_in_effect);
    bench.policies.rollback(None).await.unwrap();
    bench.write("ports = [443]");
    bench.policies.reload(Trigger::Signal).await.unwrap();
    let status = bench.policies.status();
    assert!(status.files_in_effect && status.error.is_none());
}

#[tokio::test]
async fn a_reload_that_changes_nothing_changes_nothing_of_the_history() {
    let bench = Bench::new(false, None);
    bench.policies.reload(Trigger::Signal).await.unwrap();
    assert_eq!(bench.policies.status().active.trigger, Trigger::Start);
}

#[tokio::test]
async fn of_a_chain_one_layer_is_changed_and_the_others_stay() {
    let of = |dir: &std::path::Path| {
        let layer = |name: &str, settings: Option<PathBuf>| LayerConfig {
            name: name.to_owned(),
            file: None,
            settings,
        };
        PolicyConfig {
            layer: vec![
                layer("organisation", None),
                layer("team", Some(dir.join("settings.toml"))),
            ],
            watch: false,
            ..PolicyConfig::default()
        }
    };
    let bench = Bench::of(of, None);
    let digests = || {
        bench
            .guard
            .policies()
            .into_iter()
            .map(|policy| policy.settings_digest)
    };
    let expect = |organisation: Value, team: Value| {
        let wanted = [organisation, team].map(|settings| settings_digest(&settings));
        assert_eq!(digests().collect::<Vec<_>>(), wanted);
    };
    expect(json!({}), json!({"ports": [443]}));
    let error = bench.policies.swap(settings(&[80])).await.unwrap_err();
    assert_eq!(error.code(), "layer-missing");
    let change = Change {
        layer: Some("organisation".into()),
        ..settings(&[443, 80])
    };
    bench.policies.swap(change).await.unwrap();
    expect(json!({"ports": [443, 80]}), json!({"ports": [443]}));
    bench.write("ports = [80");
    let error = bench.policies.reload(Trigger::Signal).await.unwrap_err();
    assert!(error.to_string().starts_with("layer `team`: "), "{error}");
    bench.write("ports = [80]");
    bench.policies.reload(Trigger::Signal).await.unwrap();
    expect(json!({}), json!({"ports": [80]}));
    let alone = PolicyConfig {
        watch: false,
        ..PolicyConfig::default()
    };
    let changed = bench.policies.follow(alone, Trigger::Signal).await.unwrap();
    assert_eq!(changed.generation, 4);
    assert_eq!(
        bench.guard.policies().len(),
        1,
        "another configuration, another chain"
    );
    bench.policies.rollback(None).await.unwrap();
    expect(json!({}), json!({"ports": [80]}));
}

#[tokio::test]
async fn the_vectors_are_those_of_the_configuration_of_now() {
    let (told, tested) = mpsc::channel();
    let told = Mutex::new(told);
    let test: SelfTest = Arc::new(move |candidate| {
        let _ = told.lock().unwrap().send(candidate.vectors().to_vec());
        Ok(())
    });
    let bench = Bench::new(false, Some(test));
    let next = || tested.recv_timeout(Duration::from_secs(10)).unwrap();
    assert_eq!(next(), Vec::<PathBuf>::new(), "at the start");
    let config = PolicyConfig {
        vectors: vec!["later".into()],
        watch: false,
        ..PolicyConfig::default()
    };
    bench
        .policies
        .follow(config, Trigger::Signal)
        .await
        .unwrap();
    bench.policies.swap(settings(&[80])).await.unwrap();
    for row in ["of the files", "of an operator"] {
        assert_eq!(next(), [PathBuf::from("later")], "{row}");
    }
    bench.policies.rollback(None).await.unwrap();
    assert!(
        tested.try_recv().is_err(),
        "what is gone back to was tested then"
    );
}

/// A self-test that says that it has begun, and waits until it is let go on.
fn gate() -> (SelfTest, mpsc::Receiver<()>, mpsc::Sender<()>) {
    let (begun, begins) = mpsc::channel();
    let (go_on, goes_on) = mpsc::channel::<()>();
    let inner = Mutex::new((begun, goes_on));
    let test: SelfTest = Arc::new(move |candidate| {
        if candidate.layers()[0].settings["ports"] == json!([1]) {
            let inner = inner.lock().unwrap();
            inner.0.send(()).unwrap();
            let _ = inner.1.recv_timeout(Duration::from_secs(30));
        }
        Ok(())
    });
    (test, begins, go_on)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_asked_for_last_stays_and_no_more_wait_than_may() {
    let (test, begins, go_on) = gate();
    let bench = Arc::new(Bench::new(false, Some(test)));
    let swap = |port: u16| {
        let bench = Arc::clone(&bench);
        tokio::spawn(async move { bench.policies.swap(settings(&[port])).await })
    };
    let slow = swap(1);
    tokio::task::spawn_blocking(move || begins.recv_timeout(Duration::from_secs(10)).unwrap())
        .await
        .unwrap();
    assert_eq!(bench.policies.status().under_way, Some(Trigger::Admin));
    let mut waiting = Vec::new();
    for port in 0..failure::QUEUE {
        let change = settings(&[80 + u16::try_from(port % 2).unwrap()]);
        let command = manager::Order::Swap(change);
        waiting.push(bench.policies.send(command, Trigger::Admin).unwrap());
    }
    let error = bench.policies.swap(settings(&[2])).await.unwrap_err();
    assert_eq!(error.code(), "policy-busy");
    go_on.send(()).unwrap();
    assert_eq!(slow.await.unwrap().unwrap().generation, 2);
    let last = waiting.pop().unwrap().await.unwrap().unwrap();
    assert_eq!(last.generation, 2 + failure::QUEUE as u64);
    assert!(bench.has(&json!({"ports": [81]})));
}

#[tokio::test]
async fn a_panic_is_a_change_that_was_refused() {
    let test: SelfTest = Arc::new(|candidate| {
        assert_ne!(
            candidate.layers()[0].settings,
            json!({"ports": [80]}),
            "on purpose"
        );
        Ok(())
    });
    let bench = Bench::new(false, Some(test));
    let error = bench.policies.swap(settings(&[80])).await.unwrap_err();
    assert_eq!(error.to_string(), "the change ended in a panic");
    assert!(bench.policies.swap(settings(&[8080])).await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_while_policies_are_swapped() {
    let bench = Bench::new(false, None);
    let (stop, guard) = (
        tokio_util::sync::CancellationToken::new(),
        bench.guard.clone(),
    );
    let stopped = stop.clone();
    let traffic = tokio::spawn(async move {
        let mut outcomes = (0_u64, 0_u64);
        while !stopped.is_cancelled() {
            let request = Request::new(Target::parse("https://a.example/").unwrap());
            let decision = guard.check(request).await;
            match &decision.outcome {
                Outcome::Allow { .. } => outcomes.0 += 1,
                Outcome::Deny(denial) if denial.code() == "port-denied" => outcomes.1 += 1,
                other => panic!("{other:?}"),
            }
            tokio::task::yield_now().await;
        }
        outcomes
    });
    for at in 0..50_u16 {
        // 443 is allowed under every second one.
        let change = settings(&[442 + at % 2]);
        let changed = bench.policies.swap(change).await.unwrap();
        assert_eq!(changed.generation, u64::from(at) + 2);
    }
    stop.cancel();
    let (allowed, denied) = traffic.await.unwrap();
    assert!(
        allowed > 0 && denied > 0,
        "{allowed} allowed, {denied} denied"
    );
    assert_eq!(
        bench.policies.status().history.len(),
        8,
        "so many are kept, and no more"
    );
}

#[test]
fn a_gateway_does_not_start_with_what_it_would_not_swap_in() {
    let dir = tempfile::tempdir().unwrap();
    let config = |file: &str, text: &[u8]| {
        let path = dir.path().join(file);
        std::fs::write(&path, text).unwrap();
        PolicyConfig {
            file: Some(path),
            ..PolicyConfig::default()
        }
    };
    let refuses: SelfTest = Arc::new(|_| Err(Untested::Failed("no".into())));
    let vectors = PolicyConfig {
        vectors: vec![dir.path().to_owned()],
        ..PolicyConfig::default()
    };
    let table = [
        (
            "gone",
            PolicyConfig {
                file: Some(dir.path().join("none")),
                ..PolicyConfig::default()
            },
            None,
            Step::Read,
        ),
        ("garbage", config("garbage", b"x"), None, Step::Verify),
        (
            "untested",
            PolicyConfig::default(),
            Some(refuses),
            Step::SelfTest,
        ),
        ("judged by nobody", vectors, None, Step::SelfTest),
    ];
    for (row, config, test, step) in table {
        let prepared = Prepared::read(&config, &limits(), test);
        let built = prepared.and_then(|prepared| {
            prepared.build(Guard::builder().limits(limits()).resolver(Fixed::default()))
        });
        assert_eq!(built.unwrap_err().step, step, "{row}");
    }
}
