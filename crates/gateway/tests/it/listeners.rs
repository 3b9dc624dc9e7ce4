//! Listeners: what comes before the first request.

use crate::support::{Echo, PUBLIC, Proxy};

#[tokio::test]
async fn a_tunnel_through_a_fresh_gateway() {
    let echo = Echo::start(PUBLIC).await;
    let proxy = Proxy::start().await;
    let mut tunnel = proxy.tunnel(&echo.at("public.lab.example.com")).await;
    tunnel.send(b"hello").await;
    assert_eq!(tunnel.exactly(5).await, b"hello");
}
