//! Listeners: sockets, bounds, and what comes before the first request.

use std::os::unix::fs::{FileTypeExt, PermissionsExt};

use pinfold_gateway::{Gateway, StartError};
use tokio::net::UnixStream;

use crate::support::{Client, Echo, PUBLIC, Proxy, config, field, file, status, until};

#[tokio::test]
async fn a_tunnel_through_a_fresh_gateway() {
    let echo = Echo::start(PUBLIC).await;
    let proxy = Proxy::start().await;
    let mut tunnel = proxy.tunnel(&echo.at("public.lab.example.com")).await;
    tunnel.send(b"hello").await;
    assert_eq!(tunnel.exactly(5).await, b"hello");
    assert_eq!(echo.accepted(), 1);
}

#[tokio::test]
async fn the_gateway_does_not_lead_to_itself() {
    // Not even where all of loopback is granted.
    let proxy = Proxy::with("[floor]\ngrants = ['127.0.0.0/8']").await;
    let admin = proxy.gateway().admin_address().unwrap();
    for own in [proxy.address(), admin] {
        let mut client = proxy.client().await;
        let head = client.connect_to(&own.to_string()).await;
        assert_eq!(status(&head), 403, "{head}");
        assert_eq!(field(&head, "pinfold-reason"), Some("address-floor"));
    }
}

#[tokio::test]
async fn a_unix_socket_has_its_mode_and_is_taken_away_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("proxy.sock");
    let over = format!(
        "[[listener]]\nbind = 'unix:{}'\nunix_mode = '0600'",
        path.display()
    );
    let echo = Echo::start(PUBLIC).await;
    let gateway = Gateway::start(config(folder.path(), &over), None)
        .await
        .unwrap();
    let found = std::fs::symlink_metadata(&path).unwrap();
    assert!(found.file_type().is_socket());
    assert_eq!(found.permissions().mode() & 0o777, 0o600);
    assert!(gateway.addresses().is_empty());
    let mut client = Client::over(UnixStream::connect(&path).await.unwrap());
    let head = client.connect_to(&echo.at("public.lab.example.com")).await;
    assert_eq!(status(&head), 200, "{head}");
    drop(client);
    gateway.drain().await;
    assert!(!path.exists());
}

#[tokio::test]
async fn a_path_that_is_in_use_or_somebody_elses_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("proxy.sock");
    let over = format!("[[listener]]\nbind = 'unix:{}'", path.display());
    let start = || Gateway::start(config(folder.path(), &over), None);

    file(folder.path(), "proxy.sock", "a file");
    let error = start().await.unwrap_err();
    assert!(matches!(error, StartError::Bind { .. }), "{error}");
    assert!(error.hint().is_some());
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "a file");
    std::fs::remove_file(&path).unwrap();

    let first = start().await.unwrap();
    let error = start().await.unwrap_err();
    assert!(
        error.to_string().contains("another process serves there"),
        "{error}"
    );
    UnixStream::connect(&path)
        .await
        .expect("the first one still serves");
    drop(first);

    // What a process that was killed left behind.
    until("the path is free", async || !path.exists()).await;
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let again = start().await.unwrap();
    UnixStream::connect(&path).await.expect("it serves");
    drop(again);
}

#[tokio::test]
async fn an_address_that_is_in_use_is_said_so() {
    let proxy = Proxy::start().await;
    let over = format!("[[listener]]\nbind = '{}'", proxy.address());
    let error = Proxy::try_with(&over).await.err().unwrap();
    assert!(
        error.to_string().contains(&proxy.address().to_string()),
        "{error}"
    );
    assert!(error.hint().unwrap().contains("another process"), "{error}");
}

#[tokio::test]
async fn two_gateways_share_an_address_when_both_say_so() {
    let over = "[[listener]]\nbind = '127.0.0.1:0'\nreuse_port = true";
    let first = Proxy::with(over).await;
    let over = format!(
        "[[listener]]\nbind = '{}'\nreuse_port = true",
        first.address()
    );
    let second = Proxy::with(&over).await;
    assert_eq!(first.address(), second.address());
}

#[tokio::test]
async fn what_nobody_speaks_here_is_refused() {
    /// Name, configuration, what is sent, the code, how the answer begins.
    type Row = (
        &'static str,
        &'static str,
        &'static [u8],
        &'static str,
        &'static [u8],
    );
    let http = "[[listener]]\nbind = '127.0.0.1:0'\nprotocols = ['http']";
    let socks = "[[listener]]\nbind = '127.0.0.1:0'\nprotocols = ['socks5']";
    let rows: [Row; 5] = [
        (
            "TLS",
            "",
            b"\x16\x03\x01\x02\x00\x01",
            "tls-unexpected",
            b"",
        ),
        ("SOCKS4", "", b"\x04\x01\x00\x50", "socks4-not-served", b""),
        (
            "SOCKS5",
            http,
            b"\x05\x01\x00",
            "protocol-not-served",
            b"\x05\xff",
        ),
        (
            "HTTP",
            socks,
            b"GET / HTTP/1.1\r\n\r\n",
            "protocol-not-served",
            b"HTTP/1.1 400 ",
        ),
        (
            "HTTP/2",
            socks,
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            "protocol-not-served",
            b"HTTP/1.1 400 ",
        ),
    ];
    for (row, over, bytes, code, answer) in rows {
        let proxy = Proxy::with(over).await;
        let mut client = proxy.client().await;
        client.send(bytes).await;
        let rest = client.rest().await;
        assert!(
            rest.starts_with(answer),
            "{row}: {:?}",
            String::from_utf8_lossy(&rest)
        );
        assert_eq!(answer.is_empty(), rest.is_empty(), "{row}");
        proxy.refused(code).await;
    }
}

#[tokio::test]
async fn who_says_nothing_is_sent_away() {
    let proxy = Proxy::with("limits = {head_time = '200ms'}").await;
    let mut client = proxy.client().await;
    client.ended().await;
    proxy.refused("client-too-slow").await;
}

#[tokio::test]
async fn beyond_the_bound_of_connections_the_answer_is_early_and_clean() {
    let proxy = Proxy::with("limits = {connections = 2}").await;
    let _first = proxy.client().await;
    let second = proxy.client().await;
    open(&proxy, 2).await;

    let mut third = proxy.client().await;
    let head = third.connect_to("public.lab.example.com:443").await;
    assert_eq!(status(&head), 503, "{head}");
    assert!(field(&head, "retry-after").is_some(), "{head}");
    assert_eq!(field(&head, "connection"), Some("close"));
    assert!(field(&head, "pinfold-request-id").is_some());
    assert!(
        field(&head, "proxy-status")
            .unwrap()
            .starts_with("pinfold; error=")
    );
    third.rest().await;

    let mut fourth = proxy.client().await;
    fourth.send(b"\x05\x01\x00").await;
    assert_eq!(fourth.rest().await, b"\x05\xff");

    drop(second);
    until("a place is free", async || {
        let mut next = proxy.client().await;
        status(&next.connect_to("internal.lab.example.com:443").await) == 403
    })
    .await;
}

#[tokio::test]
async fn one_address_does_not_take_all_places() {
    let proxy = Proxy::with("limits = {connections_per_source = 1}").await;
    let _first = proxy.client().await;
    open(&proxy, 1).await;
    let mut second = proxy.client().await;
    let head = second.connect_to("internal.lab.example.com:443").await;
    assert!([429, 503].contains(&status(&head)), "{head}");
    assert!(field(&head, "retry-after").is_some(), "{head}");
}

/// Waits until so many connections are counted.
async fn open(proxy: &Proxy, count: usize) {
    until("connections are counted", async || {
        proxy.admin_json("/status").await["usage"]["connections"]["open"] == count
    })
    .await;
}
