//! What is kept, what is counted, and who watches.

use std::time::SystemTime;

use super::{
    super::{recent::*, stream},
    *,
};
use crate::{
    admin::tests::events::{asked, decided, decision, kept, refused},
    config::Withhold,
    event::{Ended, Event, Reloaded, Sink},
};

#[tokio::test]
async fn lists_are_bounded_and_newest_first() {
    let recent = Recent::new(&[], Aliases::new());
    for number in 0..DENIALS + 10 {
        recent.take(&refused(&format!("number {number}")));
    }
    let denials = recent.denials(usize::MAX);
    let rows = denials["denials"].as_array().unwrap();
    assert_eq!(rows.len(), DENIALS);
    assert_eq!(rows[0]["detail"], format!("number {}", DENIALS + 9));
    assert_eq!(denials["by_reason"][0]["count"], DENIALS + 10);
    assert_eq!(denials["counts"]["refused"], DENIALS + 10);
}

#[tokio::test]
async fn a_decision_is_one_flat_row() {
    let recent = Recent::new(&[], Aliases::new());
    let denied = decision("http://127.0.0.1:80/secret?query").await;
    recent.take(&decided(asked("127.0.0.1:80", "tenant"), denied));
    let row = &recent.decisions(1)["decisions"][0];
    for (field, expected) in [
        ("event", json!("decision")),
        ("verdict", json!("deny")),
        ("authority", json!("127.0.0.1:80")),
        ("subject", json!("tenant")),
        ("way", json!("basic")),
        ("client", json!("127.0.0.1:50000")),
        ("kind", json!("connect")),
        ("policy", json!("egress")),
        ("would_deny", Value::Null),
    ] {
        assert_eq!(row[field], expected, "{field} of {row}");
    }
    assert!(row["code"].is_string() && row["detail"].is_string() && row["hint"].is_string());
    assert!(!row.to_string().contains("secret"), "{row}");
    assert_eq!(recent.denials(9)["by_reason"][0]["code"], row["code"]);
    assert!(recent.summary()["latency"]["target"]["p99_us"].is_u64());
}

#[tokio::test]
async fn what_is_withheld_from_the_log_is_withheld_here() {
    let denied = decision("http://127.0.0.1:80/").await;
    let row = |withhold: &[Withhold]| {
        let recent = Recent::new(withhold, Aliases::new());
        recent.take(&decided(
            asked("x.example:80", "tenant"),
            Arc::clone(&denied),
        ));
        recent.decisions(1)["decisions"][0].clone()
    };
    let plain = row(&[]);
    assert_eq!(plain["addresses"][0]["address"], "127.0.0.1");
    let internal = row(&[Withhold::InternalAddresses]);
    assert_eq!(internal["addresses"], json!([]));
    assert!(!internal.to_string().contains("127.0.0.1 "), "{internal}");
    let hashed = row(&[Withhold::Subjects, Withhold::Clients]);
    let text = hashed.to_string();
    assert!(
        !text.contains("tenant") && !text.contains("50000"),
        "{text}"
    );
    let subject = hashed["subject"].as_str().unwrap();
    assert!(subject.starts_with("subject-"), "{subject}");
}

#[tokio::test]
async fn changes_are_listed() {
    let recent = Recent::new(&[], Aliases::new());
    recent.take(&kept("no such setting"));
    let change = &recent.changes()[0];
    assert_eq!(
        (&change["change"], &change["step"]),
        (&json!("kept"), &json!("load"))
    );
}

#[tokio::test]
async fn who_makes_trouble_pushes_no_change_out() {
    let recent = Recent::new(&[], Aliases::new());
    recent.take(&kept("the one that counts"));
    for _ in 0..1_000 {
        recent.take(&Event::Trouble {
            what: "admin",
            detail: "refused".into(),
        });
    }
    let changes = recent.changes();
    let changes = changes.as_array().unwrap();
    assert_eq!(changes.last().unwrap()["change"], "kept");
    assert!((2..100).contains(&changes.len()), "{}", changes.len());
}

#[tokio::test]
async fn what_a_reload_did_not_do_is_told_until_it_does() {
    let recent = Recent::new(&[], Aliases::new());
    let reloaded = |what: &'static str, error: Option<&str>| {
        recent.take(&Event::Reloaded(Arc::new(Reloaded {
            at: SystemTime::now(),
            what,
            error: error.map(Into::into),
        })));
    };
    reloaded("certificates", Some("no certificate"));
    reloaded("token", None);
    let errors = recent.reload_errors();
    assert_eq!(errors["certificates"]["error"], "no certificate");
    assert_eq!(errors.as_object().map(serde_json::Map::len), Some(1));
    reloaded("certificates", None);
    assert_eq!(recent.reload_errors(), json!({}));
}

#[tokio::test]
async fn what_was_revoked_says_why() {
    let recent = Recent::new(&[], Aliases::new());
    let denied = decision("http://127.0.0.1:80/").await;
    let end = Event::Ended(Arc::new(Ended {
        at: SystemTime::now(),
        asked: asked("x.example:80", "tenant"),
        closing: crate::live::Closing::Revoked,
        denial: denied.outcome.denial().cloned(),
        lasted: Duration::ZERO,
        up: 0,
        down: 0,
        silent: Duration::ZERO,
    }));
    let row = recent.masks().row(SystemTime::now(), &end);
    assert_eq!(row["code"], denied.outcome.denial().unwrap().code());
}

const STREAM: &str =
    "GET /decisions HTTP/1.1\r\nhost: [::1]\r\naccept: text/event-stream\r\nconnection: close\r\n";

async fn watch(admin: &Arc<Admin>, more: &str) -> DuplexStream {
    let mut connection = connect(admin, LOOPBACK);
    connection
        .write_all(format!("{STREAM}{more}\r\n").as_bytes())
        .await
        .unwrap();
    connection
}

/// Reads until a text has come.
async fn read_until(connection: &mut DuplexStream, part: &str) -> String {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if text.contains(part) {
            return text;
        }
        let read = tokio::time::timeout(Duration::from_secs(60), connection.read(&mut buffer));
        let read = read
            .await
            .unwrap_or_else(|_| panic!("never came: {part}, but {text}"));
        let read = read.unwrap();
        assert!(read > 0, "ended before {part}: {text}");
        bytes.extend_from_slice(&buffer[..read]);
    }
}

#[tokio::test]
async fn events_come_as_they_happen_after_what_was_missed() {
    let (admin, _) = admin(Fake::default());
    admin.recent.take(&refused("before"));
    let mut connection = watch(&admin, "").await;
    let text = read_until(&mut connection, "before").await;
    assert!(text.contains("content-type: text/event-stream"), "{text}");
    assert!(text.contains("id: 1\nevent: refused\ndata: {"), "{text}");
    admin.recent.take(&refused("while it watches"));
    read_until(&mut connection, "while it watches").await;
    let mut resumed = watch(&admin, "last-event-id: 1\r\n").await;
    let text = read_until(&mut resumed, "while it watches").await;
    assert!(!text.contains("before"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_stream_says_that_it_is_there() {
    let (admin, _) = admin(Fake::default());
    let mut connection = watch(&admin, "").await;
    read_until(&mut connection, "\n:\n\n").await;
}

#[tokio::test]
async fn so_many_watch_and_no_more() {
    let (admin, _) = admin(Fake::default());
    let mut watching = Vec::new();
    for _ in 0..stream::STREAMS {
        let mut connection = watch(&admin, "").await;
        read_until(&mut connection, "retry").await;
        watching.push(connection);
    }
    let said = ask(&admin, LOOPBACK, format!("{STREAM}\r\n").as_bytes()).await;
    assert_eq!(
        (said.status(), said.code().as_str()),
        (503, "too-many-streams")
    );
    watching.pop();
    // Whoever leaves is found out by what is written to it.
    while admin.recent.summary()["streams"] == stream::STREAMS {
        admin.recent.take(&refused("anything"));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    read_until(&mut watch(&admin, "").await, "retry").await;
}

/// Nobody waits for a watcher that does not read, and what waits for it is bounded.
#[tokio::test(start_paused = true)]
async fn a_slow_watcher_is_let_go() {
    let (admin, _) = admin(Fake::default());
    let (ours, theirs) = tokio::io::duplex(1 << 10);
    let serving = Arc::clone(&admin).serve(theirs, LOOPBACK);
    let served = tokio::spawn(serving);
    let (_unread, mut write) = tokio::io::split(ours);
    write
        .write_all(format!("{STREAM}\r\n").as_bytes())
        .await
        .unwrap();
    while admin.recent.summary()["streams"] == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    for _ in 0..stream::QUEUE {
        admin.recent.take(&refused("anything"));
    }
    let end = tokio::time::timeout(Duration::from_secs(30), served).await;
    assert!(end.is_ok(), "it holds no place");
    assert_eq!(admin.recent.summary()["streams"], 0);
}

#[tokio::test]
async fn a_gateway_that_ends_ends_its_streams() {
    let (admin, _) = admin(Fake::default());
    let mut watcher = watch(&admin, "").await;
    read_until(&mut watcher, "retry").await;
    let end = tokio::time::timeout(Duration::from_secs(60), admin.end());
    assert!(end.await.is_ok());
    let mut rest = Vec::new();
    watcher.read_to_end(&mut rest).await.unwrap();
}
