//! What a tunnel lets through: real TLS clients and servers, other protocols, deadlines.

use std::{sync::Arc, time::Duration};

use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, ServerName},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::support::{Client, Echo, PUBLIC, Proxy};

const NAME: &str = "public.lab.example.com";
const OTHER: &str = "other.lab.example.com";

/// A TLS server that echoes, for any name, and a client that trusts it.
async fn tls() -> (Echo, TlsConnector) {
    let names = [NAME.to_owned(), OTHER.to_owned(), "127.0.0.2".to_owned()];
    let certified = rcgen::generate_simple_self_signed(names).unwrap();
    let certificate = certified.cert.der().clone();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(
        certified.signing_key.serialize_der(),
    ));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(server));
    let echo = Echo::serve(PUBLIC, move |stream| {
        let acceptor = acceptor.clone();
        async move {
            if let Ok(stream) = acceptor.accept(stream).await {
                let (mut read, mut write) = tokio::io::split(stream);
                let _ = tokio::io::copy(&mut read, &mut write).await;
            }
        }
    })
    .await;
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    (echo, TlsConnector::from(Arc::new(client)))
}

/// A handshake for `name` in a tunnel to `authority`, and some bytes.
async fn shakes_hands(
    proxy: &Proxy,
    connector: &TlsConnector,
    authority: &str,
    name: &str,
) -> std::io::Result<()> {
    let tunnel = proxy.tunnel(authority).await;
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut stream = connector.connect(name, tunnel.stream).await?;
    let sent = vec![9; 200_000];
    let (mut read, mut write) = tokio::io::split(&mut stream);
    let mut heard = vec![0; sent.len()];
    tokio::try_join!(write.write_all(&sent), read.read_exact(&mut heard))?;
    assert_eq!(heard, sent);
    Ok(())
}

#[tokio::test]
async fn the_server_name_is_the_host_that_was_asked_for() {
    let (echo, connector) = tls().await;
    let proxy = Proxy::start().await;
    let at = |name| echo.at(name);
    shakes_hands(&proxy, &connector, &at(NAME), NAME)
        .await
        .unwrap();
    shakes_hands(&proxy, &connector, &at("PUBLIC.lab.example.com."), NAME)
        .await
        .unwrap();
    // Without a name, to an address.
    shakes_hands(&proxy, &connector, &at("127.0.0.2"), "127.0.0.2")
        .await
        .unwrap();

    let error = shakes_hands(&proxy, &connector, &at(NAME), OTHER)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("UnrecognisedName"), "{error}");
    let error = shakes_hands(&proxy, &connector, &at("127.0.0.2"), NAME)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("UnrecognisedName"), "{error}");
    let line = proxy.logged(|line| line["code"] == "sni-mismatch").await;
    assert_eq!(
        (&line["event"], &line["seen"]),
        (&"tunnel".into(), &OTHER.into()),
        "{line}"
    );
    proxy.logged(|line| line["closing"] == "mismatch").await;
    // Without a name, to a name.
    let error = shakes_hands(&proxy, &connector, &at(NAME), "127.0.0.2")
        .await
        .unwrap_err();
    assert!(error.to_string().contains("UnrecognisedName"), "{error}");
    proxy.logged(|line| line["code"] == "sni-missing").await;
}

#[tokio::test]
async fn another_name_is_only_logged_where_operators_say_so() {
    let (echo, connector) = tls().await;
    let proxy = Proxy::with("tunnels = {sni = 'log'}").await;
    shakes_hands(&proxy, &connector, &echo.at(NAME), OTHER)
        .await
        .unwrap();
    let line = proxy.logged(|line| line["code"] == "sni-mismatch").await;
    assert_eq!(line["enforced"], false, "{line}");
}

#[tokio::test]
async fn a_server_may_speak_first_and_plain() {
    let server = Echo::serve(PUBLIC, |mut stream| async move {
        let _ = stream.write_all(b"220 ready\r\n").await;
        let mut line = [0; 6];
        let _ = stream.read_exact(&mut line).await;
        let _ = stream.write_all(&line).await;
    })
    .await;
    let proxy = Proxy::start().await;
    let mut tunnel = proxy.tunnel(&server.at(NAME)).await;
    assert_eq!(tunnel.exactly(11).await, b"220 ready\r\n");
    tunnel.send(b"HELO\r\n").await;
    assert_eq!(tunnel.exactly(6).await, b"HELO\r\n");
    tunnel.ended().await;
}

#[tokio::test]
async fn halves_end_one_by_one() {
    // Answers only when the client has ended.
    let server = Echo::serve(PUBLIC, |mut stream| async move {
        let mut all = Vec::new();
        let _ = stream.read_to_end(&mut all).await;
        let _ = stream.write_all(&all).await;
    })
    .await;
    let proxy = Proxy::start().await;
    let mut tunnel = proxy.tunnel(&server.at(NAME)).await;
    tunnel.send(&[1; 500_000]).await;
    tunnel.stream.shutdown().await.unwrap();
    assert_eq!(tunnel.rest().await.len(), 500_000);
    let end = proxy.logged(|line| line["event"] == "end").await;
    assert_eq!(end["closing"], "finished");
    assert_eq!(
        (&end["bytes_up"], &end["bytes_down"]),
        (&500_000.into(), &500_000.into())
    );
}

#[tokio::test]
async fn silence_and_long_lives_end() {
    let echo = Echo::start(PUBLIC).await;
    for (over, closing) in [
        ("idle = '300ms'", "idle"),
        ("lifetime = '300ms'", "lifetime"),
    ] {
        let proxy = Proxy::with(&format!("tunnels = {{{over}}}")).await;
        let mut tunnel = proxy.tunnel(&echo.at(NAME)).await;
        tunnel.ended().await;
        let end = proxy.logged(|line| line["event"] == "end").await;
        assert_eq!(end["closing"], closing);
    }
}

#[tokio::test]
async fn a_client_that_vanishes_frees_the_server() {
    let (gone, mut heard) = tokio::sync::mpsc::channel(1);
    let server = Echo::serve(PUBLIC, move |mut stream| {
        let gone = gone.clone();
        async move {
            let _ = stream.read_to_end(&mut Vec::new()).await;
            let _ = gone.send(()).await;
        }
    })
    .await;
    let proxy = Proxy::start().await;
    let tunnel = proxy.tunnel(&server.at(NAME)).await;
    reset(tunnel);
    tokio::time::timeout(Duration::from_secs(10), heard.recv())
        .await
        .unwrap();
    let end = proxy.logged(|line| line["event"] == "end").await;
    assert_eq!(end["closing"], "client");
}

/// Closes with a reset.
fn reset(client: Client<TcpStream>) {
    client.stream.set_zero_linger().unwrap();
}
