//! The connector against real sockets on loopback.

use pinfold_addr::Classifier;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::*;
use crate::{Outcome, event::testing::Seen, verdict::testing::pin_of};

fn connector(grants: &[&str]) -> Connector {
    let grants = grants.iter().map(|text| text.parse().unwrap()).collect();
    let floor = Floor::new(grants, Vec::new(), Classifier::default());
    Connector::new(Arc::new(floor), &Limits::default())
}

impl Connector {
    /// A pin that this connector dials.
    fn pin(&self, seen: &Seen, addresses: &[SocketAddr]) -> Pinned {
        pin_of(&self.floor, seen, addresses)
    }
}

async fn listen(address: &str) -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((address.parse::<std::net::IpAddr>().unwrap(), 0))
        .await
        .unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

fn code(seen: &Seen) -> String {
    seen.only()
        .outcome
        .denial()
        .map(|denial| denial.code().into())
        .unwrap_or_default()
}

#[tokio::test]
async fn connects_to_the_pin_and_carries_bytes() {
    let (listener, address) = listen("127.0.0.2").await;
    let seen = Seen::default();
    let connector = connector(&["127.0.0.2"]);
    let mut connection = connector
        .connect(connector.pin(&seen, &[address]))
        .await
        .unwrap();
    assert_eq!((connection.peer(), connection.generation()), (address, 1));

    let (mut server, _) = listener.accept().await.unwrap();
    connection.write_all(b"ping").await.unwrap();
    let mut got = [0; 4];
    server.read_exact(&mut got).await.unwrap();
    server.write_all(b"pong").await.unwrap();
    connection.read_exact(&mut got).await.unwrap();
    assert_eq!(&got, b"pong");
    assert!(connection.stream.nodelay().unwrap());
    assert_eq!(
        seen.only().outcome,
        Outcome::Allow {
            dialed: Some(address),
            reused: false
        }
    );
}

#[tokio::test]
async fn a_socket_to_an_unjudged_peer_is_refused() {
    let (_judged_listener, judged) = listen("127.0.0.2").await;
    let (_internal_listener, internal) = listen("127.0.0.3").await;
    let seen = Seen::default();
    let elsewhere = |_| socket::dial(internal);
    let connector = connector(&["127.0.0.0/8"]);
    let error = connector
        .connect_by(elsewhere, connector.pin(&seen, &[judged]))
        .await
        .unwrap_err();
    assert!(error.is_denied());
    assert_eq!(code(&seen), "peer-mismatch");
    assert!(!error.to_string().contains("127.0.0.3"), "{error}");
}

#[tokio::test]
async fn a_refused_connection_fails_and_names_addresses_to_the_operator_only() {
    let (listener, address) = listen("127.0.0.2").await;
    drop(listener);
    let seen = Seen::default();
    let connector = connector(&["127.0.0.2"]);
    let error = connector
        .connect(connector.pin(&seen, &[address]))
        .await
        .unwrap_err();
    assert!(!error.is_denied());
    assert_eq!(
        error.to_string(),
        "failed at stage `connect`: connect-failed"
    );
    assert!(
        error.denial().detail().contains("127.0.0.2"),
        "{}",
        error.denial().detail()
    );
}

#[tokio::test(start_paused = true)]
async fn a_silent_server_is_a_timeout_and_terms_shorten_it() {
    for (row, terms, expected) in [
        ("limit of an attempt", None, Duration::from_secs(5)),
        (
            "terms of the policy",
            Some(Duration::from_secs(1)),
            Duration::from_secs(1),
        ),
    ] {
        let seen = Seen::default();
        let connector = connector(&[]);
        let mut pinned = connector.pin(&seen, &["192.0.2.1:80".parse().unwrap()]);
        pinned.terms.connect_timeout = terms;
        let start = Instant::now();
        let error = connector
            .connect_by(|_| std::future::pending(), pinned)
            .await
            .unwrap_err();
        assert!(error.is_timeout(), "{row}");
        assert_eq!(start.elapsed(), expected, "{row}");
        assert_eq!(code(&seen), "connect-timeout", "{row}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_expired_pin_is_not_dialled() {
    let seen = Seen::default();
    let connector = connector(&[]);
    let pinned = connector.pin(&seen, &["192.0.2.1:80".parse().unwrap()]);
    tokio::time::advance(Duration::from_secs(31)).await;
    let never = |_| async { panic!("dialled") };
    assert!(
        connector
            .connect_by(never, pinned)
            .await
            .unwrap_err()
            .is_denied()
    );
    assert_eq!(code(&seen), "pin-expired");
}

#[tokio::test]
async fn a_socket_to_this_machine_is_refused_without_a_grant() {
    let (_listener, address) = listen("127.0.0.1").await;
    let seen = Seen::default();
    let connector = connector(&[]);
    let error = connector
        .connect(connector.pin(&seen, &[address]))
        .await
        .unwrap_err();
    assert!(error.is_denied());
    assert_eq!(code(&seen), "address-own");
}

#[tokio::test]
async fn giving_up_while_connecting_is_recorded() {
    let seen = Seen::default();
    let connector = connector(&[]);
    let pinned = connector.pin(&seen, &["192.0.2.1:80".parse().unwrap()]);
    let connecting = connector.connect_by(|_| std::future::pending(), pinned);
    let _ = tokio::time::timeout(Duration::from_millis(10), connecting).await;
    assert_eq!(code(&seen), "abandoned");
}

#[tokio::test]
async fn the_pin_of_another_guard_is_not_dialled() {
    let (_listener, address) = listen("127.0.0.2").await;
    let (seen, grants) = (Seen::default(), ["127.0.0.2"]);
    let never = |_| async { panic!("dialled") };
    let error = connector(&grants)
        .connect_by(never, connector(&grants).pin(&seen, &[address]))
        .await
        .unwrap_err();
    assert!(error.is_denied());
    assert_eq!(code(&seen), "proof-foreign");
}
