//! What operators see of the decisions of an Envoy.

use super::{
    Envoy, INTERNAL_NAME, PUBLIC_NAME, connect, denied, get, meta, of_http, pins, sni, stage,
};
use crate::support::{file, until};

#[tokio::test]
async fn labels_of_the_route_reach_the_policy_and_the_id_of_envoy_the_records() {
    let proxy = stage("records.log.replayable = true").await;
    let mut envoy = Envoy::connect(&proxy).await;
    let route = [("tenant", "seven"), ("pinfold-upstream", "tls")];
    let answer = envoy
        .check(&of_http("GET", INTERNAL_NAME, "/a?b", &route))
        .await;
    let id = meta(&answer, "request_id").unwrap();
    let line = proxy.logged(|line| line["request_id"] == id).await;
    assert_eq!(line["correlation_id"], "8f2c-1");
    let asked = line["decision"]["input"].to_string();
    for label in [
        r#""tenant""#,
        r#""seven""#,
        r#""forward""#,
        r#""envoy""#,
        r#""path":"/a""#,
        r#""query":"b""#,
        r#""scheme":"https""#,
    ] {
        assert!(asked.contains(label), "{label}: {asked}");
    }
    assert!(!asked.contains("pinfold-upstream"), "{asked}");

    let row = proxy.refused("address-not-public").await;
    assert_eq!(row["correlation_id"], "8f2c-1", "{row}");
    assert_eq!(row["kind"], "forward", "{row}");
}

#[tokio::test]
async fn decisions_are_counted_by_kind_and_listener() {
    let proxy = stage("").await;
    let mut envoy = Envoy::connect(&proxy).await;
    for question in [
        get(PUBLIC_NAME),
        connect("public.lab.example.com:443"),
        sni(PUBLIC_NAME),
    ] {
        envoy.check(&question).await;
    }
    envoy.check(&get(INTERNAL_NAME)).await;
    envoy.check(&get("a,b")).await;
    let (_, metrics) = proxy.admin("/metrics").await;
    for line in [
        r#"pinfold_requests_total{listener="envoy",kind="forward"} 2"#,
        r#"pinfold_requests_total{listener="envoy",kind="connect"} 1"#,
        r#"pinfold_requests_total{listener="envoy",kind="sni"} 1"#,
        r#"pinfold_refused_total{listener="envoy",stage="request",code="host-malformed"} 1"#,
        r#"pinfold_decision_seconds_count{verdict="allow"} 3"#,
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
    let status = proxy.admin_json("/status").await;
    let listener = &status["listeners"][0];
    assert_eq!(listener["name"], "envoy", "{status:#}");
    assert_eq!(
        listener["protocols"],
        serde_json::json!(["envoy"]),
        "{status:#}"
    );
}

#[tokio::test]
async fn in_report_mode_a_denial_is_told_and_lets_pass() {
    let folder = tempfile::tempdir().unwrap();
    let settings = file(folder.path(), "settings.toml", "ports = [81]\n");
    let candidate = file(folder.path(), "candidate.toml", "ports = [80]\n");
    let proxy = stage(&format!(
        "report = {{all = true}}\npolicy = {{settings = '{}'}}\nshadow = {{settings = '{}'}}",
        settings.display(),
        candidate.display(),
    ))
    .await;
    until("the candidate watches", async || {
        proxy.admin_json("/shadow").await["watching"] == true
    })
    .await;
    let mut envoy = Envoy::connect(&proxy).await;
    let answer = envoy.check(&get(PUBLIC_NAME)).await;
    assert_eq!(pins(&answer), ["127.0.0.2:80"]);
    let id = meta(&answer, "request_id").unwrap();
    let such = |line: &serde_json::Value| line["request_id"] == id && line["event"] == "decision";
    let line = proxy.logged(such).await;
    assert_eq!(line["report"], true, "{line}");
    assert_eq!(line["decision"]["verdict"], "allow");
    assert_eq!(
        line["decision"]["would_deny"]["code"], "port-denied",
        "{line}"
    );
    until("the candidate has seen it", async || {
        proxy.admin_json("/shadow").await["compared"] == 1
    })
    .await;

    // What others would dial as another address than the one that was judged is handed to nobody.
    let answer = envoy.check(&get("[::ffff:93.184.216.34]:81")).await;
    assert_eq!(denied(&answer).1["pinfold-reason"], "address-wrapped");
    let id = meta(&answer, "request_id").unwrap();
    let line = proxy.logged(|line| line["request_id"] == id).await;
    assert_eq!(line["decision"]["verdict"], "deny", "{line}");

    // The floor is no policy.
    let answer = envoy.check(&get("169.254.169.254:81")).await;
    assert!(pins(&answer).is_empty(), "{answer:?}");
}
