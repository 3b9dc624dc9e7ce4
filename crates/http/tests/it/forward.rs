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
use pinfold::{Decision, Guard, Held, policy::Source};
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
    assert!(bench.guard.rejudge(&opened[1].1).await.is_ok());

    bench.guard.swap(Source::Shipped, json!({})).unwrap();
    server.wait_open(0).await;
    assert_eq!(bench.text(&url, get()).await, "2", "a swap retires it");

    let denies = json!({"hosts": {"deny": ["one.example.com"]}});
    bench.guard.swap(Source::Shipped, denies).unwrap();
    let refused = bench.send(&url, get()).await.unwrap_err();
    assert_eq!(code(&refused), "host-denied");
    assert_eq!(
        bench.guard.rejudge(&opened[1].1).await.unwrap_err().code(),
        "host-denied"
    );
}

#[tokio::test]
async fn heads_go_through_as_they_are() {
    let answer = "HTTP/1.1 299 Odd Enough\r\nX-Odd-CASE: a\r\nset-cookie: 1\r\nSet-Cookie: 2\r\n\
                  Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\nraw";
    let server = Server::start(PUBLIC, move |_| Reply::Bytes(answer.into())).await;
    let bench = Bench::new();
    let request = Request::get("/other?x")
        .header("user-agent", "mine")
        .header("x-one", "1")
        .header("x-one", "2")
        .header("host", "elsewhere.example")
        .body(Body::empty())
        .unwrap();
    let url = server.named("one.example.com", "/a%20path?q=1");
    let sent = bench.send(&url, request).await.unwrap();
    let seen = server.last();
    let host = format!("one.example.com:{}", server.addr.port());
    let lines: Vec<_> = seen.head.trim_end().lines().collect();
    let expected = [
        "GET /a%20path?q=1 HTTP/1.1",
        "user-agent: mine",
        "x-one: 1",
        "x-one: 2",
        &format!("host: {host}"),
    ];
    assert_eq!(
        lines, expected,
        "nothing is added, and the host is the judged one"
    );

    let headers = sent.response.headers();
    assert_eq!(sent.response.status().as_u16(), 299);
    assert_eq!(headers["content-encoding"], "gzip");
    assert_eq!(headers.get_all("set-cookie").iter().count(), 2);
    assert_eq!(sent.response.version(), Version::HTTP_11);
    let reason = sent.response.extensions().get::<hyper::ext::ReasonPhrase>();
    assert_eq!(reason.unwrap().as_bytes(), b"Odd Enough");
    assert_eq!(text(sent).await, "raw", "nothing is decoded");
}

/// How names were spelled comes with a response, and is heeded in a request: hyper's parser leaves it among the
/// extensions on both sides.
#[tokio::test]
async fn the_case_of_headers_is_kept_both_ways() {
    let answer = "HTTP/1.1 200 OK\r\nX-Odd-CASE: a\r\nContent-Length: 0\r\n\r\n";
    let server = Server::start(PUBLIC, move |_| Reply::Bytes(answer.into())).await;
    let bench = Bench::new();
    let sent = bench.send(&server.url("/"), get()).await.unwrap();
    let (parsed, _) = sent.response.into_parts();
    let mut again = get();
    *again.headers_mut() = parsed.headers;
    *again.extensions_mut() = parsed.extensions;
    bench.text(&server.url("/"), again).await;
    let seen = server.last().head;
    assert!(seen.contains("X-Odd-CASE: a\r\n"), "{seen}");
}

#[tokio::test]
async fn requests_are_framed_as_their_bodies_are() {
    let server = Server::start(PUBLIC, |_| ok("")).await;
    let bench = Bench::new();
    let pieces = || Body::stream(stream::iter(["ab", "cd"].map(Ok::<_, std::io::Error>)));
    let request = |method: &str, header: &str, body| {
        let mut request = Request::builder().method(method).body(body).unwrap();
        if let Some((name, value)) = header.split_once(": ") {
            let name: http::HeaderName = name.parse().unwrap();
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        request
    };
    let (length, chunked) = (Some("4"), Some("chunked"));
    let rows = [
        (
            "a known length",
            request("POST", "", Body::from("abcd")),
            length,
            None,
        ),
        (
            "chunked",
            request("POST", "transfer-encoding: chunked", pieces()),
            None,
            chunked,
        ),
        (
            "a length that is not that of the body",
            request("PUT", "content-length: 9", Body::from("abcd")),
            length,
            None,
        ),
        (
            "GET with a body",
            request("GET", "", pieces()),
            None,
            chunked,
        ),
        ("GET without", request("GET", "", Body::empty()), None, None),
        (
            "POST without",
            request("POST", "transfer-encoding: chunked", Body::empty()),
            Some("0"),
            None,
        ),
    ];
    for (row, request, length, coding) in rows {
        let whole = if length == Some("4") || coding.is_some() {
            "abcd"
        } else {
            ""
        };
        bench.text(&server.url("/"), request).await;
        let seen = server.last();
        assert_eq!(seen.header("content-length"), length, "{row}");
        assert_eq!(seen.header("transfer-encoding"), coding, "{row}");
        assert_eq!(seen.body, whole.as_bytes(), "{row}");
    }
    assert_eq!(server.opened(), 1, "each was read to its end");
}

#[tokio::test]
async fn responses_without_a_body_keep_the_connection() {
    let server = Server::start(PUBLIC, |seen| {
        Reply::Bytes(match seen.path() {
            "/head" => b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n".to_vec(),
            "/204" => b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(),
            _ => {
                b"HTTP/1.1 304 Not Modified\r\nContent-Length: 999\r\nETag: \"a\"\r\n\r\n".to_vec()
            }
        })
    })
    .await;
    let bench = Bench::new();
    for (method, path, length) in [
        (Method::HEAD, "/head", Some("999")),
        (Method::GET, "/204", None),
        (Method::GET, "/304", Some("999")),
    ] {
        let request = Request::builder()
            .method(method)
            .body(Body::empty())
            .unwrap();
        let sent = bench.send(&server.url(path), request).await.unwrap();
        let written = sent.response.headers().get("content-length");
        assert_eq!(
            written.map(|value| value.to_str().unwrap()),
            length,
            "{path}"
        );
        assert!(sent.response.body().is_end_stream(), "{path}");
    }
    assert_eq!(server.opened(), 1);
}

#[tokio::test]
async fn what_frames_a_response_twice_or_oddly_is_not_handed_on() {
    let bench = Bench::new();
    let both = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    let server = Server::start(PUBLIC, move |_| Reply::Bytes(both.into())).await;
    for connection in 1..=2 {
        let sent = bench.send(&server.url("/"), get()).await.unwrap();
        assert!(!sent.response.headers().contains_key("content-length"));
        assert_eq!(text(sent).await, "abc");
        assert_eq!(server.opened(), connection, "it is not kept");
    }
    let odd = "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nabc";
    let server = Server::start(PUBLIC, move |_| Reply::Last(odd.into())).await;
    let error = bench.send(&server.url("/"), get()).await.unwrap_err();
    assert_eq!(code(&error), "response-invalid");
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
async fn a_large_body_streams_both_ways() {
    const PIECES: usize = 512;
    const PIECE: usize = 64 << 10;
    let address = scripted(|mut socket| async move {
        head(&mut socket).await;
        let (mut from, mut to) = socket.split();
        to.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        // An echo: it answers before it has everything, so that both must move at once.
        let (mut buffer, mut tail) = (vec![0; PIECE], Vec::new());
        while !tail.ends_with(b"0\r\n\r\n") {
            let read = from.read(&mut buffer).await.unwrap();
            to.write_all(&buffer[..read]).await.unwrap();
            tail.extend_from_slice(&buffer[read.saturating_sub(8)..read]);
            tail.drain(..tail.len().saturating_sub(8));
        }
    })
    .await;
    let piece = Bytes::from(vec![b'x'; PIECE]);
    let pieces = (0..PIECES).map(move |_| Ok::<_, std::io::Error>(piece.clone()));
    let pieces = pieces.chain([Ok(Bytes::from_static(b"end"))]);
    let length = PIECES * PIECE + 3;
    let body = StreamBody::new(stream::iter(pieces).map(|piece| piece.map(Frame::data)));
    let sent = Bench::new()
        .send(&url(address), post(Body::wrap(body)))
        .await
        .unwrap();
    let mut body = sent.response.into_body();
    let mut received = 0;
    while let Some(frame) = body.frame().await {
        received += frame.unwrap().into_data().map_or(0, |data| data.len());
    }
    assert!(
        received >= length,
        "{received} of {length}, and the framing"
    );
}

#[tokio::test]
async fn trailers_come_through() {
    let answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n2\r\nab\r\n0\r\nx-sum: 7\r\n\r\n";
    let server = Server::start(PUBLIC, move |_| Reply::Bytes(answer.into())).await;
    let bench = Bench::new();
    for _ in 0..2 {
        let sent = bench.send(&server.url("/"), get()).await.unwrap();
        let body = sent.response.into_body().collect().await.unwrap();
        assert_eq!(body.trailers().unwrap()["x-sum"], "7");
    }
    assert_eq!(server.opened(), 1, "and the connection is kept");
}

#[tokio::test]
async fn an_early_refusal_stops_the_upload() {
    let address = scripted(|mut socket| async move {
        head(&mut socket).await;
        let refusal =
            "HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 3\r\n\r\nbig";
        socket.write_all(refusal.as_bytes()).await.unwrap();
        sleep(SOON).await;
    })
    .await;
    let (feed, body) = fed();
    feed.send("first").await.unwrap();
    let sent = Bench::new().send(&url(address), post(body)).await.unwrap();
    assert_eq!(sent.response.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(text(sent).await, "big");
    timeout(SOON, feed.closed())
        .await
        .expect("the client is no longer read");
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

#[tokio::test]
async fn a_peer_that_resets_is_told_apart() {
    let address = scripted(|mut socket| async move {
        head(&mut socket).await;
        socket.set_zero_linger().unwrap();
    })
    .await;
    let error = Bench::new().send(&url(address), get()).await.unwrap_err();
    assert_eq!(code(&error), "connection-lost");

    let address = scripted(|mut socket| async move {
        head(&mut socket).await;
        socket
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")
            .await
            .unwrap();
        sleep(Duration::from_millis(50)).await;
        socket.set_zero_linger().unwrap();
    })
    .await;
    let sent = Bench::new().send(&url(address), get()).await.unwrap();
    let error = sent.response.into_body().collect().await.unwrap_err();
    assert_eq!(code(&error), "connection-lost");
}

#[tokio::test]
async fn the_server_is_asked_before_the_body_is_sent() {
    let expecting = || {
        let (feed, body) = fed();
        let mut request = post(body);
        request
            .headers_mut()
            .insert("expect", "100-continue".parse().unwrap());
        (feed, request)
    };
    // It says yes: the body comes then, and not before.
    let address = scripted(|mut socket| async move {
        let head = head(&mut socket).await;
        assert!(head.contains("expect: 100-continue"), "{head}");
        let early = timeout(SHORT, socket.read_u8()).await;
        assert!(early.is_err(), "the body did not wait");
        socket
            .write_all(b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n")
            .await
            .unwrap();
        let mut body = [0; 15];
        socket.read_exact(&mut body).await.unwrap();
        assert_eq!(&body, b"5\r\nhello\r\n0\r\n\r\n");
        socket
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            .await
            .unwrap();
    })
    .await;
    let (feed, request) = expecting();
    feed.send("hello").await.unwrap();
    drop(feed);
    assert_eq!(Bench::new().text(&url(address), request).await, "ok");

    // It says no: the client is never asked for the body.
    let address = scripted(|mut socket| async move {
        head(&mut socket).await;
        socket
            .write_all(b"HTTP/1.1 417 No\r\nContent-Length: 2\r\n\r\nno")
            .await
            .unwrap();
        sleep(SOON).await;
    })
    .await;
    let (feed, request) = expecting();
    assert_eq!(Bench::new().text(&url(address), request).await, "no");
    timeout(SOON, feed.closed())
        .await
        .expect("the body is dropped unread");

    // It says nothing: after a second the body comes all the same.
    let server = Server::start(PUBLIC, |_| ok("late")).await;
    let (feed, request) = expecting();
    feed.send("hello").await.unwrap();
    drop(feed);
    let begun = Instant::now();
    assert_eq!(Bench::new().text(&server.url("/"), request).await, "late");
    assert!(begun.elapsed() >= Duration::from_secs(1));
    assert_eq!(server.last().body, b"hello");
}

#[tokio::test]
async fn who_says_nothing_is_not_waited_for() {
    let bench = Bench::new().patience(SHORT);
    let silent = Server::start(PUBLIC, |_| Reply::Hang).await;
    let error = bench.send(&silent.url("/"), get()).await.unwrap_err();
    assert!(error.is_timeout(), "no head: {error}");

    let stalled = scripted(|mut socket| async move {
        head(&mut socket).await;
        socket
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")
            .await
            .unwrap();
        sleep(SOON).await;
    })
    .await;
    let sent = bench.send(&url(stalled), get()).await.unwrap();
    let error = sent.response.into_body().collect().await.unwrap_err();
    assert!(error.is_timeout(), "no more of the body: {error}");

    let (feed, body) = fed();
    let error = bench.send(&silent.url("/"), post(body)).await.unwrap_err();
    assert!(
        matches!(error, Error::Caller(_)),
        "the client stalls: {error}"
    );
    drop(feed);
}

/// Patience is for silence: what moves, however slowly, goes on.
#[tokio::test]
async fn what_moves_is_waited_for() {
    let bench = Bench::new().patience(Duration::from_millis(400));
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n".to_vec();
    let slow = scripted(move |mut socket| async move {
        head(&mut socket).await;
        socket.write_all(&answer).await.unwrap();
        for _ in 0..12 {
            sleep(Duration::from_millis(100)).await;
            socket.write_all(b"x").await.unwrap();
        }
    })
    .await;
    assert_eq!(bench.text(&url(slow), get()).await.len(), 12);

    let server = Server::start(PUBLIC, |_| ok("all")).await;
    let (feed, body) = fed();
    tokio::spawn(async move {
        for _ in 0..12 {
            sleep(Duration::from_millis(100)).await;
            feed.send("x").await.unwrap();
        }
    });
    assert_eq!(bench.text(&server.url("/"), post(body)).await, "all");
    assert_eq!(server.last().body.len(), 12);
}

#[tokio::test]
async fn the_terms_of_the_policy_hold() {
    let terms = json!({"limits": {"response_kib": 1}});
    let bench = Bench::settings(terms);
    let server = Server::start(PUBLIC, |seen| match seen.path() {
        "/said" => ok(&"x".repeat(1025)),
        _ => Reply::Last(format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(1025)).into()),
    })
    .await;
    let error = bench.send(&server.url("/said"), get()).await.unwrap_err();
    assert_eq!(code(&error), "response-too-large");
    let sent = bench.send(&server.url("/unsaid"), get()).await.unwrap();
    let error = sent.response.into_body().collect().await.unwrap_err();
    assert_eq!(code(&error), "response-too-large");

    let bench = Bench::settings(json!({"limits": {"total_timeout_ms": 300}}));
    let endless = Server::start(PUBLIC, |_| {
        let first = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
        Reply::Endless(first, vec![b'x'; 1000])
    })
    .await;
    let sent = bench.send(&endless.url("/"), get()).await.unwrap();
    let error = sent.response.into_body().collect().await.unwrap_err();
    assert_eq!(code(&error), "deadline-exceeded");
}

#[tokio::test]
async fn an_upgrade_gives_the_bytes() {
    let address = scripted(|mut socket| async move {
        let head = head(&mut socket).await;
        assert!(head.contains("connection: upgrade\r\n"), "{head}");
        // The first bytes of the new protocol come with the answer.
        socket.write_all(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n\r\nearly").await.unwrap();
        let mut bytes = [0; 5];
        socket.read_exact(&mut bytes).await.unwrap();
        socket.write_all(&bytes).await.unwrap();
    })
    .await;
    let bench = Bench::new();
    let Upgrade::Switched(mut switched) = bench.upgrade(&url(address), websocket()).await.unwrap()
    else {
        panic!("declined");
    };
    assert_eq!(switched.response.headers()["upgrade"], "WebSocket");
    assert_eq!(switched.held.peer(), address);
    let mut bytes = [0; 5];
    switched.stream.read_exact(&mut bytes).await.unwrap();
    assert_eq!(&bytes, b"early");
    switched.stream.write_all(b"hello").await.unwrap();
    switched.stream.read_exact(&mut bytes).await.unwrap();
    assert_eq!(&bytes, b"hello");
    assert_eq!(switched.stream.read(&mut bytes).await.unwrap(), 0);
}

fn websocket() -> Request<Body> {
    Request::get("/")
        .header("upgrade", "websocket")
        .body(Body::empty())
        .unwrap()
}

#[tokio::test]
async fn what_is_not_an_upgrade_is_an_answer_or_refused() {
    let bench = Bench::new();
    let server = Server::start(PUBLIC, |seen| {
        let switch = |to: &str| {
            format!(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: {to}\r\nConnection: upgrade\r\n\r\n"
            )
        };
        match seen.path() {
            "/declined" => ok("no"),
            "/other" => Reply::Bytes(switch("h2c").into()),
            _ => Reply::Bytes(switch("websocket").into()),
        }
    })
    .await;
    for connection in 1..=2 {
        let declined = bench.upgrade(&server.url("/declined"), websocket()).await;
        let Ok(Upgrade::Declined(answer)) = declined else {
            panic!("{declined:?}");
        };
        assert_eq!(text(*answer).await, "no");
        assert_eq!(server.opened(), connection, "never a kept connection");
    }
    let other = bench.upgrade(&server.url("/other"), websocket()).await;
    assert_eq!(code(&other.unwrap_err()), "response-invalid");
    let unasked = bench.send(&server.url("/switch"), get()).await;
    assert_eq!(code(&unasked.unwrap_err()), "response-invalid");
    let without = bench.upgrade(&server.url("/switch"), get()).await;
    assert!(matches!(without, Err(Error::Caller(_))));
}
