//! A policy that is rolled out to two gateways while traffic runs: each request is judged by the one or by the other, and
//! every record says by which.

use std::time::Instant;

use serde_json::Value;

use super::{
    load::{self, ENOUGH, Sent, tally},
    pair::Pair,
    support::Gateway,
};
use crate::serve::write;

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_rolled_out_to_both_takes_effect_in_each_and_nothing_is_lost() {
    let pair = Pair::start().await;
    let settings = format!("[hosts]\ndeny = ['*.{}.lab.example.com']\n", load::OUTSIDE);
    let settings = write(pair.folder.path(), "next.toml", &settings);
    let (old, same) = (active(&pair.first), active(pair.second()));
    assert_eq!(digests(&old), digests(&same));
    let load = pair.load("rolls").await;
    let begins = Instant::now();
    for gateway in [&pair.first, pair.second()] {
        gateway.operate(&["swap", "--settings", settings.to_str().unwrap()]);
        load.more(ENOUGH).await;
    }
    let done = Instant::now();
    load.more(ENOUGH).await;
    let all = load.end().await;
    println!("rolled out: {:?}", tally(&all));
    let (new, same) = (active(&pair.first), active(pair.second()));
    assert_eq!(digests(&new), digests(&same));
    assert_ne!(digests(&new), digests(&old));
    assert_eq!(
        (&old["generation"], &new["generation"]),
        (&1.into(), &2.into())
    );

    before_and_after(&all, begins, done);
    load::closed(&pair.lab, &pair.envoy, &all).await;
    let gateways = [&pair.first, pair.second()];
    load::all_decided(&pair.lab, &gateways).await;
    let records = load::decided(&gateways, all.len()).await;
    assert_eq!(records.len(), all.len(), "one decision for each");
    let lines = load::lines(&pair.envoy);
    for record in &records {
        let generation = of_one_of_the_two(record, &old, &new);
        let line = &lines[record["authority"].as_str().unwrap()];
        of_the_same(line, record, generation);
    }
}

/// Everything is served before, and nothing after; in between, either.
fn before_and_after(all: &[Sent], begins: Instant, done: Instant) {
    for sent in all.iter().filter(|sent| !sent.inside()) {
        let answer = (sent.status, sent.reason.as_deref());
        let (early, late) = (sent.began + sent.took < begins, sent.began > done);
        match answer {
            (Some(200), None) => assert!(!late, "{sent:?}"),
            (Some(403), Some("host-denied")) => assert!(!early, "{sent:?}"),
            _ => panic!("neither: {sent:?}"),
        }
    }
}

/// The policy of a decision is the old one or the new one, whole, and says what that says.
fn of_one_of_the_two(record: &Value, old: &Value, new: &Value) -> u64 {
    let (decision, authority) = (&record["decision"], record["authority"].as_str().unwrap());
    let generation = decision["policy"]["generation"].as_u64().unwrap();
    let (active, verdict) = match (generation, authority.contains(load::OUTSIDE)) {
        (1, true) => (old, "allow"),
        (1, false) => (old, "deny"),
        (2, _) => (new, "deny"),
        _ => panic!("{record}"),
    };
    assert_eq!(decision["verdict"], verdict, "{record}");
    let policy = &decision["policy"];
    let given = [&policy["digest"], &policy["settings_digest"]];
    assert_eq!(given, digests(active), "{record}");
    generation
}

/// The line of Envoy is of this decision, and says of which policy it is.
fn of_the_same(line: &Value, record: &Value, generation: u64) {
    assert_eq!(line["request_id"], record["request_id"], "{line}");
    let policy = &record["decision"]["policy"];
    assert_eq!(
        line["generation"],
        generation.to_string().as_str(),
        "{line}"
    );
    assert_eq!(line["policy"], policy["digest"], "{line}");
    assert_eq!(line["settings"], policy["settings_digest"], "{line}");
}

/// What a gateway says of its policies.
fn active(gateway: &Gateway) -> Value {
    gateway.operate(&["policies"])["active"].clone()
}

fn digests(active: &Value) -> [&Value; 2] {
    let policy = &active["policies"][0];
    [&policy["digest"], &policy["settings_digest"]]
}
