//! Requests that two readers could take for two different ones, byte by byte; and heads that do not end.

use std::time::{Duration, Instant};

use crate::support::{Echo, PUBLIC, Proxy, field, status};

/// A POST in absolute form whose fields and body are the rows'.
fn post(port: u16, rest: &str) -> String {
    format!(
        "POST http://public.lab.example.com:{port}/ HTTP/1.1\r\nHost: public.lab.example.com:{port}\r\n{rest}"
    )
}

#[tokio::test]
async fn smuggling_shapes_are_refused_and_reach_nobody() {
    let server = Echo::http(PUBLIC).await;
    let proxy = Proxy::start().await;
    let port = server.port();
    let inner =
        format!("GET http://public.lab.example.com:{port}/smuggled HTTP/1.1\r\nHost: x\r\n\r\n");
    let zero = format!("0\r\n\r\n{inner}");
    let rows = [
        (
            "CL.TE",
            format!("Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n{zero}"),
            "framing-conflict",
        ),
        (
            "TE.CL",
            format!("Transfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n{zero}"),
            "framing-conflict",
        ),
        (
            "CL.CL",
            format!("Content-Length: 0\r\nContent-Length: 60\r\n\r\n{inner}"),
            "length-repeated",
        ),
        (
            "CL, CL",
            format!("Content-Length: 0, 60\r\n\r\n{inner}"),
            "length-invalid",
        ),
        (
            "+CL",
            format!("Content-Length: +60\r\n\r\n{inner}"),
            "length-invalid",
        ),
        (
            "TE: xchunked",
            format!("Transfer-Encoding: xchunked\r\n\r\n{zero}"),
            "transfer-coding-unsupported",
        ),
        (
            "TE: identity, chunked",
            format!("Transfer-Encoding: identity, chunked\r\n\r\n{zero}"),
            "transfer-coding-unsupported",
        ),
        (
            "TE twice",
            format!("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n{zero}"),
            "transfer-coding-unsupported",
        ),
        (
            "TE with a vertical tab",
            format!("Transfer-Encoding: \x0bchunked\r\n\r\n{zero}"),
            "header-value-invalid",
        ),
        (
            "TE before a space",
            format!("Transfer-Encoding : chunked\r\n\r\n{zero}"),
            "header-name-invalid",
        ),
        (
            "TE folded",
            format!("X: a\r\n Transfer-Encoding: chunked\r\n\r\n{zero}"),
            "header-folded",
        ),
        (
            "TE after a bare LF",
            format!("X: a\nTransfer-Encoding: chunked\r\n\r\n{zero}"),
            "line-ending",
        ),
        (
            "TE after a bare CR",
            format!("X: a\rTransfer-Encoding: chunked\r\n\r\n{zero}"),
            "header-value-invalid",
        ),
        (
            "NUL",
            format!("X: a\0b\r\n\r\n{inner}"),
            "header-value-invalid",
        ),
        (
            "Host twice",
            format!("Host: other.lab.example.com\r\n\r\n{inner}"),
            "host-repeated",
        ),
    ];
    for (name, rest, code) in rows {
        let mut client = proxy.client().await;
        client.send(post(port, &rest).as_bytes()).await;
        let (head, body) = client.answer().await;
        assert_eq!(status(&head), 400, "{name}: {head}");
        assert_eq!(field(&head, "pinfold-reason"), Some(code), "{name}");
        assert_eq!(field(&head, "connection"), Some("close"), "{name}");
        assert!(
            String::from_utf8(body).unwrap().contains("hint: "),
            "{name}"
        );
        // What was smuggled is answered by nobody.
        client.ended().await;
        let id = field(&head, "pinfold-request-id").unwrap().to_owned();
        let told = proxy.logged(|line| line["request_id"] == id.as_str()).await;
        assert_eq!(told["event"], "refused", "{name}");
    }
    assert_eq!(server.accepted(), 0);
}

#[tokio::test]
async fn a_request_before_a_malformed_one_is_answered() {
    let server = Echo::http(PUBLIC).await;
    let proxy = Proxy::start().await;
    let good = post(server.port(), "Content-Length: 0\r\n\r\n");
    let bad = post(server.port(), "Content-Length: x\r\n\r\n");
    let mut client = proxy.client().await;
    client.send(format!("{good}{bad}{good}").as_bytes()).await;
    let (head, _) = client.answer().await;
    assert_eq!(status(&head), 200);
    let (head, _) = client.answer().await;
    assert_eq!(field(&head, "pinfold-reason"), Some("length-invalid"));
    client.ended().await;
}

#[tokio::test]
async fn chunks_are_framed_anew() {
    let server = Echo::serve(PUBLIC, |stream| async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut stream = stream;
        let mut seen = Vec::new();
        while !seen.ends_with(b"0\r\n\r\n") {
            seen.push(stream.read_u8().await.unwrap());
        }
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", seen.len());
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&seen).await.unwrap();
    })
    .await;
    let proxy = Proxy::start().await;
    let body = "Transfer-Encoding: chunked\r\n\r\n5;note=x\r\nhello\r\n0\r\nX-Trailer: a\r\n\r\n";
    let mut client = proxy.client().await;
    client.send(post(server.port(), body).as_bytes()).await;
    let (head, seen) = client.answer().await;
    assert_eq!(status(&head), 200);
    let seen = String::from_utf8(seen).unwrap();
    assert!(seen.contains("5\r\nhello\r\n"), "{seen}");
    assert!(
        !seen.contains("note=x") && !seen.contains("X-Trailer"),
        "{seen}"
    );
}

#[tokio::test]
async fn malformed_chunks_end_the_request_at_both_sides() {
    let server = Echo::http(PUBLIC).await;
    let proxy = Proxy::start().await;
    let body = "Transfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n";
    let mut client = proxy.client().await;
    client.send(post(server.port(), body).as_bytes()).await;
    let answer = String::from_utf8(client.rest().await).unwrap();
    assert!(!answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn heads_that_do_not_end_are_cut_off() {
    let proxy = Proxy::with("[limits]\nhead_time = \"300ms\"\nhead = \"8KiB\"\nheaders = 20").await;
    let begun = "GET http://public.lab.example.com/ HTTP/1.1\r\nX: ";
    let many = format!("{begun}1\r\n{}\r\n", "Z: 1\r\n".repeat(30));
    let rows = [
        ("slow", begun.to_owned(), 408, "head-timeout"),
        (
            "endless",
            format!("{begun}{}", "x".repeat(20_000)),
            431,
            "head-too-large",
        ),
        ("many fields", many, 431, "headers-too-many"),
        (
            "a long target",
            format!("GET http://a/{} ", "x".repeat(20_000)),
            431,
            "head-too-large",
        ),
    ];
    for (name, bytes, expected, code) in rows {
        let mut client = proxy.client().await;
        client.send(bytes.as_bytes()).await;
        let head = client.head().await;
        assert_eq!(status(&head), expected, "{name}");
        assert_eq!(field(&head, "pinfold-reason"), Some(code), "{name}");
        client.rest().await;
    }
}

#[tokio::test]
async fn who_says_nothing_is_not_waited_for() {
    let server = Echo::http(PUBLIC).await;
    let proxy = Proxy::with("[limits]\nhead_time = \"200ms\"\nkeep_alive = \"600ms\"").await;
    let began = Instant::now();
    proxy.client().await.ended().await;
    assert!(began.elapsed() >= Duration::from_millis(200));

    let mut client = proxy.client().await;
    client
        .send(post(server.port(), "Content-Length: 0\r\n\r\n").as_bytes())
        .await;
    let (head, _) = client.answer().await;
    assert_eq!(status(&head), 200);
    let began = Instant::now();
    client.ended().await;
    assert!(
        began.elapsed() >= Duration::from_millis(500),
        "a kept connection has longer"
    );
}

#[tokio::test]
async fn an_empty_line_is_no_head_and_keeps_no_connection() {
    let server = Echo::http(PUBLIC).await;
    let proxy = Proxy::with("[limits]\nhead_time = \"200ms\"\nkeep_alive = \"600ms\"").await;
    let request = post(server.port(), "Content-Length: 0\r\n\r\n");
    for (row, used, pieces) in [
        ("first of a connection", false, ["\r\n", ""]),
        ("in two pieces", false, ["\r", "\n"]),
        ("after a request", true, ["\r\n", ""]),
        ("after a request, in two pieces", true, ["\r", "\n"]),
    ] {
        let mut client = proxy.client().await;
        if used {
            client.send(request.as_bytes()).await;
            assert_eq!(status(&client.answer().await.0), 200, "{row}");
        }
        for piece in pieces {
            client.send(piece.as_bytes()).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        client.ended().await;
    }
}
