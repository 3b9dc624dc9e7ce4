//! TLS on a listener: versions, certificates of clients, revocation lists, files that change.

use std::{path::Path, time::Duration};

use tokio::time::Instant;

use crate::{
    certificates::{Authority, shake},
    support::{Echo, PUBLIC, Proxy, config, file, status, until},
};
use pinfold_gateway::{Gateway, StartError};

/// A folder with the files of a listener, and the authority behind them.
struct Files {
    folder: tempfile::TempDir,
    authority: Authority,
}

impl Files {
    fn new() -> Self {
        let files = Self {
            folder: tempfile::tempdir().unwrap(),
            authority: Authority::new("lab"),
        };
        files.authority.server().write(files.path(), "server");
        file(files.path(), "ca.pem", files.authority.pem());
        files
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A listener with these files, and these further keys of `tls`.
    fn listener(&self, more: &str) -> String {
        let at = self.path().display();
        format!(
            "[[listener]]\nbind = '127.0.0.1:0'\n[listener.tls]\ncertificate = '{at}/server.pem'\nkey = '{at}/server.key'\n{more}"
        )
    }

    fn with_clients(&self, more: &str) -> String {
        let at = self.path().display();
        self.listener(&format!("client_ca = ['{at}/ca.pem']\n{more}"))
    }

    fn with_list(&self, text: &str) -> String {
        file(self.path(), "crl.pem", text);
        let at = self.path().display();
        self.with_clients(&format!("client_crl = ['{at}/crl.pem']"))
    }
}

/// Whether a client with this certificate gets a tunnel.
async fn is_served(files: &Files, proxy: &Proxy, own: Option<&str>, serial: u64) -> bool {
    let own = own.map(|name| files.authority.client(name, serial));
    let connector = files.authority.connector(own.as_ref(), &[]);
    let Ok(mut client) = shake(&connector, proxy.client().await).await else {
        return false;
    };
    // What the gateway thinks of a certificate shows in TLS 1.3 when something is read.
    let request = b"CONNECT internal.lab.example.com:443 HTTP/1.1\r\n\r\n";
    if client.try_send(request).await.is_err() {
        return false;
    }
    let answer = client.rest_or_head().await;
    answer.is_some_and(|head| status(&head) == 403)
}

#[tokio::test]
async fn a_tunnel_under_tls_and_http2_is_negotiated() {
    let (files, echo) = (Files::new(), Echo::start(PUBLIC).await);
    let proxy = Proxy::with(&files.listener("")).await;
    for (offered, chosen) in [
        (&["h2", "http/1.1"][..], Some("h2")),
        (&["http/1.1"], Some("http/1.1")),
        (&[], None),
    ] {
        let connector = files.authority.connector(None, offered);
        let client = shake(&connector, proxy.client().await).await.unwrap();
        let (_, session) = client.stream.get_ref();
        assert_eq!(
            session.alpn_protocol(),
            chosen.map(str::as_bytes),
            "{offered:?}"
        );
    }
    let connector = files.authority.connector(None, &[]);
    let mut client = shake(&connector, proxy.client().await).await.unwrap();
    let head = client.connect_to(&echo.at("public.lab.example.com")).await;
    assert_eq!(status(&head), 200, "{head}");
    client.send(b"under TLS").await;
    assert_eq!(client.exactly(9).await, b"under TLS");
}

#[tokio::test]
async fn who_may_shake_hands() {
    let files = Files::new();
    let other = Authority::new("other");
    let rows = [
        ("none asked for", files.listener(""), [true, true]),
        ("required", files.with_clients(""), [false, true]),
        (
            "optional",
            files.with_clients("client_auth = 'optional'"),
            [true, true],
        ),
        (
            "revoked",
            files.with_list(&files.authority.revokes(&[7], 4000)),
            [false, false],
        ),
        (
            "not revoked",
            files.with_list(&files.authority.revokes(&[8], 4000)),
            [false, true],
        ),
        (
            "an old list",
            files.with_list(&files.authority.revokes(&[8], 2021)),
            [false, false],
        ),
        (
            "a list of another issuer",
            files.with_list(&other.revokes(&[8], 4000)),
            [false, false],
        ),
    ];
    for (row, listener, expected) in rows {
        // The file of the list is that of the last row that was made: write it again.
        let listener = match row {
            "revoked" => files.with_list(&files.authority.revokes(&[7], 4000)),
            "not revoked" => files.with_list(&files.authority.revokes(&[8], 4000)),
            "an old list" => files.with_list(&files.authority.revokes(&[8], 2021)),
            _ => listener,
        };
        let proxy = Proxy::with(&listener).await;
        let without = is_served(&files, &proxy, None, 0).await;
        let with = is_served(&files, &proxy, Some("client"), 7).await;
        assert_eq!([without, with], expected, "{row}");
        if !with {
            proxy.refused("tls-handshake-failed").await;
        }
    }
}

#[tokio::test]
async fn a_certificate_of_a_stranger_is_refused_even_where_none_is_needed() {
    let files = Files::new();
    let proxy = Proxy::with(&files.with_clients("client_auth = 'optional'")).await;
    let stranger = Authority::new("stranger").client("client", 7);
    let connector = files.authority.connector(Some(&stranger), &[]);
    if let Ok(mut client) = shake(&connector, proxy.client().await).await {
        let _ = client
            .try_send(b"CONNECT internal.lab.example.com:443 HTTP/1.1\r\n\r\n")
            .await;
        assert_eq!(client.rest_or_head().await, None);
    }
    proxy.refused("tls-handshake-failed").await;
}

#[tokio::test]
async fn files_are_read_again_and_bad_ones_change_nothing() {
    let files = Files::new();
    let proxy = Proxy::with(&files.with_list(&files.authority.revokes(&[8], 4000))).await;
    assert!(is_served(&files, &proxy, Some("client"), 7).await);

    // Now it is revoked.
    let again = files.with_list(&files.authority.revokes(&[7], 4000));
    proxy.gateway().reload(proxy.config(&again));
    assert!(!is_served(&files, &proxy, Some("client"), 7).await);
    assert!(is_served(&files, &proxy, Some("client"), 8).await);

    // A list that is none: the last good one holds.
    let broken = files.with_list("no list");
    proxy.gateway().reload(proxy.config(&broken));
    assert!(!is_served(&files, &proxy, Some("client"), 7).await);
    assert!(is_served(&files, &proxy, Some("client"), 8).await);

    // A key of another certificate: the same.
    files.with_list(&files.authority.revokes(&[], 4000));
    files.authority.server().write(files.path(), "another");
    std::fs::copy(
        files.path().join("another.key"),
        files.path().join("server.key"),
    )
    .unwrap();
    proxy.gateway().reload(proxy.config(&broken));
    assert!(!is_served(&files, &proxy, Some("client"), 7).await);

    // And with its certificate all is well.
    std::fs::copy(
        files.path().join("another.pem"),
        files.path().join("server.pem"),
    )
    .unwrap();
    proxy.gateway().reload(proxy.config(&broken));
    assert!(is_served(&files, &proxy, Some("client"), 7).await);
}

#[tokio::test]
async fn a_gateway_with_bad_files_does_not_start() {
    let files = Files::new();
    file(files.path(), "empty.pem", "");
    file(
        files.path(),
        "noise.pem",
        "-----BEGIN CERTIFICATE-----\n????\n",
    );
    let at = files.path().display();
    let listener = |certificate: &str, key: &str| {
        format!(
            "[[listener]]\nbind = '127.0.0.1:0'\ntls = {{certificate = '{at}/{certificate}', key = '{at}/{key}'}}"
        )
    };
    let rows = [
        ("no file", listener("none.pem", "server.key")),
        ("no certificate", listener("empty.pem", "server.key")),
        ("a broken one", listener("noise.pem", "server.key")),
        ("no key", listener("server.pem", "ca.pem")),
        (
            "no authority",
            files.listener(&format!("client_ca = ['{at}/empty.pem']")),
        ),
        (
            "no list",
            files.with_clients(&format!("client_crl = ['{at}/empty.pem']")),
        ),
    ];
    for (row, over) in rows {
        let started = Gateway::start(config(files.path(), &over), None).await;
        let error = started.expect_err(row);
        let of_file = matches!(error, StartError::Config(_) | StartError::File(_));
        assert!(of_file, "{row}: {error}");
        assert!(error.to_string().contains(".pem"), "{row}: {error}");
    }
}

#[tokio::test]
async fn half_a_handshake_ends_at_its_deadline_and_gives_its_place_back() {
    let files = Files::new();
    let over = format!(
        "limits = {{head_time = '300ms', connections = 2}}\n{}",
        files.listener("")
    );
    let proxy = Proxy::with(&over).await;
    let began = Instant::now();
    let mut half = proxy.client().await;
    // A record that says it holds 512 bytes, and a few of them.
    half.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc").await;
    let mut silent = proxy.client().await;
    half.ended().await;
    silent.ended().await;
    assert!(began.elapsed() >= Duration::from_millis(300));
    proxy.refused("client-too-slow").await;
    until("a place is free", async || {
        is_served(&files, &proxy, None, 0).await
    })
    .await;
}

#[tokio::test]
async fn who_speaks_without_tls_is_told_to_speak_it() {
    let files = Files::new();
    let proxy = Proxy::with(&files.listener("")).await;
    let mut client = proxy.client().await;
    let head = client.connect_to("public.lab.example.com:443").await;
    assert_eq!(status(&head), 400);
    assert!(head.contains("Pinfold-Reason: tls-missing\r\n"), "{head}");
    let body = client.rest().await;
    assert!(String::from_utf8(body).unwrap().contains("https://"));
}
