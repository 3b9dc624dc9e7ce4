//! PROXY headers: who may say who is behind them, and what is believed.

use serde_json::Value;

use crate::support::{Client, Proxy, status, until};

const LISTED: &str =
    "[[listener]]\nbind = '127.0.0.1:0'\nproxy_protocol = {from = ['127.0.0.1/32']}";
const ELSEWHERE: &str =
    "[[listener]]\nbind = '127.0.0.1:0'\nproxy_protocol = {from = ['192.0.2.0/24']}";

/// A request that is denied, so that the record says who asked.
const REQUEST: &[u8] = b"CONNECT internal.lab.example.com:443 HTTP/1.1\r\n\r\n";

const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).unwrap().to_be_bytes();
    [V2, &[command, family], &length, body].concat()
}

fn ipv4() -> Vec<u8> {
    let addresses = [198, 51, 100, 7, 127, 0, 0, 1, 0x12, 0x34, 0x10, 0x92];
    v2(0x21, 0x11, &addresses)
}

fn ipv6() -> Vec<u8> {
    let mut body = [0; 36];
    body[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
    body[15] = 7;
    body[31] = 1;
    body[32..].copy_from_slice(&[0x12, 0x34, 0x10, 0x92]);
    v2(0x21, 0x21, &body)
}

/// The client that the record of the request names.
async fn recorded(proxy: &Proxy, header: &[u8]) -> Value {
    let mut client = proxy.client().await;
    client.send(header).await;
    client.send(REQUEST).await;
    let head = client.head().await;
    assert_eq!(status(&head), 403, "{head}");
    proxy.admin_json("/denials").await["denials"][0]["client"].clone()
}

#[tokio::test]
async fn a_listed_source_says_who_is_behind_it() {
    let proxy = Proxy::with(LISTED).await;
    let with_extension = |mut header: Vec<u8>| {
        header[15] += 4;
        [header, vec![0x04, 0, 1, 0]].concat()
    };
    let rows: [(&str, Vec<u8>, &str); 6] = [
        (
            "v1",
            b"PROXY TCP4 198.51.100.7 127.0.0.1 4660 4242\r\n".to_vec(),
            "198.51.100.7:4660",
        ),
        (
            "v1, IPv6",
            b"PROXY TCP6 2001:db8::7 ::1 4660 4242\r\n".to_vec(),
            "[2001:db8::7]:4660",
        ),
        ("v2", ipv4(), "198.51.100.7:4660"),
        ("v2, IPv6", ipv6(), "[2001:db8::7]:4660"),
        (
            "v2 with an extension",
            with_extension(ipv4()),
            "198.51.100.7:4660",
        ),
        (
            "v1, IPv4 in IPv6",
            b"PROXY TCP6 ::ffff:198.51.100.7 ::1 4660 4242\r\n".to_vec(),
            "198.51.100.7:4660",
        ),
    ];
    for (row, header, expected) in rows {
        assert_eq!(recorded(&proxy, &header).await, expected, "{row}");
    }
}

#[tokio::test]
async fn who_speaks_for_nobody_speaks_for_itself() {
    let proxy = Proxy::with(LISTED).await;
    let unix = v2(0x21, 0x31, &[0; 216]);
    let rows: [(&str, Vec<u8>); 5] = [
        ("v1 unknown", b"PROXY UNKNOWN\r\n".to_vec()),
        (
            "v1 unknown with more",
            b"PROXY UNKNOWN ffff::1 ffff::1 1 2\r\n".to_vec(),
        ),
        ("v2 local", v2(0x20, 0x00, &[])),
        ("v2 of no family", v2(0x21, 0x00, &[])),
        ("v2 of a Unix socket", unix),
    ];
    for (row, header) in rows {
        let client = recorded(&proxy, &header).await;
        assert!(
            client.as_str().unwrap().starts_with("127.0.0.1:"),
            "{row}: {client}"
        );
    }
}

#[tokio::test]
async fn a_header_comes_in_pieces() {
    let proxy = Proxy::with(LISTED).await;
    for header in [
        b"PROXY TCP4 198.51.100.7 127.0.0.1 4660 4242\r\n".to_vec(),
        ipv4(),
    ] {
        let mut client = proxy.client().await;
        client.stream.set_nodelay(true).unwrap();
        for byte in header {
            client.send(&[byte]).await;
            tokio::task::yield_now().await;
        }
        client.send(REQUEST).await;
        assert_eq!(status(&client.head().await), 403);
        let denials = proxy.admin_json("/denials").await;
        assert_eq!(denials["denials"][0]["client"], "198.51.100.7:4660");
    }
}

#[tokio::test]
async fn bad_headers_are_refused() {
    let huge = [&v2(0x21, 0x11, &[0; 12])[..14], &[0xff, 0xff], &[0; 64]].concat();
    let rows: [(&str, &str, Vec<u8>, &str); 13] = [
        (
            "listed, none",
            LISTED,
            REQUEST.to_vec(),
            "proxy-header-missing",
        ),
        (
            "listed, SOCKS",
            LISTED,
            vec![5, 1, 0],
            "proxy-header-missing",
        ),
        (
            "not listed, v1",
            ELSEWHERE,
            b"PROXY UNKNOWN\r\n".to_vec(),
            "proxy-header-unexpected",
        ),
        (
            "not listed, v2",
            ELSEWHERE,
            ipv4(),
            "proxy-header-unexpected",
        ),
        ("never asked for", "", ipv4(), "proxy-header-unexpected"),
        (
            "twice",
            LISTED,
            [ipv4(), ipv4()].concat(),
            "proxy-header-unexpected",
        ),
        (
            "no address",
            LISTED,
            b"PROXY TCP4 198.51.100 127.0.0.1 1 2\r\n".to_vec(),
            "proxy-header-invalid",
        ),
        (
            "an address of the other family",
            LISTED,
            b"PROXY TCP4 2001:db8::7 ::1 1 2\r\n".to_vec(),
            "proxy-header-invalid",
        ),
        (
            "an endless line",
            LISTED,
            [b"PROXY ".to_vec(), vec![b'x'; 200]].concat(),
            "proxy-header-invalid",
        ),
        (
            "v2, version 3",
            LISTED,
            v2(0x31, 0x11, &[0; 12]),
            "proxy-header-invalid",
        ),
        (
            "v2, too short for its family",
            LISTED,
            v2(0x21, 0x11, &[0; 4]),
            "proxy-header-invalid",
        ),
        (
            "v2, about datagrams",
            LISTED,
            v2(0x21, 0x12, &[0; 12]),
            "proxy-header-invalid",
        ),
        ("v2, huge", LISTED, huge, "proxy-header-invalid"),
    ];
    for (row, over, bytes, code) in rows {
        let proxy = Proxy::with(over).await;
        let mut client = proxy.client().await;
        client.send(&bytes).await;
        client.ended().await;
        let refused = proxy.refused(code).await;
        assert_eq!(refused["stage"], "connection", "{row}");
        assert!(refused["hint"].is_string(), "{row}");
    }
}

#[tokio::test]
async fn a_header_that_does_not_come_ends_the_connection() {
    let proxy = Proxy::with(&format!("limits = {{head_time = '200ms'}}\n{LISTED}")).await;
    for begun in [&b""[..], b"PROXY TCP4 198.51.", V2] {
        let mut client: Client<_> = proxy.client().await;
        client.send(begun).await;
        client.ended().await;
    }
    proxy.refused("client-too-slow").await;
}

#[tokio::test]
async fn clients_behind_a_load_balancer_are_counted_each_by_itself() {
    let over = format!("limits = {{connections_per_source = 1}}\n{LISTED}");
    let proxy = Proxy::with(&over).await;
    let from = |last: u8| format!("PROXY TCP4 198.51.100.{last} 127.0.0.1 1 2\r\n");
    let mut open = Vec::new();
    for last in [1, 2] {
        let mut client = proxy.client().await;
        client.send(from(last).as_bytes()).await;
        open.push(client);
    }
    until("both are counted", async || {
        proxy.admin_json("/status").await["usage"]["sources"] == 2
    })
    .await;
    let mut second = proxy.client().await;
    second.send(from(1).as_bytes()).await;
    second.send(REQUEST).await;
    let head = second.head().await;
    assert!([429, 503].contains(&status(&head)), "{head}");
}

#[tokio::test]
async fn a_connection_behind_a_load_balancer_takes_one_place() {
    let proxy = Proxy::with(&format!("limits = {{connections = 3}}\n{LISTED}")).await;
    let mut held = Vec::new();
    for _ in 0..3 {
        let mut client = proxy.client().await;
        client.send(&ipv4()).await;
        client.send(REQUEST).await;
        let head = client.head().await;
        assert_eq!(status(&head), 403, "{head}");
        held.push(client);
    }
    let status = proxy.admin_json("/status").await;
    assert_eq!(status["usage"]["accepted"], 3, "{status:#}");
}
