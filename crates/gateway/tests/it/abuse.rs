//! Those who mean harm, and those who break: clients that drip, vanish and flood, servers that break off, a DNS that is
//! down. After each of them nothing of it is left, and who behaves is served.
//!
//! Shapes of requests are in `http_heads.rs`, PROXY headers in `proxy_header.rs`, handshakes in `listener_tls.rs` and
//! `socks.rs`, rapid resets in `http_two.rs`.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use pinfold_lab::dns::{Code, DnsServer, Reply, Strategy, Tamper};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};

use crate::{
    certificates::Authority,
    support::{Client, Echo, PATIENCE, PUBLIC, Proxy, field, file, status, until, within},
};

mod crowds;
mod hellos;
mod vanishing;

const NAME: &str = "public.lab.example.com";

/// Waits until nothing is left of what clients did: no connection, no place that is taken, no entry among what is open.
async fn nothing_is_left(proxy: &Proxy, row: &str) {
    until(row, async || {
        let status = proxy.admin_json("/status").await;
        let open = |what: &str| status["usage"][what]["open"] == 0;
        open("connections") && open("tunnels") && status["usage"]["sources"] == 0
    })
    .await;
    let listed = proxy.admin_json("/connections").await;
    assert_eq!(
        listed["connections"].as_array().map(Vec::len),
        Some(0),
        "{row}: {listed}"
    );
    let (_, metrics) = proxy.admin("/metrics").await;
    let open = metrics
        .lines()
        .filter(|line| line.starts_with("pinfold_open{"));
    for line in open {
        assert!(line.ends_with(" 0"), "{row}: {line}");
    }
}

#[tokio::test]
async fn who_drips_is_cut_off_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new("lab");
    authority.server().write(folder.path(), "server");
    let at = folder.path().display();
    let listener = |more: &str| {
        format!("limits = {{head_time = '400ms'}}\n[[listener]]\nbind = '127.0.0.1:0'\n{more}")
    };
    let tls = listener(&format!(
        "tls = {{certificate = '{at}/server.pem', key = '{at}/server.key'}}"
    ));
    let hello = [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        &[7; 500],
    ]
    .concat();
    let rows: [(&str, String, Vec<u8>, &str); 6] = [
        (
            "head",
            listener(""),
            format!("GET http://{NAME}/ HTTP/1.1\r\nX: {}", "x".repeat(500)).into(),
            "head-timeout",
        ),
        (
            "SOCKS",
            listener(""),
            [&[5, 250][..], &[9; 250]].concat(),
            "socks-timeout",
        ),
        (
            "PROXY",
            listener("proxy_protocol = {from = ['127.0.0.1/32']}"),
            format!("PROXY UNKNOWN {}", "x".repeat(80)).into(),
            "client-too-slow",
        ),
        ("TLS", tls, hello, "client-too-slow"),
        (
            "line ends",
            listener(""),
            b"\r\n".repeat(100),
            "request-line-invalid",
        ),
        ("HTTP/2", listener(""), b"PRI * HTTP/2.0\r\n".to_vec(), ""),
    ];
    for (row, over, bytes, code) in rows {
        let proxy = Proxy::with(&over).await;
        let mut client = proxy.client().await;
        client.stream.set_nodelay(true).unwrap();
        let began = Instant::now();
        for byte in bytes.iter().cycle() {
            // A byte each 20 ms is progress, and must not count as such.
            let gone = client.stream.write_all(&[*byte]).await.is_err();
            let answer = timeout(Duration::from_millis(20), client.stream.read_u8()).await;
            if gone || answer.is_ok() {
                break;
            }
            assert!(began.elapsed() < PATIENCE, "{row}: it drips on");
        }
        drop(client);
        if !code.is_empty() {
            proxy.refused(code).await;
        }
        nothing_is_left(&proxy, row).await;
    }
}

/// Closes with a reset.
fn reset(stream: TcpStream) {
    stream.set_zero_linger().unwrap();
}

#[tokio::test]
async fn a_server_that_breaks_off_is_told_and_leaves_nothing() {
    let proxy = Proxy::start().await;
    let rows: [(&str, &[u8], Option<u16>); 4] = [
        ("before the head", b"", Some(502)),
        ("in the head", b"HTTP/1.1 200 OK\r\nX: ", Some(502)),
        (
            "in the body",
            b"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\nabc",
            Some(200),
        ),
        (
            "in a chunk",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n400\r\nabc",
            Some(200),
        ),
    ];
    for (row, answer, expected) in rows {
        let server = Echo::serve(PUBLIC, move |mut stream| async move {
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(answer).await;
            // What was written has to go out before the reset.
            sleep(Duration::from_millis(50)).await;
            reset(stream);
        })
        .await;
        let at = server.at(NAME);
        let mut client = proxy.client().await;
        client
            .send(format!("GET http://{at}/ HTTP/1.1\r\nHost: {at}\r\n\r\n").as_bytes())
            .await;
        let head = client.head().await;
        assert_eq!(Some(status(&head)), expected, "{row}: {head}");
        let rest = client.rest_within().await;
        if expected == Some(200) {
            // It breaks off here as well: nobody takes it for whole.
            assert!(
                rest.len() < 9000 && !rest.ends_with(b"0\r\n\r\n"),
                "{row}: {rest:?}"
            );
        } else {
            assert_eq!(
                field(&head, "pinfold-stage"),
                Some("exchange"),
                "{row}: {head}"
            );
        }
        drop(client);

        let mut tunnel = proxy.tunnel(&at).await;
        tunnel.send(b"x").await;
        assert_eq!(tunnel.rest().await, answer, "{row}, tunnel");
        drop(tunnel);
        nothing_is_left(&proxy, row).await;
    }
    for kind in ["connect", "forward"] {
        let such = |line: &serde_json::Value| line["closing"] == "server" && line["kind"] == kind;
        proxy.logged(such).await;
    }
}

impl Client<TcpStream> {
    /// What comes until the end, or until nothing more does.
    async fn rest_within(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let _ = timeout(Duration::from_secs(2), self.stream.read_to_end(&mut bytes)).await;
        bytes
    }
}

#[tokio::test]
async fn a_dns_that_is_down_fails_those_who_need_it_alone() {
    let dns = DnsServer::start().await.unwrap();
    let always = |name: &str, reply| {
        dns.name(name, Strategy::Always(reply));
    };
    let good = || Reply::address([127, 0, 0, 2]);
    always("silent.example.com", Reply::silence());
    always("failing.example.com", Reply::code(Code::ServFail));
    always("refusing.example.com", Reply::code(Code::Refused));
    always("garbage.example.com", good().tamper(Tamper::Garbage));
    always("loop.example.com", good().tamper(Tamper::PointerLoop));
    always("counts.example.com", good().tamper(Tamper::LyingCounts));
    always("short.example.com", good().tamper(Tamper::Short(13)));
    always("raw.example.com", Reply::raw([0xff; 3]));
    let echo = Echo::start(PUBLIC).await;
    let over = format!("[dns]\nservers = ['{}']\ntimeout = '400ms'", dns.addr());
    let proxy = Proxy::with(&over).await;
    for name in [
        "silent", "failing", "refusing", "garbage", "loop", "counts", "short", "raw",
    ] {
        let mut client = proxy.client().await;
        let head = client.connect_to(&format!("{name}.example.com:443")).await;
        assert!([502, 504].contains(&status(&head)), "{name}: {head}");
        assert_eq!(
            field(&head, "pinfold-stage"),
            Some("resolve"),
            "{name}: {head}"
        );
        if name == "silent" {
            assert_eq!(field(&head, "pinfold-reason"), Some("resolve-timeout"));
        }
        // Fixed answers are there all the same.
        let mut tunnel = proxy.tunnel(&echo.at(NAME)).await;
        tunnel.send(b"served").await;
        assert_eq!(tunnel.exactly(6).await, b"served", "{name}");
        drop((client, tunnel));
        nothing_is_left(&proxy, name).await;
    }
    assert_eq!(proxy.admin("/healthz").await.0, 200);
}
