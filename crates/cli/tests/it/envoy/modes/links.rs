//! Between Envoy and the gateway: a Unix socket, or TLS with certificates on both sides.

use serde_json::{Value, json};

use super::assert_refused;
use crate::envoy::{
    certificates::{Authority, Identity},
    plan::Plan,
    support::Stage,
};

/// It decides, and refuses.
async fn assert_decides(stage: &Stage) {
    let answer = stage.get(&stage.lab.url("public", "/")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let refused = stage.get(&stage.lab.url("internal", "/")).await;
    assert_refused(&refused, "address-not-public", "internal");
    assert_eq!(stage.lab.leaks().await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unix_socket() {
    let plan = Plan::new("forward").await;
    let socket = format!("unix:{}", plan.path("envoy.sock").display());
    let listener = format!(
        "[[listener]]\nname = 'socket'\nbind = '{socket}'\nunix_mode = '0600'\nprotocols = ['envoy']"
    );
    let stage = plan.over(&listener).through("socket").start().await;
    assert_decides(&stage).await;
    let records = super::decisions(&stage, 2).await;
    assert!(records.iter().all(|record| record["listener"] == "socket"));
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_with_certificates_on_both_sides() {
    let authority = Authority::new();
    let envoy = authority.client("envoy.example.com");
    let stage = between(&authority, &envoy).await.start().await;
    assert_decides(&stage).await;
}

/// Nobody decides, so nothing goes out.
#[tokio::test(flavor = "multi_thread")]
async fn an_envoy_without_a_good_certificate_gets_no_decision() {
    let (authority, other) = (Authority::new(), Authority::new());
    let name = "envoy.example.com";
    let stranger = between(&authority, &other.client(name)).await;
    let stranger = stranger.start().await;
    let bare = between(&authority, &authority.client(name)).await;
    let bare = bare.edit(|config| {
        let socket = &mut service(config)["transport_socket"]["typed_config"];
        let shown = socket["common_tls_context"].as_object_mut().unwrap();
        shown.remove("tls_certificates").unwrap();
    });
    let bare = bare.start().await;
    for (stage, what) in [(stranger, "of somebody else"), (bare, "none")] {
        let answer = stage.get(&stage.lab.url("public", "/")).await;
        assert_eq!(answer.status, 503, "{what}: {answer:?}");
        assert_eq!(stage.lab.public().connections(), 0, "{what}");
    }
}

/// Envoy asks nobody whose certificate it does not know.
#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_without_a_good_certificate_is_not_asked() {
    let (authority, other) = (Authority::new(), Authority::new());
    let plan = between(&authority, &authority.client("envoy.example.com")).await;
    let ca = plan.file("other.pem", &other.pem());
    let plan = plan.edit(move |config| {
        let socket = &mut service(config)["transport_socket"]["typed_config"];
        let validation = &mut socket["common_tls_context"]["validation_context"];
        validation["trusted_ca"] = json!({"filename": ca});
    });
    let stage = plan.start().await;
    let answer = stage.get(&stage.lab.url("public", "/")).await;
    assert_eq!(answer.status, 503, "{answer:?}");
    assert_eq!(stage.lab.dns().log().total(), 0);
}

/// The gateway believes certificates of the authority; Envoy has this one.
async fn between(authority: &Authority, envoy: &Identity) -> Plan {
    let plan = Plan::new("forward").await;
    let ca = plan.file("ca.pem", &authority.pem());
    let (server, server_key) = files(&plan, "server", &authority.server());
    let (certificate, key) = files(&plan, "envoy", envoy);
    let listener = format!(
        "bind = '127.0.0.1:0'\ntls = {{ certificate = '{server}', key = '{server_key}', client_ca = ['{ca}'] }}"
    );
    let plan = plan.listener(&listener).words(&["--service-ca", &ca]);
    plan.words(&["--service-certificate", &certificate, "--service-key", &key])
}

/// The cluster of the gateways.
fn service(config: &mut Value) -> &mut Value {
    let clusters = &mut config["static_resources"]["clusters"];
    let mut clusters = clusters.as_array_mut().unwrap().iter_mut();
    clusters
        .find(|cluster| cluster["name"] == "pinfold")
        .unwrap()
}

fn files(plan: &Plan, name: &str, identity: &Identity) -> (String, String) {
    (
        plan.file(&format!("{name}.pem"), &identity.certificate),
        plan.file(&format!("{name}.key"), &identity.key),
    )
}
