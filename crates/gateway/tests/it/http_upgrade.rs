//! WebSocket in absolute form.

use crate::support::{Client, Echo, PUBLIC, Proxy, field, status};

const NAME: &str = "public.lab.example.com";

fn upgrade(authority: &str, to: &str) -> String {
    format!(
        "GET http://{authority}/chat HTTP/1.1\r\nConnection: keep-alive, Upgrade\r\nUpgrade: {to}\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
         Proxy-Authorization: Basic eDp5\r\n\r\n"
    )
}

/// A server that agrees to everything, says hello at once, and sends back what it gets.
async fn agreeing() -> Echo {
    Echo::serve(PUBLIC, |stream| async move {
        let mut client = Client::over(stream);
        let head = client.head().await.to_ascii_lowercase();
        assert!(head.contains("upgrade: websocket\r\n"), "{head}");
        assert!(head.contains("connection: upgrade\r\n"), "{head}");
        assert!(head.contains("sec-websocket-key:"), "{head}");
        assert!(!head.contains("proxy-authorization"), "{head}");
        client
            .send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\nhello")
            .await;
        let (mut read, mut write) = client.stream.into_split();
        let _ = tokio::io::copy(&mut read, &mut write).await;
    })
    .await
}

#[tokio::test]
async fn a_web_socket_becomes_a_tunnel() {
    let server = agreeing().await;
    let proxy = Proxy::start().await;
    let mut client = proxy.client().await;
    let request = upgrade(&server.at(NAME), "websocket");
    client.send(format!("{request}early").as_bytes()).await;
    let head = client.head().await;
    assert_eq!(status(&head), 101, "{head}");
    assert_eq!(field(&head, "upgrade"), Some("websocket"));
    assert_eq!(field(&head, "sec-websocket-accept"), Some("x"));
    assert_eq!(client.exactly(10).await, b"helloearly");
    client.send(b"and late").await;
    assert_eq!(client.exactly(8).await, b"and late");
    drop(client);
    let told = proxy.logged(|line| line["event"] == "end").await;
    assert_eq!(told["kind"], "upgrade", "{told}");
}

#[tokio::test]
async fn a_server_may_decline() {
    let server = Echo::http(PUBLIC).await;
    let proxy = Proxy::start().await;
    let mut client = proxy.client().await;
    client
        .send(upgrade(&server.at(NAME), "websocket").as_bytes())
        .await;
    let (head, body) = client.answer().await;
    assert_eq!(status(&head), 200);
    assert!(body.starts_with(b"GET /chat"));
    assert_eq!(field(&head, "connection"), Some("close"));
    client.ended().await;
}

#[tokio::test]
async fn other_upgrades_are_left_out() {
    let server = Echo::http(PUBLIC).await;
    let proxy = Proxy::start().await;
    let mut client = proxy.client().await;
    client
        .send(upgrade(&server.at(NAME), "h2c").as_bytes())
        .await;
    let (head, seen) = client.answer().await;
    assert_eq!(status(&head), 200);
    let seen = String::from_utf8(seen).unwrap().to_ascii_lowercase();
    assert!(!seen.contains("upgrade") && !seen.contains("h2c"), "{seen}");
}

#[tokio::test]
async fn an_upgrade_to_the_inside_is_refused() {
    let proxy = Proxy::start().await;
    let mut client = proxy.client().await;
    client
        .send(upgrade("internal.lab.example.com", "websocket").as_bytes())
        .await;
    let (head, _) = client.answer().await;
    assert_eq!(status(&head), 403);
    client.ended().await;
}
