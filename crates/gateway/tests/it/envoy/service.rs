//! The service itself: health, drain, doors, and what comes from who is no Envoy.

use bytes::Bytes;
use http::{Request, header::CONTENT_TYPE};
use http_body_util::{BodyExt, Full, StreamBody};
use prost::Message;
use tokio::{
    io::AsyncReadExt,
    net::{TcpStream, UnixStream},
};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use super::{
    ENVOY, Envoy, PUBLIC_NAME, call, decisions, denied, framed, get, pins, stage, stage_with_dns,
    wire,
};
use crate::{
    certificates::{Authority, shake},
    support::{Proxy, file, until, within},
};

const HEALTH: &str = "/grpc.health.v1.Health/Check";
const WATCH: &str = "/grpc.health.v1.Health/Watch";
/// `NOT_FOUND`, `UNIMPLEMENTED`, `INTERNAL`, `OUT_OF_RANGE`, `UNAVAILABLE`.
const NOT_FOUND: &str = "5";
const UNIMPLEMENTED: &str = "12";
const INTERNAL: &str = "13";
const OUT_OF_RANGE: &str = "11";
const UNAVAILABLE: &str = "14";

fn health(service: &str) -> HealthCheckRequest {
    HealthCheckRequest {
        service: service.into(),
    }
}

#[tokio::test]
async fn it_says_that_it_is_healthy() {
    let proxy = stage("").await;
    let mut envoy = Envoy::connect(&proxy).await;
    for service in ["", wire::SERVICE] {
        let reply = envoy.call(HEALTH, &health(service)).await;
        assert_eq!(reply.grpc.as_deref(), Some("0"), "{service}");
        assert_eq!(
            reply.message::<HealthCheckResponse>().status,
            1,
            "{service}"
        );
    }
    let reply = envoy.call(HEALTH, &health("another")).await;
    assert_eq!(reply.grpc.as_deref(), Some(NOT_FOUND));
    let reply = envoy
        .call("/grpc.health.v1.Health/Other", &health(""))
        .await;
    assert_eq!(reply.grpc.as_deref(), Some(UNIMPLEMENTED));
}

#[tokio::test]
async fn a_drain_is_told_and_what_was_asked_is_answered() {
    let (dns, silent) = decisions::silent().await;
    let proxy = stage_with_dns("envoy.deadline = '2s'", silent).await;
    let mut envoy = Envoy::connect(&proxy).await;
    let watching = call(WATCH, framed(&health("").encode_to_vec()));
    let watched = within("a watch", envoy.sender.send_request(watching))
        .await
        .unwrap();
    let mut watched = watched.into_body();
    let told = async |watched: &mut hyper::body::Incoming| {
        let frame = within("a word", watched.frame()).await.unwrap().unwrap();
        HealthCheckResponse::decode(&frame.into_data().unwrap()[5..])
            .unwrap()
            .status
    };
    assert_eq!(told(&mut watched).await, 1);

    let slow = call(
        wire::CHECK,
        framed(&get("slow.example.org").encode_to_vec()),
    );
    let asking = tokio::spawn(envoy.sender.send_request(slow));
    within("a lookup", dns.readable()).await.unwrap();
    let address = proxy.address();
    let (gateway, _folder) = proxy.into_gateway();
    let draining = tokio::spawn(gateway.drain());
    assert_eq!(told(&mut watched).await, 2);
    let answered = within("an answer", asking).await.unwrap().unwrap();
    let reply = super::Reply::of(answered).await;
    assert_eq!(denied(&reply.message()).0, 504);
    let drained = within("the drain", draining).await.unwrap();
    assert_eq!(drained.cut, 0, "{drained:?}");
    // Who watches was told, and is let go.
    let rest = watched.collect().await.unwrap();
    assert_eq!(rest.trailers().unwrap()["grpc-status"], UNAVAILABLE);
    let _ended = within("the end of the connection", envoy.connection).await;
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn an_envoy_asks_over_a_unix_socket() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("envoy.sock");
    let bind = format!("bind = 'unix:{}'", socket.display());
    let proxy = Proxy::with(&ENVOY.replace("bind = '127.0.0.1:0'", &bind)).await;
    let mut envoy = Envoy::over(UnixStream::connect(&socket).await.unwrap()).await;
    let answer = envoy.check(&get(PUBLIC_NAME)).await;
    assert_eq!(pins(&answer), ["127.0.0.2:80"]);
    let line = proxy.logged(|line| line["event"] == "decision").await;
    assert_eq!(line["client"], "10.9.8.7:4321");
}

#[tokio::test]
async fn an_envoy_whose_certificate_is_revoked_has_to_come_again() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new("lab");
    authority.server().write(folder.path(), "server");
    file(folder.path(), "ca.pem", authority.pem());
    file(folder.path(), "crl.pem", authority.revokes(&[], 4000));
    let at = folder.path().display();
    let tls = format!(
        "protocols = ['envoy']\ntls = {{certificate = '{at}/server.pem', key = '{at}/server.key', \
         client_ca = ['{at}/ca.pem'], client_crl = ['{at}/crl.pem']}}"
    );
    let over = ENVOY.replace("protocols = ['envoy']", &tls);
    let proxy = Proxy::with(&over).await;
    let shaken = async |serial: u64| {
        let own = authority.client("envoy.test", serial);
        let connector = authority.connector(Some(&own), &["h2"]);
        let client = shake(&connector, proxy.client().await).await;
        Envoy::over(client.unwrap().stream).await
    };
    let (mut gone, mut kept) = (shaken(1).await, shaken(2).await);
    for envoy in [&mut gone, &mut kept] {
        assert_eq!(pins(&envoy.check(&get(PUBLIC_NAME)).await).len(), 1);
    }
    file(folder.path(), "crl.pem", authority.revokes(&[1], 4000));
    proxy.gateway().reload(proxy.config(&over));
    let reply = gone.call(wire::CHECK, &get(PUBLIC_NAME)).await;
    assert_eq!(reply.grpc.as_deref(), Some(UNAVAILABLE));
    let _ended = within("the end of the connection", gone.connection).await;
    let line = proxy.logged(|line| line["event"] == "refused").await;
    assert_eq!(line["code"], "certificate-lapsed");
    assert_eq!(pins(&kept.check(&get(PUBLIC_NAME)).await).len(), 1);

    // Without a certificate there is no connection at all.
    let connector = authority.connector(None, &["h2"]);
    if let Ok(mut client) = shake(&connector, proxy.client().await).await {
        assert!(client.stream.read_u8().await.is_err());
    }
}

#[tokio::test]
async fn what_is_no_question_is_refused_and_harms_nobody() {
    let proxy = stage("").await;
    let mut envoy = Envoy::connect(&proxy).await;
    let question = get(PUBLIC_NAME).encode_to_vec();
    let good = || framed(&question);
    let check = |body: Bytes| call(wire::CHECK, body);
    let mut compressed = check(Bytes::from([&[1][..], &good()[1..]].concat()));
    let gzip = "gzip".parse().unwrap();
    compressed.headers_mut().insert("grpc-encoding", gzip);
    let grpc = [
        (
            "another method",
            call("/envoy.service.auth.v2.Authorization/Check", good()),
            UNIMPLEMENTED,
        ),
        ("another service", call("/a/b", good()), UNIMPLEMENTED),
        ("the root", call("/", good()), UNIMPLEMENTED),
        ("nothing", check(Bytes::new()), INTERNAL),
        (
            "half a length",
            check(Bytes::from_static(&[0, 0, 0])),
            INTERNAL,
        ),
        ("half a message", check(good().slice(..9)), INTERNAL),
        ("no message", check(framed(b"\xff\xff\xff")), INTERNAL),
        (
            "no UTF-8",
            check(framed(b"\x0a\x07\x22\x05\x12\x03\x2a\x01\xff")),
            INTERNAL,
        ),
        ("too long", check(framed(&vec![0; 300 << 10])), OUT_OF_RANGE),
        (
            "a lie about it",
            check(Bytes::from_static(&[0, 0xff, 0xff, 0xff, 0xff, 1])),
            OUT_OF_RANGE,
        ),
        ("compressed", compressed, UNIMPLEMENTED),
        (
            "compressed without saying how",
            check(Bytes::from([&[1][..], &good()[1..]].concat())),
            INTERNAL,
        ),
        (
            "a flag that nobody knows",
            check(Bytes::from([&[9][..], &good()[1..]].concat())),
            INTERNAL,
        ),
    ];
    for (row, request, expected) in grpc {
        let reply = envoy.send(request).await;
        assert_eq!(reply.grpc.as_deref(), Some(expected), "{row}: {reply:?}");
        assert!(reply.body.is_empty(), "{row}: {reply:?}");
    }
    let plain = [
        ("GET", Request::get("http://policy/"), 405),
        ("PUT", Request::put("http://policy/"), 405),
        (
            "no content",
            Request::post(format!("http://policy{}", wire::CHECK)),
            415,
        ),
        (
            "JSON",
            Request::post("http://policy/").header(CONTENT_TYPE, "application/json"),
            415,
        ),
    ];
    for (row, request, expected) in plain {
        let reply = envoy.send(request.body(Full::new(good())).unwrap()).await;
        assert_eq!((reply.http, reply.body.len()), (expected, 0), "{row}");
    }
    let line = proxy
        .logged(|line| line["code"] == "question-unreadable")
        .await;
    assert_eq!(line["event"], "refused");
    proxy
        .logged(|line| line["code"] == "method-not-served")
        .await;
    let answer = envoy.check(&get(PUBLIC_NAME)).await;
    assert_eq!(pins(&answer), ["127.0.0.2:80"]);
}

#[tokio::test]
async fn who_speaks_something_else_is_let_go() {
    let proxy = stage("").await;
    for (row, hello) in [
        ("HTTP/1.1", &b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..]),
        (
            "CONNECT",
            b"CONNECT public.lab.example.com:443 HTTP/1.1\r\n\r\n",
        ),
        ("a preface that breaks off", b"PRI * HTTP/2.0\r\n\r\nXX"),
    ] {
        let mut client = proxy.client().await;
        client.send(hello).await;
        let rest = client.rest().await;
        assert!(rest.is_empty(), "{row}: {rest:?}");
    }
    let line = proxy
        .logged(|line| line["code"] == "protocol-not-served")
        .await;
    assert_eq!(line["listener"], "envoy");
    // SOCKS is told apart by its first byte, and not served either.
    let mut client = proxy.client().await;
    client.send(&[5, 1, 0]).await;
    assert!(!client.rest().await.starts_with(&[5, 0]));
    assert_eq!(
        pins(&Envoy::connect(&proxy).await.check(&get(PUBLIC_NAME)).await).len(),
        1
    );
}

#[tokio::test]
async fn a_thousand_bodies_that_are_nearly_questions_never_break_it() {
    let proxy = stage("").await;
    let mut envoy = Envoy::connect(&proxy).await;
    let question = get(PUBLIC_NAME).encode_to_vec();
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let mut below = |bound: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        usize::try_from(random % bound as u64).unwrap()
    };
    let (mut read, mut unread) = (0, 0);
    for _ in 0..1_000 {
        let mut bytes = question.clone();
        for _ in 0..=below(3) {
            let at = below(bytes.len());
            match below(3) {
                0 => bytes[at] = u8::try_from(below(256)).unwrap(),
                1 => bytes.insert(at, u8::try_from(below(256)).unwrap()),
                _ => drop(bytes.remove(at)),
            }
        }
        let reply = envoy.send(call(wire::CHECK, framed(&bytes))).await;
        match reply.grpc.as_deref() {
            Some("0") => read += 1,
            Some(INTERNAL) => unread += 1,
            _ => panic!("{reply:?} to {bytes:?}"),
        }
    }
    assert!(read > 50 && unread > 50, "{read} were read, {unread} not");
    assert_eq!(pins(&envoy.check(&get(PUBLIC_NAME)).await).len(), 1);
}

#[tokio::test]
async fn streams_that_are_reset_at_once_end_the_connection_and_nothing_else() {
    let proxy = stage("").await;
    let mut stream = proxy.client().await;
    // Preface and SETTINGS, then streams that open and are reset before anybody has looked at them.
    stream
        .send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
        .await;
    // `:method: POST`, `:scheme: http`, `:path: /`, from the static table.
    let block = [0x83, 0x86, 0x84];
    let mut flood = Vec::new();
    for number in 0..2_000_u32 {
        let id = (2 * number + 1).to_be_bytes();
        flood.extend([0, 0, 3, 1, 4].iter().chain(&id).chain(&block));
        flood.extend([0, 0, 4, 3, 0].iter().chain(&id).chain(&[0, 0, 0, 8]));
    }
    // It may be closed before all of it is sent.
    let _closed = stream.try_send(&flood).await;
    let _farewell = stream.rest().await;
    until("its place is free", async || {
        proxy.admin_json("/status").await["usage"]["connections"]["open"] == 0
    })
    .await;
    assert_eq!(
        pins(&Envoy::connect(&proxy).await.check(&get(PUBLIC_NAME)).await).len(),
        1
    );
}

#[tokio::test]
async fn a_question_that_does_not_come_holds_nothing() {
    let proxy = stage("envoy.deadline = '2s'").await;
    let stream = TcpStream::connect(proxy.address()).await.unwrap();
    let handshake = hyper::client::conn::http2::handshake(
        hyper_util::rt::TokioExecutor::new(),
        hyper_util::rt::TokioIo::new(stream),
    );
    let (mut sender, connection) = handshake.await.unwrap();
    let connection = tokio::spawn(connection);
    let never = StreamBody::new(futures_util::stream::pending::<
        Result<http_body::Frame<Bytes>, std::convert::Infallible>,
    >());
    let request = Request::post(format!("http://policy{}", wire::CHECK));
    let request = request.header(CONTENT_TYPE, "application/grpc");
    let answer = sender.send_request(request.body(never).unwrap());
    let answer = within("an answer", answer).await.unwrap();
    assert_eq!(answer.headers()["grpc-status"], "4");
    let line = proxy
        .logged(|line| line["code"] == "question-unreadable")
        .await;
    assert!(
        line["detail"].as_str().unwrap().contains("in time"),
        "{line}"
    );
    connection.abort();
    assert_eq!(
        pins(&Envoy::connect(&proxy).await.check(&get(PUBLIC_NAME)).await).len(),
        1
    );
}
