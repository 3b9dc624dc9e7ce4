//! Spans of a running gateway, as a collector on loopback gets them. What is in them, the unit tests decode.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{io::AsyncWriteExt, net::TcpListener};

use crate::support::{Client, Echo, PUBLIC, Proxy, status};

/// A collector that keeps the bodies it gets.
struct Collector {
    address: SocketAddr,
    bodies: Arc<Mutex<Vec<u8>>>,
}

impl Collector {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let bodies: Arc<Mutex<Vec<u8>>> = Arc::default();
        let keep = Arc::clone(&bodies);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let mut client = Client::over(stream);
                while let Some(head) = client.rest_or_head().await {
                    let length = crate::support::field(&head, "content-length").unwrap();
                    let body = client.exactly(length.parse().unwrap()).await;
                    keep.lock().unwrap().extend(body);
                    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
                    client.stream.write_all(answer).await.unwrap();
                }
            }
        });
        Self { address, bodies }
    }

    fn holds(&self, bytes: &[u8]) -> bool {
        let bodies = self.bodies.lock().unwrap();
        bodies.windows(bytes.len()).any(|window| window == bytes)
    }
}

#[tokio::test]
async fn requests_are_spans_of_the_clients_trace_and_a_drain_sends_what_waits() {
    let collector = Collector::start().await;
    let echo = Echo::start(PUBLIC).await;
    let endpoint = format!("http://{}/v1/traces", collector.address);
    let proxy = Proxy::with(&format!(
        "[records.tracing]\nendpoint = '{endpoint}'\ninterval = '1h'"
    ))
    .await;
    drop(proxy.tunnel(&echo.at("public.lab.example.com")).await);
    let mut client = proxy.client().await;
    let request = "CONNECT internal.lab.example.com:443 HTTP/1.1\r\n\
        Host: internal.lab.example.com:443\r\n\
        traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\r\n";
    client.send(request.as_bytes()).await;
    assert_eq!(status(&client.head().await), 403);
    proxy.logged(|line| line["event"] == "end").await;
    let denied = proxy
        .logged(|line| line["decision"]["verdict"] == "deny")
        .await;
    assert_eq!(denied["trace_id"], "0af7651916cd43dd8448eb211c80319c");

    let (gateway, _folder) = proxy.into_gateway();
    gateway.drain().await;
    let trace = 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c_u128.to_be_bytes();
    assert!(collector.holds(&trace), "the client's trace");
    let parent = 0xb7ad_6b71_6920_3331_u64.to_be_bytes();
    assert!(collector.holds(&parent), "the client's span");
    for there in [
        "CONNECT",
        "check-target",
        "public.lab.example.com",
        "pinfold.bytes.up",
    ] {
        assert!(collector.holds(there.as_bytes()), "{there}");
    }
}

#[tokio::test]
async fn a_collector_that_is_away_stops_nobody() {
    // Bound and closed again: nobody listens there.
    let away = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let echo = Echo::start(PUBLIC).await;
    let proxy = Proxy::with(&format!(
        "[records.tracing]\nendpoint = 'http://{away}/v1/traces'\ninterval = '100ms'"
    ))
    .await;
    let mut tunnel = proxy.tunnel(&echo.at("public.lab.example.com")).await;
    tunnel.send(b"x").await;
    assert_eq!(tunnel.exactly(1).await, b"x");
    crate::support::until("the failure is counted", async || {
        let (_, text) = proxy.admin("/metrics").await;
        let failed = r#"pinfold_spans_total{outcome="failed"} "#;
        let line = text.lines().find_map(|line| line.strip_prefix(failed));
        line.is_some_and(|n| n != "0")
    })
    .await;
}
