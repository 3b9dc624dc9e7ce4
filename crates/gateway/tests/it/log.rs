//! The decision log of a running gateway: what is in it, what is not, and what becomes of the file.

use std::fs;

use pinfold::record::Entry;
use serde_json::Value;

use crate::support::{Client, Echo, PUBLIC, Proxy, status, until};

#[tokio::test]
async fn a_tunnel_leaves_a_decision_and_an_end() {
    let echo = Echo::start(PUBLIC).await;
    let proxy = Proxy::start().await;
    let mut tunnel = proxy.tunnel(&echo.at("public.lab.example.com")).await;
    tunnel.send(b"hello").await;
    assert_eq!(tunnel.exactly(5).await, b"hello");
    drop(tunnel);

    let end = proxy.logged(|line| line["event"] == "end").await;
    assert_eq!(
        (&end["bytes_up"], &end["bytes_down"]),
        (&5.into(), &5.into())
    );
    let same =
        |line: &Value| line["event"] == "decision" && line["request_id"] == end["request_id"];
    let decision = proxy.logged(same).await;
    assert_eq!(decision["decision"]["verdict"], "allow");
    assert_eq!(decision["decision"]["dialed"], echo.at("127.0.0.2"));
    assert_eq!(decision["authority"], echo.at("public.lab.example.com"));
    assert!(decision["decision"]["input"].is_null(), "{decision}");
}

#[tokio::test]
async fn paths_and_queries_are_withheld_and_what_is_left_can_be_replayed() {
    let echo = Echo::http(PUBLIC).await;
    let proxy =
        Proxy::with("[records.log]\nreplayable = true\nwithhold = ['paths', 'queries']").await;
    let mut client = proxy.client().await;
    for host in ["public.lab.example.com", "internal.lab.example.com"] {
        let at = echo.at(host);
        let request = format!("GET http://{at}/s3cret?s3cret=1 HTTP/1.1\r\nHost: {at}\r\n\r\n");
        client.send(request.as_bytes()).await;
        client.answer().await;
    }
    let denied = |line: &Value| line["decision"]["verdict"] == "deny";
    proxy.logged(denied).await;

    let text = fs::read_to_string(proxy.folder().join("log.jsonl")).unwrap();
    assert!(!text.contains("s3cret"), "{text}");
    let entries = text.lines().map(|line| Entry::read(line).unwrap());
    let entries: Vec<_> = entries.flatten().collect();
    assert_eq!(entries.len(), 2);
    for entry in entries {
        assert_eq!(entry.contradictions(), []);
        assert_eq!(entry.replay, None);
        assert!(entry.redacted.contains(&"target.path".to_owned()));
        assert!(entry.input.is_some());
    }
}

#[tokio::test]
async fn a_file_that_was_moved_away_is_followed() {
    let proxy = Proxy::start().await;
    let file = proxy.folder().join("log.jsonl");
    proxy.logged(|line| line["phase"] == "ready").await;
    fs::rename(&file, proxy.folder().join("log.1")).unwrap();
    until("the file is there again", async || file.exists()).await;
    let mut client = proxy.client().await;
    assert_eq!(
        status(&client.connect_to("internal.lab.example.com:443").await),
        403
    );
    proxy
        .logged(|line| line["decision"]["verdict"] == "deny")
        .await;
}

#[tokio::test]
async fn a_drain_writes_what_waits() {
    let proxy = Proxy::start().await;
    for _ in 0..20 {
        let mut client: Client<_> = proxy.client().await;
        client.connect_to("internal.lab.example.com:443").await;
    }
    let (gateway, folder) = proxy.into_gateway();
    gateway.drain().await;
    let text = fs::read_to_string(folder.path().join("log.jsonl")).unwrap();
    let of = |event: &str| text.lines().filter(|line| line.contains(event)).count();
    assert_eq!(of("\"event\":\"decision\""), 20, "{text}");
    assert!(
        text.trim_end()
            .lines()
            .last()
            .unwrap()
            .contains("\"stopped\"")
    );
}

#[tokio::test]
async fn a_log_that_cannot_be_opened_keeps_the_gateway_from_starting() {
    let error = Proxy::try_with("records.log.to = 'file:/nowhere/log'").await;
    let error = error.err().expect("refused").to_string();
    assert!(error.contains("/nowhere/log"), "{error}");
}

#[tokio::test]
async fn a_full_disk_stops_no_traffic_and_is_told() {
    let echo = Echo::start(PUBLIC).await;
    let proxy = Proxy::with("records.log.to = 'file:/dev/full'").await;
    let mut tunnel = proxy.tunnel(&echo.at("public.lab.example.com")).await;
    tunnel.send(b"x").await;
    assert_eq!(tunnel.exactly(1).await, b"x");
    until("the log's problem is in the status", async || {
        proxy.admin_json("/status").await["log_problem"].is_string()
    })
    .await;
    let (_, metrics) = proxy.admin("/metrics").await;
    let failed = metrics
        .lines()
        .find(|l| l.starts_with("pinfold_log_failed_total "));
    assert_ne!(failed, Some("pinfold_log_failed_total 0"));
}

#[tokio::test]
async fn who_is_withheld_has_one_name_in_the_log_and_for_operators() {
    let proxy = Proxy::with("[records.log]\nwithhold = ['clients', 'subjects']").await;
    let mut client = proxy.client().await;
    let head = client.connect_to("internal.lab.example.com:443").await;
    assert_eq!(status(&head), 403);
    let line = proxy.logged(|line| line["event"] == "decision").await;
    let row = proxy.refused("address-not-public").await;
    assert_eq!(row["request_id"], line["request_id"]);
    assert!(line["client"].as_str().unwrap().starts_with("client-"));
    assert_eq!(row["client"], line["client"]);
}
