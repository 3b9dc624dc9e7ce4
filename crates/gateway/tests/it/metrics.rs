//! What a scraper gets of a running gateway.

use crate::support::{Client, Echo, PUBLIC, Proxy, field, status, until};

/// The value of a series, by its whole name.
fn value(text: &str, series: &str) -> Option<f64> {
    let of = |line: &str| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok();
    text.lines().find_map(of)
}

#[tokio::test]
async fn requests_are_counted_and_the_policy_is_named_from_the_start() {
    let echo = Echo::start(PUBLIC).await;
    let proxy = Proxy::start().await;
    let tunnel = proxy.tunnel(&echo.at("public.lab.example.com")).await;
    let mut denied = proxy.client().await;
    let head = denied.connect_to("internal.lab.example.com:443").await;
    assert_eq!(status(&head), 403);

    let (_, text) = proxy.admin("/metrics").await;
    let code = field(&head, "pinfold-reason").unwrap();
    for (series, expected) in [
        (
            r#"pinfold_requests_total{listener="proxy",kind="connect"}"#,
            2.0,
        ),
        (r#"pinfold_dns_lookups_total{outcome="answered"}"#, 2.0),
        (r#"pinfold_decision_seconds_count{verdict="allow"}"#, 1.0),
        (r#"pinfold_stage_seconds_count{stage="connect"}"#, 1.0),
        (r#"pinfold_open{kind="connect"}"#, 1.0),
        (r#"pinfold_limit_used{limit="tunnels"}"#, 1.0),
        ("pinfold_policy_generation", 1.0),
        ("pinfold_policy_kept", 0.0),
        ("pinfold_ready", 1.0),
    ] {
        assert_eq!(value(&text, series), Some(expected), "{series} in\n{text}");
    }
    let refused = |line: &&str| {
        line.starts_with("pinfold_decisions_total{verdict=\"deny\"") && line.contains(code)
    };
    assert!(text.lines().any(|line| refused(&line)), "{code} in\n{text}");
    assert!(
        text.contains("pinfold_policy_info{layer=\"\",name=\"egress\""),
        "{text}"
    );
    assert!(value(&text, "process_resident_memory_bytes").unwrap() > 1e6);

    drop(tunnel);
    until("the end is counted", async || {
        let (_, text) = proxy.admin("/metrics").await;
        text.contains("pinfold_ends_total{kind=\"connect\",closing=")
    })
    .await;
}

#[tokio::test]
async fn the_type_is_open_metrics() {
    let proxy = Proxy::start().await;
    let address = proxy.gateway().admin_address().unwrap();
    let mut client = Client::connect(address).await;
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\n\r\n");
    client.send(request.as_bytes()).await;
    let (head, body) = client.answer().await;
    let expected = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!(field(&head, "content-type"), Some(expected));
    assert!(body.ends_with(b"# EOF\n"));
}
