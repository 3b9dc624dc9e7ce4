//! What is under way over HTTP when a swap refuses it: downloads, uploads, requests that wait for an answer.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use crate::support::{Client, Echo, PUBLIC, Proxy, field, file, status, within};

const KEPT: &str = "public.lab.example.com";
const DENIED: &str = "other.lab.example.com";

/// A server that answers what asks for `/half` with a half, and everything else with nothing.
async fn server() -> Echo {
    Echo::serve(PUBLIC, |stream| async move {
        let mut client = Client::over(stream);
        let head = client.head().await;
        if head.contains(" /half ") {
            client
                .send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
                .await;
        }
        // Until the gateway lets go.
        client.rest().await;
    })
    .await
}

#[tokio::test]
async fn exchanges_that_a_swap_refuses_are_cut() {
    let server = server().await;
    let folder = tempfile::tempdir().unwrap();
    let settings = file(folder.path(), "settings.toml", "# none yet");
    let over = format!("policy = {{settings = '{}'}}", settings.display());
    let proxy = Proxy::with(&over).await;
    let begin = async |method: &str, name: &str, path: &str, rest: &str| {
        let mut client = proxy.client().await;
        let line = format!("{method} http://{}{path} HTTP/1.1\r\n", server.at(name));
        client.send(format!("{line}{rest}").as_bytes()).await;
        client
    };
    let mut downloads = Vec::new();
    for name in [KEPT, DENIED] {
        let mut client = begin("GET", name, "/half", "\r\n").await;
        assert_eq!(status(&client.head().await), 200);
        assert_eq!(client.exactly(5).await, b"hello");
        downloads.push(client);
    }
    let mut upload = begin("POST", DENIED, "/", "Content-Length: 100\r\n\r\nsome").await;
    let mut waiting = begin("GET", DENIED, "/", "\r\n").await;
    crate::support::until("all are there", async || server.accepted() == 4).await;

    file(
        folder.path(),
        "settings.toml",
        format!("hosts = {{deny = ['{DENIED}']}}"),
    );
    proxy.gateway().reload(proxy.config(&over));
    for client in [&mut upload, &mut waiting] {
        let head = client.head().await;
        assert_eq!(status(&head), 403, "{head}");
        assert_eq!(field(&head, "pinfold-reason"), Some("revoked"));
    }
    downloads.pop().unwrap().ended().await;
    let mut kept = downloads.pop().unwrap();
    let more = tokio::time::timeout(Duration::from_millis(200), kept.rest()).await;
    assert!(more.is_err(), "the other download goes on");
    let ends = async || {
        let log = proxy.log();
        let ends = log.iter().filter(|line| line["event"] == "end");
        ends.map(|line| line["closing"].clone()).collect::<Vec<_>>()
    };
    within("three ends", async {
        while ends().await.len() < 3 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    assert_eq!(ends().await, ["revoked", "revoked", "revoked"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn swaps_fail_no_request() {
    let server = Echo::http(PUBLIC).await;
    let folder = tempfile::tempdir().unwrap();
    let settings = file(folder.path(), "settings.toml", "# none yet");
    let over = format!("policy = {{settings = '{}'}}", settings.display());
    let proxy = Proxy::with(&over).await;
    let request = format!("GET http://{}/ HTTP/1.1\r\n\r\n", server.at(KEPT));
    let enough = Arc::new(AtomicBool::new(false));
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let mut client = proxy.client().await;
        let (request, enough) = (request.clone(), Arc::clone(&enough));
        clients.spawn(async move {
            while !enough.load(Ordering::Relaxed) {
                client.send(request.as_bytes()).await;
                let (head, _) = client.answer().await;
                assert_eq!(status(&head), 200, "{head}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
    }
    let active = |line: &serde_json::Value| line["event"] == "policy" && line["change"] == "active";
    let mut taken = 0;
    // A busy machine skips most of them: what was read is old when it is ready.
    for swaps in 0..400 {
        // It denies another name each time, and never the one that is asked for.
        let denied = format!("hosts = {{deny = ['a{swaps}.example.com']}}");
        file(folder.path(), "settings.toml", denied);
        proxy.gateway().reload(proxy.config(&over));
        tokio::time::sleep(Duration::from_millis(150)).await;
        if let Some(done) = clients.try_join_next() {
            done.unwrap();
        }
        taken = proxy.log().iter().filter(|line| active(line)).count();
        if taken > 5 {
            break;
        }
    }
    enough.store(true, Ordering::Relaxed);
    while let Some(done) = clients.join_next().await {
        done.unwrap();
    }
    assert!(taken > 5, "{taken} swaps");
}
