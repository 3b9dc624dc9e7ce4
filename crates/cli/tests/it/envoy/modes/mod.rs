//! Each way to use Envoy: what is allowed arrives at the judged address, and nothing else does.

mod connector;
mod forward;
mod identity;
mod links;
mod sni;
mod tls;

use std::{collections::BTreeSet, net::SocketAddr};

use serde_json::Value;

use super::{
    client::until,
    support::{Answer, Stage},
};

/// A name of the lab that is public.
const PUBLIC: &str = "public.lab.example.com";
/// One that is internal.
const INTERNAL: &str = "internal.lab.example.com";

/// Where Envoy has connected to for its clients, lately.
async fn dialled(stage: &Stage) -> BTreeSet<SocketAddr> {
    let clusters = stage.envoy.admin("/clusters?format=json").await;
    // In chunks: the JSON is between the first and the last brace.
    let body = clusters.body;
    let json = &body[body.find('{').unwrap()..=body.rfind('}').unwrap()];
    let clusters: Value = serde_json::from_str(json).unwrap();
    let clusters = clusters["cluster_statuses"].as_array().unwrap().iter();
    let pinned = clusters.filter(|cluster| cluster["name"].as_str().unwrap().starts_with("pinned"));
    let hosts = pinned.filter_map(|cluster| cluster["host_statuses"].as_array());
    hosts.flatten().map(address).collect()
}

fn address(host: &Value) -> SocketAddr {
    let at = &host["address"]["socket_address"];
    let ip = at["address"].as_str().unwrap().parse().unwrap();
    let port = at["port_value"].as_u64().unwrap();
    SocketAddr::new(ip, port.try_into().unwrap())
}

/// A refusal as clients get it: status, reason, what to do, and nothing about addresses.
#[track_caller]
fn assert_refused(answer: &Answer, reason: &str, what: &str) {
    assert_eq!(answer.status, 403, "{what}: {answer:?}");
    assert_eq!(answer.field("pinfold-reason"), Some(reason), "{what}");
    assert!(answer.body.contains("hint"), "{what}: {answer:?}");
    for part in ["127.0.0", "127.0.0.3", "::1", "egress"] {
        let told = answer.head.contains(part) || answer.body.contains(part);
        assert!(!told, "{what}: `{part}` is told: {answer:?}");
    }
}

/// The decisions of the gateway, in the order of its log, after waiting for so many.
async fn decisions(stage: &Stage, many: usize) -> Vec<Value> {
    until("decisions", || {
        let records = stage.gateway.records().into_iter();
        let decisions: Vec<_> = records
            .filter(|record| record["event"] == "decision")
            .collect();
        (decisions.len() >= many).then_some(decisions)
    })
    .await
}
