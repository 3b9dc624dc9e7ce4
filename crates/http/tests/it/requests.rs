//! Methods, bodies, responses.

use std::{
    process::{Command, Stdio},
    time::Duration,
};

use bytes::Bytes;
use futures_util::stream;
use http::{Method, StatusCode};
use http_body_util::BodyExt;
use pinfold_http::{Body, Error};

use crate::support::{PUBLIC, Reply, Server, client, ok, response};

#[tokio::test]
async fn each_method_arrives_with_its_body() {
    let server = Server::start(PUBLIC, |seen| ok(seen.method())).await;
    let client = client();
    let rows = [
        (Method::GET, "", None),
        (Method::POST, "a=1", Some("3")),
        (Method::PUT, "text", Some("4")),
        (Method::DELETE, "", None),
        (Method::POST, "", Some("0")),
        (Method::PATCH, "x", Some("1")),
    ];
    for (method, body, length) in rows {
        let request = client
            .request(method.clone(), &server.url("/p?q=1"))
            .body(body.to_owned());
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{method}");
        assert_eq!(response.url().path(), "/p", "{method}");
        assert_eq!(response.text().await.unwrap(), method.as_str());
        let seen = server.last();
        assert_eq!(seen.body, body.as_bytes(), "{method}");
        assert_eq!(seen.header("content-length"), length, "{method}");
        assert_eq!(seen.path(), "/p?q=1", "{method}");
    }
    assert_eq!(server.opened(), 1, "all of them over one connection");
}

#[tokio::test]
async fn the_first_headers_are_the_clients_own() {
    let server = Server::start(PUBLIC, |_| ok("")).await;
    client()
        .get(&server.url("/"))
        .header("x-own", "1")
        .send()
        .await
        .unwrap();
    let head = server.last().head.to_ascii_lowercase();
    let expected = format!(
        "get / http/1.1\r\nhost: {}\r\nuser-agent: pinfold/{}\r\naccept: */*\r\n\
         accept-encoding: gzip, deflate, br\r\nx-own: 1\r\n\r\n",
        server.addr,
        env!("CARGO_PKG_VERSION"),
    );
    assert_eq!(head, expected);
}

#[tokio::test]
async fn a_head_response_has_no_body_whatever_it_says() {
    let server = Server::start(PUBLIC, |seen| {
        assert_eq!(seen.method(), "HEAD");
        Reply::Bytes(
            b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\nContent-Encoding: gzip\r\n\r\n"
                .to_vec(),
        )
    })
    .await;
    let client = client();
    for _ in 0..2 {
        let response = client.head(&server.url("/")).send().await.unwrap();
        assert_eq!(response.headers()["content-length"], "99999999999");
        assert_eq!(response.headers()["content-encoding"], "gzip");
        assert_eq!(response.bytes().await.unwrap(), "");
    }
    assert_eq!(server.opened(), 1);
}

#[tokio::test]
async fn responses_without_a_body_keep_the_connection() {
    for status in ["204 No Content", "304 Not Modified"] {
        let server = Server::start(PUBLIC, move |_| {
            Reply::Bytes(format!("HTTP/1.1 {status}\r\nContent-Encoding: gzip\r\n\r\n").into())
        })
        .await;
        let client = client();
        for _ in 0..2 {
            let response = client.get(&server.url("/")).send().await.unwrap();
            assert_eq!(response.bytes().await.unwrap(), "", "{status}");
        }
        assert_eq!(server.opened(), 1, "{status}");
    }
}

#[tokio::test]
async fn interim_responses_are_skipped() {
    let server = Server::start(PUBLIC, |_| {
        let mut bytes =
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n".to_vec();
        bytes.extend(response("200 OK", "", b"real"));
        Reply::Bytes(bytes)
    })
    .await;
    let response = client().get(&server.url("/")).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.text().await.unwrap(), "real");
}

#[tokio::test]
async fn a_switch_of_protocols_is_refused() {
    let server = Server::start(PUBLIC, |_| {
        Reply::Bytes(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nraw"
                .to_vec(),
        )
    })
    .await;
    let error = client().get(&server.url("/")).send().await.unwrap_err();
    assert_eq!(error.denial().unwrap().code(), "response-invalid");
}

#[tokio::test]
async fn a_stream_is_sent_chunk_by_chunk() {
    let server = Server::start(PUBLIC, |_| ok("got it")).await;
    let chunks = stream::iter(["one ", "two ", "three"].map(Ok::<_, std::io::Error>));
    let response = client()
        .post(&server.url("/"))
        .body(Body::stream(chunks))
        .send()
        .await
        .unwrap();
    assert_eq!(response.text().await.unwrap(), "got it");
    let seen = server.last();
    assert_eq!(seen.header("transfer-encoding"), Some("chunked"));
    assert_eq!(seen.body, b"one two three");
}

#[tokio::test]
async fn a_body_that_fails_is_the_callers_fault() {
    let server = Server::start(PUBLIC, |_| ok("")).await;
    let chunks = stream::iter([Ok("one"), Err(std::io::Error::other("disk"))]);
    let error = client()
        .post(&server.url("/"))
        .body(Body::stream(chunks))
        .send()
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Caller(_)), "{error:?}");
    assert!(error.to_string().contains("disk"), "{error}");
}

#[tokio::test]
async fn a_response_is_read_as_it_comes() {
    let server = Server::start(PUBLIC, |_| {
        Reply::Slow(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n1\r\nb\r\n0\r\nX: trailer\r\n\r\n".to_vec(),
            Duration::from_millis(1),
        )
    })
    .await;
    let client = client();
    for _ in 0..2 {
        let mut response = client.get(&server.url("/")).send().await.unwrap();
        assert_eq!(response.chunk().await.unwrap().unwrap(), "a");
        assert_eq!(response.chunk().await.unwrap().unwrap(), "b");
        assert_eq!(response.chunk().await.unwrap(), None);
        assert_eq!(response.chunk().await.unwrap(), None);
    }
    assert_eq!(server.opened(), 1);
}

#[tokio::test]
async fn a_body_without_a_length_ends_with_the_connection() {
    let server = Server::start(PUBLIC, |_| {
        Reply::Last(b"HTTP/1.1 200 OK\r\n\r\nto the end".to_vec())
    })
    .await;
    let client = client();
    for _ in 0..2 {
        let response = client.get(&server.url("/")).send().await.unwrap();
        assert_eq!(response.text().await.unwrap(), "to the end");
    }
    assert_eq!(server.opened(), 2);
}

#[tokio::test]
async fn a_truncated_body_is_an_error() {
    let rows: [(&str, &[u8]); 2] = [
        (
            "length",
            b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfour",
        ),
        (
            "chunked",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nfour\r\n",
        ),
    ];
    for (name, bytes) in rows {
        let server = Server::start(PUBLIC, |_| Reply::Last(bytes.to_vec())).await;
        let error = client()
            .get(&server.url("/"))
            .send()
            .await
            .unwrap()
            .bytes()
            .await
            .unwrap_err();
        assert_eq!(error.denial().unwrap().code(), "connection-lost", "{name}");
    }
}

#[tokio::test]
async fn broken_responses_are_refused() {
    let rows: [(&str, &[u8], &str); 6] = [
        (
            "no HTTP",
            b"220 mail.example.com ESMTP\r\n\r\n",
            "response-invalid",
        ),
        (
            "HTTP/0.9",
            b"<html>hello</html>\r\n\r\n",
            "response-invalid",
        ),
        (
            "bad header",
            b"HTTP/1.1 200 OK\r\nA b: c\r\n\r\n",
            "response-invalid",
        ),
        (
            "folded header",
            b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
            "response-invalid",
        ),
        (
            "two lengths",
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
            "response-invalid",
        ),
        ("nothing", b"", "connection-lost"),
    ];
    for (name, bytes, code) in rows {
        let server = Server::start(PUBLIC, |_| Reply::Last(bytes.to_vec())).await;
        let client = client();
        let result = match client.post(&server.url("/")).send().await {
            Ok(response) => response.bytes().await.map(|_| ()),
            Err(error) => Err(error),
        };
        let error = result.expect_err(name);
        assert_eq!(error.denial().unwrap().code(), code, "{name}: {error:?}");
        assert!(!error.is_denied(), "{name}");
    }
}

#[test]
fn the_environment_names_no_proxy() {
    // This test once more, in a process with proxies that nobody serves.
    let proxies = [
        "http_proxy",
        "HTTP_PROXY",
        "https_proxy",
        "HTTPS_PROXY",
        "all_proxy",
        "ALL_PROXY",
    ];
    let status = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "requests::with_proxies_in_the_environment",
            "--ignored",
        ])
        .envs(proxies.map(|name| (name, "http://127.0.0.9:1")))
        .env_remove("NO_PROXY")
        .env_remove("no_proxy")
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
}

#[tokio::test]
#[ignore = "run by `the_environment_names_no_proxy`"]
async fn with_proxies_in_the_environment() {
    let server = Server::start(PUBLIC, |_| ok("origin")).await;
    let response = client().get(&server.url("/")).send().await.unwrap();
    assert_eq!(response.text().await.unwrap(), "origin");
}

#[tokio::test]
async fn a_client_is_a_tower_service() {
    use tower_service::Service;

    let server = Server::start(PUBLIC, |_| ok("service")).await;
    let request = http::Request::post(server.url("/s"))
        .header("x-a", "1")
        .body(Body::from("b"))
        .unwrap();
    let response = client().call(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(
        response.into_body().collect().await.unwrap().to_bytes(),
        Bytes::from("service")
    );
    let seen = server.last();
    assert_eq!(
        (seen.header("x-a"), seen.body.as_slice()),
        (Some("1"), &b"b"[..])
    );
}
