//! The very component in Node, by `jco`: what the host recorded is asked again there, and answered alike.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::{Value, json};

use super::Author;
use crate::support::{repository, show, told, vectors};

/// What the example is asked, and what its name resolves to. Denials of both stages, IPv6, what IPv6 carries.
const ASKED: [(&str, &str); 8] = [
    ("https://api.example/v1/orders?from=2024", "93.184.216.34"),
    ("https://api.example:8443/", "10.0.0.8"),
    ("https://api.example/", "64:ff9b::a00:8"),
    ("https://api.example/", "::ffff:10.0.0.8"),
    ("https://api.example/", "2606:2800:220:1::1"),
    ("http://api.example/", "93.184.216.34"),
    ("https://stranger.example/", "93.184.216.34"),
    ("https://user@93.184.216.34/", "93.184.216.34"),
];

#[test]
fn what_the_host_recorded_of_the_example_is_answered_alike_in_node() {
    let author = Author::new();
    let project = author.begin("zebra", &["--language", "rust"]);
    author.build(&project);
    let component = project.join("zebra.wasm");
    let settings = author.settings("one", &json!({ "partners": ["api.example"] }));
    let log = author.dir.path().join("decisions.jsonl");
    for (url, address) in ASKED {
        record(&author, &component, &settings, &log, url, address);
    }

    let replayed = replay(&log, &component, &settings);
    assert_eq!(replayed.status.code(), Some(0), "{}", show(&replayed));
    assert_eq!(
        tally(&replayed)["identical"],
        ASKED.len(),
        "{}",
        show(&replayed)
    );

    // With one partner more, one answer is another one, and no other.
    let partners = json!({ "partners": ["api.example", "stranger.example"] });
    let replayed = replay(&log, &component, &author.settings("other", &partners));
    assert_eq!(replayed.status.code(), Some(1), "{}", show(&replayed));
    let tally = tally(&replayed);
    assert_eq!(
        (&tally["identical"], &tally["different"]),
        (&json!(7), &json!(1)),
        "{tally}"
    );
    assert_eq!(
        tally["changes"][0]["target"], "https://stranger.example:443",
        "{tally}"
    );

    // Settings that it refuses, and a log of another policy.
    let refused = author.settings(
        "refused",
        &json!({ "partners": ["a.example", "a.example"] }),
    );
    is_error(
        &replay(&log, &component, &refused),
        "/partners/1: another partner covers this name",
    );
    let other = author.dir.path().join("shipped.jsonl");
    shipped(&author, &other);
    is_error(
        &replay(&other, &component, &settings),
        "no record of this policy could be replayed",
    );
}

#[test]
fn what_the_host_recorded_of_the_shipped_policy_is_answered_alike_in_node() {
    let author = Author::new();
    let log = author.dir.path().join("decisions.jsonl");
    let component = shipped(&author, &log);
    let replayed = replay(&log, &component, &author.settings("none", &json!({})));
    assert_eq!(replayed.status.code(), Some(0), "{}", show(&replayed));
    let tally = tally(&replayed);
    assert!(tally["identical"].as_u64() > Some(100), "{tally}");
    assert_eq!(tally["different"], 0, "{tally}");
}

/// Records what the shipped policy says to the corpus; the component, which its project builds.
fn shipped(author: &Author, log: &Path) -> PathBuf {
    let project = author.begin("our-egress", &["--from", "egress"]);
    author.build(&project);
    let component = project.join("our-egress.wasm");
    let corpus = vectors("corpus.jsonl");
    let words = [
        "check",
        "--json",
        "--policy",
        text(&component),
        "--record",
        text(log),
    ];
    // Most of the corpus is denied.
    let output = author.run(&[&words[..], &["--batch", text(&corpus)]].concat());
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    component
}

fn record(
    author: &Author,
    component: &Path,
    settings: &Path,
    log: &Path,
    url: &str,
    address: &str,
) {
    let host = url
        .split(['/', '@', ':'])
        .find(|part| part.contains('.'))
        .unwrap();
    let answer = format!("{host}={address}");
    let words = [
        "check",
        "--policy",
        text(component),
        "--settings",
        text(settings),
    ];
    let asked = ["--label", "business-hours=open", "--record", text(log)];
    let mut words = [&words[..], &asked].concat();
    if host != address {
        words.extend(["--resolve", &answer]);
    }
    words.push(url);
    let output = author.run(&words);
    assert!(
        matches!(output.status.code(), Some(0 | 1)),
        "{}",
        show(&output)
    );
}

/// `node replay.mjs`, as docs/node.md says.
fn replay(log: &Path, component: &Path, settings: &Path) -> Output {
    let folder = repository().join("guest/node");
    let installed = folder.join("node_modules");
    assert!(
        installed.exists(),
        "{} is not there: run `cargo xtask setup`",
        installed.display()
    );
    let mut node = Command::new("node");
    node.arg(folder.join("replay.mjs")).args([log, component]);
    node.arg("--settings")
        .arg(settings)
        .arg("--json")
        .output()
        .unwrap()
}

fn tally(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

fn is_error(output: &Output, said: &str) {
    assert_eq!(output.status.code(), Some(2), "{}", show(output));
    assert!(told(output).contains(said), "{}", show(output));
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

impl Author {
    fn settings(&self, name: &str, settings: &Value) -> PathBuf {
        let file = self.dir.path().join(format!("{name}.json"));
        fs::write(&file, settings.to_string()).unwrap();
        file
    }
}
