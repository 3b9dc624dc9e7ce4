//! What a caller may not set, and what a URL may not smuggle in.

use http::{HeaderValue, Method};
use pinfold_http::Error;

use crate::support::{PUBLIC, Server, client, ok};

#[tokio::test]
async fn headers_that_steer_the_connection_are_refused() {
    let server = Server::start(PUBLIC, |_| ok("")).await;
    let client = client();
    let names = [
        "Host",
        "connection",
        "Content-Length",
        "transfer-encoding",
        "Upgrade",
        "TE",
        "Trailer",
        "Expect",
        "Keep-Alive",
        "Proxy-Connection",
        "Proxy-Authorization",
        "HTTP2-Settings",
    ];
    for name in names {
        let error = client
            .get(&server.url("/"))
            .header(name, "x")
            .send()
            .await
            .unwrap_err();
        assert!(matches!(error, Error::Caller(_)), "{name}: {error:?}");
        assert!(error.denial().is_none(), "{name}");
    }
    assert_eq!(server.opened(), 0);
}

#[tokio::test]
async fn headers_cannot_be_split() {
    let server = Server::start(PUBLIC, |_| ok("")).await;
    let rows = [
        ("x-a", "a\r\nHost: b"),
        ("x-a", "a\nb"),
        ("x-a", "a\0b"),
        ("x a", "b"),
        ("x\r\na", "b"),
        ("", "b"),
    ];
    for (name, value) in rows {
        let error = client()
            .get(&server.url("/"))
            .header(name, value)
            .send()
            .await
            .unwrap_err();
        assert!(
            matches!(error, Error::Caller(_)),
            "{name:?}: {value:?}: {error:?}"
        );
    }
    assert_eq!(server.opened(), 0);
}

#[tokio::test]
async fn headers_are_counted() {
    let server = Server::start(PUBLIC, |_| ok("")).await;
    let with = |count: usize| {
        let request = client().get(&server.url("/"));
        (0..count).fold(request, |request, number| {
            request.header(format!("x-{number}"), "v")
        })
    };
    with(128).send().await.unwrap();
    assert_eq!(server.last().header("x-127"), Some("v"));
    assert!(matches!(
        with(129).send().await.unwrap_err(),
        Error::Caller(_)
    ));
}

#[tokio::test]
async fn a_url_cannot_split_the_request() {
    let server = Server::start(PUBLIC, |_| ok("")).await;
    let raw = client()
        .get(&server.url("/a\r\nX: y"))
        .send()
        .await
        .unwrap_err();
    assert!(raw.is_denied());
    client()
        .get(&server.url("/a%0d%0aX:%20y"))
        .send()
        .await
        .unwrap();
    let seen = server.last();
    assert_eq!(seen.path(), "/a%0d%0aX:%20y");
    assert_eq!(seen.header("x"), None);
}

#[tokio::test]
async fn methods_that_open_tunnels_are_refused() {
    let server = Server::start(PUBLIC, |_| ok("")).await;
    for method in [Method::CONNECT, Method::TRACE] {
        let error = client()
            .request(method, &server.url("/"))
            .send()
            .await
            .unwrap_err();
        assert!(matches!(error, Error::Caller(_)), "{error:?}");
    }
    assert_eq!(server.opened(), 0);
}

#[tokio::test]
async fn the_host_is_that_of_the_url() {
    let server = Server::start(PUBLIC, |_| ok("")).await;
    client()
        .get(&server.named("ONE.example.com.", "/"))
        .send()
        .await
        .unwrap();
    let port = server.addr.port();
    assert_eq!(
        server.last().header("host"),
        Some(format!("one.example.com:{port}").as_str())
    );
}

#[tokio::test]
async fn schemes_that_are_not_http_are_refused() {
    for url in [
        "ws://one.example.com/",
        "ftp://one.example.com/",
        "gopher://one.example.com/",
        "file:///etc/passwd",
    ] {
        let error = client().get(url).send().await.unwrap_err();
        assert!(error.is_denied(), "{url}: {error:?}");
    }
}

#[tokio::test]
async fn what_a_client_sees_names_no_address() {
    let error = client()
        .get("http://internal.example.com/secret")
        .send()
        .await
        .unwrap_err();
    assert!(error.is_denied());
    assert!(
        error.denial().unwrap().detail().contains("127.0.0.3"),
        "the operator sees it"
    );
    assert!(!error.to_string().contains("127.0.0.3"), "{error}");
    let _ = HeaderValue::try_from(error.to_string()).expect("one line");
}
