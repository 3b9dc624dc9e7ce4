//! `GuardedConnector` under hyper-util's client.

use bytes::Bytes;
use http::Uri;
use http_body_util::{BodyExt, Empty};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use pinfold_http::{Error, GuardedConnector, Limits, TlsRoots};
use serde_json::json;

use crate::support::{Authority, INTERNAL, Journal, PUBLIC, Server, guard, ok, shared_guard};

fn cause<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a Error> {
    error.downcast_ref().or_else(|| cause(error.source()?))
}

#[tokio::test]
async fn every_request_is_judged_and_none_rides_on_another() {
    let server = Server::start(PUBLIC, |seen| ok(&seen.connection.to_string())).await;
    let journal = Journal::default();
    let guard = guard().observer(journal.clone()).build().unwrap();
    let connector = GuardedConnector::with(guard, &TlsRoots::Only(Vec::new()), Limits::default());
    let client = Client::builder(TokioExecutor::new()).build::<_, Empty<Bytes>>(connector);
    for expected in ["1", "2", "3"] {
        let uri: Uri = server.named("one.example.com", "/").parse().unwrap();
        let body = client
            .get(uri)
            .await
            .unwrap()
            .into_body()
            .collect()
            .await
            .unwrap();
        assert_eq!(body.to_bytes(), expected);
    }
    assert_eq!(journal.all().len(), 3);
    server.wait_open(0).await;
}

#[tokio::test]
async fn the_inside_is_denied() {
    let inside = Server::start(INTERNAL, |_| ok("canary")).await;
    let guard = shared_guard();
    let connector = GuardedConnector::with(guard, &TlsRoots::Only(Vec::new()), Limits::default());
    let client = Client::builder(TokioExecutor::new()).build::<_, Empty<Bytes>>(connector);
    for url in [inside.url("/"), inside.named("internal.example.com", "/")] {
        let error = client.get(url.parse().unwrap()).await.unwrap_err();
        assert!(cause(&error).expect("our error").is_denied(), "{url}");
    }
    assert_eq!(inside.opened(), 0);
}

#[tokio::test]
async fn the_time_of_the_policy_holds_for_the_handshake() {
    // A server that takes the connection and says nothing.
    let listener = tokio::net::TcpListener::bind((PUBLIC, 0)).await.unwrap();
    let settings = json!({"limits": {"total_timeout_ms": 100}});
    let guard = guard().settings(settings).build().unwrap();
    let connector = GuardedConnector::with(guard, &TlsRoots::Only(Vec::new()), Limits::default());
    let client = Client::builder(TokioExecutor::new()).build::<_, Empty<Bytes>>(connector);
    let url = format!("https://{}/", listener.local_addr().unwrap());
    let error = client.get(url.parse().unwrap()).await.unwrap_err();
    let error = cause(&error).unwrap();
    assert_eq!(error.denial().unwrap().code(), "deadline-exceeded");
    assert_eq!(error.denial().unwrap().detail(), "not done within 100ms");
}

#[tokio::test]
async fn https_is_verified_for_the_name() {
    let authority = Authority::new();
    let server = Server::tls(PUBLIC, authority.acceptor("one.example.com"), |_| {
        ok("secure")
    })
    .await;
    let connector = GuardedConnector::with(shared_guard(), &authority.roots(), Limits::default());
    let client = Client::builder(TokioExecutor::new()).build::<_, Empty<Bytes>>(connector);
    let port = server.addr.port();
    let response = client
        .get(format!("https://one.example.com:{port}/").parse().unwrap())
        .await
        .unwrap();
    assert_eq!(
        response.into_body().collect().await.unwrap().to_bytes(),
        "secure"
    );
    let error = client
        .get(format!("https://two.example.com:{port}/").parse().unwrap())
        .await
        .unwrap_err();
    assert_eq!(
        cause(&error).unwrap().denial().unwrap().code(),
        "tls-failed"
    );
}
