//! The routes, over a connection as an operator has one, with a gateway that is made up.

mod events;
mod page;
mod recent;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use http::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::{
    access::{Needs, Origin, Peer},
    backend::{Backend, Change, Changing},
    *,
};
use crate::{config, policy, telemetry::Aliases};

/// A gateway that says the same whatever happens, and notes what it is to change.
#[derive(Default)]
pub(super) struct Fake {
    changes: Mutex<Vec<String>>,
    told: Mutex<Vec<String>>,
    drains: bool,
    slow: bool,
    /// What is shown beside what every gateway shows.
    shown: Mutex<std::collections::BTreeMap<&'static str, Value>>,
}

impl Fake {
    fn says(&self, what: &'static str) -> Value {
        let shown = self.shown.lock().unwrap().get(what).cloned();
        shown.unwrap_or_else(|| json!({"from": what}))
    }
}

impl Backend for Fake {
    fn is_ready(&self) -> bool {
        !self.drains
    }

    fn status(&self) -> Value {
        self.says("status")
    }

    fn metrics(&self) -> String {
        "# TYPE pinfold_up gauge\npinfold_up 1\n# EOF\n".into()
    }

    fn policies(&self) -> Value {
        self.says("policies")
    }

    fn connections(&self, most: usize) -> Value {
        let mut value = self.says("connections");
        value["most"] = most.into();
        value
    }

    fn shadow(&self) -> Value {
        self.says("shadow")
    }

    fn config(&self) -> Value {
        self.says("config")
    }

    fn turned_away(&self, detail: String) {
        self.told.lock().unwrap().push(detail);
    }

    fn change(&self, change: Change) -> Changing {
        let text = match change {
            Change::Swap(change) => format!("swap {}", told(&change)),
            Change::ShadowStart(change) => format!("shadow {}", told(&change)),
            other => format!("{other:?}"),
        };
        self.changes.lock().unwrap().push(text);
        let slow = self.slow;
        Box::pin(async move {
            if slow {
                std::future::pending::<()>().await;
            }
            Ok(json!({"done": true}))
        })
    }
}

fn told(change: &policy::Change) -> String {
    use pinfold::policy::Source;

    let component = match &change.component {
        None => "same".into(),
        Some(Source::Shipped) => "shipped".into(),
        Some(Source::Bytes(bytes)) => format!("{} bytes", bytes.len()),
        Some(_) => "other".into(),
    };
    let settings = change.settings.as_ref().map(ToString::to_string);
    format!(
        "{:?} {component} {}",
        change.layer,
        settings.unwrap_or("same".into())
    )
}

pub(super) const UNIX: Peer = Peer {
    origin: Origin::Unix,
    certified: false,
};
pub(super) const LOOPBACK: Peer = Peer {
    origin: Origin::Loopback,
    certified: false,
};

pub(super) fn admin(fake: Fake) -> (Arc<Admin>, Arc<Fake>) {
    let fake = Arc::new(fake);
    let access = Access::new(&config::Admin::default()).unwrap();
    let recent = Recent::new(&[], Aliases::new());
    (Arc::new(Admin::new(fake.clone(), access, recent)), fake)
}

/// A connection, served.
pub(super) fn connect(admin: &Arc<Admin>, peer: Peer) -> DuplexStream {
    let (ours, theirs) = tokio::io::duplex(8 << 10);
    tokio::spawn(Arc::clone(admin).serve(theirs, peer));
    ours
}

/// Sends one request, and reads everything that comes.
pub(super) async fn ask(admin: &Arc<Admin>, peer: Peer, request: &[u8]) -> Said {
    let mut connection = connect(admin, peer);
    // It may be closed before everything is sent.
    let _ = connection.write_all(request).await;
    let mut bytes = Vec::new();
    let _ = connection.read_to_end(&mut bytes).await;
    Said(String::from_utf8(bytes).unwrap())
}

pub(super) struct Said(String);

impl Said {
    fn status(&self) -> u16 {
        self.0
            .get(9..12)
            .and_then(|code| code.parse().ok())
            .unwrap_or(0)
    }

    fn body(&self) -> &str {
        self.0.split_once("\r\n\r\n").map_or("", |(_, body)| body)
    }

    fn json(&self) -> Value {
        serde_json::from_str(self.body()).unwrap_or_else(|_| panic!("no JSON: {}", self.0))
    }

    fn code(&self) -> String {
        self.json()["error"]["code"]
            .as_str()
            .unwrap_or("none")
            .into()
    }

    fn header(&self, name: &str) -> Option<&str> {
        let head = self.0.split("\r\n\r\n").next()?;
        let mut lines = head.lines().filter_map(|line| line.split_once(": "));
        lines.find_map(|(key, value)| key.eq_ignore_ascii_case(name).then_some(value))
    }
}

fn request(method: &Method, path: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = match method.is_safe() {
        true => String::new(),
        false => format!("content-length: {}\r\n", body.len()),
    };
    format!(
        "{method} {path} HTTP/1.1\r\nhost: 127.0.0.1:4751\r\nconnection: close\r\n{length}{headers}\r\n{body}"
    )
    .into_bytes()
}

fn get(path: &str) -> Vec<u8> {
    request(&Method::GET, path, "", "")
}

const CHANGE: &str = "pinfold-admin: 1\r\ncontent-type: application/json\r\n";

#[tokio::test]
async fn every_route_that_reads_answers() {
    let (admin, _) = admin(Fake::default());
    let table = [
        ("/healthz", "application/json", "\"ok\""),
        ("/readyz", "application/json", "\"ready\""),
        ("/status", "application/json", "\"latency\""),
        (
            "/metrics",
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
            "pinfold_up 1",
        ),
        ("/policies", "application/json", "\"changes\""),
        ("/connections", "application/json", "\"most\":1000"),
        ("/connections?limit=7", "application/json", "\"most\":7"),
        (
            "/connections?limit=99999",
            "application/json",
            "\"most\":1000",
        ),
        ("/denials", "application/json", "\"by_reason\""),
        ("/decisions", "application/json", "\"decisions\":[]"),
        ("/shadow", "application/json", "\"shadow\""),
        ("/config", "application/json", "\"config\""),
        ("/", "text/html; charset=utf-8", "<!doctype html>"),
        ("/page.css", "text/css; charset=utf-8", "color-scheme"),
        ("/page.js", "text/javascript; charset=utf-8", "EventSource"),
        ("/icon.svg", "image/svg+xml", "<svg"),
    ];
    for (path, kind, part) in table {
        let said = ask(&admin, LOOPBACK, &get(path)).await;
        assert_eq!(said.status(), 200, "{path}: {}", said.0);
        assert_eq!(said.header("content-type"), Some(kind), "{path}");
        assert!(said.body().contains(part), "{path}: {}", said.body());
        assert_eq!(
            said.header("x-content-type-options"),
            Some("nosniff"),
            "{path}"
        );
        assert_eq!(said.header("cache-control"), Some("no-store"), "{path}");
        let policy = said.header("content-security-policy").unwrap();
        assert!(
            policy.starts_with("default-src 'none';"),
            "{path}: {policy}"
        );
        assert!(!policy.contains("unsafe"), "{path}: {policy}");
        assert_eq!(said.header("access-control-allow-origin"), None, "{path}");
        let head = ask(&admin, LOOPBACK, &request(&Method::HEAD, path, "", "")).await;
        assert_eq!((head.status(), head.body()), (200, ""), "{path}");
    }
}

#[tokio::test]
async fn what_is_not_there_is_said() {
    let (admin, _) = admin(Fake::default());
    let table = [
        ("unknown", get("/nothing"), 404, "not-found"),
        ("a folder", get("/page/"), 404, "not-found"),
        ("out of the page", get("/../Cargo.toml"), 404, "not-found"),
        ("a change by GET", get("/drain"), 405, "method-wrong"),
        ("reading by POST", request(&Method::POST, "/status", CHANGE, ""), 405, "method-wrong"),
        ("a limit that is none", get("/denials?limit=many"), 400, "limit-malformed"),
        ("taken for the proxy", b"GET http://example.com/ HTTP/1.1\r\nhost: example.com\r\nconnection: close\r\n\r\n".to_vec(), 421, "admin-is-no-proxy"),
        ("taken for the proxy, by CONNECT", b"CONNECT example.com:443 HTTP/1.1\r\nhost: example.com:443\r\nconnection: close\r\n\r\n".to_vec(), 421, "admin-is-no-proxy"),
    ];
    for (row, request, status, code) in table {
        let said = ask(&admin, LOOPBACK, &request).await;
        assert_eq!(
            (said.status(), said.code().as_str()),
            (status, code),
            "{row}"
        );
        assert!(said.json()["error"]["hint"].is_string(), "{row}");
    }
}

#[tokio::test]
async fn health_goes_on_while_it_drains() {
    let drains = Fake {
        drains: true,
        ..Fake::default()
    };
    let (admin, _) = admin(drains);
    assert_eq!(ask(&admin, LOOPBACK, &get("/healthz")).await.status(), 200);
    let ready = ask(&admin, LOOPBACK, &get("/readyz")).await;
    assert_eq!((ready.status(), ready.code().as_str()), (503, "draining"));
}

#[tokio::test]
async fn every_change_is_handed_on() {
    let (admin, fake) = admin(Fake::default());
    let component = "AGFzbQ=="; // Four octets.
    let table = [
        (
            Method::POST,
            "/policies/swap",
            json!({"settings": {"a": 1}}).to_string(),
            "swap None same {\"a\":1}",
        ),
        (
            Method::POST,
            "/policies/swap?layer=team",
            json!({"component": component}).to_string(),
            "swap Some(\"team\") 4 bytes same",
        ),
        (
            Method::POST,
            "/policies/swap",
            json!({"layer": "a", "shipped": true, "settings": {}}).to_string(),
            "swap Some(\"a\") shipped {}",
        ),
        (
            Method::POST,
            "/policies/rollback",
            String::new(),
            "Rollback(None)",
        ),
        (
            Method::POST,
            "/policies/rollback",
            "{\"generation\":3}".into(),
            "Rollback(Some(3))",
        ),
        (Method::POST, "/policies/reload", String::new(), "Reload"),
        (
            Method::POST,
            "/shadow/start",
            json!({"settings": {}}).to_string(),
            "shadow None same {}",
        ),
        (Method::POST, "/shadow/stop", String::new(), "ShadowStop"),
        (
            Method::POST,
            "/shadow/promote",
            String::new(),
            "ShadowPromote",
        ),
        (Method::POST, "/drain", String::new(), "Drain"),
        (
            Method::DELETE,
            "/connections/0a1b2c3d-7",
            String::new(),
            "Close(\"0a1b2c3d-7\")",
        ),
    ];
    for (method, path, body, expected) in table {
        let said = ask(&admin, UNIX, &request(&method, path, CHANGE, &body)).await;
        assert_eq!(said.json(), json!({"done": true}), "{path}");
        let change = fake.changes.lock().unwrap().pop();
        assert_eq!(change.as_deref(), Some(expected), "{path}");
    }
    let wasm = "pinfold-admin: 1\r\ncontent-type: application/wasm\r\n";
    let said = ask(
        &admin,
        UNIX,
        &request(&Method::POST, "/policies/swap", wasm, "\0asm"),
    )
    .await;
    assert_eq!(said.status(), 200);
    let change = fake.changes.lock().unwrap().pop();
    assert_eq!(change.as_deref(), Some("swap None 4 bytes same"));
}

/// Whatever the route: who has proved nothing changes nothing.
#[tokio::test]
async fn no_change_without_a_proof() {
    let (admin, fake) = admin(Fake::default());
    let mut changes = 0;
    for (path, method, what) in routes::all_routes() {
        if what.needs() != Needs::Change {
            assert_eq!(method, Method::GET, "{path}");
            continue;
        }
        changes += 1;
        for (row, peer, headers, status) in [
            ("on loopback, without a proof", LOOPBACK, CHANGE, 403),
            ("no intent", UNIX, "content-type: application/json\r\n", 403),
            (
                "cross-site",
                UNIX,
                "pinfold-admin: 1\r\nsec-fetch-site: cross-site\r\n",
                403,
            ),
        ] {
            let said = ask(&admin, peer, &request(&method, path, headers, "{}")).await;
            assert_eq!(said.status(), status, "{path}, {row}: {}", said.0);
        }
    }
    assert_eq!(changes, 7, "and `DELETE /connections/ID`");
    let close = request(&Method::DELETE, "/connections/1", CHANGE, "");
    assert_eq!(ask(&admin, LOOPBACK, &close).await.status(), 403);
    assert!(fake.changes.lock().unwrap().is_empty());
}

#[tokio::test]
async fn what_is_sent_is_bounded_and_strict() {
    let (admin, fake) = admin(Fake::default());
    let large = "x".repeat(body::SMALL + 1);
    let post = |path, headers, body: &str| request(&Method::POST, path, headers, body);
    let announced = |kind: &str, length: usize| {
        format!(
            "POST /policies/swap HTTP/1.1\r\nhost: [::1]\r\nconnection: close\r\npinfold-admin: 1\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n"
        )
        .into_bytes()
    };
    let table = [
        (
            "no JSON",
            post("/policies/swap", CHANGE, "{"),
            400,
            "body-malformed",
        ),
        (
            "nothing to change",
            post("/policies/swap", CHANGE, "{}"),
            400,
            "body-empty",
        ),
        (
            "a key that is none",
            post("/policies/swap", CHANGE, "{\"setings\": {}}"),
            400,
            "body-malformed",
        ),
        (
            "no base64",
            post("/policies/swap", CHANGE, "{\"component\": \"?\"}"),
            400,
            "body-malformed",
        ),
        (
            "both",
            post(
                "/policies/swap",
                CHANGE,
                "{\"component\": \"AAAA\", \"shipped\": true}",
            ),
            400,
            "body-malformed",
        ),
        (
            "a setting that is written twice",
            post(
                "/policies/swap",
                CHANGE,
                r#"{"settings": {"hosts": {"deny": ["a.example"], "deny": []}}}"#,
            ),
            400,
            "body-malformed",
        ),
        (
            "no media type",
            post("/policies/swap", "pinfold-admin: 1\r\n", "{}"),
            415,
            "media-type-unknown",
        ),
        (
            "a form",
            post(
                "/policies/swap",
                "pinfold-admin: 1\r\ncontent-type: text/plain\r\n",
                "{}",
            ),
            415,
            "media-type-unknown",
        ),
        (
            "rollback to a word",
            post("/policies/rollback", CHANGE, "{\"generation\": \"x\"}"),
            400,
            "body-malformed",
        ),
        (
            "rollback, too large",
            post("/policies/rollback", CHANGE, &large),
            413,
            "body-too-large",
        ),
        (
            "a component, too large",
            announced("application/wasm", body::COMPONENT + 1),
            413,
            "body-too-large",
        ),
        (
            "JSON, too large",
            announced(
                "application/json",
                (body::COMPONENT / 3 * 4) + body::SETTINGS + 9,
            ),
            413,
            "body-too-large",
        ),
    ];
    for (row, request, status, code) in table {
        let said = ask(&admin, UNIX, &request).await;
        assert_eq!(
            (said.status(), said.code().as_str()),
            (status, code),
            "{row}"
        );
    }
    let settings = format!("{{\"settings\": \"{}\"}}", "x".repeat(body::SETTINGS));
    let said = ask(&admin, UNIX, &post("/policies/swap", CHANGE, &settings)).await;
    assert_eq!(said.status(), 413, "settings in JSON");
    assert!(fake.changes.lock().unwrap().is_empty());
}

#[tokio::test]
async fn only_so_many_policies_are_taken_in_at_a_time() {
    let (admin, _) = admin(Fake {
        slow: true,
        ..Fake::default()
    });
    let swap = request(
        &Method::POST,
        "/policies/swap",
        CHANGE,
        "{\"shipped\": true}",
    );
    let mut waiting = Vec::new();
    while admin.uploads.available_permits() > 0 {
        let mut connection = connect(&admin, UNIX);
        connection.write_all(&swap).await.unwrap();
        waiting.push(connection);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let said = ask(&admin, UNIX, &swap).await;
    assert_eq!((said.status(), said.code().as_str()), (503, "busy"));
    assert_eq!(said.header("retry-after"), Some("1"));
}

#[tokio::test(start_paused = true)]
async fn who_is_slow_is_let_go() {
    let (admin, _) = admin(Fake::default());
    let table = [
        ("a head that never ends", &b"GET /status HTTP/1.1\r\nhost: [::1]\r\n"[..], 40),
        ("nothing at all", b"", 40),
        ("a body that never comes", b"POST /policies/swap HTTP/1.1\r\nhost: [::1]\r\npinfold-admin: 1\r\ncontent-type: application/wasm\r\ncontent-length: 9\r\n\r\n", 100),
    ];
    for (row, sent, within) in table {
        let mut connection = connect(&admin, UNIX);
        connection.write_all(sent).await.unwrap();
        let mut bytes = Vec::new();
        let end = connection.read_to_end(&mut bytes);
        let end = tokio::time::timeout(Duration::from_secs(within), end).await;
        assert!(end.is_ok(), "{row}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_never_reads_is_let_go() {
    let (admin, _) = admin(Fake::default());
    let (ours, theirs) = tokio::io::duplex(1 << 10);
    let served = tokio::spawn(Arc::clone(&admin).serve(theirs, UNIX));
    let (_unread, mut write) = tokio::io::split(ours);
    write.write_all(&get("/page.js")).await.unwrap();
    let end = tokio::time::timeout(Duration::from_secs(30), served).await;
    assert!(end.is_ok(), "the page is larger than what may wait");
}

/// Somebody who tries tokens is seen, and does not fill the log.
#[tokio::test]
async fn who_is_turned_away_is_told_of() {
    let (admin, fake) = admin(Fake::default());
    for _ in 0..50 {
        let guess = request(
            &Method::GET,
            "/status",
            "authorization: Bearer guess\r\n",
            "",
        );
        assert_eq!(ask(&admin, LOOPBACK, &guess).await.status(), 401);
    }
    let told = fake.told.lock().unwrap();
    assert!(told[0].contains("`token-wrong`, from loopback"), "{told:?}");
    assert!(told.len() < 25, "once a second: {}", told.len());
}
