//! SOCKS5, byte by byte.

use std::time::Duration;

use pinfold_gateway::credential::basic_entry;
use tokio::{io::AsyncWriteExt, net::TcpStream, time::sleep};

use crate::support::{Client, Echo, INTERNAL, PUBLIC, Proxy, file, until};

const GREETING: &[u8] = &[5, 1, 0];
const SUCCEEDED: [u8; 10] = [5, 0, 0, 1, 0, 0, 0, 0, 0, 0];

/// A request for a name.
pub(crate) fn request(name: &str, port: u16) -> Vec<u8> {
    let length = u8::try_from(name.len()).unwrap();
    [
        &[5, 1, 0, 3, length][..],
        name.as_bytes(),
        &port.to_be_bytes(),
    ]
    .concat()
}

/// A tunnel to a name.
pub(crate) async fn tunnel(client: &mut Client<TcpStream>, name: &str, port: u16) {
    client.send(GREETING).await;
    assert_eq!(client.exactly(2).await, [5, 0]);
    client.send(&request(name, port)).await;
    assert_eq!(client.exactly(10).await, SUCCEEDED);
}

#[tokio::test]
async fn names_are_looked_up_by_the_proxy() {
    let echo = Echo::start(PUBLIC).await;
    let proxy = Proxy::start().await;
    let mut client = proxy.client().await;
    tunnel(&mut client, "public.lab.example.com", echo.port()).await;
    client.send(b"hello").await;
    assert_eq!(client.exactly(5).await, b"hello");
    drop(client);
    let line = proxy.logged(|line| line["event"] == "end").await;
    assert_eq!(
        (&line["kind"], &line["bytes_up"], &line["bytes_down"]),
        (&"socks".into(), &5.into(), &5.into())
    );
}

#[tokio::test]
async fn everything_may_come_at_once_or_byte_by_byte() {
    let echo = Echo::start(PUBLIC).await;
    let proxy = Proxy::start().await;
    let request = request("public.lab.example.com", echo.port());
    let all = [GREETING, &request, b"early"].concat();

    let mut client = proxy.client().await;
    client.send(&all).await;
    assert_eq!(client.exactly(2).await, [5, 0]);
    assert_eq!(client.exactly(10).await, SUCCEEDED);
    assert_eq!(client.exactly(5).await, b"early");

    let mut client = proxy.client().await;
    client.stream.set_nodelay(true).unwrap();
    for byte in all {
        client.send(&[byte]).await;
        sleep(Duration::from_millis(2)).await;
    }
    assert_eq!(client.exactly(12).await[2..], SUCCEEDED);
    assert_eq!(client.exactly(5).await, b"early");
}

#[tokio::test]
async fn who_ends_its_half_early_still_gets_its_answer() {
    let echo = Echo::start(PUBLIC).await;
    let proxy = Proxy::start().await;
    let request = request("public.lab.example.com", echo.port());
    // More than is read before there is a tunnel, too.
    for length in [5, 100_000] {
        let mut client = proxy.client().await;
        let early = vec![b'x'; length];
        client.send(&[GREETING, &request, &early].concat()).await;
        client.stream.shutdown().await.unwrap();
        assert_eq!(client.exactly(12).await[2..], SUCCEEDED);
        assert_eq!(client.rest().await, early);
    }
}

#[tokio::test]
async fn what_is_refused_has_its_reply_and_its_reason() {
    let inside = Echo::start(INTERNAL).await;
    let nobody = Echo::start(PUBLIC).await.port();
    let proxy = Proxy::start().await;
    let v4 = |ip: [u8; 4], port: u16| [&[5, 1, 0, 1][..], &ip, &port.to_be_bytes()].concat();
    let v6 = |tail: &[u8]| [&[5, 1, 0, 4][..], &[0; 15 - 1], tail].concat();
    let name = "public.lab.example.com";
    let command = |command| [&[5, command][..], &request(name, 443)[2..]].concat();
    let rows = [
        (
            "internal",
            v4([127, 0, 0, 3], inside.port()),
            2,
            "address-floor",
        ),
        (
            "internal name",
            request("internal.lab.example.com", 443),
            2,
            "address-not-public",
        ),
        ("IPv6 loopback", v6(&[0, 1, 1, 187]), 2, "address-floor"),
        (
            "no such name",
            request("nothing.lab.example.com", 443),
            4,
            "resolve-no-answer",
        ),
        ("nobody listens", request(name, nobody), 5, "connect-failed"),
        ("BIND", command(2), 7, "socks-command"),
        ("UDP ASSOCIATE", command(3), 7, "socks-command"),
        ("no kind of address", vec![5, 1, 0, 9], 8, "socks-malformed"),
        ("reserved", vec![5, 1, 7, 3], 1, "socks-malformed"),
        ("empty name", vec![5, 1, 0, 3, 0], 1, "socks-malformed"),
        ("port 0", request(name, 0), 1, "port-zero"),
        (
            "userinfo",
            request("a@public.lab.example.com", 443),
            1,
            "url-invalid",
        ),
    ];
    let mut wrong = Vec::new();
    for (row, request, reply, code) in rows {
        let told = proxy.log().len();
        let mut client = proxy.client().await;
        client.send(GREETING).await;
        assert_eq!(client.exactly(2).await, [5, 0]);
        client.send(&request).await;
        let rest = client.rest().await;
        if rest != [5, reply, 0, 1, 0, 0, 0, 0, 0, 0] {
            wrong.push(format!("{row}: {rest:?}"));
        }
        let code = format!("\"code\":\"{code}\"");
        until(row, async || {
            let log = proxy.log();
            log[told..]
                .iter()
                .any(|line| line.to_string().contains(&code))
        })
        .await;
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(inside.accepted(), 0);
}

#[tokio::test]
async fn greetings_that_are_none_are_refused() {
    let proxy = Proxy::start().await;
    let rows: [(&str, &[u8], &[u8]); 4] = [
        ("no method", &[5, 0], &[5, 0xff]),
        ("only GSSAPI", &[5, 1, 1], &[5, 0xff]),
        (
            "only a password, which nobody asks for",
            &[5, 1, 2],
            &[5, 0xff],
        ),
        (
            "another version afterwards",
            &[5, 1, 0, 4, 1, 0, 80],
            &[5, 0, 5, 1, 0, 1, 0, 0, 0, 0, 0, 0],
        ),
    ];
    for (row, sent, expected) in rows {
        let mut client = proxy.client().await;
        client.send(sent).await;
        assert_eq!(client.rest().await, expected, "{row}");
    }
    for sent in [
        &b"\x04\x01\x00\x50\x7f\x00\x00\x02\x00"[..],
        b"\x06\x01\x00",
    ] {
        let mut client = proxy.client().await;
        client.send(sent).await;
        let rest = client.rest().await;
        assert!(!rest.starts_with(&[5]), "{sent:?}: {rest:?}");
    }
}

#[tokio::test]
async fn a_client_that_does_not_go_on_is_let_go() {
    let proxy = Proxy::with("[limits]\nhead_time = \"300ms\"").await;
    for begun in [&[5][..], &[5, 1, 0], &[5, 1, 0, 5, 1, 0, 3, 9, b'a']] {
        let mut client = proxy.client().await;
        client.send(begun).await;
        let rest = client.rest().await;
        assert!(rest.is_empty() || rest == [5, 0], "{begun:?}: {rest:?}");
    }
    proxy.refused("socks-timeout").await;
}

#[tokio::test]
async fn passwords_say_who_asks() {
    let echo = Echo::start(PUBLIC).await;
    let folder = tempfile::tempdir().unwrap();
    let entry = basic_entry("payments".parse().unwrap(), "correct horse battery").unwrap();
    let credentials = file(folder.path(), "credentials.toml", entry.to_string());
    let proxy = Proxy::with(&format!(
        "[[listener]]\nbind = '127.0.0.1:0'\n[listener.identity]\nways = ['basic']\nrequired = true\ncredentials = '{}'",
        credentials.display()
    ))
    .await;
    let password = |password: &str| {
        let length = u8::try_from(password.len()).unwrap();
        [b"\x01\x08payments", &[length][..], password.as_bytes()].concat()
    };

    let mut client = proxy.client().await;
    client.send(&[5, 2, 0, 2]).await;
    assert_eq!(client.exactly(2).await, [5, 2]);
    client.send(&password("correct horse battery")).await;
    assert_eq!(client.exactly(2).await, [1, 0]);
    client
        .send(&request("public.lab.example.com", echo.port()))
        .await;
    assert_eq!(client.exactly(10).await, SUCCEEDED);
    let line = proxy.logged(|line| line["event"] == "decision").await;
    assert_eq!(
        (&line["subject"], &line["way"]),
        (&"payments".into(), &"basic".into())
    );

    for wrong in ["correct horse", ""] {
        let mut client = proxy.client().await;
        client.send(&[5, 1, 2]).await;
        assert_eq!(client.exactly(2).await, [5, 2]);
        client.send(&password(wrong)).await;
        assert_eq!(client.rest().await, [1, 1]);
        proxy.refused("credentials-wrong").await;
    }

    let mut client = proxy.client().await;
    client.send(GREETING).await;
    assert_eq!(client.rest().await, [5, 0xff]);
    proxy.refused("credentials-missing").await;
    assert_eq!(echo.accepted(), 1);
}

#[tokio::test]
async fn limits_are_told_of() {
    let echo = Echo::start(PUBLIC).await;
    let proxy = Proxy::with("[limits]\ntunnels = 1").await;
    let mut first = proxy.client().await;
    tunnel(&mut first, "public.lab.example.com", echo.port()).await;
    let mut second = proxy.client().await;
    second.send(GREETING).await;
    assert_eq!(second.exactly(2).await, [5, 0]);
    second
        .send(&request("public.lab.example.com", echo.port()))
        .await;
    assert_eq!(second.rest().await, [5, 1, 0, 1, 0, 0, 0, 0, 0, 0]);
    let line = proxy.logged(|line| line["event"] == "refused").await;
    assert_eq!(line["stage"], "limit", "{line}");
}
