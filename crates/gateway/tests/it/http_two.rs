//! HTTP/2, spoken without TLS by prior knowledge.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::{Echo, PUBLIC, Proxy, within};

const NAME: &str = "public.lab.example.com";

struct Two {
    sender: http2::SendRequest<Full<Bytes>>,
    connection: tokio::task::JoinHandle<()>,
}

impl Two {
    async fn connect(proxy: &Proxy) -> Self {
        let stream = TcpStream::connect(proxy.address()).await.unwrap();
        let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
        let (sender, connection) = handshake.await.unwrap();
        let connection = tokio::spawn(async move {
            let _ = connection.await;
        });
        Self { sender, connection }
    }

    async fn send(
        &mut self,
        method: Method,
        target: &str,
        body: &'static str,
    ) -> Response<Incoming> {
        let request = Request::builder().method(method).uri(target);
        let request = request.body(Full::from(body)).unwrap();
        within("an answer", self.sender.send_request(request))
            .await
            .unwrap()
    }
}

fn header<'a>(response: &'a Response<Incoming>, name: &str) -> &'a str {
    response
        .headers()
        .get(name)
        .map_or("", |value| value.to_str().unwrap())
}

#[tokio::test]
async fn tunnels_share_a_connection() {
    let echo = Echo::start(PUBLIC).await;
    let proxy = Proxy::start().await;
    let mut two = Two::connect(&proxy).await;
    let mut tunnels = Vec::new();
    for _ in 0..3 {
        let response = two.send(Method::CONNECT, &echo.at(NAME), "").await;
        assert_eq!(response.status(), 200);
        assert!(!header(&response, "pinfold-request-id").is_empty());
        let upgraded = hyper::upgrade::on(response).await.unwrap();
        tunnels.push(TokioIo::new(upgraded));
    }
    for (number, tunnel) in tunnels.iter_mut().enumerate() {
        let text = format!("tunnel {number}");
        tunnel.write_all(text.as_bytes()).await.unwrap();
        let mut back = vec![0; text.len()];
        within("an echo", tunnel.read_exact(&mut back))
            .await
            .unwrap();
        assert_eq!(back, text.as_bytes());
    }
    let refused = two
        .send(Method::CONNECT, "internal.lab.example.com:443", "")
        .await;
    assert_eq!(refused.status(), 403);
    assert_eq!(header(&refused, "pinfold-reason"), "address-not-public");
}

#[tokio::test]
async fn requests_are_forwarded() {
    let server = Echo::http(PUBLIC).await;
    let proxy = Proxy::start().await;
    let mut two = Two::connect(&proxy).await;
    let response = two
        .send(Method::GET, &format!("http://{}/a", server.at(NAME)), "")
        .await;
    assert_eq!(response.status(), 200);
    let seen = response.into_body().collect().await.unwrap().to_bytes();
    assert!(seen.starts_with(b"GET /a HTTP/1.1\r\n"), "{seen:?}");
    let rows = [
        (
            Method::GET,
            "https://public.lab.example.com/",
            400,
            "https-needs-connect",
        ),
        (
            Method::TRACE,
            "http://public.lab.example.com/",
            400,
            "method-not-served",
        ),
        (
            Method::GET,
            "http://internal.lab.example.com/",
            403,
            "address-not-public",
        ),
        (
            Method::HEAD,
            "http://internal.lab.example.com/",
            403,
            "address-not-public",
        ),
    ];
    for (method, target, status, code) in rows {
        let response = two.send(method, target, "").await;
        assert_eq!(response.status(), status, "{target}");
        assert_eq!(header(&response, "pinfold-reason"), code, "{target}");
    }
}

#[tokio::test]
async fn a_stream_that_is_reset_frees_its_place() {
    let proxy = Proxy::with("[limits]\ntunnels = 1").await;
    let silent = Echo::serve(PUBLIC, |stream| async move {
        tokio::time::sleep(Duration::from_secs(60)).await;
        drop(stream);
    })
    .await;
    let mut two = Two::connect(&proxy).await;
    let request = Request::get(format!("http://{}/", silent.at(NAME)));
    let request = request.body(Full::from("")).unwrap();
    let pending = tokio::spawn(two.sender.send_request(request));
    crate::support::until("it waits for the server", async || silent.accepted() == 1).await;
    let refused = two
        .send(Method::GET, "http://internal.lab.example.com/", "")
        .await;
    assert_eq!(refused.status(), 503);
    pending.abort();
    crate::support::until("the place is free", async || {
        let mut two = Two::connect(&proxy).await;
        let response = two
            .send(Method::GET, "http://internal.lab.example.com/", "")
            .await;
        response.status() == 403
    })
    .await;
}

#[tokio::test]
async fn an_idle_connection_is_ended() {
    let proxy = Proxy::with("[limits]\nkeep_alive = \"200ms\"").await;
    let mut two = Two::connect(&proxy).await;
    two.send(Method::GET, "http://internal.lab.example.com/", "")
        .await;
    within("the end", two.connection).await.unwrap();
}

#[tokio::test]
async fn rapid_resets_end_the_connection() {
    let proxy = Proxy::start().await;
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(frame(4, 0, 0, &[]));
    // `GET http a.example /`: indexed fields, and a literal authority.
    let head = [&[0x82, 0x86, 0x84, 0x41, 9][..], b"a.example"].concat();
    for number in 0..2_000 {
        let id = 2 * number + 1;
        bytes.extend(frame(1, 0x5, id, &head));
        bytes.extend(frame(3, 0, id, &[0, 0, 0, 8]));
    }
    // Written at once, or until the connection is closed.
    let _ = within("writing", stream.write_all(&bytes)).await;
    let mut all = Vec::new();
    let _ = within("the end", stream.read_to_end(&mut all)).await;
    let calm = [0, 0, 0, 11];
    assert!(all.windows(4).any(|code| code == calm), "ENHANCE_YOUR_CALM");
}

/// A frame of HTTP/2 (RFC 9113, 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

#[tokio::test]
async fn a_client_that_only_says_hello_is_not_waited_for() {
    let proxy = Proxy::with("[limits]\nhead_time = \"200ms\"").await;
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    stream
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        .await
        .unwrap();
    let mut all = Vec::new();
    let _ = within("the end", stream.read_to_end(&mut all)).await;
}
