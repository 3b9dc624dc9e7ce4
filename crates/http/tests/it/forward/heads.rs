//! Heads, and how messages are framed.

use super::*;

#[tokio::test]
async fn heads_go_through_as_they_are() {
    let answer = "HTTP/1.1 299 Odd Enough\r\nX-Odd-CASE: a\r\nset-cookie: 1\r\nSet-Cookie: 2\r\n\
                  Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\nraw";
    let server = Server::start(PUBLIC, move |_| Reply::Bytes(answer.into())).await;
    let bench = Bench::new();
    let request = Request::get("/other?x")
        .header("user-agent", "mine")
        .header("x-one", "1")
        .header("x-one", "2")
        .header("host", "elsewhere.example")
        .body(Body::empty())
        .unwrap();
    let url = server.named("one.example.com", "/a%20path?q=1");
    let sent = bench.send(&url, request).await.unwrap();
    let seen = server.last();
    let host = format!("one.example.com:{}", server.addr.port());
    let lines: Vec<_> = seen.head.trim_end().lines().collect();
    let expected = [
        "GET /a%20path?q=1 HTTP/1.1",
        "user-agent: mine",
        "x-one: 1",
        "x-one: 2",
        &format!("host: {host}"),
    ];
    assert_eq!(
        lines, expected,
        "nothing is added, and the host is the judged one"
    );

    let headers = sent.response.headers();
    assert_eq!(sent.response.status().as_u16(), 299);
    assert_eq!(headers["content-encoding"], "gzip");
    assert_eq!(headers.get_all("set-cookie").iter().count(), 2);
    assert_eq!(sent.response.version(), Version::HTTP_11);
    let reason = sent.response.extensions().get::<hyper::ext::ReasonPhrase>();
    assert_eq!(reason.unwrap().as_bytes(), b"Odd Enough");
    assert_eq!(text(sent).await, "raw", "nothing is decoded");
}

/// How names were spelled comes with a response, and is heeded in a request: hyper's parser leaves it among the
/// extensions on both sides.
#[tokio::test]
async fn the_case_of_headers_is_kept_both_ways() {
    let answer = "HTTP/1.1 200 OK\r\nX-Odd-CASE: a\r\nContent-Length: 0\r\n\r\n";
    let server = Server::start(PUBLIC, move |_| Reply::Bytes(answer.into())).await;
    let bench = Bench::new();
    let sent = bench.send(&server.url("/"), get()).await.unwrap();
    let (parsed, _) = sent.response.into_parts();
    let mut again = get();
    *again.headers_mut() = parsed.headers;
    *again.extensions_mut() = parsed.extensions;
    bench.text(&server.url("/"), again).await;
    let seen = server.last().head;
    assert!(seen.contains("X-Odd-CASE: a\r\n"), "{seen}");
}

#[tokio::test]
async fn requests_are_framed_as_their_bodies_are() {
    let server = Server::start(PUBLIC, |_| ok("")).await;
    let bench = Bench::new();
    let pieces = || Body::stream(stream::iter(["ab", "cd"].map(Ok::<_, std::io::Error>)));
    let request = |method: &str, header: &str, body| {
        let mut request = Request::builder().method(method).body(body).unwrap();
        if let Some((name, value)) = header.split_once(": ") {
            let name: http::HeaderName = name.parse().unwrap();
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        request
    };
    let (length, chunked) = (Some("4"), Some("chunked"));
    let rows = [
        (
            "a known length",
            request("POST", "", Body::from("abcd")),
            length,
            None,
        ),
        (
            "chunked",
            request("POST", "transfer-encoding: chunked", pieces()),
            None,
            chunked,
        ),
        (
            "a length that is not that of the body",
            request("PUT", "content-length: 9", Body::from("abcd")),
            length,
            None,
        ),
        (
            "GET with a body",
            request("GET", "", pieces()),
            None,
            chunked,
        ),
        ("GET without", request("GET", "", Body::empty()), None, None),
        (
            "POST without",
            request("POST", "transfer-encoding: chunked", Body::empty()),
            Some("0"),
            None,
        ),
    ];
    for (row, request, length, coding) in rows {
        let whole = if length == Some("4") || coding.is_some() {
            "abcd"
        } else {
            ""
        };
        bench.text(&server.url("/"), request).await;
        let seen = server.last();
        assert_eq!(seen.header("content-length"), length, "{row}");
        assert_eq!(seen.header("transfer-encoding"), coding, "{row}");
        assert_eq!(seen.body, whole.as_bytes(), "{row}");
    }
    assert_eq!(server.opened(), 1, "each was read to its end");
}

#[tokio::test]
async fn responses_without_a_body_keep_the_connection() {
    let server = Server::start(PUBLIC, |seen| {
        Reply::Bytes(match seen.path() {
            "/head" => b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n".to_vec(),
            "/204" => b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(),
            _ => {
                b"HTTP/1.1 304 Not Modified\r\nContent-Length: 999\r\nETag: \"a\"\r\n\r\n".to_vec()
            }
        })
    })
    .await;
    let bench = Bench::new();
    for (method, path, length) in [
        (Method::HEAD, "/head", Some("999")),
        (Method::GET, "/204", None),
        (Method::GET, "/304", Some("999")),
    ] {
        let request = Request::builder()
            .method(method)
            .body(Body::empty())
            .unwrap();
        let sent = bench.send(&server.url(path), request).await.unwrap();
        let written = sent.response.headers().get("content-length");
        assert_eq!(
            written.map(|value| value.to_str().unwrap()),
            length,
            "{path}"
        );
        assert!(sent.response.body().is_end_stream(), "{path}");
    }
    assert_eq!(server.opened(), 1);
}

#[tokio::test]
async fn what_frames_a_response_twice_or_oddly_is_not_handed_on() {
    let bench = Bench::new();
    let both = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    let server = Server::start(PUBLIC, move |_| Reply::Bytes(both.into())).await;
    for connection in 1..=2 {
        let sent = bench.send(&server.url("/"), get()).await.unwrap();
        assert!(!sent.response.headers().contains_key("content-length"));
        assert_eq!(text(sent).await, "abc");
        assert_eq!(server.opened(), connection, "it is not kept");
    }
    let odd = "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nabc";
    let server = Server::start(PUBLIC, move |_| Reply::Last(odd.into())).await;
    let error = bench.send(&server.url("/"), get()).await.unwrap_err();
    assert_eq!(code(&error), "response-invalid");
}
