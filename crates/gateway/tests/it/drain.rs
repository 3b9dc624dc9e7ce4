//! The end of a gateway: what is under way ends well, or is cut at the limit.

use std::time::Duration;

use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    time::{Instant, sleep},
};

use crate::support::{Client, Echo, PUBLIC, Proxy, read_log, status, until, within};

/// A listener at an address that no other test uses: nobody else gets its port when it is closed.
fn alone(last: u8) -> String {
    format!("[[listener]]\nbind = '127.0.0.{last}:0'")
}

#[tokio::test]
async fn an_idle_gateway_ends_at_once() {
    let proxy = Proxy::with(&alone(71)).await;
    let address = proxy.address();
    let (gateway, _folder) = proxy.into_gateway();
    let drained = within("a drain", gateway.drain()).await;
    assert_eq!(drained.cut, 0);
    assert!(drained.took < Duration::from_secs(2), "{drained:?}");
    TcpStream::connect(address)
        .await
        .expect_err("nobody listens");
}

#[tokio::test]
async fn a_kept_connection_is_closed_and_a_tunnel_may_end_by_itself() {
    let echo = Echo::start(PUBLIC).await;
    let proxy = Proxy::with(&alone(72)).await;
    let mut kept = proxy.client().await;
    assert_eq!(
        status(&kept.connect_to("internal.lab.example.com:443").await),
        403
    );
    let mut tunnel = proxy.tunnel(&echo.at("public.lab.example.com")).await;
    let address = proxy.address();
    let (gateway, _folder) = proxy.into_gateway();
    let draining = tokio::spawn(gateway.drain());
    kept.rest().await;
    until("nobody is accepted", async || {
        TcpStream::connect(address).await.is_err()
    })
    .await;
    tunnel.send(b"still here").await;
    assert_eq!(tunnel.exactly(10).await, b"still here");
    assert!(!draining.is_finished());
    drop(tunnel);
    let drained = within("a drain", draining).await.unwrap();
    assert_eq!(drained.cut, 0);
}

#[tokio::test]
async fn what_does_not_end_is_cut_at_the_limit() {
    let echo = Echo::start(PUBLIC).await;
    let proxy = Proxy::with("drain = '300ms'").await;
    let mut one = proxy.tunnel(&echo.at("public.lab.example.com")).await;
    let mut two = proxy.tunnel(&echo.at("public.lab.example.com")).await;
    let (gateway, _folder) = proxy.into_gateway();
    let began = Instant::now();
    let drained = within("a drain", gateway.drain()).await;
    assert_eq!(drained.cut, 2);
    assert!(began.elapsed() >= Duration::from_millis(300));
    assert!(began.elapsed() < Duration::from_secs(5), "{drained:?}");
    one.ended().await;
    two.ended().await;
}

/// Nobody but the gateway ends them, however it ends itself.
#[tokio::test]
async fn what_is_cut_says_that_the_gateway_ended() {
    let echo = Echo::start(PUBLIC).await;
    let silent = Echo::serve(PUBLIC, |stream| async move {
        sleep(Duration::from_secs(60)).await;
        drop(stream);
    })
    .await;
    for way in ["cut", "hurried", "dropped"] {
        let proxy = Proxy::with("drain = '300ms'").await;
        let _tunnel = proxy.tunnel(&echo.at("public.lab.example.com")).await;
        let mut waiting = proxy.client().await;
        let at = silent.at("public.lab.example.com");
        waiting
            .send(format!("GET http://{at}/ HTTP/1.1\r\n\r\n").as_bytes())
            .await;
        until("both are open", async || {
            let open = proxy.admin_json("/connections").await;
            open["connections"].as_array().unwrap().len() == 2
        })
        .await;
        let (gateway, folder) = proxy.into_gateway();
        match way {
            "cut" => assert!(!within(way, gateway.drain()).await.hurried),
            "hurried" => {
                let drained = within(way, gateway.drain_unless(async {})).await;
                assert!(drained.hurried && drained.cut >= 2, "{drained:?}");
            }
            _ => drop(gateway),
        }
        let closings = |line: &serde_json::Value| line["event"] == "end";
        let log = logs(folder.path(), 2, closings).await;
        assert!(
            log.iter().all(|line| line["closing"] == "drained"),
            "{way}: {log:#?}"
        );
        let stopped = |line: &serde_json::Value| line["phase"] == "stopped";
        assert_eq!(logs(folder.path(), 1, stopped).await.len(), 1, "{way}");
    }
}

/// All lines of the log that are such, once there are so many.
async fn logs(
    folder: &std::path::Path,
    count: usize,
    such: impl Fn(&serde_json::Value) -> bool,
) -> Vec<serde_json::Value> {
    let mut found = Vec::new();
    until("so many lines", async || {
        found = read_log(folder).into_iter().filter(&such).collect();
        found.len() >= count
    })
    .await;
    found
}

#[tokio::test]
async fn a_request_under_way_is_answered() {
    let slow = Echo::serve(PUBLIC, |mut stream| async move {
        sleep(Duration::from_millis(500)).await;
        let _ = stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate")
            .await;
        sleep(Duration::from_secs(5)).await;
    })
    .await;
    let proxy = Proxy::start().await;
    let mut client = proxy.client().await;
    let at = slow.at("public.lab.example.com");
    let request = format!("GET http://{at}/ HTTP/1.1\r\nHost: {at}\r\n\r\n");
    client.send(request.as_bytes()).await;
    until("it has arrived", async || slow.accepted() == 1).await;
    let (gateway, _folder) = proxy.into_gateway();
    let draining = tokio::spawn(gateway.drain());
    let (head, body) = client.answer().await;
    assert_eq!((status(&head), &body[..]), (200, &b"late"[..]), "{head}");
    let drained = within("a drain", draining).await.unwrap();
    assert_eq!(drained.cut, 0, "{drained:?}");
}

#[tokio::test]
async fn who_came_just_before_is_answered() {
    let proxy = Proxy::start().await;
    let mut early = Vec::new();
    for _ in 0..20 {
        let mut client: Client<TcpStream> = proxy.client().await;
        client
            .send(b"CONNECT internal.lab.example.com:443 HTTP/1.1\r\n\r\n")
            .await;
        early.push(client);
    }
    let (gateway, _folder) = proxy.into_gateway();
    let draining = tokio::spawn(gateway.drain());
    for mut client in early {
        assert_eq!(status(&client.head().await), 403);
    }
    within("a drain", draining).await.unwrap();
}

#[tokio::test]
async fn who_says_nothing_is_not_waited_for() {
    let proxy = Proxy::with("drain = '15s'").await;
    let mut silent = proxy.client().await;
    let (gateway, _folder) = proxy.into_gateway();
    let drained = within("a drain", gateway.drain()).await;
    assert_eq!(drained.cut, 0);
    assert!(drained.took < Duration::from_secs(5), "{drained:?}");
    silent.ended().await;
}

#[tokio::test]
async fn a_gateway_takes_over_from_another_without_a_gap() {
    let over = "[[listener]]\nbind = '127.0.0.1:0'\nreuse_port = true";
    let old = Proxy::with(over).await;
    let address = old.address();
    let over = format!("[[listener]]\nbind = '{address}'\nreuse_port = true");
    let _new = Proxy::with(&over).await;
    let (gateway, _folder) = old.into_gateway();
    let mut draining = None;
    let mut gateway = Some(gateway);
    for number in 0..100 {
        if number == 50 {
            draining = gateway.take().map(|gateway| tokio::spawn(gateway.drain()));
        }
        let mut client = Client::connect(address).await;
        let head = client.connect_to("internal.lab.example.com:443").await;
        assert_eq!(status(&head), 403, "request {number}");
    }
    let drained = within("a drain", draining.unwrap()).await.unwrap();
    assert_eq!(drained.cut, 0);
}

#[tokio::test]
async fn a_gateway_that_is_dropped_ends_at_once() {
    let echo = Echo::start(PUBLIC).await;
    let proxy = Proxy::with(&alone(73)).await;
    let mut tunnel = proxy.tunnel(&echo.at("public.lab.example.com")).await;
    let address = proxy.address();
    drop(proxy);
    tunnel.ended().await;
    until("nobody listens", async || {
        TcpStream::connect(address).await.is_err()
    })
    .await;
}
