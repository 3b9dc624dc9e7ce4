//! The interface for operators of a real gateway: who may do what, what is shown, what a change does.

use std::{path::PathBuf, time::Duration};

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use serde_json::{Value, json};
use tokio::net::UnixStream;

use crate::support::{Client, Echo, PUBLIC, Proxy, status, until, within};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// One request to the interface, with these header lines.
async fn ask(proxy: &Proxy, method: &str, path: &str, headers: &str, body: &str) -> (u16, Value) {
    let address = proxy.gateway().admin_address().unwrap();
    let client = Client::connect(address).await;
    exchange(client, &address.to_string(), method, path, headers, body).await
}

async fn exchange<S>(
    mut client: Client<S>,
    host: &str,
    method: &str,
    path: &str,
    headers: &str,
    body: &str,
) -> (u16, Value)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n"
    );
    client.send(format!("{head}{body}").as_bytes()).await;
    let text = String::from_utf8(client.rest().await).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").expect("a whole answer");
    let value = serde_json::from_str(body).unwrap_or(Value::Null);
    (status(head), value)
}

const INTENT: &str = "Pinfold-Admin: 1\r\nContent-Type: application/json\r\n";

fn with_token() -> String {
    format!("{INTENT}Authorization: Bearer {TOKEN}\r\n")
}

/// A gateway with a token.
async fn guarded() -> (Proxy, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, TOKEN).unwrap();
    let proxy = Proxy::with(&format!("[admin]\ntoken_file = {file:?}")).await;
    (proxy, folder)
}

#[tokio::test]
async fn what_is_shown_is_the_gateway() {
    let proxy = Proxy::start().await;
    let echo = Echo::start(PUBLIC).await;
    let authority = echo.at("public.lab.example.com");
    let mut tunnel = Client::connect(proxy.address()).await;
    assert_eq!(status(&tunnel.connect_to(&authority).await), 200);
    tunnel.send(b"hello").await;
    tunnel.exactly(5).await;
    let mut refused = Client::connect(proxy.address()).await;
    refused.connect_to("internal.lab.example.com:443").await;

    assert_eq!(proxy.admin("/healthz").await.0, 200);
    assert_eq!(proxy.admin("/readyz").await.0, 200);
    let found = proxy.admin_json("/status").await;
    assert_eq!(found["phase"], "ready");
    assert_eq!(found["policy"]["generation"], 1);
    assert_eq!(found["policy"]["source"], "files");
    assert_eq!(found["policy"]["policies"][0]["name"], "egress");
    assert_eq!(found["listeners"][0]["bind"], proxy.address().to_string());
    assert_eq!(found["traffic"]["counts"]["allowed"], 1);
    assert_eq!(found["traffic"]["counts"]["denied"], 1);
    assert_eq!(found["open"]["connect"], 1);
    assert!(found["limits"][0]["limit"].as_u64() > Some(0));
    let open = proxy.admin_json("/connections").await;
    let row = &open["connections"][0];
    assert_eq!(
        (&open["open"], &row["authority"]),
        (&json!(1), &json!(authority))
    );
    assert_eq!((&row["up"], &row["down"]), (&json!(5), &json!(5)));
    let denials = proxy.admin_json("/denials").await;
    assert_eq!(
        denials["denials"][0]["authority"],
        "internal.lab.example.com:443"
    );
    assert_eq!(
        denials["denials"][0]["addresses"][0]["address"],
        "127.0.0.3"
    );
    assert_eq!(denials["by_reason"][0]["count"], 1);
    let decisions = proxy.admin_json("/decisions").await;
    assert_eq!(decisions["decisions"].as_array().unwrap().len(), 2);
    assert_eq!(proxy.admin_json("/shadow").await["watching"], false);
    let config = proxy.admin_json("/config").await;
    assert!(config["limits"]["connections"].is_u64(), "{config}");
    let (status, metrics) = proxy.admin("/metrics").await;
    assert!(status == 200 && metrics.contains("pinfold_"), "{metrics}");
    let (status, page) = proxy.admin("/").await;
    assert!(status == 200 && page.contains("<title>Pinfold gateway</title>"));
}

#[tokio::test]
async fn the_header_of_a_collector_is_shown_to_nobody() {
    let over = "[records.tracing]\nendpoint = \"http://127.0.0.1:9/v1/traces\"\nheaders = { \"x-key\" = \"secret-of-the-collector\" }";
    let proxy = Proxy::with(over).await;
    let (_, text) = proxy.admin("/config").await;
    assert!(
        text.contains("x-key") && !text.contains("secret-of-the-collector"),
        "{text}"
    );
}

#[tokio::test]
async fn settings_are_swapped_in_and_gone_back_to() {
    let (proxy, _folder) = guarded().await;
    let echo = Echo::start(PUBLIC).await;
    let authority = echo.at("public.lab.example.com");
    let connects = || async {
        let mut client = Client::connect(proxy.address()).await;
        status(&client.connect_to(&authority).await)
    };
    assert_eq!(connects().await, 200);

    let body = json!({"settings": {"hosts": {"deny": ["public.lab.example.com"]}}}).to_string();
    let (status, _) = ask(&proxy, "POST", "/policies/swap", INTENT, &body).await;
    assert_eq!(status, 401, "without the token");
    let (status, changed) = ask(&proxy, "POST", "/policies/swap", &with_token(), &body).await;
    assert_eq!(
        (status, &changed["generation"]),
        (200, &json!(2)),
        "{changed}"
    );
    assert_eq!(connects().await, 403);
    let policy = &proxy.admin_json("/status").await["policy"];
    assert_eq!(
        (&policy["source"], &policy["files_in_effect"]),
        (&json!("admin"), &json!(false))
    );

    let bad = json!({"settings": {"no-such-setting": 1}}).to_string();
    let (status, kept) = ask(&proxy, "POST", "/policies/swap", &with_token(), &bad).await;
    assert_eq!(
        (status, &kept["error"]["code"]),
        (422, &json!("policy-unloadable")),
        "{kept}"
    );
    let shown = proxy.admin_json("/status").await;
    assert_eq!(shown["policy"]["last_error"]["step"], "load", "{shown}");
    assert_eq!(shown["policy"]["generation"], 2);

    let (status, back) = ask(&proxy, "POST", "/policies/rollback", &with_token(), "").await;
    assert_eq!((status, &back["generation"]), (200, &json!(3)), "{back}");
    assert_eq!(connects().await, 200);
    let policies = proxy.admin_json("/policies").await;
    assert_eq!(policies["active"]["source"], "rollback");
    assert_eq!(policies["active"]["last_error"], Value::Null);
    let changes: Vec<_> = policies["changes"].as_array().unwrap().iter().collect();
    assert!(
        changes.iter().any(|row| row["change"] == "kept"),
        "{policies}"
    );
    assert!(
        changes.iter().any(|row| row["change"] == "rolled-back"),
        "{policies}"
    );
    let (status, reloaded) = ask(&proxy, "POST", "/policies/reload", &with_token(), "").await;
    assert_eq!(status, 200, "{reloaded}");
    assert_eq!(
        proxy.admin_json("/status").await["policy"]["source"],
        "files"
    );
    let (status, none) = ask(
        &proxy,
        "POST",
        "/policies/rollback",
        &with_token(),
        "{\"generation\":99}",
    )
    .await;
    assert_eq!(
        (status, &none["error"]["code"]),
        (409, &json!("revision-unknown")),
        "{none}"
    );
}

#[tokio::test]
async fn a_candidate_watches_and_is_promoted() {
    let (proxy, _folder) = guarded().await;
    let echo = Echo::start(PUBLIC).await;
    let authority = echo.at("public.lab.example.com");
    let body = json!({"settings": {"hosts": {"deny": ["public.lab.example.com"]}}}).to_string();
    let (status_of, started) = ask(&proxy, "POST", "/shadow/start", &with_token(), &body).await;
    assert_eq!(status_of, 200, "{started}");
    let mut client = Client::connect(proxy.address()).await;
    assert_eq!(
        status(&client.connect_to(&authority).await),
        200,
        "it never decides"
    );
    until("the difference is counted", async || {
        proxy.admin_json("/shadow").await["tightened"] == 1
    })
    .await;
    let shadow = proxy.admin_json("/shadow").await;
    assert_eq!(shadow["differences"][0]["active"], "allow", "{shadow}");
    assert_eq!(shadow["differences"][0]["loosens"], false);
    assert_eq!(
        shadow["differences"][0]["latest"][0]["authority"],
        authority
    );
    let (status_of, promoted) = ask(&proxy, "POST", "/shadow/promote", &with_token(), "").await;
    assert_eq!(
        (status_of, &promoted["generation"]),
        (200, &json!(2)),
        "{promoted}"
    );
    let mut client = Client::connect(proxy.address()).await;
    assert_eq!(status(&client.connect_to(&authority).await), 403);
    let (status_of, stopped) = ask(&proxy, "POST", "/shadow/stop", &with_token(), "").await;
    assert_eq!(
        (status_of, &stopped["error"]["code"]),
        (409, &json!("shadow-none"))
    );
}

#[tokio::test]
async fn a_connection_is_closed_by_its_id() {
    let (proxy, _folder) = guarded().await;
    let echo = Echo::start(PUBLIC).await;
    let mut tunnel = Client::connect(proxy.address()).await;
    tunnel.connect_to(&echo.at("public.lab.example.com")).await;
    let open = proxy.admin_json("/connections").await;
    let id = open["connections"][0]["request_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let path = format!("/connections/{id}");
    let (status, _) = ask(&proxy, "DELETE", &path, INTENT, "").await;
    assert_eq!(status, 401);
    let (status, closed) = ask(&proxy, "DELETE", &path, &with_token(), "").await;
    assert_eq!((status, &closed["closed"]), (200, &json!(id)));
    within("the tunnel ends", tunnel.ended()).await;
    until("it is no longer listed", async || {
        proxy.admin_json("/connections").await["open"] == 0
    })
    .await;
    let (status, gone) = ask(&proxy, "DELETE", &path, &with_token(), "").await;
    assert_eq!((status, &gone["error"]["code"]), (404, &json!("not-open")));
}

#[tokio::test]
async fn a_drain_is_asked_for_and_seen() {
    let (proxy, _folder) = guarded().await;
    let (status, _) = ask(&proxy, "POST", "/drain", &with_token(), "").await;
    assert_eq!(status, 200);
    within("whoever runs it is told", proxy.gateway().asked_to_drain()).await;
}

/// The doors: a socket on the machine, loopback, and what elsewhere reaches.
#[tokio::test]
async fn the_door_decides_what_is_open() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("admin.sock");
    let token = folder.path().join("token");
    std::fs::write(&token, TOKEN).unwrap();
    // What is bound, and what reading, a change, and a change with the token come to.
    let table = [
        (
            "unix",
            format!("bind = {:?}", format!("unix:{}", socket.display())),
            [200, 200, 401],
        ),
        ("loopback", "bind = \"127.0.0.1:0\"".into(), [200, 403, 401]),
        (
            "loopback, token",
            format!("token_file = {token:?}"),
            [200, 401, 200],
        ),
        (
            "everything, token",
            format!("bind = \"0.0.0.0:0\"\ntoken_file = {token:?}"),
            [401, 401, 200],
        ),
    ];
    for (row, admin, expected) in table {
        let proxy = Proxy::with(&format!("[admin]\n{admin}")).await;
        let port = proxy
            .gateway()
            .admin_address()
            .map(|address| address.port());
        let mut found = Vec::new();
        for (method, path, headers) in [
            ("GET", "/status", String::new()),
            ("POST", "/policies/reload", INTENT.into()),
            ("POST", "/policies/reload", with_token()),
        ] {
            let status = match port {
                Some(port) => {
                    let client = Client::connect(([127, 0, 0, 1], port).into()).await;
                    exchange(client, "127.0.0.1", method, path, &headers, "")
                        .await
                        .0
                }
                None => {
                    let client = Client::over(UnixStream::connect(&socket).await.unwrap());
                    exchange(client, "x", method, path, &headers, "").await.0
                }
            };
            found.push(status);
        }
        assert_eq!(found, expected, "{row}");
        if let Some(port) = port {
            let client = Client::connect(([127, 0, 0, 1], port).into()).await;
            let (status, _) = exchange(client, "127.0.0.1", "GET", "/healthz", "", "").await;
            assert_eq!(status, 200, "{row}: health");
            let client = Client::connect(([127, 0, 0, 1], port).into()).await;
            let (status, _) =
                exchange(client, "evil.example", "GET", "/status", &with_token(), "").await;
            assert_eq!(status, 403, "{row}: another name");
        }
    }
}

/// A certificate of the operators' authority is enough; none is needed for health, and one of another authority gets
/// no connection.
#[tokio::test]
async fn a_certificate_is_a_proof() {
    let folder = tempfile::tempdir().unwrap();
    let operators = Authority::new(&folder, "operators");
    let strangers = Authority::new(&folder, "strangers");
    let (certificate, key) = operators.issue("gateway");
    let proxy = Proxy::with(&format!(
        "[admin.tls]\ncertificate = {certificate:?}\nkey = {key:?}\nclient_ca = [{:?}]",
        operators.file
    ))
    .await;
    let address = proxy.gateway().admin_address().unwrap();
    let table = [
        ("none", None, [200, 200, 403]),
        ("operator", Some(operators.issue("alice")), [200, 200, 200]),
        ("stranger", Some(strangers.issue("mallory")), [0, 0, 0]),
    ];
    for (row, identity, expected) in table {
        let tls = pinfold_gateway::operator::Tls {
            authorities: vec![operators.file.clone()],
            identity,
            name: None,
        };
        let mut found = Vec::new();
        for (method, path) in [
            ("GET", "/healthz"),
            ("GET", "/status"),
            ("POST", "/policies/reload"),
        ] {
            let stream = Client::connect(address).await.stream;
            let Ok(stream) = tls.connect(stream, address.ip()).await else {
                found.push(0);
                continue;
            };
            let mut client = Client::over(stream);
            let head = format!(
                "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: 0\r\n{INTENT}\r\n"
            );
            // With TLS 1.3 a client learns only later that its certificate is refused.
            let sent = client.try_send(head.as_bytes()).await.is_ok();
            let head = match sent {
                true => client.rest_or_head().await,
                false => None,
            };
            found.push(head.map_or(0, |head| status(&head)));
        }
        assert_eq!(found, expected, "{row}");
    }
}

struct Authority {
    file: PathBuf,
    folder: PathBuf,
    issuer: rcgen::Issuer<'static, KeyPair>,
}

impl Authority {
    fn new(folder: &tempfile::TempDir, name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let file = folder.path().join(format!("{name}.pem"));
        std::fs::write(&file, certificate.pem()).unwrap();
        Self {
            file,
            folder: folder.path().into(),
            issuer: rcgen::Issuer::new(params, key),
        }
    }

    /// The files of a certificate and its key.
    fn issue(&self, name: &str) -> (PathBuf, PathBuf) {
        let params = CertificateParams::new(vec!["127.0.0.1".into()]).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let files = ["crt", "key"].map(|end| self.folder.join(format!("{name}.{end}")));
        std::fs::write(&files[0], certificate.pem()).unwrap();
        std::fs::write(&files[1], key.serialize_pem()).unwrap();
        let [certificate, key] = files;
        (certificate, key)
    }
}

/// Whoever watches sees what happens, and is told when the gateway ends.
#[tokio::test]
async fn decisions_are_streamed() {
    let proxy = Proxy::start().await;
    let address = proxy.gateway().admin_address().unwrap();
    let mut watcher = Client::connect(address).await;
    watcher
        .send(
            format!(
                "GET /decisions HTTP/1.1\r\nHost: {address}\r\nAccept: text/event-stream\r\n\r\n"
            )
            .as_bytes(),
        )
        .await;
    let head = watcher.head().await;
    assert!(head.contains("text/event-stream"), "{head}");
    let mut refused = Client::connect(proxy.address()).await;
    refused.connect_to("internal.lab.example.com:443").await;
    let seen = tokio::time::timeout(Duration::from_secs(20), async {
        let mut text = String::new();
        while !text.contains("internal.lab.example.com:443") {
            text.push(char::from(watcher.exactly(1).await[0]));
        }
        text
    });
    let seen = seen.await.expect("the decision is shown");
    assert!(seen.contains("event: decision\ndata: {"), "{seen}");
}

/// Silent connections, from several addresses, and more than there are places.
#[tokio::test]
async fn who_says_nothing_keeps_nobody_out_and_is_told() {
    let proxy = Proxy::start().await;
    let address = proxy.gateway().admin_address().unwrap();
    let mut silent = Vec::new();
    for _ in 0..100 {
        silent.push(Client::connect(address).await);
    }
    let (status, health) = ask(&proxy, "GET", "/healthz", "", "").await;
    assert_eq!((status, &health["status"]), (200, &json!("ok")));
    let told = proxy.logged(|line| line["what"] == "admin").await;
    let detail = told["detail"].as_str().unwrap();
    assert!(detail.contains("said nothing"), "{detail}");
    for client in &mut silent {
        within("closed", client.ended()).await;
    }
}
