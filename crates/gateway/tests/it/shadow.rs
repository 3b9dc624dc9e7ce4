//! A candidate watches: it says what it would have done, does nothing, and is swapped in when told to.

use serde_json::{Value, json};

use crate::{
    operator::Operator,
    support::{Echo, PUBLIC, Proxy, file, status, until},
};

async fn asked(proxy: &Proxy, at: &str) -> u16 {
    status(&proxy.client().await.connect_to(at).await)
}

/// The report, once so many decisions were compared.
async fn report(proxy: &Proxy, compared: u64) -> Value {
    let mut report = Value::Null;
    until("so many are compared", async || {
        report = proxy.admin_json("/shadow").await;
        report["compared"] == compared
    })
    .await;
    report
}

#[tokio::test]
async fn a_candidate_of_the_configuration_watches_and_is_promoted() {
    let (open, closed) = (Echo::start(PUBLIC).await, Echo::start(PUBLIC).await);
    let folder = tempfile::tempdir().unwrap();
    let admin = Operator::new(folder.path());
    let write = |name: &str, port: u16| {
        let path = folder.path().join(name);
        std::fs::write(&path, format!("ports = [{port}]\n")).unwrap();
        path.display().to_string()
    };
    let config = format!(
        "policy = {{settings = '{}'}}\nshadow = {{settings = '{}'}}\n{}",
        write("active.toml", open.port()),
        write("candidate.toml", closed.port()),
        admin.config()
    );
    let proxy = Proxy::with(&config).await;
    until("it watches", async || {
        proxy.admin_json("/shadow").await["watching"] == true
    })
    .await;
    let (open, closed) = (
        open.at("public.lab.example.com"),
        closed.at("public.lab.example.com"),
    );
    // First, since what is compared is waited for below: they are taken in their order.
    assert_eq!(asked(&proxy, "127.0.0.1:9").await, 403);
    for _ in 0..3 {
        assert_eq!(
            asked(&proxy, &open).await,
            200,
            "the candidate decides nothing"
        );
    }
    for _ in 0..2 {
        assert_eq!(asked(&proxy, &closed).await, 403);
    }
    let report = report(&proxy, 5).await;
    let counts = [
        "agreed",
        "loosened",
        "tightened",
        "other_reason",
        "not_asked",
        "dropped",
    ];
    let counts = counts.map(|name| report[name].as_u64());
    assert_eq!(counts, [0, 2, 3, 0, 1, 0].map(Some), "{report:#}");
    let most = &report["differences"][0];
    assert_eq!(
        (&most["active"], &most["candidate"]),
        (&json!("allow"), &json!("port-denied"))
    );
    assert_eq!(most["latest"][0]["authority"], open);
    let next = &report["differences"][1];
    // Nobody looked its addresses up.
    assert_eq!(
        (&next["candidate"], &next["loosens"]),
        (&json!("allow-target"), &json!(true))
    );

    let (status, changed) = admin.post(&proxy, "/shadow/promote", &json!({})).await;
    assert_eq!(
        (status, &changed["generation"]),
        (200, &json!(2)),
        "{changed}"
    );
    assert_eq!(
        (asked(&proxy, &open).await, asked(&proxy, &closed).await),
        (403, 200)
    );
    let ended = proxy.admin_json("/shadow").await;
    assert_eq!(
        (&ended["watching"], &ended["compared"]),
        (&json!(false), &json!(5))
    );
}

#[tokio::test]
async fn a_candidate_that_does_not_load_keeps_nobody_from_working() {
    let echo = Echo::start(PUBLIC).await;
    let at = echo.at("public.lab.example.com");
    let folder = tempfile::tempdir().unwrap();
    let admin = Operator::new(folder.path());
    let noise = file(folder.path(), "noise.wasm", "no component");
    let shadow = format!("shadow = {{file = '{}'}}\n", noise.display());
    let proxy = Proxy::with(&format!("{shadow}{}", admin.config())).await;
    assert_eq!(asked(&proxy, &at).await, 200);
    let told = proxy.logged(|line| line["event"] == "trouble").await;
    assert!(told.to_string().contains("no candidate watches"), "{told}");
    let wrong = json!({"settings": {"ports": "all"}});
    let (status, problem) = admin.post(&proxy, "/shadow/start", &wrong).await;
    assert_eq!(status, 422, "{problem}");
    let (status, started) = admin
        .post(
            &proxy,
            "/shadow/start",
            &json!({"settings": {"ports": [1]}}),
        )
        .await;
    assert_eq!(
        (status, &started["watching"]),
        (200, &json!(true)),
        "{started}"
    );
    assert_eq!(asked(&proxy, &at).await, 200);
    assert_eq!(report(&proxy, 1).await["tightened"], 1);
    let (status, last) = admin.post(&proxy, "/shadow/stop", &json!({})).await;
    assert_eq!((status, &last["watching"]), (200, &json!(false)), "{last}");
}
