//! What is in the log, what is not, and what becomes of it when the disk or the reader fails.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::mpsc::{Receiver, Sender, channel},
    time::{Instant, SystemTime},
};

use pinfold::{
    Limits, PolicyRef,
    policy::{Evaluator, Source},
    record::{Entry, replay},
};
use serde_json::{Value, json};

use super::{mask::Mask, output::Output, *};
use crate::{
    client::{ClientAddress, Correlation},
    config::{DecisionLog, LogTo, Withhold},
    event::{PolicyChange, PolicyEvent, ShadowDiffers, TunnelNotice},
    live::Closing,
    refusal::Kind,
    telemetry::testing::{asked, decided, ended, guard, judged, refused},
};

fn config(change: impl FnOnce(&mut DecisionLog)) -> DecisionLog {
    let mut config = DecisionLog::default();
    change(&mut config);
    config
}

fn to_file(path: &Path) -> DecisionLog {
    config(|config| config.to = LogTo::File(path.into()))
}

/// The line of an event, as text and as JSON.
fn line(event: &Event, config: &DecisionLog) -> (String, Value) {
    let text = line::of(event, &Mask::new(config, Aliases::new())).unwrap();
    let value = serde_json::from_str(&text).unwrap();
    (text, value)
}

/// The lines of a file, which must all be JSON.
fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("`{line}`")))
        .collect()
}

fn an_end() -> Event {
    ended(asked(None), Closing::Finished)
}

#[tokio::test]
async fn each_event_has_its_line() {
    let guard = guard(json!({"ports": [443]}));
    let decision = judged(&guard, "https://a.example.com:22/", Some("team-7")).await;
    let of = |subject| asked(subject);
    let policy = |what| {
        Event::Policy(Arc::new(PolicyEvent {
            at: SystemTime::UNIX_EPOCH,
            trigger: "file",
            what,
        }))
    };
    let notice = TunnelNotice {
        at: SystemTime::UNIX_EPOCH,
        asked: Arc::new(of(None)),
        code: "sni-mismatch",
        seen: Some("b.example.com".into()),
        enforced: true,
    };
    let differs = ShadowDiffers {
        at: SystemTime::UNIX_EPOCH,
        asked: Arc::new(of(None)),
        active: None,
        candidate: decision.outcome.denial().cloned(),
        sampled: true,
    };
    let kept = PolicyChange::Kept {
        step: "load",
        error: "no".into(),
    };
    let mut traced = of(Some("team-7"));
    traced.traceparent = Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into());
    traced.correlation = Correlation::of("8f2c");
    let mut turned = refused(Kind::Denied, "request", "scheme-differs", "GET a");
    if let Event::Refused(turned) = &mut turned {
        Arc::get_mut(turned).unwrap().correlation = Correlation::of("8f2d");
    }
    let table = [
        (
            "refused, of an Envoy",
            turned,
            json!({"event": "refused", "code": "scheme-differs", "correlation_id": "8f2d"}),
        ),
        (
            "decision",
            decided(traced, Arc::clone(&decision)),
            json!({"event": "decision", "listener": "proxy", "client": "10.9.8.7:4321", "subject": "team-7",
                   "way": "basic", "kind": "connect", "authority": "a.example.com:443",
                   "trace_id": "0af7651916cd43dd8448eb211c80319c", "correlation_id": "8f2c"}),
        ),
        (
            "end",
            an_end(),
            json!({"event": "end", "time": "1970-01-01T00:00:00.000000Z", "closing": "finished",
                   "lasted_ms": 1500, "silent_ms": 5, "bytes_up": 10, "bytes_down": 20}),
        ),
        (
            "refused",
            refused(Kind::Limited, "limit", "limit-source", "12 are open"),
            json!({"event": "refused", "kind": "limited", "stage": "limit", "code": "limit-source",
                   "detail": "12 are open", "retry_after_ms": 1000}),
        ),
        (
            "tunnel",
            Event::Tunnel(Arc::new(notice)),
            json!({"event": "tunnel", "code": "sni-mismatch", "seen": "b.example.com", "enforced": true}),
        ),
        (
            "policy",
            policy(kept),
            json!({"event": "policy", "trigger": "file", "change": "kept", "step": "load", "error": "no"}),
        ),
        (
            "shadow",
            Event::ShadowDiffers(Arc::new(differs)),
            json!({"event": "shadow", "active": "allow",
                   "candidate": {"stage": "scheme", "code": "port-denied"}}),
        ),
        (
            "phase",
            Event::Phase(crate::event::Phase::Ready),
            json!({"event": "phase", "phase": "ready"}),
        ),
    ];
    for (row, event, expected) in table {
        let (_, value) = line(&event, &config(|_| ()));
        for (field, expected) in expected.as_object().unwrap() {
            assert_eq!(&value[field], expected, "{row}: {field} of {value}");
        }
        assert!(value["time"].is_string(), "{row}");
    }
}

#[tokio::test]
async fn a_replayable_line_is_read_and_answers_the_same() {
    let settings = || json!({"ports": [443]});
    let guard = guard(settings());
    let policy = Evaluator::load(Source::Shipped, settings(), &Limits::default()).unwrap();
    let replayable = config(|config| config.replayable = true);
    for (url, verdict) in [
        ("https://a.example.com/secret?token=1", "allow"),
        ("https://a.example.com:22/secret", "deny"),
        ("https://inner.example.com/", "deny"),
    ] {
        let event = decided(asked(None), judged(&guard, url, None).await);
        let (text, _) = line(&event, &replayable);
        let entry = Entry::read(&text).unwrap().unwrap();
        assert_eq!(entry.verdict, verdict, "{url}");
        assert_eq!(entry.contradictions(), [], "{url}");
        let replayed = replay(&policy, &entry.input.unwrap(), 0).unwrap();
        assert_eq!(replayed.differences, [], "{url}");
    }
    // The other lines are of no decision, and are passed over.
    let (text, _) = line(&an_end(), &replayable);
    assert_eq!(Entry::read(&text).unwrap(), None);
}

#[tokio::test]
async fn nothing_that_is_withheld_is_in_a_line() {
    // A policy cannot be made to quote a path by settings; the words of a parser can.
    let guard = guard(json!({"ports": [443]}));
    let url = "https://a.example.com/s3cret-path?s3cret-query=1";
    let inner = "https://inner.example.com/s3cret-path";
    let refusal = |detail: &str| refused(Kind::Malformed, "request", "malformed", detail);
    let allowed = || async {
        decided(
            asked(Some("s3cret-subject")),
            judged(&guard, url, Some("s3cret-subject")).await,
        )
    };
    let denied = || async { decided(asked(None), judged(&guard, inner, None).await) };
    let literal = decided(asked(None), judged(&guard, "https://10.1.2.3/", None).await);
    let table = [
        (
            "path and query",
            allowed().await,
            vec![],
            false,
            vec!["s3cret-path", "s3cret-query"],
        ),
        (
            "replayable",
            allowed().await,
            vec![],
            true,
            vec!["s3cret-path", "s3cret-query"],
        ),
        (
            "path of a denial",
            denied().await,
            vec![],
            true,
            vec!["s3cret-path"],
        ),
        (
            "quoted by a parser",
            refusal("`http://u:s3cret-pw@h/s3cret-path` is ambiguous"),
            vec![],
            false,
            vec!["s3cret"],
        ),
        (
            "quoted without a scheme",
            refusal("GET /s3cret-path?q"),
            vec![],
            false,
            vec!["s3cret"],
        ),
        (
            "subject",
            allowed().await,
            vec![Withhold::Subjects],
            false,
            vec!["s3cret-subject"],
        ),
        (
            "subject, replayable",
            allowed().await,
            vec![Withhold::Subjects],
            true,
            vec!["s3cret-subject"],
        ),
        (
            "client",
            denied().await,
            vec![Withhold::Clients],
            false,
            vec!["10.9.8.7", "4321"],
        ),
        (
            "internal",
            denied().await,
            vec![Withhold::InternalAddresses],
            false,
            vec!["10.1.2.3"],
        ),
        (
            "internal, replayable",
            denied().await,
            vec![Withhold::InternalAddresses],
            true,
            vec!["10.1.2.3"],
        ),
        (
            "a literal",
            literal,
            vec![Withhold::InternalAddresses],
            true,
            vec!["10.1.2.3"],
        ),
    ];
    for (row, event, more, replayable, secrets) in table {
        let config = config(|config| {
            config.withhold.extend(more);
            config.replayable = replayable;
        });
        let (text, _) = line(&event, &config);
        for secret in secrets {
            assert!(!text.contains(secret), "{row}: {text}");
        }
        // What is left is still a record.
        Entry::read(&text).unwrap_or_else(|error| panic!("{row}: {error}: {text}"));
    }
}

#[tokio::test]
async fn what_nobody_withholds_is_there() {
    let all = config(|config| {
        config.withhold.clear();
        config.replayable = true;
    });
    let decision = judged(
        &guard(json!({})),
        "https://inner.example.com/path?q=1",
        Some("s"),
    )
    .await;
    let (text, value) = line(&decided(asked(Some("s")), decision), &all);
    for there in ["/path", "q=1", "10.1.2.3", "10.9.8.7:4321"] {
        assert!(text.contains(there), "{there}: {text}");
    }
    assert_eq!(value["decision"]["addresses"][0]["class"], "private");
}

#[test]
fn a_hash_stands_for_the_same_one_only() {
    let mask = Mask::new(
        &config(|config| {
            config.withhold = vec![Withhold::Subjects, Withhold::Clients];
        }),
        Aliases::new(),
    );
    let client = |text: &str| mask.client(&ClientAddress::Tcp(text.parse().unwrap()));
    assert_eq!(mask.subject("a"), mask.subject("a"));
    assert_ne!(mask.subject("a"), mask.subject("b"));
    assert_eq!(client("10.0.0.1:1"), client("10.0.0.1:2"));
    assert_ne!(client("10.0.0.1:1"), client("10.0.0.2:1"));
    let other = Mask::new(
        &config(|config| config.withhold = vec![Withhold::Subjects]),
        Aliases::new(),
    );
    assert_ne!(
        mask.subject("a"),
        other.subject("a"),
        "the key is of one process"
    );
}

#[test]
fn what_steers_a_terminal_is_escaped() {
    let evil = "a\u{9b}2J\u{1b}[31m\u{7f}\u{202e}\nb";
    let (text, value) = line(
        &refused(Kind::Malformed, "request", "malformed", evil),
        &config(|config| config.withhold.clear()),
    );
    assert!(text.chars().all(|c| !line::is_harmful(c)), "{text}");
    assert_eq!(value["detail"], evil);
}

#[tokio::test]
async fn of_allowed_decisions_some_are_written_of_the_others_all() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let mut config = to_file(&path);
    config.sample = 4;
    let log = Log::start(&config, Aliases::new()).unwrap();
    let guard = guard(json!({}));
    let allowed = judged(&guard, "https://a.example.com/", None).await;
    let denied = judged(&guard, "https://inner.example.com/", None).await;
    for _ in 0..8 {
        log.take(&decided(asked(None), Arc::clone(&allowed)));
        log.take(&decided(asked(None), Arc::clone(&denied)));
    }
    assert!(log.flush(Log::PATIENCE));
    let verdicts = lines(&path);
    let count = |verdict| {
        verdicts
            .iter()
            .filter(|l| l["decision"]["verdict"] == verdict)
            .count()
    };
    assert_eq!((count("allow"), count("deny")), (2, 8));
    assert_eq!((log.written(), log.dropped(), log.failed()), (10, 0, 0));
}

#[test]
fn a_file_that_was_moved_away_removed_or_truncated_is_followed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let log = Log::start(&to_file(&path), Aliases::new()).unwrap();
    let write = || {
        log.take(&an_end());
        assert!(log.flush(Log::PATIENCE));
    };
    write();
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    fs::rename(&path, dir.path().join("log.1")).unwrap();
    until(|| path.exists());
    write();
    assert_eq!(
        (lines(&dir.path().join("log.1")).len(), lines(&path).len()),
        (1, 1)
    );

    fs::remove_file(&path).unwrap();
    until(|| path.exists());
    write();
    assert_eq!(lines(&path).len(), 1);

    fs::write(&path, "").unwrap();
    write();
    assert_eq!(
        lines(&path).len(),
        1,
        "appended at the beginning, without a hole"
    );
}

#[test]
fn a_reload_opens_anew_at_once_and_what_cannot_be_opened_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (path, other) = (dir.path().join("log"), dir.path().join("other"));
    let log = Log::start(&to_file(&path), Aliases::new()).unwrap();
    log.take(&an_end());
    let error = log
        .reload(&to_file(&dir.path().join("none/log")))
        .unwrap_err();
    assert!(error.contains("none/log"), "{error}");
    log.take(&an_end());
    log.reload(&to_file(&other)).unwrap();
    log.take(&an_end());
    assert!(log.flush(Log::PATIENCE));
    assert_eq!((lines(&path).len(), lines(&other).len()), (2, 1));

    log.reload(&config(|config| config.to = LogTo::Off))
        .unwrap();
    log.take(&an_end());
    assert!(log.flush(Log::PATIENCE));
    assert_eq!((lines(&other).len(), log.dropped()), (1, 0));
}

#[test]
fn a_log_that_cannot_be_opened_does_not_start() {
    let dir = tempfile::tempdir().unwrap();
    assert!(Log::start(&to_file(dir.path()), Aliases::new()).is_err());
}

/// A writer that waits for leave, and hands over what it was given.
struct Held {
    leave: Receiver<()>,
    given: Sender<Vec<u8>>,
}

impl Write for Held {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = self.leave.recv();
        let _ = self.given.send(bytes.to_vec());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn with(writer: impl Write + Send + 'static, queue: usize) -> Log {
    let config = config(|config| config.queue = queue);
    let counts = Arc::new(Counts::default());
    let output = Output::Other(Box::new(writer));
    let writer = Writer::to(
        output,
        Mask::new(&config, Aliases::new()),
        Arc::clone(&counts),
    );
    Log::with(&config, writer, counts).unwrap()
}

#[test]
fn a_writer_that_is_stuck_stops_nobody_and_the_dropped_are_told() {
    let (leave, held) = channel();
    let (given, out) = channel();
    let log = with(Held { leave: held, given }, 4);
    log.take(&an_end());
    until(|| log.send_probe());
    let began = Instant::now();
    for _ in 0..100 {
        log.take(&an_end());
    }
    assert!(began.elapsed() < Duration::from_secs(5));
    let dropped = log.dropped();
    assert!(dropped >= 90, "{dropped}");
    assert!(!log.flush(Duration::from_millis(10)), "it is stuck");

    for _ in 0..20 {
        leave.send(()).unwrap();
    }
    assert!(log.flush(Log::PATIENCE));
    let text: Vec<u8> = out.try_iter().flatten().collect();
    let lines = String::from_utf8(text).unwrap();
    let lost: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|line: &Value| line["event"] == "lost")
        .collect();
    let told: u64 = lost.iter().filter_map(|line| line["events"].as_u64()).sum();
    assert_eq!(told, log.dropped());
    assert!(lost[0]["why"].as_str().unwrap().contains("queue"));
}

impl Log {
    /// Whether the writer took what was sent before: the queue has all its places.
    fn send_probe(&self) -> bool {
        let (done, _) = sync_channel(1);
        self.queue.try_send(Message::Flush(done)).is_ok()
    }
}

#[test]
fn a_flood_of_refusals_does_not_fill_the_disk_and_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let log = Log::start(&to_file(&path), Aliases::new()).unwrap();
    let refusal = refused(Kind::Overloaded, "limit", "limit-connections", "");
    for _ in 0..5_000 {
        log.take(&refusal);
        // What else happens is not kept out by it.
        if log.written() == 0 {
            log.take(&an_end());
            assert!(log.flush(Log::PATIENCE));
        }
    }
    until(|| {
        assert!(log.flush(Log::PATIENCE));
        let lines = lines(&path);
        let of = |event: &'static str| lines.iter().filter(move |line| line["event"] == event);
        let told: u64 = of("lost").filter_map(|line| line["events"].as_u64()).sum();
        let written = of("refused").count() as u64;
        assert!(written < 5_000, "{written}");
        told + written == 5_000
    });
    assert_eq!(log.dropped(), 0);
}

#[test]
fn a_flood_of_one_kind_hides_no_other_and_is_told_by_kind() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let log = Log::start(&to_file(&path), Aliases::new()).unwrap();
    let junk = refused(Kind::Malformed, "request", "origin-form", "");
    let guess = refused(Kind::Unauthenticated, "identity", "credentials-wrong", "");
    // Slow enough for the queue, and more than two seconds take of it.
    for _ in 0..10 {
        (0..100).for_each(|_| log.take(&junk));
        log.take(&guess);
        assert!(log.flush(Log::PATIENCE));
    }
    until(|| {
        assert!(log.flush(Log::PATIENCE));
        lines(&path).iter().any(|line| line["event"] == "lost")
    });
    let lines = lines(&path);
    let guesses = lines
        .iter()
        .filter(|line| line["code"] == "credentials-wrong");
    assert_eq!(guesses.count(), 10);
    let lost = lines.iter().find(|line| line["event"] == "lost").unwrap();
    assert_eq!(lost["refused"][0]["code"], "origin-form", "{lost}");
    assert_eq!(lost["refused"][0]["events"], lost["events"]);
    assert!(lost["refused"][0]["listener"].is_string());
}

/// A disk that has room for so many bytes, again and again.
struct Disk {
    room: Arc<AtomicU64>,
    file: fs::File,
}

impl Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = usize::try_from(self.room.load(Ordering::Relaxed)).unwrap();
        if room == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let written = self.file.write(&bytes[..bytes.len().min(room)])?;
        self.room.fetch_sub(written as u64, Ordering::Relaxed);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_disk_is_counted_told_and_recovered_from() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let room = Arc::new(AtomicU64::new(0));
    let disk = Disk {
        room: Arc::clone(&room),
        file: fs::File::create(&path).unwrap(),
    };
    let log = with(disk, 64);
    let write = || {
        log.take(&an_end());
        assert!(log.flush(Log::PATIENCE));
    };
    room.store(10_000, Ordering::Relaxed);
    write();
    assert_eq!(log.problem(), None);

    room.store(20, Ordering::Relaxed);
    write();
    write();
    assert_eq!((log.written(), log.failed()), (1, 2));
    assert!(log.problem().unwrap().contains("cannot be written"));

    room.store(10_000, Ordering::Relaxed);
    write();
    assert_eq!((log.written(), log.failed(), log.problem()), (2, 2, None));
    let text = fs::read_to_string(&path).unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 4, "{text}");
    assert_eq!(lines[1].len(), 20, "the torn line ends where the disk did");
    let lost: Value = serde_json::from_str(lines[2]).unwrap();
    assert_eq!(
        (&lost["event"], &lost["events"]),
        (&json!("lost"), &json!(2))
    );
    assert!(lines[3].contains("\"end\""));
}

#[tokio::test]
async fn a_decision_that_is_too_long_loses_its_input() {
    let long = "x".repeat(Entry::MAX_LEN);
    let request = pinfold::Request::new("https://a.example.com/".parse().unwrap());
    let decision = guard(json!({})).check(request.label("long", &long)).await;
    let mut asked = asked(None);
    let config = config(|config| config.replayable = true);
    let (text, _) = line(&decided(asked.clone(), Arc::clone(&decision)), &config);
    let entry = Entry::read(&text).unwrap().unwrap();
    assert_eq!(entry.replay, Some(pinfold::record::Mark::TooLarge));
    // What is too long without it is of nobody who keeps the bounds of a request.
    asked.authority = long;
    assert_eq!(
        line::of(
            &decided(asked, decision),
            &Mask::new(&config, Aliases::new())
        ),
        None
    );
}

#[test]
fn an_active_policy_is_named() {
    let policy = PolicyRef {
        layer: None,
        name: "egress".into(),
        digest: "d".into(),
        settings_digest: "s".into(),
        generation: 2,
        inert_wasi: false,
    };
    let event = Event::Policy(Arc::new(PolicyEvent {
        at: SystemTime::UNIX_EPOCH,
        trigger: "admin",
        what: PolicyChange::Active {
            generation: 2,
            policies: vec![policy],
            back: false,
        },
    }));
    let (_, value) = line(&event, &config(|_| ()));
    assert_eq!(value["generation"], 2);
    assert_eq!(value["policies"][0]["digest"], "d");
}

/// Waits for something that happens within a few seconds, however busy the machine is.
fn until(mut happened: impl FnMut() -> bool) {
    let began = Instant::now();
    while !happened() {
        assert!(
            began.elapsed() < Duration::from_secs(30),
            "it did not happen"
        );
        thread::sleep(Duration::from_millis(20));
    }
}
