//! Spans as a collector gets them, from a receiver on loopback that decodes what it needs of OTLP.

use std::{collections::BTreeMap, net::SocketAddr, sync::Mutex, time::SystemTime};

use pinfold::resolve::Fixed;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::*;
use crate::{
    config::{Span as Time, Withhold},
    live::Closing,
    telemetry::testing::{asked, decided, ended, guard, judged},
};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

/// Head and body of a request.
type Message = (String, Vec<u8>);

/// A collector that keeps what it gets.
struct Receiver {
    address: SocketAddr,
    got: Arc<Mutex<Vec<Message>>>,
}

impl Receiver {
    async fn new(status: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let got: Arc<Mutex<Vec<Message>>> = Arc::default();
        let keep = Arc::clone(&got);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (head, body) = message(&mut stream).await;
                keep.lock().unwrap().push((head, body));
                let answer =
                    format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        Self { address, got }
    }

    fn config(&self, host: &str) -> config::Tracing {
        let endpoint = format!("http://{host}:{}/v1/traces", self.address.port());
        tracing(&endpoint)
    }

    fn spans(&self) -> Vec<Span> {
        let got = self.got.lock().unwrap();
        got.iter().flat_map(|(_, body)| Span::all(body)).collect()
    }
}

async fn message(stream: &mut tokio::net::TcpStream) -> Message {
    let mut bytes = Vec::new();
    loop {
        let head = bytes.windows(4).position(|w| w == b"\r\n\r\n");
        if let Some(end) = head {
            let head = String::from_utf8(bytes[..end].to_vec())
                .unwrap()
                .to_lowercase();
            let length = head.split("content-length: ").nth(1).unwrap();
            let length: usize = length.lines().next().unwrap().parse().unwrap();
            if bytes.len() >= end + 4 + length {
                return (head, bytes[end + 4..].to_vec());
            }
        }
        assert!(stream.read_buf(&mut bytes).await.unwrap() > 0);
    }
}

fn tracing(endpoint: &str) -> config::Tracing {
    let text = json!({"endpoint": endpoint, "headers": {"x-key": "s3cret"}});
    let mut config: config::Tracing = serde_json::from_value(text).unwrap();
    config.interval = Time::seconds(3_600);
    config
}

async fn tracer(config: config::Tracing, withhold: &'static [Withhold]) -> Result<Tracer, String> {
    let start = move || Tracer::start(&config, withhold, Fixed::default());
    tokio::task::spawn_blocking(start).await.unwrap()
}

/// What a test looks at of a span.
#[derive(Debug, Default)]
struct Span {
    trace: String,
    id: String,
    parent: String,
    name: String,
    kind: u64,
    start: u64,
    end: u64,
    attributes: BTreeMap<String, String>,
    status: (String, u64),
}

impl Span {
    fn all(body: &[u8]) -> Vec<Self> {
        let resource_spans = fields(body).into_iter().filter(|(n, _)| *n == 1);
        let scope_spans = resource_spans
            .flat_map(|(_, f)| f.messages())
            .filter(|(n, _)| *n == 2);
        let spans = scope_spans
            .flat_map(|(_, f)| f.messages())
            .filter(|(n, _)| *n == 2);
        spans.map(|(_, f)| Self::of(f.messages())).collect()
    }

    fn of(fields: Vec<(u64, Field<'_>)>) -> Self {
        let mut span = Self::default();
        for (number, field) in fields {
            match number {
                1 => span.trace = field.hex(),
                2 => span.id = field.hex(),
                4 => span.parent = field.hex(),
                5 => span.name = field.text(),
                6 => span.kind = field.number(),
                7 => span.start = field.number(),
                8 => span.end = field.number(),
                9 => {
                    let (key, value) = attribute(&field);
                    span.attributes.insert(key, value);
                }
                15 => {
                    for (number, field) in field.messages() {
                        match number {
                            2 => span.status.0 = field.text(),
                            3 => span.status.1 = field.number(),
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
        }
        span
    }
}

fn attribute(field: &Field<'_>) -> (String, String) {
    let parts: BTreeMap<_, _> = field.messages().into_iter().collect();
    let value = parts[&2].messages();
    let value = match value.first() {
        Some((1, text)) => text.text(),
        Some((_, number)) => number.number().to_string(),
        None => String::new(),
    };
    (parts[&1].text(), value)
}

/// A field of protobuf.
#[derive(Clone, Copy, Debug)]
enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

impl<'a> Field<'a> {
    fn number(self) -> u64 {
        match self {
            Self::Number(number) => number,
            Self::Bytes(bytes) => panic!("{bytes:?}"),
        }
    }

    fn bytes(self) -> &'a [u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Number(number) => panic!("{number}"),
        }
    }

    fn text(self) -> String {
        String::from_utf8(self.bytes().to_vec()).unwrap()
    }

    fn hex(self) -> String {
        self.bytes()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }

    fn messages(self) -> Vec<(u64, Self)> {
        fields(self.bytes())
    }
}

fn fields(mut bytes: &[u8]) -> Vec<(u64, Field<'_>)> {
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let field = match key & 7 {
            0 => Field::Number(varint(&mut bytes)),
            1 => {
                let (number, rest) = bytes.split_first_chunk().unwrap();
                bytes = rest;
                Field::Number(u64::from_le_bytes(*number))
            }
            2 => {
                let length = usize::try_from(varint(&mut bytes)).unwrap();
                let (field, rest) = bytes.split_at(length);
                bytes = rest;
                Field::Bytes(field)
            }
            5 => {
                let (number, rest) = bytes.split_first_chunk().unwrap();
                bytes = rest;
                Field::Number(u32::from_le_bytes(*number).into())
            }
            kind => panic!("wire type {kind}"),
        };
        all.push((key >> 3, field));
    }
    all
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut number = 0;
    for shift in (0..).step_by(7) {
        let (byte, rest) = bytes.split_first().unwrap();
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    number
}

#[tokio::test]
async fn a_request_that_was_denied_is_a_span_with_its_steps() {
    let receiver = Receiver::new("200 OK").await;
    let tracer = tracer(receiver.config("127.0.0.1"), &[]).await.unwrap();
    let mut asked = asked(Some("team-7"));
    asked.traceparent = Some(format!("00-{TRACE}-{PARENT}-01"));
    let decision = judged(
        &guard(json!({})),
        "https://inner.example.com/s3cret",
        Some("team-7"),
    )
    .await;
    tracer.take(&decided(asked, decision));
    assert!(tracer.flush(Duration::from_secs(30)).await);

    let (head, body) = receiver.got.lock().unwrap()[0].clone();
    assert!(head.starts_with("post /v1/traces http/1.1"), "{head}");
    assert!(
        head.contains("content-type: application/x-protobuf"),
        "{head}"
    );
    assert!(head.contains("x-key: s3cret"), "{head}");
    assert!(!String::from_utf8_lossy(&body).contains("s3cret"));

    let spans = receiver.spans();
    let root = spans.iter().find(|span| span.parent == PARENT).unwrap();
    assert_eq!((&*root.name, root.kind), ("CONNECT", 2));
    assert_eq!(root.status, ("address-not-public".to_owned(), 2));
    for (key, value) in [
        ("http.request.method", "CONNECT"),
        ("server.address", "a.example.com"),
        ("server.port", "443"),
        ("client.address", "10.9.8.7"),
        ("enduser.id", "team-7"),
        ("pinfold.verdict", "deny"),
        ("error.type", "address-not-public"),
        ("pinfold.policy.generation", "1"),
    ] {
        assert_eq!(root.attributes[key], value, "{key}");
    }
    let steps: Vec<_> = spans.iter().filter(|span| span.parent == root.id).collect();
    let mut names: Vec<_> = steps.iter().map(|span| &*span.name).collect();
    names.sort_unstable();
    assert_eq!(names, ["check-addresses", "check-target", "resolve"]);
    assert!(
        spans
            .iter()
            .all(|span| span.trace == TRACE && span.start <= span.end)
    );
    assert_eq!((tracer.exported(), tracer.failed()), (4, 0));
}

#[tokio::test]
async fn the_end_of_a_tunnel_comes_to_the_span_of_its_beginning() {
    let scribe = Scribe::new(1, &[]);
    let asked = asked(None);
    let mut spans = Vec::new();
    let Event::Ended(mut end) = ended(asked.clone(), Closing::Revoked) else {
        unreachable!()
    };
    Arc::get_mut(&mut end).unwrap().at = SystemTime::now();
    scribe.write(&Event::Ended(end), TOOK, &mut spans);
    let decision = judged(&guard(json!({})), "https://a.example.com/", None).await;
    scribe.write(&decided(asked, decision), TOOK, &mut spans);
    let (root, steps) = spans.split_first().unwrap();
    assert!(!steps.is_empty());
    let of_end = |key| {
        let found = root.attributes.iter().find(|a| a.key.as_str() == key);
        found.unwrap().value.to_string()
    };
    assert_eq!(of_end("pinfold.closing"), "revoked");
    assert_eq!(of_end("pinfold.bytes.down"), "20");
    for step in steps {
        assert_eq!(step.span_context.trace_id(), root.span_context.trace_id());
        let of_root = step.span_context.span_id() == root.span_context.span_id();
        assert!(of_root || step.parent_span_id == root.span_context.span_id());
    }
}

/// A kept connection turned out to be closed.
#[tokio::test]
async fn a_request_that_is_judged_twice_is_one_span() {
    let scribe = Scribe::new(1, &[]);
    let asked = asked(None);
    let decision = judged(&guard(json!({})), "https://a.example.com/", None).await;
    let mut spans = Vec::new();
    for before in [0, 1] {
        let Event::Decided(mut event) = decided(asked.clone(), Arc::clone(&decision)) else {
            unreachable!()
        };
        Arc::get_mut(&mut event).unwrap().before = before;
        scribe.write(&Event::Decided(event), TOOK, &mut spans);
    }
    let ids: std::collections::HashSet<_> = spans
        .iter()
        .map(|span| span.span_context.span_id())
        .collect();
    assert_eq!(ids.len(), spans.len());
    let named = |name: &str| spans.iter().filter(|span| span.name == name).count();
    assert_eq!((named("CONNECT"), named("check-target")), (1, 2));
}

#[test]
fn the_client_decides_about_its_traces_and_of_the_others_some_are_sampled() {
    let scribe = Scribe::new(10, &[]);
    let with = |flags| {
        let mut asked = asked(None);
        asked.traceparent = Some(format!("00-{TRACE}-{PARENT}-{flags}"));
        asked
    };
    assert!(scribe.is_sampled(&with("01")));
    assert!(!scribe.is_sampled(&with("00")));
    let sampled = (0..2_000)
        .filter(|_| scribe.is_sampled(&asked(None)))
        .count();
    assert!((100..300).contains(&sampled), "{sampled} of 2000");
}

#[tokio::test]
async fn what_the_log_withholds_is_in_no_span() {
    let all = [
        Withhold::Subjects,
        Withhold::Clients,
        Withhold::InternalAddresses,
    ];
    let scribe = Scribe::new(1, &all);
    let mut asked = asked(Some("team-7"));
    asked.authority = "10.1.2.3:443".into();
    let decision = judged(&guard(json!({})), "https://10.1.2.3/", Some("team-7")).await;
    let mut spans = Vec::new();
    scribe.write(&decided(asked, decision), TOOK, &mut spans);
    let text = format!("{spans:?}");
    for secret in ["team-7", "10.9.8.7", "10.1.2.3"] {
        assert!(!text.contains(secret), "{secret}: {text}");
    }
}

#[tokio::test]
async fn a_collector_that_fails_is_counted_and_stops_nobody() {
    let receiver = Receiver::new("503 Service Unavailable").await;
    let tracer = tracer(receiver.config("localhost"), &[]).await.unwrap();
    let decision = judged(&guard(json!({})), "https://inner.example.com/", None).await;
    let event = decided(asked(None), decision);
    for _ in 0..3 * QUEUE {
        tracer.take(&event);
    }
    assert!(tracer.dropped() > 0);
    assert!(tracer.flush(Duration::from_secs(60)).await);
    assert_eq!(tracer.exported(), 0);
    let sent = (3 * QUEUE) as u64 - tracer.dropped();
    assert_eq!(tracer.failed(), 4 * sent);
    assert!(!receiver.got.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_flush_is_bounded() {
    // A socket that accepts and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}/v1/traces", silent.local_addr().unwrap());
    let tracer = tracer(tracing(&endpoint), &[]).await.unwrap();
    let decision = judged(&guard(json!({})), "https://inner.example.com/", None).await;
    tracer.take(&decided(asked(None), decision));
    assert!(!tracer.flush(Duration::from_millis(200)).await);
}

#[tokio::test]
async fn what_is_no_collector_is_refused_at_the_start() {
    let mut header = tracing("http://127.0.0.1:4318/v1/traces");
    header.headers.insert("a b".into(), "c".into());
    let table = [
        ("no URL", tracing("127.0.0.1:4318")),
        ("another scheme", tracing("ftp://127.0.0.1/")),
        (
            "a metadata endpoint",
            tracing("http://169.254.169.254/v1/traces"),
        ),
        ("a header", header),
    ];
    for (row, config) in table {
        let refused = tracer(config, &[]).await;
        assert!(refused.is_err(), "{row}");
    }
}

#[tokio::test]
async fn the_way_to_the_collector_leads_nowhere_else() {
    let receiver = Receiver::new("200 OK").await;
    let elsewhere = Receiver::new("200 OK").await;
    // A name that leads to this machine is no collector, unless it is `localhost`.
    let rule = Fixed::default()
        .rule("collector.example.com=127.0.0.1")
        .unwrap();
    let config = receiver.config("collector.example.com");
    let start = move || Tracer::start(&config, &[], rule);
    let tracer = tokio::task::spawn_blocking(start).await.unwrap().unwrap();
    let decision = judged(&guard(json!({})), "https://inner.example.com/", None).await;
    tracer.take(&decided(asked(None), decision));
    assert!(tracer.flush(Duration::from_secs(30)).await);
    assert!(receiver.got.lock().unwrap().is_empty());
    assert_eq!(tracer.failed(), 4);
    drop(elsewhere);
}

#[tokio::test]
async fn a_request_took_as_long_as_when_its_end_was_told() {
    let scribe = Scribe::new(1, &[]);
    let mut asked = asked(None);
    // It waited for the collector since.
    asked.began = std::time::Instant::now()
        .checked_sub(Duration::from_secs(4))
        .unwrap();
    let mut spans = Vec::new();
    scribe.write(&ended(asked, Closing::Finished), TOOK, &mut spans);
    let root = &spans[0];
    let lasted = root.end_time.duration_since(root.start_time).unwrap();
    assert_eq!(lasted, TOOK);
}

#[tokio::test]
async fn what_is_withheld_later_is_withheld_from_then_on() {
    let scribe = Scribe::new(1, &[]);
    scribe.withhold(&[Withhold::Subjects]);
    let mut spans = Vec::new();
    let end = ended(asked(Some("team-7")), Closing::Finished);
    scribe.write(&end, TOOK, &mut spans);
    assert!(!format!("{spans:?}").contains("team-7"));
}

const TOOK: Duration = Duration::from_millis(2);
