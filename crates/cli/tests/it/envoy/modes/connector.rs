//! Envoy before a gateway that connects itself: tunnels and requests are handed on, and so is what the gateway refuses.

use super::{INTERNAL, PUBLIC, decisions};
use crate::envoy::{
    client::{Kept, Two, ask_through, tunnel},
    plan::Plan,
};

/// A second listener, which connects itself.
const PROXY: &str = "[[listener]]\nname = 'proxy'\nbind = '127.0.0.1:0'\nprotocols = ['http']";

#[tokio::test(flavor = "multi_thread")]
async fn the_gateway_connects_and_its_refusals_are_relayed() {
    let plan = Plan::new("connector").await.through("proxy");
    // Tables come after the keys before them: the listener is appended as a whole.
    let stage = plan.over(PROXY).start().await;
    let (proxy, port) = (stage.envoy.listeners[0], stage.lab.port());
    let url = stage.lab.url("public", "/echo");
    let mut kept = Kept::to(proxy);
    let answer = kept.get(&url).await;
    assert!(answer.body.starts_with("GET /echo"), "{answer:?}");
    let posted = kept.send(http::Method::POST, &url, &[], "a body").await;
    assert!(posted.body.ends_with("a body"), "{posted:?}");
    let answer = Two::to(proxy).await.get(&url).await;
    assert!(answer.body.starts_with("GET /echo"), "{answer:?}");

    let authority = format!("{PUBLIC}:{port}");
    let mut stream = tunnel(proxy, &authority).await.unwrap();
    let answer = ask_through(&mut stream, PUBLIC, "/echo").await;
    assert!(answer.body.contains("GET /echo"), "{answer:?}");
    let mut two = Two::to(proxy).await;
    let mut stream = two.connect(&authority).await.unwrap();
    let answer = ask_through(&mut stream, PUBLIC, "/echo").await;
    assert!(answer.body.contains("GET /echo"), "{answer:?}");

    let not_public = "address-not-public";
    let refused = kept.get(&stage.lab.url("internal", "/")).await;
    super::assert_refused(&refused, not_public, "GET");
    let inside = format!("{INTERNAL}:{port}");
    let refused = tunnel(proxy, &inside).await.unwrap_err();
    super::assert_refused(&refused, not_public, "CONNECT");
    let refused = two.connect(&inside).await.unwrap_err();
    super::assert_refused(&refused, not_public, "CONNECT by HTTP/2");

    let records = decisions(&stage, 8).await;
    let connected = |record: &&serde_json::Value| record["decision"]["dialed"].is_string();
    assert_eq!(records.iter().filter(connected).count(), 5, "{records:#?}");
    assert!(records.iter().all(|record| record["listener"] == "proxy"));
    assert_eq!(stage.lab.leaks().await.unwrap(), 0);
}
