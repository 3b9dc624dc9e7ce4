//! Decisions that were recorded are judged again: the same policies answer the same, bit for bit, from the
//! text of the record alone; what is withheld is told, and what depends on it is marked.
#![expect(clippy::panic, clippy::unwrap_used, reason = "tests")]

use std::{
    io::{self, Write},
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};

use pinfold::{
    Decision, Guard, GuardBuilder, Limits, Observer, Request,
    addr::Target,
    policy::{Evaluator, Layer, Source},
    record::{Entry, Inputs, Log, Mark, Redaction, Ruling, ask, replay},
    resolve::Fixed,
};
use serde_json::{Value, json};

#[path = "../fixtures/guests/mod.rs"]
#[expect(dead_code, reason = "other tests use the rest of it")]
mod guests;

/// What is asked: each of them says something else to the policy.
const URLS: &[&str] = &[
    "https://example.com/",
    "https://example.com/a/long/path?with=a&query",
    "http://user:secret@example.com/",
    "http://0x7f.1/",
    "http://127.0.0.2:8080/granted",
    "http://10.0.0.7/",
    "http://[64:ff9b::a00:7]/",
    "http://[2001:db8:64::a00:7]/",
    "http://[::ffff:1.1.1.1]/",
    "http://1.1.1.1:8443/",
    "ftp://example.com/",
    "http://mixed.example/",
    "http://alias.example/",
    "http://nothing.example/",
    "http://localhost/",
    "http://m\u{fc}nchen.example/",
];

fn builder() -> GuardBuilder {
    let mut limits = Limits::default();
    limits.policy_instances = 32;
    limits.decision = Duration::from_millis(500);
    let fixed = Fixed::default()
        .rule("example.com=93.184.216.34,2606:4700:4700::1111")
        .unwrap()
        .rule("mixed.example=1.1.1.1,10.0.0.7,169.254.169.254")
        .unwrap()
        .rule("alias.example=1.1.1.1")
        .unwrap()
        .rule("xn--mnchen-3ya.example=1.1.1.1")
        .unwrap();
    Guard::builder()
        .limits(limits)
        .resolver(fixed)
        .grants(["127.0.0.2:8080".parse().unwrap()])
        .nat64(["2001:db8:64::/96".parse().unwrap()])
        .record_inputs(Inputs::Keep)
}

/// Everything in [`URLS`], and a redirect from each to the next.
async fn ask_everything(guard: &Guard) -> Vec<Arc<Decision>> {
    let mut all = Vec::new();
    let requests = URLS.iter().map(|url| {
        let request = Request::new(Target::parse(url).unwrap()).method("GET");
        request
            .subject("tenant-7")
            .label("feature", "preview")
            .label("feature", "twice")
    });
    let requests: Vec<_> = requests.collect();
    for pair in requests.windows(2) {
        all.push(guard.check(pair[0].clone()).await);
        all.push(
            guard
                .check(pair[0].redirected(pair[1].target().clone(), "GET"))
                .await,
        );
    }
    all
}

/// What a reader of the log has.
fn reread(decision: &Decision) -> Entry {
    let entry: Entry = serde_json::from_str(&serde_json::to_string(decision).unwrap()).unwrap();
    assert_eq!(
        entry.input.as_ref(),
        decision.input.as_deref(),
        "{}",
        decision.target
    );
    entry
}

fn evaluator(source: Source, settings: Value) -> Evaluator {
    let mut limits = Limits::default();
    limits.policy_instances = 32;
    limits.decision = Duration::from_millis(500);
    Evaluator::load(source, settings, &limits).unwrap()
}

#[tokio::test]
async fn every_kind_of_question_is_replayed_from_its_text() {
    let guard = builder().build().unwrap();
    let policy = evaluator(Source::Shipped, json!({}));
    let (mut replayed, mut unasked) = (0, 0);
    for decision in ask_everything(&guard).await {
        let input = reread(&decision).input.unwrap();
        if !input.was_asked() {
            unasked += 1;
            continue;
        }
        let again = replay(&policy, &input, 0).unwrap();
        assert_eq!(again.differences, [], "{}", decision.target);
        assert_eq!(
            again.answered.target, input.answered[0].target,
            "{}",
            decision.target
        );
        replayed += 1;
    }
    assert!(
        replayed > 20 && unasked > 0,
        "{replayed} replayed, {unasked} not asked"
    );
}

/// The verdict that follows from the answers is the one that the guard gave.
#[tokio::test]
async fn the_ruling_is_that_of_the_guard() {
    let guard = builder().build().unwrap();
    for decision in ask_everything(&guard).await {
        let input = decision.input.as_deref().unwrap();
        let ruling = input.ruling(&input.answered);
        let denial = decision.outcome.denial();
        match &ruling {
            // No policy was asked: floor or lookup refused.
            Ruling::Admit => assert!(denial.is_some() && input.answers.is_empty()),
            ruling => assert_eq!(ruling.denial(), denial, "{}", decision.target),
        }
    }
}

#[tokio::test]
async fn other_settings_answer_otherwise_and_each_field_is_shown() {
    let guard = builder().build().unwrap();
    let request = Request::new(Target::parse("http://1.1.1.1:8443/").unwrap());
    let input = reread(&*guard.check(request).await).input.unwrap();
    let stricter = evaluator(Source::Shipped, json!({"ports": [443]}));
    assert_eq!(replay(&stricter, &input, 0), None, "another policy judged");
    let now = ask(&stricter, &input);
    let fields: Vec<_> = input.answered[0]
        .differences(&now)
        .into_iter()
        .map(|d| d.field)
        .collect();
    assert_eq!(fields, ["addresses", "target.allow", "target.deny"]);
    assert!(
        !input
            .ruling(&input.answered)
            .is_loosened_by(&input.ruling(std::slice::from_ref(&now)))
    );
    assert!(
        input
            .ruling(&[now])
            .is_loosened_by(&input.ruling(&input.answered))
    );
}

#[tokio::test]
async fn each_layer_of_a_chain_is_replayed() {
    let strict = json!({"ports": [80, 443]});
    let guard = builder()
        .layer(Layer::new("organisation", Source::Shipped))
        .layer(Layer::new("team", Source::Shipped).settings(strict.clone()))
        .build()
        .unwrap();
    let policies = [
        evaluator(Source::Shipped, json!({})),
        evaluator(Source::Shipped, strict),
    ];
    let mut depths = [0; 3];
    for decision in ask_everything(&guard).await {
        let entry = reread(&decision);
        assert_eq!(entry.layers.len(), 2);
        let input = entry.input.unwrap();
        depths[input.answered.len()] += 1;
        for (place, answered) in input.answered.iter().enumerate() {
            let layer = ["organisation", "team"][place];
            assert_eq!(answered.policy.layer.as_deref(), Some(layer));
            assert_eq!(
                replay(&policies[place], &input, place).unwrap().differences,
                [],
                "{}",
                decision.target
            );
        }
        if let Ruling::Deny(denial) = input.ruling(&input.answered) {
            assert_eq!(
                Some(&denial),
                decision.outcome.denial(),
                "{}",
                decision.target
            );
        }
    }
    assert!(depths.iter().all(|depth| *depth > 0), "{depths:?}");
}

#[tokio::test]
async fn a_guard_records_nothing_unless_it_is_told_to() {
    let guard = builder().record_inputs(Inputs::Omit).build().unwrap();
    let request = Request::new(Target::parse("https://example.com/secret?token").unwrap());
    let decision = guard.check(request).await;
    assert_eq!(decision.input, None);
    let text = serde_json::to_string(&*decision).unwrap();
    assert!(
        !text.contains("secret") && !text.contains("token"),
        "{text}"
    );
}

/// What a log writes for one URL, judged by one policy.
async fn logged(source: Source, redaction: Redaction, urls: &[&str]) -> (String, Vec<Entry>) {
    let buffer = Buffer::default();
    let log = Arc::new(
        Log::builder()
            .redact(redaction)
            .write_to(buffer.clone())
            .unwrap(),
    );
    let guard = builder()
        .policy(source)
        .observer(Arc::clone(&log))
        .build()
        .unwrap();
    for url in urls {
        guard.check(Request::new(Target::parse(url).unwrap())).await;
    }
    assert!(log.flush(Log::PATIENCE));
    assert_eq!(
        (log.written(), log.dropped(), log.failed()),
        (urls.len() as u64, 0, 0)
    );
    let text = buffer.text();
    let entries = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    (text, entries)
}

#[tokio::test]
async fn what_is_withheld_is_named_and_what_depends_on_it_is_marked() {
    let reader = || Source::Bytes(guests::component("deny-long-path").into());
    let path = ["target.path"];
    let both = ["target.path", "target.query"];
    let marked = ["target.path", "detail"];
    type Row<'a> = (&'a str, Source, &'a str, &'a [&'a str], Option<Mark>);
    let table: [Row<'_>; 6] = [
        (
            "nothing to withhold",
            Source::Shipped,
            "https://example.com/",
            &[],
            None,
        ),
        (
            "not read",
            Source::Shipped,
            "https://example.com/SECRET",
            &path,
            None,
        ),
        (
            "neither",
            Source::Shipped,
            "https://example.com/SECRET?SECRET",
            &both,
            None,
        ),
        (
            "read, denied and quoted",
            reader(),
            "https://example.com/long/SECRET",
            &marked,
            Some(Mark::DependsOnRedacted),
        ),
        (
            "read, and allowed",
            reader(),
            "https://example.com/SECRET",
            &marked,
            Some(Mark::DependsOnRedacted),
        ),
        (
            "nothing to read",
            reader(),
            "https://example.com/",
            &[],
            None,
        ),
    ];
    for (row, source, url, redacted, mark) in table {
        let (text, entries) = logged(source.clone(), Redaction::ALL, &[url]).await;
        assert!(!text.contains("SECRET"), "{row}: {text}");
        assert_eq!(entries[0].redacted, redacted, "{row}");
        assert_eq!(entries[0].replay, mark, "{row}");
        let again = replay(
            &evaluator(source, json!({})),
            entries[0].input.as_ref().unwrap(),
            0,
        );
        let alike = again.unwrap().differences.is_empty();
        assert_eq!(
            alike,
            mark.is_none(),
            "{row}: what is not marked replays, what is does not"
        );
    }
}

#[tokio::test]
async fn without_redaction_the_path_stays_and_replays() {
    let reader = || Source::Bytes(guests::component("deny-long-path").into());
    let (text, entries) = logged(
        reader(),
        Redaction::NONE,
        &["https://example.com/long/SECRET"],
    )
    .await;
    assert!(text.contains("SECRET"));
    assert_eq!(
        (entries[0].code.as_deref(), entries[0].replay),
        (Some("path-long"), None)
    );
    let again = replay(
        &evaluator(reader(), json!({})),
        entries[0].input.as_ref().unwrap(),
        0,
    );
    assert_eq!(again.unwrap().differences, []);
}

/// Late, because the machine is: it would say something else on another day.
#[tokio::test]
async fn an_answer_of_the_machine_is_marked() {
    let looping = Source::Bytes(guests::component("loop-in-check-target").into());
    let (_, entries) = logged(looping, Redaction::NONE, &["https://example.com/"]).await;
    assert_eq!(entries[0].code.as_deref(), Some("policy-timeout"));
    assert_eq!(entries[0].replay, Some(Mark::DependsOnMachine));
}

/// Records are redacted under the policies that decided, although others have taken their place.
#[tokio::test]
async fn a_swap_does_not_change_what_was_recorded() {
    let buffer = Buffer::default();
    let (gate, open) = mpsc::channel::<()>();
    let gated = Gated {
        open: Some(open),
        buffer: buffer.clone(),
    };
    let log = Arc::new(
        Log::builder()
            .redact(Redaction::ALL)
            .write_to(gated)
            .unwrap(),
    );
    let guard = builder().observer(Arc::clone(&log)).build().unwrap();
    let request = || Request::new(Target::parse("https://example.com/SECRET").unwrap());
    guard.check(request()).await;
    guard.check(request()).await;
    guard
        .swap(Source::Bytes(guests::component("deny").into()), json!({}))
        .unwrap();
    drop(gate);
    assert!(log.flush(Log::PATIENCE));
    let entries: Vec<Entry> = buffer
        .text()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(entries.len(), 2);
    assert!(
        entries
            .iter()
            .all(|entry| entry.replay.is_none() && entry.verdict == "allow")
    );
}

#[tokio::test]
async fn a_log_never_blocks_and_counts_what_it_drops() {
    let buffer = Buffer::default();
    let (gate, open) = mpsc::channel::<()>();
    let gated = Gated {
        open: Some(open),
        buffer: buffer.clone(),
    };
    let log = Log::builder().queue(2).write_to(gated).unwrap();
    let guard = builder().build().unwrap();
    let decision = guard
        .check(Request::new(Target::parse("http://10.0.0.7/").unwrap()))
        .await;
    for _ in 0..10 {
        log.observe(&decision);
    }
    assert!(
        !log.flush(Duration::from_millis(50)),
        "nothing is written yet"
    );
    // Two wait, and the writer may hold one or none of them.
    assert!(log.dropped() >= 7, "{}", log.dropped());
    drop(gate);
    assert!(log.flush(Log::PATIENCE));
    assert_eq!(log.written() + log.dropped(), 10);
    drop(log);
    assert!((2..=3).contains(&buffer.text().lines().count()));
}

#[tokio::test]
async fn dropping_a_log_writes_what_waits() {
    let buffer = Buffer::default();
    let log = Log::new(buffer.clone()).unwrap();
    let guard = builder().build().unwrap();
    let decision = guard
        .check(Request::new(Target::parse("http://10.0.0.7/").unwrap()))
        .await;
    for _ in 0..500 {
        log.observe(&decision);
    }
    drop(log);
    assert_eq!(buffer.text().lines().count(), 500);
}

/// A disk that is full for a while loses records, and nothing but those.
#[tokio::test]
async fn a_writer_that_fails_loses_its_record_alone() {
    let buffer = Buffer::default();
    let log = Log::new(Torn {
        writes: 0,
        buffer: buffer.clone(),
    })
    .unwrap();
    let guard = builder().build().unwrap();
    let decision = guard
        .check(Request::new(Target::parse("http://10.0.0.7/").unwrap()))
        .await;
    for _ in 0..4 {
        log.observe(&decision);
    }
    assert!(log.flush(Log::PATIENCE));
    assert_eq!((log.written(), log.failed(), log.dropped()), (3, 1, 0));
    let text = buffer.text();
    let good = text
        .lines()
        .filter(|line| serde_json::from_str::<Entry>(line).is_ok());
    assert_eq!(good.count(), 3, "{text}");
}

/// What embedders add without measure does not end in a line that nobody reads.
#[tokio::test]
async fn a_record_that_is_too_long_is_written_without_its_input() {
    let buffer = Buffer::default();
    let log = Arc::new(Log::new(buffer.clone()).unwrap());
    let guard = builder().observer(Arc::clone(&log)).build().unwrap();
    let request = Request::new(Target::parse("https://example.com/").unwrap());
    guard
        .check(request.label("all", "x".repeat(Entry::MAX_LEN)))
        .await;
    assert!(log.flush(Log::PATIENCE));
    let entry: Entry = serde_json::from_str(&buffer.text()).unwrap();
    assert_eq!((entry.input, entry.replay), (None, Some(Mark::TooLarge)));
}

/// A writer whose text can be read by others.
#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Buffer {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes nothing before the other end of the channel is gone.
struct Gated {
    open: Option<mpsc::Receiver<()>>,
    buffer: Buffer,
}

impl Write for Gated {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(open) = self.open.take() {
            let _ = open.recv();
        }
        self.buffer.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Takes half of the second line, and fails.
struct Torn {
    writes: usize,
    buffer: Buffer,
}

impl Write for Torn {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writes += 1;
        match self.writes {
            2 => self.buffer.write(&bytes[..bytes.len() / 2]),
            3 => Err(io::Error::from(io::ErrorKind::StorageFull)),
            _ => self.buffer.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
