//! A guarded fetch against plain hyper, on loopback, with the name resolved already in both.
#![expect(
    clippy::expect_used,
    reason = "a bench that cannot be set up measures nothing"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "the baseline is a client without a guard; it dials a server of this process"
)]

use std::{convert::Infallible, net::SocketAddr};

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use http_body_util::{BodyExt, Empty, Full};
use hyper::{
    Request, Response, body::Incoming, client::conn::http1::SendRequest, service::service_fn,
};
use hyper_util::rt::TokioIo;
use pinfold::{Guard, resolve::Fixed};
use pinfold_http::{Client, Limits};
use tokio::{
    net::{TcpListener, TcpStream},
    runtime::Runtime,
};

const BODY: &[u8] = &[b'x'; 1024];

fn fetch(c: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let server = runtime.block_on(serve());
    let url = format!("http://bench.example.com:{}/", server.port());
    let mut group = c.benchmark_group("fetch");

    group.bench_function("plain/new", |b| {
        b.to_async(&runtime)
            .iter(|| async { get(&mut dial(server).await).await });
    });
    let client = client(server, 0);
    group.bench_function("guarded/new", |b| {
        b.to_async(&runtime).iter(|| guarded(&client, &url));
    });

    let mut kept = runtime.block_on(dial(server));
    group.bench_function("plain/kept", |b| {
        b.iter(|| runtime.block_on(get(&mut kept)));
    });
    let client = self::client(server, 8);
    group.bench_function("guarded/kept", |b| {
        b.iter(|| runtime.block_on(guarded(&client, &url)));
    });
}

async fn serve() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.2:0")
        .await
        .expect("a loopback alias");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answer = service_fn(|_: Request<Incoming>| async {
                Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(BODY))))
            });
            let io = TokioIo::new(stream);
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(io, answer));
        }
    });
    address
}

async fn dial(server: SocketAddr) -> SendRequest<Empty<Bytes>> {
    let stream = TcpStream::connect(server).await.expect("a connection");
    stream.set_nodelay(true).expect("an option");
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .expect("a handshake");
    tokio::spawn(connection);
    sender
}

async fn get(sender: &mut SendRequest<Empty<Bytes>>) {
    sender.ready().await.expect("a connection");
    let request = Request::get("/")
        .header("host", "bench.example.com")
        .body(Empty::new());
    let response = sender
        .send_request(request.expect("a request"))
        .await
        .expect("a response");
    let body = response.into_body().collect().await.expect("a body");
    assert_eq!(body.to_bytes().len(), BODY.len());
}

fn client(server: SocketAddr, kept: usize) -> Client {
    let guard = Guard::builder()
        .resolver(
            Fixed::default()
                .rule("bench.example.com=127.0.0.2")
                .expect("a rule"),
        )
        .grants(["127.0.0.2".parse().expect("a grant")])
        .build()
        .expect("a guard");
    let mut limits = Limits::default();
    limits.idle_per_origin = kept;
    limits.idle_total = kept;
    let _ = server;
    Client::builder(guard).limits(limits).build()
}

async fn guarded(client: &Client, url: &str) {
    let response = client.get(url).send().await.expect("a response");
    assert_eq!(response.bytes().await.expect("a body").len(), BODY.len());
}

criterion_group!(benches, fetch);
criterion_main!(benches);
