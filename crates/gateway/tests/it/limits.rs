//! What is beyond a bound is refused early and cleanly, and comes back.

use crate::support::{Echo, PUBLIC, Proxy, field, status, until};

#[tokio::test]
async fn tunnels_in_all() {
    let echo = Echo::start(PUBLIC).await;
    let proxy = Proxy::with("limits.tunnels = 2").await;
    let at = echo.at("public.lab.example.com");
    let held = (proxy.tunnel(&at).await, proxy.tunnel(&at).await);
    let mut client = proxy.client().await;
    let head = client.connect_to(&at).await;
    assert_eq!(status(&head), 503);
    assert_eq!(field(&head, "pinfold-reason"), Some("limit-tunnels"));
    assert_eq!(field(&head, "pinfold-stage"), Some("limit"));
    assert_eq!(field(&head, "retry-after"), Some("1"));
    let line = proxy.logged(|line| line["event"] == "refused").await;
    assert_eq!(
        (&line["kind"], &line["code"]),
        (&"overloaded".into(), &"limit-tunnels".into())
    );

    drop(held);
    until("places are free again", async || {
        status(&proxy.client().await.connect_to(&at).await) == 200
    })
    .await;
}

#[tokio::test]
async fn requests_of_a_subject() {
    let echo = Echo::start(PUBLIC).await;
    let proxy = Proxy::with(
        "[limits.subject]\nrate = 1\nburst = 2\n\
         [[listener]]\nbind = '127.0.0.1:0'\n\
         identity = {ways = ['source'], networks = {'127.0.0.1/32' = 'tester'}}",
    )
    .await;
    let at = echo.at("public.lab.example.com");
    let mut last = None;
    for _ in 0..20 {
        let head = proxy.client().await.connect_to(&at).await;
        if status(&head) != 200 {
            last = Some(head);
            break;
        }
    }
    let head = last.expect("20 requests are more than a burst of 2");
    assert_eq!(status(&head), 429);
    assert_eq!(field(&head, "pinfold-reason"), Some("limit-subject-rate"));
    assert_eq!(field(&head, "retry-after"), Some("1"));
    let line = proxy.logged(|line| line["event"] == "refused").await;
    assert_eq!(line["subject"], "tester");
}

#[tokio::test]
async fn tunnels_of_those_without_a_subject() {
    let echo = Echo::start(PUBLIC).await;
    let proxy = Proxy::with("limits.subject.tunnels = 1").await;
    let at = echo.at("public.lab.example.com");
    let _held = proxy.tunnel(&at).await;
    let head = proxy.client().await.connect_to(&at).await;
    assert_eq!(status(&head), 429);
    assert_eq!(
        field(&head, "pinfold-reason"),
        Some("limit-subject-tunnels")
    );
}

#[tokio::test]
async fn connections_of_a_source_are_given_back() {
    let proxy = Proxy::with("limits.connections_per_source = 2").await;
    let held = (proxy.client().await, proxy.client().await);
    let used =
        async |n: u64| proxy.admin_json("/status").await["usage"]["connections"]["open"] == n;
    until("both are counted", async || used(2).await).await;
    let mut third = proxy.client().await;
    // It is told why, or closed before it asks.
    let asked = third.try_send(b"CONNECT internal.lab.example.com:443 HTTP/1.1\r\nHost: internal.lab.example.com:443\r\n\r\n");
    let _ = asked.await;
    if let Some(head) = third.rest_or_head().await {
        assert_eq!(status(&head), 429, "{head}");
    }
    let line = proxy.logged(|line| line["code"] == "limit-source").await;
    assert_eq!(line["event"], "refused");

    drop((held, third));
    until("all are given back", async || used(0).await).await;
    let mut again = proxy.client().await;
    assert_eq!(
        status(&again.connect_to("internal.lab.example.com:443").await),
        403
    );
}
