//! Several judged addresses: which of them Envoy connects to, in which order, and how often.
#![expect(
    clippy::disallowed_methods,
    reason = "the clients of an Envoy are not judged: they are in the tests"
)]

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use http::Method;
use pinfold_lab::{
    APEX, PUBLIC,
    dns::{Reply, Strategy},
    http::{Page, Server, Site},
};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    time::timeout,
};

use super::{
    client::{Kept, Two, ask_through, handshake, tunnel},
    plan::Plan,
    support::Stage,
};
use crate::support::{run, told};

/// Public as well. Nothing listens there, unless a test begins it.
const OTHER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 4);

async fn stage(mode: &'static str, words: &[&str]) -> Stage {
    let plan = Plan::new(mode).await.trusting().words(words);
    let port = plan.lab.tls().addr().port();
    let stage = plan
        .over(&format!("[envoy]\ntls_port = {port}"))
        .start()
        .await;
    name(&stage, "other-first", &[OTHER, PUBLIC]);
    name(&stage, "other-last", &[PUBLIC, OTHER]);
    name(&stage, "other-alone", &[OTHER]);
    stage
}

fn name(stage: &Stage, label: &str, addresses: &[Ipv4Addr]) {
    let addresses = addresses.iter().copied().map(IpAddr::from);
    let reply = Reply::addresses(addresses);
    stage
        .lab
        .dns()
        .name(&format!("{label}.{APEX}"), Strategy::Always(reply));
}

/// A server at the other address, with the port of the lab's.
async fn other(stage: &Stage, page: Page) -> Server {
    let at = SocketAddr::from((OTHER, stage.lab.port()));
    Server::start(at, Site::only(page)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_address_is_followed_by_the_next() {
    let stage = stage("forward", &["--failover"]).await;
    let (lab, proxy) = (&stage.lab, stage.envoy.listeners[0]);
    let url = lab.url("other-first", "/echo");
    let mut kept = Kept::to(proxy);
    let answer = kept.get(&url).await;
    assert!(answer.body.starts_with("GET /echo"), "{answer:?}");
    let answer = kept.send(Method::POST, &url, &[], "a body").await;
    assert!(answer.body.ends_with("\n\na body"), "{answer:?}");
    let authority = url.split('/').nth(2).unwrap();
    let mut stream = tunnel(proxy, authority).await.unwrap();
    let answer = ask_through(&mut stream, authority, "/echo").await;
    assert!(answer.body.starts_with("GET /echo"), "{answer:?}");
    let mut stream = Two::to(proxy).await.connect(authority).await.unwrap();
    let answer = ask_through(&mut stream, authority, "/echo").await;
    assert!(answer.body.starts_with("GET /echo"), "{answer:?}");
    let answer = kept.get(&lab.tls_url("other-first", "/echo")).await;
    assert!(answer.body.starts_with("GET /echo"), "{answer:?}");
    assert_eq!(
        (lab.public().request_count(), lab.tls().request_count()),
        (4, 1)
    );
    // One decision for each, whatever the number of attempts.
    let asked = lab.dns().log().total();
    assert!(
        (2 * 5..3 * 5).contains(&asked),
        "{asked}: each attempt would ask again"
    );
    assert_eq!(lab.leaks().await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_order_is_that_of_the_answer() {
    let stage = stage("forward", &["--failover"]).await;
    let server = other(&stage, Page::text("the other one")).await;
    for (label, expected) in [
        ("other-first", "the other one"),
        ("other-last", "a public page\n"),
        ("other-first", "the other one"),
    ] {
        let answer = stage.get(&stage.lab.url(label, "/")).await;
        assert_eq!(answer.body, expected, "{label}: {answer:?}");
    }
    assert_eq!(
        (server.request_count(), stage.lab.public().request_count()),
        (2, 1)
    );
}

/// What was sent may have been acted on: there is no second attempt, of whatever method.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_sent_is_not_sent_again() {
    let stage = stage("forward", &["--failover"]).await;
    let server = other(&stage, Page::raw("")).await;
    let url = stage.lab.url("other-first", "/");
    for (sent, method) in [(1, Method::POST), (2, Method::GET)] {
        let mut client = Kept::to(stage.envoy.listeners[0]);
        let answer = client.send(method.clone(), &url, &[], "once").await;
        assert!(answer.status >= 500, "{method}: {answer:?}");
        assert_eq!(server.request_count(), sent, "{method}");
    }
    assert_eq!(stage.lab.public().connections(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn when_all_are_dead_it_is_503() {
    for (words, what) in [(&["--failover"][..], "failover"), (&[], "one address")] {
        let stage = stage("forward", words).await;
        let proxy = stage.envoy.listeners[0];
        let url = stage.lab.url("other-alone", "/");
        let answer = stage.get(&url).await;
        assert_eq!(answer.status, 503, "{what}: {answer:?}");
        assert!(!answer.body.contains("127.0.0"), "{what}: {answer:?}");
        let authority = url.split('/').nth(2).unwrap();
        let answer = tunnel(proxy, authority).await.unwrap_err();
        assert_eq!(answer.status, 503, "{what}: {answer:?}");
        assert_eq!(stage.lab.public().connections(), 0, "{what}");
        assert_eq!(stage.lab.leaks().await.unwrap(), 0, "{what}");
    }
}

/// Without `--failover` only the first address is ever used.
#[tokio::test(flavor = "multi_thread")]
async fn without_failover_there_is_one_address() {
    let stage = stage("forward", &[]).await;
    let dead = stage.get(&stage.lab.url("other-first", "/")).await;
    assert_eq!(dead.status, 503, "{dead:?}");
    assert_eq!(stage.lab.public().connections(), 0);
    let answer = stage.get(&stage.lab.url("other-last", "/")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

/// One that says nothing is given up after the connect timeout (2 s), and the next is used.
#[tokio::test(flavor = "multi_thread")]
async fn a_silent_address_is_followed_by_the_next() {
    let stage = stage("forward", &["--failover"]).await;
    let _silent = Silent::at((OTHER, stage.lab.port()).into()).await;
    let began = Instant::now();
    let answer = stage.get(&stage.lab.url("other-first", "/")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let took = began.elapsed();
    assert!(took > Duration::from_secs(1), "{took:?}: it is not silent");
    assert!(took < Duration::from_secs(30), "{took:?}");
}

/// A server whose certificate is not good is as good as dead; the next one has to have a good one.
#[tokio::test(flavor = "multi_thread")]
async fn tls_goes_on_to_the_next_and_sends_nothing_before() {
    let stage = stage("tls", &["--failover"]).await;
    let lab = &stage.lab;
    let port = lab.tls().addr().port();
    let url = format!("http://other-first.{APEX}:{port}/echo");
    let answer = stage.get(&url).await;
    assert_eq!(answer.status, 200, "dead: {answer:?}");
    let identity = lab.authority().issue(["other.example.com"]).unwrap();
    let at = SocketAddr::from((OTHER, port));
    let server = Server::start_tls(at, Site::standard(), &identity)
        .await
        .unwrap();
    let answer = stage.get(&url).await;
    assert_eq!(answer.status, 200, "another name: {answer:?}");
    assert_eq!(server.request_count(), 0);
    assert!(server.connections() > 0);
    assert_eq!(lab.tls().request_count(), 2);
    let alone = stage.get(&url.replace("other-first", "other-alone")).await;
    assert_eq!(alone.status, 503, "{alone:?}");
    assert_eq!(server.request_count(), 0);
}

/// Of connections that are passed through Envoy counts no attempts: it would find no address at all.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_passed_through_has_one_address() {
    let output = run([
        "envoy",
        "config",
        "sni",
        "--failover",
        "--service",
        "127.0.0.1:1",
    ]);
    assert_eq!(output.status.code(), Some(2));
    assert!(told(&output).contains("`--failover` is not for `sni`"));
    let stage = stage("sni", &[]).await;
    for (label, reached) in [("other-first", false), ("other-last", true)] {
        let host = format!("{label}.{APEX}");
        let stream = TcpStream::connect(stage.envoy.listeners[0]).await.unwrap();
        let stream = handshake(stream, stage.lab.authority(), &host, true).await;
        assert_eq!(stream.is_ok(), reached, "{label}");
    }
    assert_eq!(stage.lab.leaks().await.unwrap(), 0);
}

/// An address at which connections are neither taken nor refused: the queue of a listener that nobody empties is full.
struct Silent {
    _listener: TcpListener,
    _waiting: Vec<TcpStream>,
}

impl Silent {
    async fn at(address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(address).unwrap();
        let listener = socket.listen(1).unwrap();
        let mut waiting = Vec::new();
        let patience = Duration::from_millis(300);
        while let Ok(stream) = timeout(patience, TcpStream::connect(address)).await {
            waiting.push(stream.unwrap());
        }
        Self {
            _listener: listener,
            _waiting: waiting,
        }
    }
}
