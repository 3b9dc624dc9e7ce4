//! TLS speaks of the host in the URL, never of the address.

use std::time::Duration;

use pinfold_http::{Client, Limits, TlsRoots};

use crate::support::{Authority, PUBLIC, Reply, Server, ok, redirect, shared_guard};

fn https(server: &Server, host: &str) -> String {
    format!("https://{host}:{}/", server.addr.port())
}

#[tokio::test]
async fn a_name_is_verified_as_the_name() {
    let authority = Authority::new();
    let server = Server::tls(PUBLIC, authority.acceptor("one.example.com"), |_| {
        ok("secure")
    })
    .await;
    let client = authority.client();
    for _ in 0..2 {
        let response = client
            .get(&https(&server, "one.example.com"))
            .send()
            .await
            .unwrap();
        assert_eq!(response.text().await.unwrap(), "secure");
    }
    assert_eq!(server.opened(), 1, "and kept");
    let error = client
        .get(&https(&server, "two.example.com"))
        .send()
        .await
        .unwrap_err();
    assert_eq!(error.denial().unwrap().code(), "tls-failed");
    assert!(!error.is_denied(), "the guard allowed it");
    let error = client
        .get(&https(&server, "127.0.0.2"))
        .send()
        .await
        .unwrap_err();
    assert_eq!(
        error.denial().unwrap().code(),
        "tls-failed",
        "the address is not the name"
    );
}

#[tokio::test]
async fn a_literal_is_verified_as_an_address() {
    let authority = Authority::new();
    let server = Server::tls(PUBLIC, authority.acceptor("127.0.0.2"), |_| ok("secure")).await;
    let client = authority.client();
    let response = client
        .get(&https(&server, "127.0.0.2"))
        .send()
        .await
        .unwrap();
    assert_eq!(response.text().await.unwrap(), "secure");
    let error = client
        .get(&https(&server, "one.example.com"))
        .send()
        .await
        .unwrap_err();
    assert_eq!(
        error.denial().unwrap().code(),
        "tls-failed",
        "a name is not its address"
    );
}

#[tokio::test]
async fn roots_that_are_not_trusted_are_refused() {
    let authority = Authority::new();
    let server = Server::tls(PUBLIC, authority.acceptor("one.example.com"), |_| {
        ok("secure")
    })
    .await;
    for roots in [
        Authority::new().roots(),
        TlsRoots::Only(Vec::new()),
        TlsRoots::Native,
    ] {
        let client = Client::builder(shared_guard())
            .tls_roots(roots.clone())
            .build();
        let error = client
            .get(&https(&server, "one.example.com"))
            .send()
            .await
            .unwrap_err();
        assert_eq!(error.denial().unwrap().code(), "tls-failed", "{roots:?}");
    }
}

#[tokio::test]
async fn a_server_that_speaks_no_tls_fails() {
    let server = Server::start(PUBLIC, |_| ok("plain")).await;
    let client = Authority::new().client();
    let url = https(&server, "one.example.com");
    let error = client
        .get(&url)
        .timeout(Duration::from_millis(500))
        .send()
        .await
        .unwrap_err();
    assert!(
        ["tls-failed", "deadline-exceeded"].contains(&error.denial().unwrap().code()),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_handshake_that_hangs_meets_the_deadline() {
    let listener = tokio::net::TcpListener::bind((PUBLIC, 0)).await.unwrap();
    let mut limits = Limits::default();
    limits.total = Duration::from_millis(200);
    let client = Client::builder(shared_guard())
        .tls_roots(Authority::new().roots())
        .limits(limits)
        .build();
    let url = format!(
        "https://one.example.com:{}/",
        listener.local_addr().unwrap().port()
    );
    let error = client.get(&url).send().await.unwrap_err();
    assert_eq!(error.denial().unwrap().code(), "deadline-exceeded");
}

#[tokio::test]
async fn a_body_is_not_sent_again_in_the_clear() {
    let authority = Authority::new();
    let plain = Server::start(PUBLIC, |_| ok("plain")).await;
    let to = plain.named("one.example.com", "/");
    let server = Server::tls(PUBLIC, authority.acceptor("one.example.com"), move |seen| {
        redirect(if seen.method() == "POST" { 307 } else { 302 }, &to)
    })
    .await;
    let client = authority.client();
    let url = https(&server, "one.example.com");
    let error = client.post(&url).body("password").send().await.unwrap_err();
    assert_eq!(error.denial().unwrap().code(), "redirect-body");
    assert_eq!(plain.opened(), 0);

    client
        .get(&url)
        .header("authorization", "secret")
        .send()
        .await
        .unwrap();
    assert_eq!(plain.last().header("authorization"), None);
}

#[tokio::test]
async fn a_tls_stream_cut_short_is_not_the_end_of_a_body() {
    // The end of the connection ends the body, and whoever sits on the path can end a connection.
    let authority = Authority::new();
    let body = b"HTTP/1.1 200 OK\r\n\r\nhalf of it".to_vec();
    for cut in [false, true] {
        let body = body.clone();
        let acceptor = authority.acceptor("one.example.com");
        let server = Server::tls(PUBLIC, acceptor, move |_| {
            if cut {
                Reply::Cut(body.clone())
            } else {
                Reply::Last(body.clone())
            }
        })
        .await;
        let url = https(&server, "one.example.com");
        let response = authority.client().get(&url).send().await.unwrap();
        match response.text().await {
            Ok(text) => assert!(!cut && text == "half of it", "cut: {cut}"),
            Err(error) => assert!(cut && error.denial().unwrap().code() == "connection-lost"),
        }
    }
}

#[test]
fn pem_without_certificates_is_refused() {
    for bundle in [
        &b""[..],
        b"text",
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    ] {
        assert!(
            TlsRoots::pem(bundle).is_err(),
            "{}",
            String::from_utf8_lossy(bundle)
        );
    }
}
