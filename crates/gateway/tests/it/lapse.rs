//! Identities that do not hold any more: what they opened is closed, and a kept connection proves nothing.

use std::{path::Path, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD};
use pinfold_gateway::credential::{basic_entry, bearer_entry};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::{
    certificates::{Authority, shake},
    support::{Client, Echo, PUBLIC, Proxy, field, file, status, until},
};

const NAME: &str = "public.lab.example.com";
const PASSWORD: &str = "a long enough password";

/// A listener that knows its clients by certificates, one list of which are revoked, and one of its clients.
struct Certified {
    folder: tempfile::TempDir,
    authority: Authority,
    proxy: Proxy,
}

impl Certified {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new("lab");
        authority.server().write(folder.path(), "server");
        file(folder.path(), "ca.pem", authority.pem());
        file(folder.path(), "crl.pem", authority.revokes(&[], 4000));
        let proxy = Proxy::with(&listener(folder.path())).await;
        Self {
            folder,
            authority,
            proxy,
        }
    }

    async fn client(&self, name: &str, serial: u64) -> Client<TlsStream<TcpStream>> {
        let own = self.authority.client(name, serial);
        let connector = self.authority.connector(Some(&own), &[]);
        let shaken = shake(&connector, self.proxy.client().await).await;
        shaken.unwrap()
    }

    fn revoke(&self, serial: u64) {
        let list = self.authority.revokes(&[serial], 4000);
        file(self.folder.path(), "crl.pem", list);
        let config = self.proxy.config(&listener(self.folder.path()));
        self.proxy.gateway().reload(config);
    }
}

fn listener(folder: &Path) -> String {
    let at = folder.display();
    format!(
        "[[listener]]\nbind = '127.0.0.1:0'\nidentity = {{ways = ['mtls'], required = true}}\n[listener.tls]\n\
         certificate = '{at}/server.pem'\nkey = '{at}/server.key'\nclient_ca = ['{at}/ca.pem']\n\
         client_crl = ['{at}/crl.pem']"
    )
}

#[tokio::test]
async fn a_revoked_certificate_asks_for_nothing_more_and_keeps_no_tunnel() {
    let (echo, web) = (Echo::start(PUBLIC).await, Echo::http(PUBLIC).await);
    let scene = Certified::new().await;
    let mut kept = scene.client("kept.test", 1).await;
    let mut tunnels = [
        scene.client("kept.test", 1).await,
        scene.client("gone.test", 2).await,
    ];
    for tunnel in &mut tunnels {
        let head = tunnel.connect_to(&echo.at(NAME)).await;
        assert_eq!(status(&head), 200, "{head}");
    }
    let mut gone = scene.client("gone.test", 2).await;
    let get = format!("GET http://{}/ HTTP/1.1\r\n\r\n", web.at(NAME));
    for client in [&mut kept, &mut gone] {
        client.send(get.as_bytes()).await;
        assert_eq!(status(&client.answer().await.0), 200);
    }
    scene.revoke(2);

    gone.send(get.as_bytes()).await;
    let (head, _) = gone.answer().await;
    assert_eq!(status(&head), 403, "{head}");
    assert_eq!(field(&head, "pinfold-reason"), Some("certificate-lapsed"));
    assert_eq!(field(&head, "connection"), Some("close"));
    gone.ended().await;
    kept.send(get.as_bytes()).await;
    assert_eq!(status(&kept.answer().await.0), 200);

    let [mut stays, mut ends] = tunnels;
    ends.ended().await;
    let end = scene
        .proxy
        .logged(|line| line["event"] == "end" && line["kind"] == "connect");
    let end = end.await;
    assert_eq!(
        (&end["closing"], &end["subject"]),
        (&"revoked".into(), &"gone.test".into())
    );
    stays.send(b"after").await;
    assert_eq!(stays.exactly(5).await, b"after");
}

#[tokio::test]
async fn tunnels_end_with_the_credentials_that_opened_them() {
    let echo = Echo::start(PUBLIC).await;
    let folder = tempfile::tempdir().unwrap();
    let token = "0123456789abcdef0123456789abcdef";
    let entry = |name: &str| basic_entry(name.parse().unwrap(), PASSWORD).unwrap();
    let (kept, gone, changed) = (entry("kept"), entry("gone"), entry("changed"));
    let soon = jiff::Timestamp::now() + Duration::from_secs(4);
    let bearer = bearer_entry("soon".parse().unwrap(), token).unwrap();
    let bearer = bearer.until(&soon.to_string()).unwrap();
    let write = |entries: &[String]| file(folder.path(), "credentials.toml", entries.join("\n"));
    write(&[
        kept.to_string(),
        gone.to_string(),
        changed.to_string(),
        bearer.to_string(),
    ]);
    let listener = format!(
        "[[listener]]\nbind = '127.0.0.1:0'\n[listener.identity]\nways = ['basic', 'bearer']\nrequired = true\n\
         credentials = '{}/credentials.toml'",
        folder.path().display()
    );
    let proxy = Proxy::with(&listener).await;
    let basic = |name: &str| BASE64_STANDARD.encode(format!("{name}:{PASSWORD}"));
    let open = async |given: String| {
        let mut client = proxy.client().await;
        let at = echo.at(NAME);
        let head = format!("CONNECT {at} HTTP/1.1\r\nProxy-Authorization: {given}\r\n\r\n");
        client.send(head.as_bytes()).await;
        let head = client.head().await;
        assert_eq!(status(&head), 200, "{given}: {head}");
        client
    };
    let mut expires = open(format!("Bearer {token}")).await;
    let mut stays = open(format!("Basic {}", basic("kept"))).await;
    let mut ends = [
        open(format!("Basic {}", basic("gone"))).await,
        open(format!("Basic {}", basic("changed"))).await,
    ];
    // The same password again is another entry: whoever makes one anew means it.
    write(&[
        kept.to_string(),
        entry("changed").to_string(),
        bearer.to_string(),
    ]);
    proxy.gateway().reload(proxy.config(&listener));
    for client in &mut ends {
        client.ended().await;
    }
    expires.ended().await;
    assert!(jiff::Timestamp::now() >= soon);
    stays.send(b"after").await;
    assert_eq!(stays.exactly(5).await, b"after");
    until("three ends", async || {
        let log = proxy.log();
        log.iter()
            .filter(|line| line["closing"] == "revoked")
            .count()
            == 3
    })
    .await;
}
