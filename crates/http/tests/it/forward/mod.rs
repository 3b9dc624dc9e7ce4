//! One hop for a proxy: what goes through as it is, what does not, and what bounds it.

use std::{
    future::Future,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{Method, Request, StatusCode, Version};
use http_body::{Body as _, Frame};
use http_body_util::{BodyExt, StreamBody};
use pinfold::{Decision, Guard, Held, policy::Source, record::Mode};
use pinfold_addr::Target;
use pinfold_http::{Body, Error, Forwarded, Forwarder, Limits, TlsRoots, Upgrade};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::{Instant, sleep, timeout},
};

use crate::support::{Journal, PUBLIC, Reply, Server, guard, ok, response};

mod bodies;
mod heads;
mod interim;

/// Long for a test, short for a person.
const SOON: Duration = Duration::from_secs(10);
/// A patience that passes.
const SHORT: Duration = Duration::from_millis(150);

struct Bench {
    guard: Guard,
    forwarder: Forwarder,
}

impl Bench {
    fn new() -> Self {
        Self::of(guard().build().unwrap())
    }

    fn settings(settings: serde_json::Value) -> Self {
        Self::of(guard().settings(settings).build().unwrap())
    }

    fn of(guard: Guard) -> Self {
        let roots = TlsRoots::Only(Vec::new());
        let forwarder = Forwarder::new(&guard, Limits::default(), &roots).patience(SOON);
        Self { guard, forwarder }
    }

    fn patience(mut self, patience: Duration) -> Self {
        self.forwarder = self.forwarder.patience(patience);
        self
    }

    async fn send(&self, url: &str, request: Request<Body>) -> Result<Forwarded, Error> {
        let session = self.guard.session();
        let what = judged(url, &request);
        let sent = self.forwarder.send(&session, what, request, |_, _| {});
        timeout(SOON, sent).await.expect("an answer in time")
    }

    async fn upgrade(&self, url: &str, request: Request<Body>) -> Result<Upgrade, Error> {
        let session = self.guard.session();
        let what = judged(url, &request);
        let sent = self.forwarder.upgrade(&session, what, request, |_, _| {});
        timeout(SOON, sent).await.expect("an answer in time")
    }

    /// The body as text.
    async fn text(&self, url: &str, request: Request<Body>) -> String {
        text(self.send(url, request).await.unwrap()).await
    }
}

fn judged<B>(url: &str, request: &Request<B>) -> pinfold::Request {
    pinfold::Request::new(Target::parse(url).unwrap()).method(request.method().as_str())
}

fn get() -> Request<Body> {
    Request::new(Body::empty())
}

fn post(body: Body) -> Request<Body> {
    Request::post("/").body(body).unwrap()
}

async fn text(forwarded: Forwarded) -> String {
    let body = forwarded.response.into_body().collect().await.unwrap();
    String::from_utf8(body.to_bytes().into()).unwrap()
}

fn code(error: &Error) -> String {
    match error.denial() {
        Some(denial) => denial.code().to_owned(),
        None => error.to_string(),
    }
}

/// A server that does with its first connection what the script says.
async fn scripted<F>(script: impl FnOnce(TcpStream) -> F + Send + 'static) -> SocketAddr
where
    F: Future<Output = ()> + Send,
{
    let listener = TcpListener::bind((PUBLIC, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (socket, _) = listener.accept().await.unwrap();
        script(socket).await;
    });
    address
}

fn url(address: SocketAddr) -> String {
    format!("http://{address}/")
}

/// Reads a head.
async fn head(socket: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

/// A body of which the test sends the pieces.
fn fed() -> (mpsc::Sender<&'static str>, Body) {
    let (feed, pieces) = mpsc::channel::<&'static str>(1);
    let pieces = stream::unfold(pieces, |mut pieces| async {
        let piece = pieces.recv().await?;
        Some((Ok::<_, std::io::Error>(piece), pieces))
    });
    (feed, Body::stream(pieces))
}

#[tokio::test]
async fn a_connection_is_used_again_and_ends_with_its_policy() {
    let server = Server::start(PUBLIC, |seen| ok(&seen.connection.to_string())).await;
    let bench = Bench::new();
    let url = server.named("one.example.com", "/");
    let mut opened: Vec<(bool, Held)> = Vec::new();
    for connection in ["1", "1"] {
        let session = bench.guard.session();
        let on_open = |decision: &Arc<Decision>, held: &Held| {
            let reused = matches!(
                decision.outcome,
                pinfold::Outcome::Allow { reused: true, .. }
            );
            opened.push((reused, held.clone()));
        };
        let what = judged(&url, &get());
        let sent = bench.forwarder.send(&session, what, get(), on_open).await;
        let sent = sent.unwrap();
        assert_eq!(sent.held.peer(), server.addr);
        assert_eq!(text(sent).await, connection);
    }
    assert_eq!([opened[0].0, opened[1].0], [false, true]);
    assert!(
        bench
            .guard
            .rejudge(&opened[1].1, Mode::Enforce)
            .await
            .is_ok()
    );

    bench.guard.swap(Source::Shipped, json!({})).unwrap();
    server.wait_open(0).await;
    assert_eq!(bench.text(&url, get()).await, "2", "a swap retires it");

    let denies = json!({"hosts": {"deny": ["one.example.com"]}});
    bench.guard.swap(Source::Shipped, denies).unwrap();
    let refused = bench.send(&url, get()).await.unwrap_err();
    assert_eq!(code(&refused), "host-denied");
    assert_eq!(
        bench
            .guard
            .rejudge(&opened[1].1, Mode::Enforce)
            .await
            .unwrap_err()
            .code(),
        "host-denied"
    );
}

/// A server of NTLM takes what comes over a connection for requests of who authenticated on it.
#[tokio::test]
async fn a_connection_that_was_authenticated_serves_nobody_else() {
    for (row, sent, answered, kept) in [
        ("nothing", "", "", true),
        ("basic", "Basic YTpi", "", true),
        ("tried", "NTLM TlRM", "", false),
        ("tried, any case", "negotiate YII=", "", false),
        ("asked", "", "WWW-Authenticate: Negotiate\r\n", false),
        (
            "asked in a list",
            "",
            "WWW-Authenticate: Basic realm=\"a\", NTLM\r\n",
            false,
        ),
        (
            "asked for basic",
            "",
            "WWW-Authenticate: Basic realm=\"a\"\r\n",
            true,
        ),
    ] {
        let server = Server::start(PUBLIC, move |seen| {
            Reply::Bytes(response(
                "200 OK",
                answered,
                seen.connection.to_string().as_bytes(),
            ))
        })
        .await;
        let bench = Bench::new();
        let mut first = get();
        if !sent.is_empty() {
            let value = sent.parse().unwrap();
            first.headers_mut().insert("authorization", value);
        }
        assert_eq!(bench.text(&server.url("/"), first).await, "1", "{row}");
        let next = if kept { "1" } else { "2" };
        assert_eq!(bench.text(&server.url("/"), get()).await, next, "{row}");
    }
}

#[tokio::test]
async fn kept_connections_are_not_shared_between_partitions() {
    let server = Server::start(PUBLIC, |seen| ok(&seen.connection.to_string())).await;
    let bench = Bench::new();
    let of = |whose: &str| Bench {
        guard: bench.guard.clone(),
        forwarder: bench.forwarder.partition(whose),
    };
    for (whose, connection) in [("a", "1"), ("b", "2"), ("a", "1"), ("b", "2")] {
        let answer = of(whose).text(&server.url("/"), get()).await;
        assert_eq!(answer, connection, "{whose}");
    }
    assert_eq!(bench.text(&server.url("/"), get()).await, "3", "of nobody");
}

/// A server that speaks HTTP/1.0 takes no body of unknown length: it is not asked twice over one connection, where hyper
/// would know and send none.
#[tokio::test]
async fn a_connection_of_http_1_0_is_not_kept() {
    let old = "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok";
    let server = Server::start(PUBLIC, move |_| Reply::Bytes(old.into())).await;
    let bench = Bench::new();
    let sent = bench.send(&server.url("/"), get()).await.unwrap();
    assert_eq!(sent.response.version(), Version::HTTP_11, "ours");
    assert_eq!(text(sent).await, "ok");
    let body = Body::stream(stream::iter([Ok::<_, std::io::Error>("abcd")]));
    assert_eq!(bench.text(&server.url("/"), post(body)).await, "ok");
    assert_eq!((server.last().body, server.opened()), (b"abcd".to_vec(), 2));
}

#[tokio::test]
async fn a_kept_connection_that_was_closed_is_not_the_clients_trouble() {
    let server = Server::start(PUBLIC, |seen| match seen.connection {
        1 => Reply::Last(response("200 OK", "", b"1")),
        _ => ok("2"),
    })
    .await;
    let bench = Bench::new();
    assert_eq!(bench.text(&server.url("/"), get()).await, "1");
    sleep(Duration::from_millis(50)).await;
    assert_eq!(bench.text(&server.url("/"), post("x".into())).await, "2");
}

/// The server answers once, and cuts the connection when the next request has come.
#[tokio::test]
async fn a_request_is_sent_again_only_when_that_is_safe() {
    let rows = [
        ("idempotent", Method::GET, Body::empty(), Ok("3")),
        (
            "not idempotent",
            Method::POST,
            Body::empty(),
            Err("connection-lost"),
        ),
        (
            "with a body",
            Method::PUT,
            Body::from("x"),
            Err("connection-lost"),
        ),
    ];
    for (row, method, body, expected) in rows {
        let count = AtomicUsize::new(0);
        let server = Server::start(PUBLIC, move |_| {
            match count.fetch_add(1, Ordering::SeqCst) {
                1 => Reply::Cut(Vec::new()),
                n => ok(&(n + 1).to_string()),
            }
        })
        .await;
        let journal = Journal::default();
        let bench = Bench::of(guard().observer(journal.clone()).build().unwrap());
        assert_eq!(bench.text(&server.url("/"), get()).await, "1", "{row}");
        let request = Request::builder().method(method).body(body).unwrap();
        let mut told = Vec::new();
        let on_open = |decision: &Arc<Decision>, _: &Held| told.push(decision.id);
        let session = bench.guard.session();
        let what = judged(&server.url("/"), &request);
        let sent = bench.forwarder.send(&session, what, request, on_open).await;
        let records: Vec<_> = journal
            .all()
            .iter()
            .skip(1)
            .map(|record| record.id)
            .collect();
        assert_eq!(
            told, records,
            "{row}: each connection is told before it is used"
        );
        assert_eq!(told.len(), if expected.is_ok() { 2 } else { 1 }, "{row}");
        match (sent, expected) {
            (Ok(sent), Ok(expected)) => assert_eq!(text(sent).await, expected, "{row}"),
            (Err(error), Err(expected)) => assert_eq!(code(&error), expected, "{row}"),
            (sent, _) => panic!("{row}: {sent:?}"),
        }
    }
}
