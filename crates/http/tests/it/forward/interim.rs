//! What comes before an answer, or in its place: `100 Continue` and upgrades.

use super::*;

#[tokio::test]
async fn the_server_is_asked_before_the_body_is_sent() {
    let expecting = || {
        let (feed, body) = fed();
        let mut request = post(body);
        request
            .headers_mut()
            .insert("expect", "100-continue".parse().unwrap());
        (feed, request)
    };
    // It says yes: the body comes then, and not before.
    let address = scripted(|mut socket| async move {
        let head = head(&mut socket).await;
        assert!(head.contains("expect: 100-continue"), "{head}");
        let early = timeout(SHORT, socket.read_u8()).await;
        assert!(early.is_err(), "the body did not wait");
        socket
            .write_all(b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n")
            .await
            .unwrap();
        let mut body = [0; 15];
        socket.read_exact(&mut body).await.unwrap();
        assert_eq!(&body, b"5\r\nhello\r\n0\r\n\r\n");
        socket
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            .await
            .unwrap();
    })
    .await;
    let (feed, request) = expecting();
    feed.send("hello").await.unwrap();
    drop(feed);
    assert_eq!(Bench::new().text(&url(address), request).await, "ok");

    // It says no: the client is never asked for the body.
    let address = scripted(|mut socket| async move {
        head(&mut socket).await;
        socket
            .write_all(b"HTTP/1.1 417 No\r\nContent-Length: 2\r\n\r\nno")
            .await
            .unwrap();
        sleep(SOON).await;
    })
    .await;
    let (feed, request) = expecting();
    assert_eq!(Bench::new().text(&url(address), request).await, "no");
    timeout(SOON, feed.closed())
        .await
        .expect("the body is dropped unread");

    // It says nothing: after a second the body comes all the same.
    let server = Server::start(PUBLIC, |_| ok("late")).await;
    let (feed, request) = expecting();
    feed.send("hello").await.unwrap();
    drop(feed);
    let begun = Instant::now();
    assert_eq!(Bench::new().text(&server.url("/"), request).await, "late");
    assert!(begun.elapsed() >= Duration::from_secs(1));
    assert_eq!(server.last().body, b"hello");
}

#[tokio::test]
async fn an_upgrade_gives_the_bytes() {
    let address = scripted(|mut socket| async move {
        let head = head(&mut socket).await;
        assert!(head.contains("connection: upgrade\r\n"), "{head}");
        // The first bytes of the new protocol come with the answer.
        socket.write_all(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n\r\nearly").await.unwrap();
        let mut bytes = [0; 5];
        socket.read_exact(&mut bytes).await.unwrap();
        socket.write_all(&bytes).await.unwrap();
    })
    .await;
    let bench = Bench::new();
    let Upgrade::Switched(mut switched) = bench.upgrade(&url(address), websocket()).await.unwrap()
    else {
        panic!("declined");
    };
    assert_eq!(switched.response.headers()["upgrade"], "WebSocket");
    assert_eq!(switched.held.peer(), address);
    let mut bytes = [0; 5];
    switched.stream.read_exact(&mut bytes).await.unwrap();
    assert_eq!(&bytes, b"early");
    switched.stream.write_all(b"hello").await.unwrap();
    switched.stream.read_exact(&mut bytes).await.unwrap();
    assert_eq!(&bytes, b"hello");
    assert_eq!(switched.stream.read(&mut bytes).await.unwrap(), 0);
}

fn websocket() -> Request<Body> {
    Request::get("/")
        .header("upgrade", "websocket")
        .body(Body::empty())
        .unwrap()
}

#[tokio::test]
async fn what_is_not_an_upgrade_is_an_answer_or_refused() {
    let bench = Bench::new();
    let server = Server::start(PUBLIC, |seen| {
        let switch = |to: &str| {
            format!(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: {to}\r\nConnection: upgrade\r\n\r\n"
            )
        };
        match seen.path() {
            "/declined" => ok("no"),
            "/other" => Reply::Bytes(switch("h2c").into()),
            _ => Reply::Bytes(switch("websocket").into()),
        }
    })
    .await;
    for connection in 1..=2 {
        let declined = bench.upgrade(&server.url("/declined"), websocket()).await;
        let Ok(Upgrade::Declined(answer)) = declined else {
            panic!("{declined:?}");
        };
        assert_eq!(text(*answer).await, "no");
        assert_eq!(server.opened(), connection, "never a kept connection");
    }
    let other = bench.upgrade(&server.url("/other"), websocket()).await;
    assert_eq!(code(&other.unwrap_err()), "response-invalid");
    let unasked = bench.send(&server.url("/switch"), get()).await;
    assert_eq!(code(&unasked.unwrap_err()), "response-invalid");
    let without = bench.upgrade(&server.url("/switch"), get()).await;
    assert!(matches!(without, Err(Error::Caller(_))));
}
