//! Who asks is who has shown a certificate to Envoy, and never who a header says.
#![expect(
    clippy::disallowed_methods,
    reason = "the clients of an Envoy are not judged: they are in the tests"
)]

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore, crypto::ring};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use super::{PUBLIC, decisions};
use crate::envoy::{
    certificates::{Authority, Identity},
    client::within,
    plan::{Plan, chain},
    support::{Answer, Stage, ask},
};

/// What a client may say about itself, to whom believes it.
const CLAIMS: &str = "x-forwarded-client-cert: By=spiffe://x;URI=spiffe://example.com/claimed\r\n\
                      x-forwarded-for: 127.0.0.9\r\nx-envoy-external-address: 127.0.0.9\r\n\
                      x-real-ip: 127.0.0.9\r\nforwarded: for=127.0.0.9\r\n\
                      x-envoy-peer-metadata-id: claimed\r\nx-request-id: claimed\r\n\
                      proxy-authorization: Basic Y2xhaW1lZDpjbGFpbWVk\r\n\
                      authorization: Bearer claimed\r\n\
                      pinfold-subject: claimed\r\nx-pinfold-subject: claimed\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn the_certificate_that_envoy_saw_is_the_subject() {
    let authority = Authority::new();
    let stage = listening_with_tls(&authority, "identity = { ways = ['envoy'] }").await;
    let names = ["spiffe://example.com/shop", "shop.example.com"];
    for name in names {
        let answer = get(&stage, &authority, Some(&authority.client(name))).await;
        assert_eq!(answer.status, 200, "{name}: {answer:?}");
    }
    let records = decisions(&stage, 2).await;
    for (record, name) in records.iter().zip(names) {
        assert_eq!(record["subject"], name, "{record:#}");
        assert_eq!(record["way"], "envoy", "{record:#}");
        assert_unclaimed(record);
    }
    let stranger = Authority::new().client(names[0]);
    for (identity, what) in [(None, "none"), (Some(&stranger), "of somebody else")] {
        let answer = get(&stage, &authority, identity).await;
        assert_eq!(answer.status, 0, "{what}: {answer:?}");
    }
    // The next decision is of the next client: about strangers nothing was asked.
    let last = "spiffe://example.com/last";
    let answer = get(&stage, &authority, Some(&authority.client(last))).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let records = decisions(&stage, 3).await;
    assert_eq!(records.len(), 3, "{records:#?}");
    assert_eq!(records[2]["subject"], last, "{:#}", records[2]);
}

/// Off by default: Envoy fills the principal from whatever certificate it took.
#[tokio::test(flavor = "multi_thread")]
async fn without_the_way_nobody_is_a_subject() {
    let authority = Authority::new();
    let stage = listening_with_tls(&authority, "").await;
    let identity = authority.client("spiffe://example.com/shop");
    assert_eq!(get(&stage, &authority, Some(&identity)).await.status, 200);
    let record = decisions(&stage, 1).await.remove(0);
    assert_eq!(record["subject"], Value::Null, "{record:#}");
    assert_unclaimed(&record);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_says_about_itself_is_no_identity() {
    let ways = "bind = '127.0.0.1:0'\nidentity = { ways = ['envoy'] }";
    let stage = Plan::new("forward").await.listener(ways).start().await;
    let url = stage.lab.url("public", "/echo");
    let host = url.split('/').nth(2).unwrap();
    let head = format!("GET {url} HTTP/1.1\r\nHost: {host}\r\n{CLAIMS}Connection: close\r\n\r\n");
    let answer = ask(stage.envoy.listeners[0], head.as_bytes()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let record = decisions(&stage, 1).await.remove(0);
    assert_eq!(record["subject"], Value::Null, "{record:#}");
    assert_unclaimed(&record);
}

/// The address is the one that connected; no word of a header is in it.
#[track_caller]
fn assert_unclaimed(record: &Value) {
    let text = record.to_string();
    assert!(!text.contains("claimed"), "{record:#}");
    assert!(!text.contains("127.0.0.9"), "{record:#}");
    let client = record["client"].as_str().unwrap();
    assert!(client.starts_with("127.0.0.1:"), "{record:#}");
}

/// An Envoy that takes clients with a certificate only.
async fn listening_with_tls(authority: &Authority, keys: &str) -> Stage {
    let plan = Plan::new("forward").await;
    let server = authority.server();
    let socket = json!({
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            "require_client_certificate": true,
            "common_tls_context": {
                "tls_certificates": [{
                    "certificate_chain": {"filename": plan.file("server.pem", &server.certificate)},
                    "private_key": {"filename": plan.file("server.key", &server.key)},
                }],
                "validation_context": {
                    "trusted_ca": {"filename": plan.file("ca.pem", &authority.pem())},
                },
            },
        },
    });
    let plan = plan.listener(&format!("bind = '127.0.0.1:0'\n{keys}"));
    let plan = plan.edit(|config| chain(config)["transport_socket"] = socket);
    plan.start().await
}

/// A request by TLS to Envoy, with claims.
async fn get(stage: &Stage, authority: &Authority, identity: Option<&Identity>) -> Answer {
    let host = format!("{PUBLIC}:{}", stage.lab.port());
    let head = format!(
        "GET http://{host}/echo HTTP/1.1\r\nHost: {host}\r\n{CLAIMS}Connection: close\r\n\r\n"
    );
    let connector = TlsConnector::from(Arc::new(client(authority, identity)));
    let asked = async {
        let stream = TcpStream::connect(stage.envoy.listeners[0]).await?;
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let mut stream = connector.connect(name, stream).await?;
        let mut answer = Vec::new();
        stream.write_all(head.as_bytes()).await?;
        stream.read_to_end(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    Answer::of(&within(asked).await.unwrap_or_default())
}

fn client(authority: &Authority, identity: Option<&Identity>) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    let root = CertificateDer::from_pem_slice(authority.pem().as_bytes());
    roots.add(root.unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    match identity.map(Identity::pair) {
        None => config.with_no_client_auth(),
        Some((chain, key)) => config.with_client_auth_cert(chain, key).unwrap(),
    }
}
