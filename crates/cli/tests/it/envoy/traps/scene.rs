//! The scene of a trap, and what is done in it.
#![expect(
    clippy::disallowed_methods,
    reason = "the clients of an Envoy are not judged: they are in the tests"
)]

use std::{fs, net::SocketAddr, path::PathBuf, sync::Arc};

use pinfold_lab::{INTERNAL, Lab, PUBLIC};
use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use serde_json::{Value as Json, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;

use crate::{
    envoy::{
        fake::Fake,
        support::{Envoy, Gateway, PATIENCE, generated},
    },
    serve::write,
    support::vectors,
};

/// The lab, a decision service that says what the test wants, and a folder.
pub(super) struct Scene {
    pub(super) lab: Lab,
    pub(super) fake: Fake,
    pub(super) folder: tempfile::TempDir,
}

impl Scene {
    pub(super) async fn start() -> Self {
        Self {
            lab: Lab::start().await.unwrap(),
            fake: Fake::start().await,
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// With a configuration that contains a trap, which asks there.
    pub(super) async fn trapped(&self, file: &str, service: SocketAddr) -> Envoy {
        let text = fs::read_to_string(fixture(file)).unwrap();
        let places = [
            ("port_value: 9901", 0),
            ("port_value: 15001", 0),
            ("port_value: 4752", service.port()),
            ("port_value: 8081", self.lab.port()),
        ];
        let put = |text: String, (place, port): (&str, u16)| {
            text.replace(place, &format!("port_value: {port}"))
        };
        let text = places.into_iter().fold(text, put);
        Envoy::start(self.folder.path(), file, &text).await
    }

    /// With our configuration, which asks the fake.
    pub(super) async fn ours(&self, mode: &str, words: &[&str]) -> Envoy {
        let (text, name) = (
            self.generated(mode, words),
            [&[mode], words].concat().concat(),
        );
        Envoy::start(self.folder.path(), &name, &text).await
    }

    /// Grants are those of a stage: the public server is public in both layers.
    pub(super) fn generated(&self, mode: &str, words: &[&str]) -> String {
        let text = "[[listener]]\nbind = '127.0.0.1:0'\nprotocols = ['envoy']\n\
                    [floor]\ngrants = ['127.0.0.2/32', '::1/128']\n";
        let gateway = write(self.folder.path(), "agreed.toml", text);
        let roots = write(self.folder.path(), "roots.pem", &self.lab.authority().pem());
        let words = [words, &["--roots", roots.to_str().unwrap()]].concat();
        generated(mode, &gateway, &[self.fake.address], &words)
    }

    pub(super) async fn gateway(&self) -> Gateway {
        Gateway::start(self.folder.path(), "gateway", &self.lab, "").await
    }

    /// The server inside.
    pub(super) fn inside(&self) -> SocketAddr {
        (INTERNAL, self.lab.port()).into()
    }

    /// The public one.
    pub(super) fn outside(&self) -> SocketAddr {
        (PUBLIC, self.lab.port()).into()
    }

    /// The IPv4-mapped form of the server inside.
    pub(super) fn mapped(&self) -> String {
        format!("[::ffff:{INTERNAL}]:{}", self.lab.port())
    }

    /// Whether anything was led inside since the last call.
    pub(super) async fn leaked(&self) -> bool {
        let leaks = self.lab.leaks().await.unwrap();
        self.lab.canaries().iter().for_each(|canary| canary.clear());
        leaks > 0
    }
}

pub(super) fn fixture(file: &str) -> PathBuf {
    vectors("envoy-traps").join(file)
}

/// A configuration after a change by name. Envoy reads JSON as well.
pub(super) fn edited(yaml: &str, edit: impl FnOnce(&mut Json)) -> String {
    let mut value: Json = serde_saphyr::from_str(yaml).unwrap();
    edit(&mut value);
    value.to_string()
}

/// Its clients come by a balancer, which says whom it stands for.
pub(super) fn behind_a_balancer(config: &mut Json) {
    let api =
        "type.googleapis.com/envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol";
    config["static_resources"]["listeners"][0]["listener_filters"] = json!([{
        "name": "envoy.filters.listener.proxy_protocol",
        "typed_config": { "@type": api },
    }]);
}

/// Every time with one of these names becomes two seconds. How many there are.
pub(super) fn shorten(value: &mut Json, names: &[&str]) -> usize {
    match value {
        Json::Array(values) => values.iter_mut().map(|value| shorten(value, names)).sum(),
        Json::Object(fields) => {
            let shorten = |(name, value): (&String, &mut Json)| {
                let named = names.contains(&&**name) && value.is_string();
                named.then(|| *value = json!("2s"));
                usize::from(named) + shorten(value, names)
            };
            fields.iter_mut().map(shorten).sum()
        }
        _ => 0,
    }
}

/// What ends a tunnel that is in use.
pub(super) const BOUNDS: [&str; 3] = [
    "max_connection_duration",
    "max_downstream_connection_duration",
    "max_stream_duration",
];

/// In absolute form, with these further fields.
pub(super) fn request(url: &str, fields: &str) -> Vec<u8> {
    let host = url.split('/').nth(2).unwrap();
    format!("GET {url} HTTP/1.1\r\nHost: {host}\r\n{fields}Connection: close\r\n\r\n").into_bytes()
}

/// The status of `CONNECT`, and the tunnel.
pub(super) async fn tunnel(proxy: SocketAddr, to: &str) -> (u16, TcpStream) {
    let mut stream = TcpStream::connect(proxy).await.unwrap();
    let head = format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let byte = timeout(PATIENCE, stream.read_u8()).await.unwrap();
        head.push(byte.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    let status = head.split(' ').nth(1).unwrap();
    (status.parse().unwrap(), stream)
}

/// Whether a request through a tunnel is answered.
pub(super) async fn speaks(tunnel: &mut TcpStream) -> bool {
    let asked = async {
        tunnel
            .write_all(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
            .await?;
        let mut answer = vec![0; 4096];
        tunnel.read(&mut answer).await
    };
    let answered = timeout(PATIENCE, asked).await.unwrap();
    answered.is_ok_and(|length| length > 0)
}

/// Whether TLS with the name comes about, with a server that the lab vouches for.
pub(super) async fn shakes_hands(lab: &Lab, proxy: SocketAddr, label: &str) -> bool {
    let mut roots = RootCertStore::empty();
    roots.add(lab.authority().der()).unwrap();
    let provider = rustls::crypto::ring::default_provider();
    let config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(format!("{label}.lab.example.com")).unwrap();
    let stream = TcpStream::connect(proxy).await.unwrap();
    let shaken = TlsConnector::from(Arc::new(config)).connect(name, stream);
    timeout(PATIENCE, shaken).await.unwrap().is_ok()
}

/// A new policy, while everything runs.
pub(super) fn deny_the_public_server(gateway: &Gateway) {
    let settings = gateway.config.with_file_name("denying.toml");
    fs::write(&settings, format!("[networks]\ndeny = [\"{PUBLIC}/32\"]\n")).unwrap();
    gateway.operate(&["swap", "--settings", settings.to_str().unwrap()]);
}
