//! What Smokescreen is held to by its own tests, asked of this gateway: who may go where, what the client hears, what
//! is told of it.
//!
//! `docs/smokescreen.md` shows the rows of `tests/vectors/smokescreen`, and is held to them; each row of
//! `behaviour.jsonl` names the test that shows it.

use std::{path::Path, time::Duration};

use pinfold_gateway::credential::bearer_entry;
use pinfold_lab::dns::{Code, DnsServer, Reply, Strategy};
use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpSocket, TcpStream},
};

use crate::{
    certificates::{Authority, shake},
    support::{Client, Echo, PATIENCE, PUBLIC, Proxy, field, file, status, until},
};

mod page;
mod targets;

const LISTED: &str = "public.lab.example.com";
const UNLISTED: &str = "other.lab.example.com";
const SUBJECTS: [&str; 4] = ["enforcing", "reporting", "opening", "unknown"];

/// As `pinfold migrate smokescreen` writes it: one section for each service.
const SETTINGS: &str = "
unknown_subject = 'deny'
networks = {deny = ['127.0.0.4/32', {cidr = '127.0.0.5/32', ports = [123]}]}
[[subjects]]
match = ['enforcing']
hosts = {allow = ['public.lab.example.com', '**.nowhere.example.com']}
[[subjects]]
match = ['reporting']
hosts = {allow = ['public.lab.example.com']}
[[subjects]]
match = ['opening']
";

/// A gateway with two listeners: plain with tokens, and TLS with certificates.
struct Scene {
    authority: Authority,
    proxy: Proxy,
    _folder: tempfile::TempDir,
}

impl Scene {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new("lab");
        authority.server().write(folder.path(), "server");
        file(folder.path(), "ca.pem", authority.pem());
        file(folder.path(), "settings.toml", SETTINGS);
        file(folder.path(), "credentials.toml", credentials());
        let proxy = Proxy::with(&over(folder.path())).await;
        Self {
            authority,
            proxy,
            _folder: folder,
        }
    }

    /// The answer to a request in absolute form, from a client with this token.
    async fn get(&self, subject: Option<&str>, authority: &str) -> (String, Vec<u8>) {
        let mut client = self.proxy.client().await;
        let field = subject.map(|name| format!("Proxy-Authorization: Bearer {}\r\n", token(name)));
        let field = field.unwrap_or_default();
        let request =
            format!("GET http://{authority}/ HTTP/1.1\r\nHost: {authority}\r\n{field}\r\n");
        client.send(request.as_bytes()).await;
        client.answer().await
    }

    /// The answer to `CONNECT`, from a client with this certificate, and what came through the tunnel.
    async fn connect(&self, subject: Option<&str>, authority: &str) -> (String, Vec<u8>) {
        let own = subject.map(|name| self.authority.client(name, 7));
        let connector = self.authority.connector(own.as_ref(), &[]);
        let client = Client::connect(self.proxy.gateway().addresses()[1]).await;
        let mut client = shake(&connector, client).await.unwrap();
        let (head, body) = asked(&mut client, authority).await;
        if status(&head) != 200 {
            return (head, body);
        }
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        client.answer().await
    }

    async fn ask(&self, way: &str, subject: Option<&str>, authority: &str) -> (String, Vec<u8>) {
        match way {
            "forward" => self.get(subject, authority).await,
            _ => self.connect(subject, authority).await,
        }
    }

    /// What the log says of the request that was answered so.
    async fn told(&self, head: &str) -> Value {
        let id = field(head, "pinfold-request-id").expect("an id").to_owned();
        self.proxy
            .logged(|line| line["request_id"] == id.as_str())
            .await
    }
}

async fn asked(
    client: &mut Client<impl AsyncRead + AsyncWrite + Unpin>,
    to: &str,
) -> (String, Vec<u8>) {
    client
        .send(format!("CONNECT {to} HTTP/1.1\r\n\r\n").as_bytes())
        .await;
    let head = client.head().await;
    let length = field(&head, "content-length").map_or(0, |length| length.parse().unwrap());
    (head, client.exactly(length).await)
}

fn over(folder: &Path) -> String {
    let at = folder.display();
    format!(
        "policy = {{settings = '{at}/settings.toml'}}
        report = {{subjects = ['reporting'], addresses = 'enforce'}}
        floor = {{grants = ['127.0.0.2/32', '127.0.0.4/32', '127.0.0.5/32']}}
        [[listener]]
        bind = '127.0.0.1:0'
        identity = {{ways = ['bearer'], required = true, credentials = '{at}/credentials.toml'}}
        [[listener]]
        name = 'tls'
        bind = '127.0.0.1:0'
        identity = {{ways = ['mtls'], required = true}}
        [listener.tls]
        certificate = '{at}/server.pem'
        key = '{at}/server.key'
        client_ca = ['{at}/ca.pem']
        client_auth = 'optional'"
    )
}

fn token(subject: &str) -> String {
    format!("{subject}-0123456789abcdef0123456789abcdef")
}

fn credentials() -> String {
    let entry = |name: &&str| {
        format!(
            "{}\n",
            bearer_entry(name.parse().unwrap(), &token(name)).unwrap()
        )
    };
    SUBJECTS.iter().map(entry).collect()
}

#[tokio::test]
async fn listed_or_not_enforced_reported_or_open() {
    let (scene, server) = (Scene::start().await, Echo::http(PUBLIC).await);
    for way in ["forward", "connect"] {
        for (subject, host, expected, would) in [
            ("enforcing", LISTED, 200, false),
            ("enforcing", UNLISTED, 403, false),
            ("reporting", LISTED, 200, false),
            ("reporting", UNLISTED, 200, true),
            ("opening", LISTED, 200, false),
            ("opening", UNLISTED, 200, false),
        ] {
            let row = format!("{way} {subject} {host}");
            let (head, body) = scene.ask(way, Some(subject), &server.at(host)).await;
            assert_eq!(status(&head), expected, "{row}: {head}");
            if expected == 403 {
                assert_eq!(
                    field(&head, "pinfold-reason"),
                    Some("host-not-allowed"),
                    "{row}"
                );
                assert!(
                    String::from_utf8(body)
                        .unwrap()
                        .contains("host-not-allowed"),
                    "{row}"
                );
            }
            let such = |line: &Value| {
                line["event"] == "decision"
                    && line["subject"] == subject
                    && line["authority"] == server.at(host)
                    && line["kind"] == way
            };
            let line = scene.proxy.logged(such).await;
            let verdict = if expected == 403 { "deny" } else { "allow" };
            assert_eq!(line["decision"]["verdict"], verdict, "{row}: {line}");
            assert_eq!(
                line["decision"]["would_deny"].is_object(),
                would,
                "{row}: {line}"
            );
            let same = scene.proxy.log().into_iter().filter(such).count();
            assert_eq!(same, 1, "{row}");
        }
    }
    let (_, metrics) = scene.proxy.admin("/metrics").await;
    let counted = |parts: &[&str]| {
        let of = |line: &&str| {
            line.starts_with("pinfold_decisions_total{")
                && parts.iter().all(|part| line.contains(part))
        };
        metrics.lines().filter(of).map(last).sum::<f64>()
    };
    assert_eq!(
        counted(&["verdict=\"deny\"", "code=\"host-not-allowed\""]),
        2.0,
        "{metrics}"
    );
    assert_eq!(
        counted(&[
            "verdict=\"allow\"",
            "code=\"host-not-allowed\"",
            "report=\"true\""
        ]),
        2.0
    );
    assert_eq!(counted(&["verdict=\"allow\""]), 10.0);
}

/// The number at the end of a line of metrics.
fn last(line: &str) -> f64 {
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn without_a_role_or_with_an_unknown_one_nobody_goes_anywhere() {
    let (scene, server) = (Scene::start().await, Echo::http(PUBLIC).await);
    for (way, subject, expected, code) in [
        ("forward", None, 407, "credentials-missing"),
        ("connect", None, 403, "identity-missing"),
        ("forward", Some("unknown"), 403, "subject-denied"),
        ("connect", Some("unknown"), 403, "subject-denied"),
    ] {
        let (head, _) = scene.ask(way, subject, &server.at(LISTED)).await;
        assert_eq!(status(&head), expected, "{way} {subject:?}: {head}");
        assert_eq!(
            field(&head, "pinfold-reason"),
            Some(code),
            "{way} {subject:?}"
        );
        assert_eq!(
            field(&head, "proxy-authenticate").is_some(),
            expected == 407
        );
    }
    assert_eq!(server.accepted(), 0);
}

#[tokio::test]
async fn denied_networks_are_denied_to_everybody() {
    let scene = Scene::start().await;
    let listening = Echo::http("127.0.0.4".parse().unwrap()).await;
    let targets = [listening.at("127.0.0.4"), "127.0.0.5:123".into()];
    let everybody =
        ["opening", "reporting"].map(|subject| ["forward", "connect"].map(|way| (way, subject)));
    for (way, subject) in everybody.into_iter().flatten() {
        for target in &targets {
            let row = format!("{way} {subject} {target}");
            let (head, body) = scene.ask(way, Some(subject), target).await;
            assert_eq!(status(&head), 403, "{row}: {head}");
            assert_eq!(
                field(&head, "pinfold-reason"),
                Some("address-denied"),
                "{row}"
            );
            let body = String::from_utf8(body).unwrap();
            assert!(!body.contains("127."), "{row}: {body}");
            let line = scene.told(&head).await;
            assert_eq!(line["decision"]["verdict"], "deny", "{row}: {line}");
        }
    }
    assert_eq!(listening.accepted(), 0);
}

#[tokio::test]
async fn a_name_that_does_not_exist_is_502() {
    let dns = DnsServer::start().await.unwrap();
    let code = |code| Strategy::Always(Reply::code(code));
    dns.name("none.example.com", code(Code::NxDomain));
    dns.name("failing.example.com", code(Code::ServFail));
    let over = format!("[dns]\nservers = ['{}']", dns.addr());
    let proxy = Proxy::with(&over).await;
    for (name, reason) in [("none", "resolve-no-answer"), ("failing", "resolve-failed")] {
        let (head, body) = asked(
            &mut proxy.client().await,
            &format!("{name}.example.com:443"),
        )
        .await;
        assert_eq!(status(&head), 502, "{name}: {head}");
        assert_eq!(field(&head, "pinfold-reason"), Some(reason), "{name}");
        assert_eq!(field(&head, "pinfold-stage"), Some("resolve"), "{name}");
        let error = format!("pinfold; error=dns_error; details=\"{reason}\"");
        assert_eq!(field(&head, "proxy-status"), Some(&*error));
        assert!(!body.is_empty());
        let line = proxy
            .logged(|line| line["decision"]["code"] == reason)
            .await;
        // Nobody denied it.
        assert_eq!(line["decision"]["verdict"], "failed", "{line}");
        let (_, metrics) = proxy.admin("/metrics").await;
        let series = format!("pinfold_dns_lookups_total{{outcome=\"{reason}\"}} 1");
        assert!(metrics.contains(&series), "{series} in\n{metrics}");
    }
}

#[tokio::test]
async fn who_is_not_there_is_502_and_who_does_not_answer_504() {
    let proxy = Proxy::with("tunnels = {connect = '500ms'}").await;
    let refusing = TcpSocket::new_v4().unwrap();
    refusing.bind((PUBLIC, 0).into()).unwrap();
    let full = Full::start().await;
    for (name, port, expected, code) in [
        (
            "refusing",
            refusing.local_addr().unwrap().port(),
            502,
            "connect-failed",
        ),
        ("silent", full.port, 504, "connect-timeout"),
    ] {
        for way in ["connect", "forward"] {
            let at = format!("{LISTED}:{port}");
            let mut client = proxy.client().await;
            let line = match way {
                "connect" => format!("CONNECT {at} HTTP/1.1\r\n\r\n"),
                _ => format!("GET http://{at}/ HTTP/1.1\r\nHost: {at}\r\n\r\n"),
            };
            client.send(line.as_bytes()).await;
            let (head, _) = client.answer().await;
            assert_eq!(status(&head), expected, "{name} {way}: {head}");
            assert_eq!(field(&head, "pinfold-reason"), Some(code), "{name} {way}");
        }
        let line = proxy.logged(|line| line["decision"]["code"] == code).await;
        assert_eq!(line["decision"]["verdict"], "failed", "{line}");
        let (_, metrics) = proxy.admin("/metrics").await;
        let of = |line: &&str| {
            line.starts_with("pinfold_decisions_total{verdict=\"failed\"") && line.contains(code)
        };
        assert_eq!(
            metrics.lines().filter(of).map(last).sum::<f64>(),
            2.0,
            "{metrics}"
        );
    }
}

/// A server whose queue is full: it answers nobody who comes.
pub(crate) struct Full {
    pub(crate) port: u16,
    _listener: tokio::net::TcpListener,
    _waiting: Vec<TcpStream>,
}

impl Full {
    pub(crate) async fn start() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((PUBLIC, 0).into()).unwrap();
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        let mut waiting = Vec::new();
        // Bounded: the queue of the kernel has some places more than were asked for.
        for _ in 0..20 {
            let connecting = TcpStream::connect(address);
            match tokio::time::timeout(Duration::from_millis(300), connecting).await {
                Ok(stream) => waiting.push(stream.unwrap()),
                Err(_) => break,
            }
        }
        Self {
            port: address.port(),
            _listener: listener,
            _waiting: waiting,
        }
    }
}

#[tokio::test]
async fn the_server_hears_the_host_that_was_judged() {
    let (proxy, server) = (Proxy::start().await, Echo::http(PUBLIC).await);
    let at = server.at(LISTED);
    for host in [&*at, UNLISTED] {
        let mut client = proxy.client().await;
        let request = format!("GET http://{at}/ HTTP/1.1\r\nHost: {host}\r\nX-Mine: kept\r\n\r\n");
        client.send(request.as_bytes()).await;
        let (_, seen) = client.answer().await;
        let seen = String::from_utf8(seen).unwrap();
        assert_eq!(field(&seen, "host"), Some(&*at), "{seen}");
        assert_eq!(field(&seen, "x-mine"), Some("kept"), "{seen}");
    }
    proxy.logged(|line| line["code"] == "host-differs").await;
}

#[tokio::test]
async fn of_five_tunnels_at_once_two_are_let_in_and_places_come_back() {
    let echo = Echo::start(PUBLIC).await;
    let proxy = Proxy::with("limits.tunnels = 2").await;
    let at = echo.at(LISTED);
    let one = async || {
        let mut client = proxy.client().await;
        let head = client.connect_to(&at).await;
        (client, head)
    };
    let five = tokio::join!(one(), one(), one(), one(), one());
    let five = [five.0, five.1, five.2, five.3, five.4];
    let refused = five.iter().filter(|(_, head)| status(head) == 503);
    for (_, head) in refused {
        assert_eq!(field(head, "retry-after"), Some("1"));
    }
    let granted = five.iter().filter(|(_, head)| status(head) == 200).count();
    assert_eq!(granted, 2);
    drop(five);
    until("places are free", async || status(&one().await.1) == 200).await;

    // 0 is no limit for a subject.
    let proxy = Proxy::with("limits.subject.tunnels = 0").await;
    let mut held = Vec::new();
    for _ in 0..20 {
        held.push(proxy.tunnel(&at).await);
    }
}

#[tokio::test]
async fn a_burst_is_served_and_the_next_one_is_told_when_to_come_back() {
    let echo = Echo::start(PUBLIC).await;
    // One request comes back in 10 s: far longer than 21 of them take.
    for (limits, expected) in [("limits.subject", 429), ("limits", 503)] {
        let proxy = Proxy::with(&format!("[{limits}]\nrate = 1\nburst = 20")).await;
        let mut granted = 0;
        let refused = loop {
            let mut client = proxy.client().await;
            let head = client.connect_to(&echo.at(LISTED)).await;
            match status(&head) {
                200 => granted += 1,
                _ => break head,
            }
            assert!(granted < 200, "no limit");
        };
        assert!(granted >= 20, "{limits}: {granted}");
        assert_eq!(status(&refused), expected, "{limits}");
        let after: u64 = field(&refused, "retry-after").unwrap().parse().unwrap();
        assert!((1..=PATIENCE.as_secs()).contains(&after), "{after}");
    }
}
