//! The first bytes: held back until they are known, and passed on as they came.

use super::*;
use crate::tunnel::hello::testing::hello;

const ENFORCE: Rules = Rules {
    sni: Sni::Enforce,
    non_tls: NonTls::Allow,
};

const LOG: Rules = Rules {
    sni: Sni::Log,
    non_tls: NonTls::Allow,
};

fn connect(host: &str, port: u16) -> Asked {
    Asked {
        authority: format!("{host}:{port}"),
        ..asked(host, Exchange::Connect)
    }
}

fn mismatch(enforced: bool) -> [(&'static str, Option<String>, bool); 1] {
    [("sni-mismatch", Some("evil.example".into()), enforced)]
}

#[tokio::test]
async fn the_name_that_was_asked_for_passes_unchanged() {
    let scene = Scene::new().await;
    let early = vec![0x17, 3, 3, 0, 2, 7, 7];
    let sent = [hello("a.example.com"), early].concat();
    for size in [1, 3, 100, 10_000] {
        let mut ends = scene.open_as(connect("a.example.com", 443), ENFORCE, size);
        let (client, server) = (&mut ends.client, &mut ends.server);
        let (wrote, ()) = tokio::join!(client.write_all(&sent), hears(server, &sent));
        wrote.unwrap();
        let (client, server) = (&mut ends.client, &mut ends.server);
        let (wrote, ()) = tokio::join!(server.write_all(b"hello"), hears(client, b"hello"));
        wrote.unwrap();
    }
    assert_eq!(scene.notices(), []);
}

#[tokio::test]
async fn nothing_reaches_the_server_under_another_name() {
    let scene = Scene::new().await;
    let mut ends = scene.open(ENFORCE);
    ends.client.write_all(&hello("evil.example")).await.unwrap();
    ends.client.write_all(b"more").await.unwrap();
    assert_eq!(rest(&mut ends.server).await, b"");
    assert_eq!(rest(&mut ends.client).await, UNRECOGNIZED_NAME);
    assert_eq!(ends.closing().await, Closing::Mismatch);
    assert_eq!(scene.notices(), mismatch(true));
    assert_eq!(scene.bench.told.ended()[0].up, 0);
}

#[tokio::test]
async fn another_name_is_logged_and_passes_where_it_is_only_logged() {
    let scene = Scene::new().await;
    let mut ends = scene.open(LOG);
    ends.client.write_all(&hello("evil.example")).await.unwrap();
    hears(&mut ends.server, &hello("evil.example")[..5]).await;
    assert_eq!(scene.notices(), mismatch(false));
}

#[tokio::test]
async fn nothing_is_looked_at_where_it_is_off() {
    let scene = Scene::new().await;
    let mut ends = scene.open(OFF);
    ends.client.write_all(&[0x16]).await.unwrap();
    hears(&mut ends.server, &[0x16]).await;
    assert_eq!(scene.notices(), []);
}

#[tokio::test]
async fn other_protocols_pass_at_once() {
    let scene = Scene::new().await;
    for (port, first) in [
        (22, &b"S"[..]),
        (80, b"GET / HTTP/1.1"),
        (9418, b"0"),
        (443, b"x"),
    ] {
        let mut ends = scene.open_as(connect("a.example.com", port), ENFORCE, 64);
        ends.client.write_all(first).await.unwrap();
        hears(&mut ends.server, first).await;
        ends.client.write_all(b"more").await.unwrap();
        hears(&mut ends.server, b"more").await;
    }
    assert_eq!(scene.notices(), []);
}

#[tokio::test]
async fn a_server_may_speak_first() {
    let scene = Scene::new().await;
    let mut ends = scene.open_as(connect("a.example.com", 22), ENFORCE, 64);
    ends.server.write_all(b"SSH-2.0-server\r\n").await.unwrap();
    hears(&mut ends.client, b"SSH-2.0-server\r\n").await;
    ends.client.write_all(b"SSH-2.0-client\r\n").await.unwrap();
    hears(&mut ends.server, b"SSH-2.0-client\r\n").await;
    // A client that only listens is not hurried.
    let mut ends = scene.open_as(connect("a.example.com", 22), ENFORCE, 64);
    tokio::time::sleep(Duration::from_secs(200)).await;
    ends.server.write_all(b"news").await.unwrap();
    hears(&mut ends.client, b"news").await;
}

#[tokio::test]
async fn an_alert_is_not_mixed_into_what_the_server_said() {
    let scene = Scene::new().await;
    let mut ends = scene.open(ENFORCE);
    ends.server.write_all(b"banner").await.unwrap();
    hears(&mut ends.client, b"banner").await;
    ends.client.write_all(&hello("evil.example")).await.unwrap();
    assert_eq!(rest(&mut ends.client).await, b"");
    assert_eq!(ends.closing().await, Closing::Mismatch);
}

#[tokio::test]
async fn a_hello_that_does_not_end_is_refused() {
    let scene = Scene::new().await;
    let begun = &hello("a.example.com")[..50];
    // In pieces, so that the time is that of all of it.
    let mut ends = scene.open(ENFORCE);
    let began = Instant::now();
    for byte in begun {
        ends.client.write_all(&[*byte]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(rest(&mut ends.server).await, b"");
    assert_eq!(began.elapsed().as_secs(), 10);
    assert_eq!(ends.closing().await, Closing::Mismatch);

    let mut ends = scene.open(ENFORCE);
    ends.client.write_all(begun).await.unwrap();
    ends.client.shutdown().await.unwrap();
    assert_eq!(rest(&mut ends.server).await, b"", "it ended");
    assert_eq!(ends.closing().await, Closing::Mismatch);

    let mut ends = scene.open(ENFORCE);
    // A message of 16 MiB, in records as large as they can be.
    let record = [
        &[0x16, 3, 1, 0x40, 0, 1, 0xff, 0xff, 0xff][..],
        &[0; 0x4000 - 4],
    ]
    .concat();
    ends.client.write_all(&record).await.unwrap();
    assert_eq!(rest(&mut ends.server).await, b"", "too long");
    assert_eq!(ends.closing().await, Closing::Mismatch);

    let codes: Vec<_> = scene.notices().into_iter().map(|(code, ..)| code).collect();
    assert_eq!(codes, ["sni-unreadable"; 3]);
}

#[tokio::test]
async fn a_hello_that_does_not_end_passes_where_it_is_only_logged() {
    let scene = Scene::new().await;
    let begun = &hello("a.example.com")[..50];
    let mut ends = scene.open(LOG);
    ends.client.write_all(begun).await.unwrap();
    hears(&mut ends.server, begun).await;
    ends.client.write_all(b"rest").await.unwrap();
    hears(&mut ends.server, b"rest").await;
    assert_eq!(scene.notices().len(), 1);
}

#[tokio::test]
async fn a_client_that_says_nothing_ends_well() {
    let scene = Scene::new().await;
    let mut ends = scene.open(ENFORCE);
    ends.client.shutdown().await.unwrap();
    assert_eq!(rest(&mut ends.server).await, b"");
    ends.server.write_all(b"bye").await.unwrap();
    ends.server.shutdown().await.unwrap();
    assert_eq!(rest(&mut ends.client).await, b"bye");
    assert_eq!(ends.closing().await, Closing::Finished);
    assert_eq!(scene.notices(), []);
}

#[tokio::test]
async fn what_is_not_tls_is_refused_where_the_policy_demands_it() {
    let limits = serde_json::json!({"https_only": true});
    let mut scene = Scene::with_settings(serde_json::json!({"limits": limits})).await;
    let plain = b"GET / HTTP/1.1\r\n";
    for rules in [OFF, LOG, ENFORCE] {
        let mut ends = scene.open_as(connect("a.example.com", 8080), rules, 64);
        ends.client.write_all(plain).await.unwrap();
        assert_eq!(rest(&mut ends.server).await, b"");
        assert_eq!(
            rest(&mut ends.client).await,
            b"",
            "no alert for who speaks no TLS"
        );
        assert_eq!(ends.closing().await, Closing::Mismatch);
    }
    assert_eq!(scene.notices(), vec![("tunnel-not-tls", None, true); 3]);

    let mut ends = scene.open_as(connect("a.example.com", 8080), OFF, 4096);
    ends.client
        .write_all(&hello("a.example.com"))
        .await
        .unwrap();
    hears(&mut ends.server, &hello("a.example.com")[..5]).await;

    tokio::time::resume();
    scene.connection = scene.bench.reported("a.example.com").await;
    tokio::time::pause();
    let mut ends = scene.open_as(connect("a.example.com", 8080), OFF, 64);
    ends.client.write_all(plain).await.unwrap();
    hears(&mut ends.server, plain).await;
    assert_eq!(scene.notices()[3..], [("tunnel-not-tls", None, false)]);
}

#[tokio::test]
async fn what_is_not_tls_is_refused_on_its_port_where_operators_say_so() {
    let scene = Scene::new().await;
    for (port, non_tls, passes) in [
        (443, NonTls::Deny, false),
        (443, NonTls::Log, true),
        (22, NonTls::Deny, true),
    ] {
        let rules = Rules {
            sni: Sni::Off,
            non_tls,
        };
        let mut ends = scene.open_as(connect("a.example.com", port), rules, 64);
        ends.client.write_all(b"SSH-2.0").await.unwrap();
        ends.client.shutdown().await.unwrap();
        let expected = if passes { &b"SSH-2.0"[..] } else { b"" };
        assert_eq!(
            rest(&mut ends.server).await,
            expected,
            "{port}, {non_tls:?}"
        );
    }
    let told = [
        ("tunnel-not-tls", None, true),
        ("tunnel-not-tls", None, false),
    ];
    assert_eq!(scene.notices(), told);
}

#[tokio::test]
async fn what_was_upgraded_has_opened_before() {
    let scene = Scene::new().await;
    let upgraded = Asked {
        kind: Exchange::Upgrade,
        ..connect("a.example.com", 443)
    };
    let rules = Rules {
        sni: Sni::Enforce,
        non_tls: NonTls::Deny,
    };
    let mut ends = scene.open_as(upgraded, rules, 64);
    ends.client.write_all(&[0x16]).await.unwrap();
    hears(&mut ends.server, &[0x16]).await;
}
