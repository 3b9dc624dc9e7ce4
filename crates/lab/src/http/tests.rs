use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use rustls::{ClientConfig, RootCertStore};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::*;
use crate::tls::Authority;

const HERE: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 0);
const WAIT: Duration = Duration::from_secs(5);

/// Sends octets and reads up to `limit` octets of what comes back.
async fn exchange(server: &Server, request: &str, limit: u64) -> String {
    let mut stream = TcpStream::connect(server.addr()).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = Vec::new();
    // A server that closes with unread input resets the connection: what came before counts.
    let _ = timeout(WAIT, stream.take(limit).read_to_end(&mut response))
        .await
        .unwrap();
    String::from_utf8_lossy(&response).into_owned()
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: x.example.com\r\nConnection: close\r\n\r\n")
}

#[tokio::test]
async fn the_standard_site_has_these_pages() {
    let server = Server::start(HERE, Site::standard()).await.unwrap();
    server.route("/mine", Page::text("mine").header("x-a", "b"));
    let rows = [
        ("/", "HTTP/1.1 200 Lab", "a public page\n"),
        ("/other", "HTTP/1.1 200 Lab", "a public page\n"),
        ("/mine", "x-a: b\r\n", "mine"),
        (
            "/echo?a=b",
            "HTTP/1.1 200 Lab",
            "GET /echo?a=b HTTP/1.1\nhost: x.example.com\n",
        ),
        (
            "/redirect?to=http%3A%2F%2Fa%2F&status=307",
            "HTTP/1.1 307",
            "location: http://a/\r\n",
        ),
        (
            "/hops/2?to=/x",
            "HTTP/1.1 302",
            "location: /hops/1?to=/x\r\n",
        ),
        ("/hops/0?to=/x", "HTTP/1.1 302", "location: /x\r\n"),
        ("/hops/0", "HTTP/1.1 200", "a public page\n"),
        ("/loop", "HTTP/1.1 302", "location: /loop\r\n"),
        ("/status/404", "HTTP/1.1 404", "content-length: 0\r\n"),
        ("/bytes/5", "content-length: 5\r\n", "xxxxx"),
        (
            "/chunked",
            "transfer-encoding: chunked",
            "8\r\na public\r\n",
        ),
        ("/too-short", "content-length: 1000\r\n", "xxxxxxxxxx"),
        ("/early-close", "HTTP/1.1 200 Lab", "x-cut"),
        ("/alt-svc", "alt-svc: h2=", "a public page\n"),
    ];
    for (path, head, rest) in rows {
        let response = exchange(&server, &get(path), 1 << 20).await;
        assert!(
            response.contains(head) && response.contains(rest),
            "{path}: {response}"
        );
    }
}

#[tokio::test]
async fn hostile_pages_do_not_end() {
    let server = Server::start(HERE, Site::standard()).await.unwrap();
    for path in ["/endless", "/bomb", "/bomb-deflate", "/huge-headers"] {
        let response = exchange(&server, &get(path), 500_000).await;
        assert!(response.len() >= 500_000, "{path}: {}", response.len());
    }
    for path in ["/slow-headers", "/slow-body"] {
        let response = exchange(&server, &get(path), 30).await;
        assert!(response.len() >= 30, "{path}: {}", response.len());
    }
    let mut silent = TcpStream::connect(server.addr()).await.unwrap();
    silent.write_all(get("/silence").as_bytes()).await.unwrap();
    assert!(
        timeout(Duration::from_millis(100), silent.read_u8())
            .await
            .is_err()
    );
}

#[tokio::test]
async fn requests_are_logged_by_connection() {
    let server = Server::start(HERE, Site::standard()).await.unwrap();
    let two = "POST /a?b HTTP/1.1\r\nHost: h\r\nX-Key:  v \r\nContent-Length: 5\r\n\r\nhello\
               POST /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n\
               3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    exchange(&server, two, 1 << 20).await;
    exchange(&server, &get("/"), 1 << 20).await;
    let seen = server.requests();
    let connections: Vec<_> = seen.iter().map(|seen| seen.connection).collect();
    assert_eq!(connections, [1, 1, 2]);
    assert_eq!((seen[0].method.as_str(), seen[0].path()), ("POST", "/a"));
    assert_eq!(
        (seen[0].header("x-key"), seen[0].body.as_slice()),
        (Some("v"), &b"hello"[..])
    );
    assert_eq!(seen[1].body, b"abcde");
    server.clear();
    assert_eq!((server.connections(), server.request_count()), (0, 0));
}

#[tokio::test]
async fn a_connection_without_a_request_counts() {
    let server = Server::start(HERE, Site::only(Page::text("secret")))
        .await
        .unwrap();
    let streams = [
        TcpStream::connect(server.addr()).await,
        TcpStream::connect(server.addr()).await,
    ];
    server.settle().await.unwrap();
    assert_eq!((server.connections(), server.request_count()), (2, 0));
    drop(streams);
    server.settle().await.unwrap();
    assert_eq!(server.connections(), 2, "settling is not counted");
}

#[tokio::test]
async fn input_without_sense_closes_the_connection() {
    let server = Server::start(HERE, Site::standard()).await.unwrap();
    let rows = [
        "\r\n\r\n".to_owned(),
        "GET\r\n\r\n".to_owned(),
        format!("GET / HTTP/1.1\r\nx: {}\r\n", "y".repeat(1 << 20)),
        "POST / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n".to_owned(),
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n".to_owned(),
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n".to_owned(),
    ];
    for request in rows {
        let mut stream = TcpStream::connect(server.addr()).await.unwrap();
        let _ = stream.write_all(request.as_bytes()).await;
        let _ = stream.shutdown().await;
        let mut response = Vec::new();
        let _ = timeout(WAIT, stream.read_to_end(&mut response))
            .await
            .unwrap();
        assert!(response.is_empty(), "{}", request.escape_debug());
    }
    assert!(
        exchange(&server, &get("/"), 1 << 20)
            .await
            .contains("a public page")
    );
}

#[tokio::test]
async fn tls_shows_its_certificate_and_logs_the_name() {
    const NAME: &str = "shop.lab.example.com";
    let authority = Authority::new().unwrap();
    let rows = [
        ("good", authority.issue([NAME]).unwrap(), true),
        (
            "wildcard",
            authority.issue(["*.lab.example.com"]).unwrap(),
            true,
        ),
        (
            "wrong name",
            authority.issue(["other.example.com"]).unwrap(),
            false,
        ),
        ("expired", authority.expired([NAME]).unwrap(), false),
        (
            "self-signed",
            Authority::self_signed([NAME]).unwrap(),
            false,
        ),
    ];
    for (row, identity, expected) in rows {
        let server = Server::start_tls(HERE, Site::standard(), &identity)
            .await
            .unwrap();
        let outcome = handshake(&server, &authority, NAME).await;
        assert_eq!(outcome.is_ok(), expected, "{row}: {outcome:?}");
        let seen = server.handshakes();
        assert_eq!(seen.len(), 1, "{row}");
        assert_eq!(seen[0].sni.as_deref(), Some(NAME), "{row}");
        if expected {
            assert!(
                seen[0].finished && outcome.unwrap().contains("a public page"),
                "{row}"
            );
            assert_eq!(server.requests()[0].sni.as_deref(), Some(NAME), "{row}");
        }
    }
}

async fn handshake(server: &Server, authority: &Authority, name: &str) -> std::io::Result<String> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let stream = TcpStream::connect(server.addr()).await?;
    let name = name.to_owned().try_into().unwrap();
    let mut stream = connector.connect(name, stream).await?;
    stream.write_all(get("/").as_bytes()).await?;
    let mut response = String::new();
    stream.read_to_string(&mut response).await?;
    Ok(response)
}
