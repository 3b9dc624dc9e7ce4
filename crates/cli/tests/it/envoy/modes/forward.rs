//! A forward proxy: requests in absolute form, CONNECT, upgrades.
use std::{collections::BTreeSet, net::Ipv6Addr};

use http::Method;
use pinfold_lab::{
    dns::{Reply, Strategy},
    http::Page,
};
use serde_json::json;
use tokio::io::AsyncReadExt;

use super::{INTERNAL, PUBLIC, assert_refused, decisions, dialled};
use crate::envoy::{
    client::{Kept, Two, ask_kept, ask_through, tunnel, within},
    plan::{Plan, http, routes},
    support::{Stage, ask},
};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_allowed_arrives_at_the_judged_address_and_nowhere_else() {
    let stage = Stage::start("forward").await;
    let six = stage.lab.public_v6().is_some();
    requests(&stage).await;
    tunnels(&stage).await;
    if six {
        requests_by_ipv6(&stage).await;
    }
    let mut expected = BTreeSet::from([stage.lab.public().addr()]);
    expected.extend(stage.lab.public_v6().map(pinfold_lab::http::Server::addr));
    assert_eq!(dialled(&stage).await, expected);
    assert_eq!(stage.lab.leaks().await.unwrap(), 0);
    let hygiene = [
        "x-envoy",
        "x-request-id",
        "x-forwarded",
        "pinfold",
        "proxy-",
    ];
    for seen in stage.lab.public().requests() {
        let told =
            |(name, _): &&(String, String)| hygiene.iter().any(|ours| name.starts_with(ours));
        assert_eq!(seen.headers.iter().find(told), None, "{seen:?}");
    }
}

/// Methods and bodies, on one connection of HTTP/1.1; and one of HTTP/2.
async fn requests(stage: &Stage) {
    let proxy = stage.envoy.listeners[0];
    let url = stage.lab.url("public", "/echo");
    let mut kept = Kept::to(proxy);
    let answer = kept.get(&url).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(
        answer.body.starts_with("GET /echo HTTP/1.1\n"),
        "{answer:?}"
    );
    let host = format!("host: {PUBLIC}:{}\n", stage.lab.port());
    assert!(answer.body.contains(&host), "{answer:?}");
    let answer = kept.send(Method::POST, &url, &[], "a body").await;
    assert!(answer.body.starts_with("POST /echo"), "{answer:?}");
    assert!(answer.body.ends_with("\n\na body"), "{answer:?}");
    let secret = [
        ("proxy-authorization", "Basic x"),
        ("x-envoy-original-dst-host", "127.0.0.3:1"),
    ];
    let answer = kept
        .send(
            Method::GET,
            &stage.lab.url("public", "/chunked"),
            &secret,
            "",
        )
        .await;
    assert_eq!(answer.body, "a public page in chunks\n", "{answer:?}");
    assert_eq!(kept.opened, 1, "the connection is kept");

    let host = url.split('/').nth(2).unwrap();
    let chunked = format!(
        "POST {url} HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n\
         6\r\nchunks\r\n5\r\n, two\r\n0\r\n\r\n"
    );
    let answer = ask(proxy, chunked.as_bytes()).await;
    assert!(answer.body.contains("chunks, two"), "{answer:?}");

    let answer = Two::to(proxy).await.get(&url).await;
    assert!(answer.body.starts_with("GET /echo"), "{answer:?}");
}

async fn requests_by_ipv6(stage: &Stage) {
    let name = "six.lab.example.com";
    let only = Reply::address(Ipv6Addr::LOCALHOST);
    stage.lab.dns().name(name, Strategy::Always(only));
    let server = stage.lab.public_v6().unwrap();
    let proxy = stage.envoy.listeners[0];
    let literal = format!("http://{}/", server.addr());
    for url in [stage.lab.url("six", "/"), literal] {
        let answer = stage.get(&url).await;
        assert_eq!(answer.status, 200, "{url}: {answer:?}");
    }
    let mut stream = tunnel(proxy, &format!("{name}:{}", stage.lab.port()))
        .await
        .unwrap();
    let answer = ask_through(&mut stream, name, "/").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(server.request_count(), 3);
}

/// CONNECT by both versions of HTTP; what goes through is not touched.
async fn tunnels(stage: &Stage) {
    let proxy = stage.envoy.listeners[0];
    let authority = format!("{PUBLIC}:{}", stage.lab.port());
    let mut stream = tunnel(proxy, &authority).await.unwrap();
    let answer = ask_through(&mut stream, PUBLIC, "/echo").await;
    assert!(answer.body.contains("GET /echo"), "{answer:?}");
    let mut stream = Two::to(proxy).await.connect(&authority).await.unwrap();
    let answer = ask_through(&mut stream, PUBLIC, "/echo").await;
    assert!(answer.body.contains("GET /echo"), "{answer:?}");
    let records = decisions(stage, 7).await;
    let of = |kind| {
        records
            .iter()
            .filter(|record| record["kind"] == kind)
            .count()
    };
    assert_eq!((of("forward"), of("connect")), (5, 2), "{records:#?}");
    for record in &records {
        assert_eq!(record["decision"]["verdict"], "allow", "{record:#}");
        assert!(record["correlation_id"].is_string(), "{record:#}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_is_told_with_a_reason_and_without_an_address() {
    let stage = Stage::start("forward").await;
    let (proxy, port) = (stage.envoy.listeners[0], stage.lab.port());
    let mut two = Two::to(proxy).await;
    let inside = stage.lab.url("internal", "/");
    let (not_public, floor) = ("address-not-public", "address-floor");
    assert_refused(&stage.get(&inside).await, not_public, "GET");
    let posted = Kept::to(proxy)
        .send(Method::POST, &inside, &[], "a body")
        .await;
    assert_refused(&posted, not_public, "POST");
    assert_refused(&two.get(&inside).await, not_public, "GET by HTTP/2");
    for (host, reason, what) in [
        (INTERNAL, not_public, "a name"),
        ("127.0.0.3", floor, "an address"),
        ("[::ffff:127.0.0.3]", floor, "a mapped address"),
    ] {
        let authority = format!("{host}:{port}");
        let refused = tunnel(proxy, &authority).await.unwrap_err();
        assert_refused(&refused, reason, &format!("CONNECT to {what}"));
        let refused = two.connect(&authority).await.unwrap_err();
        assert_refused(&refused, reason, &format!("CONNECT by HTTP/2 to {what}"));
        let refused = stage.get(&format!("http://{authority}/")).await;
        assert_refused(&refused, reason, &format!("GET of {what}"));
    }
    assert_eq!(dialled(&stage).await, BTreeSet::new());
    assert_eq!(stage.lab.leaks().await.unwrap(), 0);
    assert_eq!(stage.lab.public().connections(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_is_judged_and_passed_on() {
    let stage = Stage::start("forward").await;
    let switched = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nframes";
    stage.lab.public().route("/ws", Page::raw(switched));
    let upgrade = |label| {
        let url = stage.lab.url(label, "/ws");
        let host = url.split('/').nth(2).unwrap();
        format!(
            "GET {url} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
    };
    let proxy = stage.envoy.listeners[0];
    let (mut stream, answer) = ask_kept(proxy, upgrade("public").as_bytes()).await;
    assert_eq!(answer.status, 101, "{answer:?}");
    let mut frames = [0; 6];
    within(stream.read_exact(&mut frames)).await.unwrap();
    assert_eq!(&frames, b"frames");
    let (_, answer) = ask_kept(proxy, upgrade("internal").as_bytes()).await;
    assert_refused(&answer, "address-not-public", "an upgrade");
    assert_eq!(stage.lab.leaks().await.unwrap(), 0);
}

/// It would be judged as the GET that it is written as, and the server would be asked for a tunnel.
#[tokio::test(flavor = "multi_thread")]
async fn a_tunnel_is_no_upgrade() {
    let stage = Stage::start("forward").await;
    let url = stage.lab.url("public", "/");
    let host = url.split('/').nth(2).unwrap();
    for value in ["CONNECT", "connect"] {
        let request = format!(
            "GET {url} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: {value}\r\n\r\n"
        );
        let (_, answer) = ask_kept(stage.envoy.listeners[0], request.as_bytes()).await;
        assert_eq!(answer.status, 400, "{value}: {answer:?}");
    }
    assert_eq!(stage.lab.public().request_count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_stays_with_the_client() {
    let stage = Stage::start("forward").await;
    let inside = stage.lab.url("internal", "/");
    let answer = stage.get(&to(&stage, &inside)).await;
    assert_eq!(answer.status, 302, "{answer:?}");
    assert_eq!(answer.field("location"), Some(inside.as_str()));
    assert_eq!(stage.lab.public().request_count(), 1);
    assert_eq!(stage.lab.leaks().await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_envoy_follows_redirects_each_hop_is_judged() {
    let plan = Plan::new("forward").await.edit(|config| {
        let http = routes(config).last_mut().unwrap();
        http["route"]["internal_redirect_policy"] = json!({"max_internal_redirects": 3});
        // Without this field Envoy finds no route for the new hop, and hands the redirect to the client.
        let removed = &mut self::http(config)["route_config"]["request_headers_to_remove"];
        let removed = removed.as_array_mut().unwrap();
        removed.retain(|field| field != "x-forwarded-proto");
    });
    let stage = plan.start().await;
    let public = stage.lab.url("public", "/echo");
    let answer = stage.get(&to(&stage, &public)).await;
    assert!(answer.body.contains("GET /echo"), "{answer:?}");
    let inside = stage.lab.url("internal", "/");
    assert_refused(
        &stage.get(&to(&stage, &inside)).await,
        "address-not-public",
        "a hop",
    );
    // Two questions for each of them: the new hop is a new one.
    decisions(&stage, 4).await;
    assert_eq!(stage.lab.public().request_count(), 3);
    assert_eq!(stage.lab.leaks().await.unwrap(), 0);
}

/// A page that redirects there.
fn to(stage: &Stage, url: &str) -> String {
    stage.lab.url("public", &format!("/redirect?to={url}"))
}
