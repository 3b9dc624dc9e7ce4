//! Bodies: streamed both ways, and what bounds them.

use super::*;

#[tokio::test]
async fn a_large_body_streams_both_ways() {
    const PIECES: usize = 512;
    const PIECE: usize = 64 << 10;
    let address = scripted(|mut socket| async move {
        head(&mut socket).await;
        let (mut from, mut to) = socket.split();
        to.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        // An echo: it answers before it has everything, so that both must move at once.
        let (mut buffer, mut tail) = (vec![0; PIECE], Vec::new());
        while !tail.ends_with(b"0\r\n\r\n") {
            let read = from.read(&mut buffer).await.unwrap();
            to.write_all(&buffer[..read]).await.unwrap();
            tail.extend_from_slice(&buffer[read.saturating_sub(8)..read]);
            tail.drain(..tail.len().saturating_sub(8));
        }
    })
    .await;
    let piece = Bytes::from(vec![b'x'; PIECE]);
    let pieces = (0..PIECES).map(move |_| Ok::<_, std::io::Error>(piece.clone()));
    let pieces = pieces.chain([Ok(Bytes::from_static(b"end"))]);
    let length = PIECES * PIECE + 3;
    let body = StreamBody::new(stream::iter(pieces).map(|piece| piece.map(Frame::data)));
    let sent = Bench::new()
        .send(&url(address), post(Body::wrap(body)))
        .await
        .unwrap();
    let mut body = sent.response.into_body();
    let mut received = 0;
    while let Some(frame) = body.frame().await {
        received += frame.unwrap().into_data().map_or(0, |data| data.len());
    }
    assert!(
        received >= length,
        "{received} of {length}, and the framing"
    );
}

#[tokio::test]
async fn trailers_come_through() {
    let answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n2\r\nab\r\n0\r\nx-sum: 7\r\n\r\n";
    let server = Server::start(PUBLIC, move |_| Reply::Bytes(answer.into())).await;
    let bench = Bench::new();
    for _ in 0..2 {
        let sent = bench.send(&server.url("/"), get()).await.unwrap();
        let body = sent.response.into_body().collect().await.unwrap();
        assert_eq!(body.trailers().unwrap()["x-sum"], "7");
    }
    assert_eq!(server.opened(), 1, "and the connection is kept");
}

#[tokio::test]
async fn an_early_refusal_stops_the_upload() {
    let address = scripted(|mut socket| async move {
        head(&mut socket).await;
        let refusal =
            "HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 3\r\n\r\nbig";
        socket.write_all(refusal.as_bytes()).await.unwrap();
        sleep(SOON).await;
    })
    .await;
    let (feed, body) = fed();
    feed.send("first").await.unwrap();
    let sent = Bench::new().send(&url(address), post(body)).await.unwrap();
    assert_eq!(sent.response.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(text(sent).await, "big");
    timeout(SOON, feed.closed())
        .await
        .expect("the client is no longer read");
}

#[tokio::test]
async fn who_says_nothing_is_not_waited_for() {
    let bench = Bench::new().patience(SHORT);
    let silent = Server::start(PUBLIC, |_| Reply::Hang).await;
    let error = bench.send(&silent.url("/"), get()).await.unwrap_err();
    assert!(error.is_timeout(), "no head: {error}");

    let stalled = scripted(|mut socket| async move {
        head(&mut socket).await;
        socket
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")
            .await
            .unwrap();
        sleep(SOON).await;
    })
    .await;
    let sent = bench.send(&url(stalled), get()).await.unwrap();
    let error = sent.response.into_body().collect().await.unwrap_err();
    assert!(error.is_timeout(), "no more of the body: {error}");

    let (feed, body) = fed();
    let error = bench.send(&silent.url("/"), post(body)).await.unwrap_err();
    assert!(
        matches!(error, Error::Stalled) && error.is_timeout(),
        "the client stalls: {error}"
    );
    drop(feed);
}

/// Patience is for silence: what moves, however slowly, goes on.
#[tokio::test]
async fn what_moves_is_waited_for() {
    let bench = Bench::new().patience(Duration::from_millis(400));
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n".to_vec();
    let slow = scripted(move |mut socket| async move {
        head(&mut socket).await;
        socket.write_all(&answer).await.unwrap();
        for _ in 0..12 {
            sleep(Duration::from_millis(100)).await;
            socket.write_all(b"x").await.unwrap();
        }
    })
    .await;
    // The client has more to say, and waits for the server.
    let (feed, body) = fed();
    feed.send("first").await.unwrap();
    assert_eq!(bench.text(&url(slow), post(body)).await.len(), 12);
    drop(feed);

    let server = Server::start(PUBLIC, |_| ok("all")).await;
    let (feed, body) = fed();
    tokio::spawn(async move {
        for _ in 0..12 {
            sleep(Duration::from_millis(100)).await;
            feed.send("x").await.unwrap();
        }
    });
    assert_eq!(bench.text(&server.url("/"), post(body)).await, "all");
    assert_eq!(server.last().body.len(), 12);
}

#[tokio::test]
async fn the_terms_of_the_policy_hold() {
    let terms = json!({"limits": {"response_kib": 1}});
    let bench = Bench::settings(terms);
    let server = Server::start(PUBLIC, |seen| match seen.path() {
        "/said" => ok(&"x".repeat(1025)),
        _ => Reply::Last(format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(1025)).into()),
    })
    .await;
    let error = bench.send(&server.url("/said"), get()).await.unwrap_err();
    assert_eq!(code(&error), "response-too-large");
    let sent = bench.send(&server.url("/unsaid"), get()).await.unwrap();
    let error = sent.response.into_body().collect().await.unwrap_err();
    assert_eq!(code(&error), "response-too-large");

    let bench = Bench::settings(json!({"limits": {"total_timeout_ms": 300}}));
    let endless = Server::start(PUBLIC, |_| {
        let first = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
        Reply::Endless(first, vec![b'x'; 1000])
    })
    .await;
    let sent = bench.send(&endless.url("/"), get()).await.unwrap();
    let error = sent.response.into_body().collect().await.unwrap_err();
    assert_eq!(code(&error), "deadline-exceeded");
}

#[tokio::test]
async fn a_peer_that_resets_is_told_apart() {
    let address = scripted(|mut socket| async move {
        head(&mut socket).await;
        socket.set_zero_linger().unwrap();
    })
    .await;
    let error = Bench::new().send(&url(address), get()).await.unwrap_err();
    assert_eq!(code(&error), "connection-lost");

    let address = scripted(|mut socket| async move {
        head(&mut socket).await;
        socket
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")
            .await
            .unwrap();
        sleep(Duration::from_millis(50)).await;
        socket.set_zero_linger().unwrap();
    })
    .await;
    let sent = Bench::new().send(&url(address), get()).await.unwrap();
    let error = sent.response.into_body().collect().await.unwrap_err();
    assert_eq!(code(&error), "connection-lost");
}
