//! Bytes, time, and codings that lie.

use std::time::{Duration, Instant};

use async_compression::tokio::write::{BrotliEncoder, GzipEncoder, ZlibEncoder};
use pinfold_http::{Client, Error, Limits, TlsRoots};
use serde_json::json;
use tokio::io::AsyncWriteExt;

use crate::support::{PUBLIC, Reply, Server, client, guard, limited, redirect, response};

async fn whole(client: &Client, url: &str) -> Result<String, Error> {
    client.get(url).send().await?.text().await
}

fn code(error: &Error) -> String {
    error.denial().unwrap().code().to_owned()
}

#[tokio::test]
async fn a_body_has_at_most_its_budget() {
    let rows = [
        ("length", response("200 OK", "", b"12345678")),
        ("chunked", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n1234\r\n4\r\n5678\r\n0\r\n\r\n".to_vec()),
        ("to the end", b"HTTP/1.1 200 OK\r\n\r\n12345678".to_vec()),
    ];
    for (name, bytes) in rows {
        let server = Server::start(PUBLIC, move |_| Reply::Last(bytes.clone())).await;
        let fits = limited(|limits| limits.response_bytes = 8);
        assert_eq!(
            whole(&fits, &server.url("/")).await.unwrap(),
            "12345678",
            "{name}"
        );
        let tight = limited(|limits| limits.response_bytes = 7);
        assert_eq!(
            code(&whole(&tight, &server.url("/")).await.unwrap_err()),
            "response-too-large",
            "{name}"
        );
        let request = client().get(&server.url("/")).max_bytes(7);
        let result = match request.send().await {
            Ok(response) => response.bytes().await,
            Err(error) => Err(error),
        };
        assert_eq!(
            code(&result.unwrap_err()),
            "response-too-large",
            "{name}, of the request"
        );
    }
}

#[tokio::test]
async fn a_length_beyond_the_budget_is_refused_before_a_byte_is_read() {
    let server = Server::start(PUBLIC, |_| {
        Reply::Slow(
            b"HTTP/1.1 200 OK\r\nContent-Length: 999999999999\r\n\r\n".to_vec(),
            Duration::ZERO,
        )
    })
    .await;
    let error = client().get(&server.url("/")).send().await.unwrap_err();
    assert_eq!(code(&error), "response-too-large");
}

#[tokio::test]
async fn an_endless_body_is_cut() {
    let server = Server::start(PUBLIC, |_| {
        Reply::Endless(b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), vec![b'x'; 65536])
    })
    .await;
    let client = limited(|limits| limits.response_bytes = 1 << 20);
    assert_eq!(
        code(&whole(&client, &server.url("/")).await.unwrap_err()),
        "response-too-large"
    );
    server.wait_open(0).await;
}

#[tokio::test]
async fn the_policy_bounds_bytes_and_time_too() {
    let server = Server::start(PUBLIC, |seen| match seen.path() {
        "/large" => Reply::Bytes(response("200 OK", "", &[b'x'; 2048])),
        _ => Reply::Hang,
    })
    .await;
    let settings = json!({"limits": {"response_kib": 1, "total_timeout_ms": 200}});
    let guard = guard().settings(settings).build().unwrap();
    let client = Client::builder(guard)
        .tls_roots(TlsRoots::Only(Vec::new()))
        .build();
    assert_eq!(
        code(&whole(&client, &server.url("/large")).await.unwrap_err()),
        "response-too-large"
    );
    let error = whole(&client, &server.url("/hang")).await.unwrap_err();
    assert_eq!(code(&error), "deadline-exceeded");
}

#[tokio::test]
async fn a_head_has_bounds() {
    let many = "A: b\r\n".repeat(101);
    let long = format!("A: {}\r\n", "b".repeat(70_000));
    for (name, headers) in [("many", many), ("long", long)] {
        let server = Server::start(PUBLIC, move |_| {
            Reply::Bytes(response("200 OK", &headers, b""))
        })
        .await;
        let error = client().get(&server.url("/")).send().await.unwrap_err();
        assert_eq!(code(&error), "response-head-too-large", "{name}: {error:?}");
    }
    let server = Server::start(PUBLIC, |_| {
        Reply::Endless(b"HTTP/1.1 200 OK\r\n".to_vec(), b"A: b\r\n".repeat(1000))
    })
    .await;
    let error = client().get(&server.url("/")).send().await.unwrap_err();
    assert_eq!(code(&error), "response-head-too-large", "endless");
    assert!(error.hint().unwrap().contains("head"));

    let server = Server::start(PUBLIC, |_| {
        Reply::Bytes(response("200 OK", &"A: b\r\n".repeat(4), b""))
    })
    .await;
    let few = limited(|limits| limits.headers = 4);
    assert_eq!(
        code(&few.get(&server.url("/")).send().await.unwrap_err()),
        "response-head-too-large"
    );
}

#[tokio::test]
async fn interim_responses_have_a_bound() {
    let interim = |count| b"HTTP/1.1 103 Early Hints\r\nA: bbbbbbbbbbbb\r\n\r\n".repeat(count);
    let server = Server::start(PUBLIC, move |seen| match seen.path() {
        "/flood" => Reply::Endless(Vec::new(), interim(1000)),
        _ => Reply::Bytes([interim(20), response("200 OK", "", &[b'x'; 99_999])].concat()),
    })
    .await;
    let client = limited(|limits| limits.head_bytes = 1024);
    let error = client.get(&server.url("/flood")).send().await.unwrap_err();
    assert_eq!(code(&error), "response-head-too-large", "{error:?}");
    server.wait_open(0).await;

    // A head that fits, and a body that is larger than any number of heads.
    let body = whole(&client, &server.url("/some")).await.unwrap();
    assert_eq!(body.len(), 99_999);
    // What is left of one response is no debt of the next over the same connection.
    whole(&client, &server.url("/some")).await.unwrap();
    assert_eq!(server.opened(), 2);
}

#[tokio::test]
async fn every_step_obeys_the_deadline() {
    let slow = Duration::from_millis(20);
    type Case = (&'static str, fn(Duration) -> Reply);
    let rows: [Case; 5] = [
        ("no answer", |_| Reply::Hang),
        ("slow head", |slow| {
            Reply::Slow(
                b"HTTP/1.1 200 OK\r\nA: bbbbbbbbbbbbbbbbbbbbbbb".to_vec(),
                slow,
            )
        }),
        ("slow body", |slow| {
            Reply::Slow(
                [
                    b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n".to_vec(),
                    vec![b'x'; 99],
                ]
                .concat(),
                slow / 4,
            )
        }),
        ("slow interim responses", |slow| {
            Reply::Slow(b"HTTP/1.1 100 Continue\r\n\r\n".repeat(9), slow)
        }),
        ("redirect loop with slow bodies", |_| {
            Reply::Slow(
                b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 9\r\n\r\n".to_vec(),
                Duration::from_millis(1),
            )
        }),
    ];
    for (name, reply) in rows {
        let server = Server::start(PUBLIC, move |_| reply(slow)).await;
        let client = limited(|limits| limits.total = Duration::from_millis(300));
        let begun = Instant::now();
        let error = whole(&client, &server.url("/")).await.unwrap_err();
        assert_eq!(code(&error), "deadline-exceeded", "{name}");
        assert!(error.is_timeout(), "{name}");
        assert!(
            begun.elapsed() < Duration::from_secs(2),
            "{name}: {:?}",
            begun.elapsed()
        );
        server.wait_open(0).await;
    }
}

#[tokio::test]
async fn the_deadline_holds_while_a_body_always_has_more() {
    let server = Server::start(PUBLIC, |_| {
        Reply::Endless(b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), vec![b'x'; 16])
    })
    .await;
    let client = limited(|limits| {
        limits.total = Duration::from_millis(300);
        limits.response_bytes = u64::MAX;
    });
    let mut response = client.get(&server.url("/")).send().await.unwrap();
    let error = loop {
        match response.chunk().await {
            Ok(chunk) => assert!(chunk.is_some()),
            Err(error) => break error,
        }
    };
    assert_eq!(code(&error), "deadline-exceeded");
    assert_eq!(
        response.chunk().await.unwrap(),
        None,
        "nothing after an error"
    );
}

/// Such a body decodes to nothing, so no chunk is ever handed over at which time could be looked at; and
/// it is always ready, so the task is made to yield before its timer is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_deadline_holds_while_a_coded_body_never_yields_a_byte() {
    let empty = coded("gzip", b"").await;
    let server = Server::start(PUBLIC, move |_| {
        let head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n";
        Reply::Endless(head.to_vec(), empty.repeat(10_000))
    })
    .await;
    let client = limited(|limits| {
        limits.total = Duration::from_millis(300);
        limits.response_bytes = 1 << 30;
    });
    let begun = Instant::now();
    let error = tokio::spawn(async move { whole(&client, &server.url("/")).await })
        .await
        .unwrap()
        .unwrap_err();
    assert_eq!(code(&error), "deadline-exceeded");
    assert!(
        begun.elapsed() < Duration::from_secs(3),
        "{:?}",
        begun.elapsed()
    );
}

#[tokio::test]
async fn the_deadline_holds_for_what_was_received_in_time() {
    let server = coded_server("gzip", coded("gzip", &[0; 1 << 20]).await).await;
    let mut response = client().get(&server.url("/")).send().await.unwrap();
    response.chunk().await.unwrap().unwrap();
    // The rest is here and only waits to be decoded.
    tokio::time::pause();
    tokio::time::advance(Limits::default().total).await;
    assert_eq!(
        code(&response.chunk().await.unwrap_err()),
        "deadline-exceeded"
    );
}

#[tokio::test]
async fn the_deadline_covers_redirects() {
    let server = Server::start(PUBLIC, |_| redirect(302, "/")).await;
    let client = limited(|limits| {
        limits.redirects = 255;
        limits.total = Duration::from_millis(50);
    });
    let error = client
        .get(&server.url("/"))
        .timeout(Duration::from_millis(1))
        .send()
        .await
        .unwrap_err();
    assert!(
        ["deadline-exceeded", "redirect-too-many"].contains(&code(&error).as_str()),
        "{error}"
    );
}

async fn coded(coding: &str, data: &[u8]) -> Vec<u8> {
    async fn finish<W: tokio::io::AsyncWrite + Unpin>(mut encoder: W, data: &[u8]) -> W {
        encoder.write_all(data).await.unwrap();
        encoder.shutdown().await.unwrap();
        encoder
    }
    match coding {
        "gzip" | "x-gzip" => finish(GzipEncoder::new(Vec::new()), data)
            .await
            .into_inner(),
        "deflate" => finish(ZlibEncoder::new(Vec::new()), data)
            .await
            .into_inner(),
        "br" => finish(BrotliEncoder::new(Vec::new()), data)
            .await
            .into_inner(),
        _ => data.to_vec(),
    }
}

async fn coded_server(coding: &'static str, bytes: Vec<u8>) -> Server {
    Server::start(PUBLIC, move |_| {
        Reply::Bytes(response(
            "200 OK",
            &format!("Content-Encoding: {coding}\r\n"),
            &bytes,
        ))
    })
    .await
}

#[tokio::test]
async fn codings_are_decoded_and_the_connection_is_kept() {
    for coding in ["gzip", "x-gzip", "deflate", "br", "identity", ""] {
        let server = coded_server(coding, coded(coding, b"hello hello hello").await).await;
        let client = client();
        for _ in 0..2 {
            let response = client.get(&server.url("/")).send().await.unwrap();
            let decoded = !["identity", ""].contains(&coding);
            assert_eq!(
                response.headers().contains_key("content-encoding"),
                !decoded,
                "{coding}"
            );
            assert_eq!(
                response.headers().contains_key("content-length"),
                !decoded,
                "{coding}"
            );
            assert_eq!(
                response.text().await.unwrap(),
                "hello hello hello",
                "{coding}"
            );
        }
        assert_eq!(server.opened(), 1, "{coding}");
    }
}

#[tokio::test]
async fn a_bomb_is_stopped_by_the_decoded_budget() {
    let zeros = vec![0; 4 << 20];
    for coding in ["gzip", "deflate", "br"] {
        let bomb = coded(coding, &zeros).await;
        assert!(bomb.len() < 65_536, "{coding}: {}", bomb.len());
        let server = coded_server(coding, bomb).await;
        let client = limited(|limits| limits.response_bytes = 1 << 20);
        assert_eq!(
            code(&whole(&client, &server.url("/")).await.unwrap_err()),
            "response-inflated",
            "{coding}"
        );
    }
}

#[tokio::test]
async fn bodies_that_do_not_decode_are_refused() {
    let gzip = coded("gzip", b"hello hello hello").await;
    let rows = [
        ("not gzip", "gzip", b"hello".to_vec(), "response-invalid"),
        (
            "truncated",
            "gzip",
            gzip[..gzip.len() - 6].to_vec(),
            "response-invalid",
        ),
        (
            "trailing bytes",
            "gzip",
            [gzip.clone(), b"junk".to_vec()].concat(),
            "response-invalid",
        ),
        (
            "trailing bytes",
            "deflate",
            [coded("deflate", b"x").await, b"junk".to_vec()].concat(),
            "response-invalid",
        ),
        (
            "trailing bytes",
            "br",
            [coded("br", b"x").await, b"junk".to_vec()].concat(),
            "response-invalid",
        ),
        // Bits 0 to 6: a large window; then its size, 2^30; then an empty last block.
        (
            "a window larger than RFC 7932 knows",
            "br",
            vec![0x11, 0xde],
            "response-invalid",
        ),
        ("not asked for", "zstd", b"x".to_vec(), "response-invalid"),
        ("twice", "gzip, gzip", gzip.clone(), "response-invalid"),
    ];
    for (name, coding, bytes, expected) in rows {
        let server = coded_server(coding, bytes).await;
        assert_eq!(
            code(&whole(&client(), &server.url("/")).await.unwrap_err()),
            expected,
            "{coding}: {name}"
        );
    }
}

#[tokio::test]
async fn members_follow_one_another() {
    let two = [coded("gzip", b"one ").await, coded("gzip", b"two").await].concat();
    let server = coded_server("gzip", two).await;
    assert_eq!(whole(&client(), &server.url("/")).await.unwrap(), "one two");
}

#[tokio::test]
async fn an_empty_coded_body_is_empty() {
    for coding in ["gzip", "deflate", "br"] {
        let server = Server::start(PUBLIC, move |_| {
            Reply::Bytes(format!("HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n").into())
        })
        .await;
        assert_eq!(
            whole(&client(), &server.url("/")).await.unwrap(),
            "",
            "{coding}"
        );
    }
}

/// What breaks before the first byte must not look like an empty body.
#[tokio::test]
async fn a_coded_body_that_breaks_at_once_is_not_empty() {
    type Row = (&'static str, &'static str, Vec<u8>, &'static str);
    let rows: [Row; 5] = [
        (
            "lost",
            "Content-Length: 20\r\n",
            Vec::new(),
            "connection-lost",
        ),
        (
            "lost, chunked",
            "Transfer-Encoding: chunked\r\n",
            Vec::new(),
            "connection-lost",
        ),
        (
            "lost within the framing",
            "Transfer-Encoding: chunked\r\n",
            b"5\r\n".to_vec(),
            "connection-lost",
        ),
        (
            "bad framing",
            "Transfer-Encoding: chunked\r\n",
            b"zz\r\nhello".to_vec(),
            "response-invalid",
        ),
        (
            "first chunk over the budget",
            "Transfer-Encoding: chunked\r\n",
            [b"40\r\n".as_slice(), &[0; 64], b"\r\n0\r\n\r\n"].concat(),
            "response-too-large",
        ),
    ];
    for coding in ["gzip", "deflate", "br"] {
        for (name, framing, body, expected) in rows.clone() {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\n{framing}\r\n");
            let bytes = [head.into_bytes(), body].concat();
            let server = Server::start(PUBLIC, move |_| Reply::Last(bytes.clone())).await;
            let client = limited(|limits| limits.response_bytes = 32);
            let error = whole(&client, &server.url("/")).await.expect_err(name);
            assert_eq!(code(&error), expected, "{coding}: {name}: {error:?}");
        }
    }
}

#[tokio::test]
async fn a_caller_that_negotiates_codings_gets_them_raw() {
    let gzip = coded("gzip", b"hello").await;
    let server = coded_server("gzip", gzip.clone()).await;
    for (name, value) in [("accept-encoding", "gzip"), ("range", "bytes=0-99")] {
        let response = client()
            .get(&server.url("/"))
            .header(name, value)
            .send()
            .await
            .unwrap();
        assert_eq!(response.headers()["content-encoding"], "gzip");
        assert_eq!(response.bytes().await.unwrap(), gzip, "{name}");
    }
    let seen = server.seen();
    assert_eq!(seen[0].header("accept-encoding"), Some("gzip"));
    assert_eq!(seen[1].header("accept-encoding"), None);
}
