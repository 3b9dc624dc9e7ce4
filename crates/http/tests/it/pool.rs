//! Kept connections: for whom, how long, and what when they went stale.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use pinfold::policy::Source;
use pinfold_http::{Body, Client, TlsRoots};
use serde_json::json;
use tokio::{sync::Barrier, time::sleep};

use crate::support::{Journal, PUBLIC, Reply, Server, client, guard, limited, ok, response};

async fn fetch(client: &Client, url: &str) -> String {
    client.get(url).send().await.unwrap().text().await.unwrap()
}

#[tokio::test]
async fn a_connection_serves_its_origin_alone() {
    let server = Server::start(PUBLIC, |seen| ok(&seen.connection.to_string())).await;
    let client = client();
    let rows = [
        ("one", "1"),
        ("one", "1"),
        ("two", "2"),
        ("one", "1"),
        ("two", "2"),
    ];
    for (name, connection) in rows {
        let url = server.named(&format!("{name}.example.com"), "/");
        assert_eq!(fetch(&client, &url).await, connection, "{name}");
    }
    assert_eq!(
        fetch(&client, &server.url("/")).await,
        "3",
        "the address itself is another host"
    );
}

#[tokio::test]
async fn clones_share_connections_and_others_do_not() {
    let server = Server::start(PUBLIC, |seen| ok(&seen.connection.to_string())).await;
    let first = client();
    assert_eq!(fetch(&first, &server.url("/")).await, "1");
    assert_eq!(fetch(&first.clone(), &server.url("/")).await, "1");
    assert_eq!(fetch(&client(), &server.url("/")).await, "2");
}

#[tokio::test]
async fn an_unread_body_is_not_kept_and_closes() {
    let server = Server::start(PUBLIC, |_| {
        Reply::Bytes(response("200 OK", "", &[b'x'; 300_000]))
    })
    .await;
    let client = client();
    let mut unread = client.get(&server.url("/")).send().await.unwrap();
    unread.chunk().await.unwrap().unwrap();
    drop(unread);
    server.wait_open(0).await;
    fetch(&client, &server.url("/")).await;
    assert_eq!(server.opened(), 2);
}

#[tokio::test]
async fn a_dropped_request_closes_its_socket() {
    let server = Server::start(PUBLIC, |_| Reply::Hang).await;
    let client = client();
    let url = server.url("/");
    tokio::select! {
        _ = client.get(&url).send() => unreachable!("the server never answers"),
        () = server.wait_open(1) => {}
    }
    server.wait_open(0).await;
}

#[tokio::test]
async fn idle_connections_are_closed_in_time() {
    let server = Server::start(PUBLIC, |_| ok("")).await;
    let client = limited(|limits| limits.idle = Duration::from_millis(50));
    fetch(&client, &server.url("/")).await;
    server.wait_open(1).await;
    server.wait_open(0).await;
    fetch(&client, &server.url("/")).await;
    assert_eq!(server.opened(), 2);
}

#[tokio::test]
async fn a_connection_that_is_too_old_is_not_used_before_it_is_closed() {
    let server = Server::start(PUBLIC, |_| ok("")).await;
    let client = limited(|limits| limits.idle = Duration::from_millis(20));
    fetch(&client, &server.url("/")).await;
    // Blocks this thread, so that nothing runs that could close it.
    std::thread::sleep(Duration::from_millis(30));
    fetch(&client, &server.url("/")).await;
    assert_eq!(server.opened(), 2);
}

#[tokio::test]
async fn what_the_server_closed_long_ago_is_not_tried() {
    for name in ["closed", "poisoned"] {
        let done = Arc::new(Barrier::new(2));
        let last = done.clone();
        let server = Server::start(PUBLIC, move |_| {
            let first = response("200 OK", "", b"");
            let then = match name {
                "poisoned" => Some(response("200 OK", "", b"poison")),
                _ => None,
            };
            Reply::After(first, then, last.clone())
        })
        .await;
        let journal = Journal::default();
        let guard = guard().observer(journal.clone()).build().unwrap();
        let client = Client::builder(guard)
            .tls_roots(TlsRoots::Only(Vec::new()))
            .build();
        for expected in [1, 2] {
            let response = client
                .post(&server.url("/"))
                .body("once")
                .send()
                .await
                .unwrap();
            assert_eq!(response.text().await.unwrap(), "", "{name}");
            assert_eq!(server.opened(), expected, "{name}");
            assert_eq!(journal.all().len(), expected, "{name}: judged once each");
            done.wait().await;
            done.wait().await;
            // What the server did is in our socket; a turn of the runtime sees it.
            sleep(Duration::from_millis(1)).await;
        }
    }
}

#[tokio::test]
async fn dropping_the_client_closes_what_it_kept() {
    let server = Server::start(PUBLIC, |_| ok("")).await;
    let client = client();
    fetch(&client, &server.url("/")).await;
    server.wait_open(1).await;
    drop(client);
    server.wait_open(0).await;
}

#[tokio::test]
async fn kept_connections_are_bounded() {
    let server = Server::start(PUBLIC, |_| ok("")).await;
    let client = limited(|limits| {
        limits.idle_per_origin = 2;
        limits.idle = Duration::MAX;
    });
    let all = (0..6).map(|_| async { fetch(&client, &server.url("/")).await });
    futures_util::future::join_all(all).await;
    assert_eq!(server.opened(), 6);
    server.wait_open(2).await;

    let client = limited(|limits| limits.idle_total = 2);
    for name in ["one", "two", "three"] {
        fetch(&client, &server.named(&format!("{name}.example.com"), "/")).await;
    }
    server.wait_open(4).await;
    assert_eq!(server.opened(), 9);
    fetch(&client, &server.named("three.example.com", "/")).await;
    assert_eq!(server.opened(), 9, "the newest is kept");
    fetch(&client, &server.named("one.example.com", "/")).await;
    assert_eq!(server.opened(), 10, "the oldest made room");
}

#[tokio::test]
async fn a_swap_closes_what_is_kept_at_once() {
    let server = Server::start(PUBLIC, |seen| ok(&seen.connection.to_string())).await;
    let journal = Journal::default();
    let guard = guard().observer(journal.clone()).build().unwrap();
    let client = Client::builder(guard.clone())
        .tls_roots(TlsRoots::Only(Vec::new()))
        .build();
    assert_eq!(fetch(&client, &server.url("/")).await, "1");
    assert_eq!(fetch(&client, &server.url("/")).await, "1");

    let generation = guard
        .swap(Source::Shipped, json!({"literals": "normalise"}))
        .unwrap();
    // Without a pause: the very next request must not ride on the old connection.
    let next = client.get(&server.url("/")).send().await.unwrap();
    assert_eq!(next.hops()[0].generation, generation);
    assert!(!next.hops()[0].reused);
    assert_eq!(next.text().await.unwrap(), "2");
    server.wait_open(1).await;
}

#[tokio::test]
async fn a_swap_closes_idle_connections_without_a_request() {
    let server = Server::start(PUBLIC, |_| ok("")).await;
    let guard = guard().build().unwrap();
    let client = Client::builder(guard.clone())
        .tls_roots(TlsRoots::Only(Vec::new()))
        .build();
    fetch(&client, &server.url("/")).await;
    server.wait_open(1).await;
    guard.swap(Source::Shipped, json!({})).unwrap();
    server.wait_open(0).await;
}

#[tokio::test]
async fn an_exchange_over_an_old_connection_ends_but_the_connection_is_not_kept() {
    let server = Server::start(PUBLIC, |_| {
        Reply::Bytes(response("200 OK", "", &[b'x'; 300_000]))
    })
    .await;
    let guard = guard().build().unwrap();
    let client = Client::builder(guard.clone())
        .tls_roots(TlsRoots::Only(Vec::new()))
        .build();
    let mut running = client.get(&server.url("/")).send().await.unwrap();
    running.chunk().await.unwrap().unwrap();
    guard.swap(Source::Shipped, json!({})).unwrap();
    assert!(
        running.bytes().await.is_ok(),
        "a swap does not cut what runs"
    );
    server.wait_open(0).await;
}

#[tokio::test]
async fn a_kept_connection_is_judged_anew_for_each_request() {
    let server = Server::start(PUBLIC, |_| ok("")).await;
    let journal = Journal::default();
    let settings =
        json!({"subjects": [{"match": ["mallory"], "hosts": {"deny": ["one.example.com"]}}]});
    let guard = guard()
        .settings(settings)
        .observer(journal.clone())
        .build()
        .unwrap();
    let client = Client::builder(guard)
        .tls_roots(TlsRoots::Only(Vec::new()))
        .build();
    let url = server.named("one.example.com", "/");
    client
        .get(&url)
        .subject("alice")
        .send()
        .await
        .unwrap()
        .bytes()
        .await
        .unwrap();
    let error = client
        .get(&url)
        .subject("mallory")
        .send()
        .await
        .unwrap_err();
    assert_eq!(error.denial().unwrap().code(), "host-denied");
    client.get(&url).subject("alice").send().await.unwrap();
    assert_eq!(server.opened(), 1);
    assert_eq!(journal.all().len(), 3);
}

/// Answers the first request of a connection and closes at the second, without a word.
async fn forgetful() -> Server {
    let answered = AtomicBool::new(false);
    Server::start(PUBLIC, move |seen| {
        if seen.connection == 1 && answered.swap(true, Ordering::SeqCst) {
            return Reply::Last(Vec::new());
        }
        ok(&seen.connection.to_string())
    })
    .await
}

#[tokio::test]
async fn a_stale_connection_is_replaced_for_idempotent_requests() {
    for method in ["GET", "PUT", "DELETE"] {
        let server = forgetful().await;
        let client = client();
        assert_eq!(fetch(&client, &server.url("/")).await, "1");
        let method = http::Method::from_bytes(method.as_bytes()).unwrap();
        let request = client
            .request(method.clone(), &server.url("/"))
            .body("again");
        assert_eq!(
            request.send().await.unwrap().text().await.unwrap(),
            "2",
            "{method}"
        );
        assert_eq!(server.seen().len(), 3, "{method}");
        assert_eq!(server.last().body, b"again", "{method}");
    }
}

#[tokio::test]
async fn a_post_is_not_sent_twice() {
    let server = forgetful().await;
    let client = client();
    assert_eq!(fetch(&client, &server.url("/")).await, "1");
    let error = client
        .post(&server.url("/"))
        .body("once")
        .send()
        .await
        .unwrap_err();
    assert_eq!(error.denial().unwrap().code(), "connection-lost");
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn a_partial_answer_is_not_asked_for_again() {
    let answered = AtomicBool::new(false);
    let server = Server::start(PUBLIC, move |_| {
        if answered.swap(true, Ordering::SeqCst) {
            Reply::Last(b"HTTP/1.1 20".to_vec())
        } else {
            ok("")
        }
    })
    .await;
    let client = client();
    fetch(&client, &server.url("/")).await;
    client.get(&server.url("/")).send().await.unwrap_err();
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn a_fresh_connection_is_not_retried() {
    let server = Server::start(PUBLIC, |_| Reply::Last(Vec::new())).await;
    client().get(&server.url("/")).send().await.unwrap_err();
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn bytes_that_nobody_asked_for_end_a_connection() {
    let server = Server::start(PUBLIC, |seen| {
        let mut bytes = response("200 OK", "", seen.connection.to_string().as_bytes());
        bytes.extend(response("200 OK", "", b"poison"));
        Reply::Bytes(bytes)
    })
    .await;
    let client = client();
    assert_eq!(fetch(&client, &server.url("/")).await, "1");
    assert_eq!(
        fetch(&client, &server.url("/")).await,
        "2",
        "never the poison"
    );
}

#[tokio::test]
async fn two_framings_end_a_connection() {
    let server = Server::start(PUBLIC, |seen| {
        let body = format!("1\r\n{}\r\n0\r\n\r\n", seen.connection);
        Reply::Bytes(
            format!(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n{body}"
            )
            .into(),
        )
    })
    .await;
    let client = client();
    assert_eq!(fetch(&client, &server.url("/")).await, "1");
    assert_eq!(fetch(&client, &server.url("/")).await, "2");
}

/// To a server that is known to speak HTTP/1.0, hyper sends a stream as no body at all.
#[tokio::test]
async fn a_stream_is_not_lost_over_a_connection_of_http_1_0() {
    let old = "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok";
    let server = Server::start(PUBLIC, move |_| Reply::Bytes(old.into())).await;
    let client = client();
    fetch(&client, &server.url("/")).await;
    let stream = futures_util::stream::iter([Ok::<_, std::io::Error>("abcd")]);
    let post = client.post(&server.url("/"));
    post.body(Body::stream(stream)).send().await.unwrap();
    assert_eq!(server.last().body, b"abcd");
}
