//! `CONNECT` over HTTP/1.1.

use tokio::{io::AsyncWriteExt, net::UdpSocket};

use crate::support::{Echo, PUBLIC, Proxy, field, status, until};

const NAME: &str = "public.lab.example.com";

#[tokio::test]
async fn bytes_sent_early_reach_the_server() {
    let echo = Echo::start(PUBLIC).await;
    let proxy = Proxy::start().await;
    let authority = echo.at("public.lab.example.com");
    for version in ["1.1", "1.0"] {
        let mut client = proxy.client().await;
        let request = format!("CONNECT {authority} HTTP/{version}\r\n\r\nearly ");
        client.send(request.as_bytes()).await;
        let head = client.head().await;
        assert_eq!(status(&head), 200);
        assert!(field(&head, "pinfold-request-id").is_some(), "{head}");
        assert_eq!(field(&head, "content-length"), None);
        assert_eq!(field(&head, "transfer-encoding"), None);
        client.send(b"and late").await;
        assert_eq!(client.exactly(14).await, b"early and late");
    }
}

#[tokio::test]
async fn who_ends_its_half_early_still_gets_its_answer() {
    let echo = Echo::start(PUBLIC).await;
    let proxy = Proxy::start().await;
    let request = format!("CONNECT {} HTTP/1.1\r\n\r\n", echo.at(NAME));
    // More than is read before there is a tunnel, too.
    for length in [5, 100_000] {
        let mut client = proxy.client().await;
        let early = vec![b'x'; length];
        client.send(&[request.as_bytes(), &early].concat()).await;
        client.stream.shutdown().await.unwrap();
        assert_eq!(status(&client.head().await), 200);
        assert_eq!(client.rest().await, early);
    }
}

#[tokio::test]
async fn what_follows_a_refused_connect_is_nobodys_request() {
    let server = Echo::http(PUBLIC).await;
    let proxy = Proxy::start().await;
    let mut client = proxy.client().await;
    let inner = format!(
        "GET http://{}/ HTTP/1.1\r\n\r\n",
        server.at("public.lab.example.com")
    );
    let request = format!("CONNECT internal.lab.example.com:443 HTTP/1.1\r\n\r\n{inner}");
    client.send(request.as_bytes()).await;
    let (head, _) = client.answer().await;
    assert_eq!(status(&head), 403);
    assert_eq!(field(&head, "connection"), Some("close"));
    client.ended().await;
    assert_eq!(server.accepted(), 0);
}

#[tokio::test]
async fn bad_authorities_say_what_is_wrong() {
    let proxy = Proxy::start().await;
    let rows = [
        ("public.lab.example.com", "connect-authority"),
        ("public.lab.example.com:0", "port-zero"),
        ("public.lab.example.com:99999", "target-invalid"),
        ("public.lab.example.com:https", "target-invalid"),
        ("a@public.lab.example.com:443", "userinfo-in-target"),
        ("http://public.lab.example.com:443/", "connect-authority"),
        ("/", "connect-authority"),
        ("2001:db8::1:443", "target-invalid"),
        ("[::1", "target-invalid"),
    ];
    for (authority, code) in rows {
        let mut client = proxy.client().await;
        client
            .send(format!("CONNECT {authority} HTTP/1.1\r\n\r\n").as_bytes())
            .await;
        let (head, _) = client.answer().await;
        assert_eq!(status(&head), 400, "{authority}: {head}");
        let reason = field(&head, "pinfold-reason").unwrap();
        assert!(
            reason == code || reason == "connect-authority",
            "{authority}: {reason}"
        );
    }
}

#[tokio::test]
async fn a_client_that_vanishes_during_the_lookup_frees_its_place() {
    // A DNS server that never answers.
    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let dns = silent.local_addr().unwrap();
    let over = format!("[limits]\ntunnels = 1\n[dns]\nservers = [\"{dns}\"]\ntimeout = \"30s\"");
    let proxy = Proxy::with(&over).await;
    let connect = b"CONNECT slow.example.com:443 HTTP/1.1\r\n\r\n".as_slice();
    let greeting = [5, 1, 0].as_slice();
    let socks = [greeting, &crate::socks::request("slow.example.com", 443)].concat();
    let early = |bytes: &[u8]| [bytes, b"\x16\x03\x01"].concat();
    // After early bytes the end of the client's half is no sign that it has gone; a reset is.
    let rows = [
        ("CONNECT", connect.to_vec(), false),
        ("CONNECT, early bytes", early(connect), true),
        ("SOCKS", socks.clone(), false),
        ("SOCKS, early bytes", early(&socks), true),
    ];
    for (row, bytes, reset) in rows {
        let mut client = proxy.client().await;
        client.send(&bytes).await;
        let mut query = [0; 512];
        silent.recv(&mut query).await.unwrap();
        let mut second = proxy.client().await;
        let head = second.connect_to("internal.lab.example.com:443").await;
        assert_eq!(status(&head), 503, "{row}");
        if reset {
            client.stream.set_zero_linger().unwrap();
        }
        drop(client);
        until(&format!("{row}: the place is free"), async || {
            let mut client = proxy.client().await;
            status(&client.connect_to("internal.lab.example.com:443").await) == 403
        })
        .await;
    }
}
