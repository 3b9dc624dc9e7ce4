//! Clients of an Envoy: connections that are kept, tunnels, HTTP/2, TLS.
#![expect(
    clippy::disallowed_methods,
    reason = "the clients of an Envoy are not judged: they are in the tests"
)]

use std::{future::Future, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::{
    body::Incoming,
    client::conn::{http1, http2},
    upgrade::Upgraded,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use pinfold_lab::tls::Authority;
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use rustls_pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::support::{Answer, PATIENCE};

/// In time, however busy the machine is.
pub(crate) async fn within<T>(what: impl Future<Output = T>) -> T {
    timeout(PATIENCE, what).await.unwrap()
}

/// Waits until there is something to see. It looks less and less often: to read a long log again is work, too.
pub(crate) async fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let waited = timeout(PATIENCE, async {
        let mut pause = Duration::from_millis(5);
        loop {
            if let Some(seen) = look() {
                return seen;
            }
            sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(100));
        }
    });
    let waited = waited.await;
    waited.unwrap_or_else(|_| panic!("{what}: not in time"))
}

/// A client of HTTP/1.1 that keeps its connection.
pub(crate) struct Kept {
    proxy: SocketAddr,
    sender: Option<http1::SendRequest<Full<Bytes>>>,
    /// Connections that it has opened.
    pub(crate) opened: usize,
}

impl Kept {
    pub(crate) fn to(proxy: SocketAddr) -> Self {
        Self {
            proxy,
            sender: None,
            opened: 0,
        }
    }

    pub(crate) async fn get(&mut self, url: &str) -> Answer {
        self.send(Method::GET, url, &[], "").await
    }

    /// In absolute form.
    pub(crate) async fn send(
        &mut self,
        method: Method,
        url: &str,
        fields: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let request = request(method, url, fields, body);
        within(async { answer(self.connection().await.send_request(request).await.unwrap()).await })
            .await
    }

    async fn connection(&mut self) -> &mut http1::SendRequest<Full<Bytes>> {
        if let Some(sender) = &mut self.sender
            && sender.ready().await.is_err()
        {
            self.sender = None;
        }
        if self.sender.is_none() {
            self.opened += 1;
            let stream = TcpStream::connect(self.proxy).await.unwrap();
            let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
            tokio::spawn(connection);
            self.sender = Some(sender);
        }
        self.sender.as_mut().unwrap()
    }
}

/// A client of HTTP/2 without TLS, one connection.
pub(crate) struct Two(http2::SendRequest<Full<Bytes>>);

impl Two {
    pub(crate) async fn to(proxy: SocketAddr) -> Self {
        let stream = TcpStream::connect(proxy).await.unwrap();
        let io = TokioIo::new(stream);
        let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
        tokio::spawn(connection);
        Self(sender)
    }

    pub(crate) async fn get(&mut self, url: &str) -> Answer {
        let request = request(Method::GET, url, &[], "");
        within(async { answer(self.0.send_request(request).await.unwrap()).await }).await
    }

    /// A tunnel, or why there is none.
    pub(crate) async fn connect(&mut self, authority: &str) -> Result<TokioIo<Upgraded>, Answer> {
        let request = Request::connect(authority);
        let request = request.body(Full::default()).unwrap();
        let mut response = within(self.0.send_request(request)).await.unwrap();
        match response.status().as_u16() {
            200 => Ok(TokioIo::new(
                within(hyper::upgrade::on(&mut response)).await.unwrap(),
            )),
            _ => Err(within(answer(response)).await),
        }
    }
}

fn request(method: Method, url: &str, fields: &[(&str, &str)], body: &str) -> Request<Full<Bytes>> {
    let host = url.split('/').nth(2).unwrap();
    let mut request = Request::builder().method(method).uri(url);
    if !fields.iter().any(|(name, _)| *name == "host") {
        request = request.header("host", host);
    }
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(Full::from(body.to_owned())).unwrap()
}

async fn answer(response: Response<Incoming>) -> Answer {
    let (parts, body) = response.into_parts();
    let fields = parts.headers.iter();
    let fields = fields.map(|(name, value)| format!("\r\n{name}: {}", value.to_str().unwrap()));
    let body = body
        .collect()
        .await
        .map(http_body_util::Collected::to_bytes);
    Answer {
        status: parts.status.as_u16(),
        head: format!("HTTP {}{}", parts.status, fields.collect::<String>()),
        body: String::from_utf8_lossy(&body.unwrap_or_default()).into_owned(),
    }
}

/// A tunnel through a proxy, or why there is none.
pub(crate) async fn tunnel(proxy: SocketAddr, authority: &str) -> Result<TcpStream, Answer> {
    let head = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n");
    let (stream, answer) = ask_kept(proxy, head.as_bytes()).await;
    match answer.status {
        200 => Ok(stream),
        _ => Err(answer),
    }
}

/// These bytes to there, and the answer to them; the connection is kept.
pub(crate) async fn ask_kept(to: SocketAddr, bytes: &[u8]) -> (TcpStream, Answer) {
    within(async {
        let mut stream = TcpStream::connect(to).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let answer = answer_of(&mut stream).await;
        (stream, answer)
    })
    .await
}

/// The head, and as much of a body as it says.
async fn answer_of(stream: &mut (impl AsyncRead + Unpin)) -> Answer {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    let mut answer = Answer::of(&head);
    let length = answer.field("content-length").unwrap_or("0");
    let mut body = vec![0; length.parse().unwrap()];
    if stream.read_exact(&mut body).await.is_ok() {
        answer.body = String::from_utf8(body).unwrap();
    }
    answer
}

/// A request on a connection to a server itself, which is kept.
pub(crate) async fn ask_through(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    host: &str,
    path: &str,
) -> Answer {
    let head = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n");
    within(async {
        let _ = stream.write_all(head.as_bytes()).await;
        answer_of(stream).await
    })
    .await
}

/// TLS with a server of the lab, at the other end of this.
pub(crate) async fn handshake<S>(
    stream: S,
    authority: &Authority,
    name: &str,
    sni: bool,
) -> std::io::Result<TlsStream<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut roots = RootCertStore::empty();
    roots.add(authority.der()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.enable_sni = sni;
    let name = ServerName::try_from(name.to_owned()).unwrap();
    within(TlsConnector::from(Arc::new(config)).connect(name, stream)).await
}
